"""A human driver who sees only the car directly ahead.

Following is undelayed and keeps a constant time gap; it brakes at most 3 m/s^2. When the car ahead
brakes harder than 2.5 m/s^2 the emergency response follows after the reaction delay: a ramp of
12.65 m/s^3 to 0.774 g. Splitting the two matters: a delay on the whole following law makes it
crash by itself in stop-and-go traffic, which would be charged to the policy.

Source of the emergency ramp: the competent and careful driver of UN Regulation No. 157, Annex 4,
Appendix 3 (0.774 g reached in 0.6 s).
"""

from __future__ import annotations

import math

from ml.kernels import kernel
from ml.types import FloatArray

STANDSTILL_GAP_M = 2.0
FOLLOWING_BRAKE_LIMIT_MPS2 = 3.0
FOLLOWING_ACCELERATION_LIMIT_MPS2 = 2.0
EMERGENCY_TRIGGER_MPS2 = 2.5
EMERGENCY_RAMP_MPS3 = 12.65
EMERGENCY_DECELERATION_MPS2 = 7.59
LONGEST_REACTION_S = 1.5
_GAP_GAIN_PER_S2 = 0.4
_SPEED_GAIN_PER_S = 1.5
_CRUISE_GAIN_PER_S = 0.5
_RELEASE_ACCELERATION_MPS2 = -1.0
_RELEASE_DECELERATION_MPS2 = 2.0

# Columns of a driver's parameters, float64 (NUM_DRIVER_PARAMETERS,)
DRIVER_TIME_GAP = 0  # [s], equilibrium gap = standstill gap + time gap * speed
DRIVER_REACTION = 1  # [s], onset of the braking ahead -> own braking begins, lapse excluded
DRIVER_DESIRED_SPEED = 2  # [m/s], never exceeded
DRIVER_LAPSE_PERIOD = 3  # [s], a lapse of attention starts once in each period; 0 = never
DRIVER_LAPSE_OFFSET = 4  # [s], where in the period it starts
DRIVER_LAPSE_DURATION = 5  # [s]
NUM_DRIVER_PARAMETERS = 6

# Columns of a driver's state, float64 (NUM_DRIVER_STATES,)
DRIVER_PHASE = 0  # one of the PHASE_* below
DRIVER_BRAKE_START = 1  # [s], when the emergency braking begins
DRIVER_BRAKE_RAMP = 2  # [m/s^2], deceleration that the emergency ramp has reached
NUM_DRIVER_STATES = 3

PHASE_FOLLOWING, PHASE_REACTING, PHASE_BRAKING = 0.0, 1.0, 2.0


@kernel
def _attention_returns_s(parameters: FloatArray, time_s: float) -> float:
    """Return when a lapse of attention that covers ``time_s`` ends, else ``time_s``."""
    period = parameters[DRIVER_LAPSE_PERIOD]
    if period <= 0.0:
        return time_s
    offset = parameters[DRIVER_LAPSE_OFFSET]
    start = math.floor((time_s - offset) / period) * period + offset
    return float(max(time_s, start + parameters[DRIVER_LAPSE_DURATION]))


@kernel
def _following_command(
    parameters: FloatArray, gap_m: float, speed_mps: float, lead_speed_mps: float
) -> float:
    """Return the constant-time-gap law's acceleration [m/s^2]; an infinite gap is a free road."""
    cruise = _CRUISE_GAIN_PER_S * (parameters[DRIVER_DESIRED_SPEED] - speed_mps)
    command = min(cruise, FOLLOWING_ACCELERATION_LIMIT_MPS2)
    if gap_m < math.inf:
        desired_gap_m = STANDSTILL_GAP_M + parameters[DRIVER_TIME_GAP] * speed_mps
        following = _GAP_GAIN_PER_S2 * (gap_m - desired_gap_m)
        following += _SPEED_GAIN_PER_S * (lead_speed_mps - speed_mps)
        command = min(command, following)
    return float(max(command, -FOLLOWING_BRAKE_LIMIT_MPS2))


@kernel
def driver_command(
    parameters: FloatArray,
    state: FloatArray,
    time_s: float,
    gap_m: float,
    speed_mps: float,
    lead_speed_mps: float,
    lead_acceleration_mps2: float,
    duration_s: float,
) -> float:
    """Return the driver's commanded acceleration and advance the driver's state.

    Args:
        parameters: The driver, shape (NUM_DRIVER_PARAMETERS,).
        state: The driver's memory, shape (NUM_DRIVER_STATES,); changed in place.
        time_s: Time of the decision.
        gap_m: Bumper-to-bumper gap to the car ahead, infinite if there is none.
        speed_mps: Own speed.
        lead_speed_mps: Speed of the car ahead.
        lead_acceleration_mps2: Acceleration of the car ahead.
        duration_s: Length of the control step.

    Returns:
        Commanded acceleration over the step [m/s^2].
    """
    following = _following_command(parameters, gap_m, speed_mps, lead_speed_mps)
    closing = max(0.0, speed_mps - lead_speed_mps)
    needed = closing * closing / (2.0 * max(gap_m, 0.1))
    is_threat = gap_m < math.inf and (
        lead_acceleration_mps2 < -EMERGENCY_TRIGGER_MPS2 or needed > FOLLOWING_BRAKE_LIMIT_MPS2
    )
    is_over = (
        lead_acceleration_mps2 > _RELEASE_ACCELERATION_MPS2 and needed < _RELEASE_DECELERATION_MPS2
    )
    if state[DRIVER_PHASE] == PHASE_FOLLOWING and is_threat:
        noticed_s = _attention_returns_s(parameters, time_s)
        reaction_s = noticed_s - time_s + parameters[DRIVER_REACTION]
        state[DRIVER_BRAKE_START] = time_s + min(reaction_s, LONGEST_REACTION_S)
        state[DRIVER_PHASE] = PHASE_REACTING
    if state[DRIVER_PHASE] == PHASE_REACTING and time_s >= state[DRIVER_BRAKE_START] - 1e-9:
        state[DRIVER_PHASE] = PHASE_FOLLOWING if is_over else PHASE_BRAKING
        state[DRIVER_BRAKE_RAMP] = max(0.0, -following)
    if state[DRIVER_PHASE] == PHASE_BRAKING:
        if is_over or speed_mps <= 0.0:
            state[DRIVER_PHASE] = PHASE_FOLLOWING
            return following
        ramp = state[DRIVER_BRAKE_RAMP] + EMERGENCY_RAMP_MPS3 * duration_s
        state[DRIVER_BRAKE_RAMP] = min(ramp, EMERGENCY_DECELERATION_MPS2)
        return float(min(following, -state[DRIVER_BRAKE_RAMP]))
    return following
