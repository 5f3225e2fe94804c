"""What a board reads: fixes at their rate, late and held; bias and sign; the steps of a frame.

The cars of these tests tell the time: x is the instant at which it was measured. The expected
correlation of the slow error is exp(-dt / tau), its white part is new in every fix.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.parameter_sections import (
    GpsParameters,
    ImuParameters,
    SensorNoiseParameters,
    WireParameters,
)
from ml.espnow_emulator.radio_layout import (
    SENDER_GPS_LAG,
    VALUE_QUANTUM,
)
from ml.espnow_emulator.sensor_kernels import quantise
from ml.tests.physical_worlds import cars_that_tell_the_time, physical_mode
from ml.tests.radio_worlds import FIXED_LATENCY, NO_LOSS, NO_NOISE, cars_in_line, kernel_values
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_SLOPE,
    CAR_SPEED,
    HEARD_STATE_AGE,
    HEARD_TIME_SINCE_RECEPTION,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
)

PERFECT = RadioParameters(latency=FIXED_LATENCY, packet_loss=NO_LOSS, sensor_noise=NO_NOISE)


def with_fixes(rate_hz, lag_range_ms=(0.0, 0.0), white_std_m=0.0, **changes):
    return dataclasses.replace(
        PERFECT, gps=GpsParameters(rate_hz, lag_range_ms, white_std_m), **changes
    )


def readings_of(parameters, num_steps, step_s=0.1, num_cars=5, radio_key=11):
    """Ego's x, peers' x, declared age, true age and time since reception, after every step."""
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=radio_key, cars=cars_that_tell_the_time(3.0, num_cars), time_s=3.0)
    rows = []
    for step in range(1, num_steps + 1):
        now_s = 3.0 + step_s * step
        emulator.advance(now_s, cars_that_tell_the_time(now_s, num_cars))
        heard = emulator.heard[1:]
        rows.append(
            (
                np.full(num_cars - 1, now_s),
                np.full(num_cars - 1, emulator.ego_sensed[SENSED_X]),
                heard[:, SENSED_X].copy(),
                heard[:, HEARD_STATE_AGE].copy(),
                emulator.true_age_s[1:].copy(),
                heard[:, HEARD_TIME_SINCE_RECEPTION].copy(),
            )
        )
    return np.array(rows).transpose(1, 0, 2)


# --- Rate and hold -----------------------------------------------------------------------------
@pytest.mark.parametrize("rate_hz", [1.0, 2.0, 5.0, 10.0])
def test_peers_send_so_many_new_positions_a_second_and_hold_them_between(rate_hz):
    _, _, heard_x, _, _, _ = readings_of(with_fixes(rate_hz), num_steps=400)

    # Frames come at 10 Hz for 39 s after the first second; x is new once in each fix's period.
    num_new = [np.unique(heard_x[10:, peer]).size for peer in range(4)]
    assert num_new == pytest.approx([39.0 * rate_hz] * 4, abs=2.0 + 0.01 * 39.0 * rate_hz)


@pytest.mark.parametrize("rate_hz", [1.0, 5.0])
def test_a_fix_is_sent_as_old_as_its_hold_says(rate_hz):
    _, _, _, state_age_s, _, _ = readings_of(with_fixes(rate_hz), num_steps=2000)

    assert state_age_s.min() >= 0.0
    assert state_age_s.max() < 1.0 / rate_hz
    # Frames 0.1 s apart have ages 0.1 s apart, up to 2 ms of jitter and 200 s * 40 ppm of drift.
    spread_s = 1.0 / rate_hz - 0.1
    assert np.ptp(state_age_s[50:], axis=0) == pytest.approx([spread_s] * 4, abs=0.012)


def test_without_a_rate_every_frame_has_a_fresh_reading():
    _, ego_x, heard_x, state_age_s, true_age_s, since_s = readings_of(PERFECT, num_steps=100)

    assert state_age_s.max() == 0.0
    assert np.all(np.diff(heard_x[2:], axis=0) > 0.0)
    np.testing.assert_allclose((true_age_s - since_s)[2:], 4e-3, atol=1e-9)
    np.testing.assert_allclose(ego_x[:, 0], 3.0 + 0.1 * np.arange(1, 101), atol=1e-9)


def test_fixes_of_different_boards_have_phases_of_their_own():
    _, _, _, state_age_s, _, since_s = readings_of(with_fixes(1.0), num_steps=50, num_cars=60)

    # A fix's instant within the second, of each board: even over it
    fixed_s = (3.0 + 0.1 * 50 - since_s[-1] - state_age_s[-1] - 4e-3) % 1.0
    assert stats.kstest(fixed_s, "uniform").pvalue > 0.001


# --- Lag ---------------------------------------------------------------------------------------
def test_a_position_is_as_old_as_lag_hold_and_latency_together():
    parameters = with_fixes(5.0, (200.0, 200.0))

    now_s, _, heard_x, state_age_s, true_age_s, since_s = readings_of(parameters, num_steps=300)

    # x is the time of measurement; the board declares the hold, and cannot know the lag.
    is_heard = since_s < 1.0
    hidden_s = true_age_s - since_s - state_age_s - 4e-3
    np.testing.assert_allclose(hidden_s[is_heard], 0.2, atol=1e-9)
    np.testing.assert_allclose((now_s - heard_x)[is_heard], true_age_s[is_heard], atol=1e-9)


def test_the_first_frames_carry_fixes_from_before_the_start():
    parameters = with_fixes(1.0, (300.0, 300.0))

    now_s, _, heard_x, _, true_age_s, since_s = readings_of(parameters, num_steps=3)

    is_heard = since_s < 1.0
    assert is_heard[1:].all()
    assert heard_x[is_heard].min() < 3.0
    np.testing.assert_allclose((now_s - heard_x)[is_heard], true_age_s[is_heard], atol=1e-9)


def test_each_board_has_a_lag_of_its_own_even_over_the_range():
    emulator = RadioEmulator(with_fixes(10.0, (100.0, 300.0)))
    lags_ms = []
    for radio_key in range(300):
        emulator.reset(radio_key=radio_key, cars=cars_in_line(9), time_s=0.0)
        lags_ms.append(1000.0 * emulator._arrays.senders[:, SENDER_GPS_LAG])

    lags_ms = np.array(lags_ms)
    correlations = np.corrcoef(lags_ms.T) - np.eye(9)
    assert stats.kstest(lags_ms.ravel(), stats.uniform(100.0, 200.0).cdf).pvalue > 0.001
    assert np.abs(correlations).max() < 4.0 / math.sqrt(300.0)


def test_a_boards_lag_stays_all_through_an_episode():
    parameters = with_fixes(10.0, (100.0, 300.0))

    _, _, _, state_age_s, true_age_s, since_s = readings_of(parameters, num_steps=300)

    lag_s = (true_age_s - since_s - state_age_s - 4e-3)[5:]
    np.testing.assert_allclose(np.ptp(lag_s, axis=0), 0.0, atol=1e-9)
    assert np.unique(lag_s[0].round(6)).size == 4
    assert np.all((lag_s >= 0.1 - 1e-9) & (lag_s <= 0.3 + 1e-9))


@pytest.mark.parametrize("rate_hz", [1.0, 10.0])
def test_the_ego_moves_its_own_fix_on_by_the_hold_and_not_by_the_lag(rate_hz):
    parameters = with_fixes(rate_hz, (200.0, 200.0))

    now_s, ego_x, _, _, _, _ = readings_of(parameters, num_steps=200)

    # At 1 m/s along x: fix + hold = now - lag.
    np.testing.assert_allclose(now_s[:, 0] - ego_x[:, 0], 0.2, atol=1e-9)


def test_speed_and_heading_are_held_and_the_acceleration_is_fresh():
    emulator = RadioEmulator(with_fixes(1.0))
    before, after = cars_in_line(3), cars_in_line(3)
    after[:, CAR_SPEED], after[:, CAR_HEADING], after[:, CAR_ACCELERATION] = 12.0, 0.3, -8.0
    emulator.reset(radio_key=2, cars=before, time_s=0.0)
    emulator.advance(5.0, before)
    emulator.advance(5.0, after)  # at once

    emulator.advance(5.11, after)

    held = [SENSED_SPEED, SENSED_HEADING]
    assert emulator.heard[1:, held].tolist() == [[20.0, 0.0]] * 2
    assert emulator.ego_sensed[held].tolist() == [20.0, 0.0]
    assert emulator.heard[1:, SENSED_ACCELERATION].tolist() == [-8.0, -8.0]
    assert emulator.ego_sensed[SENSED_ACCELERATION] == -8.0


# --- Errors of a fix ---------------------------------------------------------------------------
def positions_at_rest(parameters, num_seconds, num_cars=4):
    """x and y of the ego and the peers once a second, cars at rest, (seconds, num_cars, 2)."""
    emulator = RadioEmulator(parameters)
    cars = cars_in_line(num_cars, spacing_m=0.0, speed_mps=0.0)
    emulator.reset(radio_key=8, cars=cars, time_s=0.0)
    emulator.advance(5.0, cars)
    positions = np.zeros((num_seconds, num_cars, 2))
    for second in range(num_seconds):
        emulator.advance(6.0 + second, cars)
        positions[second, 0] = emulator.ego_sensed[[SENSED_X, SENSED_Y]]
        positions[second, 1:] = emulator.heard[1:, [SENSED_X, SENSED_Y]]
    return positions


def correlations_of(positions, lag):
    """Correlation of each car's x with its own, so many fixes later."""
    num_cars = positions.shape[1]
    return [
        np.corrcoef(positions[:-lag, car, 0], positions[lag:, car, 0])[0, 1]
        for car in range(num_cars)
    ]


