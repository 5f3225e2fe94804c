"""The physical mode as a whole: delivery, latency, relays, events of a board, causality, draws."""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
import pytest
from scipy import special, stats

from ml.errors import ConfigError
from ml.espnow_emulator import RadioEmulator, RadioParameters, load_radio_parameters
from ml.espnow_emulator.airtime import airtime_us
from ml.espnow_emulator.episode_values import blackouts_s, drawn_values
from ml.espnow_emulator.parameter_sections import DomainRandomizationParameters, RelayParameters
from ml.espnow_emulator.physical_sections import (
    PhysicalParameters,
    PhysicalRandomizationParameters,
)
from ml.espnow_emulator.radio_layout import (
    LINK_NUM_ACCEPTED,
    STATION_ACCESS_DELAY,
    STATION_STALL_FROM,
    STATION_STALL_UNTIL,
)
from ml.tests.physical_worlds import (
    cars_at,
    cars_that_tell_the_time,
    physical_mode,
    ring_of_cars,
)
from ml.tests.radio_worlds import NO_NOISE, cars_in_line
from ml.types import (
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_SEQUENCE_GAP,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    SENSED_X,
)

AIRTIME_MS = 1.256  # 90 bytes at 1 Mbit/s
DIFS_MS = 0.05
SLOT_MS = 0.02
# At 30 m from the ego, margin 38.6 - 20 log10 30 = 9.058 dB; 1.5 * 10^-.9058 = .1863
RECEPTION_AT_30_M = 0.96 * special.gammaincc(1.5, 0.1863)


# --- Delivery ----------------------------------------------------------------------------------
def delivery(parameters, cars, seconds):
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=12, cars=cars, time_s=0.0)
    emulator.advance(seconds, cars)
    counts = emulator.statistics()
    return counts.frames_delivered[1:] / counts.frames_sent[1:]


@pytest.mark.parametrize("num_peers", range(3, 9))
def test_delivery_from_each_of_many_peers_is_that_of_its_link(num_peers):
    parameters = physical_mode(margin_at_1m_db=38.6, floor_loss=0.04)

    shares = delivery(parameters, ring_of_cars(num_peers, 30.0), seconds=3000.0)

    # Collisions of up to nine boards with phases of their own cost .1 %.
    np.testing.assert_allclose(shares, RECEPTION_AT_30_M, rtol=0.02)


@pytest.mark.parametrize(("loss", "mean_burst"), [(0.1, 1.5), (0.2, 3.0), (0.5, 4.0)])
def test_interference_multiplies_with_what_propagation_loses(loss, mean_burst):
    parameters = physical_mode(
        mean_burst=mean_burst, margin_at_1m_db=38.6, floor_loss=0.04, interference_loss=loss
    )

    shares = delivery(parameters, ring_of_cars(8, 30.0), seconds=5000.0)

    assert shares.mean() == pytest.approx(RECEPTION_AT_30_M * (1.0 - loss), rel=0.01)


def test_interference_comes_in_bursts_of_the_length_asked_for():
    parameters = physical_mode(mean_burst=3.0, interference_loss=0.2)
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(8, 30.0)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)
    lengths = []
    for step in range(1, 60_001):
        emulator.advance(0.05 * step, cars)
        heard = emulator.heard[1:]
        is_new = heard[:, HEARD_TIME_SINCE_RECEPTION] < 0.05 - 1e-9
        lengths.extend(heard[is_new, HEARD_SEQUENCE_GAP].tolist())

    # 240,000 frames: 0.2 / 3 of them begin a burst, 16,000; sqrt(6 / 16000) = .02
    lengths = np.array(lengths)
    assert lengths[lengths > 0].mean() == pytest.approx(3.0, abs=0.08)


# --- Latency -----------------------------------------------------------------------------------
def delays_ms(parameters, cars, *, num_steps, radio_key):
    """Transmission to reception of each peer's newest frame after every period."""
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
    emulator.advance(1.0, cars)
    delays_s = []
    for step in range(1, num_steps + 1):
        emulator.advance(1.0 + 0.1 * step, cars)
        since_s = emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION]
        delays_s.append(emulator.true_age_s[1:] - since_s)
    return 1000.0 * np.array(delays_s), emulator._arrays.stations


