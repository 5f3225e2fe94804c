"""What a board broadcasts, byte for byte: one packed little-endian message of 32 bytes.

The emulator carries readings as numbers and rounds them to the steps below. This module is for
boards, logs and tools: it turns a message into bytes and back. docs/wire_format.md has the table.
"""

from __future__ import annotations

import binascii
import math
import struct
from dataclasses import dataclass

from ml.errors import ConfigError, FrameFormatError
from ml.espnow_emulator.value_checks import shown

VERSION = 1
POSITION_QUANTUM_M = 0.01
SPEED_QUANTUM_MPS = 0.01
ACCELERATION_QUANTUM_MPS2 = 0.01
HEADING_QUANTUM_DEG = 0.01
SEQUENCE_MODULUS = 1 << 16
CLOCK_MODULUS_S = (1 << 32) / 1000.0
LARGEST_HOP_COUNT = 3
_LAYOUT = struct.Struct("<BBIHBBIHiiHhHH")
"""Version, flags, source, sequence, hop count, reserved, clock [ms], state age [ms], east and north
[cm], speed [cm/s], acceleration [cm/s^2], heading [0.01 deg], check sum."""
NUM_BYTES = _LAYOUT.size
_CHECK_SUM = struct.Struct("<H")
_NUM_HEADINGS = 36_000
_LARGEST = 1e300
_UINT16, _INT16, _UINT32, _INT32 = (1 << 16) - 1, (1 << 15) - 1, (1 << 32) - 1, (1 << 31) - 1


@dataclass(frozen=True)
class WireFrame:
    """One message, in SI units.

    Attributes:
        source: The sender's number: the low four bytes of its hardware address.
        sequence: Number of the message, modulo SEQUENCE_MODULUS.
        hop_count: Relays that it came over.
        clock_s: The sender's clock at transmission, modulo CLOCK_MODULUS_S [s].
        state_age_s: Age of the state at transmission, as the sender knows it [s].
        east_m: Position in a frame that the convoy shares [m].
        north_m: See ``east_m`` [m].
        speed_mps: Speed [m/s].
        acceleration_mps2: Acceleration along the car [m/s^2].
        heading_rad: Anticlockwise from east, in [-pi, pi) [rad].
    """

    source: int
    sequence: int
    hop_count: int
    clock_s: float
    state_age_s: float
    east_m: float
    north_m: float
    speed_mps: float
    acceleration_mps2: float
    heading_rad: float


def encode(frame: WireFrame) -> bytes:
    """Return a message's bytes.

    Readings are rounded to their steps. Speed, acceleration and age saturate at the ends of their
    ranges, because a sensor may read anything; the clock wraps.

    Raises:
        ConfigError: A value is not finite, or is no number, count or position that has a place.

    >>> len(encode(WireFrame(7, 1, 0, 2.0, 0.0, 10.0, -5.0, 20.0, -8.0, 0.0)))
    32
    """
    _check_whole("source", frame.source, _UINT32)
    _check_whole("sequence", frame.sequence, SEQUENCE_MODULUS - 1)
    _check_whole("hop_count", frame.hop_count, LARGEST_HOP_COUNT)
    heading_deg = math.degrees(_finite("heading_rad", frame.heading_rad))
    body = _LAYOUT.pack(
        VERSION,
        0,
        frame.source,
        frame.sequence,
        frame.hop_count,
        0,
        _steps("clock_s", frame.clock_s, 0.001) % (_UINT32 + 1),
        _saturated("state_age_s", frame.state_age_s, 0.001, (0, _UINT16)),
        _position("east_m", frame.east_m),
        _position("north_m", frame.north_m),
        _saturated("speed_mps", frame.speed_mps, SPEED_QUANTUM_MPS, (0, _UINT16)),
        _saturated(
            "acceleration_mps2",
            frame.acceleration_mps2,
            ACCELERATION_QUANTUM_MPS2,
            (-_INT16 - 1, _INT16),
        ),
        round(heading_deg / HEADING_QUANTUM_DEG) % _NUM_HEADINGS,
        0,
    )
    content = body[: -_CHECK_SUM.size]
    return content + _CHECK_SUM.pack(check_sum(content))


