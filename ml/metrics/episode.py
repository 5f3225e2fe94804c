"""Metrics of one episode: pure functions of its trace, independent of the reward.

The trace's layout is in ``ml.types``: one row per control step, ground truth throughout.
"""

from __future__ import annotations

import numpy as np

from ml.metrics.safety_kernels import measure_trace
from ml.types import (
    CONTROL_PERIOD_S,
    TRACE_ACCELERATION,
    TRACE_DEMAND,
    TRACE_DISTANCE,
    TRACE_DRIVER_COMMAND,
    TRACE_GAP,
    TRACE_ORACLE_DEMAND,
    TRACE_SPEED,
    TRACE_TIME,
    BoolArray,
    FloatArray,
)

ALARM_THRESHOLDS_MPS2 = (1, 3, 5)
ALARM_MERGE_S = 1.0
TTC_THRESHOLDS_S = (1.5, 3.0)
BEYOND_DRIVER_MPS2 = 1.0
"""Braking is the policy's where it exceeds the driver's own by more than this [m/s^2]."""

_DRIVER_MEMORY_S = 1.0
_LONGEST_TTC_S = 3600.0
"""From here on two speeds are equal but for rounding: no time to collision [s]."""
_MIN_HEADWAY_SPEED_MPS = 3.0


def alarm_events(excess_mps2: FloatArray, threshold_mps2: float) -> list[tuple[int, int]]:
    """Return the alarms as (first step, one past the last step).

    An alarm is a stretch in which the demand exceeds the driver's own braking by more than the
    threshold; stretches less than one second apart are one alarm.

    Args:
        excess_mps2: Demand beyond the driver's own deceleration, shape (num_steps,).
        threshold_mps2: The threshold.
    """
    steps = np.flatnonzero(excess_mps2 > threshold_mps2)
    if not steps.size:
        return []
    merge_steps = round(ALARM_MERGE_S / CONTROL_PERIOD_S)
    breaks = np.flatnonzero(np.diff(steps) > merge_steps)
    first = steps[np.concatenate(([0], breaks + 1))]
    last = steps[np.concatenate((breaks, [steps.size - 1]))]
    return [(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]


def alarm_counts(trace: FloatArray) -> dict[str, int]:
    """Return the number of alarms, and of false ones, for each threshold.

    An alarm is false if the oracle, which knows everything, demands nothing while it lasts.
    """
    own_braking = np.maximum(0.0, -trace[:, TRACE_DRIVER_COMMAND])
    excess = trace[:, TRACE_DEMAND] - own_braking
    is_called_for: BoolArray = trace[:, TRACE_ORACLE_DEMAND] > 0.0
    counts = {}
    for threshold in ALARM_THRESHOLDS_MPS2:
        events = alarm_events(excess, threshold)
        false = [event for event in events if not is_called_for[event[0] : event[1]].any()]
        counts[f"alarms_{threshold}mps2"] = len(events)
        counts[f"false_alarms_{threshold}mps2"] = len(false)
    return counts


def safety_metrics(trace: FloatArray) -> dict[str, float | None]:
    """Return the episode's surrogate safety measures; None where there was no car ahead."""
    has_lead = np.isfinite(trace[:, TRACE_GAP])
    if not has_lead.any():
        names = ["min_gap_m", "min_ttc_s", "max_required_deceleration_mps2"]
        names += [f"time_below_ttc_{threshold:g}s_s" for threshold in TTC_THRESHOLDS_S]
        return dict.fromkeys(names)
    rows = trace[has_lead]
    ttc: FloatArray = np.empty(rows.shape[0])
    required = measure_trace(rows, ttc)
    smallest_ttc = float(ttc.min())
    metrics: dict[str, float | None] = {
        "min_gap_m": float(rows[:, TRACE_GAP].min()),
        "min_ttc_s": smallest_ttc if smallest_ttc < _LONGEST_TTC_S else None,
        "max_required_deceleration_mps2": float(required),
    }
    for threshold in TTC_THRESHOLDS_S:
        exposed_s = float((ttc < threshold).sum()) * CONTROL_PERIOD_S
        metrics[f"time_below_ttc_{threshold:g}s_s"] = exposed_s
    return metrics


def reaction_metrics(trace: FloatArray, onset_s: float | None) -> dict[str, float | None]:
    """Return how soon after the hazard's onset the policy braked, and how it compares.

    ``time_to_braking_s`` is the time from the onset to the end of the first step in which the ego
    really decelerated by 1 m/s^2 more than its driver has commanded since, or within the second
    before: the driver's own braking, which fades through the actuator, is none of the policy's.
    ``margin_to_oracle_s`` is when the oracle first demanded braking minus when the policy first
    demanded 1 m/s^2 more than the driver did: below 0 the policy was later.

    Args:
        trace: Shape (num_steps, NUM_TRACE_FIELDS).
        onset_s: When the hazard began, None if none did.

    Returns:
        Both times; None where there was no hazard or one of the two never came.
    """
    metrics: dict[str, float | None] = {"time_to_braking_s": None, "margin_to_oracle_s": None}
    if onset_s is None:
        return metrics
    rows = trace[trace[:, TRACE_TIME] > onset_s - _DRIVER_MEMORY_S + 1e-9]
    is_after = rows[:, TRACE_TIME] > onset_s + 1e-9
    driver_mps2 = np.maximum(0.0, -rows[:, TRACE_DRIVER_COMMAND])
    own_mps2 = np.maximum.accumulate(driver_mps2) + BEYOND_DRIVER_MPS2
    braked_s = _first_time_s(rows, is_after & (-rows[:, TRACE_ACCELERATION] > own_mps2))
    if braked_s is not None:
        metrics["time_to_braking_s"] = braked_s - onset_s
    is_demanding = rows[:, TRACE_DEMAND] > driver_mps2 + BEYOND_DRIVER_MPS2
    policy_s = _first_time_s(rows, is_after & is_demanding)
    oracle_s = _first_time_s(rows, is_after & (rows[:, TRACE_ORACLE_DEMAND] > 0.0))
    if policy_s is not None and oracle_s is not None:
        metrics["margin_to_oracle_s"] = oracle_s - policy_s
    return metrics


def _first_time_s(rows: FloatArray, is_wanted: BoolArray) -> float | None:
    """Return the time of the first row that is wanted, None if none is."""
    indices = np.flatnonzero(is_wanted)
    return float(rows[indices[0], TRACE_TIME]) if indices.size else None


def comfort_metrics(trace: FloatArray) -> dict[str, float | None]:
    """Return jerk, mean speed, distance and mean headway of the episode."""
    jerk = np.abs(np.diff(trace[:, TRACE_ACCELERATION])) / CONTROL_PERIOD_S
    is_following = np.isfinite(trace[:, TRACE_GAP]) & (
        trace[:, TRACE_SPEED] > _MIN_HEADWAY_SPEED_MPS
    )
    headways = trace[is_following, TRACE_GAP] / trace[is_following, TRACE_SPEED]
    return {
        "jerk_p99_mps3": float(np.percentile(jerk, 99)) if jerk.size else 0.0,
        "mean_speed_mps": float(trace[:, TRACE_SPEED].mean()),
        "distance_m": float(trace[-1, TRACE_DISTANCE]),
        "mean_headway_s": float(headways.mean()) if headways.size else None,
    }
