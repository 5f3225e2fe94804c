"""Scripted policies: one interface, several rules."""

from __future__ import annotations

import numpy as np
import pytest

from ml.envs.observation import EGO_FEATURES, PEER_FEATURES
from ml.errors import ConfigError
from ml.policies.baselines import (
    SCRIPTED_POLICY_NAMES,
    aeb_demand_mps2,
    eebl_demand_mps2,
    is_scripted_policy,
    make_scripted_policy,
)
from ml.types import (
    MAX_PEERS,
    NUM_TRACE_FIELDS,
    TRACE_DEMAND,
    TRACE_GAP,
    TRACE_LEAD_ACCELERATION,
    TRACE_LEAD_SPEED,
    TRACE_SPEED,
)

PEER_NAMES = [feature.name for feature in PEER_FEATURES]


def make_observation(speed=20.0, **peer):
    peers = np.zeros((MAX_PEERS, len(PEER_FEATURES)), dtype=np.float32)
    mask = np.zeros(MAX_PEERS, dtype=np.float32)
    if peer:
        mask[3] = 1.0
        for name, value in peer.items():
            peers[3, PEER_NAMES.index(name)] = value
    ego = np.zeros(len(EGO_FEATURES), dtype=np.float32)
    ego[0] = speed
    return {"ego": ego, "peers": peers, "peer_mask": mask}


@pytest.mark.parametrize("name", ["null", "driver", "always", "r157", "eebl", "eebl@3.0", "rss"])
def test_actions_have_the_shape_of_the_action_space(name):
    action, state = make_scripted_policy(name).predict(make_observation(), deterministic=True)

    assert action.shape == (1,)
    assert action.dtype == np.float32
    assert -1.0 <= action[0] <= 1.0
    assert state is None


def test_only_null_and_r157_need_another_driver():
    options = {
        name: make_scripted_policy(name).environment_options for name in SCRIPTED_POLICY_NAMES
    }

    assert options.pop("null") == {"ego_driver": "none"}
    assert options.pop("r157") == {"ego_driver": "careful"}
    assert set(map(str, options.values())) == {"{}"}


def test_always_demands_everything_and_driver_nothing():
    assert make_scripted_policy("always").predict(make_observation())[0][0] == 1.0
    assert make_scripted_policy("driver").predict(make_observation())[0][0] == -1.0


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"forward_offset": 30.0, "acceleration": -7.0}, 8.0),
        ({"forward_offset": 30.0, "acceleration": -2.0}, 0.0),  # benign
        ({"forward_offset": -30.0, "acceleration": -7.0}, 0.0),  # behind
        ({"forward_offset": 30.0, "left_offset": 30.0, "acceleration": -7.0}, 0.0),  # another road
        ({"forward_offset": 290.0, "acceleration": -7.0}, 0.0),  # far: 400 / 628 < 2 m/s^2
    ],
)
def test_eebl_brakes_for_a_peer_ahead_that_brakes_hard(peer, expected):
    assert eebl_demand_mps2(make_observation(**peer)) == expected


def test_eebl_ignores_an_empty_slot():
    observation = make_observation(forward_offset=30.0, acceleration=-7.0)
    observation["peer_mask"][:] = 0.0

    assert eebl_demand_mps2(observation) == 0.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("eebl", -1.0), ("eebl@3.0", 1.0), ("eebl@3.6", -1.0), ("eebl@3.4", 1.0)],
)
def test_the_threshold_of_eebl_is_part_of_its_name(name, expected):
    policy = make_scripted_policy(name)

    action, _ = policy.predict(make_observation(forward_offset=20.0, acceleration=-3.5))

    assert (policy.name, float(action[0])) == (name, expected)


@pytest.mark.parametrize("name", ["eebl@", "eebl@hard", "eebl@nan", "eebl@0", "eebl@13", "eebl@-3"])
def test_a_threshold_that_is_no_number_in_its_range_is_refused(name):
    with pytest.raises(ConfigError, match="threshold of eebl must be a number in"):
        make_scripted_policy(name)


