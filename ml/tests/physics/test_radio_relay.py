"""Relays against closed forms: who is reached, how late, over how many hops; and what they leave.

Cars stand 10 m apart on a line, the ego at its end. Where nothing is heard beyond 15 m, a frame of
row k reaches the ego over k - 1 relays or not at all.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from ml.errors import ConfigError
from ml.espnow_emulator import (
    DEFAULT_PARAMETERS_PATH,
    RadioEmulator,
    RadioParameters,
    load_radio_parameters,
)
from ml.espnow_emulator.parameter_sections import (
    DomainRandomizationParameters,
    LatencyParameters,
    PacketLossParameters,
    RelayParameters,
)
from ml.espnow_emulator.radio_layout import (
    LINK_NUM_ACCEPTED,
)
from ml.tests.radio_worlds import NO_NOISE, cars_in_line, constant_loss, with_relays
from ml.types import (
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_SEQUENCE_GAP,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    NEVER_HEARD_S,
    NUM_CAR_FIELDS,
    SENSED_X,
)

NEIGHBOURS_ONLY_M = 15.0
SPACING_M = 10.0
LATENCY_MS = 4.0
# Airtime of a 90-byte message, 192 us + 8 * (90 + 43) us, and 0.4 ms in each board's stack
SMALLEST_LATENCY_S = 1.256e-3 + 0.8e-3


def neighbours_only(rate, max_relay_hops, mean_burst=None):
    return with_relays(constant_loss(rate, mean_burst), max_relay_hops, NEIGHBOURS_ONLY_M)


def share_reached(parameters, num_cars, num_episodes=40, seconds=500.0):
    """Share of each car's frames that the ego took in, from many episodes."""
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(num_cars, SPACING_M)
    num_sent, num_accepted = np.zeros((2, num_cars))
    for radio_key in range(num_episodes):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(seconds, cars)
        num_sent += emulator.statistics().frames_sent
        num_accepted += emulator.statistics().frames_accepted
    return num_accepted[1:] / num_sent[1:]


def delays_ms(parameters, num_cars, num_episodes):
    """Generation to reception of the frames held after a second, (num_episodes, num_cars - 1)."""
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(num_cars, SPACING_M)
    delays_s = []
    for radio_key in range(num_episodes):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(1.0, cars)
        since_s = emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION]
        delays_s.append(emulator.true_age_s[1:] - since_s)
    return 1000.0 * np.array(delays_s)


# --- Who is reached ----------------------------------------------------------------------------
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5])
def test_a_source_out_of_range_is_heard_when_both_links_deliver(rate):
    near, far = share_reached(neighbours_only(rate, 1), num_cars=3)

    # When two frames fall into one slot, because jitter takes them across its edge, the first is
    # replaced: 0.3 % of the frames.
    assert near == pytest.approx(1.0 - rate, rel=0.01)
    assert far == pytest.approx((1.0 - rate) ** 2, rel=0.015)


@pytest.mark.parametrize(("near_loss", "far_loss"), [(0.2, 0.5), (0.3, 0.3), (0.1, 0.8)])
def test_a_frame_reaches_the_ego_directly_or_over_the_relay(near_loss, far_loss):
    losses = PacketLossParameters(
        base_rate=0.0,
        distance_threshold_1=NEIGHBOURS_ONLY_M,
        rate_tier_1=near_loss,
        rate_tier_2=far_loss,
        rate_tier_3=far_loss,
    )
    parameters = dataclasses.replace(
        constant_loss(0.0, None), packet_loss=losses, latency=LatencyParameters(0.0, 0.0, 0.0)
    )

    _, far = share_reached(with_relays(parameters, 1), num_cars=3)

    # A slot within two latencies (4 ms) before the next frame is overtaken by it: below 1 %.
    assert far == pytest.approx(1.0 - far_loss * (1.0 - (1.0 - near_loss) ** 2), rel=0.01)


def test_three_links_in_a_row_deliver_the_cube():
    shares = share_reached(neighbours_only(0.2, 2), num_cars=4)

    assert shares == pytest.approx([0.8, 0.64, 0.512], rel=0.02)


