"""Summary of one policy in one family under one radio preset: counts, rates and intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.statistics import clopper_pearson, poisson_rate_interval, upper_bound
from ml.evaluation.verdict import (
    ALARM_LEVELS_MPS2,
    Json,
    collision_rate,
    grouped,
    has_realised_hazard,
    is_counted,
)

OLD_AGE_S = 0.5
"""State older than this is called old."""

UNREACHABLE_DECELERATION_MPS2 = 10.0
"""A required deceleration beyond what a road allows counts as this much, contact (99) included."""

_EXPOSURES = ("time_below_ttc_1.5s_s", "time_below_ttc_3s_s")
_COMFORT = ("jerk_p99_mps3", "mean_speed_mps", "mean_headway_s")
_SECONDS_PER_HOUR = 3600.0
_METRES_PER_KM = 1000.0


def summarise(rows: Sequence[EpisodeRecord]) -> Json:
    """Summarise the episodes of one policy in one family under one radio preset.

    Episodes whose hazard did not happen as asked are counted as such and enter nothing else, unless
    the ego collided. A value that no episode measured is null.

    Args:
        rows: The records.

    Returns:
        See docs/compare.md for the keys.
    """
    counted = [row for row in rows if is_counted(row)]
    return {
        "num_episodes": len(rows),
        "num_not_realised": len(rows) - len(counted),
        "collisions": bounded_collision_rate(counted),
        "by_num_peers_and_rank": _by_cell(counted),
        "impact_speed_mps": distribution(counted, "impact_speed_mps"),
        "followers": _followers(counted),
        "min_gap_m": distribution(counted, "min_gap_m"),
        "min_ttc_s": distribution(counted, "min_ttc_s"),
        "max_required_deceleration_mps2": distribution(
            counted, "max_required_deceleration_mps2", largest=UNREACHABLE_DECELERATION_MPS2
        ),
        **{name: distribution(counted, name) for name in _EXPOSURES},
        "time_to_braking_s": _reaction(counted),
        "false_alarms": summarise_false_alarms(counted),
        **{name: distribution(counted, name) for name in _COMFORT},
        "radio": _radio(counted),
    }


def bounded_collision_rate(counted: Sequence[EpisodeRecord]) -> Json:
    """Return the collision rate with its interval and its one-sided 95 % upper bound."""
    rate = collision_rate(counted)
    bound = upper_bound(rate["collisions"], len(counted)) if counted else None
    return {**rate, "upper_bound_95": bound}


def distribution(
    rows: Sequence[EpisodeRecord], name: str, *, largest: float = np.inf
) -> Json | None:
    """Return mean and quantiles of a field over the rows that have it, None if none has.

    Args:
        rows: The records.
        name: The field.
        largest: What larger values count as.
    """
    values = np.array([row[name] for row in rows if row.get(name) is not None], dtype=np.float64)
    if values.size == 0:
        return None
    values = np.minimum(values, largest)
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    return {
        "measured": int(values.size),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "p05": float(low),
        "median": float(median),
        "p95": float(high),
        "max": float(values.max()),
    }


def summarise_false_alarms(counted: Sequence[EpisodeRecord]) -> Json:
    """Return false alarms per hour and per kilometre at each level, with exact 95 % intervals."""
    hours = sum(float(row.get("duration_s") or 0.0) for row in counted) / _SECONDS_PER_HOUR
    km = sum(float(row.get("distance_m") or 0.0) for row in counted) / _METRES_PER_KM
    alarms: Json = {"hours": hours, "distance_km": km}
    for level in ALARM_LEVELS_MPS2:
        name = f"false_alarms_{level}mps2"
        is_known = bool(counted) and all(row.get(name) is not None for row in counted)
        count = sum(int(row[name]) for row in counted) if is_known else None
        alarms[f"{level}mps2"] = {
            "count": count,
            **_event_rate(count, hours, "per_hour"),
            **_event_rate(count, km, "per_km"),
        }
    return alarms


def _event_rate(count: int | None, exposure: float, name: str) -> Json:
    """Return a rate of events and its exact 95 % interval, null where nothing was observed."""
    if count is None or exposure <= 0.0:
        return {name: None, f"{name}_interval_95": None}
    interval = poisson_rate_interval(count, exposure)
    return {name: count / exposure, f"{name}_interval_95": list(interval)}


def _by_cell(counted: Sequence[EpisodeRecord]) -> list[Json]:
    """Return the collision rate by number of peers and rank of the braking car, 0 for none."""
    cells = grouped(
        counted,
        lambda row: (int(row.get("num_peers") or 0), int(row.get("hazard_source_rank") or 0)),
    )
    return [
        {"num_peers": cell[0], "source_rank": cell[1] or None, **collision_rate(cells[cell])}
        for cell in sorted(cells)
    ]


def _followers(counted: Sequence[EpisodeRecord]) -> Json | None:
    """Return the collisions of virtual followers, None where none was run.

    Followers of one episode share its braking, so the interval counts episodes, not followers.
    """
    rows = [row for row in counted if row.get("num_followers")]
    if not rows:
        return None
    num_followers = sum(int(row["num_followers"]) for row in rows)
    collisions = sum(int(row["num_follower_collisions"]) for row in rows)
    struck = sum(bool(row["num_follower_collisions"]) for row in rows)
    return {
        "followers": num_followers,
        "collisions": collisions,
        "collision_rate": collisions / num_followers,
        "episodes": len(rows),
        "episodes_with_collision": struck,
        "episode_rate": struck / len(rows),
        "episode_interval_95": list(clopper_pearson(struck, len(rows))),
        "impact_speed_mps": distribution(rows, "follower_max_impact_mps"),
    }


def _reaction(counted: Sequence[EpisodeRecord]) -> Json | None:
    """Return the time from the onset to the ego's braking, and how many never braked."""
    with_hazard = [
        row for row in counted if has_realised_hazard(row) and "time_to_braking_s" in row
    ]
    times = distribution(with_hazard, "time_to_braking_s")
    if not with_hazard:
        return None
    braked = 0 if times is None else times["measured"]
    return {"num_never": len(with_hazard) - braked, **(times or {"measured": 0})}


def _radio(counted: Sequence[EpisodeRecord]) -> Json:
    """Return the delivery ratio and the age of the braking car's state at its onset.

    There is one age an episode: of the car that brakes, in the step in which it begins. A car that
    was never heard counts as old, and as older than any that was.
    """
    ages = [
        row["age_at_onset_s"]
        for row in counted
        if has_realised_hazard(row) and "age_at_onset_s" in row
    ]
    heard = [float(age) for age in ages if age is not None]
    is_old = sum(age is None or age > OLD_AGE_S for age in ages)
    return {
        "delivery_ratio": distribution(counted, "radio_delivery_ratio"),
        "age_at_onset_s": {
            "episodes": len(ages),
            "never_heard": len(ages) - len(heard),
            "mean_of_heard": float(np.mean(heard)) if heard else None,
            "p95": _percentile_with_unheard(heard, len(ages), 95),
            "p99": _percentile_with_unheard(heard, len(ages), 99),
            "over_500ms": is_old,
            "share_over_500ms": is_old / len(ages) if ages else None,
            "share_interval_95": list(clopper_pearson(is_old, len(ages))) if ages else None,
        },
    }


def _percentile_with_unheard(heard: Sequence[float], num_all: int, percent: int) -> float | None:
    """Return the smallest age that so many percent do not exceed, None if that is never heard."""
    place = -(-percent * num_all // 100) - 1  # rounded up
    return sorted(heard)[place] if 0 <= place < len(heard) else None
