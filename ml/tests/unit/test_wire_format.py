"""The message on the wire: round trips, refusals, wraps, and the table in its documentation."""

from __future__ import annotations

import dataclasses
import math
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import ConfigError, FrameFormatError
from ml.espnow_emulator.airtime import airtime_us
from ml.espnow_emulator.radio_layout import CLOCK_MODULUS_S as RADIO_CLOCK_MODULUS_S
from ml.espnow_emulator.radio_layout import SEQUENCE_MODULUS as RADIO_SEQUENCE_MODULUS
from ml.espnow_emulator.wire_format import (
    CLOCK_MODULUS_S,
    NUM_BYTES,
    SEQUENCE_MODULUS,
    WireFrame,
    check_sum,
    clock_difference_s,
    decode,
    encode,
    sequence_ahead,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "wire_format.md"
EXAMPLE = WireFrame(
    source=0x1A2B3C4D,
    sequence=65535,
    hop_count=1,
    clock_s=123.456,
    state_age_s=0.05,
    east_m=1234.56,
    north_m=-78.90,
    speed_mps=20.5,
    acceleration_mps2=-7.25,
    heading_rad=math.radians(-90.0),
)
FRAMES = st.builds(
    WireFrame,
    source=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 65535),
    hop_count=st.integers(0, 3),
    clock_s=st.floats(0.0, CLOCK_MODULUS_S - 0.001),
    state_age_s=st.floats(0.0, 65.0),
    east_m=st.floats(-1e6, 1e6),
    north_m=st.floats(-1e6, 1e6),
    speed_mps=st.floats(0.0, 600.0),
    acceleration_mps2=st.floats(-300.0, 300.0),
    heading_rad=st.floats(-math.pi, math.pi, exclude_max=True),
)


def with_check_sum(content):
    return content + struct.pack("<H", check_sum(content))


def changed(offset, value):
    """The example with one byte replaced, and its check sum right."""
    content = bytearray(encode(EXAMPLE)[:-2])
    content[offset] = value
    return with_check_sum(bytes(content))


# --- Round trips -----------------------------------------------------------------------------
@given(FRAMES)
def test_every_message_comes_back_within_half_a_step(frame):
    back = decode(encode(frame))

    assert (back.source, back.sequence, back.hop_count) == (
        frame.source,
        frame.sequence,
        frame.hop_count,
    )
    for name, half_step in (
        ("clock_s", 0.0005),
        ("state_age_s", 0.0005),
        ("east_m", 0.005),
        ("north_m", 0.005),
        ("speed_mps", 0.005),
        ("acceleration_mps2", 0.005),
    ):
        assert getattr(back, name) == pytest.approx(getattr(frame, name), abs=half_step + 1e-6)
    turn_rad = (back.heading_rad - frame.heading_rad + math.pi) % (2.0 * math.pi) - math.pi
    assert abs(turn_rad) <= math.radians(0.005) + 1e-9
    assert -math.pi <= back.heading_rad < math.pi


@given(FRAMES)
def test_what_was_decoded_has_the_same_bytes_again(frame):
    data = encode(frame)

    assert encode(decode(data)) == data


# --- What is no message ----------------------------------------------------------------------
@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_refused_in_one_line(data):
    try:
        frame = decode(data)
    except FrameFormatError as error:
        assert "\n" not in str(error)
    else:
        assert encode(frame) == data


@pytest.mark.parametrize("bit", range(8 * NUM_BYTES))
def test_a_flipped_bit_is_noticed(bit):
    data = bytearray(encode(EXAMPLE))
    data[bit // 8] ^= 1 << bit % 8

    with pytest.raises(FrameFormatError):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must have 32 bytes. Got 0"),
        (encode(EXAMPLE) + b"\0", "must have 32 bytes. Got 33"),
        (changed(0, 2), "version of a message must be 1. Got 2"),
        (changed(1, 1), "flags of a message must be 0"),
        (changed(9, 1), "flags of a message must be 0"),
        (changed(8, 4), "hop count of a message must be at most 3. Got 4"),
        (changed(29, 255), "heading of a message must be less than 36000"),
        (encode(EXAMPLE)[:-1] + b"\0", "check sum of a message must be"),
    ],
)
def test_a_refusal_says_what_is_wrong(data, message):
    with pytest.raises(FrameFormatError, match=message):
        decode(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", -1),
        ("source", 2**32),
        ("sequence", 65536),
        ("sequence", 1.0),
        ("hop_count", 4),
        ("hop_count", True),
        ("east_m", math.nan),
        ("east_m", 3e7),
        ("north_m", -math.inf),
        ("heading_rad", math.inf),
        ("clock_s", "1"),
    ],
)
def test_what_has_no_place_in_a_message_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} of a message must be"):
        encode(dataclasses.replace(EXAMPLE, **{name: value}))


