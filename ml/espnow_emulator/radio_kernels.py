"""The compiled life of a frame, through one event queue: transmission, medium, links, reception.

``advance_radio`` handles every event in a control step in the order of its time. A transmission
freezes what the sender's sensors read. In simple mode the frame's fate on each directed link is
decided there and then, and a reception is queued for each link that delivers it. In physical mode
the frame goes through the board's software to the medium, and its fate is decided when it has been
on the air. A reception goes through newest-wins.

Without relays only the ego's board (receiver 0) listens. With them every car does, and a relay slot
is a further kind of event, in which a car transmits what it holds and has not forwarded yet.
"""

from __future__ import annotations

import math

import numpy as np

from ml.espnow_emulator.checksum_kernels import add_to_checksum
from ml.espnow_emulator.event_queue_kernels import event_code, pop_event, push_event
from ml.espnow_emulator.fault_kernels import (
    forge_frame,
    is_blacked_out,
    is_cut_off,
    is_in_burst,
    is_silent,
    push_attacks,
    restart_counters,
)
from ml.espnow_emulator.link_kernels import draw_latency_s, start_link, step_link
from ml.espnow_emulator.medium_kernels import (
    begin_transmission,
    contend,
    count_stations,
    stalled_until_s,
    start_stations,
    station_name,
)
from ml.espnow_emulator.propagation_kernels import is_decoded, update_shadowing
from ml.espnow_emulator.radio_layout import (
    CAR_BITS,
    CLOCK_DRIFT,
    CLOCK_MODULUS_S,
    COUNT_BITS,
    FIRST_RELAY_COUNTER,
    FRAME_CLOCK,
    FRAME_GENERATED_AT,
    FRAME_HOP_COUNT,
    FRAME_PERIOD_S,
    FRAME_SEQUENCE,
    FRAME_STATE_AGE,
    KIND_FIX,
    KIND_FORGED,
    KIND_OFFER,
    KIND_RECEPTION,
    KIND_RELAY_SLOT,
    KIND_REPLAYED,
    KIND_START,
    KIND_TICK,
    KIND_TRANSMISSION,
    LARGEST_UPTIME_S,
    LINK_IS_BAD,
    LINK_IS_UNFORWARDED,
    LINK_NUM_ACCEPTED,
    LINK_NUM_DELIVERED,
    LINK_NUM_OUT_OF_RANGE,
    LINK_RELAY_IS_BAD,
    LINK_TRANSMISSION,
    MASK_CAR,
    MASK_CORRUPTED,
    MASK_COUNT,
    MASK_TO_FORWARD,
    NUM_FRAME_FIELDS,
    SENDER_CLOCK_OFFSET,
    SENDER_CLOCK_RATE,
    SENDER_FIRST_FIX,
    SENDER_FIRST_SEQUENCE,
    SENDER_FIRST_SLOT,
    SENDER_FIRST_TICK,
    SENDER_GPS_LAG,
    SENDER_NUM_FIXES,
    SENDER_NUM_RELAY_TRANSMISSIONS,
    SENDER_NUM_RELAYED,
    SENDER_NUM_SENT,
    SENDER_NUM_SLOTS,
    SENDER_PERIOD,
    SEQUENCE_MODULUS,
    STATION_FIRST_TICK,
    STATION_FREE_AT,
    STATION_IS_WAITING,
    STATION_NUM_REPLACED,
    STATION_NUM_TICKS,
    STATION_OFFERED_AT,
    STATION_PERIOD,
    STATION_SENDING_HOPS,
    STATION_SENDING_SOURCE,
    STATION_SENDING_TRANSMISSION,
    STATION_START_AT,
    STATION_TRANSMISSION,
    STREAM_BOARD,
    STREAM_STACK,
    STREAM_TRANSMISSION_JITTER,
    TRANSMISSION_JITTER_S,
    VALUE_GPS_PERIOD,
    VALUE_IS_ALIGNED,
    VALUE_IS_PHYSICAL,
    VALUE_MAX_RANGE,
    VALUE_MAX_RELAY_HOPS,
    VALUE_RELAY_SLOT_PERIOD,
    VALUE_STACK,
    RadioArrays,
)
from ml.espnow_emulator.random_kernels import stream_start, uniform_at
from ml.espnow_emulator.receiver_kernels import receive_copy, write_heard
from ml.espnow_emulator.sensor_kernels import (
    extrapolate_position,
    quantise,
    read_sensors,
    start_sensors,
    take_fix,
)
from ml.kernels import borrowed, copy_items, inlined_kernel, kernel
from ml.types import CAR_X, CAR_Y, FloatArray, IntArray, UnsignedArray

