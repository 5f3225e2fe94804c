"""The radio's values in force during one episode: the file's, or drawn from the file's ranges."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.parameters import (
    RadioParameters,
    feasible_mean_burst,
    shifted_tier_rates,
)
from ml.espnow_emulator.physical_sections import PhysicalParameters
from ml.espnow_emulator.radio_layout import (
    LONGEST_LATENCY_S,
    NUM_TIERS,
    NUM_VALUES,
    STREAM_BLACKOUT,
    STREAM_EPISODE,
    VALUE_AIRTIME,
    VALUE_BREAK_POINT,
    VALUE_CARRIER_RANGE,
    VALUE_FADING,
    VALUE_FADING_FAR,
    VALUE_FADING_FAR_FROM,
    VALUE_FLOOR_LOSS,
    VALUE_GATE,
    VALUE_GPS_LAG,
    VALUE_GPS_PERIOD,
    VALUE_GPS_WHITE_STD,
    VALUE_IMU_BACKWARDS,
    VALUE_IMU_BIAS,
    VALUE_IS_ALIGNED,
    VALUE_IS_PHYSICAL,
    VALUE_LATENCY_BASE,
    VALUE_LATENCY_FLOOR,
    VALUE_LATENCY_JITTER,
    VALUE_LATENCY_PER_DISTANCE,
    VALUE_LONGEST_DELAY,
    VALUE_MARGIN,
    VALUE_MAX_OBSTRUCTING,
    VALUE_MAX_RANGE,
    VALUE_MAX_RELAY_HOPS,
    VALUE_NOISE_CORRELATION,
    VALUE_NOISE_STD,
    VALUE_NUM_BACKGROUND,
    VALUE_OBSTRUCTION,
    VALUE_QUANTUM,
    VALUE_RELAY_SLOT_PERIOD,
    VALUE_SHADOWING_DECORRELATION,
    VALUE_SHADOWING_STD,
    VALUE_STACK,
    VALUE_STALENESS,
    VALUE_STALL,
    VALUE_STALL_RATE,
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
_NUM_DRAWS = 6 + 11  # those of the simple mode, and the physical mode's own


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
        gps_rate_hz: Position fixes a second; 0 is a reading with each frame.
        physical: The medium and the links of the physical mode; None in simple mode.
    """

    latency_base_ms: float
    jitter_std_ms: float
    loss_rates: tuple[float, float, float]
    mean_burst_lengths: tuple[float, float, float]
    gps_std_m: float
    max_relay_hops: int
    gps_rate_hz: float = 0.0
    physical: PhysicalParameters | None = None


def nominal_values(parameters: RadioParameters) -> EpisodeRadioValues:
    """Return the parameter file's own values."""
    if parameters.is_physical:
        return _physical_values(
            parameters,
            parameters.physical,
            mean_burst=parameters.burst_loss.mean_burst_length,
            gps_std_m=parameters.sensor_noise.gps_std_m,
            max_relay_hops=parameters.relay.max_relay_hops,
            gps_rate_hz=parameters.gps.rate_hz,
        )
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
        gps_rate_hz=parameters.gps.rate_hz,
    )


def drawn_values(parameters: RadioParameters, radio_key: np.uint64) -> EpisodeRadioValues:
    """Draw one episode's values from the parameter file's ranges.

    Latency, loss, jitter and position error are uniform and the mean burst is log-uniform. The
    loss drawn replaces base_rate and shifts every tier by the same amount; where the burst drawn
    is shorter than a tier's loss allows, that tier takes the shortest feasible one. The relays'
    hops are uniform over the whole numbers of their range, which (0, 0) leaves out of play. The
    physical mode's values are uniform too, its rates one of a list.
    """
    ranges = parameters.domain_randomization
    draws = np.empty(_NUM_DRAWS)
    fill_uniform(radio_key, STREAM_EPISODE, draws)
    latency_draw, loss_draw, jitter_draw, gps_draw, burst_draw, hops_draw, *rest = draws.tolist()
    if parameters.is_physical:
        shortest, longest = ranges.mean_burst_range
        rates_hz = parameters.physical_randomization.gps_rates_hz or (parameters.gps.rate_hz,)
        return _physical_values(
            parameters,
            _drawn_physical(parameters, rest),
            mean_burst=shortest * (longest / shortest) ** burst_draw,
            gps_std_m=_between(ranges.gps_noise_range_m, gps_draw),
            max_relay_hops=_drawn_hops(parameters, hops_draw),
            gps_rate_hz=_one_of(rates_hz, rest[-1]),
        )
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
        gps_rate_hz=parameters.gps.rate_hz,
    )


def _physical_values(
    parameters: RadioParameters,
    physical: PhysicalParameters,
    *,
    mean_burst: float,
    gps_std_m: float,
    max_relay_hops: int,
    gps_rate_hz: float,
) -> EpisodeRadioValues:
    """Return an episode's values in physical mode, with the same loss process at any distance."""
    loss_rates = (physical.interference_loss,) * 3
    return EpisodeRadioValues(
        latency_base_ms=0.0,
        jitter_std_ms=0.0,
        loss_rates=loss_rates,
        mean_burst_lengths=_mean_bursts(parameters, loss_rates, mean_burst),
        gps_std_m=gps_std_m,
        max_relay_hops=max_relay_hops,
        gps_rate_hz=gps_rate_hz,
        physical=physical,
    )


