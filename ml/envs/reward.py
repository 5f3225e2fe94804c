"""The reward: a weighted sum of named costs, each a metric on ground truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.envs.reward_kernels import NUM_TERMS, write_reward_terms
from ml.errors import SimulatorError
from ml.types import CONTROL_PERIOD_S, FloatArray


@dataclass(frozen=True)
class RewardTerm:
    """One term of the reward.

    Attributes:
        name: Its key in ``info["reward_terms"]``.
        weight: Its weight; the term itself is a cost >= 0.
        meaning: What it measures.
    """

    name: str
    weight: float
    meaning: str


REWARD_TERMS: tuple[RewardTerm, ...] = (
    RewardTerm("collision", -50.0, "contact: 1 + impact speed / 10 m/s"),
    RewardTerm(
        "danger", -5.0, "deceleration any car ahead requires beyond the ego's and 3 m/s^2, / 8"
    ),
    RewardTerm(
        "needless_braking", -0.5, "(braking beyond the driver's and what any car requires, / 8)^2"
    ),
    RewardTerm("jerk", -0.01, "(jerk / 10 m/s^3)^2, at most 6.25"),
    RewardTerm("lost_speed", -0.02, "speed below the car ahead's (or the convoy's), / 20 m/s"),
)


def reward_table() -> str:
    """Return the reward's terms as a Markdown table."""
    lines = ["| term | weight | cost |", "|---|---|---|"]
    lines += [f"| {term.name} | {term.weight:g} | {term.meaning} |" for term in REWARD_TERMS]
    return "\n".join(lines)


class RewardFunction:
    """Computes the terms of a step and their weighted sum."""

    names = tuple(term.name for term in REWARD_TERMS)

    def __init__(self) -> None:
        """Allocate the terms."""
        self._terms: FloatArray = np.zeros(NUM_TERMS)
        self._weights: FloatArray = np.array([term.weight for term in REWARD_TERMS])

    def __call__(
        self,
        cars: FloatArray,
        previous_acceleration_mps2: float,
        driver_command_mps2: float,
        *,
        free_speed_mps: float,
        impact_speed_mps: float | None,
    ) -> tuple[float, dict[str, float]]:
        """Return the reward of a step and its weighted terms, which add up to it.

        Args:
            cars: Ground truth after the step, shape (num_cars, NUM_CAR_FIELDS).
            previous_acceleration_mps2: The ego's acceleration one step before.
            driver_command_mps2: What the driver alone commanded.
            free_speed_mps: The speed to keep where no car is ahead.
            impact_speed_mps: Closing speed at contact in this step, None without contact.

        Raises:
            SimulatorError: The reward is not finite.
        """
        impact = -1.0 if impact_speed_mps is None else impact_speed_mps
        reward = write_reward_terms(
            cars, previous_acceleration_mps2, driver_command_mps2, free_speed_mps, impact,
            CONTROL_PERIOD_S, self._weights, self._terms,
        )  # fmt: skip
        terms = dict(zip(self.names, self._terms.tolist(), strict=True))
        if not math.isfinite(reward):
            lost = [name for name, term in terms.items() if not math.isfinite(term)]
            raise SimulatorError(
                f"reward must be finite. Got {reward} with {', '.join(lost)}. Report it."
            )
        return reward, terms
