"""What a board's sensors read: the truth between two instants, and their errors."""

from __future__ import annotations

import math

import numpy as np

from ml.espnow_emulator.radio_layout import (
    SENDER_NOISE,
    SENDER_NUM_SAMPLES,
    SENDER_SAMPLED_AT,
    STREAM_SENSOR,
    VALUE_NOISE_CORRELATION,
    VALUE_NOISE_STD,
)
from ml.espnow_emulator.random_kernels import normal_pair_at, stream_start
from ml.kernels import kernel
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
