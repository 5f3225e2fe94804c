"""From what the ego's board holds to what the policy sees, in the ego's own frame."""

from __future__ import annotations

import math

from ml.kernels import kernel
from ml.types import (
    EGO_ACCELERATION,
    EGO_NUM_FRESH_PEERS,
    EGO_SPEED,
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_LOWEST_ACCELERATION,
    HEARD_SEQUENCE_GAP,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    HISTORY_STRIDE,
    MAX_PEERS,
    NUM_HISTORY_SAMPLES,
    PEER_ACCELERATION,
    PEER_FORWARD,
    PEER_HOP_COUNT,
    PEER_LEFT,
    PEER_LOWEST_ACCELERATION,
    PEER_RELATIVE_HEADING,
    PEER_RELATIVE_SPEED,
    PEER_SEQUENCE_GAP,
    PEER_STATE_AGE,
    PEER_TIME_SINCE_RECEPTION,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
    Float32Array,
    FloatArray,
    IntArray,
)

NUM_HISTORY_STEPS = (NUM_HISTORY_SAMPLES - 1) * HISTORY_STRIDE + 1

_SAME_LANE_OFFSET_M = 8.0  # half a lane plus two standard deviations of the relative GPS error
_BEHIND_SCORE = 1e6


@kernel
def _wrap_angle_rad(angle_rad: float) -> float:
    """Return the same angle in [-pi, pi)."""
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


@kernel
def _offsets_now_m(ego_sensed: FloatArray, row: FloatArray) -> tuple[float, float]:
    """Return a peer's offset ahead and to the left, dead-reckoned at constant acceleration."""
    age_s = row[HEARD_TIME_SINCE_RECEPTION] + row[HEARD_STATE_AGE]
    speed, acceleration = row[SENSED_SPEED], row[SENSED_ACCELERATION]
    moving_s = age_s
    if acceleration < 0.0:
        moving_s = min(age_s, max(speed, 0.0) / -acceleration)
    travelled_m = speed * moving_s + 0.5 * acceleration * moving_s * moving_s
    heading = row[SENSED_HEADING]
    dx = row[SENSED_X] + travelled_m * math.cos(heading) - ego_sensed[SENSED_X]
    dy = row[SENSED_Y] + travelled_m * math.sin(heading) - ego_sensed[SENSED_Y]
    cosine = math.cos(ego_sensed[SENSED_HEADING])
    sine = math.sin(ego_sensed[SENSED_HEADING])
    return dx * cosine + dy * sine, dy * cosine - dx * sine


@kernel
def _select_peers(ego_sensed: FloatArray, heard: FloatArray, slots: IntArray) -> int:
    """Fill ``slots`` with the peers to show and return how many.

    Up to MAX_PEERS fresh peers all show. Of more, the freshest ahead on the ego's lane come first,
    then the nearest. The order in ``slots`` has no meaning.
    """
    num_fresh = 0
    for rank in range(1, heard.shape[0]):
        if heard[rank, HEARD_IS_FRESH] > 0.0:
            num_fresh += 1
    count = 0
    if num_fresh <= MAX_PEERS:
        for rank in range(1, heard.shape[0]):
            if heard[rank, HEARD_IS_FRESH] > 0.0:
                slots[count] = rank
                count += 1
        return count
    last_score = -1.0
    last_rank = 0
    while count < MAX_PEERS:
        best_score = math.inf
        best_rank = 0
        for rank in range(1, heard.shape[0]):
            if heard[rank, HEARD_IS_FRESH] <= 0.0:
                continue
            ahead, left = _offsets_now_m(ego_sensed, heard[rank])
            score = heard[rank, HEARD_TIME_SINCE_RECEPTION]
            if ahead <= 0.0 or abs(left) > _SAME_LANE_OFFSET_M:
                score = _BEHIND_SCORE + math.hypot(ahead, left)
            is_next = score > last_score or (score == last_score and rank > last_rank)
            if is_next and score < best_score:
                best_score, best_rank = score, rank
        slots[count] = best_rank
        count += 1
        last_score, last_rank = best_score, best_rank
    return count