def test_latency_without_waiting_is_airtime_and_two_stacks():
    parameters = physical_mode(stack_range_ms=(0.4, 1.0))

    delays, stations = delays_ms(parameters, ring_of_cars(1, 10.0), num_steps=3000, radio_key=2)

    # 1.256 + U(.4, 1) + U(.4, 1): a triangle from 2.056 to 3.256
    triangle = stats.triang(0.5, loc=AIRTIME_MS + 0.8, scale=1.2)
    assert stations[1, STATION_ACCESS_DELAY] == 0.0
    assert stats.kstest(delays[:, 0], triangle.cdf).pvalue > 0.001
    assert np.corrcoef(delays[:-1, 0], delays[1:, 0])[0, 1] == pytest.approx(0.0, abs=0.073)


def test_latency_on_the_same_tick_is_the_egos_airtime_and_a_backoff_more():
    parameters = physical_mode(aligned_phases=True)

    delays, _ = delays_ms(parameters, ring_of_cars(1, 10.0), num_steps=3200, radio_key=2)

    slots = (delays[:, 0] - 2.0 * AIRTIME_MS - DIFS_MS) / SLOT_MS
    counts = np.bincount(np.round(slots).astype(int), minlength=32)
    np.testing.assert_allclose(slots, np.round(slots), atol=1e-6)
    assert counts.size == 32
    assert stats.chisquare(counts).pvalue > 0.001


def test_the_receivers_software_handles_one_frame_after_the_other():
    parameters = physical_mode(aligned_phases=True, stack_range_ms=(20.0, 20.0))

    delays, _ = delays_ms(parameters, ring_of_cars(3, 10.0), num_steps=100, radio_key=1)

    # 20 ms before the medium. The first frame finds it idle and is handled 20 ms after its end;
    # the others end within 20 ms of that and are handled 20 ms after one another.
    is_whole = np.sort(delays, axis=1)[:, 2] > 60.0  # none collided, so that all are of one tick
    first_ms = 20.0 + AIRTIME_MS + 20.0
    expected = np.tile([first_ms, first_ms + 20.0, first_ms + 40.0], (is_whole.sum(), 1))
    assert is_whole.sum() > 80
    np.testing.assert_allclose(np.sort(delays, axis=1)[is_whole], expected, atol=1e-6)


def test_frames_of_background_senders_do_not_occupy_the_receivers_software():
    parameters = physical_mode(
        aligned_phases=True, stack_range_ms=(20.0, 20.0), background_senders=1
    )

    delays, _ = delays_ms(parameters, ring_of_cars(1, 10.0), num_steps=100, radio_key=1)

    # Its frame leaves the air some 53 ms into the period, the peer's at 50 + 20 + 1.256.
    np.testing.assert_allclose(delays, 20.0 + AIRTIME_MS + 20.0, atol=1e-6)


# --- Relays ------------------------------------------------------------------------------------
# Every 300 m reach and 600 m do not: PL(300) = 37.27 + 40 log10(300 / 73) = 61.8 dB, 12 dB more
# at 600 m. With m = 20 a margin of +6 dB loses 1e-7 and one of -6 dB delivers nothing.
NEIGHBOURS = {
    "margin_at_1m_db": 67.8,
    "fading_m": 20.0,
    "fading_m_far": 20.0,
    "carrier_sense_range_m": 10_000.0,
}
CHAIN_M = [(0.0, 0.0), (300.0, 0.0), (600.0, 0.0), (900.0, 0.0)]


@pytest.mark.parametrize(
    ("max_relay_hops", "hop_counts"), [(0, [0.0]), (1, [0.0, 1.0]), (2, [0.0, 1.0, 2.0])]
)
def test_a_frame_goes_over_as_many_relays_as_allowed_and_says_how_many(max_relay_hops, hop_counts):
    emulator = RadioEmulator(physical_mode(max_relay_hops=max_relay_hops, **NEIGHBOURS))
    cars = cars_at(*CHAIN_M)
    emulator.reset(radio_key=4, cars=cars, time_s=0.0)

    emulator.advance(3.0, cars)

    is_fresh = emulator.heard[1:, HEARD_IS_FRESH] > 0.0
    assert is_fresh.tolist() == [place < len(hop_counts) for place in range(3)]
    assert emulator.heard[1:, HEARD_HOP_COUNT][is_fresh].tolist() == hop_counts


