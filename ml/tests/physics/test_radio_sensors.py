"""Sensor errors against the Ornstein-Uhlenbeck process: std sigma, correlation exp(-dt / tau)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.parameter_sections import SensorNoiseParameters
from ml.espnow_emulator.sensor_kernels import (
    interpolate_car,
)
from ml.tests.radio_worlds import FIXED_LATENCY, NO_LOSS, NO_NOISE, cars_in_line
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_SLOPE,
    NUM_CAR_FIELDS,
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
    cars[0] = [7.0, -2.0, 13.0, -1.5, 0.25, 0.0, 0.0, 0.0, 0.0]

    emulator.reset(radio_key=0, cars=cars, time_s=0.0)

    assert emulator.ego_sensed[[SENSED_X, SENSED_Y]].tolist() == [7.0, -2.0]
    assert emulator.ego_sensed[SENSED_SPEED] == 13.0
    assert emulator.ego_sensed[SENSED_ACCELERATION] == -1.5
    assert emulator.ego_sensed[SENSED_HEADING] == pytest.approx(0.25, abs=1e-15)


# --- Specific force: reading = acceleration + 9.81 sin(slope) ------------------------------------
def read_between(slopes_rad, accelerations_mps2, fraction):
    previous, current = np.zeros((2, NUM_CAR_FIELDS))
    previous[[CAR_SLOPE, CAR_ACCELERATION]] = slopes_rad[0], accelerations_mps2[0]
    current[[CAR_SLOPE, CAR_ACCELERATION]] = slopes_rad[1], accelerations_mps2[1]
    truth = np.zeros(NUM_SENSED_FIELDS)
    interpolate_car(previous, current, fraction, truth)
    return truth[SENSED_ACCELERATION]


@pytest.mark.parametrize(
    ("grade", "acceleration_mps2", "reading_mps2"),
    [
        (0.05, 0.0, 0.4899),  # 9.81 * .05 / sqrt(1 + .05^2) = .4905 / 1.00125
        (-0.05, 0.0, -0.4899),
        (0.05, -3.0, -2.5101),
        (0.10, 0.0, 0.9761),  # .981 / 1.00499
    ],
)
def test_an_accelerometer_on_a_slope_reads_the_weights_component_too(
    grade, acceleration_mps2, reading_mps2
):
    slope_rad = math.atan(grade)

    reading = read_between((slope_rad, slope_rad), (acceleration_mps2, acceleration_mps2), 0.3)

    assert reading == pytest.approx(reading_mps2, abs=5e-5)


def test_the_slope_is_linear_between_two_instants():
    # a quarter of the way from 0 to 0.08 rad: 9.81 sin(0.02) = 0.19619
    assert read_between((0.0, 0.08), (0.0, 0.0), 0.25) == pytest.approx(0.19619, abs=5e-6)


@pytest.mark.parametrize("acceleration_mps2", [0.0, -0.0, -3.1, 1e-300])
def test_on_a_flat_road_the_reading_is_the_acceleration_to_the_last_bit(acceleration_mps2):
    # As the fraction is 0 there is no rounding: previous + 0 * (current - previous).
    reading = read_between((0.0, 0.0), (acceleration_mps2, acceleration_mps2), 0.0)

    assert np.float64(reading).tobytes() == np.float64(acceleration_mps2 + 0.0).tobytes()


def test_both_the_egos_and_a_peers_reading_contain_the_slope():
    parameters = RadioParameters(latency=FIXED_LATENCY, packet_loss=NO_LOSS, sensor_noise=NO_NOISE)
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(2)
    cars[:, CAR_SLOPE] = math.atan(0.05)

    emulator.reset(radio_key=1, cars=cars, time_s=0.0)
    emulator.advance(0.2, cars)

    assert emulator.ego_sensed[SENSED_ACCELERATION] == pytest.approx(0.49, abs=5e-4)
    assert emulator.heard[1, SENSED_ACCELERATION] == pytest.approx(0.49, abs=5e-4)
