"""Deaf policies on the real SUMO: one episode, and the rows that each radio preset alone makes."""

from __future__ import annotations

from contextlib import closing

import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.espnow_emulator import RadioEmulator
from ml.evaluation.case_episodes import play_case, play_curve
from ml.evaluation.families import cases_of
from ml.evaluation.players import scripted_player
from ml.evaluation.protocol import load_protocol
from ml.evaluation.protocol_command import make_plan
from ml.policies.baselines import DEAF_POLICY_NAMES

pytestmark = pytest.mark.integration

PROTOCOL = load_protocol("smoke")
PRESETS = ("nominal", "roof", "radio_off", "in_car")


def opened(preset):
    plan = make_plan(PROTOCOL, ["driver"])
    return closing(ConvoyEnv(**plan.environment_kwargs(preset)))


@pytest.mark.parametrize("name", DEAF_POLICY_NAMES)
def test_rows_of_one_episode_are_those_of_each_preset_alone(name):
    player, followers = scripted_player(name), PROTOCOL.followers
    cases = cases_of(PROTOCOL)[DEAF_POLICY_NAMES.index(name) :: 11]

    first, *others = PRESETS
    with opened(first) as env:
        together = [play_curve(env, [player], case, first, followers, others) for case in cases]
        assert isinstance(env.radio, RadioEmulator)
    alone = {}
    for preset in PRESETS:
        with opened(preset) as env:
            alone[preset] = [play_case(env, player, case, preset, followers) for case in cases]

    assert len(cases) >= 9
    assert {case.family for case in cases} >= {"H", "M", "C", "R"}
    for preset, rows in zip(PRESETS, zip(*together, strict=True), strict=True):
        assert list(rows) == alone[preset]
    ages = {row["age_at_onset_s"] for rows in alone.values() for row in rows}
    assert len(ages) > len(cases)