def test_each_hop_waits_evenly_for_its_slot_and_takes_an_airtime_more():
    emulator = RadioEmulator(physical_mode(max_relay_hops=1, **NEIGHBOURS))
    cars = cars_at(*CHAIN_M[:3])
    delays = []
    for radio_key in range(1500):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(1.0, cars)
        delays.append(emulator.true_age_s[2] - emulator.heard[2, HEARD_TIME_SINCE_RECEPTION])

    # Two airtimes, U(0, 100) ms, and in 5 % of the episodes a wait of some ms for another board
    waits_ms = 1000.0 * np.array(delays) - 2.0 * AIRTIME_MS
    assert stats.kstest(waits_ms, stats.uniform(0.0, 100.0).cdf).pvalue > 0.001
    assert waits_ms.min() > -1e-6


def test_frames_of_one_slot_go_on_the_air_one_after_the_other():
    emulator = RadioEmulator(physical_mode(max_relay_hops=1, **NEIGHBOURS))
    # Cars 2 to 5 reach the relay, car 1, and not the ego.
    far_m = [(590.0, -30.0), (590.0, -10.0), (590.0, 10.0), (590.0, 30.0)]
    cars = cars_at((0.0, 0.0), (300.0, 0.0), *far_m)
    emulator.reset(radio_key=5, cars=cars, time_s=0.0)
    emulator.advance(1.0, cars)
    arrivals_s = []
    for step in range(1, 10_001):
        now_s = 1.0 + 1e-3 * step
        emulator.advance(now_s, cars)
        since_s = emulator.heard[2:, HEARD_TIME_SINCE_RECEPTION]
        arrivals_s.extend((now_s - since_s[since_s < 1e-3]).tolist())

    apart_ms = 1000.0 * np.diff(np.sort(arrivals_s))
    assert len(arrivals_s) > 350  # four sources for 10 s
    assert apart_ms.min() >= AIRTIME_MS + DIFS_MS - 1e-6
    # Many follow in the same slot, unless another board comes between: DIFS and at most 31 slots
    in_slot = apart_ms[apart_ms < AIRTIME_MS + DIFS_MS + 31.0 * SLOT_MS + 1e-6]
    assert in_slot.size > 100
    slots = (in_slot - AIRTIME_MS - DIFS_MS) / SLOT_MS
    np.testing.assert_allclose(slots, np.round(slots), atol=1e-5)


@pytest.mark.parametrize(
    ("max_relay_hops", "shortest_ms", "longest_ms"),
    [
        # Load .23 of 9 boards. To first order a frame waits 8 B (B / 2 + .31) / 100 = .33 ms with
        # B = 2.586 ms, and 1 / (1 - .23) of that when waits add up.
        (0, 0.33, 0.55),
        # Each of 8 boards forwards frames of 7 others in its slot: one that comes while a slot is
        # worked off waits for some of 7 times 2.9 ms.
        (3, 3.0, 20.0),
    ],
)
def test_forwarded_frames_keep_others_waiting(max_relay_hops, shortest_ms, longest_ms):
    emulator = RadioEmulator(physical_mode(max_relay_hops=max_relay_hops, payload_bytes=250))
    cars = ring_of_cars(8, 30.0)
    waited_s, num_sent = 0.0, 0
    for radio_key in range(200):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(5.0, cars)
        waited_s += emulator._arrays.stations[1:9, STATION_ACCESS_DELAY].sum()
        num_sent += emulator.statistics().frames_sent.sum()

    assert shortest_ms < 1000.0 * waited_s / num_sent < longest_ms


def test_no_frame_is_taken_in_twice_and_none_goes_back():
    parameters = physical_mode(
        max_relay_hops=3, mean_burst=2.0, interference_loss=0.4, stack_range_ms=(0.4, 1.0)
    )
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(5, 20.0)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)
    generated_s, num_accepted = np.full(6, -1.0), np.zeros(6)

    for step in range(1, 10_001):
        emulator.advance(0.002 * step, cars)
        counts = emulator.statistics()
        is_new = counts.frames_accepted > num_accepted
        now_generated_s = 0.002 * step - emulator.true_age_s
        assert np.all(now_generated_s[is_new] > generated_s[is_new] + 0.09)  # a frame later
        is_held = (counts.frames_accepted > 0) & ~is_new
        assert np.all(np.abs(now_generated_s[is_held] - generated_s[is_held]) < 1e-9)
        generated_s, num_accepted = now_generated_s, counts.frames_accepted

    links = emulator._arrays.links[:, :, LINK_NUM_ACCEPTED]
    assert counts.frames_accepted_relayed.sum() > 100
    assert counts.frames_rejected_old[1:].min() > 0
    assert np.all(links <= counts.frames_sent)
    assert np.diagonal(links).max() == 0.0  # nobody takes in its own frames


