"""Scripted policies: one interface, five rules."""

from __future__ import annotations

import numpy as np
import pytest

from ml.envs.observation import EGO_FEATURES, PEER_FEATURES
from ml.errors import ConfigError
from ml.policies import baselines
from ml.policies.baselines import SCRIPTED_POLICY_NAMES, eebl_demand_mps2, make_scripted_policy
from ml.types import MAX_PEERS

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


def test_the_rule_reads_the_columns_that_the_table_names():
    assert PEER_NAMES[baselines._FORWARD] == "forward_offset"
    assert PEER_NAMES[baselines._LEFT] == "left_offset"
    assert PEER_NAMES[baselines._RELATIVE_SPEED] == "relative_speed"
    assert PEER_NAMES[baselines._ACCELERATION] == "acceleration"
    assert EGO_FEATURES[baselines._SPEED_NOW].name == "speed_0.0s"


@pytest.mark.parametrize("name", ["null", "driver", "always", "eebl"])
def test_actions_have_the_shape_of_the_action_space(name):
    action, state = make_scripted_policy(name).predict(make_observation(), deterministic=True)

    assert action.shape == (1,)
    assert action.dtype == np.float32
    assert -1.0 <= action[0] <= 1.0
    assert state is None


def test_only_null_needs_an_ego_without_a_driver():
    options = {
        name: make_scripted_policy(name).environment_options for name in SCRIPTED_POLICY_NAMES
    }

    assert options.pop("null") == {"ego_driver": "none"}
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


def test_the_oracle_needs_an_environment():
    with pytest.raises(ConfigError, match="attached"):
        make_scripted_policy("oracle").predict(make_observation())


def test_an_unknown_policy_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'oracle'"):
        make_scripted_policy("orcale")