def decode(data: bytes) -> WireFrame:
    """Return the message that some bytes hold.

    Raises:
        FrameFormatError: They are no message of this version: length, version, reserved bits,
            hop count, heading or check sum are wrong.
    """
    if len(data) != NUM_BYTES:
        raise FrameFormatError(
            f"a message must have {NUM_BYTES} bytes. Got {len(data)}. Drop the frame."
        )
    (version, flags, source, sequence, hops, reserved, clock, age, east, north, *rest) = (
        _LAYOUT.unpack(data)
    )
    speed, acceleration, heading, received_sum = rest
    expected_sum = check_sum(data[: -_CHECK_SUM.size])
    for name, is_right, rule, value in (
        ("version", version == VERSION, str(VERSION), version),
        ("check sum", received_sum == expected_sum, f"{expected_sum:#06x}", f"{received_sum:#06x}"),
        ("flags", flags == 0 and reserved == 0, "0", flags or reserved),
        ("hop count", hops <= LARGEST_HOP_COUNT, f"at most {LARGEST_HOP_COUNT}", hops),
        ("heading", heading < _NUM_HEADINGS, f"less than {_NUM_HEADINGS}", heading),
    ):
        if not is_right:
            raise FrameFormatError(
                f"{name} of a message must be {rule}. Got {value}. Drop the frame."
            )
    heading_deg = heading * HEADING_QUANTUM_DEG
    return WireFrame(
        source=source,
        sequence=sequence,
        hop_count=hops,
        clock_s=clock / 1000.0,
        state_age_s=age / 1000.0,
        east_m=east * POSITION_QUANTUM_M,
        north_m=north * POSITION_QUANTUM_M,
        speed_mps=speed * SPEED_QUANTUM_MPS,
        acceleration_mps2=acceleration * ACCELERATION_QUANTUM_MPS2,
        heading_rad=math.radians(heading_deg - 360.0 if heading_deg >= 180.0 else heading_deg),
    )


def check_sum(data: bytes) -> int:
    """Return the CRC-16 of some bytes: polynomial 0x1021, started at 0xFFFF, nothing reflected.

    >>> hex(check_sum(b"123456789"))
    '0x29b1'
    """
    return binascii.crc_hqx(data, 0xFFFF)


def sequence_ahead(newer: int, older: int) -> int:
    """Return by how many messages one number is ahead of another, negative when it is behind.

    Source: serial number arithmetic, RFC 1982.

    >>> sequence_ahead(3, 65534), sequence_ahead(65534, 3)
    (5, -5)
    """
    half = SEQUENCE_MODULUS // 2
    return (newer - older + half) % SEQUENCE_MODULUS - half


def clock_difference_s(newer_s: float, older_s: float) -> float:
    """Return the time from one reading of a clock to another, over its wrap after 49.7 days [s].

    >>> clock_difference_s(1.0, CLOCK_MODULUS_S - 2.0)
    3.0
    """
    half_s = CLOCK_MODULUS_S / 2.0
    return (newer_s - older_s + half_s) % CLOCK_MODULUS_S - half_s


def _finite(name: str, value: float) -> float:
    """Return a value that is a finite number, and stays one when it is divided into steps."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and -_LARGEST <= value <= _LARGEST):
        raise ConfigError(
            f"{name} of a message must be a finite number within {_LARGEST:g}. Got {shown(value)}."
        )
    return float(value)


def _check_whole(name: str, value: int, largest: int) -> None:
    """Refuse what is no whole number in [0, largest]."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and 0 <= value <= largest):
        raise ConfigError(
            f"{name} of a message must be a whole number in [0, {largest}]. Got {shown(value)}."
        )


def _steps(name: str, value: float, quantum: float) -> int:
    """Return a value in whole steps, the nearest."""
    return round(_finite(name, value) / quantum)


def _saturated(name: str, value: float, quantum: float, bounds: tuple[int, int]) -> int:
    """Return a value in whole steps, at the nearer end where it is out of its range."""
    return min(max(_steps(name, value, quantum), bounds[0]), bounds[1])


def _position(name: str, value: float) -> int:
    """Return a coordinate in whole steps; one that is too far away has no place."""
    steps = _steps(name, value, POSITION_QUANTUM_M)
    if not -_INT32 - 1 <= steps <= _INT32:
        limit_m = _INT32 * POSITION_QUANTUM_M
        raise ConfigError(
            f"{name} of a message must be in [-{limit_m:.0f}, {limit_m:.0f}] m. Got {value!r}."
        )
    return steps
