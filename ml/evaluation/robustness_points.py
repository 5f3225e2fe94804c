"""From rows to the points of the robustness curves, and whether each level was what was asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.robustness_levels import Level
from ml.evaluation.trend_tests import cochran_armitage
from ml.evaluation.verdict import (
    FALSE_ALARM_LEVEL_MPS2,
    Json,
    collision_rate,
    compare_collisions,
    is_counted,
    summarise_alarms,
)

REFERENCE_RULE = "eebl"
"""The rule that every other policy is compared with, pair by pair."""

_CALM = "C"
_NUM_DEVIATIONS = 4.0
_EDGE_OF_LOSS = 0.002
"""A frame on its way at the begin or end of an episode can be counted on one side alone."""
_EDGE_OF_BURST = 0.02
_DELAY_TOLERANCE_MS = 5.0
_MS_PER_S = 1000.0

RowsByPolicy = Mapping[str, Sequence[EpisodeRecord]]
RowsByLevel = Mapping[str, Mapping[str, Sequence[EpisodeRecord]]]
"""Rows by policy and name of the level."""


def axis_points(axis: str, levels: Sequence[Level], rows_by_policy: RowsByPolicy) -> Json:
    """Return an axis: its levels as asked and as measured, and each policy's points and trend.

    Args:
        axis: Its name.
        levels: Its levels in their order.
        rows_by_policy: All rows by policy, in one order of cases.
    """
    rows = {
        policy: {level.name: _of_level(all_rows, level) for level in levels}
        for policy, all_rows in rows_by_policy.items()
    }
    measured = [_measured(level, levels[0], rows) for level in levels]
    return {
        "levels": [
            {
                "name": level.name,
                "value": level.value,
                "asked": asked_of(level),
                "measured": found,
                "is_realised": is_realised_as_asked(level, found),
            }
            for level, found in zip(levels, measured, strict=True)
        ],
        "points": {policy: [_point(level, policy, rows) for level in levels] for policy in rows},
        "trends": {policy: _trend(levels, rows[policy]) for policy in rows},
    }


def asked_of(level: Level) -> Json:
    """Return what a level asks of the radio; null where it is the nominal file's, by distance."""
    return {
        "loss": level.loss,
        "mean_burst": level.mean_burst,
        "mean_age_ms": level.mean_age_ms,
        "added_delay_ms": level.value if level.axis == "delay" else 0.0,
        "num_peers": None if level.is_radio else int(level.value),
    }


def is_realised_as_asked(level: Level, measured: Json) -> bool:
    """Return whether what was measured is what a level asks, within 4 standard deviations.

    Loss: a mean of two-state trials with the correlation c = 1 - p - r from each to the next has
    the variance loss (1 - loss) (1 + c) / (1 - c) / n. Mean burst: lengths are geometric, with
    the variance B (B - 1) / n. Delay: the age in a case grows by it, all else being the same.

    Args:
        level: The level.
        measured: As in the axis' levels.
    """
    if level.axis == "peers":
        return bool(measured["num_peers"] == level.value)
    if level.axis == "delay":
        added_ms = measured["added_delay_ms"]
        return added_ms is not None and abs(added_ms - level.value) <= _DELAY_TOLERANCE_MS
    if level.loss is None or level.mean_burst is None or measured["loss"] is None:
        return False
    is_loss_met = abs(measured["loss"] - level.loss) <= loss_tolerance(
        level.loss, level.mean_burst, measured["frames"]
    )
    if level.loss <= 0.0:
        return bool(is_loss_met)
    return bool(is_loss_met and _is_burst_met(level.mean_burst, measured))


def loss_tolerance(loss: float, mean_burst: float, num_frames: int) -> float:
    """Return four standard deviations of a measured loss, and what a row's ends can add.

    >>> round(loss_tolerance(0.5, 2.0, 10_000), 6)
    0.022
    """
    to_good = 1.0 / mean_burst
    correlation = 1.0 - to_good / (1.0 - loss)
    variance = loss * (1.0 - loss) * (1.0 + correlation) / (1.0 - correlation) / num_frames
    return _NUM_DEVIATIONS * math.sqrt(variance) + _EDGE_OF_LOSS


