"""Counter-based random numbers: their quality, and that nothing in an episode can change them."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from numba import njit
from scipy import stats

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.episode_values import drawn_values, gilbert_transitions
from ml.espnow_emulator.parameter_sections import DomainRandomizationParameters, RelayParameters
from ml.espnow_emulator.random_kernels import (
    mix_bits,
    normal_pair_at,
    stream_start,
    uniform_at,
)
from ml.tests.radio_worlds import cars_in_line
from ml.types import CAR_SPEED, CAR_X

AXES = ("counter", "key", "stream", "sender", "receiver")


@njit
def fill_along(axis, draws):
    for index in range(draws.shape[0]):
        at = np.zeros(5, dtype=np.int64)
        at[axis] = index
        start = stream_start(np.uint64(at[1] + 1), at[2], at[3], at[4])
        draws[index] = uniform_at(start, at[0])


@njit
def fill_normals(normals):
    start = stream_start(np.uint64(8), 2, 1, 0)
    for pair in range(normals.shape[0]):
        normals[pair, 0], normals[pair, 1] = normal_pair_at(start, pair)


def draws_along(axis):
    draws = np.zeros(60_000)
    fill_along(AXES.index(axis), draws)
    return draws


def test_the_hash_gives_the_published_splitmix64_sequence():
    # First outputs for seed 1234567 of the reference implementation (Vigna, splitmix64.c).
    golden = 0x9E3779B97F4A7C15
    states = [(1234567 + count * golden) % 2**64 for count in (1, 2, 3)]

    outputs = [int(mix_bits(np.uint64(state))) % 2**64 for state in states]

    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("axis", AXES)
def test_draws_are_uniform_and_uncorrelated_along_every_part_of_their_name(axis):
    draws = draws_along(axis)

    counts = np.bincount((256 * draws).astype(np.int64), minlength=256)
    low_bits = np.bincount((2**53 * draws).astype(np.int64) % 256, minlength=256)
    correlations = [np.corrcoef(draws[:-lag], draws[lag:])[0, 1] for lag in (1, 2, 3)]

    assert stats.chisquare(counts).pvalue > 0.001
    assert stats.chisquare(low_bits).pvalue > 0.001
    assert np.abs(correlations).max() < 0.0165  # 4 standard errors, 1 / sqrt(60,000)
    assert 0.0 <= draws.min() < draws.max() < 1.0


def test_pairs_of_neighbouring_draws_fill_the_square_evenly():
    draws = draws_along("counter")

    cells = (16 * draws[:-1:2]).astype(np.int64) * 16 + (16 * draws[1::2]).astype(np.int64)

    assert stats.chisquare(np.bincount(cells, minlength=256)).pvalue > 0.001


def test_one_flipped_bit_flips_half_of_the_output_bits():
    flips = [
        (int(mix_bits(np.uint64(word))) ^ int(mix_bits(np.uint64(word ^ (1 << bit))))) % 2**64
        for word in range(1, 60_000, 997)
        for bit in range(64)
    ]

    assert np.mean([flip.bit_count() for flip in flips]) == pytest.approx(32.0, abs=0.3)


def test_normal_draws_are_standard_normal_and_their_pairs_independent():
    normals = np.zeros((100_000, 2))
    fill_normals(normals)

    assert stats.kstest(normals.ravel(), "norm").pvalue > 0.001
    assert np.corrcoef(normals.T)[0, 1] == pytest.approx(0.0, abs=0.0127)  # 4 standard errors
    assert np.corrcoef(normals.T**2)[0, 1] == pytest.approx(0.0, abs=0.0127)


def trace_of(radio_key, ego_speed_mps=20.0, num_cars=6, randomise=False):
    """What is heard in 20 s while the ego drifts at another speed than the convoy's."""
    emulator = RadioEmulator(RadioParameters())
    emulator.reset(
        radio_key=radio_key, cars=cars_in_line(num_cars), time_s=0.0, randomise=randomise
    )
    heard = []
    for step in range(1, 201):
        cars = cars_in_line(num_cars)
        cars[:, CAR_X] += 2.0 * step
        cars[0, CAR_X] = 0.1 * ego_speed_mps * step
        cars[0, CAR_SPEED] = ego_speed_mps
        emulator.advance(0.1 * step, cars)
        heard.append(emulator.heard.copy())
    return np.array(heard)


def digest(trace):
    return hashlib.sha256(trace.tobytes()).hexdigest()


@pytest.mark.parametrize("randomise", [False, True])
def test_the_same_key_gives_the_same_trace_to_the_last_bit(randomise):
    first = trace_of(123, randomise=randomise)

    assert digest(first) == digest(trace_of(123, randomise=randomise))
    assert digest(first) != digest(trace_of(124, randomise=randomise))


def test_a_new_episode_keeps_nothing_of_the_one_before():
    emulator = RadioEmulator(RadioParameters())
    cars = cars_in_line(4)
    ends = []
    for radio_key in (7, 8, 7):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0, randomise=radio_key == 8)
        emulator.advance(5.0, cars)
        ends.append((emulator.heard.tobytes(), emulator.ego_sensed.tobytes()))

    assert ends[0] == ends[2]
    assert ends[0] != ends[1]