def test_the_white_error_is_new_in_every_fix_for_ego_and_peers():
    positions = positions_at_rest(with_fixes(1.0, white_std_m=0.3), num_seconds=20_000)

    assert positions.std(axis=0).ravel() == pytest.approx([0.3] * 8, rel=0.03)
    assert correlations_of(positions, lag=1) == pytest.approx([0.0] * 4, abs=0.03)
    flat = positions.reshape(-1, 8)
    assert np.abs(np.corrcoef(flat.T) - np.eye(8)).max() < 0.03  # 4 standard errors: .028


def test_the_slow_error_of_fixes_is_correlated_as_exp_of_minus_dt_over_tau():
    noise = SensorNoiseParameters(3.0, 0.0, 0.0, 0.0, gps_correlation_s=2.0)

    positions = positions_at_rest(with_fixes(1.0, sensor_noise=noise), num_seconds=50_000)

    # 50,000 fixes with tau 2 s are some 12,000 independent ones. exp(-.5), exp(-1), exp(-2)
    assert positions.std(axis=0).ravel() == pytest.approx([3.0] * 8, rel=0.03)
    assert correlations_of(positions, lag=1) == pytest.approx([0.6065] * 4, abs=0.03)
    assert correlations_of(positions, lag=2) == pytest.approx([0.3679] * 4, abs=0.04)
    assert correlations_of(positions, lag=4) == pytest.approx([0.1353] * 4, abs=0.05)


