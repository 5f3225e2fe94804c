"""The cases of a protocol on the real simulator: they open, and what they ask for happens."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.scenario_manager import ScenarioManager, scenario_content_hash
from ml.errors import RecordError, ScenarioError
from ml.evaluation.families import cases_of, scenario_plans_of
from ml.evaluation.protocol import load_protocol, radio_preset_path
from ml.evaluation.protocol_scenarios import default_scenario_cache, write_protocol_scenarios
from ml.policies.baselines import make_scripted_policy
from ml.types import CAR_SPEED, TRACE_LEAD_SPEED

SMOKE = load_protocol("smoke")
SMOKE_CASES = {case.case_id: case for case in cases_of(SMOKE)}
RELEASE_CASES = {case.case_id: case for case in cases_of(load_protocol("release"))}
NO_DEMAND = np.array([-1.0], dtype=np.float32)


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    """The scenarios of the smoke protocol."""
    return write_protocol_scenarios(SMOKE, tmp_path_factory.mktemp("protocols"))


@pytest.fixture(scope="module")
def corner_scenarios(tmp_path_factory):
    """The scenarios of families D and N of the release protocol."""
    release = load_protocol("release")
    families = {letter: release.families[letter] for letter in "DN"}
    corners = dataclasses.replace(release, families=families)
    return write_protocol_scenarios(corners, tmp_path_factory.mktemp("protocols"))


@pytest.fixture(scope="module")
def open_env(dataset_dir):
    """Open environments as an evaluation does; the last one stays open, for SUMO allows one.

    The dataset of training scenarios is made before, for that needs SUMO too.
    """
    del dataset_dir
    opened = {}

    def open_one(dataset_dir, preset="nominal", ego_driver="human"):
        key = dataset_dir, preset, ego_driver
        if key not in opened:
            close()
            opened[key] = ConvoyEnv(
                dataset_dir=dataset_dir, scenario_mode="eval", scenario_seed=SMOKE.seed,
                emulator_params_path=radio_preset_path(preset), max_steps=1000,
                ego_driver=ego_driver,
            )  # fmt: skip
        return opened[key]

    def close():
        for env in opened.values():
            env.close()
        opened.clear()

    yield open_one
    close()


def begin(env, case):
    env.max_steps = case.max_steps
    observation, _ = env.reset(options={**case.options, "scenario_id": case.scenario_id})
    return observation


def play(env, case, policy=None):
    """Play a case without assistance, or under a scripted policy, and return its record."""
    observation = begin(env, case)
    while True:
        action = NO_DEMAND if policy is None else policy.predict(observation)[0]
        observation, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return info["episode_record"]


# --- The cases happen as asked ---------------------------------------------------------------


@pytest.mark.parametrize("case_id", SMOKE_CASES)
def test_every_smoke_case_happens_as_asked(scenarios, open_env, case_id):
    case = SMOKE_CASES[case_id]

    record = play(open_env(scenarios), case)

    assert record["hazard_is_realised"], record["hazard_failure"]
    assert record["end_reason"] in {"max_steps", "contact"}
    assert record["num_peers"] == case.design["num_peers"]
    assert record["convoy_speed_mps"] == pytest.approx(case.design["speed_mps"], abs=1e-5)
    assert record["friction_mps2"] == 9.8
    assert record["hazard_source_rank"] == case.design.get("source_rank")
    assert record["hazard_requested_deceleration_mps2"] == case.design.get("deceleration_mps2")


@pytest.mark.parametrize(
    "case_id",
    ["D-v012_0-g0_050", "D-v012_0-g0_950", "D-v018_0-g0_950", "D-v128_0-g0_050", "D-v128_0-g0_950"],
)
def test_corners_of_the_grid_happen_as_asked(corner_scenarios, open_env, case_id):
    case = RELEASE_CASES[case_id]
    env = open_env(corner_scenarios)

    record = play(env, case)

    assert record["hazard_is_realised"], record["hazard_failure"]
    assert record["headway_at_onset_s"] == pytest.approx(case.design["headway_s"], rel=0.02)
    assert record["end_reason"] == "contact" or env.cars[1, CAR_SPEED] == 0.0


@pytest.mark.parametrize(
    ("case_id", "gap_m"),
    [
        ("N-gap12_d2-0000", 12.0),
        ("N-gap40_d6-0000", 40.0),
        ("N-v30-0000", 30 / 3.6),
        ("N-v80-0000", 80 / 3.6),
    ],
)
def test_the_gap_at_the_onset_is_that_of_the_consumer_test(
    corner_scenarios, open_env, case_id, gap_m
):
    record = play(open_env(corner_scenarios), RELEASE_CASES[case_id])

    # The headway at the onset is gap by speed, and the speed is that of the case.
    speed_mps = RELEASE_CASES[case_id].design["speed_mps"]
    assert record["headway_at_onset_s"] * speed_mps == pytest.approx(gap_m, rel=0.02)
    assert record["hazard_is_realised"]


def test_the_car_ahead_keeps_its_speed_exactly_until_it_brakes(corner_scenarios, open_env):
    case = RELEASE_CASES["D-v128_0-g0_950"]
    env = open_env(corner_scenarios)
    play(env, case)

    # It begins to brake at 5 s, so the speed after 50 steps of 0.1 s is still the case's.
    lead_speeds_mps = env.trace[:50, TRACE_LEAD_SPEED]
    assert lead_speeds_mps == pytest.approx(128 / 3.6, abs=1e-5)
    assert env.trace[50, TRACE_LEAD_SPEED] < 35.5


def test_a_deaf_ego_that_never_brakes_crashes_in_the_shortest_gap(corner_scenarios, open_env):
    env = open_env(corner_scenarios, ego_driver="none")

    assert play(env, RELEASE_CASES["N-gap12_d6-0000"])["collision"]
    assert play(env, RELEASE_CASES["D-v128_0-g0_950"])["collision"]


# --- What the variants are about -------------------------------------------------------------


def test_a_late_relay_is_all_that_the_ego_hears_of_the_car(scenarios, open_env):
    case = SMOKE_CASES["C-stale_relay-0000"]
    env = open_env(scenarios, preset="roof")
    play(env, case)

    # A frame 25 of 0.1 s old, and at most a few missed ones.
    assert 2.5 <= env.radio.true_age_s[case.design["source_rank"]] < 4.0


def test_relays_bring_the_same_frames_in_time(scenarios, open_env):
    case = SMOKE_CASES["C-stale_relay-0000"]
    env = open_env(scenarios, preset="in_car_relays")
    play(env, case)

    assert env.radio.statistics().frames_accepted_relayed[case.design["source_rank"]] > 20


@pytest.mark.parametrize("variant", ["behind", "next_lane"])
def test_the_bystander_is_heard_braking(scenarios, open_env, variant):
    case = SMOKE_CASES[f"C-{variant}-0000"]
    env = open_env(scenarios)
    begin(env, case)
    lowest = []
    while env.trace.shape[0] < 100:
        env.step(NO_DEMAND)
        lowest.append(env.radio.heard[-1, 5])  # lowest acceleration within the last second

    assert env.radio.heard.shape[0] == case.design["num_peers"] + 2
    assert min(lowest) < -5.0  # at least 6.4 m/s^2, noise of 0.4


def test_a_sender_behind_gives_the_rule_no_alarm(scenarios, open_env):
    env = open_env(scenarios)

    record = play(env, SMOKE_CASES["C-behind-0000"], make_scripted_policy("eebl"))

    assert record["false_alarms_1mps2"] == 0


def test_what_is_cut_off_is_not_heard(scenarios, open_env):
    env = open_env(scenarios)
    record = play(env, SMOKE_CASES["R-only_second_heard-0000"])
    heard_between = play(env, SMOKE_CASES["R-unequipped_between-0000"])

    assert all(fault.startswith("blackout:car=") for fault in record["radio_faults"])
    assert heard_between["radio_faults"] == ["unequipped:car=1"]
    assert env.radio.statistics().frames_sent[1] == 0


def test_cars_between_run_into_each_other_somewhere_in_the_multi_hop_family(scenarios, open_env):
    env = open_env(scenarios)
    cases = [case for case in SMOKE_CASES.values() if case.family == "M"]

    assert sum(play(env, case)["peer_contacts"] for case in cases) > 0


def test_a_case_is_the_same_in_any_order(scenarios, open_env):
    env = open_env(scenarios)
    case = SMOKE_CASES["H-n3-r2-0000"]
    first = play(env, case)
    play(env, SMOKE_CASES["R-replay-0000"])

    assert play(env, case) == first


# --- The dataset -----------------------------------------------------------------------------


def test_the_dataset_verifies_and_is_found_again(scenarios):
    manager = ScenarioManager(scenarios, seed=1, mode="eval")
    manager.verify_all()

    assert manager.get_scenario_count() == len(scenario_plans_of(SMOKE))
    assert write_protocol_scenarios(SMOKE, scenarios.parent) == scenarios
    assert [path.name for path in scenarios.parent.iterdir()] == [scenarios.name]


def test_another_protocol_has_another_folder(scenarios, tmp_path):
    other = write_protocol_scenarios(dataclasses.replace(SMOKE, seed=1), tmp_path)

    assert other.name != scenarios.name


# The name is the hash of the content: another name is other scenarios under the same protocol.
def test_the_smoke_scenarios_are_frozen(scenarios):
    assert scenarios.name == "50d59962a10a3c08"


def test_no_scenario_is_one_of_training(scenarios, dataset_dir):
    manifest = json.loads((dataset_dir / "manifest.json").read_text())
    training = {manifest["scenarios"][name]["hash"] for name in manifest["train_scenarios"]}
    cases = {scenario_content_hash(path) for path in scenarios.glob("eval/*/scenario.sumocfg")}

    assert len(training) == 18
    assert len(cases) == len(scenario_plans_of(SMOKE))
    assert not training & cases


def test_the_cache_is_where_the_desktop_keeps_such_files(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert default_scenario_cache() == tmp_path / "roadsense" / "protocols"
    assert write_protocol_scenarios(SMOKE).parent == default_scenario_cache()


def test_several_processes_make_the_same_folder_at_once(tmp_path, scenarios):
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        folders = pool.starmap(write_protocol_scenarios, [(SMOKE, tmp_path)] * 3)

    assert folders == [tmp_path / scenarios.name] * 3
    assert [path.name for path in tmp_path.iterdir()] == [scenarios.name]
    ScenarioManager(folders[0], seed=1, mode="eval").verify_all()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RecordError, match=r"the folder of scenarios .* Set XDG_CACHE_HOME"):
        write_protocol_scenarios(SMOKE, tmp_path / "file" / "cache")


def test_a_road_that_is_too_short_is_said(tmp_path):
    long = dataclasses.replace(SMOKE, episode_s=300.0)

    with pytest.raises(ScenarioError, match="must fit the road base_test_track of 6000 m"):
        write_protocol_scenarios(long, tmp_path)
