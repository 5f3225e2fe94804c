"""The columns of the radio's arrays, and the constants that its kernels share."""

from __future__ import annotations

from typing import NamedTuple

from ml.types import FloatArray, IntArray, UnsignedArray

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
CLOCK_MODULUS_S = 2.0**32 / 1000.0  # a clock in milliseconds, 32 bits on the air
STRONGEST_ACCELERATION_MPS2 = 12.0  # of any car, with a margin
SUSPECTS_BELIEVED = 5
REPLAY_WINDOW = 32  # numbers before the one held that are always old
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
VALUE_GPS_PERIOD = 31  # [s], 0 reads the truth with each frame
VALUE_GPS_LAG = 32  # [s], two columns: the range
VALUE_GPS_WHITE_STD = 34  # [m]
VALUE_IMU_BIAS = 35  # [m/s^2], two columns: the range
VALUE_IMU_BACKWARDS = 37  # probability
VALUE_QUANTUM = 38  # five columns in the order of SENSED_*; 0 is not quantised
VALUE_GATE = 43  # [m], 0 is no gate
# From here on: physical mode
VALUE_IS_PHYSICAL = 44
VALUE_MARGIN = 45  # [dB]
VALUE_FLOOR_LOSS = 46
VALUE_BREAK_POINT = 47  # [m]
VALUE_SHADOWING_STD = 48  # [dB]
VALUE_SHADOWING_DECORRELATION = 49  # [m]
VALUE_FADING = 50
VALUE_FADING_FAR = 51
VALUE_FADING_FAR_FROM = 52  # [m]
VALUE_OBSTRUCTION = 53  # [dB] for each car in the way
VALUE_MAX_OBSTRUCTING = 54
VALUE_AIRTIME = 55  # [s]
VALUE_NUM_BACKGROUND = 56
VALUE_CARRIER_RANGE = 57  # [m]
VALUE_IS_ALIGNED = 58
VALUE_STACK = 59  # [s], two columns: the range
VALUE_STALL_RATE = 61  # [1/s]
VALUE_STALL = 62  # [s], two columns: the range
NUM_VALUES = 64
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
SENDER_GPS_LAG = 17  # [s]
SENDER_IMU_BIAS = 18  # [m/s^2]
SENDER_IMU_IS_BACKWARDS = 19
SENDER_NUM_FIXES = 20
SENDER_FIXED_AT = 21  # [s], measurement of the latest fix
SENDER_FIRST_FIX = 22  # [s], time of the first fix after reset
NUM_SENDER_FIELDS = 23

# ``fixes[car, fix % FIXES_KEPT]``, float64; columns 0-4 are the SENSED_* ones
FIX_MEASURED_AT = 5  # [s]
FIX_AVAILABLE_AT = 6  # [s], when the board has it
NUM_FIX_FIELDS = 7
FIXES_KEPT = 16  # more than the eleven that a lag of 1 s can keep on the way at 10 Hz

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
LINK_NUM_REJECTED_OLD = 21  # overtaken and replayed frames
LINK_NUM_REJECTED_IMPLAUSIBLE = 22
LINK_NUM_SUSPECTS = 23  # implausible frames in a row that agree with each other
LINK_SUSPECT = 24  # NUM_FRAME_FIELDS columns: the latest of them
LINK_SHADOWING = 34  # in standard deviations
LINK_SHADOWING_X = 35  # [m], two columns: the sender relative to the receiver when it was drawn
LINK_NUM_REJECTED_DUPLICATE = 37  # copies of the frame held
LINK_HISTORY = 38  # FRAMES_KEPT pairs: reception time [s], acceleration [m/s^2]
NUM_LINK_FIELDS = LINK_HISTORY + 2 * FRAMES_KEPT

# One row per station of ``stations``: the cars, then the background senders
STATION_IS_WAITING = 0  # a frame of its own waits for the medium
STATION_TRANSMISSION = 1  # the transmission number of that frame
STATION_START_AT = 2  # [s], when its countdown ends; infinite without one
STATION_COUNTS_FROM = 3  # [s], when the countdown began or goes on
STATION_SLOTS_LEFT = 4
STATION_BUSY_UNTIL = 5  # [s], end of the latest transmission that it senses or makes
STATION_SENDS_UNTIL = 6  # [s], end of its own latest transmission
STATION_SENDING_SOURCE = 7  # whose frame is on the air
STATION_SENDING_TRANSMISSION = 8
STATION_SENDING_HOPS = 9
STATION_NUM_ON_AIR = 10  # transmissions begun
STATION_NUM_COLLIDED = 11  # of those, overlapped by another one that it senses
STATION_NUM_REPLACED = (
    12  # own frames that never left: the next one came before the medium was idle
)
STATION_ACCESS_DELAY = 13  # [s], sum over own frames of the wait for the medium
STATION_OFFERED_AT = 14  # [s], when the own frame that waits was handed over
STATION_FREE_AT = 15  # [s], when the receiver's software has handled all that arrived
STATION_STALL_FROM = 16  # [s]
STATION_STALL_UNTIL = 17  # [s]
STATION_NUM_STALLS = 18
STATION_FIRST_TICK = 19  # [s]; the ego and background senders only
STATION_PERIOD = 20  # [s]
STATION_NUM_TICKS = 21
NUM_STATION_FIELDS = 22
# Columns of ``masks``, int64 (num_stations, NUM_MASKS), one bit for each car
MASK_TO_FORWARD = 0  # sources whose newest frame waits for the medium at a relay
MASK_CORRUPTED = 1  # receivers at which the transmission on the air overlaps with another one
NUM_MASKS = 2
EVENTS_PER_STATION = 64  # overtaken countdowns among them, which stay until their time
SLOT_S = 20e-6
DIFS_S = 50e-6
BACKOFF_SLOTS = 32
FIRST_BACKGROUND_NAME = 512  # above every car in physical mode
LARGEST_NUM_PHYSICAL_CARS = 63  # one bit for each in an int64

