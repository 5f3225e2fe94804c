"""The receiving board: newest wins, and what it then holds of each peer."""

from __future__ import annotations

import math

from ml.espnow_emulator.radio_layout import (
    CLOCK_MODULUS_S,
    FRAME_CLOCK,
    FRAME_GENERATED_AT,
    FRAME_HOP_COUNT,
    FRAME_PERIOD_S,
    FRAME_SEQUENCE,
    FRAME_STATE_AGE,
    FRAMES_KEPT,
    LINK_HISTORY,
    LINK_IS_UNFORWARDED,
    LINK_NUM_ACCEPTED,
    LINK_NUM_ACCEPTED_RELAYED,
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    LINK_NUM_REJECTED_DUPLICATE,
    LINK_NUM_REJECTED_IMPLAUSIBLE,
    LINK_NUM_REJECTED_OLD,
    LINK_NUM_SUSPECTS,
    LINK_RECEIVED_AT,
    LINK_SEQUENCE_GAP,
    LINK_SUSPECT,
    LINK_TRANSMISSION,
    LOWEST_ACCELERATION_WINDOW_S,
    NUM_FRAME_FIELDS,
    REPLAY_WINDOW,
    SEQUENCE_MODULUS,
    STRONGEST_ACCELERATION_MPS2,
    SUSPECTS_BELIEVED,
    VALUE_GATE,
    VALUE_LONGEST_DELAY,
    VALUE_MAX_RELAY_HOPS,
    VALUE_STALENESS,
)
from ml.kernels import copy_items, kernel
from ml.types import (
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_LOWEST_ACCELERATION,
    HEARD_SEQUENCE_GAP,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    NEVER_HEARD_S,
    NUM_SENSED_FIELDS,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
    FloatArray,
)

_PERIODS_OF_SLACK = 0.5  # for jitter and drift between two transmissions


@kernel
def clock_step_s(newer_s: float, older_s: float) -> float:
    """Return the time from one reading of a board's clock to another, over its wrap [s]."""
    step_s = newer_s - older_s
    return step_s - CLOCK_MODULUS_S * math.floor(step_s / CLOCK_MODULUS_S + 0.5)


