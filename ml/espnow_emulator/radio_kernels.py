"""The compiled life of a frame: transmission, directed links, reception, through one event queue.

``advance_radio`` handles every event in a control step in the order of its time. A transmission
freezes what the sender's sensors read, decides the frame's fate on each directed link, and puts a
reception into the queue for each link that delivers it. A reception goes through newest-wins.

Without relays only the ego's board (receiver 0) listens. With them every car does, and a relay slot
is a further kind of event, in which a car transmits what it holds and has not forwarded yet.
"""

from __future__ import annotations

import math

import numpy as np

from ml.espnow_emulator.event_queue_kernels import event_code, pop_event, push_event
from ml.espnow_emulator.link_kernels import draw_latency_s, start_link, step_link
from ml.espnow_emulator.radio_layout import (
    CAR_BITS,
    CLOCK_DRIFT,
    COUNT_BITS,
    FIRST_RELAY_COUNTER,
    FRAME_CLOCK,
    FRAME_GENERATED_AT,
    FRAME_HOP_COUNT,
    FRAME_PERIOD_S,
    FRAME_SEQUENCE,
    FRAME_STATE_AGE,
    KIND_RECEPTION,
    KIND_RELAY_SLOT,
    KIND_TRANSMISSION,
    LARGEST_UPTIME_S,
    LINK_IS_BAD,
    LINK_IS_UNFORWARDED,
    LINK_NUM_ACCEPTED,
    LINK_NUM_OUT_OF_RANGE,
    LINK_RELAY_IS_BAD,
    LINK_TRANSMISSION,
    MASK_CAR,
    MASK_COUNT,
    SENDER_CLOCK_OFFSET,
    SENDER_CLOCK_RATE,
    SENDER_FIRST_SEQUENCE,
    SENDER_FIRST_SLOT,
    SENDER_FIRST_TICK,
    SENDER_NUM_RELAY_TRANSMISSIONS,
    SENDER_NUM_RELAYED,
    SENDER_NUM_SENT,
    SENDER_NUM_SLOTS,
    SENDER_PERIOD,
    SEQUENCE_MODULUS,
    STREAM_BOARD,
    STREAM_TRANSMISSION_JITTER,
    TRANSMISSION_JITTER_S,
    VALUE_MAX_RANGE,
    VALUE_MAX_RELAY_HOPS,
    VALUE_RELAY_SLOT_PERIOD,
)
from ml.espnow_emulator.random_kernels import stream_start, uniform_at
from ml.espnow_emulator.receiver_kernels import receive_copy, write_heard
from ml.espnow_emulator.sensor_kernels import interpolate_car, sample_sensors
from ml.kernels import kernel
from ml.types import CAR_X, CAR_Y, FloatArray, IntArray


@kernel
def _schedule_transmission(
    radio_key: np.uint64,
    board: FloatArray,
    sender: int,
    queue_times: FloatArray,
    queue_codes: IntArray,
) -> None:
    """Queue the sender's next transmission."""
    count = int(board[SENDER_NUM_SENT])
    jitter = uniform_at(stream_start(radio_key, STREAM_TRANSMISSION_JITTER, sender, 0), count)
    time_s = board[SENDER_FIRST_TICK] + count * board[SENDER_PERIOD]
    time_s += TRANSMISSION_JITTER_S * jitter
    push_event(queue_times, queue_codes, time_s, event_code(KIND_TRANSMISSION, count, sender, 0))


@kernel
def _schedule_relay_slot(
    board: FloatArray, car: int, period_s: float, queue_times: FloatArray, queue_codes: IntArray
) -> None:
    """Queue the board's next relay slot; its phase is the same all through the episode."""
    count = int(board[SENDER_NUM_SLOTS])
    time_s = board[SENDER_FIRST_SLOT] + count * period_s / board[SENDER_CLOCK_RATE]
    push_event(queue_times, queue_codes, time_s, event_code(KIND_RELAY_SLOT, count, car, 0))
    board[SENDER_NUM_SLOTS] += 1


