"""The receiver's rules, frame by frame, and the emulator's interface."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ConfigError
from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.event_queue_kernels import (
    pop_event,
    push_event,
)
from ml.espnow_emulator.link_kernels import (
    tier_of,
)
from ml.espnow_emulator.parameter_sections import LatencyParameters, ObservationParameters
from ml.espnow_emulator.radio_layout import (
    FRAME_CLOCK,
    FRAME_SEQUENCE,
    LINK_NUM_ACCEPTED,
    LINK_NUM_DELIVERED,
    LINK_RECEIVED_AT,
    LINK_SEQUENCE_GAP,
    NUM_FRAME_FIELDS,
    NUM_LINK_FIELDS,
)
from ml.espnow_emulator.receiver_kernels import (
    lowest_acceleration_mps2,
    receive_frame,
)
from ml.espnow_emulator.sensor_kernels import (
    interpolate_car,
    wrapped_angle_rad,
)
from ml.tests.radio_worlds import NO_NOISE, cars_in_line, constant_loss, kernel_values
from ml.types import (
    CAR_HEADING,
    CAR_X,
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_LOWEST_ACCELERATION,
    HEARD_SEQUENCE_GAP,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    NUM_CAR_FIELDS,
    NUM_HEARD_FIELDS,
    NUM_SENSED_FIELDS,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
)

LONGEST_DELAY_S = 2.0  # without relays: the longest latency


class Receiver:
    """A receiver of one sender's frames, fed by hand."""

    def __init__(self):
        self.link = np.zeros(NUM_LINK_FIELDS)

    def receive(self, sequence, time_s, clock_s=None, acceleration_mps2=0.0):
        frame = np.zeros(NUM_FRAME_FIELDS)
        frame[FRAME_SEQUENCE] = sequence
        frame[FRAME_CLOCK] = 100.0 + time_s if clock_s is None else clock_s
        frame[SENSED_ACCELERATION] = acceleration_mps2
        return receive_frame(self.link, frame, time_s, LONGEST_DELAY_S)

    @property
    def sequence(self):
        return self.link[FRAME_SEQUENCE]

    @property
    def gap(self):
        return self.link[LINK_SEQUENCE_GAP]


# --- Newest wins -----------------------------------------------------------------------------
def test_the_first_frame_is_accepted_without_a_gap():
    receiver = Receiver()

    assert receiver.receive(sequence=40_000, time_s=1.0)
    assert (receiver.sequence, receiver.gap) == (40_000, 0)


def test_a_duplicate_is_dropped_and_keeps_the_first_reception_time():
    receiver = Receiver()
    receiver.receive(sequence=5, time_s=1.0)

    assert not receiver.receive(sequence=5, time_s=1.05, clock_s=101.0)
    assert receiver.link[LINK_RECEIVED_AT] == 1.0
    assert receiver.link[LINK_NUM_DELIVERED] == 2
    assert receiver.link[LINK_NUM_ACCEPTED] == 1


def test_a_frame_that_was_overtaken_is_dropped():
    receiver = Receiver()
    receiver.receive(sequence=5, time_s=1.0)
    receiver.receive(sequence=7, time_s=1.2)

    assert not receiver.receive(sequence=6, time_s=1.21, clock_s=101.1)
    assert (receiver.sequence, receiver.gap) == (7, 1)


def test_the_gap_counts_the_frames_missing_before_the_newest():
    receiver = Receiver()
    gaps = []
    for sequence in (10, 11, 15, 16):
        receiver.receive(sequence=sequence, time_s=0.1 * sequence)
        gaps.append(receiver.gap)

    assert gaps == [0, 0, 3, 0]


def test_the_sequence_number_wraps_at_sixteen_bits():
    receiver = Receiver()
    receiver.receive(sequence=65_534, time_s=1.0)

    assert receiver.receive(sequence=1, time_s=1.3)  # 65535 and 0 are missing
    assert receiver.gap == 2
    assert not receiver.receive(sequence=65_535, time_s=1.31, clock_s=101.1)