@pytest.mark.parametrize(
    ("max_relay_hops", "hop_counts"),
    [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 2, 3])],
)
def test_a_frame_goes_over_as_many_relays_as_allowed_and_says_how_many(max_relay_hops, hop_counts):
    emulator = RadioEmulator(neighbours_only(0.0, max_relay_hops))
    cars = cars_in_line(6, SPACING_M)
    emulator.reset(radio_key=4, cars=cars, time_s=0.0)

    emulator.advance(3.0, cars)

    num_heard = len(hop_counts)
    heard = emulator.heard[1:]
    assert heard[:num_heard, HEARD_HOP_COUNT].tolist() == hop_counts
    assert heard[:, HEARD_IS_FRESH].tolist() == [1.0] * num_heard + [0.0] * (5 - num_heard)
    assert np.all(heard[num_heard:, HEARD_TIME_SINCE_RECEPTION] == NEVER_HEARD_S)


def test_forwarded_frames_are_lost_like_any_others():
    emulator = RadioEmulator(neighbours_only(0.25, 1, mean_burst=2.2))
    cars = cars_in_line(3, SPACING_M)
    emulator.reset(radio_key=8, cars=cars, time_s=0.0)

    emulator.advance(40_000.0, cars)

    counts = emulator.statistics()
    delivery = counts.frames_delivered_relayed[2] / counts.frames_relayed[2]
    assert counts.frames_relayed[2] == pytest.approx(0.75 * counts.frames_sent[2], rel=0.02)
    assert delivery == pytest.approx(0.75, rel=0.02)


# --- How late ----------------------------------------------------------------------------------
def test_each_hop_waits_uniformly_for_its_slot_and_takes_a_latency_more():
    delays = delays_ms(neighbours_only(0.0, 2), num_cars=4, num_episodes=3000)

    waits_ms = delays[:, 1] - 2.0 * LATENCY_MS
    assert delays[:, 0] == pytest.approx(LATENCY_MS, abs=1e-6)
    assert stats.kstest(waits_ms, stats.uniform(0.0, 100.0).cdf).pvalue > 0.001
    # 100 / sqrt(12 * 3000) = 0.53 ms is one standard error
    extra_ms = 50.0 + LATENCY_MS
    assert np.diff(delays, axis=1).mean(axis=0) == pytest.approx([extra_ms, extra_ms], abs=2.1)


def test_a_relays_slot_keeps_its_phase_during_an_episode():
    emulator = RadioEmulator(neighbours_only(0.0, 1))
    cars = cars_in_line(3, SPACING_M)
    num_checked = 0

    for radio_key in range(20):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        delays = []
        for step in range(10, 200):
            emulator.advance(0.1 * step, cars)
            delays.append(emulator.true_age_s[2] - emulator.heard[2, HEARD_TIME_SINCE_RECEPTION])
        if min(delays) > 0.02 and max(delays) < 0.09:  # away from the slot's edge
            num_checked += 1
            # 2 ms of transmission jitter, and 80 ppm of 20 s between two crystals
            assert np.ptp(delays) < 0.002 + 0.0016 + 1e-9
    assert num_checked > 8


def test_only_the_newest_frame_is_forwarded_in_a_slot():
    slow = RelayParameters(max_relay_hops=1, slot_period_ms=1000.0)
    emulator = RadioEmulator(dataclasses.replace(neighbours_only(0.0, 1), relay=slow))
    cars = cars_in_line(3, SPACING_M)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(100.5, cars)

    counts = emulator.statistics()
    assert 99 <= counts.frames_relayed[2] <= 101  # one of every ten
    assert counts.frames_accepted[2] == pytest.approx(counts.frames_relayed[2], abs=1)
    assert 8 <= emulator.heard[2, HEARD_SEQUENCE_GAP] <= 10


# --- What is held ------------------------------------------------------------------------------
def cars_that_tell_the_time(time_s, num_cars):
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_X] = time_s
    cars[:, CAR_Y] = SPACING_M * np.arange(num_cars)
    cars[:, CAR_SPEED] = 1.0
    return cars