# One row per fault of ``faults``, float64 (num_faults, NUM_FAULT_FIELDS)
FAULT_KIND = 0  # one of FAULT_* below
FAULT_FROM = 1  # [s], simulation time
FAULT_UNTIL = 2  # [s]
FAULT_CAR = 3  # row of the car
FAULT_VALUE = 4  # two columns
FAULT_STATE = 6  # how often it has struck
FAULT_FROZEN = 7  # four columns: x, y, speed and heading of a frozen receiver
NUM_FAULT_FIELDS = 11
FAULT_BLACKOUT = 1  # the ego hears nothing of the car
FAULT_BURST = 2  # the next VALUE frames of the car are lost at the ego
FAULT_FROZEN_GPS = 3
FAULT_GPS_JUMP = 4  # by VALUE in x and y [m]
FAULT_SEQUENCE_RESET = 5  # numbers start at 0 again
FAULT_CLOCK_JUMP = 6  # by VALUE [s]
FAULT_REBOOT = 7  # silent, then numbers and clock start at 0
FAULT_UNEQUIPPED = 8  # the car has no board
FAULT_DEAD_LINK = 9  # the board of car VALUE hears nothing of what the car itself sends
# From here on: attacks, which add frames
FAULT_DUPLICATE = 10  # a second copy VALUE later [s]
FAULT_REPLAY = 11  # beside each frame, the one sent VALUE frames before
FAULT_FORGED = 12  # beside each frame, one that claims an acceleration of VALUE [m/s^2]
FAULT_FORGED_POSITION = 13  # beside each frame, one that claims to be VALUE farther east [m]
LARGEST_NUM_ATTACKS = 4  # on each car: what the event queue has room for
ATTACKS_IN_FLIGHT = 36  # of one attack: more than the 30 frames in 2 s of latency and 1 s of delay

# Streams of random numbers
# Counters of a board: 0-4 phase, drift, clock offset, first sequence number, relay slot;
# 5-8 lag, bias and sign of its sensors, phase of its fixes
STREAM_BOARD = 0
STREAM_TRANSMISSION_JITTER = 1
STREAM_SENSOR = 2
STREAM_LOSS = 3
STREAM_LATENCY = 4
STREAM_EPISODE = 5
STREAM_FIX = 6
STREAM_SHADOWING = 7
STREAM_FADING = 8
STREAM_BACKOFF = 9
STREAM_STACK = 10
STREAM_STALL = 11
STREAM_BLACKOUT = 12
# Draws of a link from here on belong to forwarded frames, so relays change no draw of the others.
FIRST_RELAY_COUNTER = 1 << 40

# Events: kind, transmission number, sender and receiver in one integer, which also breaks ties
CAR_BITS = 10
COUNT_BITS = 34
KIND_TRANSMISSION = 0
KIND_RECEPTION = 1  # 2 to 4: of a frame with one to three hops
KIND_RELAY_SLOT = KIND_RECEPTION + LARGEST_MAX_RELAY_HOPS + 1
KIND_FIX = KIND_RELAY_SLOT + 1
KIND_TICK = KIND_FIX + 1  # the ego or a background sender has a frame for the medium
KIND_OFFER = KIND_TICK + 1  # a board's software hands a frame to the medium
KIND_START = KIND_OFFER + 1  # a countdown ends
KIND_AIR_END = KIND_START + 1
KIND_REPLAYED = KIND_AIR_END + 1  # reception of an old frame, sent by an attacker
KIND_FORGED = KIND_REPLAYED + 1  # the same, made up; its receiver is the attack's number
MASK_CAR = (1 << CAR_BITS) - 1
MASK_COUNT = (1 << COUNT_BITS) - 1


class RadioArrays(NamedTuple):
    """Everything that the radio's kernels work on; see the columns above.

    Attributes:
        radio_key: Key of the episode's random numbers, uint64 (1,).
        values: The values in force (NUM_VALUES,).
        senders: One row per car (num_cars, NUM_SENDER_FIELDS).
        fixes: The latest position fixes (num_cars, FIXES_KEPT, NUM_FIX_FIELDS).
        frames: The latest frames (num_cars, num_kept, NUM_FRAME_FIELDS).
        links: What receivers hold of senders (num_receivers, num_cars, NUM_LINK_FIELDS).
        stations: Who contends for the medium (num_stations, NUM_STATION_FIELDS).
        masks: See NUM_MASKS (num_stations, NUM_MASKS).
        faults: What goes wrong (num_faults, NUM_FAULT_FIELDS).
        queue_times: Event times [s].
        queue_codes: Event codes.
        previous_cars: Ground truth at the last call (num_cars, NUM_CAR_FIELDS).
        cars: Ground truth now.
    """

    radio_key: UnsignedArray
    values: FloatArray
    senders: FloatArray
    fixes: FloatArray
    frames: FloatArray
    links: FloatArray
    stations: FloatArray
    masks: IntArray
    faults: FloatArray
    queue_times: FloatArray
    queue_codes: IntArray
    previous_cars: FloatArray
    cars: FloatArray