@pytest.mark.parametrize("held", [3, 500, 40_000, 65_000])
def test_a_rebooted_sender_is_accepted_at_once_by_its_clock(held):
    receiver = Receiver()
    receiver.receive(sequence=held, time_s=50.0)

    assert receiver.receive(sequence=0, time_s=50.5, clock_s=0.3)
    assert (receiver.sequence, receiver.gap) == (0, 0)
    assert receiver.receive(sequence=1, time_s=50.6, clock_s=0.4)
    assert receiver.gap == 0


def test_a_sender_that_rebooted_soon_after_its_start_is_accepted_after_a_silence():
    receiver = Receiver()
    receiver.receive(sequence=9, time_s=1.0, clock_s=1.0)

    assert not receiver.receive(sequence=0, time_s=2.9, clock_s=0.1)
    assert receiver.receive(sequence=1, time_s=3.1, clock_s=0.2)
    assert (receiver.sequence, receiver.gap) == (1, 0)


@settings(max_examples=60)
@given(
    first=st.integers(0, 65_535),
    delays=st.lists(st.floats(0.001, 1.9), min_size=2, max_size=40),
)
def test_whatever_the_delays_the_newest_frame_received_is_held(first, delays):
    receiver = Receiver()
    arrivals = sorted((0.1 * count + delay, count) for count, delay in enumerate(delays))
    newest = -1

    for arrival_s, count in arrivals:
        newest = max(newest, count)
        receiver.receive((first + count) % 65_536, arrival_s, clock_s=100.0 + 0.1 * count)
        assert receiver.sequence == (first + newest) % 65_536


# --- Lowest acceleration ----------------------------------------------------------------------
def test_the_lowest_acceleration_is_over_the_frames_of_the_last_second():
    receiver = Receiver()
    for sequence, acceleration_mps2 in enumerate([-6.0, -1.0, -4.0, 0.5]):
        receiver.receive(sequence, 0.4 * sequence, acceleration_mps2=acceleration_mps2)
    # received at 0.0, 0.4, 0.8 and 1.2 s

    assert lowest_acceleration_mps2(receiver.link, 1.0) == -6.0
    assert lowest_acceleration_mps2(receiver.link, 1.7) == -4.0
    assert lowest_acceleration_mps2(receiver.link, 1.9) == 0.5


def test_after_a_silent_second_the_lowest_acceleration_is_the_newest_frames():
    receiver = Receiver()
    receiver.receive(0, 1.0, acceleration_mps2=-9.0)
    receiver.receive(1, 1.1, acceleration_mps2=-2.0)

    assert lowest_acceleration_mps2(receiver.link, 5.0) == -2.0


def test_a_dropped_frame_does_not_enter_the_lowest_acceleration():
    receiver = Receiver()
    receiver.receive(1, 1.0, acceleration_mps2=-1.0)
    receiver.receive(0, 1.01, clock_s=100.9, acceleration_mps2=-8.0)

    assert lowest_acceleration_mps2(receiver.link, 1.1) == -1.0


# --- Event queue and geometry ------------------------------------------------------------------
@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), max_size=40))
def test_events_leave_the_queue_by_time_then_by_code(events):
    times, codes = np.zeros(41), np.zeros(41, dtype=np.int64)
    for time_s, code in events:
        push_event(times, codes, float(time_s), code)

    assert [pop_event(times, codes) for _ in events] == sorted(events)
    assert codes[0] == 0


@pytest.mark.parametrize(
    ("distance_m", "tier"), [(0.0, 0), (50.0, 0), (50.1, 1), (100.0, 1), (100.1, 2), (900.0, 2)]
)
def test_a_tiers_limit_belongs_to_the_nearer_tier(distance_m, tier):
    assert tier_of(kernel_values(RadioParameters()), distance_m) == tier


def test_headings_turn_through_the_shorter_arc():
    previous, current, truth = np.zeros(NUM_CAR_FIELDS), np.zeros(NUM_CAR_FIELDS), np.zeros(5)
    previous[CAR_HEADING], current[CAR_HEADING] = math.radians(170.0), math.radians(-170.0)

    interpolate_car(previous, current, 0.25, truth)

    assert truth[SENSED_HEADING] == pytest.approx(math.radians(175.0))