_ALIGNED_PHASE_S = 0.05


@inlined_kernel
def _schedule_transmission(radio: RadioArrays, sender: int) -> None:
    """Queue the sender's next transmission."""
    board = radio.senders[sender]
    count = int(board[SENDER_NUM_SENT])
    time_s = board[SENDER_FIRST_TICK] + count * board[SENDER_PERIOD]
    if radio.values[VALUE_IS_ALIGNED] == 0.0:
        start = stream_start(radio.radio_key[0], STREAM_TRANSMISSION_JITTER, sender, 0)
        time_s += TRANSMISSION_JITTER_S * uniform_at(start, count)
    code = event_code(KIND_TRANSMISSION, count, sender, 0)
    push_event(radio.queue_times, radio.queue_codes, time_s, code)


@inlined_kernel
def _schedule_relay_slot(radio: RadioArrays, car: int) -> None:
    """Queue the board's next relay slot; its phase is the same all through the episode."""
    board = radio.senders[car]
    count = int(board[SENDER_NUM_SLOTS])
    period_s = radio.values[VALUE_RELAY_SLOT_PERIOD]
    time_s = board[SENDER_FIRST_SLOT] + count * period_s / board[SENDER_CLOCK_RATE]
    code = event_code(KIND_RELAY_SLOT, count, car, 0)
    push_event(radio.queue_times, radio.queue_codes, time_s, code)
    board[SENDER_NUM_SLOTS] += 1


@inlined_kernel
def _schedule_fix(radio: RadioArrays, car: int) -> None:
    """Queue the measurement of a board's next position fix."""
    board = radio.senders[car]
    num_before = math.ceil(board[SENDER_GPS_LAG] / radio.values[VALUE_GPS_PERIOD]) + 1.0
    count = board[SENDER_NUM_FIXES] - num_before
    time_s = board[SENDER_FIRST_FIX] + count * radio.values[VALUE_GPS_PERIOD]
    push_event(radio.queue_times, radio.queue_codes, time_s, event_code(KIND_FIX, 0, car, 0))


@inlined_kernel
def _schedule_tick(radio: RadioArrays, station: int) -> None:
    """Queue the next frame of the ego or of a background sender."""
    row = radio.stations[station]
    count = int(row[STATION_NUM_TICKS])
    time_s = row[STATION_FIRST_TICK] + count * row[STATION_PERIOD]
    row[STATION_NUM_TICKS] = count + 1
    push_event(radio.queue_times, radio.queue_codes, time_s, event_code(KIND_TICK, 0, station, 0))


@kernel
def reset_radio(
    time_s: float,
    radio_key: UnsignedArray,
    values: FloatArray,
    senders: FloatArray,
    fixes: FloatArray,
    frames: FloatArray,
    links: FloatArray,
    stations: FloatArray,
    masks: IntArray,
    faults: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
    previous_cars: FloatArray,
    cars: FloatArray,
) -> None:
    """Start every board, link and station anew at ``time_s``; nothing has been heard yet.

    The ego (row 0) forwards nothing, and no peer uses what it transmits: its frames only take up
    the medium, in physical mode.
    """
    radio = RadioArrays(
        borrowed(radio_key),
        borrowed(values),
        borrowed(senders),
        borrowed(fixes),
        borrowed(frames),
        borrowed(links),
        borrowed(stations),
        borrowed(masks),
        borrowed(faults),
        borrowed(queue_times),
        borrowed(queue_codes),
        borrowed(previous_cars),
        borrowed(cars),
    )
    senders[:] = 0.0
    links[:] = 0.0
    queue_codes[0] = 0
    for car in range(cars.shape[0]):
        start_sensors(radio, car, time_s)
        if values[VALUE_GPS_PERIOD] > 0.0:
            _schedule_fix(radio, car)
        if car > 0:
            _start_board(radio, car, time_s)
            _start_links(radio, car)
    if values[VALUE_IS_PHYSICAL] > 0.0:
        masks[:] = 0
        start_stations(stations, time_s)
        _start_tick(radio, 0, time_s)
        for station in range(cars.shape[0], count_stations(radio)):
            _start_tick(radio, station, time_s)


