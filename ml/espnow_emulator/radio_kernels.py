"""The compiled life of a frame: sensors, transmission, directed links, reception, one event queue.

``advance_radio`` handles every event in a control step in the order of its time. A transmission
freezes what the sender's sensors read, decides the frame's fate on each directed link, and puts a
reception into the queue for each link that delivers it. A reception goes through newest-wins.

Random numbers are counter-based: draw number ``counter`` of a stream is a hash of
(radio key, stream, sender, receiver, counter), so neither the order of events, nor the number of
cars, nor what any car does can change a draw. The hash is SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014), started at a mixed key.

Without relays only the ego's board (receiver 0) listens. With them every car does, and a relay slot
is a further kind of event, in which a car transmits what it holds and has not forwarded yet.
"""

from __future__ import annotations

import math

import numpy as np

from ml.kernels import kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_SLOPE,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
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
    IntArray,
)
from ml.units import GRAVITY_MPS2

FRAME_PERIOD_S = 0.1
TRANSMISSION_JITTER_S = 0.002
CLOCK_DRIFT = 40e-6  # largest relative error of a board's crystal
LARGEST_UPTIME_S = 1000.0  # boards have been on for up to this long at reset
LONGEST_LATENCY_S = 2.0  # latencies are cut here, which bounds the frames in flight
FRAMES_KEPT = 32  # more than the 21 frames that LONGEST_LATENCY_S can keep in flight on a link
# More than the 112 frames sent within four latencies and three relay slots of 1 s, all the longest.
FRAMES_KEPT_WITH_RELAYS = 128
FRAMES_IN_FLIGHT_PER_LINK = 24
LOWEST_ACCELERATION_WINDOW_S = 1.0
SEQUENCE_MODULUS = 65536
LARGEST_NUM_CARS = 1024  # ten bits in an event's code
LARGEST_MAX_RELAY_HOPS = 3  # three bits for the kind of an event
LARGEST_NUM_RELAYING_CARS = 64  # the queue grows with the cube of their number

# Columns of the values in force, a float64 vector
VALUE_LATENCY_BASE = 0  # [s]
VALUE_LATENCY_PER_DISTANCE = 1  # [s/m]
VALUE_LATENCY_JITTER = 2  # [s], standard deviation
VALUE_LATENCY_FLOOR = 3  # [s]
VALUE_TIER_LIMIT = 4  # [m], three columns: the farthest distance of each tier, the last infinite
VALUE_TO_BAD = 7  # three columns: probability good -> bad per transmission, by tier
VALUE_TO_GOOD = 10  # three columns: probability bad -> good
VALUE_TIER_LOSS = 13  # three columns: stationary loss
VALUE_MAX_RANGE = 16  # [m]
VALUE_NOISE_STD = 17  # five columns in the order of SENSED_*: [m], [m], [m/s], [m/s^2], [rad]
VALUE_NOISE_CORRELATION = 22  # five columns [s]
VALUE_STALENESS = 27  # [s]
VALUE_MAX_RELAY_HOPS = 28
VALUE_RELAY_SLOT_PERIOD = 29  # [s]
VALUE_LONGEST_DELAY = 30  # [s], from transmission at the source to reception, relays included
NUM_VALUES = 31
NUM_TIERS = 3

# One row per car of ``senders``, float64 (num_cars, NUM_SENDER_FIELDS)
SENDER_FIRST_TICK = 0  # [s], nominal time of transmission 0, before jitter
SENDER_PERIOD = 1  # [s], with the board's clock drift
SENDER_CLOCK_OFFSET = 2  # [s]; the board's clock is offset + rate * simulation time
SENDER_CLOCK_RATE = 3  # board seconds per second
SENDER_FIRST_SEQUENCE = 4
SENDER_NUM_SENT = 5
SENDER_NUM_SAMPLES = 6  # sensor readings so far
SENDER_SAMPLED_AT = 7  # [s], time of the latest reading
SENDER_NOISE = 8  # five columns: sensor noise in standard deviations
SENDER_FIRST_SLOT = 13  # [s], time of the board's relay slot 0
SENDER_NUM_SLOTS = 14  # relay slots so far
SENDER_NUM_RELAY_TRANSMISSIONS = 15  # frames of other cars that this board transmitted
SENDER_NUM_RELAYED = 16  # transmissions of this board's frames by other cars
NUM_SENDER_FIELDS = 17

# ``frames[sender, transmission % num_kept]``, float64; columns 0-4 are the SENSED_* ones
FRAME_SEQUENCE = 5  # in [0, SEQUENCE_MODULUS)
FRAME_CLOCK = 6  # [s], the sender's clock at transmission
FRAME_STATE_AGE = 7  # [s], declared by the sender
FRAME_HOP_COUNT = 8
FRAME_GENERATED_AT = 9  # [s], simulation time; not on the air, for metrics only
NUM_FRAME_FIELDS = 10

