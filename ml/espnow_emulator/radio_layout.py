"""The columns of the radio's arrays, and the constants that its kernels share."""

from __future__ import annotations

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
CAR_BITS = 10
COUNT_BITS = 40
KIND_TRANSMISSION = 0
KIND_RECEPTION = 1  # 2 to 4: of a frame with one to three hops
KIND_RELAY_SLOT = KIND_RECEPTION + LARGEST_MAX_RELAY_HOPS + 1
MASK_CAR = (1 << CAR_BITS) - 1
MASK_COUNT = (1 << COUNT_BITS) - 1
