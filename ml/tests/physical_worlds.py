"""Small worlds for the tests of the physical mode: one effect at a time, places of cars."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numba import njit

from ml.espnow_emulator import RadioEmulator, RadioParameters
from ml.espnow_emulator.event_queue_kernels import event_code, push_event
from ml.espnow_emulator.parameter_sections import BurstLossParameters, RelayParameters
from ml.espnow_emulator.physical_sections import PhysicalParameters
from ml.espnow_emulator.propagation_kernels import decoding_probability, mean_margin_db
from ml.espnow_emulator.radio_layout import (
    BACKOFF_SLOTS,
    FIRST_BACKGROUND_NAME,
    KIND_TICK,
    STATION_PERIOD,
    STREAM_BACKOFF,
    VALUE_SHADOWING_STD,
)
from ml.espnow_emulator.random_kernels import stream_start, uniform_at
from ml.tests.radio_worlds import NO_NOISE
from ml.types import CAR_LENGTH, CAR_SPEED, CAR_X, CAR_Y, NUM_CAR_FIELDS, FloatArray

# Nothing is lost but to other frames, and the boards' software takes no time.
PERFECT = PhysicalParameters(
    margin_at_1m_db=120.0,
    floor_loss=0.0,
    shadowing_std_db=0.0,
    obstruction_db=0.0,
    stack_range_ms=(0.0, 0.0),
)


def physical_mode(
    *, mean_burst: float | None = None, max_relay_hops: int = 0, **changes
) -> RadioParameters:
    """The physical mode without noise, and with ``changes`` to the perfect link."""
    bursts = BurstLossParameters(enabled=False)
    if mean_burst is not None:
        bursts = BurstLossParameters(mean_burst_length=mean_burst)
    return RadioParameters(
        mode="physical",
        physical=dataclasses.replace(PERFECT, **changes),
        burst_loss=bursts,
        sensor_noise=NO_NOISE,
        relay=RelayParameters(max_relay_hops=max_relay_hops),
    )


def cars_at(*places_m: tuple[float, float], length_m: float = 4.5) -> FloatArray:
    """Cars at rest that head east, the middle of each at its place."""
    cars = np.zeros((len(places_m), NUM_CAR_FIELDS))
    cars[:, [CAR_X, CAR_Y]] = places_m
    cars[:, CAR_X] += 0.5 * length_m
    cars[:, CAR_LENGTH] = length_m
    return cars


def ring_of_cars(num_peers: int, radius_m: float) -> FloatArray:
    """The ego in the middle of a ring of peers: no car is in the way of another one's line."""
    angles_rad = 2.0 * math.pi * np.arange(num_peers) / num_peers
    places_m = radius_m * np.column_stack([np.cos(angles_rad), np.sin(angles_rad)])
    return cars_at((0.0, 0.0), *places_m.tolist())


def cars_that_tell_the_time(time_s: float, num_cars: int, spacing_m: float = 3.0) -> FloatArray:
    """Cars side by side whose x is the time, at 1 m/s."""
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_X] = time_s
    cars[:, CAR_Y] = spacing_m * np.arange(num_cars)
    cars[:, CAR_SPEED] = 1.0
    return cars


def mean_reception(values: FloatArray, distance_m: float, num_obstructing: int = 0) -> float:
    """What the kernels decode at a distance, averaged over shadowing by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    margin_db = mean_margin_db(values, distance_m, num_obstructing)
    decoded = [
        decoding_probability(values, margin_db + values[VALUE_SHADOWING_STD] * node, distance_m)
        for node in nodes.tolist()
    ]
    return float(np.dot(decoded, weights) / weights.sum())


@njit
def slots_drawn(radio_key: int, background_sender: int, num_on_air: int = 0) -> int:
    """The backoff that a background sender draws before a transmission."""
    name = FIRST_BACKGROUND_NAME + background_sender
    start = stream_start(np.uint64(radio_key), STREAM_BACKOFF, name, 0)
    return math.floor(BACKOFF_SLOTS * uniform_at(start, num_on_air))


def key_that_draws(*slots: int) -> int:
    """A key with which background senders 1, 2 ... first draw these slots."""
    senders = range(1, 1 + len(slots))
    keys = range(1_000_000)
    return next(key for key in keys if tuple(slots_drawn(key, one) for one in senders) == slots)


def stations_after(radio_key: int, offers_ms: list[tuple[int, float]], **changes) -> FloatArray:
    """The stations 90 ms after reset, when background senders hand over frames at these times.

    The ego is the only car and sends nothing. Row b of the result is background sender b.
    """
    num_background = 1 + max(sender for sender, _ in offers_ms)
    parameters = physical_mode(
        background_senders=num_background, **{"payload_bytes": 250, **changes}
    )
    emulator = RadioEmulator(parameters)
    cars = cars_at((0.0, 0.0))
    emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
    arrays = emulator._arrays
    arrays.queue_codes[0] = 0
    arrays.stations[:, STATION_PERIOD] = 1000.0
    for sender, offered_ms in offers_ms:
        code = event_code(KIND_TICK, 0, 1 + sender, 0)
        push_event(arrays.queue_times, arrays.queue_codes, 1e-3 * offered_ms, code)
    emulator.advance(0.09, cars)
    return arrays.stations[1 : 1 + num_background]
