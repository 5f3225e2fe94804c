"""Collision probability against the age of the braking car's state at its onset.

A policy that uses the radio collides more often the older that state is, and as often as the driver
alone once it is very old.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.kinematic_reference import collision_probability
from ml.evaluation.trend_tests import cochran_armitage
from ml.evaluation.verdict import (
    SIGNIFICANCE,
    Json,
    collision_rate,
    has_realised_hazard,
)

AGE_EDGES_S = (0.0, 0.1, 0.2, 0.4, 0.7, 1.2)
"""Lower ends of the bins; the last one has no upper end, and those never heard have their own. The
first is one sending period, in which an older state only means that the next message is nearer."""

COMMAND_DELAY_S = 0.05
"""From the message that shows the braking to the command: half a control period, its mean."""


def kinematic_collision_rate(age_s: float) -> float:
    """Return the collision rate if the braking shows in a message of this age."""
    return collision_probability(age_s + COMMAND_DELAY_S)


def age_curve(
    rows: Sequence[EpisodeRecord],
    driver_rows: Sequence[EpisodeRecord],
    *,
    edges_s: Sequence[float] = AGE_EDGES_S,
) -> Json:
    """Return the collision rate by age at the onset in family H, the car ahead braking.

    The kinematic reference assumes the distribution of family H and the direct predecessor, so
    other rows are left out. The trend is tested over the bins in their order, those never heard
    last (Cochran and Armitage).

    Args:
        rows: Records of the policy, whatever their family and preset.
        driver_rows: Records of the driver alone, which is the level without a radio.
        edges_s: Lower ends of the bins, rising from 0.

    Returns:
        ``bins`` (limits, mean age, counts, rate, exact interval, kinematic reference), ``trend``
        (z, one-sided p-values and a conclusion in words) and ``no_radio``, the driver's rate.
    """
    counted = _direct_stops(rows)
    bins = [
        _bin([row for row in counted if _is_within(row["age_at_onset_s"], low, high)], (low, high))
        for low, high in zip(edges_s, (*edges_s[1:], None), strict=True)
    ]
    unheard = [row for row in counted if row["age_at_onset_s"] is None]
    bins.append(_bin(unheard, (None, None)))
    trend = cochran_armitage(
        [entry["collisions"] for entry in bins],
        [entry["episodes"] for entry in bins],
        list(range(len(bins))),
    )
    return {
        "bins": bins,
        "trend": None if trend is None else trend._asdict(),
        "conclusion": _conclusion(None if trend is None else (trend.p_rising, trend.p_falling)),
        "no_radio": collision_rate(_direct_stops(driver_rows)),
    }


def _direct_stops(rows: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """Return the realised stops of the car ahead in family H."""
    return [
        row
        for row in rows
        if row["family"] == "H"
        and row.get("hazard_source_rank") == 1
        and has_realised_hazard(row)
        and "age_at_onset_s" in row
    ]


def _is_within(age_s: float | None, low_s: float, high_s: float | None) -> bool:
    """Return whether an age is in a bin, its lower end included."""
    return age_s is not None and low_s <= age_s < (math.inf if high_s is None else high_s)


def _bin(rows: Sequence[EpisodeRecord], limits_s: tuple[float | None, float | None]) -> Json:
    """Return one bin; without limits it is that of the cars never heard."""
    ages = [row["age_at_onset_s"] for row in rows if row["age_at_onset_s"] is not None]
    mean_s = float(np.mean(ages)) if ages else None
    return {
        "from_s": limits_s[0],
        "to_s": limits_s[1],
        "is_never_heard": limits_s[0] is None,
        "mean_age_s": mean_s,
        **collision_rate(rows),
        "kinematic_collision_rate": None if mean_s is None else kinematic_collision_rate(mean_s),
    }


def _conclusion(p_values: tuple[float, float] | None) -> str:
    """Return what the test of the trend says."""
    if p_values is None:
        return "no trend can be seen: all bins but one are empty, or all outcomes are the same"
    rising, falling = p_values
    if rising <= SIGNIFICANCE:
        return "collisions rise with the age at the onset"
    if falling <= SIGNIFICANCE:
        return "collisions fall with the age at the onset"
    return "no trend shown"
