"""The shared medium: who may transmit when, and which transmissions overlap.

The distributed coordination function of IEEE 802.11 for broadcasts, which are never acknowledged
and never repeated. A station that finds the medium idle for DIFS begins at once; otherwise it
draws 0 to 31 slots and counts them down while it senses no other transmission. Carrier sense is
instantaneous and ends sharply at the carrier-sense range. A receiver loses both of two overlapping
transmissions that it senses: equal countdowns, aligned arrivals and hidden stations.

Stations are the cars, the ego with them, and background senders that everybody senses.
"""

from __future__ import annotations

import math

from ml.espnow_emulator.event_queue_kernels import event_code, push_event
from ml.espnow_emulator.radio_layout import (
    BACKOFF_SLOTS,
    DIFS_S,
    FIRST_BACKGROUND_NAME,
    FRAME_HOP_COUNT,
    KIND_AIR_END,
    KIND_START,
    LINK_IS_UNFORWARDED,
    LINK_TRANSMISSION,
    MASK_CORRUPTED,
    MASK_TO_FORWARD,
    SENDER_NUM_RELAY_TRANSMISSIONS,
    SENDER_NUM_RELAYED,
    SLOT_S,
    STATION_ACCESS_DELAY,
    STATION_BUSY_UNTIL,
    STATION_COUNTS_FROM,
    STATION_FREE_AT,
    STATION_IS_WAITING,
    STATION_NUM_COLLIDED,
    STATION_NUM_ON_AIR,
    STATION_NUM_STALLS,
    STATION_OFFERED_AT,
    STATION_SENDING_HOPS,
    STATION_SENDING_SOURCE,
    STATION_SENDING_TRANSMISSION,
    STATION_SENDS_UNTIL,
    STATION_SLOTS_LEFT,
    STATION_STALL_FROM,
    STATION_STALL_UNTIL,
    STATION_START_AT,
    STATION_TRANSMISSION,
    STREAM_BACKOFF,
    STREAM_STALL,
    VALUE_AIRTIME,
    VALUE_CARRIER_RANGE,
    VALUE_NUM_BACKGROUND,
    VALUE_STALL,
    VALUE_STALL_RATE,
    RadioArrays,
)
from ml.espnow_emulator.random_kernels import stream_start, uniform_at
from ml.kernels import inlined_kernel, kernel
from ml.types import CAR_X, CAR_Y, FloatArray

_SLOT_TOLERANCE = 1e-6  # of a slot: rounding of times up to an hour


@inlined_kernel
def senses(radio: RadioArrays, first: int, second: int) -> bool:
    """Return whether two stations are within carrier-sense range."""
    cars = radio.cars
    num_cars = cars.shape[0]
    if first >= num_cars or second >= num_cars:
        return True
    ahead_m = cars[first, CAR_X] - cars[second, CAR_X]
    left_m = cars[first, CAR_Y] - cars[second, CAR_Y]
    return bool(ahead_m**2 + left_m**2 <= radio.values[VALUE_CARRIER_RANGE] ** 2)


@inlined_kernel
def count_stations(radio: RadioArrays) -> int:
    """Return how many stations there are: the cars, and this episode's background senders."""
    return int(radio.cars.shape[0] + radio.values[VALUE_NUM_BACKGROUND])


@inlined_kernel
def station_name(radio: RadioArrays, station: int) -> int:
    """Return what a station is called in random streams, whatever the number of cars."""
    num_cars = radio.cars.shape[0]
    return station if station < num_cars else FIRST_BACKGROUND_NAME + station - num_cars


@inlined_kernel
def has_frame(radio: RadioArrays, station: int) -> bool:
    """Return whether a station has a frame that waits for the medium."""
    is_waiting = radio.stations[station, STATION_IS_WAITING] > 0.0
    return bool(is_waiting or radio.masks[station, MASK_TO_FORWARD] != 0)


@inlined_kernel
def contend(radio: RadioArrays, station: int, time_s: float) -> None:
    """Let a station with a frame begin at once on an idle medium, or start its countdown."""
    row = radio.stations[station]
    is_counting = row[STATION_START_AT] < math.inf
    if is_counting or row[STATION_SENDS_UNTIL] > time_s or not has_frame(radio, station):
        return
    idle_from_s = row[STATION_BUSY_UNTIL]
    if time_s >= idle_from_s + DIFS_S:
        begin_transmission(radio, station, time_s)
        return
    name = station_name(radio, station)
    start = stream_start(radio.radio_key[0], STREAM_BACKOFF, name, 0)
    draw = uniform_at(start, int(row[STATION_NUM_ON_AIR]))
    row[STATION_SLOTS_LEFT] = math.floor(BACKOFF_SLOTS * draw)
    _count_down(row, idle_from_s)
    code = event_code(KIND_START, 0, station, 0)
    push_event(radio.queue_times, radio.queue_codes, row[STATION_START_AT], code)


@kernel
def _count_down(row: FloatArray, idle_from_s: float) -> None:
    """Set the end of a station's countdown, on a medium idle from an instant on."""
    row[STATION_COUNTS_FROM] = idle_from_s + DIFS_S
    row[STATION_START_AT] = row[STATION_COUNTS_FROM] + row[STATION_SLOTS_LEFT] * SLOT_S