@pytest.mark.parametrize("radio_key", range(6))
def test_a_relayed_state_is_what_its_source_measured_and_no_newer_than_its_hops_allow(radio_key):
    parameters = dataclasses.replace(
        constant_loss(0.3, 2.0), latency=LatencyParameters(1.0, 0.0, 5.0), sensor_noise=NO_NOISE
    )
    emulator = RadioEmulator(with_relays(parameters, 3, max_range_m=25.0))
    emulator.reset(radio_key=radio_key, cars=cars_that_tell_the_time(3.0, 8), time_s=3.0)
    hops_seen = set()

    for step in range(1, 401):
        now_s = 3.0 + 0.037 * step
        emulator.advance(now_s, cars_that_tell_the_time(now_s, 8))
        heard = emulator.heard[emulator.heard[:, HEARD_IS_FRESH] > 0.0]
        age_s = now_s - heard[:, SENSED_X]
        on_its_way_s = age_s - heard[:, HEARD_TIME_SINCE_RECEPTION]
        hops_seen.update(heard[:, HEARD_HOP_COUNT].tolist())
        assert np.all(on_its_way_s >= (1.0 + heard[:, HEARD_HOP_COUNT]) * SMALLEST_LATENCY_S - 1e-9)
        assert np.all(heard[:, HEARD_STATE_AGE] == 0.0)
    assert hops_seen == {0.0, 1.0, 2.0, 3.0}


def test_no_frame_is_taken_in_twice_and_none_goes_back():
    parameters = dataclasses.replace(
        constant_loss(0.3, None), latency=LatencyParameters(60.0, 0.0, 40.0)
    )
    emulator = RadioEmulator(with_relays(parameters, 3, max_range_m=25.0))
    cars = cars_in_line(6, SPACING_M)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)
    generated_s = np.full(6, -1.0)
    num_accepted = np.zeros(6)

    for step in range(1, 15_001):
        emulator.advance(0.002 * step, cars)
        counts = emulator.statistics()
        is_new = counts.frames_accepted > num_accepted
        now_generated_s = 0.002 * step - emulator.true_age_s
        assert np.all(now_generated_s[is_new] > generated_s[is_new] + 0.09)  # a frame later
        is_held = (counts.frames_accepted > 0) & ~is_new
        assert np.all(np.abs(now_generated_s[is_held] - generated_s[is_held]) < 1e-9)
        generated_s, num_accepted = now_generated_s, counts.frames_accepted

    assert np.all(counts.frames_accepted[1:] > 100)
    links = emulator._arrays.links[:, :, LINK_NUM_ACCEPTED]
    assert np.all(links <= counts.frames_sent)
    assert np.diagonal(links).max() == 0.0  # nobody takes in its own frames


def test_every_car_forwards_a_frame_once_and_the_ego_never():
    emulator = RadioEmulator(with_relays(constant_loss(0.0, 1.0), 3))
    pair, many = cars_in_line(2), cars_in_line(6)
    emulator.reset(radio_key=3, cars=pair, time_s=0.0)
    emulator.advance(10.0, pair)
    relayed_in_pair = emulator.statistics().frames_relayed
    emulator.reset(radio_key=3, cars=many, time_s=0.0)
    emulator.advance(50.0, many)

    counts = emulator.statistics()
    assert relayed_in_pair.tolist() == [0, 0]
    # Each of the four other peers; a few wait for their slot or were replaced in it.
    assert np.all(counts.frames_relayed[1:] <= 4 * counts.frames_sent[1:])
    assert np.all(counts.frames_relayed[1:] >= 0.9 * 4 * counts.frames_sent[1:])


def test_statistics_tell_relayed_frames_from_direct_ones():
    emulator = RadioEmulator(neighbours_only(0.0, 1))
    cars = cars_in_line(3, SPACING_M)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    emulator.advance(20.0, cars)

    counts = emulator.statistics()
    assert counts.frames_delivered[2] == 0
    assert counts.frames_out_of_range[2] == counts.frames_sent[2]
    assert counts.frames_accepted_relayed[1] == 0
    assert counts.frames_accepted_relayed[2] == counts.frames_accepted[2] >= 190


# --- What relays leave alone -------------------------------------------------------------------
def trace_of(parameters, *, ego_speed_mps=20.0, randomise=False, radio_key=5):
    """What is heard, sensed and how old it is, in 20 s of a convoy with an ego that drifts."""
    emulator = RadioEmulator(parameters)
    emulator.reset(
        radio_key=radio_key, cars=cars_in_line(6, SPACING_M), time_s=0.0, randomise=randomise
    )
    trace = []
    for step in range(1, 201):
        cars = cars_in_line(6, SPACING_M)
        cars[:, CAR_X] += 2.0 * step
        cars[0, CAR_X] = 0.1 * ego_speed_mps * step
        emulator.advance(0.1 * step, cars)
        trace.append((emulator.heard.tobytes(), emulator.true_age_s.tobytes()))
    return trace, emulator.statistics()