# ``links[receiver, sender]``, float64; columns 0-9 are the newest frame held, laid out as above
LINK_RECEIVED_AT = 10  # [s], reception of the newest frame
LINK_SEQUENCE_GAP = 11
LINK_IS_BAD = 12  # state of the two-state loss process
LINK_NUM_DELIVERED = 13  # frames that reached the receiver's radio
LINK_NUM_ACCEPTED = 14  # of those, newer than what was held
LINK_NUM_OUT_OF_RANGE = 15
LINK_TRANSMISSION = 16  # the newest frame's transmission number at its source
LINK_IS_UNFORWARDED = 17  # the newest frame waits for the receiver's relay slot
LINK_RELAY_IS_BAD = 18  # state of the loss process of the frames that the sender forwards
LINK_NUM_DELIVERED_RELAYED = 19  # of the frames delivered, those that a relay brought
LINK_NUM_ACCEPTED_RELAYED = 20  # of the frames accepted, those that a relay brought
LINK_HISTORY = 21  # FRAMES_KEPT pairs: reception time [s], acceleration [m/s^2]
NUM_LINK_FIELDS = LINK_HISTORY + 2 * FRAMES_KEPT

# Streams of random numbers
STREAM_BOARD = 0  # counters 0-4: phase, drift, clock offset, first sequence number, relay slot
STREAM_TRANSMISSION_JITTER = 1
STREAM_SENSOR = 2
STREAM_LOSS = 3
STREAM_LATENCY = 4
STREAM_EPISODE = 5
# Draws of a link from here on belong to forwarded frames, so relays change no draw of the others.
FIRST_RELAY_COUNTER = 1 << 40

# Events: kind, transmission number, sender and receiver in one integer, which also breaks ties
_CAR_BITS = 10
_COUNT_BITS = 40
_KIND_TRANSMISSION = 0
_KIND_RECEPTION = 1  # 2 to 4: of a frame with one to three hops
_KIND_RELAY_SLOT = _KIND_RECEPTION + LARGEST_MAX_RELAY_HOPS + 1
_MASK_CAR = (1 << _CAR_BITS) - 1
_MASK_COUNT = (1 << _COUNT_BITS) - 1

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = (np.uint64(n) for n in (30, 27, 31, 11))
_SHIFT_STREAM, _SHIFT_SENDER = np.uint64(32), np.uint64(16)
_ONE = np.uint64(1)


# --- Random numbers --------------------------------------------------------------------------
@kernel
def mix_bits(bits: np.uint64) -> np.uint64:
    """Return SplitMix64's finaliser of 64 bits: a bijection in which every input bit matters."""
    bits = (bits ^ (bits >> _SHIFT_30)) * _MIX_1
    bits = (bits ^ (bits >> _SHIFT_27)) * _MIX_2
    return bits ^ (bits >> _SHIFT_31)


@kernel
def stream_start(radio_key: np.uint64, stream: int, sender: int, receiver: int) -> np.uint64:
    """Return where the SplitMix64 sequence of (key, stream, sender, receiver) starts."""
    name = (np.uint64(stream) << _SHIFT_STREAM) | (np.uint64(sender) << _SHIFT_SENDER)
    name = (name | np.uint64(receiver)) + _ONE
    return mix_bits(mix_bits(radio_key + _GOLDEN) ^ mix_bits(name * _GOLDEN))


@kernel
def uniform_at(start: np.uint64, counter: int) -> float:
    """Return draw number ``counter`` of a stream, uniform in [0, 1) with 53 bits."""
    bits = mix_bits(start + (np.uint64(counter) + _ONE) * _GOLDEN)
    return float(bits >> _SHIFT_11) * 1.1102230246251565e-16


