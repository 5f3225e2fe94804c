"""Surrogate safety measures between a car and the one ahead, on ground truth.

Symbols: ``gap_m`` bumper-to-bumper distance, ``speed_mps`` of the follower, ``lead_speed_mps`` and
``lead_acceleration_mps2`` of the car ahead.
"""

from __future__ import annotations

import math

from ml.kernels import kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_BRAKE_TARGET,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SPEED,
    MAX_DEMAND_MPS2,
    TRACE_GAP,
    TRACE_LEAD_ACCELERATION,
    TRACE_LEAD_SPEED,
    TRACE_SPEED,
    FloatArray,
)

UNAVOIDABLE_DECELERATION_MPS2 = 99.0
"""Reported for the required deceleration once the bumpers touch [m/s^2]."""

ORACLE_REACTION_S = 0.3  # dead time plus lag of the actuator
ORACLE_MARGIN_M = 1.0
ORACLE_THRESHOLD_MPS2 = 3.0
ORACLE_RESERVE = 1.1


@kernel
def required_deceleration_mps2(
    gap_m: float, speed_mps: float, lead_speed_mps: float, lead_acceleration_mps2: float
) -> float:
    """Return the constant deceleration that just avoids contact with the car ahead [m/s^2].

    The car ahead keeps its acceleration until it stands. With ``b = -lead_acceleration``:
    ``v^2 / (2 g)`` behind a standing car; ``v^2 / (2 g + v_l^2 / b)`` if it stops before the speeds
    are equal; else ``(v - v_l)^2 / (2 g) + b`` while closing, and 0 otherwise.

    Source: constant-acceleration kinematics; see Mahmud et al. 2017, "Application of proximal
    surrogate indicators for safety evaluation", IATSS Research 41 (DRAC and its extensions).
    """
    if speed_mps <= 0.0:
        return 0.0
    if gap_m <= 0.0:
        return UNAVOIDABLE_DECELERATION_MPS2
    closing_mps = speed_mps - lead_speed_mps
    braking_mps2 = -lead_acceleration_mps2
    required = 0.0
    if lead_speed_mps <= 0.0:
        required = speed_mps * speed_mps / (2.0 * gap_m)
    elif braking_mps2 > 0.0 and 2.0 * gap_m * braking_mps2 > lead_speed_mps * closing_mps:
        stopping_m = lead_speed_mps * lead_speed_mps / braking_mps2
        required = speed_mps * speed_mps / (2.0 * gap_m + stopping_m)
    elif closing_mps > 0.0:
        required = max(0.0, closing_mps * closing_mps / (2.0 * gap_m) + braking_mps2)
    return min(required, UNAVOIDABLE_DECELERATION_MPS2)


@kernel
def time_to_collision_s(gap_m: float, speed_mps: float, lead_speed_mps: float) -> float:
    """Return ``gap / (v - v_l)`` [s] while closing, else infinity (Hayward 1972)."""
    closing_mps = speed_mps - lead_speed_mps
    if closing_mps <= 0.0:
        return math.inf
    return max(0.0, gap_m) / closing_mps


@kernel
def _first_root_s(gap_m: float, closing_mps: float, closing_mps2: float, limit_s: float) -> float:
    """Return the first t in [0, limit] with gap = closing t + closing' t^2 / 2, else infinity."""
    if abs(closing_mps2) < 1e-12:
        root = gap_m / closing_mps if closing_mps > 0.0 else math.inf
        return root if root <= limit_s else math.inf
    discriminant = closing_mps * closing_mps + 2.0 * closing_mps2 * gap_m
    if discriminant < 0.0:
        return math.inf
    # The smaller positive root, in the form that does not cancel.
    denominator = closing_mps + math.sqrt(discriminant)
    root = 2.0 * gap_m / denominator if denominator > 0.0 else math.inf
    return root if root <= limit_s else math.inf