@pytest.mark.parametrize(("angle", "wrapped"), [(0.5, 0.5), (3.0, -1.0), (-2.5, -0.5), (1.0, -1.0)])
def test_angles_are_wrapped_to_half_a_turn_either_way(angle, wrapped):
    # in half turns: 180 deg belongs to the lower end
    assert wrapped_angle_rad(math.pi * angle) == pytest.approx(math.pi * wrapped)


# --- The emulator's interface ------------------------------------------------------------------
def quiet_emulator(staleness_ms=500.0):
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0),
        sensor_noise=NO_NOISE,
        observation=ObservationParameters(staleness_threshold_ms=staleness_ms),
    )
    return RadioEmulator(parameters)


def test_nothing_is_heard_at_reset():
    emulator = quiet_emulator()

    emulator.reset(radio_key=1, cars=cars_in_line(4), time_s=12.0)

    expected = np.zeros((4, NUM_HEARD_FIELDS))
    expected[1:, HEARD_TIME_SINCE_RECEPTION] = 1000.0
    np.testing.assert_array_equal(emulator.heard, expected)
    assert emulator.ego_sensed.tolist() == [0.0, 0.0, 20.0, 0.0, 0.0]


def test_after_one_period_every_peer_in_range_is_heard_as_it_is():
    emulator = quiet_emulator()
    cars = cars_in_line(6, spacing_m=10.0)
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(0.11, cars)

    heard = emulator.heard[1:]
    assert heard[:, SENSED_X].tolist() == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert heard[:, SENSED_SPEED].tolist() == [20.0] * 5
    assert heard[:, HEARD_IS_FRESH].tolist() == [1.0] * 5
    assert heard[:, [HEARD_STATE_AGE, HEARD_SEQUENCE_GAP, HEARD_HOP_COUNT]].max() == 0.0
    assert np.all(heard[:, HEARD_TIME_SINCE_RECEPTION] < 0.11)
    assert emulator.heard[0].tolist() == [0.0] * NUM_HEARD_FIELDS


def test_a_peer_out_of_range_goes_stale_and_keeps_its_last_state():
    emulator = quiet_emulator(staleness_ms=300.0)
    near, far = cars_in_line(2, spacing_m=10.0), cars_in_line(2, spacing_m=400.0)
    emulator.reset(radio_key=1, cars=near, time_s=0.0)
    emulator.advance(1.0, near)
    emulator.advance(1.0, far)  # the peer jumps away
    last_heard_s = 1.0 - emulator.heard[1, HEARD_TIME_SINCE_RECEPTION]

    emulator.advance(last_heard_s + 0.2999, far)
    fresh_before = emulator.heard[1, HEARD_IS_FRESH]
    emulator.advance(last_heard_s + 0.3001, far)

    assert (fresh_before, emulator.heard[1, HEARD_IS_FRESH]) == (1.0, 0.0)
    assert emulator.heard[1, SENSED_X] == 10.0
    assert emulator.heard[1, HEARD_TIME_SINCE_RECEPTION] == pytest.approx(0.3001)


def test_one_hard_braking_frame_is_remembered_for_a_second():
    emulator = quiet_emulator()
    calm, braking = cars_in_line(2), cars_in_line(2)
    braking[1, 3] = -8.0
    emulator.reset(radio_key=3, cars=calm, time_s=0.0)
    emulator.advance(2.0, calm)
    emulator.advance(2.0, braking)
    emulator.advance(2.2, braking)
    emulator.advance(2.2, calm)

    emulator.advance(2.9, calm)
    within_a_second = emulator.heard[1, HEARD_LOWEST_ACCELERATION]
    emulator.advance(3.4, calm)

    assert within_a_second == -8.0
    assert emulator.heard[1, HEARD_LOWEST_ACCELERATION] == 0.0


