"""The brake and drive actuator: what a car does with a commanded acceleration."""

from __future__ import annotations

import math

from ml.kernels import kernel

ACTUATOR_LAG_S = 0.2
ACTUATOR_JERK_LIMIT_MPS3 = 25.0
BRAKE_BUILD_UP_MPS3 = 20.0
"""How fast the braking of a car that brakes hard ahead builds up [m/s^3]."""


@kernel
def advance_actuator(
    acceleration_mps2: float,
    command_mps2: float,
    speed_mps: float,
    friction_mps2: float,
    duration_s: float,
) -> tuple[float, float]:
    """Advance a car's acceleration and speed under a constant command, in closed form.

    ``da/dt = clip((u - a) / lag, -jerk, jerk)`` with ``u`` limited by friction: first a straight
    ramp while ``|u - a| > jerk * lag``, then an exponential. The command is the one of the control
    step before: the dead time of one step is the caller's.

    Args:
        acceleration_mps2: Acceleration at the start.
        command_mps2: Commanded acceleration ``u``.
        speed_mps: Speed at the start.
        friction_mps2: Largest deceleration that the road allows.
        duration_s: Length of the interval.

    Returns:
        Acceleration and speed at the end; a car that has stopped stays at 0.
    """
    command = max(command_mps2, -friction_mps2)
    error = command - acceleration_mps2
    linear_error = ACTUATOR_JERK_LIMIT_MPS3 * ACTUATOR_LAG_S
    acceleration, speed, remaining_s = acceleration_mps2, speed_mps, duration_s
    if abs(error) > linear_error:
        jerk = math.copysign(ACTUATOR_JERK_LIMIT_MPS3, error)
        ramp_s = min((abs(error) - linear_error) / ACTUATOR_JERK_LIMIT_MPS3, duration_s)
        speed += acceleration * ramp_s + 0.5 * jerk * ramp_s * ramp_s
        acceleration += jerk * ramp_s
        remaining_s -= ramp_s
    if remaining_s > 0.0:
        error = command - acceleration
        decay = math.exp(-remaining_s / ACTUATOR_LAG_S)
        speed += command * remaining_s - error * ACTUATOR_LAG_S * (1.0 - decay)
        acceleration = command - error * decay
    if speed <= 0.0:
        return max(acceleration, 0.0), 0.0
    return acceleration, speed
