"""Sensor errors against the Ornstein-Uhlenbeck process: std sigma, correlation exp(-dt / tau)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.parameter_sections import SensorNoiseParameters
from ml.tests.radio_worlds import FIXED_LATENCY, NO_LOSS, cars_in_line
from ml.types import (
    CAR_HEADING,
    NUM_SENSED_FIELDS,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
)

NOISE = SensorNoiseParameters(
    gps_std_m=3.0,
    speed_std_ms=0.4,
    accel_std_ms2=0.3,
    heading_std_deg=4.0,
    gps_correlation_s=1.0,
    speed_correlation_s=0.5,
    accel_correlation_s=0.0,
    heading_correlation_s=2.0,
)
PARAMETERS = RadioParameters(latency=FIXED_LATENCY, packet_loss=NO_LOSS, sensor_noise=NOISE)
EXPECTED_STD = np.array([3.0, 3.0, 0.4, 0.3, math.radians(4.0)])
# exp(-0.1 / tau): tau 1, 1, 0.5, 0 (white) and 2 s
EXPECTED_CORRELATION = np.array([0.90484, 0.90484, 0.81873, 0.0, 0.95123])


def readings_over_time(num_steps):
    """The ego's and one peer's readings every 0.1 s, cars at rest in the map at 20 m/s."""
    emulator = RadioEmulator(PARAMETERS)
    cars = cars_in_line(2)
    emulator.reset(radio_key=31, cars=cars, time_s=0.0)
    emulator.advance(0.5, cars)
    own, heard = np.zeros((2, num_steps, NUM_SENSED_FIELDS))
    for step in range(num_steps):
        emulator.advance(0.6 + 0.1 * step, cars)
        own[step] = emulator.ego_sensed
        heard[step] = emulator.heard[1, :NUM_SENSED_FIELDS]
    return own, heard


@pytest.fixture(scope="module")
def readings():
    return readings_over_time(200_000)


def lag_one_correlations(series):
    return np.array(
        [np.corrcoef(series[:-1, column], series[1:, column])[0, 1] for column in range(5)]
    )


@pytest.mark.parametrize("car", [0, 1])
def test_errors_have_the_standard_deviation_of_the_file(readings, car):
    np.testing.assert_allclose(readings[car].std(axis=0), EXPECTED_STD, rtol=0.04)


@pytest.mark.parametrize("car", [0, 1])
def test_errors_are_correlated_over_one_frame_as_exp_of_minus_dt_over_tau(readings, car):
    # The peer's frames are 0.1 s apart up to 2 ms of jitter.
    np.testing.assert_allclose(lag_one_correlations(readings[car]), EXPECTED_CORRELATION, atol=0.01)


def test_errors_are_centred_on_the_truth(readings):
    truth = np.array([0.0, 0.0, 20.0, 0.0, 0.0])
    num_independent = 200_000 * 0.1 / (2.0 * 2.0)  # the slowest error has tau 2 s
    np.testing.assert_array_less(
        np.abs(readings[0].mean(axis=0) - truth), 4.0 * EXPECTED_STD / math.sqrt(num_independent)
    )


def test_errors_of_different_cars_and_quantities_are_independent(readings):
    both = np.concatenate(readings, axis=1)

    correlations = np.corrcoef(both.T) - np.eye(2 * NUM_SENSED_FIELDS)

    assert np.abs(correlations).max() < 0.06  # 4 standard errors at 5,000 independent samples


def test_errors_are_stationary_from_the_first_reading():
    emulator = RadioEmulator(PARAMETERS)
    cars = cars_in_line(1)
    first = np.zeros((10_000, NUM_SENSED_FIELDS))

    for radio_key in range(10_000):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        first[radio_key] = emulator.ego_sensed

    np.testing.assert_allclose(first.std(axis=0), EXPECTED_STD, rtol=0.03)


def test_a_heading_error_at_the_turn_of_the_circle_stays_within_half_a_turn():
    emulator = RadioEmulator(PARAMETERS)
    cars = cars_in_line(1)
    cars[0, CAR_HEADING] = math.pi
    headings_rad = []

    for radio_key in range(200):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        headings_rad.append(emulator.ego_sensed[SENSED_HEADING])

    assert -math.pi <= min(headings_rad) < max(headings_rad) < math.pi
    assert np.abs(np.cos(headings_rad)).min() > math.cos(math.radians(5 * 4.0))


def test_a_car_at_rest_never_reads_a_negative_speed():
    emulator = RadioEmulator(PARAMETERS)
    cars = cars_in_line(1, speed_mps=0.0)
    speeds_mps = []

    for radio_key in range(200):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        speeds_mps.append(emulator.ego_sensed[SENSED_SPEED])

    assert min(speeds_mps) == 0.0
    assert 0.3 < np.mean(np.array(speeds_mps) == 0.0) < 0.7


def test_without_noise_the_ego_reads_the_truth():
    quiet = SensorNoiseParameters(0.0, 0.0, 0.0, 0.0)
    emulator = RadioEmulator(RadioParameters(sensor_noise=quiet))
    cars = cars_in_line(3)
    cars[0] = [7.0, -2.0, 13.0, -1.5, 0.25, 0.0, 0.0, 0.0]

    emulator.reset(radio_key=0, cars=cars, time_s=0.0)

    assert emulator.ego_sensed[[SENSED_X, SENSED_Y]].tolist() == [7.0, -2.0]
    assert emulator.ego_sensed[SENSED_SPEED] == 13.0
    assert emulator.ego_sensed[SENSED_ACCELERATION] == -1.5
    assert emulator.ego_sensed[SENSED_HEADING] == pytest.approx(0.25, abs=1e-15)