@inlined_kernel
def _start_board(radio: RadioArrays, sender: int, time_s: float) -> None:
    """Draw a board's clock and phases, and queue its first transmission and relay slot."""
    values, board = radio.values, radio.senders[sender]
    start = stream_start(radio.radio_key[0], STREAM_BOARD, sender, 0)
    rate = 1.0 + CLOCK_DRIFT * (2.0 * uniform_at(start, 1) - 1.0)
    board[SENDER_CLOCK_RATE] = rate
    board[SENDER_PERIOD] = FRAME_PERIOD_S / rate
    board[SENDER_FIRST_TICK] = time_s + board[SENDER_PERIOD] * uniform_at(start, 0)
    if values[VALUE_IS_ALIGNED] > 0.0:
        board[SENDER_PERIOD] = FRAME_PERIOD_S
        board[SENDER_FIRST_TICK] = time_s + _ALIGNED_PHASE_S
    board[SENDER_CLOCK_OFFSET] = LARGEST_UPTIME_S * uniform_at(start, 2) - rate * time_s
    board[SENDER_FIRST_SEQUENCE] = math.floor(SEQUENCE_MODULUS * uniform_at(start, 3))
    _schedule_transmission(radio, sender)
    if values[VALUE_MAX_RELAY_HOPS] > 0.0:
        period_s = values[VALUE_RELAY_SLOT_PERIOD]
        board[SENDER_FIRST_SLOT] = time_s + period_s / rate * uniform_at(start, 4)
        _schedule_relay_slot(radio, sender)


@inlined_kernel
def _start_links(radio: RadioArrays, sender: int) -> None:
    """Draw the state in which the links from a sender begin."""
    values, cars = radio.values, radio.cars
    has_relays = values[VALUE_MAX_RELAY_HOPS] > 0.0
    for receiver in range(_count_receivers(radio)):
        link = radio.links[receiver, sender]
        distance_m = math.hypot(
            cars[sender, CAR_X] - cars[receiver, CAR_X],
            cars[sender, CAR_Y] - cars[receiver, CAR_Y],
        )
        key = radio.radio_key[0]
        link[LINK_IS_BAD] = start_link(key, values, sender, receiver, distance_m)
        if has_relays:
            link[LINK_RELAY_IS_BAD] = start_link(
                key, values, sender, receiver, distance_m, FIRST_RELAY_COUNTER
            )
        if values[VALUE_IS_PHYSICAL] > 0.0:
            update_shadowing(radio, link, sender, receiver, 0)


@inlined_kernel
def _start_tick(radio: RadioArrays, station: int, time_s: float) -> None:
    """Draw the phase of the ego or of a background sender, and queue its first frame."""
    row = radio.stations[station]
    name = station_name(radio, station)
    start = stream_start(radio.radio_key[0], STREAM_BOARD, name, 0)
    rate = 1.0 + CLOCK_DRIFT * (2.0 * uniform_at(start, 1) - 1.0)
    row[STATION_PERIOD] = FRAME_PERIOD_S / rate
    row[STATION_FIRST_TICK] = time_s + row[STATION_PERIOD] * uniform_at(start, 0)
    if radio.values[VALUE_IS_ALIGNED] > 0.0:
        row[STATION_PERIOD] = FRAME_PERIOD_S
        row[STATION_FIRST_TICK] = time_s + _ALIGNED_PHASE_S
    _schedule_tick(radio, station)


