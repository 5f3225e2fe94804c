"""Virtual cars behind the ego: what its braking does to those who follow it.

A follower drives over a finished episode's trace and changes nothing in it. It has the driver model
and the actuator of every driven car, so the two kernels live here and not with the other metrics.
"""

from __future__ import annotations

from ml.envs.actuator_kernels import advance_actuator
from ml.envs.driver_kernels import driver_command
from ml.kernels import kernel
from ml.types import (
    TRACE_ACCELERATION,
    TRACE_DISTANCE,
    TRACE_SPEED,
    FloatArray,
)

NO_CONTACT = -1.0


@kernel
def follow_trace(
    trace: FloatArray,
    parameters: FloatArray,
    states: FloatArray,
    start_gaps_m: FloatArray,
    friction_mps2: float,
    duration_s: float,
    impacts_mps: FloatArray,
) -> None:
    """Drive each follower behind the ego until it touches it or the trace ends.

    A follower starts at the ego's speed without acceleration. As everywhere, its command takes hold
    one step later, and the gap within a step is linear where contact is looked for.

    Args:
        trace: The ego's, shape (num_steps, NUM_TRACE_FIELDS); only its speed, acceleration and
            distance are read.
        parameters: Drivers, shape (num_followers, NUM_DRIVER_PARAMETERS).
        states: Drivers' memories, shape (num_followers, NUM_DRIVER_STATES); changed in place.
        start_gaps_m: Bumper to bumper, shape (num_followers,).
        friction_mps2: Largest deceleration that the road allows.
        duration_s: Length of a step.
        impacts_mps: Closing speed at contact, NO_CONTACT without one, shape (num_followers,);
            overwritten.
    """
    for follower in range(start_gaps_m.shape[0]):
        gap = start_gaps_m[follower]
        speed, acceleration, pending = trace[0, TRACE_SPEED], 0.0, 0.0
        impacts_mps[follower] = NO_CONTACT
        for step in range(trace.shape[0] - 1):
            ego, ego_next = trace[step], trace[step + 1]
            command = driver_command(
                parameters[follower],
                states[follower],
                step * duration_s,
                gap,
                speed,
                ego[TRACE_SPEED],
                ego[TRACE_ACCELERATION],
                duration_s,
            )
            acceleration, speed_next = advance_actuator(
                acceleration, pending, speed, friction_mps2, duration_s
            )
            pending = command
            driven = 0.5 * (speed + speed_next) * duration_s
            gap_next = gap + ego_next[TRACE_DISTANCE] - ego[TRACE_DISTANCE] - driven
            if gap_next <= 0.0:
                share = gap / (gap - gap_next)
                closing, closing_next = (
                    speed - ego[TRACE_SPEED],
                    speed_next - ego_next[TRACE_SPEED],
                )
                impacts_mps[follower] = max(0.0, closing + (closing_next - closing) * share)
                break
            gap, speed = gap_next, speed_next