def test_what_the_policy_does_changes_no_frame():
    # The ego falls back by 20 m in 20 s: every peer stays in its distance tier.
    np.testing.assert_array_equal(trace_of(5), trace_of(5, ego_speed_mps=19.0))


def test_more_cars_change_no_frame_of_the_others():
    np.testing.assert_array_equal(trace_of(5, num_cars=4), trace_of(5, num_cars=9)[:, :4])


def test_the_length_of_the_steps_changes_no_frame():
    fine, coarse = RadioEmulator(RadioParameters()), RadioEmulator(RadioParameters())
    cars = cars_in_line(7)
    fine.reset(radio_key=6, cars=cars, time_s=0.0)
    coarse.reset(radio_key=6, cars=cars, time_s=0.0)

    for step in range(1, 601):
        fine.advance(step / 20.0, cars)
    for step in range(1, 11):
        coarse.advance(step * 3.0, cars)

    np.testing.assert_array_equal(fine.heard, coarse.heard)
    np.testing.assert_array_equal(
        fine.statistics().frames_delivered, coarse.statistics().frames_delivered
    )


def test_phases_fill_the_period_evenly():
    emulator = RadioEmulator(RadioParameters())
    cars = cars_in_line(9)
    num_early = 0

    for radio_key in range(500):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(0.051, cars)  # half the period and the mean jitter
        num_early += int(emulator.statistics().frames_sent.sum())

    interval = stats.binomtest(num_early, 4000).proportion_ci(0.99, "exact")
    assert interval.low <= 0.5 <= interval.high


def test_senders_keep_ten_frames_a_second_within_their_crystals_error():
    emulator = RadioEmulator(RadioParameters())
    cars = cars_in_line(9)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    emulator.advance(10_000.0, cars)

    frames_sent = emulator.statistics().frames_sent[1:]
    assert np.abs(frames_sent - 100_000).max() <= 5  # 40 ppm of 100,000 is 4
    assert len(set(frames_sent.tolist())) > 1


def drawn_episodes(num_episodes):
    return [drawn_values(RadioParameters(), np.uint64(key)) for key in range(num_episodes)]


def test_episode_values_are_drawn_from_the_files_ranges():
    episodes = drawn_episodes(3000)
    columns = {
        "latency": ([e.latency_base_ms for e in episodes], 1.7, 14.0),
        "jitter": ([e.jitter_std_ms for e in episodes], 0.5, 5.0),
        "gps": ([e.gps_std_m for e in episodes], 0.5, 4.5),
        "loss": ([e.loss_rates[0] for e in episodes], 0.02, 0.40),
        "burst": (np.log([e.mean_burst_lengths[0] for e in episodes]), 0.0, np.log(5.0)),
    }

    for drawn, low, high in columns.values():
        assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_every_drawn_tier_is_shifted_alike_and_feasible():
    episodes = drawn_episodes(3000)

    losses = np.array([e.loss_rates for e in episodes])
    bursts = np.array([e.mean_burst_lengths for e in episodes])
    transitions = [
        gilbert_transitions(rate, burst)
        for rate, burst in zip(losses.ravel(), bursts.ravel(), strict=True)
    ]

    # Nominal tiers .082, .12 and .25: differences .038 and .13.
    np.testing.assert_allclose(np.diff(losses, axis=1), np.tile([0.038, 0.13], (3000, 1)))
    assert np.all(bursts >= np.maximum(1.0, losses / (1.0 - losses)) - 1e-12)
    for (to_bad, to_good), rate in zip(transitions, losses.ravel(), strict=True):
        assert 0.0 < to_bad <= 1.0
        assert to_bad / (to_bad + to_good) == pytest.approx(rate, rel=1e-9)


def with_hops(file_hops, hops_range):
    return RadioParameters(
        relay=RelayParameters(max_relay_hops=file_hops),
        domain_randomization=DomainRandomizationParameters(relay_hops_range=hops_range),
    )


def test_drawn_hops_are_uniform_over_the_whole_numbers_of_their_range():
    parameters = with_hops(0, (1, 3))

    hops = [drawn_values(parameters, np.uint64(key)).max_relay_hops for key in range(3000)]

    counts = np.bincount(hops, minlength=4)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.001


@pytest.mark.parametrize("file_hops", [0, 2])
def test_without_a_range_of_hops_the_files_own_hops_stay(file_hops):
    drawn = drawn_values(with_hops(file_hops, (0, 0)), np.uint64(5))

    assert drawn.max_relay_hops == file_hops


def test_relays_change_no_other_value_of_an_episode():
    for key in range(50):
        plain = drawn_values(RadioParameters(), np.uint64(key))
        relayed = drawn_values(with_hops(1, (0, 3)), np.uint64(key))
        assert dataclasses.replace(relayed, max_relay_hops=0) == plain


@pytest.mark.parametrize("num_cars", [1, 2, 9])
def test_episode_values_do_not_depend_on_the_number_of_cars(num_cars):
    emulator = RadioEmulator(with_hops(0, (0, 3)))

    emulator.reset(radio_key=77, cars=cars_in_line(num_cars), time_s=0.0, randomise=True)

    assert emulator.episode_values == drawn_values(with_hops(0, (0, 3)), np.uint64(77))
