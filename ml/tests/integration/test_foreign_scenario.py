"""A scenario made elsewhere: three lanes, other traffic, outputs, its own step length and types."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ml.errors import ScenarioError
from ml.provenance import REPOSITORY_ROOT
from ml.tests.road_worlds import build_network, write_scenario

NO_DEMAND = np.array([-1.0], dtype=np.float32)

SETTINGS = """
<output><fcd-output value="fcd.xml"/><tripinfo-output value="tripinfo.xml"/></output>
<time><begin value="0"/><step-length value="0.5"/></time>
<processing><time-to-teleport value="300"/></processing>
<ssm_device><device.ssm.probability value="1"/><device.ssm.file value="ssm.xml"/></ssm_device>
"""
IGNORED = (
    "scenario.sumocfg: ignored its settings fcd-output, tripinfo-output, step-length, "
    "time-to-teleport, device.ssm.probability, device.ssm.file: "
    "RoadSense sets SUMO's options itself."
)
TYPES = (
    '<vType id="car" length="4.7" maxSpeed="16" accel="2" decel="4.5"/>'
    '<vType id="lorry" vClass="truck" length="12" maxSpeed="22" carFollowModel="IDM"/>'
)
CONVOY = '<route id="main" edges="a_m m_b"/>' + "".join(
    f'<vehicle id="V{index + 1:03d}" type="car" route="main" depart="0" departLane="1"'
    f' departPos="{100 + 25 * index}" departSpeed="15"/>'
    for index in range(4)
)
BESIDE = (
    '<vehicle id="truck_7" type="lorry" route="main" depart="0" departLane="0" departPos="130"'
    ' departSpeed="15"/>'
    '<flow id="flow_a" type="lorry" from="a_m" to="m_b" begin="0" end="60" period="8"'
    ' departLane="0" departSpeed="10"/>'
    '<flow id="crossing" type="car" from="s_m" to="m_n" begin="0" end="60" period="6"/>'
    '<trip id="bus" type="lorry" from="a_m" to="m_b" depart="1" departLane="2"/>'
)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a scenario on the crossing, with given other vehicles."""
    folder = tmp_path / "foreign"
    folder.mkdir()
    nodes = {
        "a": (0.0, 0.0), "m": (1000.0, 0.0), "b": (2500.0, 0.0),
        "s": (1000.0, -300.0), "n": (1000.0, 300.0),
    }  # fmt: skip
    build_network(folder, nodes, ["a m 3", "m b 3", "s m 1", "m n 1"])
    monkeypatch.chdir(tmp_path)

    def write(others, **more):
        return write_scenario(folder, TYPES + CONVOY + others, **more)

    return write


