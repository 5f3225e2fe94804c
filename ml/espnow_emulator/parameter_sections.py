"""The sections of an emulator parameter file, with their ranges and defaults.

Every section is a frozen dataclass whose field names are the file's keys, so units follow the
file's own suffixes (``std_ms`` of a speed is m/s). The defaults are the nominal car-to-car link;
their sources are in the ``_metadata`` of ``emulator_params_5m.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ml.espnow_emulator.physical_sections import (
    PhysicalParameters,
    PhysicalRandomizationParameters,
)
from ml.espnow_emulator.radio_layout import LARGEST_MAX_RELAY_HOPS
from ml.espnow_emulator.section_fields import bounded, bounded_whole, choice

LARGEST_RANDOM_LOSS = 0.95
"""Losses drawn per episode, and the tiers shifted with them, are clipped here."""
SHORTEST_SLOT_PERIOD_MS = 10.0
"""Relay slots are no closer [ms]: forwarding for eight cars takes 8 * 1.256 ms on the air."""


@dataclass(frozen=True)
class LatencyParameters:
    """Time from transmission to reception: base + factor * distance + N(0, jitter).

    Attributes:
        base_ms: Latency at distance 0 [ms].
        distance_factor: Growth with distance [ms/m].
        jitter_std_ms: Standard deviation [ms].
    """

    base_ms: float = bounded(3.4, 0.0, 1000.0)
    distance_factor: float = bounded(0.0, 0.0, 0.5)
    jitter_std_ms: float = bounded(1.7, 0.0, 100.0)


@dataclass(frozen=True)
class PacketLossParameters:
    """One-way loss by distance at transmission, in three tiers.

    The loss in a tier is max(base_rate, rate_tier_k). In a file, a tier that is left out is
    base_rate plus the nominal file's increment (0, .038 and .168), at most 1.

    Attributes:
        base_rate: Lowest loss at any distance; what domain randomisation replaces.
        distance_threshold_1: Farthest distance of tier 1 [m].
        distance_threshold_2: Farthest distance of tier 2 [m].
        rate_tier_1: Loss up to distance_threshold_1.
        rate_tier_2: Loss up to distance_threshold_2.
        rate_tier_3: Loss beyond.
        max_range_m: Nothing is heard beyond this distance [m].
    """

    base_rate: float = bounded(0.082, 0.0, 1.0)
    distance_threshold_1: float = bounded(50.0, 0.0, 10_000.0)
    distance_threshold_2: float = bounded(100.0, 0.0, 10_000.0)
    rate_tier_1: float = bounded(0.082, 0.0, 1.0)
    rate_tier_2: float = bounded(0.12, 0.0, 1.0)
    rate_tier_3: float = bounded(0.25, 0.0, 1.0)
    max_range_m: float = bounded(150.0, 0.0, 1000.0)

    @property
    def tier_rates(self) -> tuple[float, float, float]:
        """Return the loss in force in each of the three tiers."""
        base = self.base_rate
        return (
            max(base, self.rate_tier_1),
            max(base, self.rate_tier_2),
            max(base, self.rate_tier_3),
        )


@dataclass(frozen=True)
class BurstLossParameters:
    """How losses cluster.

    Attributes:
        enabled: False makes losses independent of one another.
        mean_burst_length: Mean number of consecutive losses [frames].
    """

    enabled: bool = True
    mean_burst_length: float = bounded(1.44, 1.0, 1000.0)


@dataclass(frozen=True)
class SensorNoiseParameters:
    """Standard deviation and correlation time of each sensor's error.

    Attributes:
        gps_std_m: Position, each of x and y [m].
        speed_std_ms: Speed [m/s].
        accel_std_ms2: Acceleration [m/s^2].
        heading_std_deg: Heading [deg].
        gps_correlation_s: Correlation time of the position's error [s]; 0 is white noise.
        speed_correlation_s: The same of the speed [s].
        accel_correlation_s: The same of the acceleration [s].
        heading_correlation_s: The same of the heading [s].
    """

    gps_std_m: float = bounded(3.0, 0.0, 100.0)
    speed_std_ms: float = bounded(0.43, 0.0, 20.0)
    accel_std_ms2: float = bounded(0.39, 0.0, 20.0)
    heading_std_deg: float = bounded(4.7, 0.0, 180.0)
    gps_correlation_s: float = bounded(30.0, 0.0, 3600.0)
    speed_correlation_s: float = bounded(2.0, 0.0, 3600.0)
    accel_correlation_s: float = bounded(0.5, 0.0, 3600.0)
    heading_correlation_s: float = bounded(5.0, 0.0, 3600.0)


@dataclass(frozen=True)
class ObservationParameters:
    """What the receiving board makes of what it holds.

    Attributes:
        staleness_threshold_ms: A peer is fresh up to this time since reception [ms].
    """

    staleness_threshold_ms: float = bounded(500.0, 1.0, 60_000.0)


@dataclass(frozen=True)
class RelayParameters:
    """Forwarding of other cars' frames.

    Attributes:
        max_relay_hops: Most relays between a frame's source and its receiver; 0 is off.
        slot_period_ms: Time from one relay slot of a board to its next [ms].
    """

    max_relay_hops: int = bounded_whole(0, 0, LARGEST_MAX_RELAY_HOPS)
    slot_period_ms: float = bounded(100.0, SHORTEST_SLOT_PERIOD_MS, 1000.0)


@dataclass(frozen=True)
class GpsParameters:
    """How a board comes by its position, speed and heading.

    Attributes:
        rate_hz: Fixes a second, each held until the next; 0 reads the truth with each frame.
        lag_range_ms: Time from a fix's measurement until the board has it, one per board [ms].
        white_std_m: Position error that is new in every fix, each of x and y [m].
    """

    rate_hz: float = choice(0.0, (0.0, 1.0, 2.0, 5.0, 10.0))
    lag_range_ms: tuple[float, float] = bounded((0.0, 0.0), 0.0, 1000.0)
    white_std_m: float = bounded(0.0, 0.0, 100.0)


@dataclass(frozen=True)
class ImuParameters:
    """What is wrong with a board's accelerometer all through an episode.

    Attributes:
        bias_range_ms2: Added to every reading, one value per board [m/s^2].
        backwards_probability: That a board is mounted backwards, which turns the sign.
    """

    bias_range_ms2: tuple[float, float] = bounded((0.0, 0.0), -20.0, 20.0)
    backwards_probability: float = bounded(0.0, 0.0, 1.0)


@dataclass(frozen=True)
class WireParameters:
    """Steps in which a frame carries its readings; 0 carries them as they are.

    Attributes:
        position_quantum_m: Of x and y [m].
        speed_quantum_ms: Of the speed [m/s].
        accel_quantum_ms2: Of the acceleration [m/s^2].
        heading_quantum_deg: Of the heading [deg].
    """

    position_quantum_m: float = bounded(0.0, 0.0, 10.0)
    speed_quantum_ms: float = bounded(0.0, 0.0, 10.0)
    accel_quantum_ms2: float = bounded(0.0, 0.0, 10.0)
    heading_quantum_deg: float = bounded(0.0, 0.0, 45.0)


@dataclass(frozen=True)
class ReceiverParameters:
    """How the receiving board defends itself.

    Attributes:
        plausibility_gate_m: A position farther than this, and what a car can do in the time, from
            where the sender was bound is refused [m]; 0 refuses none.
    """

    plausibility_gate_m: float = bounded(30.0, 0.0, 10_000.0)


@dataclass(frozen=True)
class DomainRandomizationParameters:
    """Ranges from which an episode's values are drawn: uniform, mean burst log-uniform.

    The hops of a relay are uniform over the whole numbers from one end to the other.

    Attributes:
        latency_range_ms: Of latency.base_ms [ms].
        loss_rate_range: Of packet_loss.base_rate; the tiers shift by the same amount.
        jitter_std_range_ms: Of latency.jitter_std_ms [ms].
        gps_noise_range_m: Of sensor_noise.gps_std_m [m].
        mean_burst_range: Of burst_loss.mean_burst_length [frames].
        relay_hops_range: Of relay.max_relay_hops; (0, 0) leaves it as it is.
    """

    latency_range_ms: tuple[float, float] = bounded((1.7, 14.0), 0.0, 1000.0)
    loss_rate_range: tuple[float, float] = bounded((0.02, 0.40), 0.0, LARGEST_RANDOM_LOSS)
    jitter_std_range_ms: tuple[float, float] = bounded((0.5, 5.0), 0.0, 100.0)
    gps_noise_range_m: tuple[float, float] = bounded((0.5, 4.5), 0.0, 100.0)
    mean_burst_range: tuple[float, float] = bounded((1.0, 5.0), 1.0, 1000.0)
    relay_hops_range: tuple[int, int] = bounded_whole((0, 0), 0, LARGEST_MAX_RELAY_HOPS)


SECTIONS: dict[str, type[Any]] = {
    "latency": LatencyParameters,
    "packet_loss": PacketLossParameters,
    "burst_loss": BurstLossParameters,
    "sensor_noise": SensorNoiseParameters,
    "observation": ObservationParameters,
    "relay": RelayParameters,
    "domain_randomization": DomainRandomizationParameters,
    "gps": GpsParameters,
    "imu": ImuParameters,
    "wire": WireParameters,
    "receiver": ReceiverParameters,
    "physical": PhysicalParameters,
    "physical_randomization": PhysicalRandomizationParameters,
}
MODES = ("simple", "physical")
WITHOUT_EFFECT: dict[str, dict[str, tuple[str, ...]]] = {
    "simple": {"physical": (), "physical_randomization": ()},
    "physical": {
        "latency": (),
        "packet_loss": (),
        "domain_randomization": ("latency_range_ms", "loss_rate_range", "jitter_std_range_ms"),
    },
}
"""By mode, the sections that have no effect, or those of their keys; () stands for all."""