def test_relays_repair_what_direct_links_lose():
    # Independent loss .3 on each link: directly .7, over a relay .7^2: 1 - .3 * .51 = .847
    parameters = physical_mode(max_relay_hops=1, interference_loss=0.3)
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(2, 20.0)
    num_sent, num_accepted = np.zeros((2, 3))
    for radio_key in range(60):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(100.0, cars)
        num_sent += emulator.statistics().frames_sent
        num_accepted += emulator.statistics().frames_accepted

    # A copy that waits for its slot until the next direct frame has come is overtaken: within
    # 1.4 % of the slots.
    assert num_accepted[1:] / num_sent[1:] == pytest.approx([0.847, 0.847], rel=0.02)


# --- Black-outs and stalls ---------------------------------------------------------------------
def test_in_a_blackout_the_ego_hears_nothing_and_outside_it_everything():
    parameters = physical_mode(
        blackouts=2, blackout_range_s=(1.0, 3.0), blackout_window_s=20.0, max_relay_hops=1
    )
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(4, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=5.0)
    spells = blackouts_s(parameters.physical, np.uint64(6), 5.0)
    num_inside = 0

    for step in range(1, 25_001):
        now_s = 5.0 + 1e-3 * step
        before = emulator.statistics().frames_accepted.sum()
        emulator.advance(now_s, cars)
        num_new = emulator.statistics().frames_accepted.sum() - before
        if any(begin_s + 1e-3 < now_s < end_s for begin_s, end_s in spells):
            num_inside += 1
            assert num_new == 0
        if not any(begin_s < now_s < end_s + 0.3 for begin_s, end_s in spells) and step > 200:
            assert emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION].max() < 0.21
    assert num_inside >= 1000


def test_a_blackout_is_the_egos_alone():
    parameters = physical_mode(
        blackouts=1, blackout_range_s=(600.0, 600.0), blackout_window_s=1.0, max_relay_hops=1
    )
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(2, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(20.0, cars)

    num_accepted = emulator._arrays.links[:, :, LINK_NUM_ACCEPTED]
    assert num_accepted[0].max() <= 11.0  # of the first second
    assert min(num_accepted[1, 2], num_accepted[2, 1]) >= 195.0


def test_blackouts_begin_in_their_window_and_have_their_lengths():
    physical = PhysicalParameters(blackouts=2, blackout_range_s=(0.5, 5.0), blackout_window_s=50.0)

    spells = np.array([blackouts_s(physical, np.uint64(key), 7.0) for key in range(2000)])

    begins_s, lengths_s = spells[..., 0], spells[..., 1] - spells[..., 0]
    assert stats.kstest(begins_s.ravel(), stats.uniform(7.0, 50.0).cdf).pvalue > 0.001
    assert stats.kstest(lengths_s.ravel(), stats.uniform(0.5, 4.5).cdf).pvalue > 0.001
    columns = np.column_stack([begins_s, lengths_s])
    assert np.abs(np.corrcoef(columns.T) - np.eye(4)).max() < 4.0 / math.sqrt(2000.0)


def test_a_stalled_board_misses_its_ticks():
    parameters = physical_mode(stalls_per_minute=30.0, stall_range_ms=(100.0, 850.0))
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(8, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(4000.0, cars)

    # Stalls of .475 s in the mean after 2 s in the mean: a share of .475 / 2.475 of the time.
    # 13,000 stalls: 1 % of error in the share.
    sent = emulator.statistics().frames_sent[1:].mean() / 40_000.0
    assert sent == pytest.approx(1.0 - 0.475 / 2.475, rel=0.01)


def test_what_arrives_during_a_stall_is_handled_at_its_end():
    parameters = physical_mode(stalls_per_minute=20.0, stall_range_ms=(300.0, 600.0))
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(4, 20.0)
    emulator.reset(radio_key=9, cars=cars, time_s=0.0)
    emulator.advance(1.0, cars)
    num_late, longest_ms = 0, 0.0
    ego = emulator._arrays.stations[0]

    for step in range(1, 40_001):
        now_s = 1.0 + 1e-3 * step
        before = emulator.statistics().frames_accepted[1:]
        emulator.advance(now_s, cars)
        is_new = emulator.statistics().frames_accepted[1:] > before
        delays_s = (emulator.true_age_s[1:] - emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION])[
            is_new
        ]
        if is_new.any():
            handled_s = now_s - emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION][is_new]
            is_inside = (handled_s >= ego[STATION_STALL_FROM]) & (
                handled_s < ego[STATION_STALL_UNTIL]
            )
            assert not is_inside.any()
            num_late += int((delays_s > 0.05).sum())
            longest_ms = max(longest_ms, 1000.0 * delays_s.max())
    # 13 stalls of .45 s in 40 s; of each peer's backlog only the newest of a step is seen.
    assert num_late > 10
    assert 50.0 < longest_ms < 601.5