@inlined_kernel
def _count_receivers(radio: RadioArrays) -> int:
    """Return how many cars listen, the ego first."""
    return radio.links.shape[0] if radio.values[VALUE_MAX_RELAY_HOPS] > 0.0 else 1


@inlined_kernel
def _freeze_frame(radio: RadioArrays, sender: int, time_s: float, fraction: float) -> None:
    """Freeze the sender's next frame: sensor readings, numbers and clock at ``time_s``."""
    board = radio.senders[sender]
    frame = radio.frames[sender, int(board[SENDER_NUM_SENT]) % radio.frames.shape[1]]
    age_s, measured_s = read_sensors(radio, sender, time_s, fraction, frame)
    quantise(radio.values, frame)
    sequence = int(board[SENDER_FIRST_SEQUENCE] + board[SENDER_NUM_SENT]) % SEQUENCE_MODULUS
    frame[FRAME_SEQUENCE] = sequence
    clock_s = board[SENDER_CLOCK_OFFSET] + board[SENDER_CLOCK_RATE] * time_s
    frame[FRAME_CLOCK] = clock_s - CLOCK_MODULUS_S * math.floor(clock_s / CLOCK_MODULUS_S)
    frame[FRAME_STATE_AGE] = age_s
    frame[FRAME_HOP_COUNT] = 0.0
    frame[FRAME_GENERATED_AT] = measured_s
    board[SENDER_NUM_SENT] += 1


@inlined_kernel
def _distance_m(radio: RadioArrays, fraction: float, first: int, second: int) -> float:
    """Return the true distance between two cars at a fraction of the step."""
    previous_cars, cars = radio.previous_cars, radio.cars
    before_x = previous_cars[first, CAR_X] - previous_cars[second, CAR_X]
    before_y = previous_cars[first, CAR_Y] - previous_cars[second, CAR_Y]
    after_x = cars[first, CAR_X] - cars[second, CAR_X]
    after_y = cars[first, CAR_Y] - cars[second, CAR_Y]
    return math.hypot(
        before_x + fraction * (after_x - before_x), before_y + fraction * (after_y - before_y)
    )


@inlined_kernel
def _transmit(radio: RadioArrays, sender: int, time_s: float, fraction: float) -> None:
    """Handle a board's 10 Hz tick: a new frame to all links, or to the medium.

    A board that is off, or whose software stands still, misses its ticks.
    """
    board = radio.senders[sender]
    is_physical = radio.values[VALUE_IS_PHYSICAL] > 0.0
    is_missed = is_silent(radio.faults, sender, time_s)
    if is_physical and stalled_until_s(radio, sender, time_s) > time_s:
        is_missed = True
    if is_missed:
        board[SENDER_FIRST_TICK] += board[SENDER_PERIOD]
        _schedule_transmission(radio, sender)
        return
    restart_counters(radio.faults, board, sender, time_s)
    transmission = int(board[SENDER_NUM_SENT])
    _freeze_frame(radio, sender, time_s, fraction)
    if is_physical:
        start = stream_start(radio.radio_key[0], STREAM_STACK, sender, sender)
        offer_s = time_s + _stack_time_s(radio, uniform_at(start, transmission))
        code = event_code(KIND_OFFER, transmission, sender, 0)
        push_event(radio.queue_times, radio.queue_codes, offer_s, code)
    else:
        for listener in range(_count_receivers(radio)):
            if listener != sender:
                distance_m = _distance_m(radio, fraction, sender, listener)
                _carry(radio, sender, listener, transmission, time_s, distance_m)
        push_attacks(radio, sender, transmission, time_s)
    _schedule_transmission(radio, sender)


@inlined_kernel
def _stack_time_s(radio: RadioArrays, draw: float) -> float:
    """Return the time in one board's network stack [s]."""
    shortest_s = radio.values[VALUE_STACK]
    return float(shortest_s + (radio.values[VALUE_STACK + 1] - shortest_s) * draw)


