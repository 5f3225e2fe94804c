"""What the radio did in an episode: loss, bursts and ages, beside what was asked of it.

Only links whose sender was in range all the time are measured, so that what distance takes away is
not taken for loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np

from ml.envs.convoy_env import ConvoyEnv
from ml.evaluation.case_episodes import play_case
from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.players import Player
from ml.evaluation.protocol import FollowerPlan
from ml.types import (
    CONTROL_PERIOD_S,
    HEARD_SEQUENCE_GAP,
    HEARD_TIME_SINCE_RECEPTION,
    NEVER_HEARD_S,
)

_INSTANT_S = 1e-9


class RadioMeter(gym.Wrapper[Any, Any, Any, Any]):
    """Counts frames, losses and bursts of an episode, and samples the age of what is held.

    Args:
        env: The environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._convoy = cast(ConvoyEnv, env.unwrapped)

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - gymnasium's
        """Begin an episode; its warm-up is not measured."""
        observation, info = super().reset(**arguments)
        counts = self._convoy.radio.statistics()
        self._sent, self._delivered = counts.frames_sent, counts.frames_delivered
        shape = self._sent.shape
        self._bursts, self._num_ages = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._age_sum_s = np.zeros(shape)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Step the environment and measure."""
        result = super().step(action)
        radio = self._convoy.radio
        since_s = radio.heard[:, HEARD_TIME_SINCE_RECEPTION]
        is_received = since_s < CONTROL_PERIOD_S - _INSTANT_S
        self._bursts += is_received & (radio.heard[:, HEARD_SEQUENCE_GAP] > 0.0)
        is_held = radio.true_age_s < NEVER_HEARD_S
        self._num_ages += is_held
        self._age_sum_s += np.where(is_held, radio.true_age_s, 0.0)
        return result

    def measured(self) -> dict[str, float | int]:
        """Return the sums over the peers' links since the episode's begin.

        ``link_bursts`` counts bursts that ended, so that losses over bursts is the likeliest mean
        of a geometric length, whatever was cut off at the episode's ends.
        """
        counts = self._convoy.radio.statistics()
        is_peer = np.arange(len(counts.frames_sent)) > 0
        links = is_peer & (counts.frames_out_of_range == 0)
        sent = (counts.frames_sent - self._sent)[links].sum()
        delivered = (counts.frames_delivered - self._delivered)[links].sum()
        return {
            "link_frames": int(sent),
            "link_frames_lost": int(sent - delivered),
            "link_bursts": int(self._bursts[links].sum()),
            "link_ages": int(self._num_ages[links].sum()),
            "link_age_sum_s": float(self._age_sum_s[links].sum()),
        }


def play_measured(
    env: gym.Env[Any, Any],
    players: Sequence[Player],
    case: Case,
    radio_preset: str,
    followers: FollowerPlan,
) -> list[EpisodeRecord]:
    """Play a case with each policy, and return the rows with what the radio did."""
    rows = []
    for player in players:
        meter = RadioMeter(env)
        row = play_case(meter, player, case, radio_preset, followers)
        rows.append({**row, **meter.measured()})
    return rows
