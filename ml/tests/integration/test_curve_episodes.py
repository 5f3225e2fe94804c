"""A policy at several thresholds on the real SUMO: episodes that are equal are played once."""

from __future__ import annotations

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.evaluation import case_episodes
from ml.evaluation.case_episodes import play_case, play_curve
from ml.evaluation.families import cases_of
from ml.evaluation.players import Player, scripted_player
from ml.evaluation.protocol import load_protocol, radio_preset_path
from ml.evaluation.protocol_scenarios import write_protocol_scenarios
from ml.policies.baselines import eebl_braking_mps2
from ml.types import MAX_DEMAND_MPS2

pytestmark = pytest.mark.integration

THRESHOLDS_MPS2 = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)


class Graded:
    """Demands as much as the hardest braking that it hears."""

    def without_bounds(self):
        return self

    def predict(self, observation, *, deterministic):
        action = min(1.0, eebl_braking_mps2(observation) / MAX_DEMAND_MPS2)
        return np.array([action], np.float32), None


def graded_players():
    source = Graded()
    return [Player(f"graded@{value}", source, "0", value) for value in THRESHOLDS_MPS2]


def eebl_players():
    return [scripted_player(f"eebl@{value}") for value in THRESHOLDS_MPS2]


@pytest.mark.parametrize("players_of", [graded_players, eebl_players])
def test_shared_rows_are_those_of_each_threshold_alone(players_of, monkeypatch):
    protocol = load_protocol("smoke")
    cases = [case for case in cases_of(protocol) if case.family in "HMC"][::6]
    # What acts on one observation at a time is not asked in batches.
    monkeypatch.setattr("ml.evaluation.players.LoneActor", Graded)
    num_played = 0

    def counted(*arguments):
        nonlocal num_played
        num_played += 1
        return run_episode(*arguments)

    run_episode = case_episodes.run_episode
    players = players_of()
    env = ConvoyEnv(
        dataset_dir=str(write_protocol_scenarios(protocol)), scenario_mode="eval",
        scenario_seed=protocol.seed, emulator_params_path=str(radio_preset_path("nominal")),
        max_steps=max(case.max_steps for case in cases),
    )  # fmt: skip
    try:
        for case in cases:
            alone = [play_case(env, one, case, "nominal", protocol.followers) for one in players]
            with monkeypatch.context() as patch:
                patch.setattr(case_episodes, "run_episode", counted)
                together = play_curve(env, players, case, "nominal", protocol.followers)
            assert together == alone
    finally:
        env.close()

    num_episodes = len(cases) * len(players)
    assert len(cases) < num_played < num_episodes
