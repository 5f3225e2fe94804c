"""Age of what is held: closed forms for periodic frames over a two-state link, and causality.

With period T, fixed delay d, p = loss r / (1 - loss), r = 1 / mean burst, the age at a random
instant has the mean d + T (1 + p (2 + r) / r^2) / (2 (1 + p / r)) and the peak d + T / (1 - loss),
by renewal reward over the times between receptions. The table below evaluates them, and the
quantiles of the same distribution, for T = 100 ms and d = 4 ms.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numba import njit

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.link_kernels import (
    draw_latency_s,
    start_link,
    step_link,
)
from ml.espnow_emulator.parameter_sections import (
    DomainRandomizationParameters,
    LatencyParameters,
)
from ml.espnow_emulator.random_kernels import (
    stream_start,
    uniform_at,
)
from ml.tests.radio_worlds import NO_LOSS, NO_NOISE, cars_in_line, constant_loss, kernel_values
from ml.types import (
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    HEARD_IS_FRESH,
    HEARD_TIME_SINCE_RECEPTION,
    NUM_CAR_FIELDS,
    SENSED_X,
)

PERIOD_S = 0.1
NUM_TRANSMISSIONS = 10_000_000
OBSERVER_STREAM = 99
# A 90-byte message on the air at 1 Mbit/s, 192 us + 8 * (90 + 43) us (IEEE 802.11 DSSS, long
# preamble), and 0.4 ms in each board's stack.
SMALLEST_LATENCY_S = 1.256e-3 + 0.8e-3

AGE_TABLE = [  # loss, mean burst, mean, peak, p95, p99 [ms], P(age > 500 ms)
    (0.00, 1.0, 54.0, 104.0, 99.0, 103.0, 0.0),
    (0.06, 1.0 / 0.94, 60.4, 110.4, 121.7, 192.7, None),  # 1e-6: ten events in 1e7
    (0.06, 2.2, 67.2, 110.4, 140.7, 400.8, 0.0055),
    (0.12, 1.6, 73.2, 117.6, 197.3, 369.2, 0.0025),
    (0.12, 5.0, 114.0, 117.6, 497.1, 1218.9, 0.0496),
    (0.25, 2.2, 109.0, 137.3, 376.1, 641.7, 0.0229),
    (0.40, 5.0, 254.0, 170.7, 1038.3, 1759.9, 0.165),
]


@njit
def observe_ages(radio_key, values, ages_s, peaks_s):
    """Fill the age at one random instant per period; return the number of receptions."""
    observer = stream_start(radio_key, OBSERVER_STREAM, 0, 0)
    is_bad = start_link(radio_key, values, 1, 0, 10.0)
    generated_s = 0.0
    num_received = 0
    for transmission in range(ages_s.shape[0]):
        sent_s = transmission * PERIOD_S
        observed_s = sent_s + PERIOD_S * uniform_at(observer, transmission)
        is_bad = step_link(radio_key, values, is_bad, 1, 0, transmission, 10.0)
        ages_s[transmission] = observed_s - generated_s
        if is_bad == 0.0:
            received_s = sent_s + draw_latency_s(radio_key, values, 1, 0, transmission, 10.0)
            if observed_s >= received_s:
                ages_s[transmission] = observed_s - sent_s
            peaks_s[num_received] = received_s - generated_s
            generated_s = sent_s
            num_received += 1
    return num_received


def observed_ages_ms(rate, mean_burst):
    ages_s, peaks_s = np.zeros(NUM_TRANSMISSIONS), np.zeros(NUM_TRANSMISSIONS)
    values = kernel_values(constant_loss(rate, mean_burst))
    num_received = observe_ages(np.uint64(7), values, ages_s, peaks_s)
    return 1000.0 * ages_s[100:], 1000.0 * peaks_s[1:num_received]


@pytest.mark.parametrize("row", AGE_TABLE)
def test_age_has_the_closed_form_distribution(row):
    rate, mean_burst, mean, peak, p95, p99, above_500 = row

    ages_ms, peaks_ms = observed_ages_ms(rate, mean_burst)

    assert ages_ms.mean() == pytest.approx(mean, rel=0.03)
    assert peaks_ms.mean() == pytest.approx(peak, rel=0.03)
    assert np.quantile(ages_ms, [0.95, 0.99]) == pytest.approx([p95, p99], rel=0.03)
    if above_500 is not None:
        assert np.mean(ages_ms > 500.0) == pytest.approx(above_500, rel=0.03)


def test_peak_age_depends_on_the_loss_alone_and_mean_age_on_the_burst_too():
    short_ages_ms, short_peaks_ms = observed_ages_ms(0.12, 1.6)
    long_ages_ms, long_peaks_ms = observed_ages_ms(0.12, 5.0)

    assert long_peaks_ms.mean() == pytest.approx(short_peaks_ms.mean(), rel=0.01)
    assert long_ages_ms.mean() == pytest.approx(short_ages_ms.mean() * 114.0 / 73.2, rel=0.03)


def test_age_through_the_whole_emulator_has_the_closed_form_mean():
    emulator = RadioEmulator(constant_loss(0.12, 1.6))
    cars = cars_in_line(9)
    emulator.reset(radio_key=44, cars=cars, time_s=0.0)
    emulator.advance(10.0, cars)
    ages_s = []

    for step in range(1, 30_001):
        emulator.advance(10.0 + 0.0973 * step, cars)
        ages_s.append(emulator.true_age_s[1:].mean())

    assert 1000.0 * np.mean(ages_s) == pytest.approx(73.2, rel=0.03)


@njit
def fill_latencies(radio_key, values, distance_m, latencies_s):
    for transmission in range(latencies_s.shape[0]):
        latencies_s[transmission] = draw_latency_s(
            radio_key, values, 1, 0, transmission, distance_m
        )


def drawn_latencies_ms(latency, distance_m):
    latencies_s = np.zeros(400_000)
    values = kernel_values(RadioParameters(latency=latency))
    fill_latencies(np.uint64(5), values, distance_m, latencies_s)
    return 1000.0 * latencies_s


def test_latency_is_base_plus_factor_times_distance_plus_gaussian_jitter():
    latency = LatencyParameters(base_ms=20.0, distance_factor=0.1, jitter_std_ms=2.0)

    latencies_ms = drawn_latencies_ms(latency, distance_m=50.0)

    assert latencies_ms.mean() == pytest.approx(25.0, abs=0.015)  # 20 + 0.1 * 50; 4.7 std errors
    assert latencies_ms.std() == pytest.approx(2.0, rel=0.01)


def test_latency_is_never_below_airtime_plus_stack():
    latency = LatencyParameters(base_ms=1.0, distance_factor=0.0, jitter_std_ms=5.0)

    latencies_ms = drawn_latencies_ms(latency, distance_m=10.0)

    assert latencies_ms.min() == pytest.approx(1000.0 * SMALLEST_LATENCY_S, rel=1e-12)
    # N(1, 5) is below 2.056 with probability Phi(0.2112) = 0.5836.
    assert np.mean(latencies_ms <= 2.0561) == pytest.approx(0.5836, abs=0.005)


def cars_that_tell_the_time(time_s, num_cars):
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_X] = time_s
    cars[:, CAR_Y] = 3.0 * np.arange(num_cars)
    cars[:, CAR_SPEED] = 1.0
    return cars


@pytest.mark.parametrize("radio_key", range(20))
def test_nothing_heard_is_newer_than_airtime_and_stack_allow(radio_key):
    parameters = RadioParameters(
        sensor_noise=NO_NOISE,
        domain_randomization=DomainRandomizationParameters(gps_noise_range_m=(0.0, 0.0)),
    )
    emulator = RadioEmulator(parameters)
    cars = cars_that_tell_the_time(3.0, 7)
    emulator.reset(radio_key=radio_key, cars=cars, time_s=3.0, randomise=True)

    for step in range(1, 301):
        now_s = 3.0 + 0.037 * step
        emulator.advance(now_s, cars_that_tell_the_time(now_s, 7))
        is_heard = emulator.heard[:, HEARD_IS_FRESH] > 0.0
        age_s = now_s - emulator.heard[is_heard, SENSED_X]
        since_s = emulator.heard[is_heard, HEARD_TIME_SINCE_RECEPTION]
        assert np.all(since_s >= 0.0)
        assert np.all(age_s - since_s >= SMALLEST_LATENCY_S - 1e-9)
        np.testing.assert_allclose(age_s, emulator.true_age_s[is_heard], atol=1e-9)


def test_changing_the_future_changes_nothing_heard_before():
    emulators = [RadioEmulator(RadioParameters()), RadioEmulator(RadioParameters())]
    histories = []
    for brake_after, emulator in zip((50, 80), emulators, strict=True):
        emulator.reset(radio_key=9, cars=cars_in_line(6), time_s=0.0)
        heard = []
        for step in range(1, 101):
            cars = cars_in_line(6, speed_mps=20.0 if step <= brake_after else 5.0)
            cars[1:, CAR_X] += 2.0 * min(step, brake_after)
            emulator.advance(0.1 * step, cars)
            heard.append(emulator.heard.copy())
        histories.append(heard)

    np.testing.assert_array_equal(histories[0][:50], histories[1][:50])
    assert not np.array_equal(histories[0][55], histories[1][55])


def test_a_state_measured_between_two_steps_lies_on_the_line_between_them():
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0), packet_loss=NO_LOSS, latency=LatencyParameters(20.0, 0.0, 0.0)
    )
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=2, cars=cars_that_tell_the_time(0.0, 4), time_s=0.0)

    emulator.advance(1.0, cars_that_tell_the_time(1.0, 4))

    generated_s = 1.0 - emulator.true_age_s[1:]
    np.testing.assert_allclose(emulator.heard[1:, SENSED_X], generated_s, atol=1e-12)
    # The newest frame arrived 20 ms after its transmission, at most one period (and jitter) ago.
    assert np.all(generated_s <= 0.98)
    assert np.all(generated_s > 0.98 - 0.1021)
