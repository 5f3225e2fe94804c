"""Faults and attacks, each a row of ``faults``, struck where they would strike a real board."""

from __future__ import annotations

import math

from ml.espnow_emulator.event_queue_kernels import event_code, push_event
from ml.espnow_emulator.radio_layout import (
    FAULT_BLACKOUT,
    FAULT_BURST,
    FAULT_CAR,
    FAULT_CLOCK_JUMP,
    FAULT_DEAD_LINK,
    FAULT_DUPLICATE,
    FAULT_FORGED,
    FAULT_FORGED_POSITION,
    FAULT_FROM,
    FAULT_FROZEN,
    FAULT_FROZEN_GPS,
    FAULT_GPS_JUMP,
    FAULT_KIND,
    FAULT_REBOOT,
    FAULT_REPLAY,
    FAULT_SEQUENCE_RESET,
    FAULT_STATE,
    FAULT_UNEQUIPPED,
    FAULT_UNTIL,
    FAULT_VALUE,
    FRAME_CLOCK,
    FRAME_SEQUENCE,
    KIND_FORGED,
    KIND_RECEPTION,
    KIND_REPLAYED,
    SENDER_CLOCK_OFFSET,
    SENDER_CLOCK_RATE,
    SENDER_FIRST_SEQUENCE,
    SENDER_NUM_SENT,
    SEQUENCE_MODULUS,
    RadioArrays,
)
from ml.kernels import copy_items, inlined_kernel, kernel
from ml.types import (
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
    FloatArray,
    IntArray,
)

_ATTACKER_DELAY_S = 0.002  # from the frame that an attacker hears to its own
_LONGEST_WAIT_S = 0.5  # for a late frame; a frame 25 before is then among the FRAMES_KEPT
_FORGED_CLOCK_LEAD_S = 0.01


@kernel
def is_struck(fault: FloatArray, car: int, time_s: float) -> bool:
    """Return whether a fault strikes a car at an instant."""
    return bool(fault[FAULT_CAR] == car and fault[FAULT_FROM] <= time_s < fault[FAULT_UNTIL])


@kernel
def spoil_position(faults: FloatArray, car: int, time_s: float, sensed: FloatArray) -> None:
    """Let a frozen or jumping receiver spoil a board's position, and its speed and heading."""
    for row in range(faults.shape[0]):
        fault = faults[row]
        if not is_struck(fault, car, time_s):
            continue
        if fault[FAULT_KIND] == FAULT_GPS_JUMP:
            sensed[SENSED_X] += fault[FAULT_VALUE]
            sensed[SENSED_Y] += fault[FAULT_VALUE + 1]
        elif fault[FAULT_KIND] == FAULT_FROZEN_GPS:
            if fault[FAULT_STATE] == 0.0:
                fault[FAULT_FROZEN] = sensed[SENSED_X]
                fault[FAULT_FROZEN + 1] = sensed[SENSED_Y]
                fault[FAULT_FROZEN + 2] = sensed[SENSED_SPEED]
                fault[FAULT_FROZEN + 3] = sensed[SENSED_HEADING]
                fault[FAULT_STATE] = 1.0
            sensed[SENSED_X] = fault[FAULT_FROZEN]
            sensed[SENSED_Y] = fault[FAULT_FROZEN + 1]
            sensed[SENSED_SPEED] = fault[FAULT_FROZEN + 2]
            sensed[SENSED_HEADING] = fault[FAULT_FROZEN + 3]


@kernel
def is_silent(faults: FloatArray, car: int, time_s: float) -> bool:
    """Return whether a car has no working board at an instant."""
    for row in range(faults.shape[0]):
        kind = faults[row, FAULT_KIND]
        is_off = kind in (FAULT_REBOOT, FAULT_UNEQUIPPED)
        if is_off and is_struck(faults[row], car, time_s):
            return True
    return False


@kernel
def restart_counters(faults: FloatArray, board: FloatArray, car: int, time_s: float) -> None:
    """Set a board's sequence number and clock as its faults up to now say, each once."""
    for row in range(faults.shape[0]):
        fault = faults[row]
        if fault[FAULT_CAR] != car or fault[FAULT_STATE] > 0.0:
            continue
        kind = fault[FAULT_KIND]
        is_reboot = kind == FAULT_REBOOT and time_s >= fault[FAULT_UNTIL]
        is_due = time_s >= fault[FAULT_FROM]
        if is_reboot or (kind == FAULT_SEQUENCE_RESET and is_due):
            sent = int(board[SENDER_NUM_SENT])
            board[SENDER_FIRST_SEQUENCE] = (SEQUENCE_MODULUS - sent) % SEQUENCE_MODULUS
            fault[FAULT_STATE] = 1.0
        if is_reboot:
            board[SENDER_CLOCK_OFFSET] = -board[SENDER_CLOCK_RATE] * fault[FAULT_UNTIL]
        elif kind == FAULT_CLOCK_JUMP and is_due:
            board[SENDER_CLOCK_OFFSET] += fault[FAULT_VALUE]
            fault[FAULT_STATE] = 1.0