def test_slow_and_white_errors_add_up():
    noise = SensorNoiseParameters(0.4, 0.0, 0.0, 0.0, gps_correlation_s=2.0)

    positions = positions_at_rest(
        with_fixes(1.0, white_std_m=0.3, sensor_noise=noise), num_seconds=50_000
    )

    # .16 + .09 = .5^2; the slow part is .16 / .25 of the variance: .64 exp(-.5) = .388
    assert positions.std(axis=0).ravel() == pytest.approx([0.5] * 8, rel=0.03)
    assert correlations_of(positions, lag=1) == pytest.approx([0.388] * 4, abs=0.03)


@pytest.mark.parametrize("rate_hz", [5.0, 10.0])
def test_a_faster_receiver_errs_as_slowly(rate_hz):
    noise = SensorNoiseParameters(3.0, 0.0, 0.0, 0.0, gps_correlation_s=2.0)

    positions = positions_at_rest(with_fixes(rate_hz, sensor_noise=noise), num_seconds=20_000)

    # From second to second, up to a fix's period: exp(-.5)
    assert correlations_of(positions, lag=1) == pytest.approx([0.6065] * 4, abs=0.04)


def test_errors_of_fixes_are_stationary_from_the_first_one():
    noise = SensorNoiseParameters(3.0, 0.4, 0.0, 4.0)
    emulator = RadioEmulator(with_fixes(1.0, white_std_m=1.0, sensor_noise=noise))
    cars = cars_in_line(2)
    first = np.zeros((8000, 3))

    for radio_key in range(8000):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        first[radio_key] = emulator.ego_sensed[[SENSED_Y, SENSED_SPEED, SENSED_HEADING]]

    # sqrt(9 + 1), to which the heading's error adds at most 20 m of hold * .07 = 1.4 m: sqrt(10.7)
    assert first[:, 0].std() == pytest.approx(math.sqrt(10.0 + 0.65), rel=0.05)
    assert first[:, 1].std() == pytest.approx(0.4, rel=0.04)
    assert first[:, 2].std() == pytest.approx(math.radians(4.0), rel=0.04)