def test_latency_that_reorders_frames_never_takes_a_state_back():
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0), latency=LatencyParameters(200.0, 0.0, 100.0)
    )
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=8, cars=cars_in_line(4), time_s=0.0)
    positions = []
    for step in range(1, 2001):
        cars = cars_in_line(4)
        cars[:, CAR_X] += 2.0 * step
        emulator.advance(0.1 * step, cars)
        positions.append(emulator.heard[1:, SENSED_X].copy())

    counts = emulator.statistics()
    assert np.diff(np.array(positions)[20:], axis=0).min() >= 0.0
    assert np.all(counts.frames_accepted[1:] < counts.frames_delivered[1:])


@pytest.mark.parametrize("num_cars", [1, 2, 9, 64])
def test_any_number_of_cars_is_heard(num_cars):
    emulator = quiet_emulator()
    cars = cars_in_line(num_cars, spacing_m=1.0)

    emulator.reset(radio_key=2, cars=cars, time_s=0.0)
    emulator.advance(1.0, cars)

    assert emulator.heard.shape == (num_cars, NUM_HEARD_FIELDS)
    assert emulator.ego_sensed.shape == (NUM_SENSED_FIELDS,)
    assert emulator.heard[1:, HEARD_IS_FRESH].sum() == num_cars - 1


def test_the_longest_latency_overflows_nothing():
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0), latency=LatencyParameters(1000.0, 0.5, 100.0)
    )
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(64, spacing_m=2.0)
    emulator.reset(radio_key=2, cars=cars, time_s=0.0)

    emulator.advance(60.0, cars)

    counts = emulator.statistics()
    in_flight = counts.frames_sent[1:] - counts.frames_delivered[1:]
    # (1000 + 0.5 * distance) ms: 10 frames from 2 m, 10.6 from 126 m, give or take the jitter
    assert 8 <= in_flight.min() <= in_flight.max() <= 13


def test_an_integer_time_and_a_read_only_view_are_accepted():
    emulator = quiet_emulator()
    cars = np.zeros((8, 2 * NUM_CAR_FIELDS), dtype=np.float32)[::2, ::2]
    cars.flags.writeable = False

    emulator.reset(radio_key=2, cars=cars, time_s=0)
    emulator.advance(1, cars)

    assert emulator.heard[1:, HEARD_IS_FRESH].sum() == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"radio_key": -1}, "radio_key must be in"),
        ({"radio_key": 2**64}, "radio_key must be in"),
        ({"cars": np.zeros((3, 4))}, "cars must have 9 columns"),
        ({"cars": np.zeros(9)}, "cars must have 9 columns"),
        ({"cars": np.zeros((0, 9))}, "1 to 1024 rows"),
        ({"cars": np.zeros((1025, 9))}, "1 to 1024 rows"),
        ({"time_s": math.nan}, "time_s must be finite"),
    ],
)
def test_a_reset_that_makes_no_sense_is_refused(change, said):
    arguments = {"radio_key": 1, "cars": cars_in_line(2), "time_s": 0.0, **change}

    with pytest.raises(ConfigError, match=said):
        quiet_emulator().reset(**arguments)


def test_the_largest_key_is_accepted():
    quiet_emulator().reset(radio_key=2**64 - 1, cars=cars_in_line(3), time_s=0.0)


@pytest.mark.parametrize(
    ("time_s", "num_cars", "said"),
    [(0.9, 3, "at least 1.0"), (math.nan, 3, "finite"), (math.inf, 3, "finite"), (1.1, 4, "shape")],
)
def test_an_advance_that_makes_no_sense_is_refused(time_s, num_cars, said):
    emulator = quiet_emulator()
    emulator.reset(radio_key=1, cars=cars_in_line(3), time_s=1.0)

    with pytest.raises(ConfigError, match=said):
        emulator.advance(time_s, cars_in_line(num_cars))


def test_episode_values_are_the_files_unless_randomised():
    emulator = RadioEmulator(RadioParameters())
    cars = cars_in_line(2)
    nominal = emulator.episode_values

    emulator.reset(radio_key=1, cars=cars, time_s=0.0, randomise=True)
    drawn = emulator.episode_values
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    assert emulator.episode_values == nominal
    assert drawn != nominal
    assert nominal.loss_rates == (0.082, 0.12, 0.25)
    assert nominal.latency_base_ms == 3.4