# --- Ends of ranges --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("speed_mps", 1000.0, 655.35),
        ("speed_mps", -3.0, 0.0),
        ("acceleration_mps2", -1000.0, -327.68),
        ("acceleration_mps2", 1000.0, 327.67),
        ("state_age_s", 100.0, 65.535),
        ("state_age_s", -1.0, 0.0),
    ],
)
def test_a_reading_out_of_range_goes_to_the_end_of_it(name, value, expected):
    frame = decode(encode(dataclasses.replace(EXAMPLE, **{name: value})))

    assert getattr(frame, name) == pytest.approx(expected)


def test_the_clock_wraps_after_two_to_the_32_milliseconds():
    frame = decode(encode(dataclasses.replace(EXAMPLE, clock_s=4294967.296 + 1.5)))

    assert frame.clock_s == pytest.approx(1.5)
    assert clock_difference_s(frame.clock_s, 4294967.0) == pytest.approx(1.796)


@given(st.integers(0, 65535), st.integers(-32768, 32767))
def test_a_number_is_ahead_by_as_many_messages_as_were_sent_since(older, sent):
    assert sequence_ahead((older + sent) % SEQUENCE_MODULUS, older) == sent


def test_the_emulator_wraps_where_the_wire_does():
    assert RADIO_SEQUENCE_MODULUS == SEQUENCE_MODULUS
    assert RADIO_CLOCK_MODULUS_S == CLOCK_MODULUS_S


def test_a_message_fits_the_payload_that_was_measured_and_its_airtime_is_known():
    # 192 us and 8 * (36 + 7 + 32) bits at 1 Mbit/s; 90 bytes were measured
    assert NUM_BYTES == 32
    assert airtime_us(NUM_BYTES) == 192 + 8 * 75


# --- The documentation -----------------------------------------------------------------------
def test_the_example_in_the_documentation_is_what_encode_gives():
    block = re.search(r"```text\n((?:[0-9a-f]{2}\s)+)```", DOCUMENT.read_text("utf-8"))

    assert bytes.fromhex(block.group(1)) == encode(EXAMPLE)


def test_the_table_in_the_documentation_covers_every_byte_once():
    rows = re.findall(r"^\| (\d+) \| (\d) \| (u|i)(\d+) \|", DOCUMENT.read_text("utf-8"), re.M)
    spans = [(int(offset), int(size)) for offset, size, _, _ in rows]

    assert all(8 * int(size) == int(bits) for _, size, _, bits in rows)
    assert [offset for offset, _ in spans] == [
        sum(size for _, size in spans[:item]) for item in range(len(spans))
    ]
    assert sum(size for _, size in spans) == NUM_BYTES


READINGS = ("clock_s", "state_age_s", "east_m", "north_m", "speed_mps", "acceleration_mps2",
            "heading_rad")  # fmt: skip


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("value", [1e308, -1e308, 10**400, -(10**5000)], ids="abcd")
def test_a_number_too_large_to_be_divided_into_steps_is_refused(name, value):
    # 1e308 / 0.01 is more than the largest double, 1.8e308.
    with pytest.raises(ConfigError, match=f"{name} of a message must be a finite number"):
        encode(dataclasses.replace(EXAMPLE, **{name: value}))


@pytest.mark.parametrize("name", ["source", "sequence", "hop_count"])
def test_a_whole_number_of_any_length_is_refused_on_one_line(name):
    with pytest.raises(ConfigError, match="an integer of more than 60 digits"):
        encode(dataclasses.replace(EXAMPLE, **{name: 10**5000}))
