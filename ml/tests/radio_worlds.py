"""Small worlds for the radio's tests: cars on a line, and parameters with one effect at a time."""

from __future__ import annotations

import dataclasses

import numpy as np

from ml.espnow_emulator.episode_values import fill_values, nominal_values
from ml.espnow_emulator.parameter_sections import (
    BurstLossParameters,
    DomainRandomizationParameters,
    LatencyParameters,
    PacketLossParameters,
    RelayParameters,
    SensorNoiseParameters,
)
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_layout import (
    NUM_VALUES,
)
from ml.types import CAR_SPEED, CAR_X, NUM_CAR_FIELDS, FloatArray

NO_NOISE = SensorNoiseParameters(
    gps_std_m=0.0, speed_std_ms=0.0, accel_std_ms2=0.0, heading_std_deg=0.0
)
FIXED_LATENCY = LatencyParameters(base_ms=4.0, distance_factor=0.0, jitter_std_ms=0.0)
NO_LOSS = PacketLossParameters(
    base_rate=0.0, rate_tier_1=0.0, rate_tier_2=0.0, rate_tier_3=0.0, max_range_m=1000.0
)
ANY_BURST = DomainRandomizationParameters(mean_burst_range=(1.0, 1000.0))


def cars_in_line(num_cars: int, spacing_m: float = 5.0, speed_mps: float = 20.0) -> FloatArray:
    """Cars one behind the other along x, the ego at 0."""
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_X] = spacing_m * np.arange(num_cars)
    cars[:, CAR_SPEED] = speed_mps
    return cars


def constant_loss(rate: float, mean_burst: float | None) -> RadioParameters:
    """One loss at every distance, no sensor noise, 4 ms; no mean burst = independent losses."""
    bursts = BurstLossParameters(enabled=False)
    if mean_burst is not None:
        bursts = BurstLossParameters(mean_burst_length=mean_burst)
    return RadioParameters(
        latency=FIXED_LATENCY,
        packet_loss=PacketLossParameters(
            base_rate=rate, rate_tier_1=rate, rate_tier_2=rate, rate_tier_3=rate
        ),
        burst_loss=bursts,
        sensor_noise=NO_NOISE,
        domain_randomization=ANY_BURST,
    )


def with_relays(
    parameters: RadioParameters, max_relay_hops: int, max_range_m: float = 1000.0
) -> RadioParameters:
    """The same radio with relays, and nothing heard beyond a distance."""
    return dataclasses.replace(
        parameters,
        packet_loss=dataclasses.replace(parameters.packet_loss, max_range_m=max_range_m),
        relay=RelayParameters(max_relay_hops=max_relay_hops),
    )


def kernel_values(parameters: RadioParameters) -> FloatArray:
    """The kernels' array of values for a parameter set."""
    values = np.zeros(NUM_VALUES)
    fill_values(parameters, nominal_values(parameters), values)
    return values
