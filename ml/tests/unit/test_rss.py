"""Age-aware RSS: its distance, and that the age counts once."""

from __future__ import annotations

import numpy as np
import pytest

from ml.envs.observation import EGO_FEATURES, PEER_FEATURES
from ml.policies import rss
from ml.policies.rss import rss_demand_mps2, rss_distance_m
from ml.types import MAX_PEERS, NUM_HISTORY_SAMPLES

PEER_NAMES = [feature.name for feature in PEER_FEATURES]


def make_observation(*peers, speeds=20.0):
    values = np.zeros((MAX_PEERS, len(PEER_FEATURES)), dtype=np.float32)
    mask = np.zeros(MAX_PEERS, dtype=np.float32)
    for slot, peer in enumerate(peers):
        mask[slot] = 1.0
        for name, value in peer.items():
            values[slot, PEER_NAMES.index(name)] = value
    ego = np.zeros(len(EGO_FEATURES), dtype=np.float32)
    ego[:NUM_HISTORY_SAMPLES] = speeds
    return {"ego": ego, "peers": values, "peer_mask": mask}


def test_the_formula_gives_the_reference_value(monkeypatch):
    # 20 * 1 + 3.5 / 2 + 23.5^2 / 8 - 20^2 / 16 = 20 + 1.75 + 69.031 - 25 = 65.781 m
    monkeypatch.setattr(rss, "RSS_ACCELERATION_MPS2", 3.5)
    monkeypatch.setattr(rss, "MAX_DEMAND_MPS2", 4.0)
    monkeypatch.setattr(rss, "RSS_LEAD_BRAKING_MPS2", 8.0)

    assert rss_distance_m(20.0, 20.0, 1.0) == pytest.approx(65.78125)


def test_behind_a_much_faster_car_no_distance_is_needed():
    assert rss_distance_m(10.0, 40.0, 0.4) == 0.0


# At 20 m/s and no age: rho = 0.4 s, 20.8 m/s reached;
# 20.4 * 0.4 + 20.8^2 / 16 - 400 / 19.6 = 8.16 + 27.04 - 20.408 = 14.792 m, and 4.5 m of car.
FRESH_M = 4.5 + 14.792


@pytest.mark.parametrize(
    ("forward_m", "expected"), [(FRESH_M - 0.01, 8.0), (FRESH_M + 0.01, 0.0), (-5.0, 0.0)]
)
def test_full_braking_below_the_safe_distance(forward_m, expected):
    assert rss_demand_mps2(make_observation({"forward_offset": forward_m})) == expected


# Age 0.6 s: rho = 1.0 s, 22 m/s reached; 21 + 22^2 / 16 - 20.408 = 30.842 m. At equal, constant
# speeds the gap of the sample is that of now.
@pytest.mark.parametrize(
    "age", [{"time_since_reception": 0.6}, {"time_since_reception": 0.4, "state_age": 0.2}]
)
@pytest.mark.parametrize(("offset_m", "expected"), [(-0.01, 8.0), (0.01, 0.0)])
def test_the_age_adds_to_the_reaction_time(age, offset_m, expected):
    peer = {"forward_offset": 4.5 + 30.842 + offset_m, **age}

    assert rss_demand_mps2(make_observation(peer)) == expected


# The peer brakes by 5 m/s^2 and is 0.4 s old: the observation has moved it by
# 20 * 0.4 - 0.5 * 5 * 0.16 = 7.6 m. The ego, slowing from 22 to 20 m/s, drove 8.4 m since.
# So the sample's gap is the shown one + 0.8 m; rho = 0.8 s, from 22 m/s 23.6 reached:
# 22.8 * 0.8 + 23.6^2 / 16 - 20.408 = 18.24 + 34.81 - 20.408 = 32.642 m.
@pytest.mark.parametrize(("offset_m", "expected"), [(-0.01, 8.0), (0.01, 0.0)])
def test_the_gap_is_that_of_the_instant_of_the_sample(offset_m, expected):
    peer = {
        "forward_offset": 4.5 + 32.642 - 0.8 + offset_m,
        "time_since_reception": 0.4,
        "acceleration": -5.0,
    }
    speeds = [20.0, 21.0, 22.0, 22.0, 22.0, 22.0]

    assert rss_demand_mps2(make_observation(peer, speeds=speeds)) == expected


def test_a_peer_that_came_to_rest_is_moved_no_further():
    # 2 m/s and -8 m/s^2: it stood after 0.25 s and 0.25 m. The ego drove 10 m in 0.5 s; rho = 0.9,
    # 21.8 m/s reached: 20.9 * 0.9 + 21.8^2 / 16 - 4 / 19.6 = 48.308 m against shown + 9.75 m.
    peer = {
        "relative_speed": -18.0, "acceleration": -8.0, "time_since_reception": 0.5,
    }  # fmt: skip
    below, above = (4.5 + 48.308 - 9.75 + offset_m for offset_m in (-0.01, 0.01))

    assert rss_demand_mps2(make_observation({**peer, "forward_offset": below})) == 8.0
    assert rss_demand_mps2(make_observation({**peer, "forward_offset": above})) == 0.0


def test_cars_between_take_their_length_whatever_slot_they_are_in():
    second = {"forward_offset": FRESH_M + 4.4}  # 9 m of cars: 0.1 m too near
    first = {"forward_offset": 7.0, "relative_speed": 30.0}  # far too fast to be reached

    assert rss_demand_mps2(make_observation(second, first)) == 8.0
    assert rss_demand_mps2(make_observation(second)) == 0.0  # as the first one ahead


@pytest.mark.parametrize("peer", [{"left_offset": 13.0}, {"left_offset": -13.0}])
def test_a_peer_beside_the_lane_does_not_count(peer):
    assert rss_demand_mps2(make_observation({"forward_offset": 5.0, **peer})) == 0.0


def test_a_car_that_stands_demands_nothing():
    observation = make_observation({"forward_offset": 4.6}, speeds=0.0)

    assert rss_demand_mps2(observation) == 0.0


def test_an_empty_slot_does_not_count():
    observation = make_observation({"forward_offset": 5.0})
    observation["peer_mask"][:] = 0.0

    assert rss_demand_mps2(observation) == 0.0