@kernel
def reset_radio(
    radio_key: np.uint64,
    time_s: float,
    cars: FloatArray,
    values: FloatArray,
    senders: FloatArray,
    links: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
) -> None:
    """Start every board and every link anew at ``time_s``; nothing has been heard yet.

    The ego (row 0) neither transmits nor forwards: no peer uses what it would send.
    """
    has_relays = values[VALUE_MAX_RELAY_HOPS] > 0.0
    num_receivers = links.shape[0] if has_relays else 1
    senders[:] = 0.0
    links[:] = 0.0
    queue_codes[0] = 0
    for sender in range(1, cars.shape[0]):
        board = senders[sender]
        start = stream_start(radio_key, STREAM_BOARD, sender, 0)
        rate = 1.0 + CLOCK_DRIFT * (2.0 * uniform_at(start, 1) - 1.0)
        board[SENDER_CLOCK_RATE] = rate
        board[SENDER_PERIOD] = FRAME_PERIOD_S / rate
        board[SENDER_FIRST_TICK] = time_s + board[SENDER_PERIOD] * uniform_at(start, 0)
        board[SENDER_CLOCK_OFFSET] = LARGEST_UPTIME_S * uniform_at(start, 2) - rate * time_s
        board[SENDER_FIRST_SEQUENCE] = math.floor(SEQUENCE_MODULUS * uniform_at(start, 3))
        _schedule_transmission(radio_key, board, sender, queue_times, queue_codes)
        if has_relays:
            period_s = values[VALUE_RELAY_SLOT_PERIOD]
            board[SENDER_FIRST_SLOT] = time_s + period_s / rate * uniform_at(start, 4)
            _schedule_relay_slot(board, sender, period_s, queue_times, queue_codes)
        for receiver in range(num_receivers):
            distance_m = math.hypot(
                cars[sender, CAR_X] - cars[receiver, CAR_X],
                cars[sender, CAR_Y] - cars[receiver, CAR_Y],
            )
            links[receiver, sender, LINK_IS_BAD] = start_link(
                radio_key, values, sender, receiver, distance_m
            )
            if has_relays:
                links[receiver, sender, LINK_RELAY_IS_BAD] = start_link(
                    radio_key, values, sender, receiver, distance_m, FIRST_RELAY_COUNTER
                )


@kernel
def _transmit(
    radio_key: np.uint64,
    values: FloatArray,
    time_s: float,
    fraction: float,
    sender: int,
    previous_cars: FloatArray,
    cars: FloatArray,
    board: FloatArray,
    frame: FloatArray,
) -> None:
    """Freeze the sender's next frame: sensor readings, numbers and clock at ``time_s``."""
    interpolate_car(previous_cars[sender], cars[sender], fraction, frame)
    sample_sensors(radio_key, values, board, sender, time_s, frame)
    sequence = int(board[SENDER_FIRST_SEQUENCE] + board[SENDER_NUM_SENT]) % SEQUENCE_MODULUS
    frame[FRAME_SEQUENCE] = sequence
    frame[FRAME_CLOCK] = board[SENDER_CLOCK_OFFSET] + board[SENDER_CLOCK_RATE] * time_s
    frame[FRAME_STATE_AGE] = 0.0
    frame[FRAME_HOP_COUNT] = 0.0
    frame[FRAME_GENERATED_AT] = time_s
    board[SENDER_NUM_SENT] += 1


@kernel
def _distance_m(
    previous_cars: FloatArray, cars: FloatArray, fraction: float, first: int, second: int
) -> float:
    """Return the true distance between two cars at a fraction of the step."""
    before_x = previous_cars[first, CAR_X] - previous_cars[second, CAR_X]
    before_y = previous_cars[first, CAR_Y] - previous_cars[second, CAR_Y]
    after_x = cars[first, CAR_X] - cars[second, CAR_X]
    after_y = cars[first, CAR_Y] - cars[second, CAR_Y]
    return math.hypot(
        before_x + fraction * (after_x - before_x), before_y + fraction * (after_y - before_y)
    )


@kernel
def _carry(
    radio_key: np.uint64,
    values: FloatArray,
    time_s: float,
    distance_m: float,
    sender: int,
    receiver: int,
    transmission: int,
    link: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
) -> None:
    """Decide a transmission's fate on one directed link; queue its reception if it arrives."""
    link[LINK_IS_BAD] = step_link(
        radio_key, values, link[LINK_IS_BAD], sender, receiver, transmission, distance_m
    )
    if distance_m > values[VALUE_MAX_RANGE]:
        link[LINK_NUM_OUT_OF_RANGE] += 1
    elif link[LINK_IS_BAD] == 0.0:
        arrival_s = time_s + draw_latency_s(
            radio_key, values, sender, receiver, transmission, distance_m
        )
        code = event_code(KIND_RECEPTION, transmission, sender, receiver)
        push_event(queue_times, queue_codes, arrival_s, code)


