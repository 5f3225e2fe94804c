"""The radio's values in force during one episode: the file's, or drawn from the file's ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.parameters import (
    RadioParameters,
    feasible_mean_burst,
    shifted_tier_rates,
)
from ml.espnow_emulator.radio_layout import (
    LONGEST_LATENCY_S,
    NUM_TIERS,
    NUM_VALUES,
    STREAM_EPISODE,
    VALUE_LATENCY_BASE,
    VALUE_LATENCY_FLOOR,
    VALUE_LATENCY_JITTER,
    VALUE_LATENCY_PER_DISTANCE,
    VALUE_LONGEST_DELAY,
    VALUE_MAX_RANGE,
    VALUE_MAX_RELAY_HOPS,
    VALUE_NOISE_CORRELATION,
    VALUE_NOISE_STD,
    VALUE_RELAY_SLOT_PERIOD,
    VALUE_STALENESS,
    VALUE_TIER_LIMIT,
    VALUE_TIER_LOSS,
    VALUE_TO_BAD,
    VALUE_TO_GOOD,
)
from ml.espnow_emulator.random_kernels import (
    fill_uniform,
)
from ml.types import NUM_SENSED_FIELDS, FloatArray
from ml.units import rad_from_deg, s_from_ms

AIRTIME_MS = 1.256
"""A 90-byte message on the air at 1 Mbit/s with the long preamble: 192 us + 8 * 133 bytes [ms].

Source: IEEE 802.11-2020, clause 16 (DSSS PHY, long PPDU format); 133 bytes = 90 + 43 of action
frame header, vendor element and check sequence (Espressif, ESP-NOW frame format).
"""
SMALLEST_STACK_TIME_MS = 0.8
"""Least time in the two boards' network stacks, 0.4 ms each [ms]."""
LATENCY_FLOOR_MS = AIRTIME_MS + SMALLEST_STACK_TIME_MS
_NUM_DRAWS = 6


@dataclass(frozen=True)
class EpisodeRadioValues:
    """What can differ from episode to episode.

    Attributes:
        latency_base_ms: Latency at distance 0 before its floor [ms].
        jitter_std_ms: Standard deviation of the latency [ms].
        loss_rates: One-way loss in the three distance tiers.
        mean_burst_lengths: Mean number of consecutive losses in the three tiers [frames].
        gps_std_m: Standard deviation of the position error, per axis [m].
        max_relay_hops: Most relays between a frame's source and its receiver.
    """

    latency_base_ms: float
    jitter_std_ms: float
    loss_rates: tuple[float, float, float]
    mean_burst_lengths: tuple[float, float, float]
    gps_std_m: float
    max_relay_hops: int


def nominal_values(parameters: RadioParameters) -> EpisodeRadioValues:
    """Return the parameter file's own values."""
    return EpisodeRadioValues(
        latency_base_ms=parameters.latency.base_ms,
        jitter_std_ms=parameters.latency.jitter_std_ms,
        loss_rates=parameters.packet_loss.tier_rates,
        mean_burst_lengths=_mean_bursts(
            parameters,
            parameters.packet_loss.tier_rates,
            parameters.burst_loss.mean_burst_length,
        ),
        gps_std_m=parameters.sensor_noise.gps_std_m,
        max_relay_hops=parameters.relay.max_relay_hops,
    )


def drawn_values(parameters: RadioParameters, radio_key: np.uint64) -> EpisodeRadioValues:
    """Draw one episode's values from the parameter file's ranges.

    Latency, loss, jitter and position error are uniform and the mean burst is log-uniform. The
    loss drawn replaces base_rate and shifts every tier by the same amount; where the burst drawn
    is shorter than a tier's loss allows, that tier takes the shortest feasible one. The relays'
    hops are uniform over the whole numbers of their range, which (0, 0) leaves out of play.
    """
    ranges = parameters.domain_randomization
    draws = np.empty(_NUM_DRAWS)
    fill_uniform(radio_key, STREAM_EPISODE, draws)
    latency_draw, loss_draw, jitter_draw, gps_draw, burst_draw, hops_draw = draws.tolist()
    loss_rates = shifted_tier_rates(
        parameters.packet_loss, _between(ranges.loss_rate_range, loss_draw)
    )
    shortest, longest = ranges.mean_burst_range
    mean_burst = shortest * (longest / shortest) ** burst_draw
    return EpisodeRadioValues(
        latency_base_ms=_between(ranges.latency_range_ms, latency_draw),
        jitter_std_ms=_between(ranges.jitter_std_range_ms, jitter_draw),
        loss_rates=loss_rates,
        mean_burst_lengths=_mean_bursts(parameters, loss_rates, mean_burst),
        gps_std_m=_between(ranges.gps_noise_range_m, gps_draw),
        max_relay_hops=_drawn_hops(parameters, hops_draw),
    )


