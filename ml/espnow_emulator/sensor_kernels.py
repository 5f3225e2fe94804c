"""What a board's sensors read: the truth between two instants, and their errors."""

from __future__ import annotations

import math

import numpy as np

from ml.espnow_emulator.fault_kernels import spoil_position
from ml.espnow_emulator.radio_layout import (
    FIX_AVAILABLE_AT,
    FIX_MEASURED_AT,
    FIXES_KEPT,
    SENDER_FIRST_FIX,
    SENDER_FIXED_AT,
    SENDER_GPS_LAG,
    SENDER_IMU_BIAS,
    SENDER_IMU_IS_BACKWARDS,
    SENDER_NOISE,
    SENDER_NUM_FIXES,
    SENDER_NUM_SAMPLES,
    SENDER_SAMPLED_AT,
    STREAM_BOARD,
    STREAM_FIX,
    STREAM_SENSOR,
    VALUE_GPS_LAG,
    VALUE_GPS_PERIOD,
    VALUE_GPS_WHITE_STD,
    VALUE_IMU_BACKWARDS,
    VALUE_IMU_BIAS,
    VALUE_NOISE_CORRELATION,
    VALUE_NOISE_STD,
    VALUE_QUANTUM,
    RadioArrays,
)
from ml.espnow_emulator.random_kernels import normal_pair_at, stream_start, uniform_at
from ml.kernels import inlined_kernel, kernel
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_SLOPE,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    NUM_SENSED_FIELDS,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
    FloatArray,
)
from ml.units import GRAVITY_MPS2


@kernel
def interpolate_car(
    previous: FloatArray, current: FloatArray, fraction: float, truth: FloatArray
) -> None:
    """Write what a car's sensors would read without error between two instants (SENSED_* columns).

    Every quantity is linear in time; the heading turns through the shorter arc. An accelerometer
    measures specific force, so on a slope it reads acceleration + g sin(slope), uphill positive.
    """
    truth[SENSED_X] = previous[CAR_X] + fraction * (current[CAR_X] - previous[CAR_X])
    truth[SENSED_Y] = previous[CAR_Y] + fraction * (current[CAR_Y] - previous[CAR_Y])
    truth[SENSED_SPEED] = previous[CAR_SPEED] + fraction * (
        current[CAR_SPEED] - previous[CAR_SPEED]
    )
    truth[SENSED_ACCELERATION] = previous[CAR_ACCELERATION] + fraction * (
        current[CAR_ACCELERATION] - previous[CAR_ACCELERATION]
    )
    slope_rad = previous[CAR_SLOPE] + fraction * (current[CAR_SLOPE] - previous[CAR_SLOPE])
    if slope_rad != 0.0:
        truth[SENSED_ACCELERATION] += GRAVITY_MPS2 * math.sin(slope_rad)
    turn_rad = wrapped_angle_rad(current[CAR_HEADING] - previous[CAR_HEADING])
    truth[SENSED_HEADING] = previous[CAR_HEADING] + fraction * turn_rad


@kernel
def wrapped_angle_rad(angle_rad: float) -> float:
    """Return the same angle in [-pi, pi)."""
    return angle_rad - 2.0 * math.pi * math.floor((angle_rad + math.pi) / (2.0 * math.pi))


@kernel
def spoil_acceleration(board: FloatArray, sensed: FloatArray) -> None:
    """Apply what is wrong with a board's accelerometer all through an episode."""
    if board[SENDER_IMU_IS_BACKWARDS] > 0.0:
        sensed[SENSED_ACCELERATION] = -sensed[SENSED_ACCELERATION]
    sensed[SENSED_ACCELERATION] += board[SENDER_IMU_BIAS]