# --- Accelerometer -----------------------------------------------------------------------------
def accelerations_over_keys(imu, *, true_mps2=0.0, slope_rad=0.0, num_keys=1500):
    """What ego and three peers read of one acceleration, (num_keys, 4)."""
    emulator = RadioEmulator(dataclasses.replace(PERFECT, imu=imu))
    cars = cars_in_line(4)
    cars[:, CAR_ACCELERATION], cars[:, CAR_SLOPE] = true_mps2, slope_rad
    readings = np.zeros((num_keys, 4))
    for radio_key in range(num_keys):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(0.15, cars)
        readings[radio_key, 0] = emulator.ego_sensed[SENSED_ACCELERATION]
        readings[radio_key, 1:] = emulator.heard[1:, SENSED_ACCELERATION]
    return readings


def test_each_board_has_a_bias_of_its_own_even_over_the_range():
    readings = accelerations_over_keys(ImuParameters((-2.5, 2.5)), true_mps2=-3.0)

    correlations = np.corrcoef(readings.T) - np.eye(4)
    for car in range(4):
        assert stats.kstest(readings[:, car], stats.uniform(-5.5, 5.0).cdf).pvalue > 0.001
    assert np.abs(correlations).max() < 4.0 / math.sqrt(1500.0)


def test_a_board_mounted_backwards_turns_the_sign_of_what_it_feels():
    imu = ImuParameters((0.5, 0.5), backwards_probability=0.2)

    readings = accelerations_over_keys(imu, true_mps2=-3.0, slope_rad=math.asin(0.1))

    # forwards -3 + .981 + .5 = -1.519, backwards 3 - .981 + .5 = 2.519
    is_backwards = np.abs(readings - 2.519) < 1e-9
    assert np.all(is_backwards | (np.abs(readings + 1.519) < 1e-9))
    for car in range(4):
        interval = stats.binomtest(int(is_backwards[:, car].sum()), 1500).proportion_ci(
            0.999, "exact"
        )
        assert interval.low <= 0.2 <= interval.high


@pytest.mark.parametrize("rate_hz", [0.0, 5.0])
def test_bias_and_sign_stay_all_through_an_episode(rate_hz):
    imu = ImuParameters((-2.5, 2.5), backwards_probability=0.5)
    emulator = RadioEmulator(with_fixes(rate_hz, imu=imu))
    readings = []
    emulator.reset(radio_key=4, cars=cars_in_line(6), time_s=0.0)
    for step in range(1, 101):
        emulator.advance(0.2 * step, cars_in_line(6))
        peers = emulator.heard[1:, SENSED_ACCELERATION].tolist()
        readings.append([emulator.ego_sensed[SENSED_ACCELERATION], *peers])

    np.testing.assert_allclose(np.ptp(readings, axis=0), 0.0, atol=1e-12)
    assert np.unique(np.round(readings[0], 9)).size == 6


def test_with_fixes_the_accelerometers_error_has_its_deviation_and_correlation():
    noise = SensorNoiseParameters(0.0, 0.0, 0.4, 0.0, accel_correlation_s=0.5)
    emulator = RadioEmulator(with_fixes(1.0, sensor_noise=noise))
    cars = cars_in_line(2)
    emulator.reset(radio_key=9, cars=cars, time_s=0.0)
    emulator.advance(0.2, cars)
    own, heard = np.zeros((2, 50_000))
    for step in range(50_000):
        emulator.advance(0.3 + 0.1 * step, cars)
        own[step] = emulator.ego_sensed[SENSED_ACCELERATION]
        heard[step] = emulator.heard[1, SENSED_ACCELERATION]

    # exp(-.1 / .5) = .8187; some 5,000 independent values
    assert [own.std(), heard.std()] == pytest.approx([0.4, 0.4], rel=0.04)
    assert np.corrcoef(own[:-1], own[1:])[0, 1] == pytest.approx(0.8187, abs=0.02)
    assert np.corrcoef(heard[:-1], heard[1:])[0, 1] == pytest.approx(0.8187, abs=0.03)