def test_without_stalls_no_tick_is_missed():
    emulator = RadioEmulator(physical_mode())
    cars = ring_of_cars(4, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(1000.0, cars)

    assert np.abs(emulator.statistics().frames_sent[1:] - 10_000).max() <= 1


# --- Causality ---------------------------------------------------------------------------------
@pytest.mark.parametrize("max_relay_hops", [0, 3])
@pytest.mark.parametrize("radio_key", range(10))
def test_nothing_heard_is_newer_than_airtime_and_stack_allow(radio_key, max_relay_hops):
    parameters = dataclasses.replace(
        RadioParameters(mode="physical"),
        sensor_noise=NO_NOISE,
        domain_randomization=DomainRandomizationParameters(gps_noise_range_m=(0.0, 0.0)),
        physical_randomization=PhysicalRandomizationParameters(margin_range_db=(60.0, 120.0)),
        relay=RelayParameters(max_relay_hops=max_relay_hops),
    )
    emulator = RadioEmulator(parameters)
    cars = cars_that_tell_the_time(3.0, 7)
    emulator.reset(radio_key=radio_key, cars=cars, time_s=3.0, randomise=True)
    physical = emulator.episode_values.physical
    # The published formula, at the payload and rate drawn, and .4 ms in either board's stack
    hop_s = 1e-6 * airtime_us(physical.payload_bytes, physical.rate_mbps) + 0.8e-3
    num_heard = 0

    for step in range(1, 201):
        now_s = 3.0 + 0.037 * step
        emulator.advance(now_s, cars_that_tell_the_time(now_s, 7))
        heard = emulator.heard[emulator.heard[:, HEARD_IS_FRESH] > 0.0]
        age_s = now_s - heard[:, SENSED_X]
        since_s = heard[:, HEARD_TIME_SINCE_RECEPTION]
        num_heard += len(heard)
        assert np.all(since_s >= 0.0)
        on_its_way_s = age_s - since_s - heard[:, HEARD_STATE_AGE]
        assert np.all(on_its_way_s >= (1.0 + heard[:, HEARD_HOP_COUNT]) * hop_s - 1e-9)
    assert num_heard > 100


def heard_along(positions_x, parameters, radio_key=9):
    """What is heard after each step of 0.1 s by an ego among peers at these places."""
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=radio_key, cars=cars_in_line(6, 10.0), time_s=0.0)
    trace = []
    for step, x_m in enumerate(positions_x, start=1):
        cars = cars_in_line(6, 10.0)
        cars[1:, CAR_X] += x_m
        emulator.advance(0.1 * step, cars)
        trace.append(emulator.heard.copy())
    return np.array(trace)


@pytest.mark.parametrize("max_relay_hops", [0, 2])
def test_another_order_of_the_future_changes_nothing_heard_before(max_relay_hops):
    parameters = dataclasses.replace(
        load_radio_parameters("in_car_long_range"),
        relay=RelayParameters(max_relay_hops=max_relay_hops),
    )
    positions_m = np.linspace(0.0, 40.0, 100)
    permuted_m = positions_m.copy()
    permuted_m[50:] = np.random.default_rng(1).permutation(positions_m[50:])

    one, other = heard_along(positions_m, parameters), heard_along(permuted_m, parameters)

    np.testing.assert_array_equal(one[:50], other[:50])
    assert not np.array_equal(one[60], other[60])


# --- Random numbers ----------------------------------------------------------------------------
def trace_of(parameters, radio_key, *, ego_speed_mps=20.0, randomise=False):
    """What is heard in 20 s of a convoy with an ego that drifts, and the counts of frames."""
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(6, 10.0)
    emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0, randomise=randomise)
    heard = []
    for step in range(1, 201):
        cars[1:, CAR_X] += 2.0
        cars[0, CAR_X] += 0.1 * ego_speed_mps
        cars[0, CAR_SPEED] = ego_speed_mps
        emulator.advance(0.1 * step, cars)
        heard.append(emulator.heard.copy())
    return np.array(heard), emulator.statistics()