@kernel
def is_blacked_out(faults: FloatArray, car: int, time_s: float) -> bool:
    """Return whether the ego hears nothing of a car at an instant, not even over a relay."""
    for row in range(faults.shape[0]):
        if faults[row, FAULT_KIND] == FAULT_BLACKOUT and is_struck(faults[row], car, time_s):
            return True
    return False


@kernel
def is_cut_off(faults: FloatArray, sender: int, receiver: int, time_s: float) -> bool:
    """Return whether nothing that a board sends reaches a receiver at an instant."""
    for row in range(faults.shape[0]):
        fault = faults[row]
        is_dead = fault[FAULT_KIND] == FAULT_DEAD_LINK and fault[FAULT_VALUE] == receiver
        is_dark = fault[FAULT_KIND] == FAULT_BLACKOUT and receiver == 0
        if (is_dead or is_dark) and is_struck(fault, sender, time_s):
            return True
    return False


@kernel
def is_in_burst(faults: FloatArray, car: int, time_s: float) -> bool:
    """Return whether one of a car's own frames falls into a burst of so many lost frames."""
    is_lost = False
    for row in range(faults.shape[0]):
        fault = faults[row]
        if fault[FAULT_KIND] != FAULT_BURST or not is_struck(fault, car, time_s):
            continue
        if fault[FAULT_STATE] < fault[FAULT_VALUE]:
            fault[FAULT_STATE] += 1.0
            is_lost = True
    return is_lost


@kernel
def _arrival_s(
    queue_times: FloatArray, queue_codes: IntArray, car: int, transmission: int
) -> float:
    """Return when the ego handles a car's transmission, infinite if that was lost."""
    code = event_code(KIND_RECEPTION, transmission, car, 0)
    for item in range(1, queue_codes[0] + 1):
        if queue_codes[item] == code:
            return float(queue_times[item])
    return math.inf


@inlined_kernel
def push_attacks(radio: RadioArrays, car: int, transmission: int, time_s: float) -> None:
    """Queue the frames that attackers, or a faulty board, send beside a car's transmission.

    They follow the frame itself; a frame that was lost has no duplicate.
    """
    attack = -1
    for row in range(radio.faults.shape[0]):
        fault = radio.faults[row]
        if fault[FAULT_KIND] < FAULT_DUPLICATE or fault[FAULT_CAR] != car:
            continue
        attack += 1
        if not is_struck(fault, car, time_s):
            continue
        arrival_s = _arrival_s(radio.queue_times, radio.queue_codes, car, transmission)
        is_heard = arrival_s < math.inf
        attack_s = _ATTACKER_DELAY_S + time_s
        if is_heard:
            attack_s = _ATTACKER_DELAY_S + min(arrival_s, time_s + _LONGEST_WAIT_S)
        if fault[FAULT_KIND] == FAULT_DUPLICATE and is_heard:
            code = event_code(KIND_REPLAYED, transmission, car, 0)
            push_event(radio.queue_times, radio.queue_codes, arrival_s + fault[FAULT_VALUE], code)
        elif fault[FAULT_KIND] == FAULT_REPLAY:
            recorded = transmission - int(fault[FAULT_VALUE])
            if recorded >= 0:
                code = event_code(KIND_REPLAYED, recorded, car, 0)
                push_event(radio.queue_times, radio.queue_codes, attack_s, code)
        elif fault[FAULT_KIND] >= FAULT_FORGED:
            code = event_code(KIND_FORGED, transmission, car, attack)
            push_event(radio.queue_times, radio.queue_codes, attack_s, code)


@kernel
def forge_frame(
    faults: FloatArray, car: int, attack: int, frame: FloatArray, forged: FloatArray
) -> None:
    """Write the frame that an attacker makes of one it heard: newer, and claiming what it likes.

    ``attack`` counts the rows of ``faults`` that are attacks on the car.
    """
    copy_items(frame, forged)
    forged[FRAME_SEQUENCE] = (frame[FRAME_SEQUENCE] + 1.0) % SEQUENCE_MODULUS
    forged[FRAME_CLOCK] = frame[FRAME_CLOCK] + _FORGED_CLOCK_LEAD_S
    count = -1
    for row in range(faults.shape[0]):
        fault = faults[row]
        if fault[FAULT_KIND] < FAULT_DUPLICATE or fault[FAULT_CAR] != car:
            continue
        count += 1
        if count == attack and fault[FAULT_KIND] == FAULT_FORGED:
            forged[SENSED_ACCELERATION] = fault[FAULT_VALUE]
        elif count == attack and fault[FAULT_KIND] == FAULT_FORGED_POSITION:
            forged[SENSED_X] += fault[FAULT_VALUE]