def test_names_with_a_threshold_are_those_of_eebl_alone():
    assert is_scripted_policy("eebl@3.0")
    assert all(map(is_scripted_policy, SCRIPTED_POLICY_NAMES))
    assert not any(map(is_scripted_policy, ["rss@1", "aeb@4.8", "demo", "demo@2.0", ""]))


@pytest.mark.parametrize("name", ["oracle", "aeb"])
def test_what_reads_ground_truth_needs_an_environment(name):
    with pytest.raises(ConfigError, match="attached"):
        make_scripted_policy(name).predict(make_observation())


def make_trace(*, gap_m, speed, lead_speed, lead_acceleration, was_braking=False, num_steps=4):
    """A trace whose state of 0.2 s ago is as given; before and after it all is calm."""
    trace = np.zeros((num_steps, NUM_TRACE_FIELDS))
    trace[:, TRACE_GAP] = 1000.0
    trace[:, [TRACE_SPEED, TRACE_LEAD_SPEED]] = 20.0
    trace[-3, [TRACE_GAP, TRACE_SPEED, TRACE_LEAD_SPEED]] = gap_m, speed, lead_speed
    trace[-3, TRACE_LEAD_ACCELERATION] = lead_acceleration
    trace[-1, TRACE_DEMAND] = 8.0 * was_braking
    return trace


# Required: v^2 / (2 g) behind a standing car.
# 400 / (2 * 40) = 5; 400 / (2 * 42) = 4.76; 400 / (2 * 190) = 1.05; 400 / (2 * 210) = 0.95 m/s^2.
@pytest.mark.parametrize(
    ("gap_m", "was_braking", "expected"),
    [
        (40.0, False, 8.0),
        (42.0, False, 0.0),
        (42.0, True, 8.0),
        (190.0, True, 8.0),
        (210.0, True, 0.0),
    ],
)
def test_aeb_brakes_above_its_trigger_until_its_release(gap_m, was_braking, expected):
    trace = make_trace(
        gap_m=gap_m, speed=20.0, lead_speed=0.0, lead_acceleration=0.0, was_braking=was_braking
    )

    assert aeb_demand_mps2(trace) == expected


def test_aeb_counts_the_braking_ahead():
    # 20^2 / (2 * 20 + 20^2 / 8) = 400 / 90 = 4.44 m/s^2; at 15 m: 400 / 80 = 5 m/s^2
    far = make_trace(gap_m=20.0, speed=20.0, lead_speed=20.0, lead_acceleration=-8.0)
    near = make_trace(gap_m=15.0, speed=20.0, lead_speed=20.0, lead_acceleration=-8.0)

    assert (aeb_demand_mps2(far), aeb_demand_mps2(near)) == (0.0, 8.0)


def test_aeb_sees_what_was_0_2_s_ago():
    trace = make_trace(gap_m=10.0, speed=20.0, lead_speed=0.0, lead_acceleration=0.0)

    seen = [aeb_demand_mps2(trace[:length]) for length in (2, 3, 4)]
    one_later = np.concatenate([trace, trace[-1:]])

    assert seen == [0.0, 0.0, 8.0]
    assert aeb_demand_mps2(one_later) == 0.0


def test_aeb_lets_go_of_a_car_that_stands():
    trace = make_trace(
        gap_m=3.0, speed=0.0, lead_speed=0.0, lead_acceleration=0.0, was_braking=True
    )

    assert aeb_demand_mps2(trace) == 0.0


def test_aeb_without_a_car_ahead_does_nothing():
    trace = make_trace(gap_m=np.inf, speed=20.0, lead_speed=0.0, lead_acceleration=0.0)

    assert aeb_demand_mps2(trace) == 0.0


def test_an_unknown_policy_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'oracle'"):
        make_scripted_policy("orcale")
