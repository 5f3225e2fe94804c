"""What the search varies of the urgent imitation, and how a trial is valued."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from experiments import ablation_numbers
from experiments.ablation_numbers import Json
from ml.training.urgent_imitation import UrgentImitation

THRESHOLDS_MPS2 = (0.0, 3.0, 4.0, 5.0, 6.0, 6.5, 7.0, 7.5, 8.0)
"""Thresholds of the operating curve, from which the value of a trial is read."""

DISTRIBUTIONS: Mapping[str, BaseDistribution] = {
    "too_little_share": FloatDistribution(0.7, 0.97),
    "urgency_weight": FloatDistribution(2.0, 30.0, log=True),
    "urgency_power": FloatDistribution(1.0, 5.0),
    "demand_gain": FloatDistribution(1.0, 2.0),
    "rest_action": FloatDistribution(-0.9, -0.1),
    "learning_rate": FloatDistribution(5e-4, 5e-3, log=True),
    "num_epochs": IntDistribution(4, 12),
}
"""By the name of a field of ``UrgentImitation`` or of its fits; the epochs are the last fit's."""

_OF_FITS = ("learning_rate", "num_epochs")


def params_of(settings: UrgentImitation) -> dict[str, float]:
    """Return the place of settings in the space that is searched."""
    last = settings.fits[-1]
    return {name: getattr(last if name in _OF_FITS else settings, name) for name in DISTRIBUTIONS}


def settings_at(params: Mapping[str, Any]) -> UrgentImitation:
    """Return the recipe's settings, changed to what ``params`` names."""
    recipe = UrgentImitation()
    fits = [replace(plan, learning_rate=params["learning_rate"]) for plan in recipe.fits]
    fits[-1] = replace(fits[-1], num_epochs=params["num_epochs"])
    others = {name: value for name, value in params.items() if name not in _OF_FITS}
    return replace(recipe, fits=tuple(fits), **others)


def collisions_of(counts: Mapping[str, Any]) -> int:
    """Return the collisions in H and M together."""
    return int(counts["H"]["collisions"] + counts["M"]["collisions"])


def alarms_per_hour(counts: Json) -> float:
    """Return the false alarms per hour in C."""
    return ablation_numbers.value_of(counts, "C")


def least_alarms_per_hour(curve: Sequence[Json], max_collisions: int) -> float:
    """Return the fewest false alarms per hour at which a policy still collides no more often.

    Args:
        curve: Counts by threshold, the lowest first.
        max_collisions: In H and M together.

    Returns:
        Of the thresholds that keep to it; where none does, what the lowest one makes.
    """
    kept = [alarms_per_hour(one) for one in curve if collisions_of(one) <= max_collisions]
    return min(kept, default=alarms_per_hour(curve[0]))


def value_of(trial: Mapping[str, Any], max_collisions: int) -> tuple[float, int]:
    """Return what is made small, and by how much the constraint is broken, if it is above 0.

    Args:
        trial: With `curves`, the counts by seed.
        max_collisions: In H and M together, those of ``eebl`` on the same cases.

    Returns:
        The mean over the seeds of ``least_alarms_per_hour``; and the worst seed's collisions
        without any threshold, minus ``max_collisions``.
    """
    curves = list(trial["curves"].values())
    rates = [least_alarms_per_hour(curve, max_collisions) for curve in curves]
    worst = max(collisions_of(curve[0]) for curve in curves)
    return math.fsum(rates) / len(rates), worst - max_collisions
