"""Who drives what: the next speed of every car that SUMO does not drive."""

from __future__ import annotations

import math

from ml.envs.actuator_kernels import BRAKE_BUILD_UP_MPS3, advance_actuator
from ml.envs.driver_kernels import driver_command
from ml.kernels import kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_BRAKE_TARGET,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SLOPE,
    CAR_SPEED,
    FloatArray,
)
from ml.units import GRAVITY_MPS2

# Columns of ``control``, float64 (num_cars, NUM_CONTROL_FIELDS)
CONTROL_MODE = 0  # one of the MODE_* below
CONTROL_ACCELERATION = 1  # [m/s^2], state of the actuator
CONTROL_PENDING_COMMAND = 2  # [m/s^2], command that takes hold in the next step (dead time)
CONTROL_DRIVER_COMMAND = 3  # [m/s^2], what the driver wanted in this step
CONTROL_NEXT_SPEED = 4  # [m/s], speed at the end of this step; NaN leaves the car to SUMO
CONTROL_SCRIPTED_SPEED = 5  # [m/s], what a script asks for at the end of this step
NUM_CONTROL_FIELDS = 6

MODE_SUMO = 0.0
MODE_UNDRIVEN = 1.0  # actuator without a driver: no command of its own
MODE_DRIVER = 2.0  # actuator under the driver model
MODE_BRAKING = 3.0  # builds up to CAR_BRAKE_TARGET and holds it
MODE_SCRIPTED = 4.0  # follows CONTROL_SCRIPTED_SPEED as comfortably as people drive

SCRIPTED_ACCELERATION_MPS2 = 2.6
SCRIPTED_DECELERATION_MPS2 = 2.4  # below what a driver takes for an emergency, 2.5

_LEAST_BRAKING_MPS2 = 1.0


@kernel
def braking_speed_change_mps(
    deceleration_mps2: float, target_mps2: float, duration_s: float
) -> float:
    """Return the speed lost over a step while braking builds up to ``target_mps2`` [m/s]."""
    ramp_s = (target_mps2 - deceleration_mps2) / BRAKE_BUILD_UP_MPS3
    ramp_s = min(max(ramp_s, 0.0), duration_s)
    reached = deceleration_mps2 + BRAKE_BUILD_UP_MPS3 * ramp_s
    held_s = duration_s - ramp_s
    return 0.5 * (deceleration_mps2 + reached) * ramp_s + min(reached, target_mps2) * held_s


@kernel
def largest_braking_mps2(friction_mps2: float, slope_rad: float) -> float:
    """Return the largest deceleration on a slope: tyres cos(slope) + g sin(slope) [m/s^2].

    ``friction_mps2`` is what the tyres give on the level; uphill (positive) gravity helps.
    """
    braking = friction_mps2 * math.cos(slope_rad) + GRAVITY_MPS2 * math.sin(slope_rad)
    return max(braking, _LEAST_BRAKING_MPS2)


@kernel
def _own_command(
    cars: FloatArray,
    control: FloatArray,
    parameters: FloatArray,
    states: FloatArray,
    rank: int,
    time_s: float,
    duration_s: float,
) -> float:
    """Return a car's own commanded acceleration, by its driver or without one."""
    if control[rank, CONTROL_MODE] == MODE_UNDRIVEN:
        return 0.0
    gap = math.inf
    lead_speed = 0.0
    lead_acceleration = 0.0
    if rank + 1 < cars.shape[0]:
        gap = cars[rank + 1, CAR_PATH_POSITION] - cars[rank + 1, CAR_LENGTH]
        gap -= cars[rank, CAR_PATH_POSITION]
        lead_speed = cars[rank + 1, CAR_SPEED]
        lead_acceleration = cars[rank + 1, CAR_ACCELERATION]
    return driver_command(
        parameters[rank],
        states[rank],
        time_s,
        gap,
        cars[rank, CAR_SPEED],
        lead_speed,
        lead_acceleration,
        duration_s,
    )


@kernel
def plan_speeds(
    cars: FloatArray,
    control: FloatArray,
    parameters: FloatArray,
    states: FloatArray,
    time_s: float,
    demand_mps2: float,
    friction_mps2: float,
    duration_s: float,
) -> None:
    """Decide the speed of every car that SUMO does not drive at the end of the step.

    The ego's command is ``min(driver, -demand)`` where the policy demands braking, else the
    driver's. It takes hold one step later (dead time), through the actuator.

    Args:
        cars: Ground truth at the decision, shape (num_cars, NUM_CAR_FIELDS).
        control: Shape (num_cars, NUM_CONTROL_FIELDS); changed in place.
        parameters: Drivers, shape (num_cars, NUM_DRIVER_PARAMETERS).
        states: Drivers' memories, shape (num_cars, NUM_DRIVER_STATES); changed in place.
        time_s: Time of the decision.
        demand_mps2: The policy's braking demand on the ego, >= 0.
        friction_mps2: Largest deceleration that the road allows on the level.
        duration_s: Length of the step.
    """
    for rank in range(cars.shape[0]):
        row = control[rank]
        speed = cars[rank, CAR_SPEED]
        if row[CONTROL_MODE] == MODE_SUMO:
            row[CONTROL_NEXT_SPEED] = math.nan
        elif row[CONTROL_MODE] == MODE_SCRIPTED:
            slowest = max(0.0, speed - SCRIPTED_DECELERATION_MPS2 * duration_s)
            fastest = speed + SCRIPTED_ACCELERATION_MPS2 * duration_s
            row[CONTROL_NEXT_SPEED] = min(max(row[CONTROL_SCRIPTED_SPEED], slowest), fastest)
        elif row[CONTROL_MODE] == MODE_BRAKING:
            target = cars[rank, CAR_BRAKE_TARGET]
            deceleration = row[CONTROL_ACCELERATION]
            lost = braking_speed_change_mps(deceleration, target, duration_s)
            ramped = deceleration + BRAKE_BUILD_UP_MPS3 * duration_s
            row[CONTROL_ACCELERATION] = min(target, ramped)
            row[CONTROL_NEXT_SPEED] = max(0.0, speed - lost)
        else:
            own = _own_command(cars, control, parameters, states, rank, time_s, duration_s)
            acceleration, next_speed = advance_actuator(
                row[CONTROL_ACCELERATION],
                row[CONTROL_PENDING_COMMAND],
                speed,
                largest_braking_mps2(friction_mps2, cars[rank, CAR_SLOPE]),
                duration_s,
            )
            row[CONTROL_ACCELERATION] = acceleration
            row[CONTROL_NEXT_SPEED] = next_speed
            row[CONTROL_DRIVER_COMMAND] = own
            row[CONTROL_PENDING_COMMAND] = own
            if rank == 0 and demand_mps2 > 0.0:
                row[CONTROL_PENDING_COMMAND] = min(own, -demand_mps2)
