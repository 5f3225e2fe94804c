"""Responsibility-sensitive safety on what the ego's board hears, with the age in its reaction time.

Source: Shalev-Shwartz, Shammah and Shashua 2017, "On a formal model of safe and scalable
self-driving cars", arXiv:1708.06374, definition 1 (safe longitudinal distance) and its proper
response.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ml.types import CONTROL_PERIOD_S, MAX_DEMAND_MPS2, Float32Array

RSS_ACTUATOR_DELAY_S = 0.3
"""Dead time and lag of the actuator."""

RSS_ACCELERATION_MPS2 = 2.0
"""What the ego's driver may accelerate at most until the response takes hold."""

RSS_LEAD_BRAKING_MPS2 = 9.8
"""The hardest braking on a dry road."""

# Columns of `peers` and indices of `ego` that the rule reads; the environment's tables name them.
_FORWARD, _LEFT, _RELATIVE_SPEED, _RELATIVE_HEADING, _ACCELERATION = 0, 1, 2, 3, 4
_TIME_SINCE_RECEPTION, _STATE_AGE = 6, 7
_NUM_SPEEDS = 6
_SPEED_AGES_S = 0.2 * np.arange(_NUM_SPEEDS)

_CORRIDOR_M = 12.0
_CAR_LENGTH_M = 4.5
_STANDING_MPS = 0.5


def rss_distance_m(speed_mps: float, lead_speed_mps: float, reaction_s: float) -> float:
    """Return the safe distance of RSS behind a car ahead [m].

    ``v rho + a rho^2 / 2 + (v + rho a)^2 / (2 b) - v_l^2 / (2 b_l)``, at least 0: the follower
    accelerates by ``a`` for ``rho`` and brakes by ``b`` from then on, the car ahead by ``b_l`` at
    once.

    Args:
        speed_mps: ``v``, the follower's.
        lead_speed_mps: ``v_l``.
        reaction_s: ``rho``.
    """
    reached_mps = speed_mps + reaction_s * RSS_ACCELERATION_MPS2
    distance_m = 0.5 * (speed_mps + reached_mps) * reaction_s
    distance_m += reached_mps**2 / (2.0 * MAX_DEMAND_MPS2)
    return max(0.0, distance_m - lead_speed_mps**2 / (2.0 * RSS_LEAD_BRAKING_MPS2))


def rss_demand_mps2(observation: Mapping[str, Float32Array]) -> float:
    """Return full braking while the distance to a peer ahead is unsafe by RSS, else 0.

    The distance is that of the instant at which the peer measured its state: the peer's motion
    since, which the observation adds, is taken off again, and so is the ego's. The age is then part
    of the reaction time, ``rho = age + control period + actuator delay``, and counts once.

    The peers ahead are taken in their order; between the ego and the k-th heard one lie the lengths
    of k - 1 cars, which can close up. Simplified: a car that stands demands nothing, since noise of
    the positions would move it.

    Args:
        observation: The environment's observation.
    """
    ego = observation["ego"].astype(float)
    if ego[0] < _STANDING_MPS:
        return 0.0
    is_ahead = (
        (observation["peer_mask"] > 0.5)
        & (observation["peers"][:, _FORWARD] > 0.0)
        & (np.abs(observation["peers"][:, _LEFT]) <= _CORRIDOR_M)
    )
    peers = observation["peers"][is_ahead].astype(float)
    for rank, peer in enumerate(peers[np.argsort(peers[:, _FORWARD])], start=1):
        age_s = float(peer[_TIME_SINCE_RECEPTION] + peer[_STATE_AGE])
        peer_speed = max(0.0, float(ego[0] + peer[_RELATIVE_SPEED]))
        gap_m = float(peer[_FORWARD]) - rank * _CAR_LENGTH_M
        gap_m -= _dead_reckoned_m(peer_speed, float(peer[_ACCELERATION]), age_s) * math.cos(
            peer[_RELATIVE_HEADING]
        )
        speed_then, driven_m = _own_motion_since(ego[:_NUM_SPEEDS], age_s)
        reaction_s = age_s + CONTROL_PERIOD_S + RSS_ACTUATOR_DELAY_S
        if gap_m + driven_m < rss_distance_m(speed_then, peer_speed, reaction_s):
            return MAX_DEMAND_MPS2
    return 0.0


def _dead_reckoned_m(speed_mps: float, acceleration_mps2: float, age_s: float) -> float:
    """Return how far the observation has moved a peer since it measured its state [m]."""
    moving_s = age_s
    if acceleration_mps2 < 0.0:
        moving_s = min(age_s, speed_mps / -acceleration_mps2)
    return speed_mps * moving_s + 0.5 * acceleration_mps2 * moving_s * moving_s


def _own_motion_since(speeds_mps: np.ndarray, age_s: float) -> tuple[float, float]:
    """Return the ego's speed ``age_s`` ago and the way since, from its history, newest first."""
    speed_then = float(np.interp(age_s, _SPEED_AGES_S, speeds_mps))
    is_since = age_s > _SPEED_AGES_S
    ages = np.append(_SPEED_AGES_S[is_since], age_s)
    speeds = np.append(speeds_mps[is_since], speed_then)
    return speed_then, float(np.trapezoid(speeds, ages))