@kernel
def modified_time_to_collision_s(
    gap_m: float,
    speed_mps: float,
    acceleration_mps2: float,
    lead_speed_mps: float,
    lead_acceleration_mps2: float,
) -> float:
    """Return the time of first contact with present accelerations [s], infinity if none.

    Each car stays at rest once it has stopped, which the bare quadratic ignores
    (Ozbay et al. 2008).
    """
    if gap_m <= 0.0:
        return 0.0
    elapsed_s = 0.0
    gap, v, a = gap_m, speed_mps, acceleration_mps2
    lead_v, lead_a = lead_speed_mps, lead_acceleration_mps2
    for _ in range(3):
        stop_s = v / -a if a < 0.0 else math.inf
        lead_stop_s = lead_v / -lead_a if lead_a < 0.0 else math.inf
        segment_s = min(stop_s, lead_stop_s)
        root_s = _first_root_s(gap, v - lead_v, a - lead_a, segment_s)
        if root_s < math.inf:
            return elapsed_s + root_s
        if segment_s == math.inf:
            return math.inf
        gap -= (v - lead_v) * segment_s + 0.5 * (a - lead_a) * segment_s * segment_s
        elapsed_s += segment_s
        v += a * segment_s
        lead_v += lead_a * segment_s
        if stop_s <= lead_stop_s:
            v, a = 0.0, 0.0
        if lead_stop_s <= stop_s:
            lead_v, lead_a = 0.0, 0.0
    return math.inf


@kernel
def bumper_gap_m(cars: FloatArray, follower: int, lead: int) -> float:
    """Return the free distance along the route between two cars [m], negative once they overlap."""
    rear_m = cars[lead, CAR_PATH_POSITION] - cars[lead, CAR_LENGTH]
    return float(rear_m - cars[follower, CAR_PATH_POSITION])


@kernel
def convoy_required_deceleration_mps2(
    cars: FloatArray, reaction_s: float, margin_m: float, knows_targets: bool
) -> float:
    """Return the deceleration that the ego needs so as to reach none of the cars ahead [m/s^2].

    Every car ahead counts as an obstacle; the cars between can close up, so only their lengths
    lie between. Over all of them the largest :func:`required_deceleration_mps2` counts.

    Args:
        cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS), row 0 the ego.
        reaction_s: Time before the ego's braking takes hold, at constant relative speed [s].
        margin_m: Distance to leave [m].
        knows_targets: Whether the deceleration that a car is building up to counts at once.
    """
    largest = 0.0
    speed = cars[0, CAR_SPEED]
    lengths_between_m = 0.0
    for rank in range(1, cars.shape[0]):
        lead_speed = cars[rank, CAR_SPEED]
        lead_acceleration = cars[rank, CAR_ACCELERATION]
        if knows_targets:
            lead_acceleration = min(lead_acceleration, -cars[rank, CAR_BRAKE_TARGET])
        gap = bumper_gap_m(cars, 0, rank) - lengths_between_m
        gap -= margin_m + max(0.0, speed - lead_speed) * reaction_s
        braking = max(0.0, -lead_acceleration)
        gap -= 0.5 * braking * reaction_s * reaction_s
        required = required_deceleration_mps2(max(gap, 0.1), speed, lead_speed, lead_acceleration)
        largest = max(largest, required)
        lengths_between_m += cars[rank, CAR_LENGTH]
    return largest


@kernel
def measure_trace(trace: FloatArray, ttc_s: FloatArray) -> float:
    """Write every step's time to collision and return the largest required deceleration.

    Args:
        trace: Steps with a car ahead, shape (num_steps, NUM_TRACE_FIELDS).
        ttc_s: Shape (num_steps,); overwritten.

    Returns:
        Largest required deceleration [m/s^2].
    """
    largest = 0.0
    for step in range(trace.shape[0]):
        row = trace[step]
        gap, speed, lead_speed = row[TRACE_GAP], row[TRACE_SPEED], row[TRACE_LEAD_SPEED]
        ttc_s[step] = time_to_collision_s(gap, speed, lead_speed)
        required = required_deceleration_mps2(gap, speed, lead_speed, row[TRACE_LEAD_ACCELERATION])
        largest = max(largest, required)
    return largest


@kernel
def oracle_demand_mps2(cars: FloatArray) -> float:
    """Return the braking that full knowledge without delay demands now [m/s^2], 0 if none.

    It brakes as hard as the convoy ahead requires, with a tenth in reserve, once that exceeds what
    a following driver does by itself.

    Args:
        cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS), row 0 the ego.
    """
    required = convoy_required_deceleration_mps2(cars, ORACLE_REACTION_S, ORACLE_MARGIN_M, True)
    if required < ORACLE_THRESHOLD_MPS2:
        return 0.0
    return min(MAX_DEMAND_MPS2, ORACLE_RESERVE * required)
