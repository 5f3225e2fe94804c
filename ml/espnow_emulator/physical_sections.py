"""The sections of the physical mode: medium, propagation, events of a board, and their ranges.

As in ``parameter_sections``, field names are the file's keys and carry the file's own units. The
defaults are boards in the cars' cabins on the long-range PHY; sources are in docs/radio.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml.espnow_emulator.airtime import LARGEST_PAYLOAD_BYTES, RATES_MBPS, airtime_us
from ml.espnow_emulator.section_fields import bounded, bounded_whole, choice

LARGEST_NUM_BACKGROUND_SENDERS = 60
LARGEST_NUM_BLACKOUTS = 8


@dataclass(frozen=True)
class PhysicalParameters:
    """The medium and the links of the physical mode.

    Attributes:
        margin_at_1m_db: Mean received power over the sensitivity, 1 m from the sender [dB].
        floor_loss: Loss at any distance, independent from frame to frame.
        break_point_m: Where path loss turns from 20 to 40 dB a decade [m].
        shadowing_std_db: Standard deviation of the shadowing [dB].
        shadowing_decorrelation_m: Relative displacement over which it decorrelates to 1/e [m].
        fading_m: Shape m of the Nakagami fading up to fading_far_m.
        fading_m_far: The shape beyond.
        fading_far_m: See fading_m [m].
        obstruction_db: Loss for each car in the way [dB].
        max_obstructing_cars: Cars in the way that count, at most.
        interference_loss: Loss of the two-state process, in bursts of burst_loss.
        payload_bytes: Length of a message [bytes].
        rate_mbps: Rate on the air [Mbit/s]; 0.25 and 0.5 are Espressif's long-range PHY.
        long_range_preamble_us: Preamble of the long-range PHY, unpublished [us].
        background_senders: Other boards on the channel, each at 10 Hz, heard by every car.
        carrier_sense_range_m: Cars up to here hold back for, and collide with, each other [m].
        aligned_phases: All boards transmit on the same tick; else in phases of their own.
        stack_range_ms: Time in each board's network stack, uniform [ms].
        blackouts: Spells in which the ego hears nothing.
        blackout_range_s: Their lengths, uniform [s].
        blackout_window_s: They begin within this time from the start of the episode [s].
        stalls_per_minute: How often a board's software stands still.
        stall_range_ms: For how long, uniform [ms].
    """

    margin_at_1m_db: float = bounded(38.6, 0.0, 120.0)
    floor_loss: float = bounded(0.04, 0.0, 1.0)
    break_point_m: float = bounded(73.0, 1.0, 10_000.0)
    shadowing_std_db: float = bounded(3.0, 0.0, 20.0)
    shadowing_decorrelation_m: float = bounded(20.0, 0.1, 1000.0)
    fading_m: float = bounded(1.5, 0.5, 20.0)
    fading_m_far: float = bounded(0.75, 0.5, 20.0)
    fading_far_m: float = bounded(80.0, 0.0, 10_000.0)
    obstruction_db: float = bounded(10.0, 0.0, 60.0)
    max_obstructing_cars: int = bounded_whole(2, 0, 8)
    interference_loss: float = bounded(0.0, 0.0, 0.95)
    payload_bytes: int = bounded_whole(90, 1, LARGEST_PAYLOAD_BYTES)
    rate_mbps: float = choice(1.0, RATES_MBPS)
    long_range_preamble_us: float = bounded(0.0, 0.0, 5000.0)
    background_senders: int = bounded_whole(0, 0, LARGEST_NUM_BACKGROUND_SENDERS)
    carrier_sense_range_m: float = bounded(1000.0, 1.0, 10_000.0)
    aligned_phases: bool = False
    stack_range_ms: tuple[float, float] = bounded((0.4, 1.0), 0.0, 50.0)
    blackouts: int = bounded_whole(0, 0, LARGEST_NUM_BLACKOUTS)
    blackout_range_s: tuple[float, float] = bounded((0.5, 5.0), 0.0, 600.0)
    blackout_window_s: float = bounded(50.0, 0.1, 3600.0)
    stalls_per_minute: float = bounded(0.0, 0.0, 60.0)
    stall_range_ms: tuple[float, float] = bounded((100.0, 850.0), 0.0, 1000.0)

    @property
    def airtime_us(self) -> float:
        """Return how long a frame is on the air [us]."""
        return airtime_us(
            self.payload_bytes,
            self.rate_mbps,
            long_range_preamble_us=self.long_range_preamble_us,
        )


@dataclass(frozen=True)
class PhysicalRandomizationParameters:
    """Ranges from which an episode's physical values are drawn: uniform, or one of a list.

    Attributes:
        margin_range_db: Of margin_at_1m_db [dB].
        shadowing_std_range_db: Of shadowing_std_db [dB].
        fading_m_range: Of fading_m; beyond fading_far_m the shape is in proportion.
        floor_loss_range: Of floor_loss.
        interference_loss_range: Of interference_loss.
        blackouts_range: Of blackouts, whole numbers.
        obstruction_range_db: Of obstruction_db [dB].
        background_senders_range: Of background_senders, whole numbers.
        payload_range_bytes: Of payload_bytes, whole numbers [bytes].
        rates_mbps: One of these is the rate.
        gps_rates_hz: One of these is gps.rate_hz; empty leaves it as it is.
    """

    margin_range_db: tuple[float, float] = bounded((32.0, 44.0), 0.0, 120.0)
    shadowing_std_range_db: tuple[float, float] = bounded((2.0, 4.0), 0.0, 20.0)
    fading_m_range: tuple[float, float] = bounded((1.0, 3.0), 0.5, 20.0)
    floor_loss_range: tuple[float, float] = bounded((0.0, 0.10), 0.0, 1.0)
    interference_loss_range: tuple[float, float] = bounded((0.0, 0.20), 0.0, 0.95)
    blackouts_range: tuple[int, int] = bounded_whole((0, 2), 0, LARGEST_NUM_BLACKOUTS)
    obstruction_range_db: tuple[float, float] = bounded((3.0, 12.0), 0.0, 60.0)
    background_senders_range: tuple[int, int] = bounded_whole(
        (0, 30), 0, LARGEST_NUM_BACKGROUND_SENDERS
    )
    payload_range_bytes: tuple[int, int] = bounded_whole((48, 250), 1, LARGEST_PAYLOAD_BYTES)
    rates_mbps: tuple[float, ...] = choice((1.0, 0.5, 0.25), RATES_MBPS)
    gps_rates_hz: tuple[float, ...] = choice((1.0, 5.0, 10.0), (1.0, 2.0, 5.0, 10.0))