def _drawn_physical(parameters: RadioParameters, draws: list[float]) -> PhysicalParameters:
    """Return the medium and links of one episode, from one draw for each range."""
    base, ranges = parameters.physical, parameters.physical_randomization
    fading_m = _between(ranges.fading_m_range, draws[2])
    return dataclasses.replace(
        base,
        margin_at_1m_db=_between(ranges.margin_range_db, draws[0]),
        shadowing_std_db=_between(ranges.shadowing_std_range_db, draws[1]),
        fading_m=fading_m,
        fading_m_far=max(0.5, fading_m * base.fading_m_far / base.fading_m),
        floor_loss=_between(ranges.floor_loss_range, draws[3]),
        interference_loss=_between(ranges.interference_loss_range, draws[4]),
        blackouts=_whole_between(ranges.blackouts_range, draws[5]),
        obstruction_db=_between(ranges.obstruction_range_db, draws[6]),
        background_senders=_whole_between(ranges.background_senders_range, draws[7]),
        payload_bytes=_whole_between(ranges.payload_range_bytes, draws[8]),
        rate_mbps=_one_of(ranges.rates_mbps or (base.rate_mbps,), draws[9]),
    )


def blackouts_s(
    physical: PhysicalParameters, radio_key: np.uint64, start_s: float
) -> list[tuple[float, float]]:
    """Return the black-outs of an episode, each from one instant to another [s]."""
    draws = np.empty(2 * physical.blackouts)
    fill_uniform(radio_key, STREAM_BLACKOUT, draws)
    spells = []
    for begin, length in zip(draws[0::2].tolist(), draws[1::2].tolist(), strict=True):
        from_s = start_s + begin * physical.blackout_window_s
        spells.append((from_s, from_s + _between(physical.blackout_range_s, length)))
    return spells


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
    _fill_sensor_values(parameters, episode, values)
    values[VALUE_IS_PHYSICAL:] = 0.0
    if episode.physical is not None:
        values[VALUE_MAX_RANGE] = math.inf
        _fill_physical_values(episode.physical, values)
    # Twice the slots' period covers the board's clock drift many times over.
    values[VALUE_LONGEST_DELAY] = (1 + hops) * LONGEST_LATENCY_S + 2 * hops * slot_period_s


def _fill_sensor_values(
    parameters: RadioParameters, episode: EpisodeRadioValues, values: FloatArray
) -> None:
    """Write what the boards' sensors, their frames and the receiver's gate are like."""
    gps, imu, wire = parameters.gps, parameters.imu, parameters.wire
    values[VALUE_GPS_PERIOD] = 1.0 / episode.gps_rate_hz if episode.gps_rate_hz > 0.0 else 0.0
    values[VALUE_GPS_LAG : VALUE_GPS_LAG + 2] = [s_from_ms(lag) for lag in gps.lag_range_ms]
    values[VALUE_GPS_WHITE_STD] = gps.white_std_m
    values[VALUE_IMU_BIAS : VALUE_IMU_BIAS + 2] = imu.bias_range_ms2
    values[VALUE_IMU_BACKWARDS] = imu.backwards_probability
    values[VALUE_QUANTUM : VALUE_QUANTUM + NUM_SENSED_FIELDS] = (
        wire.position_quantum_m,
        wire.position_quantum_m,
        wire.speed_quantum_ms,
        wire.accel_quantum_ms2,
        rad_from_deg(wire.heading_quantum_deg),
    )
    values[VALUE_GATE] = parameters.receiver.plausibility_gate_m


def _fill_physical_values(physical: PhysicalParameters, values: FloatArray) -> None:
    """Write the medium and the links of the physical mode."""
    values[VALUE_IS_PHYSICAL] = 1.0
    values[VALUE_MARGIN] = physical.margin_at_1m_db
    values[VALUE_FLOOR_LOSS] = physical.floor_loss
    values[VALUE_BREAK_POINT] = physical.break_point_m
    values[VALUE_SHADOWING_STD] = physical.shadowing_std_db
    values[VALUE_SHADOWING_DECORRELATION] = physical.shadowing_decorrelation_m
    values[VALUE_FADING] = physical.fading_m
    values[VALUE_FADING_FAR] = physical.fading_m_far
    values[VALUE_FADING_FAR_FROM] = physical.fading_far_m
    values[VALUE_OBSTRUCTION] = physical.obstruction_db
    values[VALUE_MAX_OBSTRUCTING] = physical.max_obstructing_cars
    values[VALUE_AIRTIME] = 1e-6 * physical.airtime_us
    values[VALUE_NUM_BACKGROUND] = physical.background_senders
    values[VALUE_CARRIER_RANGE] = physical.carrier_sense_range_m
    values[VALUE_IS_ALIGNED] = physical.aligned_phases
    values[VALUE_STACK : VALUE_STACK + 2] = [s_from_ms(time) for time in physical.stack_range_ms]
    values[VALUE_STALL_RATE] = physical.stalls_per_minute / 60.0
    values[VALUE_STALL : VALUE_STALL + 2] = [s_from_ms(time) for time in physical.stall_range_ms]


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
    hops_range = parameters.domain_randomization.relay_hops_range
    if hops_range[1] == 0:
        return parameters.relay.max_relay_hops
    return _whole_between(hops_range, draw)


def _whole_between(bounds: tuple[int, int], draw: float) -> int:
    """Return the whole number at ``draw`` in [0, 1) between two bounds, both included."""
    return bounds[0] + math.floor(draw * (bounds[1] - bounds[0] + 1))


def _one_of(choices: tuple[float, ...], draw: float) -> float:
    """Return the choice at ``draw`` in [0, 1)."""
    return choices[math.floor(draw * len(choices))]


def _between(bounds: tuple[float, float], draw: float) -> float:
    """Return the point at ``draw`` in [0, 1) between two bounds."""
    return bounds[0] + draw * (bounds[1] - bounds[0])
