"""The environment on the real simulator: contract, seeds, physics and life cycle."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from ml.envs import ENVIRONMENT_ID
from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, RadioParameterError, ScenarioError, SimulatorError
from ml.types import (
    CAR_ACCELERATION,
    CAR_SPEED,
    CONTROL_PERIOD_S,
    SENSED_SPEED,
    TRACE_DEMAND,
    TRACE_SPEED,
)

NO_DEMAND = np.array([-1.0], dtype=np.float32)
FULL_DEMAND = np.array([1.0], dtype=np.float32)


def run_episode(env, action=NO_DEMAND, **options):
    """Run one episode under a constant action and return its record."""
    env.reset(options=options)
    while True:
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return info["episode_record"]


def trajectory_hash(env, num_episodes, num_steps=150, actions_seed=0):
    """Hash observations, rewards and infos of the first steps of some episodes."""
    digest = hashlib.sha256()
    actions = np.random.default_rng(actions_seed)
    for _ in range(num_episodes):
        observation, info = env.reset()
        for _ in range(num_steps):
            for name in sorted(observation):
                digest.update(observation[name].tobytes())
            digest.update(repr(info).encode())
            action = actions.uniform(-1.0, 0.2, 1).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            digest.update(np.float64(reward).tobytes())
            if terminated or truncated:
                break
    return digest.hexdigest()


# --- Contract --------------------------------------------------------------------------------


def test_gymnasium_finds_nothing_wrong(base_cfg):
    env = gym.make(ENVIRONMENT_ID, sumo_cfg=base_cfg, scenario_seed=1, max_steps=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check_env(env.unwrapped, skip_render_check=True, skip_close_check=False)
    env.close()


def test_stable_baselines3_has_no_advice_but_on_the_peers_shape(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=1, max_steps=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*peers.*unconventional shape.*")
        sb3_check_env(env)


def test_every_observation_lies_in_the_space(dataset_dir, make_env):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=2, max_steps=100)
    for _ in range(9):
        observation, _ = env.reset()
        assert env.observation_space.contains(observation)
        for _ in range(99):
            observation, *_ = env.step(NO_DEMAND)
            assert env.observation_space.contains(observation)


def test_reward_is_the_sum_of_its_terms(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=3)
    env.reset(options={"hazard": {"kind": "hard_stop", "source_rank": 1}})
    for _ in range(300):
        _, reward, terminated, _, info = env.step(NO_DEMAND)
        assert reward == pytest.approx(sum(info["reward_terms"].values()), abs=1e-12)
        if terminated:
            break


def test_step_before_reset_is_refused(base_cfg, make_env):
    with pytest.raises(ConfigError, match="step must follow reset"):
        make_env(sumo_cfg=base_cfg).step(NO_DEMAND)


@pytest.mark.parametrize("action", [np.array([np.nan]), np.array([0.0, 0.0]), np.array([np.inf])])
def test_an_action_that_is_no_number_is_refused(base_cfg, make_env, action):
    env = make_env(sumo_cfg=base_cfg)
    env.reset(seed=0)

    with pytest.raises(ConfigError, match="action must be one finite number"):
        env.step(action)


# --- Seeds -----------------------------------------------------------------------------------


def test_same_seed_gives_the_same_run(dataset_dir, make_env):
    first = make_env(dataset_dir=dataset_dir, scenario_seed=7)
    first_hash = trajectory_hash(first, num_episodes=4)
    first.close()
    second = make_env(dataset_dir=dataset_dir, scenario_seed=7)

    assert trajectory_hash(second, num_episodes=4) == first_hash


def test_another_seed_gives_another_run(dataset_dir, make_env):
    first = make_env(dataset_dir=dataset_dir, scenario_seed=7)
    first_hash = trajectory_hash(first, num_episodes=2)
    first.close()
    second = make_env(dataset_dir=dataset_dir, scenario_seed=8)

    assert trajectory_hash(second, num_episodes=2) != first_hash


def test_an_episode_is_the_same_whatever_came_before_it(dataset_dir, make_env):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=7, scenario_mode="eval")
    records = [run_episode(env) for _ in range(4)]

    assert run_episode(env, episode_index=2) == records[2]


def test_the_same_run_in_another_process(dataset_dir, make_env):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=7)
    here = trajectory_hash(env, num_episodes=2)
    code = (
        "from ml.tests.integration.test_convoy_env import *\n"
        f"env = ConvoyEnv(dataset_dir={str(dataset_dir)!r}, scenario_seed=7)\n"
        "print(trajectory_hash(env, num_episodes=2))"
    )

    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )

    assert there.stdout.strip() == here


def test_the_policy_does_not_change_what_the_channel_does(base_cfg, make_env, tmp_path):
    tiers = {f"rate_tier_{tier}": 0.3 for tier in (1, 2, 3)}
    loss = {"base_rate": 0.3, "max_range_m": 1000.0, **tiers}  # the same at every distance
    parameters = tmp_path / "radio.json"
    parameters.write_text(json.dumps({"packet_loss": loss}), encoding="utf-8")
    env = make_env(
        sumo_cfg=base_cfg,
        scenario_seed=4,
        scenario_mode="eval",
        emulator_params_path=parameters,
    )
    deliveries = []
    for action in (NO_DEMAND, np.array([0.3], dtype=np.float32)):
        env.reset(seed=4, options={"hazard": {"kind": "calm"}})
        for _ in range(60):
            env.step(action)
        deliveries.append(env.radio.statistics().frames_delivered.tolist())

    assert deliveries[0] == deliveries[1]


def test_evaluation_and_training_share_no_draws(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=4, scenario_mode="train")
    _, train_info = env.reset()
    env.set_eval_mode()
    _, eval_info = env.reset()

    assert train_info["headway_s"] != eval_info["headway_s"]


# --- Physics ---------------------------------------------------------------------------------


def test_zero_action_is_no_intervention(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=5)
    traces = []
    for action in (np.array([0.0]), np.array([-1.0]), np.array([-0.2])):
        env.reset(seed=5, options={"hazard": {"kind": "benign", "source_rank": 1}})
        for _ in range(200):
            env.step(action)
        traces.append(env.trace.copy())

    assert np.array_equal(traces[0], traces[1])
    assert np.array_equal(traces[0], traces[2])


def test_full_demand_brakes_at_8_mps2_after_dead_time_and_lag(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=5)
    env.reset(options={"hazard": {"kind": "calm"}, "friction_mps2": 9.0})
    accelerations = []
    for _ in range(12):
        env.step(FULL_DEMAND)
        accelerations.append(float(env.cars[0, CAR_ACCELERATION]))

    assert abs(accelerations[0]) < 0.5  # dead time of one step
    assert accelerations[1] < -1.0  # jerk-limited: 25 m/s^3 over 0.1 s is 1.25 on average
    assert accelerations[-1] == pytest.approx(-8.0, abs=0.1)


def test_the_driver_takes_over_again_after_a_demand(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=5)
    env.reset(options={"hazard": {"kind": "calm"}})
    for _ in range(10):
        env.step(FULL_DEMAND)
    slowed_mps = float(env.cars[0, CAR_SPEED])
    for _ in range(300):
        env.step(NO_DEMAND)

    assert float(env.cars[0, CAR_SPEED]) > slowed_mps + 3.0


@pytest.mark.parametrize("peer_driver", ["sumo", "delayed"])
@pytest.mark.parametrize("kind", ["hard_stop", "hard_resolve", "benign"])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_hazards_happen_as_asked(base_cfg, make_env, kind, rank, peer_driver):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6, peer_driver=peer_driver)
    deceleration = 2.0 if kind == "benign" else 7.5

    record = run_episode(
        env,
        hazard={
            "kind": kind,
            "source_rank": rank,
            "onset_s": 8.0,
            "deceleration_mps2": deceleration,
        },
        friction_mps2=9.0,
        headway_s=2.0,
    )

    assert record["hazard_is_realised"], record["hazard_failure"]
    assert record["hazard_source"] == f"V00{rank + 1}"
    assert record["hazard_onset_s"] == 8.0
    assert record["hazard_measured_deceleration_mps2"] == pytest.approx(deceleration, rel=0.05)
    assert record["headway_at_onset_s"] == pytest.approx(2.0 + 2.0 / 20.0, rel=0.1)
    assert record["age_at_onset_s"] is None or record["age_at_onset_s"] < 1.0


def test_a_resolved_hazard_drives_on_and_a_stop_stays(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6)
    final_speeds = {}
    for kind in ("hard_stop", "hard_resolve"):
        run_episode(
            env, hazard={"kind": kind, "source_rank": 2, "onset_s": 5.0, "hold_s": 0.5},
            headway_s=2.0,
        )  # fmt: skip
        final_speeds[kind] = float(env.cars[2, CAR_SPEED])

    assert final_speeds["hard_stop"] == 0.0
    assert final_speeds["hard_resolve"] > 15.0


def test_a_wet_road_limits_the_hazard_and_the_ego(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6)

    record = run_episode(
        env,
        FULL_DEMAND,
        hazard={"kind": "hard_stop", "source_rank": 1, "deceleration_mps2": 9.0, "onset_s": 5.0},
        friction_mps2=5.0,
    )

    assert record["hazard_requested_deceleration_mps2"] == 5.0
    assert np.diff(env.trace[:, TRACE_SPEED]).min() >= -5.0 * CONTROL_PERIOD_S - 1e-6
    assert env.trace[:, TRACE_DEMAND].max() == 8.0


def test_a_slow_source_brakes_only_where_its_least_speed_allows_it(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=3, max_steps=120)
    asked = {"kind": "hard_stop", "source_rank": 1, "onset_s": 5.0, "deceleration_mps2": 4.0}

    refused = run_episode(env, hazard={**asked, "min_speed_mps": 30.0})
    allowed = run_episode(env, hazard={**asked, "min_speed_mps": 0.5})

    assert refused["hazard_failure"] == "the source drove below 30 m/s at the onset"
    assert allowed["hazard_is_realised"]


def test_a_bystander_is_heard_and_in_nobodys_way(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=3, scenario_mode="eval", max_steps=150)
    options = {"hazard": {"kind": "calm"}, "episode_index": 0}
    bystander = {"ahead_m": 10.0, "left_m": 3.2, "onset_s": 5.0, "deceleration_mps2": 8.0}
    alone = run_episode(env, **options)
    trace_alone = env.trace.copy()

    beside = run_episode(env, **options, bystander=bystander)

    assert np.array_equal(env.trace, trace_alone)
    assert env.radio.heard.shape[0] == 6  # the ego, four peers, the bystander
    assert env.radio.heard[5, SENSED_SPEED] == pytest.approx(0.0, abs=2.0)  # 0.43 m/s of noise
    assert beside["collision"] is alone["collision"] is False


def test_a_hazard_that_cannot_happen_says_why(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6, max_steps=60)

    record = run_episode(env, hazard={"kind": "hard_stop", "source_rank": 1, "onset_s": 30.0})

    assert not record["hazard_is_realised"]
    assert record["hazard_failure"] == "the episode ended before the onset"


def test_contact_is_what_sumo_finds_too(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6, ego_driver="none")
    num_contacts = 0
    for episode in range(10):
        env.reset(options={"hazard": {"kind": "hard_stop", "source_rank": 1 + episode % 4}})
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step(NO_DEMAND)
            colliding = env._connection.colliding_ids()
            assert ("V001" in colliding) == terminated
        num_contacts += terminated

    assert num_contacts == 10


def test_impact_speed_of_an_undriven_ego_is_the_closing_speed(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=6, ego_driver="none")

    record = run_episode(
        env,
        hazard={
            "kind": "hard_stop",
            "source_rank": 1,
            "onset_s": 5.0,
            "deceleration_mps2": 8.0,
        },
        headway_s=2.0,
        friction_mps2=9.0,
    )

    # 40 m of stopping distance and 42 m of gap: the lead stands when the ego arrives at 20 m/s.
    assert record["collision"]
    assert record["impact_speed_mps"] == pytest.approx(20.0, abs=0.6)


def test_peers_that_touch_go_on_as_one_and_are_reported(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, peer_driver="delayed", scenario_seed=1)
    seen = []
    for _ in range(30):
        env.reset(
            options={
                "hazard": {"kind": "hard_stop", "source_rank": 4, "deceleration_mps2": 9.5},
                "friction_mps2": 9.8,
            }
        )
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, info = env.step(FULL_DEMAND)
            for rank, ahead in info.get("peer_contacts", ()):
                seen.append((rank, ahead))
                assert env.cars[rank, CAR_SPEED] == pytest.approx(env.cars[ahead, CAR_SPEED])
        if seen:
            assert info["episode_record"]["peer_contacts"] == len(seen)
            return
    pytest.fail("no peer collided in 30 episodes of a hard stop ahead of delayed drivers")


@pytest.mark.slow
@pytest.mark.parametrize("num_episodes", [300, pytest.param(3000, marks=pytest.mark.slow_suite)])
def test_the_driver_alone_never_crashes_in_calm_and_benign_traffic(
    large_dataset_dir, make_env, num_episodes
):
    env = make_env(dataset_dir=large_dataset_dir, scenario_seed=9, max_steps=250)
    num_collisions = 0
    for episode in range(num_episodes):
        kind = "calm" if episode % 2 else "benign"
        _, info = env.reset()
        if info["num_peers"] and info["convoy_speed_mps"] > 5.0:
            env._traffic.plan = env._draw_hazard(
                np.random.default_rng(episode), {"hazard": {"kind": kind}}
            )
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step(NO_DEMAND)
        num_collisions += terminated

    assert num_collisions == 0


@pytest.mark.parametrize("headway_s", [0.4, 1.0, 2.0])
def test_the_driver_keeps_its_time_gap_for_20_s(base_cfg, make_env, headway_s):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=9)
    env.reset(options={"hazard": {"kind": "calm"}, "headway_s": headway_s})
    for _ in range(200):
        env.step(NO_DEMAND)

    time_gap_s = (env._traffic.lead_gap_m - 2.0) / env.cars[0, CAR_SPEED]
    assert time_gap_s == pytest.approx(headway_s, rel=0.1)


# --- Life cycle ------------------------------------------------------------------------------


@pytest.mark.slow
def test_1000_resets_leave_no_process_and_no_open_file(dataset_dir, make_env):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=1, max_steps=5)
    env.reset()
    files_before = _num_open_files()
    children_before = _num_children()
    for _ in range(1000):
        env.reset()
        env.step(NO_DEMAND)

    assert _num_open_files() == files_before
    assert _num_children() == children_before


def _num_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def _num_children():
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return len(children.read_text(encoding="ascii").split())


def test_close_twice_is_harmless_and_reset_opens_again(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg)
    env.reset(seed=0)
    env.close()
    env.close()

    env.reset(seed=0)
    env.step(NO_DEMAND)


def test_a_forgotten_environment_closes_when_collected(base_cfg, make_env):
    env = ConvoyEnv(sumo_cfg=base_cfg)
    env.reset(seed=0)
    del env
    gc.collect()

    make_env(sumo_cfg=base_cfg).reset(seed=0)


def test_a_second_environment_in_one_process_is_refused(base_cfg, make_env):
    make_env(sumo_cfg=base_cfg).reset(seed=0)

    with pytest.raises(SimulatorError, match="one simulation per process"):
        make_env(sumo_cfg=base_cfg).reset(seed=0)


def test_an_exception_in_reset_closes_the_simulation(base_cfg, make_env):
    broken = make_env(sumo_cfg=base_cfg)
    with pytest.raises(ConfigError, match="source_rank"):
        broken.reset(options={"hazard": {"kind": "hard_stop", "source_rank": 7}})

    make_env(sumo_cfg=base_cfg).reset(seed=0)


def test_ctrl_c_ends_the_process_at_once(base_cfg, start_interruptible):
    code = (
        "from ml.envs.convoy_env import ConvoyEnv; import numpy as np\n"
        f"env = ConvoyEnv(sumo_cfg={str(base_cfg)!r}, scenario_seed=0)\n"
        "env.reset(); print('ready', flush=True)\n"
        "while True:\n"
        "    *_, terminated, truncated, _ = env.step(np.array([-1.0]))\n"
        "    if terminated or truncated: env.reset()\n"
    )
    process = start_interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == "ready"
    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0


# --- Bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ConfigError, "exactly one of sumo_cfg and dataset_dir"),
        ({"sumo_cfg": "nowhere.sumocfg"}, ScenarioError, "must be an existing .sumocfg file"),
        ({"dataset_dir": "nowhere"}, ScenarioError, "nowhere"),
        ({"max_steps": 0}, ConfigError, "max_steps must be in"),
        ({"max_steps": 1.5}, ConfigError, "max_steps must be an integer"),
        ({"scenario_mode": "test"}, ConfigError, "scenario_mode must be"),
        ({"scenario_seed": -1}, ConfigError, "scenario_seed must be in"),
        ({"ego_driver": "humna"}, ConfigError, "Did you mean 'human'"),
        ({"render_mode": "ascii"}, ConfigError, "render_mode must be"),
        ({"emulator_params_path": "nowhere.json"}, RadioParameterError, "nowhere.json"),
    ],
)
def test_bad_arguments_are_refused_by_name(base_cfg, arguments, error, message):
    if not {"sumo_cfg", "dataset_dir"} & arguments.keys() and arguments:
        arguments = {"sumo_cfg": base_cfg, **arguments}
    with pytest.raises(error, match=message):
        ConvoyEnv(**arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hazrd": {}}, "Did you mean 'hazard'"),
        ({"hazard": {"knd": "calm"}}, "Did you mean 'kind'"),
        ({"hazard": {"kind": "hard_stp"}}, "Did you mean 'hard_stop'"),
        ({"hazard": {"kind": "hard_stop", "source_rank": 9}}, "source_rank must be in"),
        ({"hazard": {"kind": "hard_stop", "onset_s": float("nan")}}, "onset_s must be in"),
        ({"hazard": 3}, "hazard must be a dict"),
        ({"headway_s": -1.0}, "headway_s must be in"),
        ({"headway_s": "1"}, "headway_s must be a number"),
        ({"episode_index": -1}, "episode_index must be an integer"),
        ({"scenario_id": "train_999"}, "scenario_id must be"),
    ],
)
def test_bad_reset_options_are_refused_by_name(base_cfg, make_env, options, message):
    with pytest.raises(ConfigError, match=message):
        make_env(sumo_cfg=base_cfg).reset(options=options)


def _write_scenario(folder, base_cfg, edit):
    for name in ("network.net.xml", "vehicles.rou.xml", "scenario.sumocfg"):
        text = (base_cfg.parent / name).read_text(encoding="utf-8")
        (folder / name).write_text(edit(name, text), encoding="utf-8")
    return folder / "scenario.sumocfg"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id="V001"', 'id="X001"', "must hold a vehicle V001"),
        ('id="V001" type="ego" route="convoy" depart="0"',
         'id="V001" type="ego" route="convoy" depart="5"', "depart of V001"),
        ("</routes>", "", "well-formed XML"),
        ('edges="forward"', 'edges="nowhere"', "SUMO cannot load"),
        ('departPos="93.500"', 'departPos="70.000"', "overlap at the start"),
    ],
)  # fmt: skip
def test_a_broken_scenario_is_refused_in_one_line(
    tmp_path, base_cfg, make_env, old, new, message
):  # fmt: skip
    scenario = _write_scenario(
        tmp_path,
        base_cfg,
        lambda name, text: text.replace(old, new) if name == "vehicles.rou.xml" else text,
    )
    with pytest.raises(ScenarioError, match=message) as caught:
        make_env(sumo_cfg=scenario).reset(seed=0)
    assert "\n" not in str(caught.value)
