"""What every input must hold to, for the fuzzer and for the tests, which try the seeds.

A target returns, or raises what no reader may raise.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from ml.errors import ConfigError, FrameFormatError, RadioParameterError
from ml.espnow_emulator.parameters import load_radio_parameters
from ml.espnow_emulator.report_metadata import read_metadata
from ml.espnow_emulator.wire_format import NUM_BYTES, WireFrame, check_sum, decode, encode

_READINGS = struct.Struct("<III7d")
_SOURCE_LIMIT, _SEQUENCE_LIMIT, _HOP_LIMIT = 2**32, 2**16, 4
_FOLDER = Path(tempfile.mkdtemp(prefix="roadsense_fuzz_"))


class BrokenPropertyError(Exception):
    """A reader accepted an input and made something wrong of it."""


def wire_format(data: bytes) -> None:
    """Decode bytes, as they came and with the right check sum, and encode readings.

    What is decoded must be encoded to the same bytes, and what is encoded must be decoded.
    """
    content = data[: NUM_BYTES - 2]
    for received in (data, content + struct.pack("<H", check_sum(content))):
        try:
            frame = decode(received)
        except FrameFormatError as error:
            _check_line(str(error))
        else:
            _check(encode(frame) == received, "decoded and encoded again", received)
    if len(data) >= _READINGS.size:
        source, sequence, hops, *readings = _READINGS.unpack_from(data)
        _encode_and_decode(
            WireFrame(
                source % _SOURCE_LIMIT, sequence % _SEQUENCE_LIMIT, hops % _HOP_LIMIT, *readings
            )
        )


def parameters(data: bytes) -> None:
    """Read bytes as an emulator parameter file, and what it says of itself."""
    path = _FOLDER / "parameters.json"
    path.write_bytes(data)
    try:
        load_radio_parameters(path)
        read_metadata(path)
    except RadioParameterError as error:
        _check_line(str(error))


TARGETS = {"wire_format": wire_format, "parameters": parameters}


def _encode_and_decode(frame: WireFrame) -> None:
    """Encode a message, or see it refused on one line."""
    try:
        sent = encode(frame)
    except ConfigError as error:
        _check_line(str(error))
    else:
        _check(encode(decode(sent)) == sent, "encoded and decoded", sent)


def _check_line(text: str) -> None:
    """Check that a refusal is one printable line."""
    _check(text.isprintable() and bool(text.strip()), "refused", text)


def _check(is_kept: bool, what: str, value: object) -> None:
    """Raise what the fuzzer stops at."""
    if not is_kept:
        raise BrokenPropertyError(f"{value!r} was {what}, and is not as it must be.")
