"""A car with a board that is no part of the convoy: heard by the ego, and of no concern to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ml.envs.control_kernels import braking_speed_change_mps
from ml.errors import ConfigError, nearest_name_hint
from ml.types import (
    CAR_ACCELERATION,
    CAR_BRAKE_TARGET,
    CAR_HEADING,
    CAR_PATH_POSITION,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    CONTROL_PERIOD_S,
    NUM_CAR_FIELDS,
    FloatArray,
)

_RANGES = {
    "ahead_m": (-300.0, 300.0),
    "left_m": (-50.0, 50.0),
    "onset_s": (0.0, math.inf),
    "deceleration_mps2": (0.1, 12.0),
}


_BEHIND_M = (-80.0, -6.0)
_BESIDE_M = (-10.0, 80.0)
_LEFT_M = (3.0, 4.0)
_DECELERATION_MPS2 = (3.0, 9.8)
_EARLIEST_ONSET_S = 2.0


@dataclass(frozen=True)
class BystanderPlan:
    """What a bystander does: keeps its place beside the ego, then brakes to a standstill.

    Attributes:
        ahead_m: Its front bumper ahead of the ego's, negative behind.
        left_m: Its offset to the left of the ego.
        onset_s: When it begins to brake, in seconds since the start of the episode.
        deceleration_mps2: Its deceleration, built up as every hard braking.
    """

    ahead_m: float
    left_m: float
    onset_s: float
    deceleration_mps2: float


def checked_bystander(request: object) -> BystanderPlan | None:
    """Return the bystander that a reset option asks for, None without one.

    Raises:
        ConfigError: It is no dict, a name is unknown or missing, or a value is out of its range.
    """
    if request is None:
        return None
    if not isinstance(request, Mapping):
        raise ConfigError(f"reset option bystander must be a dict. Got {request!r}.")
    names = [field.name for field in fields(BystanderPlan)]
    for name in request:
        if name not in names:
            hint = nearest_name_hint(str(name), names)
            raise ConfigError(f"bystander option {name!r} is unknown. {hint}")
    return BystanderPlan(**{name: _checked_number(name, request) for name in names})


def draw_bystander(
    generator: np.random.Generator, share: float, episode_s: float
) -> BystanderPlan | None:
    """Draw whether a bystander is behind the ego or in a lane beside it, and how it brakes.

    The same numbers are drawn whatever the outcome.

    Args:
        generator: The episode's stream of bystanders.
        share: Probability of one, in [0, 1].
        episode_s: Length of the episode; the bystander brakes somewhere in it.
    """
    is_there = generator.uniform() < share
    is_behind = generator.uniform() < 0.5
    ahead_m = float(generator.uniform(*(_BEHIND_M if is_behind else _BESIDE_M)))
    left_m = float(generator.uniform(*_LEFT_M)) * (1.0 if generator.uniform() < 0.5 else -1.0)
    onset_s = float(generator.uniform(_EARLIEST_ONSET_S, max(episode_s, _EARLIEST_ONSET_S)))
    deceleration_mps2 = float(generator.uniform(*_DECELERATION_MPS2))
    if not is_there:
        return None
    return BystanderPlan(ahead_m, 0.0 if is_behind else left_m, onset_s, deceleration_mps2)


def checked_share(share: object) -> float:
    """Return the probability of a bystander if it is one, else raise ConfigError."""
    is_number = isinstance(share, (int, float, np.number)) and not isinstance(share, bool)
    if not is_number or not 0.0 <= share <= 1.0:  # type: ignore[operator]  # a number by then
        raise ConfigError(f"bystander_share must be a number in [0, 1]. Got {share!r}.")
    return float(share)  # type: ignore[arg-type]  # as above


def _checked_number(name: str, request: Mapping[str, Any]) -> float:
    """Return one value of a bystander."""
    low, high = _RANGES[name]
    value = request.get(name)
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if value is None or not is_number or not low <= value <= high:
        raise ConfigError(
            f"bystander {name} must be a number in [{low:g}, {high:g}]. Got {value!r}."
        )
    return float(value)


class Bystander:
    """Adds a bystander to the cars that the radio knows of; on the road it is in nobody's way."""

    def __init__(self) -> None:
        """Begin without one."""
        self.reset(None)

    def reset(self, plan: BystanderPlan | None) -> None:
        """Start an episode with the bystander of ``plan``, or without one."""
        self._plan = plan
        self._row: FloatArray = np.zeros(NUM_CAR_FIELDS)
        self._onset_speed_mps = 0.0

    def joined(self, cars: FloatArray, time_s: float) -> FloatArray:
        """Return the cars with the bystander as their last row, to be called once a step.

        Up to its onset it keeps its offset from the ego; from then on it goes straight ahead.

        Args:
            cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS), row 0 the ego.
            time_s: Time of that state, 0 at the start of the episode.

        Returns:
            Shape (num_cars + 1, NUM_CAR_FIELDS); ``cars`` itself where there is no bystander.
        """
        if self._plan is None:
            return cars
        if time_s <= self._plan.onset_s:
            self._row = _beside(cars[0], self._plan)
            self._onset_speed_mps = self._row[CAR_SPEED]
        else:
            self._brake(self._plan, time_s)
        return np.vstack((cars, self._row))

    def _brake(self, plan: BystanderPlan, time_s: float) -> None:
        """Move it by a control period in which it brakes, the speed linear in between."""
        row, speed_mps = self._row, self._row[CAR_SPEED]
        lost_mps = braking_speed_change_mps(0.0, plan.deceleration_mps2, time_s - plan.onset_s)
        row[CAR_SPEED] = max(0.0, self._onset_speed_mps - lost_mps)
        row[CAR_ACCELERATION] = (row[CAR_SPEED] - speed_mps) / CONTROL_PERIOD_S
        row[CAR_BRAKE_TARGET] = plan.deceleration_mps2
        distance_m = 0.5 * (speed_mps + row[CAR_SPEED]) * CONTROL_PERIOD_S
        row[CAR_X] += distance_m * math.cos(row[CAR_HEADING])
        row[CAR_Y] += distance_m * math.sin(row[CAR_HEADING])
        row[CAR_PATH_POSITION] += distance_m


def _beside(ego: FloatArray, plan: BystanderPlan) -> FloatArray:
    """Return the row of a car at its offset from the ego, shape (NUM_CAR_FIELDS,)."""
    row = ego.copy()
    cosine, sine = math.cos(ego[CAR_HEADING]), math.sin(ego[CAR_HEADING])
    row[CAR_X] += plan.ahead_m * cosine - plan.left_m * sine
    row[CAR_Y] += plan.ahead_m * sine + plan.left_m * cosine
    row[CAR_PATH_POSITION] += plan.ahead_m
    return row