def files_in(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def run_to_the_end(env, **options):
    env.reset(seed=1, options=options)
    while True:
        _, _, terminated, truncated, info = env.step(NO_DEMAND)
        if terminated or truncated:
            return terminated, info["episode_record"]


def test_episodes_run_beside_other_traffic_and_nothing_is_written(write, make_env, tmp_path):
    cfg = write(BESIDE, settings=SETTINGS)
    before = files_in(tmp_path)
    env = make_env(sumo_cfg=cfg, hazard_injection=False, max_steps=300)

    seen = set()
    for _ in range(2):
        env.reset()
        for _ in range(300):
            _, _, _, truncated, info = env.step(NO_DEMAND)
            seen |= set(env._connection.vehicle_ids())
            if truncated:
                break
        assert info["episode_record"]["end_reason"] == "max_steps"
    env.close()

    assert env._traffic.convoy.ids == ("V001", "V002", "V003", "V004")
    assert {"truck_7", "bus", "flow_a.3", "crossing.0"} <= seen
    assert files_in(tmp_path) == before


def test_training_and_evaluation_work_and_say_once_what_is_ignored(write, tmp_path):
    cfg = write(BESIDE, settings=SETTINGS)
    before = files_in(tmp_path)
    command = [
        *(sys.executable, "-m", "ml.training.train_convoy", "--sumo_cfg", str(cfg)),
        *("--output_dir", str(tmp_path / "run"), "--total_timesteps", "256", "--n_steps", "256"),
        *("--n_envs", "1", "--eval_episodes", "1", "--skip_baselines", "--seed", "1"),
    ]

    result = subprocess.run(
        command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stderr.splitlines() if "sumocfg" in line]
    assert lines == [IGNORED]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["training"]["training_timesteps"] == 256
    written = files_in(tmp_path) - before
    assert written
    assert all((tmp_path / "run") in path.parents for path in written)


def test_a_vehicle_among_the_convoy_at_the_start_is_refused(write, make_env):
    cfg = write(
        '<vehicle id="truck_7" type="lorry" route="main" depart="0" departLane="1"'
        ' departPos="143" departSpeed="15"/>'
    )
    env = make_env(sumo_cfg=cfg)

    rule = "no other vehicle may stand among the convoy's cars at the start"
    with pytest.raises(ScenarioError, match=rule):
        env.reset(seed=0)


def test_a_vehicle_that_comes_between_later_truncates(write, make_env):
    # The leader is 31 m ahead of V003: a lorry on the next lane, told to merge, fits in between.
    cfg = write(
        '<vehicle id="merging" type="lorry" route="main" depart="0" departLane="0"'
        ' departPos="143" departSpeed="15"/>'
    )
    env = make_env(sumo_cfg=cfg, hazard_injection=False)
    env.reset(seed=1)
    for step in range(200):
        if step == 20:
            env._connection.vehicle.setLaneChangeMode("merging", 0)
            env._connection.vehicle.changeLane("merging", 1, 60.0)
        _, _, terminated, truncated, info = env.step(NO_DEMAND)
        if terminated or truncated:
            break

    assert (terminated, truncated) == (False, True)
    assert step >= 20
    assert info["episode_record"]["end_reason"] == "other_traffic"
    assert not info["episode_record"]["collision"]


def test_a_crossing_vehicle_that_hits_the_ego_truncates(write, make_env):
    # The ego does 15 m/s towards the crossing at 1,000 m; once it is 60 m away, a car that minds no
    # rule sets off so as to meet it there.
    cfg = write(
        '<vehicle id="rogue" type="car" depart="0" departPos="200"><route edges="s_m m_n"/>'
        "</vehicle>"
    )
    env = make_env(sumo_cfg=cfg, hazard_injection=False, max_steps=1000, ego_driver="none")
    env.reset(seed=1)
    vehicle = env._connection.vehicle
    vehicle.setSpeedMode("rogue", 0)
    vehicle.setSpeed("rogue", 0.0)
    is_sent = False
    terminated = truncated = False
    while not (terminated or truncated):
        ego_x_m = env.cars[0, 0]
        if not is_sent and ego_x_m > 1000.0 - 60.0:
            is_sent = True
            to_go_m = 300.0 - 4.8 - vehicle.getLanePosition("rogue")
            seconds = (1000.0 - ego_x_m) / env.cars[0, 2]
            vehicle.setSpeed("rogue", to_go_m / seconds)
        _, _, terminated, truncated, info = env.step(NO_DEMAND)

    assert is_sent
    assert info["episode_record"]["end_reason"] == "other_traffic"
    assert not terminated
    assert "V001" in env._connection.colliding_ids()
    assert "rogue" in env._connection.colliding_ids()


def test_a_detector_of_an_additional_file_writes_its_own_output(write, make_env, tmp_path):
    """What RoadSense does not prevent: detectors belong to the scenario's input."""
    cfg = write("", further_input='<additional-files value="detectors.add.xml"/>')
    (cfg.parent / "detectors.add.xml").write_text(
        '<additional><inductionLoop id="loop" lane="a_m_1" pos="300" period="5"'
        ' file="loop.xml"/></additional>'
    )
    env = make_env(sumo_cfg=cfg, hazard_injection=False, max_steps=100)
    run_to_the_end(env)
    env.close()

    assert (cfg.parent / "loop.xml").is_file()