@inlined_kernel
def _take_frame(radio: RadioArrays, station: int, time_s: float) -> None:
    """Choose what a station puts on the air: its own frame first, then those it forwards."""
    row = radio.stations[station]
    if row[STATION_IS_WAITING] > 0.0:
        row[STATION_IS_WAITING] = 0.0
        row[STATION_SENDING_SOURCE] = station
        row[STATION_SENDING_TRANSMISSION] = row[STATION_TRANSMISSION]
        row[STATION_SENDING_HOPS] = 0.0
        row[STATION_ACCESS_DELAY] += time_s - row[STATION_OFFERED_AT]
        return
    mask = radio.masks[station, MASK_TO_FORWARD]
    source = 0
    while (mask >> source) & 1 == 0:
        source += 1
    radio.masks[station, MASK_TO_FORWARD] = mask & ~(1 << source)
    held = radio.links[station, source]
    held[LINK_IS_UNFORWARDED] = 0.0
    row[STATION_SENDING_SOURCE] = source
    row[STATION_SENDING_TRANSMISSION] = held[LINK_TRANSMISSION]
    row[STATION_SENDING_HOPS] = held[FRAME_HOP_COUNT] + 1.0
    radio.senders[station, SENDER_NUM_RELAY_TRANSMISSIONS] += 1.0
    radio.senders[source, SENDER_NUM_RELAYED] += 1.0


@inlined_kernel
def _mark_overlap(radio: RadioArrays, first: int, second: int) -> None:
    """Corrupt two overlapping transmissions at every car that senses both."""
    corrupted = 0
    for receiver in range(radio.cars.shape[0]):
        if senses(radio, first, receiver) and senses(radio, second, receiver):
            corrupted |= 1 << receiver
    for station in (first, second):
        row = radio.stations[station]
        if corrupted != 0 and radio.masks[station, MASK_CORRUPTED] == 0:
            row[STATION_NUM_COLLIDED] += 1.0
        radio.masks[station, MASK_CORRUPTED] |= corrupted


@inlined_kernel
def begin_transmission(radio: RadioArrays, station: int, time_s: float) -> None:
    """Put a station's next frame on the air; whoever senses it stops counting down."""
    stations = radio.stations
    row = stations[station]
    end_s = time_s + radio.values[VALUE_AIRTIME]
    row[STATION_START_AT] = math.inf
    row[STATION_NUM_ON_AIR] += 1.0
    _take_frame(radio, station, time_s)
    row[STATION_SENDS_UNTIL] = end_s
    row[STATION_BUSY_UNTIL] = max(row[STATION_BUSY_UNTIL], end_s)
    radio.masks[station, MASK_CORRUPTED] = 0
    for other in range(count_stations(radio)):
        if other == station:
            continue
        if stations[other, STATION_SENDS_UNTIL] > time_s:
            _mark_overlap(radio, station, other)
        if not senses(radio, station, other):
            continue
        stations[other, STATION_BUSY_UNTIL] = max(stations[other, STATION_BUSY_UNTIL], end_s)
        if time_s < stations[other, STATION_START_AT] < math.inf:
            _freeze(radio, other, time_s)
    code = event_code(KIND_AIR_END, 0, station, 0)
    push_event(radio.queue_times, radio.queue_codes, end_s, code)
    _push_next_start(radio)


@inlined_kernel
def _freeze(radio: RadioArrays, station: int, time_s: float) -> None:
    """Hold a station's countdown from an instant until the medium is idle again.

    A countdown that ends at the same instant is too late to stop.
    """
    row = radio.stations[station]
    if time_s > row[STATION_COUNTS_FROM]:
        elapsed = (time_s - row[STATION_COUNTS_FROM]) / SLOT_S
        row[STATION_SLOTS_LEFT] -= math.floor(elapsed + _SLOT_TOLERANCE)
    _count_down(row, row[STATION_BUSY_UNTIL])


@inlined_kernel
def _push_next_start(radio: RadioArrays) -> None:
    """Queue the end of the countdown that is the first to end.

    The others follow when it is over; events of countdowns that were held are passed over.
    """
    stations = radio.stations
    first = 0
    for station in range(1, count_stations(radio)):
        if stations[station, STATION_START_AT] < stations[first, STATION_START_AT]:
            first = station
    start_s = stations[first, STATION_START_AT]
    if start_s < math.inf:
        code = event_code(KIND_START, 0, first, 0)
        push_event(radio.queue_times, radio.queue_codes, start_s, code)


@inlined_kernel
def stalled_until_s(radio: RadioArrays, station: int, time_s: float) -> float:
    """Return when a board's software goes on; ``time_s`` itself unless it stands still.

    Stalls come as a Poisson process from the start of the episode on.
    """
    rate_hz = radio.values[VALUE_STALL_RATE]
    if rate_hz == 0.0:
        return time_s
    row = radio.stations[station]
    start = stream_start(radio.radio_key[0], STREAM_STALL, station, 0)
    while time_s >= row[STATION_STALL_UNTIL]:
        count = int(row[STATION_NUM_STALLS])
        pause_s = -math.log(1.0 - uniform_at(start, 2 * count)) / rate_hz
        longest_s = radio.values[VALUE_STALL + 1] - radio.values[VALUE_STALL]
        length_s = radio.values[VALUE_STALL] + longest_s * uniform_at(start, 2 * count + 1)
        row[STATION_STALL_FROM] = row[STATION_STALL_UNTIL] + pause_s
        row[STATION_STALL_UNTIL] = row[STATION_STALL_FROM] + length_s
        row[STATION_NUM_STALLS] = count + 1
    return float(row[STATION_STALL_UNTIL] if time_s >= row[STATION_STALL_FROM] else time_s)


@kernel
def start_stations(stations: FloatArray, time_s: float) -> None:
    """Put every station back to an idle medium at ``time_s``."""
    stations[:] = 0.0
    for station in range(stations.shape[0]):
        stations[station, STATION_START_AT] = math.inf
        stations[station, STATION_BUSY_UNTIL] = time_s - 1.0
        stations[station, STATION_SENDS_UNTIL] = time_s - 1.0
        stations[station, STATION_STALL_UNTIL] = time_s
        stations[station, STATION_FREE_AT] = time_s