def digest(trace):
    return hashlib.sha256(trace.tobytes()).hexdigest()


WITH_EVERYTHING = dataclasses.replace(
    load_radio_parameters("in_car_long_range"),
    relay=RelayParameters(max_relay_hops=2),
    physical=PhysicalParameters(
        background_senders=20,
        interference_loss=0.1,
        stalls_per_minute=6.0,
        blackouts=1,
        blackout_window_s=10.0,
    ),
)


@pytest.mark.parametrize("randomise", [False, True])
def test_the_same_key_gives_the_same_trace_to_the_last_bit(randomise):
    first, _ = trace_of(WITH_EVERYTHING, 123, randomise=randomise)
    again, _ = trace_of(WITH_EVERYTHING, 123, randomise=randomise)
    other, _ = trace_of(WITH_EVERYTHING, 124, randomise=randomise)

    assert digest(first) == digest(again)
    assert digest(first) != digest(other)


def test_a_new_episode_keeps_nothing_of_the_one_before():
    emulator = RadioEmulator(WITH_EVERYTHING)
    cars = cars_in_line(4)
    ends = []
    for radio_key in (7, 8, 7):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0, randomise=radio_key == 8)
        emulator.advance(5.03, cars)
        ends.append((emulator.heard.tobytes(), emulator.ego_sensed.tobytes()))

    assert ends[0] == ends[2] != ends[1]


@pytest.mark.parametrize("max_relay_hops", [0, 2])
def test_what_the_policy_does_changes_no_frame(max_relay_hops):
    # Where distance costs nothing, what is lost is drawn: by fading's floor, bursts, collisions.
    parameters = physical_mode(
        mean_burst=2.0,
        max_relay_hops=max_relay_hops,
        floor_loss=0.2,
        interference_loss=0.2,
        background_senders=20,
        stack_range_ms=(0.4, 1.0),
        stalls_per_minute=6.0,
    )

    driving, counts = trace_of(parameters, 5)
    braking, _ = trace_of(parameters, 5, ego_speed_mps=3.0)

    np.testing.assert_array_equal(driving, braking)
    assert counts.frames_delivered[1:].max() < 0.9 * counts.frames_sent[1:].min()
    assert (counts.frames_relayed.sum() > 0) == (max_relay_hops > 0)


def test_the_length_of_the_steps_changes_no_frame():
    fine, coarse = RadioEmulator(WITH_EVERYTHING), RadioEmulator(WITH_EVERYTHING)
    cars = cars_in_line(7)
    fine.reset(radio_key=6, cars=cars, time_s=0.0)
    coarse.reset(radio_key=6, cars=cars, time_s=0.0)

    for step in range(1, 601):
        fine.advance(step / 20.0, cars)
    for step in range(1, 11):
        coarse.advance(step * 3.0, cars)

    np.testing.assert_array_equal(fine.heard, coarse.heard)


def test_more_cars_than_bits_are_refused():
    emulator = RadioEmulator(physical_mode())
    emulator.reset(radio_key=2, cars=cars_in_line(63), time_s=0.0)

    with pytest.raises(ConfigError, match=r"1 to 63 rows in mode physical\. Got 64"):
        emulator.reset(radio_key=2, cars=cars_in_line(64), time_s=0.0)


def test_all_cars_may_be_anywhere_and_the_queue_holds():
    parameters = dataclasses.replace(
        WITH_EVERYTHING,
        relay=RelayParameters(max_relay_hops=3, slot_period_ms=10.0),
        physical=PhysicalParameters(
            payload_bytes=1470,
            rate_mbps=0.25,
            background_senders=60,
            stalls_per_minute=60.0,
            stack_range_ms=(0.0, 50.0),
        ),
    )
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(9)
    emulator.reset(radio_key=2, cars=cars, time_s=0.0)
    longest_queue = 0
    for step in range(1, 301):
        cars[:, CAR_Y] = 100.0 * np.sin(0.1 * step + np.arange(9))
        emulator.advance(0.1 * step, cars)
        longest_queue = max(longest_queue, int(emulator._arrays.queue_codes[0]))

    assert longest_queue < emulator._arrays.queue_codes.size
    assert np.isfinite(emulator.heard).all()