@kernel
def _forward(
    radio_key: np.uint64,
    values: FloatArray,
    time_s: float,
    fraction: float,
    relay: int,
    previous_cars: FloatArray,
    cars: FloatArray,
    senders: FloatArray,
    links: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
) -> None:
    """Transmit, in a relay's slot, the newest frame held of each source that still waits for it.

    Each is one transmission, never repeated. On every link the forwarded frames have a state of
    loss of their own. A frame's source hears it like any other car, and has no use for it.
    """
    num_cars = cars.shape[0]
    board = senders[relay]
    first_counter = FIRST_RELAY_COUNTER + int(board[SENDER_NUM_RELAY_TRANSMISSIONS])
    for listener in range(num_cars):
        if listener == relay:
            continue
        link = links[listener, relay]
        distance_m = _distance_m(previous_cars, cars, fraction, relay, listener)
        is_in_range = distance_m <= values[VALUE_MAX_RANGE]
        counter = first_counter - 1
        for source in range(1, num_cars):
            held = links[relay, source]
            if held[LINK_IS_UNFORWARDED] == 0.0:
                continue
            counter += 1
            link[LINK_RELAY_IS_BAD] = step_link(
                radio_key, values, link[LINK_RELAY_IS_BAD], relay, listener, counter, distance_m
            )
            is_lost = link[LINK_RELAY_IS_BAD] > 0.0 or not is_in_range
            if is_lost or listener == source or _is_known(links[listener, source], held, listener):
                continue
            arrival_s = time_s + draw_latency_s(
                radio_key, values, relay, listener, counter, distance_m
            )
            kind = KIND_RECEPTION + int(held[FRAME_HOP_COUNT]) + 1
            code = event_code(kind, int(held[LINK_TRANSMISSION]), source, listener)
            push_event(queue_times, queue_codes, arrival_s, code)
    for source in range(1, num_cars):
        is_sent = links[relay, source, LINK_IS_UNFORWARDED]
        board[SENDER_NUM_RELAY_TRANSMISSIONS] += is_sent
        senders[source, SENDER_NUM_RELAYED] += is_sent
        links[relay, source, LINK_IS_UNFORWARDED] = 0.0


@kernel
def _is_known(known: FloatArray, held: FloatArray, listener: int) -> bool:
    """Return whether a peer would drop the held frame for sure: it has it, or a newer one.

    The ego's receptions all happen, because they are counted.
    """
    is_newest = known[LINK_TRANSMISSION] >= held[LINK_TRANSMISSION]
    return bool(listener > 0 and known[LINK_NUM_ACCEPTED] > 0 and is_newest)


@kernel
def advance_radio(
    radio_key: np.uint64,
    previous_s: float,
    now_s: float,
    values: FloatArray,
    previous_cars: FloatArray,
    cars: FloatArray,
    senders: FloatArray,
    frames: FloatArray,
    links: FloatArray,
    queue_times: FloatArray,
    queue_codes: IntArray,
    heard: FloatArray,
    age_s: FloatArray,
    ego_sensed: FloatArray,
) -> None:
    """Handle every event up to ``now_s``, then write what the ego's board holds and senses.

    ``previous_cars`` is the truth at ``previous_s`` and becomes that at ``now_s``.
    """
    has_relays = values[VALUE_MAX_RELAY_HOPS] > 0.0
    num_receivers = links.shape[0] if has_relays else 1
    num_kept = frames.shape[1]
    while queue_codes[0] > 0 and queue_times[1] <= now_s:
        time_s, code = pop_event(queue_times, queue_codes)
        receiver = code & MASK_CAR
        sender = (code >> CAR_BITS) & MASK_CAR
        transmission = (code >> 2 * CAR_BITS) & MASK_COUNT
        frame = frames[sender, transmission % num_kept]
        kind = code >> (2 * CAR_BITS + COUNT_BITS)
        if KIND_RECEPTION <= kind < KIND_RELAY_SLOT:
            link, hop_count = links[receiver, sender], kind - KIND_RECEPTION
            receive_copy(values, link, frame, time_s, hop_count, transmission)
            continue
        board = senders[sender]
        fraction = (time_s - previous_s) / (now_s - previous_s) if now_s > previous_s else 0.0
        if kind == KIND_RELAY_SLOT:
            _forward(
                radio_key,
                values,
                time_s,
                fraction,
                sender,
                previous_cars,
                cars,
                senders,
                links,
                queue_times,
                queue_codes,
            )
            period_s = values[VALUE_RELAY_SLOT_PERIOD]
            _schedule_relay_slot(board, sender, period_s, queue_times, queue_codes)
            continue
        _transmit(radio_key, values, time_s, fraction, sender, previous_cars, cars, board, frame)
        for listener in range(num_receivers):
            if listener != sender:
                distance_m = _distance_m(previous_cars, cars, fraction, sender, listener)
                _carry(
                    radio_key,
                    values,
                    time_s,
                    distance_m,
                    sender,
                    listener,
                    transmission,
                    links[listener, sender],
                    queue_times,
                    queue_codes,
                )
        _schedule_transmission(radio_key, board, sender, queue_times, queue_codes)
    interpolate_car(cars[0], cars[0], 0.0, ego_sensed)
    sample_sensors(radio_key, values, senders[0], 0, now_s, ego_sensed)
    write_heard(values, links, now_s, heard, age_s)
    previous_cars[:] = cars