@inlined_kernel
def _carry(
    radio: RadioArrays,
    sender: int,
    receiver: int,
    transmission: int,
    time_s: float,
    distance_m: float,
) -> None:
    """Decide a transmission's fate on one directed link of the simple mode."""
    key, values, link = radio.radio_key[0], radio.values, radio.links[receiver, sender]
    link[LINK_IS_BAD] = step_link(
        key, values, link[LINK_IS_BAD], sender, receiver, transmission, distance_m
    )
    is_lost = link[LINK_IS_BAD] > 0.0
    if receiver == 0 and is_in_burst(radio.faults, sender, time_s):
        is_lost = True
    if is_cut_off(radio.faults, sender, receiver, time_s):
        is_lost = True
    if distance_m > values[VALUE_MAX_RANGE]:
        link[LINK_NUM_OUT_OF_RANGE] += 1
    elif not is_lost:
        arrival_s = time_s + draw_latency_s(key, values, sender, receiver, transmission, distance_m)
        code = event_code(KIND_RECEPTION, transmission, sender, receiver)
        push_event(radio.queue_times, radio.queue_codes, arrival_s, code)


@inlined_kernel
def _forward(radio: RadioArrays, relay: int, time_s: float, fraction: float) -> None:
    """Transmit, in a relay's slot, the newest frame held of each source that still waits for it.

    Each is one transmission, never repeated. On every link the forwarded frames have a state of
    loss of their own. A frame's source hears it like any other car, and has no use for it.
    """
    key, values, links = radio.radio_key[0], radio.values, radio.links
    num_cars = radio.cars.shape[0]
    board = radio.senders[relay]
    first_counter = FIRST_RELAY_COUNTER + int(board[SENDER_NUM_RELAY_TRANSMISSIONS])
    for listener in range(num_cars):
        if listener == relay:
            continue
        link = links[listener, relay]
        distance_m = _distance_m(radio, fraction, relay, listener)
        is_out = distance_m > values[VALUE_MAX_RANGE]
        if is_cut_off(radio.faults, relay, listener, time_s):
            is_out = True
        counter = first_counter - 1
        for source in range(1, num_cars):
            held = links[relay, source]
            if held[LINK_IS_UNFORWARDED] == 0.0:
                continue
            counter += 1
            link[LINK_RELAY_IS_BAD] = step_link(
                key, values, link[LINK_RELAY_IS_BAD], relay, listener, counter, distance_m
            )
            is_lost = link[LINK_RELAY_IS_BAD] > 0.0 or is_out
            if listener == 0 and is_blacked_out(radio.faults, source, time_s):
                is_lost = True
            number = held[LINK_TRANSMISSION]
            if is_lost or listener == source or _is_known(radio, listener, source, number):
                continue
            arrival_s = time_s + draw_latency_s(key, values, relay, listener, counter, distance_m)
            kind = KIND_RECEPTION + int(held[FRAME_HOP_COUNT]) + 1
            code = event_code(kind, int(number), source, listener)
            push_event(radio.queue_times, radio.queue_codes, arrival_s, code)
    for source in range(1, num_cars):
        is_sent = links[relay, source, LINK_IS_UNFORWARDED]
        board[SENDER_NUM_RELAY_TRANSMISSIONS] += is_sent
        radio.senders[source, SENDER_NUM_RELAYED] += is_sent
        links[relay, source, LINK_IS_UNFORWARDED] = 0.0


@inlined_kernel
def _is_known(radio: RadioArrays, listener: int, source: int, transmission: float) -> bool:
    """Return whether a peer would drop a forwarded frame for sure: it has it, or a newer one.

    The ego's receptions all happen, because they are counted.
    """
    known = radio.links[listener, source]
    is_newest = known[LINK_TRANSMISSION] >= transmission
    return bool(listener > 0 and known[LINK_NUM_ACCEPTED] > 0 and is_newest)


@inlined_kernel
def _relay_slot(radio: RadioArrays, relay: int, time_s: float, fraction: float) -> None:
    """Handle a relay slot: transmit at once, or hand what waits to the medium."""
    if is_silent(radio.faults, relay, time_s):
        _schedule_relay_slot(radio, relay)
        return
    if radio.values[VALUE_IS_PHYSICAL] > 0.0:
        free_s = stalled_until_s(radio, relay, time_s)
        if free_s > time_s:
            code = event_code(KIND_RELAY_SLOT, 0, relay, 0)
            push_event(radio.queue_times, radio.queue_codes, free_s, code)
            return
        for source in range(1, radio.cars.shape[0]):
            if radio.links[relay, source, LINK_IS_UNFORWARDED] > 0.0:
                radio.masks[relay, MASK_TO_FORWARD] |= 1 << source
        contend(radio, relay, time_s)
    else:
        _forward(radio, relay, time_s, fraction)
    _schedule_relay_slot(radio, relay)


