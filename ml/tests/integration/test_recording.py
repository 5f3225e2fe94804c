"""Recordings of real episodes: against the episode itself, the radio's counts and the road."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest

from ml.envs.sumo_connection import Lane
from ml.errors import ConfigError
from ml.espnow_emulator import DEFAULT_PARAMETERS_PATH
from ml.espnow_emulator.fault_requests import fault_from_text
from ml.espnow_emulator.presets import preset_path
from ml.evaluation.episodes import run_episode
from ml.evaluation.recording import ROAD_MARGIN_M, lanes_near, record_episode
from ml.evaluation.recording_file import read_recording, write_recording
from ml.policies.baselines import make_scripted_policy
from ml.records import json_ready
from ml.tests.unit.counting_env import CountingEnv

EEBL = make_scripted_policy("eebl")
HARD_STOP = {"hazard": {"kind": "hard_stop", "source_rank": 2, "onset_s": 3.0}}


@pytest.fixture(scope="module")
def relay_file(tmp_path_factory):
    """The default radio with two relays, and nothing heard directly beyond 50 m."""
    content = json.loads(DEFAULT_PARAMETERS_PATH.read_text())
    content["relay"] = {"max_relay_hops": 2}
    content["packet_loss"]["max_range_m"] = 50.0
    path = tmp_path_factory.mktemp("radio") / "relays.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def make_base_env(base_cfg, make_env):
    def make(**more):
        return make_env(
            sumo_cfg=base_cfg, scenario_seed=6, scenario_mode="eval", max_steps=100, **more
        )

    return make


def counts_by_sender(recording, *fates):
    counted = collections.Counter(
        message["sender"] for message in recording["messages"] if message["fate"] in fates
    )
    return [counted[car["rank"]] for car in recording["cars"]]


# --- Against the episode ---------------------------------------------------------------------


@pytest.mark.parametrize("peer_driver", ["sumo", "delayed"])
def test_the_record_is_that_of_an_episode_that_is_not_recorded(make_base_env, peer_driver):
    env = make_base_env(peer_driver=peer_driver)
    expected = [run_episode(EEBL, env, 5, {**HARD_STOP, "episode_index": 5}) for _ in range(2)]
    trace = env.trace.copy()

    recording = record_episode(EEBL, env, {**HARD_STOP, "episode_index": 5})

    assert recording["record"] == json_ready(expected[0])
    assert np.array_equal(env.trace, trace)
    assert run_episode(EEBL, env, 5, {**HARD_STOP, "episode_index": 5}) == expected[1]


def test_the_series_are_what_happened(make_base_env):
    env = make_base_env()
    recording = record_episode(EEBL, env, HARD_STOP, {"policy": "eebl", "case_id": "H-1"})
    cars, ego, trace = recording["cars"], recording["ego"], env.trace

    assert [car["id"] for car in cars] == ["V001", "V002", "V003", "V004", "V005"]
    assert {len(car[name]) for car in cars for name in ("x_m", "heading_rad")} == {100}
    assert [recording[name] for name in ("policy", "radio_preset", "case_id", "onset_s")] == [
        "eebl", None, "H-1", 3.0
    ]  # fmt: skip
    # columns of ml.types: 1 speed, 2 acceleration, 3 gap, 6 demand, 7 driver's command, 8 oracle
    assert cars[0]["speed_mps"] == pytest.approx(trace[:, 1], abs=6e-4)
    assert cars[0]["acceleration_mps2"] == pytest.approx(trace[:, 2], abs=6e-4)
    assert ego["gap_m"] == pytest.approx(trace[:, 3], abs=6e-4)
    assert ego["demand_mps2"] == pytest.approx(trace[:, 6], abs=6e-4)
    assert ego["driver_command_mps2"] == pytest.approx(trace[:, 7], abs=6e-4)
    assert ego["oracle_demand_mps2"] == pytest.approx(trace[:, 8], abs=6e-4)
    # on a straight road the gap is what lies between the front bumper and the next car's rear
    apart_m = np.hypot(
        np.array(cars[1]["x_m"]) - cars[0]["x_m"], np.array(cars[1]["y_m"]) - cars[0]["y_m"]
    )
    assert apart_m - cars[1]["length_m"] == pytest.approx(ego["gap_m"], abs=3e-3)


def test_without_options_the_next_episode_of_the_environment_is_recorded(dataset_dir, make_env):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=6, scenario_mode="eval", max_steps=5)
    indices = [record_episode(EEBL, env)["record"]["episode_index"] for _ in range(2)]

    assert indices == [0, 1]


def test_frames_are_kept_from_the_next_reset_on(make_base_env):
    env = make_base_env()
    env.reset()
    env.step(EEBL.predict(env.observation_space.sample())[0])
    assert env.frames == ()

    env.keep_frames()
    with pytest.raises(ConfigError, match="step must follow reset"):
        env.step(np.zeros(1))
    env.reset()

    # four peers at 10 Hz for the 2 s of warm-up
    assert [sum(frame.sender == rank for frame in env.frames) for rank in range(1, 5)] == [20] * 4


def test_another_environment_is_refused():
    with pytest.raises(ConfigError, match="env must be a ConvoyEnv"):
        record_episode(EEBL, CountingEnv())


# --- Against the radio -----------------------------------------------------------------------


@pytest.mark.parametrize("radio", ["default", "roof", "relays"])
def test_fates_agree_with_the_radios_own_counts(make_base_env, relay_file, radio):
    path = {"default": None, "roof": preset_path("roof"), "relays": relay_file}[radio]
    env = make_base_env(emulator_params_path=path)
    recording = record_episode(EEBL, env, HARD_STOP)
    counts = env.radio.statistics()

    sent = counts_by_sender(recording, "delivered", "stale", "relayed", "lost")
    direct = collections.Counter(
        message["sender"]
        for message in recording["messages"]
        if message["received_s"] is not None and message["hops"] == 0
    )
    assert sent == counts.frames_sent.tolist()
    assert [direct[rank] for rank in range(5)] == counts.frames_delivered.tolist()
    ratio = sum(direct.values()) / len(recording["messages"])
    assert ratio == pytest.approx(recording["record"]["radio_delivery_ratio"], rel=1e-12)


def test_relays_bring_what_the_range_does_not_allow(make_base_env, relay_file):
    recording = record_episode(EEBL, make_base_env(emulator_params_path=relay_file), HARD_STOP)

    # 20 m/s: the first car is within 50 m, the fourth never is
    assert counts_by_sender(recording, "delivered")[4] == 0
    assert counts_by_sender(recording, "delivered")[1] > 80
    assert counts_by_sender(recording, "relayed")[2] > 10
    hops = {m["hops"] for m in recording["messages"] if m["fate"] == "relayed"}
    assert hops == {1, 2}


def test_a_frame_that_comes_later_than_the_staleness_threshold_is_stale(make_base_env, tmp_path):
    content = json.loads(DEFAULT_PARAMETERS_PATH.read_text())
    content["latency"] |= {"base_ms": 600.0, "distance_factor": 0.0, "jitter_std_ms": 0.0}
    (tmp_path / "late.json").write_text(json.dumps(content))  # the threshold is 500 ms
    recording = record_episode(EEBL, make_base_env(emulator_params_path=tmp_path / "late.json"))

    came = [message for message in recording["messages"] if message["received_s"] is not None]
    assert len(came) > 200
    assert {message["fate"] for message in came} == {"stale"}
    delays_s = [message["received_s"] - message["sent_s"] for message in came]
    assert delays_s == pytest.approx([0.6] * len(came), abs=1.1e-3)


def test_a_black_out_loses_every_frame_and_ages_what_is_held(make_base_env):
    fault = fault_from_text("blackout:car=1,start_s=2,duration_s=3")
    recording = record_episode(
        EEBL, make_base_env(radio_faults=(fault,)), {"hazard": {"kind": "calm"}}
    )

    inside = [m for m in recording["messages"] if m["sender"] == 1 and 2.0 < m["sent_s"] < 4.999]
    assert len(inside) == 30  # at 10 Hz
    assert {m["fate"] for m in inside} == {"lost"}
    ages_s, is_fresh = recording["heard"][0]["age_s"], recording["heard"][0]["is_fresh"]
    # at 4.9 s the newest state is from before 2 s: 2.9 s, and up to a few lost frames more
    assert 2.9 <= ages_s[48] < 4.0
    assert is_fresh[48] == 0
    assert is_fresh[10] == 1


def test_a_car_never_heard_has_no_age(make_base_env):
    fault = fault_from_text("unequipped:car=1")
    recording = record_episode(
        EEBL, make_base_env(radio_faults=(fault,)), {"hazard": {"kind": "calm"}}
    )

    assert set(recording["heard"][0]["age_s"]) == {None}
    assert counts_by_sender(recording, "delivered", "lost", "stale")[1] == 0


# --- The road --------------------------------------------------------------------------------


def test_every_car_is_on_the_road_that_was_kept(make_base_env):
    recording = record_episode(EEBL, make_base_env(), HARD_STOP)
    lanes = [np.array(lane["points_m"]) for lane in recording["road"]["lanes"]]
    places = np.array([[car["x_m"][::20], car["y_m"][::20]] for car in recording["cars"]])
    places = places.transpose(0, 2, 1).reshape(-1, 2)

    off_m = np.min([distances_m(places, points) for points in lanes], axis=0)
    assert off_m.max() < 0.1
    assert max(np.abs(points).max() for points in lanes) < 1000.0  # of a road of 6.5 km


def distances_m(places, points):
    """Return the distance of each place from a line of points."""
    starts, steps = points[:-1], np.diff(points, axis=0)
    shares = ((places[:, None] - starts) * steps).sum(axis=2) / (steps**2).sum(axis=1)
    feet = starts + np.clip(shares, 0.0, 1.0)[..., None] * steps
    return np.linalg.norm(places[:, None] - feet, axis=2).min(axis=1)


def test_a_lane_is_cut_to_the_stretch_near_the_cars():
    straight = Lane(3.2, np.array([[0.0, 0.0], [1000.0, 0.0]]))
    bent = Lane(3.2, np.array([[400.0, 5.0], [500.0, 5.0], [500.0, 70.0]]))
    far = Lane(3.2, np.array([[0.0, 500.0], [1000.0, 500.0]]))

    pieces = lanes_near([straight, bent, far], np.array([[500.0, 0.0]]))

    assert [piece["points_m"] for piece in pieces] == [
        [[500.0 - ROAD_MARGIN_M, 0.0], [500.0 + ROAD_MARGIN_M, 0.0]],
        # Points every 10 m and every 65 / 7 m; (450, 5) and (500, 5 + 5 * 65 / 7) are the last
        # within 60 m of (500, 0). The corner stays.
        [[450.0, 5.0], [500.0, 5.0], [500.0, 51.429]],
    ]


# --- Files -----------------------------------------------------------------------------------


def test_a_recording_is_small_and_comes_back_as_it_was(dataset_dir, make_env, tmp_path):
    env = make_env(dataset_dir=dataset_dir, scenario_seed=6, scenario_mode="eval", max_steps=300)
    recordings = [record_episode(EEBL, env) for _ in range(9)]
    largest = max(recordings, key=lambda recording: len(recording["cars"]))
    write_recording(tmp_path / "r.json", largest)

    assert len(largest["cars"]) == 9
    assert len(largest["ego"]["gap_m"]) == 300
    assert (tmp_path / "r.json").stat().st_size < 200_000
    assert read_recording(tmp_path / "r.json") == largest
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