# --- The steps of a frame ----------------------------------------------------------------------
STEPS = WireParameters(
    position_quantum_m=0.5, speed_quantum_ms=0.25, accel_quantum_ms2=0.125, heading_quantum_deg=10.0
)


@pytest.mark.parametrize("rate_hz", [0.0, 10.0])
def test_readings_are_whole_steps_for_ego_and_peers_and_off_by_half_a_step_at_most(rate_hz):
    emulator = RadioEmulator(with_fixes(rate_hz, wire=STEPS))
    cars = cars_in_line(40, spacing_m=1.37, speed_mps=0.0)
    cars[:, CAR_ACCELERATION] = np.linspace(-8.0, 2.0, 40)
    cars[:, CAR_HEADING] = np.linspace(-2.9, 2.9, 40)
    cars[0, :5] = [1.37, -0.2, 0.0, -3.3, 0.21]
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)
    emulator.advance(1.0, cars)

    readings = emulator.heard[:, :5].copy()
    readings[0] = emulator.ego_sensed
    steps = np.array([0.5, 0.5, 0.25, 0.125, math.radians(10.0)])
    errors = readings - cars[:, :5]
    np.testing.assert_allclose(readings / steps, np.round(readings / steps), atol=1e-9)
    assert np.all(np.abs(errors) <= 0.5 * steps + 1e-9)
    assert np.abs(errors).max(axis=0)[[0, 3, 4]].min() > 0.03


@pytest.mark.parametrize(
    ("reading", "rounded"),
    [(0.26, 0.5), (0.24, 0.0), (-0.26, -0.5), (-0.24, 0.0), (7.0, 7.0), (0.25, 0.5)],
)
def test_a_reading_is_rounded_to_the_nearest_step(reading, rounded):
    values = kernel_values(dataclasses.replace(PERFECT, wire=STEPS))
    sensed = np.array([reading, 0.0, 0.0, 0.0, 0.0])

    quantise(values, sensed)

    assert sensed[0] == rounded


def test_a_heading_that_rounds_to_half_a_turn_is_the_lower_end():
    values = kernel_values(dataclasses.replace(PERFECT, wire=STEPS))
    sensed = np.array([0.0, 0.0, 0.0, 0.0, math.radians(178.0)])

    quantise(values, sensed)

    assert sensed[SENSED_HEADING] == pytest.approx(-math.pi)


def test_without_steps_a_reading_is_not_rounded():
    values = kernel_values(PERFECT)
    sensed = np.array([1 / 3, 1 / 7, 0.1, -0.7, 0.33])

    quantise(values, sensed)

    assert values[VALUE_QUANTUM : VALUE_QUANTUM + 5].tolist() == [0.0] * 5
    assert sensed.tolist() == [1 / 3, 1 / 7, 0.1, -0.7, 0.33]


# --- The physical mode has the same sensors ----------------------------------------------------
def test_the_physical_mode_reads_the_same_sensors():
    parameters = dataclasses.replace(
        physical_mode(), gps=GpsParameters(5.0, (200.0, 200.0)), imu=ImuParameters((1.0, 1.0))
    )

    now_s, ego_x, heard_x, state_age_s, true_age_s, since_s = readings_of(parameters, 200)

    is_heard = since_s < 1.0
    hidden_s = (true_age_s - since_s - state_age_s)[is_heard]
    # lag, and at least 1.256 ms on the air; others may be on it first
    assert hidden_s.min() == pytest.approx(0.2 + 1.256e-3, abs=1e-9)
    assert hidden_s.max() < 0.2 + 10e-3
    np.testing.assert_allclose((now_s - heard_x)[is_heard], true_age_s[is_heard], atol=1e-9)
    np.testing.assert_allclose(now_s[:, 0] - ego_x[:, 0], 0.2, atol=1e-9)