@kernel
def normal_pair_at(start: np.uint64, pair: int) -> tuple[float, float]:
    """Return draws 2 pair and 2 pair + 1 of a stream as two N(0, 1) numbers (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform_at(start, 2 * pair)))
    angle = 2.0 * math.pi * uniform_at(start, 2 * pair + 1)
    return radius * math.cos(angle), radius * math.sin(angle)


@kernel
def fill_uniform(radio_key: np.uint64, stream: int, draws: FloatArray) -> None:
    """Fill ``draws`` with the first uniform numbers of a stream that belongs to no link."""
    start = stream_start(radio_key, stream, 0, 0)
    for counter in range(draws.shape[0]):
        draws[counter] = uniform_at(start, counter)


# --- Event queue: a binary heap, item 1 the earliest; ``queue_codes[0]`` holds its size --------
@kernel
def _is_earlier(queue_times: FloatArray, queue_codes: IntArray, first: int, second: int) -> bool:
    if queue_times[first] != queue_times[second]:
        return bool(queue_times[first] < queue_times[second])
    return bool(queue_codes[first] < queue_codes[second])


@kernel
def _swap(queue_times: FloatArray, queue_codes: IntArray, first: int, second: int) -> None:
    time_s, code = queue_times[first], queue_codes[first]
    queue_times[first], queue_codes[first] = queue_times[second], queue_codes[second]
    queue_times[second], queue_codes[second] = time_s, code


@kernel
def push_event(queue_times: FloatArray, queue_codes: IntArray, time_s: float, code: int) -> None:
    """Put an event into the queue."""
    item = queue_codes[0] + 1
    queue_codes[0] = item
    queue_times[item], queue_codes[item] = time_s, code
    while item > 1 and _is_earlier(queue_times, queue_codes, item, item // 2):
        _swap(queue_times, queue_codes, item, item // 2)
        item //= 2


@kernel
def pop_event(queue_times: FloatArray, queue_codes: IntArray) -> tuple[float, int]:
    """Take the earliest event out of the queue; among equal times, the smallest code."""
    time_s, code = queue_times[1], queue_codes[1]
    size = queue_codes[0]
    queue_times[1], queue_codes[1] = queue_times[size], queue_codes[size]
    size -= 1
    queue_codes[0] = size
    item = 1
    while 2 * item <= size:
        child = 2 * item
        if child < size and _is_earlier(queue_times, queue_codes, child + 1, child):
            child += 1
        if _is_earlier(queue_times, queue_codes, item, child):
            break
        _swap(queue_times, queue_codes, item, child)
        item = child
    return time_s, code


@kernel
def _event_code(kind: int, count: int, sender: int, receiver: int) -> int:
    code = (kind << _COUNT_BITS) | count
    return (((code << _CAR_BITS) | sender) << _CAR_BITS) | receiver


# --- Sensors ---------------------------------------------------------------------------------
@kernel
def interpolate_car(
    previous: FloatArray, current: FloatArray, fraction: float, truth: FloatArray
) -> None:
    """Write what a car's sensors would read without error between two instants (SENSED_* columns).

    Every quantity is linear in time; the heading turns through the shorter arc. An accelerometer
    measures specific force, so on a slope it reads acceleration + g sin(slope), uphill positive.
    """
    truth[SENSED_X] = previous[CAR_X] + fraction * (current[CAR_X] - previous[CAR_X])
    truth[SENSED_Y] = previous[CAR_Y] + fraction * (current[CAR_Y] - previous[CAR_Y])
    truth[SENSED_SPEED] = previous[CAR_SPEED] + fraction * (
        current[CAR_SPEED] - previous[CAR_SPEED]
    )
    truth[SENSED_ACCELERATION] = previous[CAR_ACCELERATION] + fraction * (
        current[CAR_ACCELERATION] - previous[CAR_ACCELERATION]
    )
    slope_rad = previous[CAR_SLOPE] + fraction * (current[CAR_SLOPE] - previous[CAR_SLOPE])
    if slope_rad != 0.0:
        truth[SENSED_ACCELERATION] += GRAVITY_MPS2 * math.sin(slope_rad)
    turn_rad = wrapped_angle_rad(current[CAR_HEADING] - previous[CAR_HEADING])
    truth[SENSED_HEADING] = previous[CAR_HEADING] + fraction * turn_rad


@kernel
def wrapped_angle_rad(angle_rad: float) -> float:
    """Return the same angle in [-pi, pi)."""
    return angle_rad - 2.0 * math.pi * math.floor((angle_rad + math.pi) / (2.0 * math.pi))


@kernel
def sample_sensors(
    radio_key: np.uint64,
    values: FloatArray,
    board: FloatArray,
    car: int,
    time_s: float,
    sensed: FloatArray,
) -> None:
    """Turn the true state in ``sensed`` into what the car's sensors read at ``time_s``.

    Each error is a stationary Ornstein-Uhlenbeck process read at the sampling instants:
    noise' = rho noise + sqrt(1 - rho^2) N(0, 1), rho = exp(-dt / correlation time).
    The speed reading is never negative; the heading is in [-pi, pi).
    """
    start = stream_start(radio_key, STREAM_SENSOR, car, 0)
    num_samples = int(board[SENDER_NUM_SAMPLES])
    elapsed_s = time_s - board[SENDER_SAMPLED_AT]
    spare = 0.0
    for quantity in range(NUM_SENSED_FIELDS):
        if quantity % 2 == 0:
            normal, spare = normal_pair_at(start, 3 * num_samples + quantity // 2)
        else:
            normal = spare
        correlation_s = values[VALUE_NOISE_CORRELATION + quantity]
        memory = 0.0
        if num_samples > 0 and correlation_s > 0.0:
            memory = math.exp(-elapsed_s / correlation_s)
        noise = memory * board[SENDER_NOISE + quantity] + math.sqrt(1.0 - memory * memory) * normal
        board[SENDER_NOISE + quantity] = noise
        sensed[quantity] += values[VALUE_NOISE_STD + quantity] * noise
    sensed[SENSED_SPEED] = max(0.0, sensed[SENSED_SPEED])
    sensed[SENSED_HEADING] = wrapped_angle_rad(sensed[SENSED_HEADING])
    board[SENDER_NUM_SAMPLES] = num_samples + 1
    board[SENDER_SAMPLED_AT] = time_s


# --- Directed links --------------------------------------------------------------------------
@kernel
def tier_of(values: FloatArray, distance_m: float) -> int:
    """Return the index of the distance tier; a limit belongs to the nearer tier."""
    tier = 0
    while tier < NUM_TIERS - 1 and distance_m > values[VALUE_TIER_LIMIT + tier]:
        tier += 1
    return tier


@kernel
def start_link(
    radio_key: np.uint64,
    values: FloatArray,
    sender: int,
    receiver: int,
    distance_m: float,
    first_counter: int = 0,
) -> float:
    """Return 1 when the link starts in its bad state, drawn from the stationary distribution."""
    start = stream_start(radio_key, STREAM_LOSS, sender, receiver)
    loss = values[VALUE_TIER_LOSS + tier_of(values, distance_m)]
    return 1.0 if uniform_at(start, first_counter) < loss else 0.0


@kernel
def step_link(
    radio_key: np.uint64,
    values: FloatArray,
    is_bad: float,
    sender: int,
    receiver: int,
    transmission: int,
    distance_m: float,
) -> float:
    """Advance a link's two-state process by one transmission; return 1 when the frame is lost.

    good -> bad with probability p, bad -> good with probability r; a frame is lost while bad.
    Source: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960).
    """
    draw = uniform_at(stream_start(radio_key, STREAM_LOSS, sender, receiver), transmission + 1)
    tier = tier_of(values, distance_m)
    if is_bad > 0.0:
        return 0.0 if draw < values[VALUE_TO_GOOD + tier] else 1.0
    return 1.0 if draw < values[VALUE_TO_BAD + tier] else 0.0


@kernel
def draw_latency_s(
    radio_key: np.uint64,
    values: FloatArray,
    sender: int,
    receiver: int,
    transmission: int,
    distance_m: float,
) -> float:
    """Return the time from transmission to reception [s], never below the physical floor."""
    start = stream_start(radio_key, STREAM_LATENCY, sender, receiver)
    normal, _ = normal_pair_at(start, transmission)
    latency_s = values[VALUE_LATENCY_BASE] + values[VALUE_LATENCY_PER_DISTANCE] * distance_m
    latency_s += values[VALUE_LATENCY_JITTER] * normal
    return float(min(max(latency_s, values[VALUE_LATENCY_FLOOR]), LONGEST_LATENCY_S))


# --- Receiver --------------------------------------------------------------------------------
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


# --- The whole radio -------------------------------------------------------------------------
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
    push_event(queue_times, queue_codes, time_s, _event_code(_KIND_TRANSMISSION, count, sender, 0))


@kernel
def _schedule_relay_slot(
    board: FloatArray, car: int, period_s: float, queue_times: FloatArray, queue_codes: IntArray
) -> None:
    """Queue the board's next relay slot; its phase is the same all through the episode."""
    count = int(board[SENDER_NUM_SLOTS])
    time_s = board[SENDER_FIRST_SLOT] + count * period_s / board[SENDER_CLOCK_RATE]
    push_event(queue_times, queue_codes, time_s, _event_code(_KIND_RELAY_SLOT, count, car, 0))
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
        code = _event_code(_KIND_RECEPTION, transmission, sender, receiver)
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
            kind = _KIND_RECEPTION + int(held[FRAME_HOP_COUNT]) + 1
            code = _event_code(kind, int(held[LINK_TRANSMISSION]), source, listener)
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
        receiver = code & _MASK_CAR
        sender = (code >> _CAR_BITS) & _MASK_CAR
        transmission = (code >> 2 * _CAR_BITS) & _MASK_COUNT
        frame = frames[sender, transmission % num_kept]
        kind = code >> (2 * _CAR_BITS + _COUNT_BITS)
        if _KIND_RECEPTION <= kind < _KIND_RELAY_SLOT:
            link, hop_count = links[receiver, sender], kind - _KIND_RECEPTION
            receive_copy(values, link, frame, time_s, hop_count, transmission)
            continue
        board = senders[sender]
        fraction = (time_s - previous_s) / (now_s - previous_s) if now_s > previous_s else 0.0
        if kind == _KIND_RELAY_SLOT:
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
