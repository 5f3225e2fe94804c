"""Two policies on the same episodes, family by family, and what each metric says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.family_summary import UNREACHABLE_DECELERATION_MPS2
from ml.evaluation.matched_rows import matched, rows_of
from ml.evaluation.resampling import paired_bootstrap
from ml.evaluation.seed_statistics import holm
from ml.evaluation.trend_tests import poisson_rate_ratio
from ml.evaluation.verdict import (
    ALARM_LEVELS_MPS2,
    NO_DIFFERENCE,
    SIGNIFICANCE,
    Json,
    compare_collisions,
    grouped,
    has_collided,
    is_counted,
)

_SECONDS_PER_HOUR = 3600.0


class Metric(NamedTuple):
    """What is compared besides collisions: a mean, or events over an exposure.

    Attributes:
        name: Its name, with the unit.
        value: The episode's value, None where it was not measured.
        exposure: What it was observed over, None for a mean over episodes.
        is_larger_worse: Which end is the worst; None where neither is.
        is_count: Whether the values are counts of events.
    """

    name: str
    value: Callable[[EpisodeRecord], float | None]
    exposure: Callable[[EpisodeRecord], float | None] | None = None
    is_larger_worse: bool | None = None
    is_count: bool = False


def _field(name: str) -> Callable[[EpisodeRecord], float | None]:
    """Return what reads a field."""
    return lambda row: row.get(name)


def _hours(row: EpisodeRecord) -> float | None:
    """Return an episode's length [h]."""
    duration_s = row.get("duration_s")
    return None if duration_s is None else duration_s / _SECONDS_PER_HOUR


def _impact_speed_mps(row: EpisodeRecord) -> float | None:
    """Return the impact speed, 0 without a collision."""
    return row.get("impact_speed_mps") if has_collided(row) else 0.0


def _required_deceleration_mps2(row: EpisodeRecord) -> float | None:
    """Return the largest required deceleration, at most what no car can exceed."""
    value = row.get("max_required_deceleration_mps2")
    return None if value is None else min(value, UNREACHABLE_DECELERATION_MPS2)


METRICS = (
    Metric("impact_speed_mps", _impact_speed_mps, is_larger_worse=True),
    Metric("min_gap_m", _field("min_gap_m"), is_larger_worse=False),
    Metric(
        "max_required_deceleration_mps2",
        _required_deceleration_mps2,
        is_larger_worse=True,
    ),
    Metric("time_below_ttc_1.5s_s", _field("time_below_ttc_1.5s_s"), is_larger_worse=True),
    Metric("time_below_ttc_3s_s", _field("time_below_ttc_3s_s"), is_larger_worse=True),
    Metric("time_to_braking_s", _field("time_to_braking_s"), is_larger_worse=True),
    *(
        Metric(
            f"false_alarms_{level}mps2_per_hour",
            _field(f"false_alarms_{level}mps2"),
            _hours,
            is_larger_worse=True,
            is_count=True,
        )
        for level in ALARM_LEVELS_MPS2
    ),
    Metric(
        "follower_collision_rate",
        _field("num_follower_collisions"),
        _field("num_followers"),
        is_larger_worse=True,
    ),
    Metric("jerk_p99_mps3", _field("jerk_p99_mps3"), is_larger_worse=True),
    Metric("mean_speed_mps", _field("mean_speed_mps"), is_larger_worse=False),
    Metric("mean_headway_s", _field("mean_headway_s")),
)


def metric_value(rows: Sequence[EpisodeRecord], metric: Metric) -> float | None:
    """Return a metric over the counted episodes that measured it, None if none did."""
    measured = [_measured(row, metric) for row in rows if is_counted(row)]
    totals = np.array([pair for pair in measured if pair is not None]).reshape(-1, 2).sum(axis=0)
    return float(totals[0] / totals[1]) if totals[1] > 0.0 else None


