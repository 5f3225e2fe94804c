"""Directed links: loss by a two-state process, and latency."""

from __future__ import annotations

import numpy as np

from ml.espnow_emulator.radio_layout import (
    LONGEST_LATENCY_S,
    NUM_TIERS,
    STREAM_LATENCY,
    STREAM_LOSS,
    VALUE_LATENCY_BASE,
    VALUE_LATENCY_FLOOR,
    VALUE_LATENCY_JITTER,
    VALUE_LATENCY_PER_DISTANCE,
    VALUE_TIER_LIMIT,
    VALUE_TIER_LOSS,
    VALUE_TO_BAD,
    VALUE_TO_GOOD,
)
from ml.espnow_emulator.random_kernels import normal_pair_at, stream_start, uniform_at
from ml.kernels import kernel
from ml.types import FloatArray


@kernel
def tier_of(values: FloatArray, distance_m: float) -> int:
    """Return the index of the distance tier; a limit belongs to the nearer tier."""
    tier = 0
    while tier < NUM_TIERS - 1 and distance_m > values[VALUE_TIER_LIMIT + tier]:
        tier += 1
    return tier


@kernel
def start_link(
    radio_key: np.uint64,
    values: FloatArray,
    sender: int,
    receiver: int,
    distance_m: float,
    first_counter: int = 0,
) -> float:
    """Return 1 when the link starts in its bad state, drawn from the stationary distribution."""
    start = stream_start(radio_key, STREAM_LOSS, sender, receiver)
    loss = values[VALUE_TIER_LOSS + tier_of(values, distance_m)]
    return 1.0 if uniform_at(start, first_counter) < loss else 0.0


@kernel
def step_link(
    radio_key: np.uint64,
    values: FloatArray,
    is_bad: float,
    sender: int,
    receiver: int,
    transmission: int,
    distance_m: float,
) -> float:
    """Advance a link's two-state process by one transmission; return 1 when the frame is lost.

    good -> bad with probability p, bad -> good with probability r; a frame is lost while bad.
    Source: Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960).
    """
    draw = uniform_at(stream_start(radio_key, STREAM_LOSS, sender, receiver), transmission + 1)
    tier = tier_of(values, distance_m)
    if is_bad > 0.0:
        return 0.0 if draw < values[VALUE_TO_GOOD + tier] else 1.0
    return 1.0 if draw < values[VALUE_TO_BAD + tier] else 0.0


@kernel
def draw_latency_s(
    radio_key: np.uint64,
    values: FloatArray,
    sender: int,
    receiver: int,
    transmission: int,
    distance_m: float,
) -> float:
    """Return the time from transmission to reception [s], never below the physical floor."""
    start = stream_start(radio_key, STREAM_LATENCY, sender, receiver)
    normal, _ = normal_pair_at(start, transmission)
    latency_s = values[VALUE_LATENCY_BASE] + values[VALUE_LATENCY_PER_DISTANCE] * distance_m
    latency_s += values[VALUE_LATENCY_JITTER] * normal
    return float(min(max(latency_s, values[VALUE_LATENCY_FLOOR]), LONGEST_LATENCY_S))