@inlined_kernel
def _offer(radio: RadioArrays, station: int, transmission: int, time_s: float) -> None:
    """Hand a station's own frame to the medium; it takes the place of one that still waits."""
    row = radio.stations[station]
    if row[STATION_IS_WAITING] > 0.0:
        row[STATION_NUM_REPLACED] += 1.0
    row[STATION_IS_WAITING] = 1.0
    row[STATION_TRANSMISSION] = transmission
    row[STATION_OFFERED_AT] = time_s
    contend(radio, station, time_s)


@inlined_kernel
def _end_transmission(radio: RadioArrays, station: int, time_s: float, fraction: float) -> None:
    """Decide, as a transmission leaves the air, who has received it; the station goes on."""
    row = radio.stations[station]
    num_cars = radio.cars.shape[0]
    if 0 < station < num_cars:
        source, hops = int(row[STATION_SENDING_SOURCE]), int(row[STATION_SENDING_HOPS])
        transmission = int(row[STATION_SENDING_TRANSMISSION])
        counter = transmission
        if hops > 0:
            counter = FIRST_RELAY_COUNTER
            counter += int(radio.senders[station, SENDER_NUM_RELAY_TRANSMISSIONS])
        for listener in range(_count_receivers(radio)):
            if listener == station:
                continue
            is_received = _is_received(radio, station, listener, counter, time_s, fraction)
            if listener == 0 and is_blacked_out(radio.faults, source, time_s):
                is_received = False
            if listener == source or not is_received:
                continue
            if hops == 0 or not _is_known(radio, listener, source, float(transmission)):
                arrival_s = _handled_at_s(radio, station, listener, counter, time_s)
                code = event_code(KIND_RECEPTION + hops, transmission, source, listener)
                push_event(radio.queue_times, radio.queue_codes, arrival_s, code)
        if hops == 0:
            push_attacks(radio, station, transmission, time_s)
    contend(radio, station, time_s)


@inlined_kernel
def _is_received(
    radio: RadioArrays,
    station: int,
    listener: int,
    counter: int,
    time_s: float,
    fraction: float,
) -> bool:
    """Return whether a car has received a transmission in physical mode."""
    link = radio.links[listener, station]
    distance_m = _distance_m(radio, fraction, station, listener)
    is_own = counter < FIRST_RELAY_COUNTER
    state = LINK_IS_BAD if is_own else LINK_RELAY_IS_BAD
    link[state] = step_link(
        radio.radio_key[0], radio.values, link[state], station, listener, counter, distance_m
    )
    if is_own:
        update_shadowing(radio, link, station, listener, counter + 1)
    is_lost = link[state] > 0.0 or (radio.masks[station, MASK_CORRUPTED] >> listener) & 1 == 1
    if listener == 0 and is_own and is_in_burst(radio.faults, station, time_s):
        is_lost = True
    if is_cut_off(radio.faults, station, listener, time_s):
        is_lost = True
    return not is_lost and is_decoded(radio, station, listener, counter, distance_m)


@inlined_kernel
def _handled_at_s(
    radio: RadioArrays, station: int, listener: int, counter: int, end_s: float
) -> float:
    """Return when the receiver's software has handled a frame: one after the other."""
    row = radio.stations[listener]
    start = stream_start(radio.radio_key[0], STREAM_STACK, station, listener)
    begin_s = max(row[STATION_FREE_AT], stalled_until_s(radio, listener, end_s))
    row[STATION_FREE_AT] = begin_s + _stack_time_s(radio, uniform_at(start, counter))
    return float(row[STATION_FREE_AT])


