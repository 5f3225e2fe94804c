"""How many cars behind the ego would have hit it, from an episode's trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.envs.conditions import desired_speed_mps
from ml.envs.driver_kernels import (
    DRIVER_DESIRED_SPEED,
    DRIVER_REACTION,
    DRIVER_TIME_GAP,
    NUM_DRIVER_PARAMETERS,
    NUM_DRIVER_STATES,
    STANDSTILL_GAP_M,
)
from ml.envs.follower_kernels import follow_trace
from ml.types import CONTROL_PERIOD_S, TRACE_SPEED, FloatArray

FOLLOWER_HEADWAYS_S = (0.6, 1.0, 2.0)
FOLLOWER_DELAYS_S = (0.75, 1.5)


def follower_impacts_mps(
    trace: FloatArray,
    friction_mps2: float,
    headways_s: Sequence[float] = FOLLOWER_HEADWAYS_S,
    delays_s: Sequence[float] = FOLLOWER_DELAYS_S,
) -> FloatArray:
    """Return the closing speed with which each follower hits the ego, NO_CONTACT if it does not.

    A follower is the environment's human driver: it keeps 2 m + headway * speed, brakes by up to
    3 m/s^2 without delay, and answers braking beyond 2.5 m/s^2 after its reaction delay with a ramp
    of 12.65 m/s^3 to 0.774 g, through the same actuator; its attention never lapses. It starts at
    that gap and at the ego's speed. The trace ends with the episode: what happens behind an ego
    that has hit the car ahead is not followed up.

    Args:
        trace: Shape (num_steps, NUM_TRACE_FIELDS), at least one step.
        friction_mps2: Largest deceleration that the road allows.
        headways_s: The followers' time gaps.
        delays_s: Their reaction delays; there is a follower for each pair.

    Returns:
        Shape (len(headways_s), len(delays_s)) [m/s].
    """
    shape = (len(headways_s), len(delays_s))
    parameters: FloatArray = np.zeros((shape[0] * shape[1], NUM_DRIVER_PARAMETERS))
    parameters[:, DRIVER_TIME_GAP] = np.repeat(headways_s, shape[1])
    parameters[:, DRIVER_REACTION] = np.tile(delays_s, shape[0])
    parameters[:, DRIVER_DESIRED_SPEED] = desired_speed_mps(float(trace[:, TRACE_SPEED].max()))
    start_gaps_m = STANDSTILL_GAP_M + parameters[:, DRIVER_TIME_GAP] * trace[0, TRACE_SPEED]
    impacts: FloatArray = np.empty(len(parameters))
    follow_trace(
        trace, parameters, np.zeros((len(parameters), NUM_DRIVER_STATES)), start_gaps_m,
        friction_mps2, CONTROL_PERIOD_S, impacts,
    )  # fmt: skip
    return impacts.reshape(shape)


def follower_record(
    trace: FloatArray,
    friction_mps2: float,
    headways_s: Sequence[float] = FOLLOWER_HEADWAYS_S,
    delays_s: Sequence[float] = FOLLOWER_DELAYS_S,
) -> dict[str, float | int | None]:
    """Return how many followers there are and hit the ego, and the worst impact speed.

    Args:
        trace: Shape (num_steps, NUM_TRACE_FIELDS), at least one step.
        friction_mps2: Largest deceleration that the road allows.
        headways_s: The followers' time gaps.
        delays_s: Their reaction delays; there is a follower for each pair.
    """
    impacts = follower_impacts_mps(trace, friction_mps2, headways_s, delays_s)
    num_collisions = int((impacts >= 0.0).sum())
    return {
        "num_followers": impacts.size,
        "num_follower_collisions": num_collisions,
        "follower_max_impact_mps": float(impacts.max()) if num_collisions else None,
    }
