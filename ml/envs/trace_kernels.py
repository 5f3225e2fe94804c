"""Writes what a step led to into the episode's trace."""

from __future__ import annotations

import math

from ml.kernels import kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_PATH_POSITION,
    CAR_SPEED,
    TRACE_ACCELERATION,
    TRACE_DEMAND,
    TRACE_DISTANCE,
    TRACE_DRIVER_COMMAND,
    TRACE_GAP,
    TRACE_LEAD_ACCELERATION,
    TRACE_LEAD_SPEED,
    TRACE_ORACLE_DEMAND,
    TRACE_SPEED,
    TRACE_TIME,
    FloatArray,
)


@kernel
def write_trace_row(
    trace: FloatArray,
    step: int,
    time_s: float,
    cars: FloatArray,
    gaps_m: FloatArray,
    demand_mps2: float,
    driver_command_mps2: float,
    oracle_mps2: float,
    start_position_m: float,
) -> None:
    """Write one row of the trace.

    Args:
        trace: Shape (max_steps, NUM_TRACE_FIELDS); its row ``step`` is overwritten.
        step: Index of the step.
        time_s: Time after the step.
        cars: Ground truth after the step, shape (num_cars, NUM_CAR_FIELDS).
        gaps_m: From each car to the one ahead, shape (num_cars - 1,).
        demand_mps2: The policy's braking demand.
        driver_command_mps2: What the driver alone commanded.
        oracle_mps2: What full knowledge would have demanded at the decision.
        start_position_m: The ego's path position at the start of the episode.
    """
    row = trace[step]
    row[TRACE_TIME] = time_s
    row[TRACE_SPEED], row[TRACE_ACCELERATION] = cars[0, CAR_SPEED], cars[0, CAR_ACCELERATION]
    row[TRACE_GAP], row[TRACE_LEAD_SPEED], row[TRACE_LEAD_ACCELERATION] = math.inf, 0.0, 0.0
    if cars.shape[0] > 1:
        row[TRACE_GAP] = gaps_m[0]
        row[TRACE_LEAD_SPEED] = cars[1, CAR_SPEED]
        row[TRACE_LEAD_ACCELERATION] = cars[1, CAR_ACCELERATION]
    row[TRACE_DEMAND] = demand_mps2
    row[TRACE_DRIVER_COMMAND] = driver_command_mps2
    row[TRACE_ORACLE_DEMAND] = oracle_mps2
    row[TRACE_DISTANCE] = cars[0, CAR_PATH_POSITION] - start_position_m