def gilbert_transitions(loss_rate: float, mean_burst: float) -> tuple[float, float]:
    """Return (p, r): probabilities good -> bad and bad -> good per transmission.

    r = 1 / mean_burst; p = loss r / (1 - loss), so that p / (p + r) = loss. A loss of 1 is (1, 0).

    >>> gilbert_transitions(0.2, 2.0)
    (0.125, 0.5)
    """
    if loss_rate >= 1.0:
        return 1.0, 0.0
    to_good = 1.0 / mean_burst
    return min(1.0, loss_rate * to_good / (1.0 - loss_rate)), to_good


def fill_values(
    parameters: RadioParameters, episode: EpisodeRadioValues, values: FloatArray
) -> None:
    """Write the values in force into the kernels' array (NUM_VALUES,), in SI units."""
    if values.shape != (NUM_VALUES,):
        raise ValueError(f"values must have shape ({NUM_VALUES},). Got {values.shape}.")
    loss, noise = parameters.packet_loss, parameters.sensor_noise
    values[VALUE_LATENCY_BASE] = s_from_ms(episode.latency_base_ms)
    values[VALUE_LATENCY_PER_DISTANCE] = s_from_ms(parameters.latency.distance_factor)
    values[VALUE_LATENCY_JITTER] = s_from_ms(episode.jitter_std_ms)
    values[VALUE_LATENCY_FLOOR] = s_from_ms(LATENCY_FLOOR_MS)
    limits_m = (loss.distance_threshold_1, loss.distance_threshold_2, math.inf)
    for tier in range(NUM_TIERS):
        rate = episode.loss_rates[tier]
        to_bad, to_good = gilbert_transitions(rate, episode.mean_burst_lengths[tier])
        values[VALUE_TIER_LIMIT + tier] = limits_m[tier]
        values[VALUE_TIER_LOSS + tier] = rate
        values[VALUE_TO_BAD + tier] = to_bad
        values[VALUE_TO_GOOD + tier] = to_good
    values[VALUE_MAX_RANGE] = loss.max_range_m
    values[VALUE_NOISE_STD : VALUE_NOISE_STD + NUM_SENSED_FIELDS] = (
        episode.gps_std_m,
        episode.gps_std_m,
        noise.speed_std_ms,
        noise.accel_std_ms2,
        rad_from_deg(noise.heading_std_deg),
    )
    values[VALUE_NOISE_CORRELATION : VALUE_NOISE_CORRELATION + NUM_SENSED_FIELDS] = (
        noise.gps_correlation_s,
        noise.gps_correlation_s,
        noise.speed_correlation_s,
        noise.accel_correlation_s,
        noise.heading_correlation_s,
    )
    values[VALUE_STALENESS] = s_from_ms(parameters.observation.staleness_threshold_ms)
    hops, slot_period_s = episode.max_relay_hops, s_from_ms(parameters.relay.slot_period_ms)
    values[VALUE_MAX_RELAY_HOPS] = hops
    values[VALUE_RELAY_SLOT_PERIOD] = slot_period_s
    # Twice the slots' period covers the board's clock drift many times over.
    values[VALUE_LONGEST_DELAY] = (1 + hops) * LONGEST_LATENCY_S + 2 * hops * slot_period_s


def _mean_bursts(
    parameters: RadioParameters, loss_rates: tuple[float, float, float], mean_burst: float
) -> tuple[float, float, float]:
    """Return each tier's mean burst: at least the feasible one, 1 / (1 - loss) if independent."""
    if not parameters.burst_loss.enabled:
        first, second, third = (
            math.inf if rate >= 1.0 else 1.0 / (1.0 - rate) for rate in loss_rates
        )
    else:
        first, second, third = (max(mean_burst, feasible_mean_burst(rate)) for rate in loss_rates)
    return first, second, third


def _drawn_hops(parameters: RadioParameters, draw: float) -> int:
    """Return an episode's largest number of relays."""
    fewest, most = parameters.domain_randomization.relay_hops_range
    if most == 0:
        return parameters.relay.max_relay_hops
    return fewest + math.floor(draw * (most - fewest + 1))


def _between(bounds: tuple[float, float], draw: float) -> float:
    """Return the point at ``draw`` in [0, 1) between two bounds."""
    return bounds[0] + draw * (bounds[1] - bounds[0])