@kernel
def is_newer_frame(
    link: FloatArray, frame: FloatArray, time_s: float, longest_delay_s: float
) -> bool:
    """Return whether a frame follows the one held, as far as the receiver can tell.

    It does by its number, "newer" by serial number arithmetic on 16 bits (RFC 1982), if the sender
    had the time for the frames between, by the silence or by its own clock: else it may be replayed
    from before the numbers were reset. Another number follows too if the sender's clock says so,
    the number was reset, unless it is among the REPLAY_WINDOW before the one held. And a clock that
    stepped back is a reboot if it has been running for no longer than the sender was silent, and
    the step is too long for a frame that was overtaken. What else steps back was overtaken, or is
    replayed.
    """
    ahead = int(frame[FRAME_SEQUENCE] - link[FRAME_SEQUENCE]) % SEQUENCE_MODULUS
    step_s = clock_step_s(frame[FRAME_CLOCK], link[FRAME_CLOCK])
    silence_s = time_s - link[LINK_RECEIVED_AT]
    has_booted_since = frame[FRAME_CLOCK] <= silence_s + longest_delay_s
    is_overtaken = step_s >= -longest_delay_s and silence_s <= longest_delay_s
    if step_s < 0.0 and has_booted_since and not is_overtaken:
        return True
    longest_s = silence_s + longest_delay_s
    most_ahead = max(longest_s, step_s) / FRAME_PERIOD_S + _PERIODS_OF_SLACK
    if 0 < ahead <= min(most_ahead, SEQUENCE_MODULUS // 2 - 1):
        return True
    is_in_window = ahead >= SEQUENCE_MODULUS - REPLAY_WINDOW
    return bool(0.0 < step_s <= longest_s and not is_in_window)


@kernel
def is_plausible(held: FloatArray, frame: FloatArray, silence_s: float, gate_m: float) -> bool:
    """Return whether a frame's position is where a car could be that sent the frame held.

    It may be off the straight line at the held speed by the gate, and by what a car can do with
    the strongest acceleration in the time: a t^2 / 2. The time is that between the two states, so
    the ages that the sender declares count: two frames may carry the same fix.
    """
    elapsed_s = clock_step_s(frame[FRAME_CLOCK], held[FRAME_CLOCK])
    if not 0.0 <= elapsed_s <= silence_s + 1.0:
        elapsed_s = silence_s
    elapsed_s = max(0.0, elapsed_s + held[FRAME_STATE_AGE] - frame[FRAME_STATE_AGE])
    driven_m = held[SENSED_SPEED] * elapsed_s
    off_x = frame[SENSED_X] - held[SENSED_X] - driven_m * math.cos(held[SENSED_HEADING])
    off_y = frame[SENSED_Y] - held[SENSED_Y] - driven_m * math.sin(held[SENSED_HEADING])
    reach_m = 0.5 * STRONGEST_ACCELERATION_MPS2 * elapsed_s * elapsed_s
    return bool(math.hypot(off_x, off_y) <= gate_m + reach_m)


@kernel
def passes_gate(link: FloatArray, frame: FloatArray, time_s: float, gate_m: float) -> bool:
    """Return whether the plausibility gate lets a newer frame through.

    SUSPECTS_BELIEVED implausible frames in a row that agree with each other are believed: then it
    was the frame held that was wrong, or the sender's receiver really has jumped.
    """
    silence_s = time_s - link[LINK_RECEIVED_AT]
    if gate_m == 0.0 or is_plausible(link, frame, silence_s, gate_m):
        link[LINK_NUM_SUSPECTS] = 0.0
        return True
    suspect = link[LINK_SUSPECT : LINK_SUSPECT + NUM_FRAME_FIELDS]
    is_alone = link[LINK_NUM_SUSPECTS] == 0.0
    if is_alone or not is_plausible(suspect, frame, silence_s, gate_m):
        link[LINK_NUM_SUSPECTS] = 0.0
    link[LINK_NUM_SUSPECTS] += 1.0
    copy_items(frame, suspect)
    if link[LINK_NUM_SUSPECTS] < SUSPECTS_BELIEVED:
        return False
    link[LINK_NUM_SUSPECTS] = 0.0
    return True


@kernel
def receive_frame(
    link: FloatArray, frame: FloatArray, time_s: float, longest_delay_s: float, gate_m: float = 0.0
) -> bool:
    """Take a frame in if it is newer than the one held and plausible; return whether it was.

    No frame is late by more than the longest delay. A gap is counted only between two numbers of
    the same series: no more frames than the sender had the time for.
    """
    link[LINK_NUM_DELIVERED] += 1
    gap = 0.0
    if link[LINK_NUM_ACCEPTED] > 0:
        is_same_number = frame[FRAME_SEQUENCE] == link[FRAME_SEQUENCE]
        if is_same_number and frame[FRAME_CLOCK] == link[FRAME_CLOCK]:
            link[LINK_NUM_REJECTED_DUPLICATE] += 1
            return False
        if not is_newer_frame(link, frame, time_s, longest_delay_s):
            link[LINK_NUM_REJECTED_OLD] += 1
            return False
        if not passes_gate(link, frame, time_s, gate_m):
            link[LINK_NUM_REJECTED_IMPLAUSIBLE] += 1
            return False
        ahead = int(frame[FRAME_SEQUENCE] - link[FRAME_SEQUENCE]) % SEQUENCE_MODULUS
        step_s = clock_step_s(frame[FRAME_CLOCK], link[FRAME_CLOCK])
        if 0 < ahead <= step_s / FRAME_PERIOD_S + _PERIODS_OF_SLACK:
            gap = ahead - 1.0
    item = LINK_HISTORY + 2 * (int(link[LINK_NUM_ACCEPTED]) % FRAMES_KEPT)
    link[item], link[item + 1] = time_s, frame[SENSED_ACCELERATION]
    copy_items(frame, link[:NUM_FRAME_FIELDS])
    link[LINK_RECEIVED_AT] = time_s
    link[LINK_SEQUENCE_GAP] = gap
    link[LINK_NUM_ACCEPTED] += 1
    return True


@kernel
def receive_copy(
    values: FloatArray,
    link: FloatArray,
    frame: FloatArray,
    time_s: float,
    hop_count: int,
    transmission: int,
) -> None:
    """Take in a copy of a frame that came over ``hop_count`` relays, and note what to forward.

    Only the newest frame of a source is forwarded, so taking it in replaces one that waits.
    """
    is_relayed = 1.0 if hop_count > 0 else 0.0
    link[LINK_NUM_DELIVERED_RELAYED] += is_relayed
    if receive_frame(link, frame, time_s, values[VALUE_LONGEST_DELAY], values[VALUE_GATE]):
        link[LINK_NUM_ACCEPTED_RELAYED] += is_relayed
        link[FRAME_HOP_COUNT] = hop_count
        link[LINK_TRANSMISSION] = transmission
        link[LINK_IS_UNFORWARDED] = 1.0 if hop_count < values[VALUE_MAX_RELAY_HOPS] else 0.0


@kernel
def lowest_acceleration_mps2(link: FloatArray, now_s: float) -> float:
    """Return the lowest acceleration among the newest frame and those of the last second."""
    lowest_mps2 = float(link[SENSED_ACCELERATION])
    num_accepted = int(link[LINK_NUM_ACCEPTED])
    for back in range(1, min(num_accepted, FRAMES_KEPT) + 1):
        item = LINK_HISTORY + 2 * ((num_accepted - back) % FRAMES_KEPT)
        if now_s - link[item] > LOWEST_ACCELERATION_WINDOW_S:
            break
        lowest_mps2 = min(lowest_mps2, link[item + 1])
    return lowest_mps2


@kernel
def write_heard(
    values: FloatArray, links: FloatArray, now_s: float, heard: FloatArray, age_s: FloatArray
) -> None:
    """Write what the ego's board holds at ``now_s``, and the true age of each state held.

    A peer that was never heard has zeros and NEVER_HEARD_S as its time since reception and age.
    """
    for sender in range(1, heard.shape[0]):
        link = links[0, sender]
        if link[LINK_NUM_ACCEPTED] == 0:
            heard[sender, :] = 0.0
            heard[sender, HEARD_TIME_SINCE_RECEPTION] = NEVER_HEARD_S
            age_s[sender] = NEVER_HEARD_S
            continue
        since_s = now_s - link[LINK_RECEIVED_AT]
        copy_items(link, heard[sender, :NUM_SENSED_FIELDS])
        heard[sender, HEARD_LOWEST_ACCELERATION] = lowest_acceleration_mps2(link, now_s)
        heard[sender, HEARD_TIME_SINCE_RECEPTION] = min(since_s, NEVER_HEARD_S)
        heard[sender, HEARD_STATE_AGE] = link[FRAME_STATE_AGE]
        heard[sender, HEARD_SEQUENCE_GAP] = link[LINK_SEQUENCE_GAP]
        heard[sender, HEARD_HOP_COUNT] = link[FRAME_HOP_COUNT]
        heard[sender, HEARD_IS_FRESH] = 1.0 if since_s <= values[VALUE_STALENESS] else 0.0
        age_s[sender] = now_s - link[FRAME_GENERATED_AT]