@kernel
def push_history(history: FloatArray, ego_sensed: FloatArray) -> None:
    """Shift the ego's history by one step and put the newest sensed values first.

    Args:
        history: Sensed speed and acceleration, newest first, shape (NUM_HISTORY_STEPS, 2).
        ego_sensed: The ego's own sensors, shape (NUM_SENSED_FIELDS,).
    """
    for step in range(NUM_HISTORY_STEPS - 1, 0, -1):
        history[step, 0] = history[step - 1, 0]
        history[step, 1] = history[step - 1, 1]
    history[0, 0] = ego_sensed[SENSED_SPEED]
    history[0, 1] = ego_sensed[SENSED_ACCELERATION]


@kernel
def _clip(values: Float32Array, bounds: Float32Array) -> None:
    """Move each value into its bounds, shape (2, num_values)."""
    for index in range(values.shape[0]):
        if values[index] < bounds[0, index]:
            values[index] = bounds[0, index]
        elif values[index] > bounds[1, index]:
            values[index] = bounds[1, index]


@kernel
def _sum(values: Float32Array) -> float:
    """Return the sum of values, which is finite only if all of them are."""
    total = 0.0
    for index in range(values.shape[0]):
        total += values[index]
    return total


@kernel
def observe(
    ego_sensed: FloatArray,
    heard: FloatArray,
    history: FloatArray,
    slot_order: IntArray,
    ego_bounds: Float32Array,
    peer_bounds: Float32Array,
    ego_out: Float32Array,
    peers_out: Float32Array,
    mask_out: Float32Array,
) -> bool:
    """Write the observation, clipped to its bounds, into the three output arrays.

    Args:
        ego_sensed: The ego's own sensors, shape (NUM_SENSED_FIELDS,).
        heard: What the board holds of each peer, shape (num_cars, NUM_HEARD_FIELDS).
        history: See :func:`push_history`.
        slot_order: A permutation of the slots, shape (MAX_PEERS,): the k-th peer goes to slot
            ``slot_order[k]``.
        ego_bounds: Lowest and highest value of each feature, shape (2, NUM_EGO_FEATURES).
        peer_bounds: Shape (2, NUM_PEER_FEATURES); 0 lies within each feature's.
        ego_out: Shape (NUM_EGO_FEATURES,).
        peers_out: Shape (MAX_PEERS, NUM_PEER_FEATURES); zeros where the mask is 0.
        mask_out: Shape (MAX_PEERS,).

    Returns:
        Whether every value was finite before it was clipped.
    """
    total = 0.0
    peers_out[:] = 0.0
    mask_out[:] = 0.0
    slots = slot_order.copy()
    num_shown = _select_peers(ego_sensed, heard, slots)
    for k in range(num_shown):
        row = heard[slots[k]]
        out = peers_out[slot_order[k]]
        mask_out[slot_order[k]] = 1.0
        ahead, left = _offsets_now_m(ego_sensed, row)
        out[PEER_FORWARD] = ahead
        out[PEER_LEFT] = left
        out[PEER_RELATIVE_SPEED] = row[SENSED_SPEED] - ego_sensed[SENSED_SPEED]
        turned_rad = row[SENSED_HEADING] - ego_sensed[SENSED_HEADING]
        out[PEER_RELATIVE_HEADING] = _wrap_angle_rad(turned_rad)
        out[PEER_ACCELERATION] = row[SENSED_ACCELERATION]
        out[PEER_LOWEST_ACCELERATION] = row[HEARD_LOWEST_ACCELERATION]
        out[PEER_TIME_SINCE_RECEPTION] = row[HEARD_TIME_SINCE_RECEPTION]
        out[PEER_STATE_AGE] = row[HEARD_STATE_AGE]
        out[PEER_SEQUENCE_GAP] = row[HEARD_SEQUENCE_GAP]
        out[PEER_HOP_COUNT] = row[HEARD_HOP_COUNT]
        total += _sum(out)
        _clip(out, peer_bounds)
    for sample in range(NUM_HISTORY_SAMPLES):
        ego_out[EGO_SPEED + sample] = history[sample * HISTORY_STRIDE, 0]
        ego_out[EGO_ACCELERATION + sample] = history[sample * HISTORY_STRIDE, 1]
    ego_out[EGO_NUM_FRESH_PEERS] = num_shown
    total += _sum(ego_out)
    _clip(ego_out, ego_bounds)
    return math.isfinite(total)