def _is_burst_met(mean_burst: float, measured: Json) -> bool:
    """Return whether bursts are as long as asked."""
    if measured["mean_burst"] is None:
        return False
    deviation = math.sqrt(mean_burst * (mean_burst - 1.0) / measured["bursts"])
    tolerance = _NUM_DEVIATIONS * deviation + _EDGE_OF_BURST * mean_burst
    return bool(abs(measured["mean_burst"] - mean_burst) <= tolerance)


def _of_level(rows: Sequence[EpisodeRecord], level: Level) -> list[EpisodeRecord]:
    """Return the rows of a level."""
    return [row for row in rows if row["radio_preset"] == level.name]


def _hazards(rows: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """Return the rows with a hazard."""
    return [row for row in rows if row["family"] != _CALM]


def _measured(level: Level, first: Level, rows: RowsByLevel) -> Json:
    """Return what the radio did at a level of an axis that begins with another one.

    All policies met the same fates of frames, so counts are those of one policy: the mean over all.
    """
    found = [row for by_level in rows.values() for row in _hazards(by_level[level.name])]
    frames, lost, bursts, ages = (
        sum(row[name] for row in found)
        for name in ("link_frames", "link_frames_lost", "link_bursts", "link_ages")
    )
    age_s = sum(row["link_age_sum_s"] for row in found)
    sizes = {row["num_peers"] for row in found}
    return {
        "frames": round(frames / len(rows)),
        "loss": lost / frames if frames else None,
        "bursts": round(bursts / len(rows)),
        "mean_burst": lost / bursts if bursts else None,
        "mean_age_ms": _MS_PER_S * age_s / ages if ages else None,
        "added_delay_ms": _added_delay_ms(level, first, rows) if level.axis == "delay" else None,
        "num_peers": sizes.pop() if len(sizes) == 1 else None,
    }


def _added_delay_ms(level: Level, first: Level, rows: RowsByLevel) -> float | None:
    """Return how much older the states held are than in the same cases at the first level [ms].

    The median over policies and cases, because an episode that ended earlier has other frames.
    """
    added_ms = []
    for by_level in rows.values():
        before = {row["case_id"]: row for row in _hazards(by_level[first.name])}
        for row in _hazards(by_level[level.name]):
            base = before[row["case_id"]]
            if row["link_ages"] and base["link_ages"]:
                added_s = (
                    row["link_age_sum_s"] / row["link_ages"]
                    - base["link_age_sum_s"] / base["link_ages"]
                )
                added_ms.append(_MS_PER_S * added_s)
    return median(added_ms) if added_ms else None


def _point(level: Level, policy: str, rows: RowsByLevel) -> Json:
    """Return a policy's collisions, false alarms and difference to the rule at a level."""
    own = rows[policy][level.name]
    hazards = _hazards(own)
    calm = [row for row in own if row["family"] == _CALM and is_counted(row)]
    point: Json = {
        "value": level.value,
        "not_realised": sum(not is_counted(row) for row in hazards),
        **collision_rate([row for row in hazards if is_counted(row)]),
        "false_alarms": _alarms(calm) if calm else None,
        f"minus_{REFERENCE_RULE}": None,
    }
    if REFERENCE_RULE in rows and policy != REFERENCE_RULE:
        rule = _hazards(rows[REFERENCE_RULE][level.name])
        compared = compare_collisions(hazards, rule, REFERENCE_RULE)
        point[f"minus_{REFERENCE_RULE}"] = compared
    return point


def _alarms(calm: Sequence[EpisodeRecord]) -> Json:
    """Return false alarms per hour at the level that the verdict uses."""
    rates = summarise_alarms(calm)["all"]
    return {
        "episodes": len(calm),
        "hours": rates["hours"],
        **rates[f"false_alarms_{FALSE_ALARM_LEVEL_MPS2}mps2"],
    }


def _trend(levels: Sequence[Level], rows: Mapping[str, Sequence[EpisodeRecord]]) -> Json | None:
    """Return whether collisions rise or fall along an axis; null where nothing can show."""
    rates = [
        collision_rate([row for row in _hazards(rows[level.name]) if is_counted(row)])
        for level in levels
    ]
    trend = cochran_armitage(
        [rate["collisions"] for rate in rates],
        [rate["episodes"] for rate in rates],
        [level.value for level in levels],
    )
    return None if trend is None else trend._asdict()