@kernel
def sample_sensors(
    radio_key: np.uint64,
    values: FloatArray,
    board: FloatArray,
    car: int,
    time_s: float,
    sensed: FloatArray,
) -> None:
    """Turn the true state in ``sensed`` into what the car's sensors read at ``time_s``.

    Each error is a stationary Ornstein-Uhlenbeck process read at the sampling instants:
    noise' = rho noise + sqrt(1 - rho^2) N(0, 1), rho = exp(-dt / correlation time).
    The speed reading is never negative; the heading is in [-pi, pi).
    """
    spoil_acceleration(board, sensed)
    start = stream_start(radio_key, STREAM_SENSOR, car, 0)
    num_samples = int(board[SENDER_NUM_SAMPLES])
    elapsed_s = time_s - board[SENDER_SAMPLED_AT]
    spare = 0.0
    for quantity in range(NUM_SENSED_FIELDS):
        if quantity % 2 == 0:
            normal, spare = normal_pair_at(start, 3 * num_samples + quantity // 2)
        else:
            normal = spare
        correlation_s = values[VALUE_NOISE_CORRELATION + quantity]
        memory = 0.0
        if num_samples > 0 and correlation_s > 0.0:
            memory = math.exp(-elapsed_s / correlation_s)
        noise = memory * board[SENDER_NOISE + quantity] + math.sqrt(1.0 - memory * memory) * normal
        board[SENDER_NOISE + quantity] = noise
        sensed[quantity] += values[VALUE_NOISE_STD + quantity] * noise
    sensed[SENSED_SPEED] = max(0.0, sensed[SENSED_SPEED])
    sensed[SENSED_HEADING] = wrapped_angle_rad(sensed[SENSED_HEADING])
    board[SENDER_NUM_SAMPLES] = num_samples + 1
    board[SENDER_SAMPLED_AT] = time_s


@inlined_kernel
def start_sensors(radio: RadioArrays, car: int, time_s: float) -> None:
    """Draw a board's lag, bias, mounting and phase; give it the fixes that it has at reset.

    Fixes from before reset take the car to have driven at its present speed and heading.
    """
    values, board = radio.values, radio.senders[car]
    start = stream_start(radio.radio_key[0], STREAM_BOARD, car, 0)
    lag_range_s = values[VALUE_GPS_LAG + 1] - values[VALUE_GPS_LAG]
    bias_range = values[VALUE_IMU_BIAS + 1] - values[VALUE_IMU_BIAS]
    board[SENDER_GPS_LAG] = values[VALUE_GPS_LAG] + lag_range_s * uniform_at(start, 5)
    board[SENDER_IMU_BIAS] = values[VALUE_IMU_BIAS] + bias_range * uniform_at(start, 6)
    is_backwards = uniform_at(start, 7) < values[VALUE_IMU_BACKWARDS]
    board[SENDER_IMU_IS_BACKWARDS] = 1.0 if is_backwards else 0.0
    period_s = values[VALUE_GPS_PERIOD]
    if period_s == 0.0:
        return
    board[SENDER_FIRST_FIX] = time_s + period_s * uniform_at(start, 8)
    num_before = math.ceil(board[SENDER_GPS_LAG] / period_s) + 1
    for before in range(num_before, 0, -1):
        measured_s = board[SENDER_FIRST_FIX] - before * period_s
        fix = radio.fixes[car, int(board[SENDER_NUM_FIXES]) % FIXES_KEPT]
        interpolate_car(radio.cars[car], radio.cars[car], 0.0, fix)
        driven_m = fix[SENSED_SPEED] * (time_s - measured_s)
        fix[SENSED_X] -= driven_m * math.cos(fix[SENSED_HEADING])
        fix[SENSED_Y] -= driven_m * math.sin(fix[SENSED_HEADING])
        add_fix_errors(radio, car, measured_s, fix)


@inlined_kernel
def take_fix(radio: RadioArrays, car: int, time_s: float, fraction: float) -> None:
    """Measure a car's position, speed and heading; the board has them after its lag."""
    fix = radio.fixes[car, int(radio.senders[car, SENDER_NUM_FIXES]) % FIXES_KEPT]
    interpolate_car(radio.previous_cars[car], radio.cars[car], fraction, fix)
    add_fix_errors(radio, car, time_s, fix)


@inlined_kernel
def add_fix_errors(radio: RadioArrays, car: int, time_s: float, fix: FloatArray) -> None:
    """Add the errors of a fix measured at ``time_s`` to the truth in ``fix``; note its times."""
    values, board = radio.values, radio.senders[car]
    start = stream_start(radio.radio_key[0], STREAM_FIX, car, 0)
    num_fixes = int(board[SENDER_NUM_FIXES])
    elapsed_s = time_s - board[SENDER_FIXED_AT]
    spare = 0.0
    for item in range(4):
        quantity = item if item < 3 else SENSED_HEADING
        if item % 2 == 0:
            normal, spare = normal_pair_at(start, 3 * num_fixes + item // 2)
        else:
            normal = spare
        correlation_s = values[VALUE_NOISE_CORRELATION + quantity]
        memory = 0.0
        if num_fixes > 0 and correlation_s > 0.0:
            memory = math.exp(-elapsed_s / correlation_s)
        noise = memory * board[SENDER_NOISE + quantity] + math.sqrt(1.0 - memory * memory) * normal
        board[SENDER_NOISE + quantity] = noise
        fix[quantity] += values[VALUE_NOISE_STD + quantity] * noise
    white_x, white_y = normal_pair_at(start, 3 * num_fixes + 2)
    fix[SENSED_X] += values[VALUE_GPS_WHITE_STD] * white_x
    fix[SENSED_Y] += values[VALUE_GPS_WHITE_STD] * white_y
    fix[SENSED_SPEED] = max(0.0, fix[SENSED_SPEED])
    fix[SENSED_HEADING] = wrapped_angle_rad(fix[SENSED_HEADING])
    fix[FIX_MEASURED_AT] = time_s
    fix[FIX_AVAILABLE_AT] = time_s + board[SENDER_GPS_LAG]
    board[SENDER_FIXED_AT] = time_s
    board[SENDER_NUM_FIXES] = num_fixes + 1


@inlined_kernel
def newest_fix(radio: RadioArrays, car: int, time_s: float) -> int:
    """Return the row of the newest fix that a board has at an instant, else of its oldest one."""
    number = int(radio.senders[car, SENDER_NUM_FIXES]) - 1
    oldest = max(0, number - FIXES_KEPT + 1)
    while number > oldest and radio.fixes[car, number % FIXES_KEPT, FIX_AVAILABLE_AT] > time_s:
        number -= 1
    return number % FIXES_KEPT


@inlined_kernel
def read_sensors(
    radio: RadioArrays, car: int, time_s: float, fraction: float, sensed: FloatArray
) -> tuple[float, float]:
    """Write what a car's board reads at ``time_s`` into the SENSED_* columns.

    Without a fix rate every quantity is read now. With one, the newest fix is held, and only the
    acceleration is fresh. Returns the age of the state as the board knows it, from when it had the
    fix, and the instant at which the state was measured.
    """
    values, board = radio.values, radio.senders[car]
    interpolate_car(radio.previous_cars[car], radio.cars[car], fraction, sensed)
    if values[VALUE_GPS_PERIOD] == 0.0:
        sample_sensors(radio.radio_key[0], values, board, car, time_s, sensed)
        spoil_position(radio.faults, car, time_s, sensed)
        return 0.0, time_s
    sample_acceleration(radio, car, time_s, sensed)
    fix = radio.fixes[car, newest_fix(radio, car, time_s)]
    sensed[SENSED_X], sensed[SENSED_Y] = fix[SENSED_X], fix[SENSED_Y]
    sensed[SENSED_SPEED], sensed[SENSED_HEADING] = fix[SENSED_SPEED], fix[SENSED_HEADING]
    spoil_position(radio.faults, car, time_s, sensed)
    return max(0.0, time_s - fix[FIX_AVAILABLE_AT]), fix[FIX_MEASURED_AT]


@inlined_kernel
def sample_acceleration(radio: RadioArrays, car: int, time_s: float, sensed: FloatArray) -> None:
    """Turn the true acceleration in ``sensed`` into the accelerometer's reading."""
    values, board = radio.values, radio.senders[car]
    spoil_acceleration(board, sensed)
    num_samples = int(board[SENDER_NUM_SAMPLES])
    start = stream_start(radio.radio_key[0], STREAM_SENSOR, car, 0)
    normal, _ = normal_pair_at(start, num_samples)
    correlation_s = values[VALUE_NOISE_CORRELATION + SENSED_ACCELERATION]
    memory = 0.0
    if num_samples > 0 and correlation_s > 0.0:
        memory = math.exp(-(time_s - board[SENDER_SAMPLED_AT]) / correlation_s)
    item = SENDER_NOISE + SENSED_ACCELERATION
    board[item] = memory * board[item] + math.sqrt(1.0 - memory * memory) * normal
    sensed[SENSED_ACCELERATION] += values[VALUE_NOISE_STD + SENSED_ACCELERATION] * board[item]
    board[SENDER_NUM_SAMPLES] = num_samples + 1
    board[SENDER_SAMPLED_AT] = time_s


@kernel
def extrapolate_position(sensed: FloatArray, age_s: float) -> None:
    """Move the ego's own held fix on by the age that its board knows, at the held speed."""
    driven_m = sensed[SENSED_SPEED] * age_s
    sensed[SENSED_X] += driven_m * math.cos(sensed[SENSED_HEADING])
    sensed[SENSED_Y] += driven_m * math.sin(sensed[SENSED_HEADING])


@kernel
def quantise(values: FloatArray, sensed: FloatArray) -> None:
    """Round readings to the steps in which a frame carries them; the heading stays in [-pi, pi)."""
    for quantity in range(NUM_SENSED_FIELDS):
        quantum = values[VALUE_QUANTUM + quantity]
        if quantum > 0.0:
            sensed[quantity] = math.floor(sensed[quantity] / quantum + 0.5) * quantum
            if quantity == SENSED_HEADING:
                sensed[quantity] = wrapped_angle_rad(sensed[quantity])
