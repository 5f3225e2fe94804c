"""The receiving board: newest wins, and what it then holds of each peer."""

from __future__ import annotations

from ml.espnow_emulator.radio_layout import (
    FRAME_CLOCK,
    FRAME_GENERATED_AT,
    FRAME_HOP_COUNT,
    FRAME_SEQUENCE,
    FRAME_STATE_AGE,
    FRAMES_KEPT,
    LINK_HISTORY,
    LINK_IS_UNFORWARDED,
    LINK_NUM_ACCEPTED,
    LINK_NUM_ACCEPTED_RELAYED,
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    LINK_RECEIVED_AT,
    LINK_SEQUENCE_GAP,
    LINK_TRANSMISSION,
    LOWEST_ACCELERATION_WINDOW_S,
    NUM_FRAME_FIELDS,
    SEQUENCE_MODULUS,
    VALUE_LONGEST_DELAY,
    VALUE_MAX_RELAY_HOPS,
    VALUE_STALENESS,
)
from ml.kernels import kernel
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
    FloatArray,
)


@kernel
def receive_frame(
    link: FloatArray, frame: FloatArray, time_s: float, longest_delay_s: float
) -> bool:
    """Take a frame in if it is newer than the one held; return whether it was.

    "Newer" is by serial number arithmetic on 16 bits (RFC 1982). No frame is late by more than the
    longest delay, so a sender's clock that steps back by more, or an old number after as long a
    silence, is a reboot.
    """
    link[LINK_NUM_DELIVERED] += 1
    gap = 0.0
    if link[LINK_NUM_ACCEPTED] > 0:
        has_rebooted = frame[FRAME_CLOCK] < link[FRAME_CLOCK] - longest_delay_s
        ahead = int(frame[FRAME_SEQUENCE] - link[FRAME_SEQUENCE]) % SEQUENCE_MODULUS
        if not has_rebooted:
            is_newer = 0 < ahead < SEQUENCE_MODULUS // 2
            is_silent = time_s - link[LINK_RECEIVED_AT] > longest_delay_s
            if ahead == 0 or not (is_newer or is_silent):
                return False
            if is_newer:
                gap = ahead - 1.0
    item = LINK_HISTORY + 2 * (int(link[LINK_NUM_ACCEPTED]) % FRAMES_KEPT)
    link[item], link[item + 1] = time_s, frame[SENSED_ACCELERATION]
    link[:NUM_FRAME_FIELDS] = frame
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
    if receive_frame(link, frame, time_s, values[VALUE_LONGEST_DELAY]):
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
        heard[sender, :NUM_SENSED_FIELDS] = link[:NUM_SENSED_FIELDS]
        heard[sender, HEARD_LOWEST_ACCELERATION] = lowest_acceleration_mps2(link, now_s)
        heard[sender, HEARD_TIME_SINCE_RECEPTION] = min(since_s, NEVER_HEARD_S)
        heard[sender, HEARD_STATE_AGE] = link[FRAME_STATE_AGE]
        heard[sender, HEARD_SEQUENCE_GAP] = link[LINK_SEQUENCE_GAP]
        heard[sender, HEARD_HOP_COUNT] = link[FRAME_HOP_COUNT]
        heard[sender, HEARD_IS_FRESH] = 1.0 if since_s <= values[VALUE_STALENESS] else 0.0
        age_s[sender] = now_s - link[FRAME_GENERATED_AT]
