"""From what SUMO says of each car to the convoy's arrays, and what a step led to among its cars."""

from __future__ import annotations

from ml.kernels import kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SLOPE,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    FloatArray,
)
from ml.units import heading_rad_from_sumo_angle_deg, rad_from_deg

# Columns of ``readings``, float64 (num_cars, NUM_READING_FIELDS): SUMO's own words
READING_X, READING_Y = 0, 1  # [m]
READING_SPEED = 2  # [m/s]
READING_ANGLE = 3  # [deg], 0 = north, clockwise
READING_ODOMETER = 4  # [m] driven since the car's departure
READING_SLOPE = 5  # [deg], uphill positive
NUM_READING_FIELDS = 6

# What ``update_cars`` finds, one bit each
HAS_PASSED = 1  # a front bumper has passed that of the car ahead
HAS_TOUCHED = 2  # two cars overlap
AT_ROUTE_END = 4  # a car is about to leave the road
NO_IMPACT = -1.0
_LEAST_CLOSED_M = 1e-9

_heading_rad = kernel(heading_rad_from_sumo_angle_deg)
_rad = kernel(rad_from_deg)


@kernel
def update_cars(
    readings: FloatArray,
    odometer_offsets_m: FloatArray,
    route_ends_m: FloatArray,
    duration_s: float,
    cars: FloatArray,
    gaps_m: FloatArray,
) -> tuple[int, float]:
    """Write the cars' new state and the gaps between them; return what is to be looked at.

    Args:
        readings: What SUMO says, shape (num_cars, NUM_READING_FIELDS).
        odometer_offsets_m: Path position of each car at odometer 0, shape (num_cars,).
        route_ends_m: Path position beyond which a car is too close to the end of its route, shape
            (num_cars,).
        duration_s: Time since the last call, over which the speed has changed [s].
        cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS); changed in place.
        gaps_m: From each car to the one ahead, bumper to bumper, shape (num_cars - 1,).

    Returns:
        The sum of HAS_PASSED, HAS_TOUCHED and AT_ROUTE_END, where they hold; and the speed at which
        the ego closed on the car ahead when they touched, linear in the gap in between, NO_IMPACT
        where they do not [m/s].
    """
    findings = 0
    closing_before_mps, gap_before_m = 0.0, 0.0
    if cars.shape[0] > 1:
        closing_before_mps, gap_before_m = cars[0, CAR_SPEED] - cars[1, CAR_SPEED], gaps_m[0]
    for rank in range(cars.shape[0]):
        reading, car = readings[rank], cars[rank]
        car[CAR_X], car[CAR_Y] = reading[READING_X], reading[READING_Y]
        car[CAR_ACCELERATION] = (reading[READING_SPEED] - car[CAR_SPEED]) / duration_s
        car[CAR_SPEED] = reading[READING_SPEED]
        car[CAR_HEADING] = _heading_rad(reading[READING_ANGLE])
        car[CAR_PATH_POSITION] = odometer_offsets_m[rank] + reading[READING_ODOMETER]
        car[CAR_SLOPE] = _rad(reading[READING_SLOPE])
        if car[CAR_PATH_POSITION] > route_ends_m[rank]:
            findings |= AT_ROUTE_END
    for rank in range(cars.shape[0] - 1):
        position_m, ahead_m = cars[rank, CAR_PATH_POSITION], cars[rank + 1, CAR_PATH_POSITION]
        gaps_m[rank] = ahead_m - cars[rank + 1, CAR_LENGTH] - position_m
        if gaps_m[rank] <= 0.0:
            findings |= HAS_TOUCHED
        if not ahead_m > position_m:
            findings |= HAS_PASSED
    if cars.shape[0] == 1 or gaps_m[0] > 0.0:
        return findings, NO_IMPACT
    share = gap_before_m / max(gap_before_m - gaps_m[0], _LEAST_CLOSED_M)
    closing_mps = cars[0, CAR_SPEED] - cars[1, CAR_SPEED]
    return findings, max(0.0, closing_before_mps + (closing_mps - closing_before_mps) * share)