def compare_metric(
    rows: Sequence[EpisodeRecord], others: Sequence[EpisodeRecord], metric: Metric, name: str
) -> Json:
    """Compare two policies in one metric, pair by pair.

    Only episodes that count for both, and that both measured, enter. The difference is the first
    policy's minus the other's, with a BCa bootstrap interval; it is called shown if that leaves out
    0, and for rates of events if the exact test of their ratio says so too.

    Args:
        rows: Records of the first policy.
        others: Records of the other one on the same cases, in the same order.
        metric: The metric.
        name: What the conclusion calls the other one.

    Returns:
        Values, difference, interval, bootstrap seed and the conclusion in words.
    """
    first, first_exposures, second, second_exposures = _paired_values(rows, others, metric)
    exposed = sum(first_exposures), sum(second_exposures)
    if min(exposed) <= 0.0:
        return {"pairs": 0, "value": None, "other_value": None, "difference": None,
                "interval_95": None, "conclusion": NO_DIFFERENCE}  # fmt: skip
    result = paired_bootstrap(first, second, exposures=(first_exposures, second_exposures))
    entry: Json = {
        "value": sum(first) / exposed[0],
        "other_value": sum(second) / exposed[1],
        **result.as_json(),
    }
    is_shown = result.interval is not None and not (
        result.interval.low <= 0.0 <= result.interval.high
    )
    if metric.is_count:
        ratio = poisson_rate_ratio((round(sum(first)), round(sum(second))), exposed)
        entry |= ratio.as_json()
        is_shown = is_shown and ratio.p_value <= SIGNIFICANCE
    direction = "lower" if result.estimate < 0.0 else "higher"
    return {**entry, "conclusion": f"{direction} than {name}" if is_shown else NO_DIFFERENCE}


def _paired_values(
    rows: Sequence[EpisodeRecord], others: Sequence[EpisodeRecord], metric: Metric
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Return values and exposures of one policy, then of the other, where both have them."""
    columns: tuple[list[float], ...] = ([], [], [], [])
    for row, other in zip(rows, others, strict=True):
        if not (is_counted(row) and is_counted(other)):
            continue
        mine, second = _measured(row, metric), _measured(other, metric)
        if mine is None or second is None:
            continue
        for column, number in zip(columns, (*mine, *second), strict=True):
            column.append(number)
    return columns[0], columns[1], columns[2], columns[3]


def _measured(row: EpisodeRecord, metric: Metric) -> tuple[float, float] | None:
    """Return an episode's value and its exposure, None if either was not measured."""
    value = metric.value(row)
    exposure = 1.0 if metric.exposure is None else metric.exposure(row)
    return None if value is None or exposure is None else (float(value), float(exposure))


def compare_policies(
    rows: Sequence[EpisodeRecord], others: Sequence[EpisodeRecord], name: str
) -> list[Json]:
    """Compare two policies in every family under every radio preset.

    Args:
        rows: Records of the first policy.
        others: Records of the other one.
        name: What conclusions call the other one.

    Returns:
        One entry for each family and preset: ``collisions`` with Holm's p over the families of the
        preset, and ``metrics``. Differences are the first policy's minus the other's.
    """
    places = sorted({(row["radio_preset"], row["family"]) for row in (*rows, *others)})
    by_policy = {"first": rows, "other": others}
    entries = []
    for preset, family in places:
        pair = matched(*(rows_of(by_policy, side, preset, (family,)) for side in by_policy))
        entries.append({
            "family": family,
            "radio_preset": preset,
            "collisions": compare_collisions(*pair, name),
            "metrics": {
                metric.name: compare_metric(*pair, metric, name) for metric in METRICS
            },
        })  # fmt: skip
    for of_preset in grouped(entries, lambda entry: entry["radio_preset"]).values():
        _adjust(of_preset)
    return entries


def _adjust(entries: Sequence[Mapping[str, Json]]) -> None:
    """Put Holm's p over the families into their collisions, and hold the conclusions to it."""
    adjusted = holm([entry["collisions"]["mcnemar_p"] for entry in entries])
    for entry, p in zip(entries, adjusted, strict=True):
        entry["collisions"]["holm_p"] = p
        if p > SIGNIFICANCE:
            entry["collisions"]["conclusion"] = NO_DIFFERENCE