@inlined_kernel
def _receive(
    radio: RadioArrays, kind: int, sender: int, receiver: int, transmission: int, time_s: float
) -> None:
    """Handle the reception of a frame, or of one that an attacker sends in a car's name.

    Attackers reach the ego only; the receiver of a forged frame is the attack's number.
    """
    frame = radio.frames[sender, transmission % radio.frames.shape[1]]
    if kind >= KIND_REPLAYED:
        radio.links[0, sender, LINK_NUM_DELIVERED] -= 1.0  # not one of the car's own
    if kind == KIND_FORGED:
        forged = np.empty(NUM_FRAME_FIELDS)
        forge_frame(radio.faults, sender, receiver, frame, forged)
        receive_copy(radio.values, radio.links[0, sender], forged, time_s, 0, transmission)
    else:
        hop_count = 0 if kind == KIND_REPLAYED else kind - KIND_RECEPTION
        link = radio.links[receiver, sender]
        receive_copy(radio.values, link, frame, time_s, hop_count, transmission)


@kernel
def advance_radio(
    previous_s: float,
    now_s: float,
    heard: FloatArray,
    age_s: FloatArray,
    ego_sensed: FloatArray,
    checksum: UnsignedArray,
    radio_key: UnsignedArray,
    values: FloatArray,
    senders: FloatArray,
    fixes: FloatArray,
    frames: FloatArray,
    links: FloatArray,
    stations: FloatArray,
    masks: IntArray,
    faults: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
    previous_cars: FloatArray,
    cars: FloatArray,
) -> None:
    """Handle every event up to ``now_s``, then write what the ego's board holds and senses.

    ``previous_cars`` is the truth at ``previous_s`` and becomes that at ``now_s``. The cars and
    what was written are added to ``checksum``.
    """
    radio = RadioArrays(
        borrowed(radio_key),
        borrowed(values),
        borrowed(senders),
        borrowed(fixes),
        borrowed(frames),
        borrowed(links),
        borrowed(stations),
        borrowed(masks),
        borrowed(faults),
        borrowed(queue_times),
        borrowed(queue_codes),
        borrowed(previous_cars),
        borrowed(cars),
    )
    while queue_codes[0] > 0 and queue_times[1] <= now_s:
        time_s, code = pop_event(queue_times, queue_codes)
        receiver = code & MASK_CAR
        sender = (code >> CAR_BITS) & MASK_CAR
        transmission = (code >> 2 * CAR_BITS) & MASK_COUNT
        kind = code >> (2 * CAR_BITS + COUNT_BITS)
        fraction = (time_s - previous_s) / (now_s - previous_s) if now_s > previous_s else 0.0
        if KIND_RECEPTION <= kind < KIND_RELAY_SLOT or kind >= KIND_REPLAYED:
            _receive(radio, kind, sender, receiver, transmission, time_s)
        elif kind == KIND_TRANSMISSION:
            _transmit(radio, sender, time_s, fraction)
        elif kind == KIND_RELAY_SLOT:
            _relay_slot(radio, sender, time_s, fraction)
        elif kind == KIND_FIX:
            take_fix(radio, sender, time_s, fraction)
            _schedule_fix(radio, sender)
        elif kind == KIND_TICK:
            _offer(radio, sender, 0, time_s)
            _schedule_tick(radio, sender)
        elif kind == KIND_OFFER:
            _offer(radio, sender, transmission, time_s)
        elif kind == KIND_START:
            if stations[sender, STATION_START_AT] == time_s:
                begin_transmission(radio, sender, time_s)
        else:
            _end_transmission(radio, sender, time_s, fraction)
    for car in range(cars.shape[0]):
        copy_items(cars[car], previous_cars[car])
    known_age_s, _ = read_sensors(radio, 0, now_s, 0.0, ego_sensed)
    quantise(values, ego_sensed)
    if known_age_s > 0.0:
        extrapolate_position(ego_sensed, known_age_s)
    write_heard(values, links, now_s, heard, age_s)
    add_to_checksum(checksum, cars)
    add_to_checksum(checksum, heard)
    add_to_checksum(checksum, ego_sensed.reshape(1, -1))
