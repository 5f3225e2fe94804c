"""How far a threshold could rise without another action."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.evaluation.cases import Case
from ml.evaluation.players import Play, Player, grouped_by_curve, scripted_player
from ml.evaluation.thresholds import DemandThreshold, EeblThreshold
from ml.policies.baselines import eebl_demand_mps2


class Replayed:
    """Acts as it was told, action by action."""

    def __init__(self, actions):
        self._actions = iter(actions)

    def predict(self, observation, *, deterministic):
        return np.array([next(self._actions)], dtype=np.float32), None


def heard(*decelerations_mps2, ahead_m=20.0, speed_mps=20.0):
    """An observation in which a peer at the ego's speed brakes so hard each."""
    peers = np.zeros((3, 12), np.float32)
    for row, deceleration_mps2 in enumerate(decelerations_mps2):
        peers[row, 0], peers[row, 4] = ahead_m, -deceleration_mps2
    mask = (np.arange(3) < len(decelerations_mps2)).astype(np.float32)
    return {"ego": np.array([speed_mps], np.float32), "peers": peers, "peer_mask": mask}


# An action a > 0 demands 8 a: 0.25 -> 2, 0.5 -> 4, 0.75 -> 6.
@pytest.mark.parametrize(
    ("actions", "threshold_mps2", "weakest_mps2"),
    [
        ([-0.5, 0.0], 0.0, math.inf),
        ([0.75, 0.25, 0.5], 0.0, 2.0),
        ([0.75, 0.25, 0.5], 2.0, 4.0),
        ([0.75, 0.25, 0.5], 7.0, math.inf),
    ],
)
def test_the_weakest_demand_that_passed_is_known(actions, threshold_mps2, weakest_mps2):
    policy = DemandThreshold(Replayed(actions), threshold_mps2)

    for _ in actions:
        policy.predict({}, deterministic=True)

    assert policy.weakest_mps2 == weakest_mps2


def test_the_weakest_braking_that_the_rule_acted_on_is_known():
    policy = EeblThreshold(4.0)

    acted = [
        policy.predict(observation, deterministic=True)[0][0]
        for observation in (heard(3.5), heard(7.0, 9.0), heard(5.0), heard())
    ]

    assert acted == [-1.0, 1.0, 1.0, -1.0]
    assert policy.weakest_mps2 == 5.0


@pytest.mark.parametrize("threshold_mps2", [2.0, 4.0, 6.0])
def test_the_rule_behind_a_threshold_acts_as_the_rule(threshold_mps2):
    generator = np.random.default_rng(3)
    policy = EeblThreshold(threshold_mps2)
    demands = []
    for _ in range(300):
        observation = heard(*generator.uniform(-2.0, 10.0, 3), ahead_m=generator.uniform(-5, 90))
        demand_mps2 = eebl_demand_mps2(observation, threshold_mps2)
        demands.append(demand_mps2)
        action, _ = policy.predict(observation, deterministic=True)
        assert (action[0] > 0.0) == (demand_mps2 > 0.0)
    assert 0.0 < np.mean(np.array(demands) > 0.0) < 1.0


def test_the_plays_of_a_case_that_differ_by_a_threshold_are_grouped():
    def case(name):
        return Case(name, "H", "s", {"episode_index": 0}, {}, 10)

    one, other = Replayed([]), Replayed([])
    players = [
        Player("net", one, "1"), Player("other", other, "2"), scripted_player("driver"),
        scripted_player("eebl"), Player("net@3.0", one, "1", 3.0), Player("net@2.0", one, "1", 2.0),
        scripted_player("eebl@3.0"), scripted_player("eebl@10.0"),
    ]  # fmt: skip
    plays = [Play(player, case(name)) for name in ("a", "b") for player in players]

    groups = [
        ([player.policy_id for player in group], one_case.case_id)
        for group, one_case in grouped_by_curve(plays)
    ]

    curves = [
        ["net", "net@2.0", "net@3.0"],
        ["other"],
        ["driver"],
        ["eebl@3.0", "eebl", "eebl@10.0"],
    ]
    assert groups == [(ids, name) for name in ("a", "b") for ids in curves]
