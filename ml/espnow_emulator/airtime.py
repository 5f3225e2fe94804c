"""How long an ESP-NOW broadcast is on the air."""

from __future__ import annotations

import math

from ml.errors import ConfigError

RATES_MBPS = (0.25, 0.5, 1.0, 2.0, 5.5, 11.0)
LONG_RANGE_RATES_MBPS = (0.25, 0.5)
LARGEST_PAYLOAD_BYTES = 1470
_PREAMBLE_US = 192.0


def airtime_us(
    payload_bytes: int, rate_mbps: float = 1.0, *, long_range_preamble_us: float = 0.0
) -> float:
    """Return how long an ESP-NOW broadcast is on the air [us].

    192 + ceil(8 MPDU / rate) with the long preamble of 802.11b, and preamble + 8 MPDU / rate with
    Espressif's long-range rates; MPDU = 36 + 7 ceil(n / 250) + n bytes for a payload of n.

    Source: IEEE 802.11-2020, clause 16 (long PPDU format); Espressif, ESP-NOW frame format. The
    preamble of the long-range PHY is unpublished.

    Raises:
        ConfigError: The payload or the rate does not exist.

    >>> airtime_us(90), airtime_us(250, 2.0), airtime_us(250, 0.5)
    (1256.0, 1364.0, 4688.0)
    """
    if not 0 <= payload_bytes <= LARGEST_PAYLOAD_BYTES:
        raise ConfigError(
            f"payload_bytes must be in [0, {LARGEST_PAYLOAD_BYTES}]. Got {payload_bytes}."
        )
    if rate_mbps not in RATES_MBPS:
        known = ", ".join(f"{rate:g}" for rate in RATES_MBPS)
        raise ConfigError(f"rate_mbps must be one of {known}. Got {rate_mbps}.")
    mpdu_bits = 8 * (36 + 7 * math.ceil(payload_bytes / 250) + payload_bytes)
    if rate_mbps in LONG_RANGE_RATES_MBPS:
        return long_range_preamble_us + mpdu_bits / rate_mbps
    return _PREAMBLE_US + math.ceil(mpdu_bits / rate_mbps)


def offered_load(num_senders: int, airtime_us: float, period_ms: float = 100.0) -> float:
    """Return the share of the channel's time that the senders ask for.

    >>> round(offered_load(10, airtime_us(250)), 4)
    0.2536
    """
    return num_senders * airtime_us / (1000.0 * period_ms)
