"""Collisions against false alarms over a threshold, and two such curves at one alarm rate.

A variant of a policy with another threshold has the id ``<policy>@<threshold in m/s^2>``.
"""

from __future__ import annotations

import math

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.family_summary import summarise_false_alarms
from ml.evaluation.matched_rows import RowsByPolicy, matched, rows_of
from ml.evaluation.verdict import (
    FALSE_ALARM_LEVEL_MPS2,
    Json,
    collision_rate,
    compare_collisions,
    is_counted,
)

COLLISION_FAMILIES = ("H", "M")
CALM_FAMILIES = ("C",)


def threshold_mps2(policy: str) -> float | None:
    """Return the threshold in a policy's id, None for an id without one.

    >>> threshold_mps2("eebl@3.5")
    3.5
    """
    _, mark, text = policy.rpartition("@")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if mark and math.isfinite(value) else None


def base_policy(policy: str) -> str:
    """Return a policy's id without its threshold."""
    return policy if threshold_mps2(policy) is None else policy.rpartition("@")[0]


def operating_curve(
    rows_by_policy: RowsByPolicy, policy: str, radio_preset: str, *, bare_mps2: float | None = None
) -> list[Json]:
    """Return a point for each threshold: collisions in H and M, false alarms per hour in C.

    Args:
        rows_by_policy: All rows.
        policy: Id without a threshold.
        radio_preset: The radio preset.
        bare_mps2: Threshold of the id without one: 0 for a network, whose every demand counts.
            None leaves it out where there are variants.

    Returns:
        The points by rising threshold.
    """
    thresholds = {
        name: threshold_mps2(name)
        for name in rows_by_policy
        if base_policy(name) == policy and name != policy
    }
    if policy in rows_by_policy and bare_mps2 not in thresholds.values():
        thresholds[policy] = bare_mps2
    if bare_mps2 is None and len(thresholds) > 1:
        thresholds.pop(policy, None)
    points = [
        _point(rows_by_policy, name, threshold, radio_preset)
        for name, threshold in thresholds.items()
    ]
    return sorted(points, key=lambda point: point["threshold_mps2"] or 0.0)


def _point(
    rows_by_policy: RowsByPolicy, policy: str, threshold: float | None, radio_preset: str
) -> Json:
    """Return one point of a curve."""
    hazards = _counted(rows_of(rows_by_policy, policy, radio_preset, COLLISION_FAMILIES))
    calm = _counted(rows_of(rows_by_policy, policy, radio_preset, CALM_FAMILIES))
    alarms = summarise_false_alarms(calm)
    level = alarms[f"{FALSE_ALARM_LEVEL_MPS2}mps2"]
    return {
        "policy": policy,
        "threshold_mps2": threshold,
        "radio_preset": radio_preset,
        **{
            family: collision_rate([row for row in hazards if row["family"] == family])
            for family in COLLISION_FAMILIES
        },
        "all": collision_rate(hazards),
        "false_alarms": {
            "count": level["count"],
            "hours": alarms["hours"],
            "per_hour": level["per_hour"],
            "interval_95": level["per_hour_interval_95"],
        },
    }


def is_measured(curve: list[Json]) -> bool:
    """Return whether false alarms were counted at any point."""
    return any(point["false_alarms"]["per_hour"] is not None for point in curve)


def loosest_point(curve: list[Json], alarms_per_hour: float) -> Json | None:
    """Return the point of the smallest threshold with at most this rate of false alarms.

    The observed rate counts. No rate between two thresholds is made up.
    """
    allowed = [
        point
        for point in curve
        if point["false_alarms"]["per_hour"] is not None
        and point["false_alarms"]["per_hour"] <= alarms_per_hour
    ]
    return allowed[0] if allowed else None


def compare_at_alarm_rate(
    rows_by_policy: RowsByPolicy,
    curves: tuple[list[Json], list[Json]],
    alarms_per_hour: float,
) -> Json:
    """Compare two curves' collisions in H and M where each may alarm at most so often.

    Args:
        rows_by_policy: All rows.
        curves: The policy's curve and its rival's, under one radio preset.
        alarms_per_hour: The most false alarms per hour.

    Returns:
        The two points, and the paired comparison of the policy (first) with the rival; null where
        a curve has no such point.
    """
    mine, rival = (loosest_point(curve, alarms_per_hour) for curve in curves)
    entry: Json = {"alarms_per_hour": alarms_per_hour, "point": mine, "rival_point": rival}
    if mine is None or rival is None:
        return {**entry, "comparison": None}
    rows, others = matched(
        *(
            rows_of(rows_by_policy, point["policy"], point["radio_preset"], COLLISION_FAMILIES)
            for point in (mine, rival)
        )
    )
    return {**entry, "comparison": compare_collisions(rows, others, rival["policy"])}


def _counted(rows: list[EpisodeRecord]) -> list[EpisodeRecord]:
    """Return the rows that enter rates."""
    return [row for row in rows if is_counted(row)]
