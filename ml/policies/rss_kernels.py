"""The rule of responsibility-sensitive safety on one observation; ``rss`` tells what it is."""

from __future__ import annotations

import math

from ml.kernels import kernel
from ml.types import (
    CONTROL_PERIOD_S,
    EGO_SPEED,
    HISTORY_STRIDE,
    MAX_DEMAND_MPS2,
    NUM_HISTORY_SAMPLES,
    PEER_ACCELERATION,
    PEER_FORWARD,
    PEER_LEFT,
    PEER_RELATIVE_HEADING,
    PEER_RELATIVE_SPEED,
    PEER_STATE_AGE,
    PEER_TIME_SINCE_RECEPTION,
    Float32Array,
)

RSS_ACTUATOR_DELAY_S = 0.3
"""Dead time and lag of the actuator."""

RSS_ACCELERATION_MPS2 = 2.0
"""What the ego's driver may accelerate at most until the response takes hold."""

RSS_LEAD_BRAKING_MPS2 = 9.8
"""The hardest braking on a dry road."""

_SPEED_STRIDE_S = HISTORY_STRIDE * CONTROL_PERIOD_S
_CORRIDOR_M = 12.0
_CAR_LENGTH_M = 4.5
_STANDING_MPS = 0.5


@kernel
def safe_distance_m(
    speed_mps: float,
    lead_speed_mps: float,
    reaction_s: float,
    acceleration_mps2: float,
    braking_mps2: float,
    lead_braking_mps2: float,
) -> float:
    """Return RSS's safe distance behind a car ahead [m], as :func:`ml.policies.rss.rss_distance_m`.

    Args:
        speed_mps: The follower's.
        lead_speed_mps: The speed of the car ahead.
        reaction_s: How long the follower accelerates before it brakes.
        acceleration_mps2: By how much.
        braking_mps2: How hard it brakes.
        lead_braking_mps2: How hard the car ahead brakes.
    """
    reached_mps = speed_mps + reaction_s * acceleration_mps2
    distance_m = 0.5 * (speed_mps + reached_mps) * reaction_s
    distance_m += reached_mps * reached_mps / (2.0 * braking_mps2)
    return max(0.0, distance_m - lead_speed_mps * lead_speed_mps / (2.0 * lead_braking_mps2))


@kernel
def is_unsafe(ego: Float32Array, peers: Float32Array, peer_mask: Float32Array) -> bool:
    """Return whether the distance to any heard peer ahead is unsafe.

    Args:
        ego: Features of the ego, shape (num_ego_features,).
        peers: Features of each slot, shape (max_peers, num_peer_features).
        peer_mask: 1 where a slot holds a peer, shape (max_peers,).
    """
    if ego[EGO_SPEED] < _STANDING_MPS:
        return False
    last_m, last_slot = -1.0, -1
    for rank in range(1, len(peers) + 1):
        # The nearest one that is farther than the last, or as far and in a later slot.
        slot, forward_m = -1, math.inf
        for other in range(len(peers)):
            other_m = float(peers[other, PEER_FORWARD])
            is_ahead = peer_mask[other] > 0.5 and other_m > 0.0
            if not is_ahead or abs(peers[other, PEER_LEFT]) > _CORRIDOR_M or other_m >= forward_m:
                continue
            if other_m > last_m or (other_m == last_m and other > last_slot):
                slot, forward_m = other, other_m
        if slot < 0:
            return False
        last_m, last_slot = forward_m, slot
        if _is_too_near(ego, peers[slot], forward_m - rank * _CAR_LENGTH_M):
            return True
    return False


@kernel
def _is_too_near(ego: Float32Array, peer: Float32Array, gap_m: float) -> bool:
    """Return whether a peer is nearer than is safe; the gap is the observation's."""
    age_s = float(peer[PEER_TIME_SINCE_RECEPTION]) + float(peer[PEER_STATE_AGE])
    peer_speed = max(0.0, float(ego[EGO_SPEED]) + float(peer[PEER_RELATIVE_SPEED]))
    moved_m = _dead_reckoned_m(peer_speed, float(peer[PEER_ACCELERATION]), age_s)
    gap_m -= moved_m * math.cos(float(peer[PEER_RELATIVE_HEADING]))
    speed_then, driven_m = _own_motion_since(ego, age_s)
    needed_m = safe_distance_m(
        speed_then, peer_speed, age_s + CONTROL_PERIOD_S + RSS_ACTUATOR_DELAY_S,
        RSS_ACCELERATION_MPS2, MAX_DEMAND_MPS2, RSS_LEAD_BRAKING_MPS2,
    )  # fmt: skip
    return gap_m + driven_m < needed_m


@kernel
def _dead_reckoned_m(speed_mps: float, acceleration_mps2: float, age_s: float) -> float:
    """Return how far the observation has moved a peer since it measured its state [m]."""
    moving_s = age_s
    if acceleration_mps2 < 0.0:
        moving_s = min(age_s, speed_mps / -acceleration_mps2)
    return speed_mps * moving_s + 0.5 * acceleration_mps2 * moving_s * moving_s


@kernel
def _own_motion_since(ego: Float32Array, age_s: float) -> tuple[float, float]:
    """Return the ego's speed ``age_s`` ago and the way since, from its history, newest first."""
    driven_m, newer_mps = 0.0, float(ego[EGO_SPEED])
    for index in range(1, NUM_HISTORY_SAMPLES):
        older_mps = float(ego[EGO_SPEED + index])
        begin_s = _SPEED_STRIDE_S * (index - 1)
        if age_s <= _SPEED_STRIDE_S * index:
            share = (age_s - begin_s) / _SPEED_STRIDE_S
            speed_then = newer_mps + share * (older_mps - newer_mps)
            return speed_then, driven_m + 0.5 * (newer_mps + speed_then) * (age_s - begin_s)
        driven_m += 0.5 * (newer_mps + older_mps) * _SPEED_STRIDE_S
        newer_mps = older_mps
    oldest_s = _SPEED_STRIDE_S * (NUM_HISTORY_SAMPLES - 1)
    return newer_mps, driven_m + newer_mps * (age_s - oldest_s)