# --- Values drawn for an episode ---------------------------------------------------------------
NUM_EPISODES = 4000


@pytest.fixture(scope="module")
def episodes():
    parameters = RadioParameters(mode="physical")
    return [drawn_values(parameters, np.uint64(key)) for key in range(NUM_EPISODES)]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("margin_at_1m_db", 32.0, 44.0),
        ("shadowing_std_db", 2.0, 4.0),
        ("fading_m", 1.0, 3.0),
        ("floor_loss", 0.0, 0.10),
        ("obstruction_db", 3.0, 12.0),
        ("interference_loss", 0.0, 0.20),
    ],
)
def test_physical_values_are_uniform_over_their_ranges(episodes, name, low, high):
    drawn = np.array([getattr(episode.physical, name) for episode in episodes])

    assert low <= drawn.min() < drawn.max() <= high
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("blackouts", range(3)),
        ("background_senders", range(31)),
        ("payload_bytes", range(48, 251)),
        ("rate_mbps", (0.25, 0.5, 1.0)),
    ],
)
def test_whole_numbers_and_rates_are_drawn_evenly_and_all_of_them(episodes, name, choices):
    drawn = [getattr(episode.physical, name) for episode in episodes]

    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(choices)
    assert stats.chisquare(counts).pvalue > 0.001


def test_fix_rate_burst_and_position_error_are_drawn_too(episodes):
    rates_hz, counts = np.unique([e.gps_rate_hz for e in episodes], return_counts=True)
    # A burst is at least the feasible one, 1 / (1 - loss) is not needed: up to .2 it is 1.
    bursts = np.log([e.mean_burst_lengths[0] for e in episodes])

    assert rates_hz.tolist() == [1.0, 5.0, 10.0]
    assert stats.chisquare(counts).pvalue > 0.001
    assert stats.kstest(bursts, stats.uniform(0.0, math.log(5.0)).cdf).pvalue > 0.001
    gps_std_m = [e.gps_std_m for e in episodes]
    assert stats.kstest(gps_std_m, stats.uniform(0.5, 4.0).cdf).pvalue > 0.001


def test_the_fading_beyond_is_in_proportion_and_the_rest_stays(episodes):
    for episode in episodes[:200]:
        physical = episode.physical
        assert physical.fading_m_far == pytest.approx(0.5 * physical.fading_m)  # .75 of 1.5
        assert physical.break_point_m == 73.0
        assert physical.fading_far_m == 80.0
        assert episode.loss_rates == (physical.interference_loss,) * 3


def test_each_value_is_drawn_independently_of_the_others(episodes):
    names = [
        "margin_at_1m_db",
        "shadowing_std_db",
        "fading_m",
        "floor_loss",
        "interference_loss",
        "blackouts",
        "obstruction_db",
        "background_senders",
        "payload_bytes",
        "rate_mbps",
    ]
    columns = [[getattr(e.physical, name) for e in episodes] for name in names]
    columns += [[e.gps_rate_hz for e in episodes], [e.gps_std_m for e in episodes]]
    columns.append([e.mean_burst_lengths[0] for e in episodes])

    correlations = np.corrcoef(columns) - np.eye(len(columns))

    assert np.abs(correlations).max() < 4.0 / math.sqrt(NUM_EPISODES)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("in_car", 20.0, 26.0),
        ("in_car_long_range", 32.0, 44.0),
        ("roof", 60.0, 72.0),
        ("roof_long_range", 76.0, 88.0),
    ],
)
def test_an_installations_margin_is_drawn_from_all_of_its_range(name, low, high):
    parameters = load_radio_parameters(name)

    drawn = [drawn_values(parameters, np.uint64(key)).physical for key in range(500)]

    margins_db = [physical.margin_at_1m_db for physical in drawn]
    assert low <= min(margins_db) < low + 0.5
    assert high - 0.5 < max(margins_db) <= high


def test_a_reset_puts_the_values_drawn_in_force_and_the_next_one_the_files():
    emulator = RadioEmulator(RadioParameters(mode="physical"))
    cars = cars_in_line(3)

    emulator.reset(radio_key=3, cars=cars, time_s=0.0, randomise=True)
    drawn = emulator.episode_values
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    assert drawn == drawn_values(RadioParameters(mode="physical"), np.uint64(3))
    assert emulator.episode_values.physical == PhysicalParameters()