@pytest.mark.parametrize("randomise", [False, True])
def test_no_hops_are_the_same_as_no_relay_section_to_the_last_bit(tmp_path, randomise):
    content = json.loads(DEFAULT_PARAMETERS_PATH.read_text("utf-8"))
    del content["relay"], content["domain_randomization"]["relay_hops_range"]
    without, with_none = tmp_path / "without.json", tmp_path / "with.json"
    without.write_text(json.dumps(content), "utf-8")
    with_none.write_text(json.dumps({**content, "relay": {"max_relay_hops": 0}}), "utf-8")

    first, _ = trace_of(load_radio_parameters(without), randomise=randomise)
    second, _ = trace_of(load_radio_parameters(with_none), randomise=randomise)

    assert first == second


def test_an_episode_that_draws_no_hops_is_the_one_without_relays_to_the_last_bit():
    plain = RadioParameters()
    drawing = RadioParameters(
        domain_randomization=DomainRandomizationParameters(relay_hops_range=(0, 1))
    )
    num_without_hops = 0
    for radio_key in range(12):
        traces = []
        for parameters in (plain, drawing):
            trace, counts = trace_of(parameters, randomise=True, radio_key=radio_key)
            traces.append(trace)
        if counts.frames_relayed.sum() == 0:
            num_without_hops += 1
            assert traces[0] == traces[1]
    assert 0 < num_without_hops < 12


@pytest.mark.parametrize("max_relay_hops", [1, 3])
def test_relays_change_no_frame_that_arrives_directly(max_relay_hops):
    _, plain = trace_of(RadioParameters())
    _, relayed = trace_of(with_relays(RadioParameters(), max_relay_hops, max_range_m=150.0))

    assert relayed.frames_delivered.tolist() == plain.frames_delivered.tolist()
    assert relayed.frames_relayed.sum() > 0
    assert np.all(relayed.frames_accepted >= plain.frames_accepted)


def test_what_the_ego_does_changes_no_relayed_frame():
    parameters = with_relays(RadioParameters(), 2, max_range_m=150.0)

    # The ego falls back by 20 m in 20 s and stays within the first distance tier of its relays;
    # cars 4 and 5 leave it, so the tiers are made alike.
    loss = PacketLossParameters(base_rate=0.3, rate_tier_1=0.3, rate_tier_2=0.3, rate_tier_3=0.3)
    parameters = dataclasses.replace(parameters, packet_loss=loss)

    assert trace_of(parameters)[0] == trace_of(parameters, ego_speed_mps=19.0)[0]


def test_the_length_of_the_steps_changes_no_relayed_frame():
    fine, coarse = (RadioEmulator(neighbours_only(0.3, 3, 2.0)) for _ in range(2))
    cars = cars_in_line(6, SPACING_M)
    fine.reset(radio_key=6, cars=cars, time_s=0.0)
    coarse.reset(radio_key=6, cars=cars, time_s=0.0)

    for step in range(1, 601):
        fine.advance(step / 20.0, cars)
    for step in range(1, 11):
        coarse.advance(step * 3.0, cars)

    np.testing.assert_array_equal(fine.heard, coarse.heard)


def test_a_new_episode_keeps_nothing_of_the_relays_before():
    emulator = RadioEmulator(neighbours_only(0.3, 3, 2.0))
    cars = cars_in_line(6, SPACING_M)
    ends = []
    for radio_key in (7, 8, 7):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(5.03, cars)
        ends.append(emulator.heard.tobytes())

    assert ends[0] == ends[2] != ends[1]


# --- Limits ------------------------------------------------------------------------------------
def test_the_longest_latency_and_the_closest_slots_overflow_nothing():
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0),
        latency=LatencyParameters(1000.0, 0.5, 100.0),
        relay=RelayParameters(max_relay_hops=3, slot_period_ms=10.0),
    )
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(9, SPACING_M)
    emulator.reset(radio_key=2, cars=cars, time_s=0.0)
    longest_queue = 0

    for step in range(1, 301):
        emulator.advance(0.1 * step, cars)
        longest_queue = max(longest_queue, int(emulator._arrays.queue_codes[0]))

    assert longest_queue < emulator._arrays.queue_codes.size
    assert emulator.heard[1:, HEARD_IS_FRESH].min() == 1.0


def test_more_cars_than_can_relay_are_refused():
    emulator = RadioEmulator(with_relays(RadioParameters(), 1))

    with pytest.raises(ConfigError, match=r"1 to 64 rows with relays\. Got 65"):
        emulator.reset(radio_key=2, cars=cars_in_line(65), time_s=0.0)
