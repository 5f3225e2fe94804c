"""The reader of reception logs: which frames a board received, one line a frame, in CSV.

Anything that is not exactly a log is refused in one line that names file, line, column and rule.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.errors import RadioParameterError, nearest_name_hint
from ml.espnow_emulator.value_checks import shown
from ml.types import FloatArray, IntArray

REQUIRED_COLUMNS = ("receive_time_ms", "sender", "sequence", "sender_time_ms")
OPTIONAL_COLUMNS = ("distance_m", "receiver")
DEFAULT_RECEIVER = "ego"
SEQUENCE_MODULUS = 65536
CLOCK_MODULUS_MS = 2.0**32
"""Boards count milliseconds in 32 bits."""
RESTART_STEP_MS = 2000.0
"""A clock that steps back by more than this is a restart [ms], as in the emulator."""
LARGEST_FILE_BYTES = 64 * 2**20
"""Two million frames: 50 hours of one link at 10 Hz."""

_LARGEST = {
    "receive_time_ms": 1e14,
    "sequence": SEQUENCE_MODULUS - 1,
    "sender_time_ms": 1e14,
    "distance_m": 10_000.0,
}
_LONGEST_NAME = 64
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_ADVICE = "Correct or delete the line."


@dataclass(frozen=True)
class LinkRows:
    """The frames of one directed link in one log, in the order of reception.

    Attributes:
        sender: Name of the sending board.
        receiver: Name of the receiving board.
        line: Line of the file, (num_frames,).
        receive_time_ms: On the receiver's clock, without wraps, (num_frames,) [ms]. It falls only
            where the receiver restarted.
        sequence: 16 bits, as in the frame, (num_frames,).
        sender_time_ms: As in the frame, without wraps, (num_frames,) [ms].
        distance_m: Between the boards at reception, (num_frames,) [m]; None if the log has none.
    """

    sender: str
    receiver: str
    line: IntArray
    receive_time_ms: FloatArray
    sequence: IntArray
    sender_time_ms: FloatArray
    distance_m: FloatArray | None


@dataclass(frozen=True)
class ReceptionLog:
    """One log file.

    Attributes:
        path: Where it is.
        links: Its directed links, in the order of their first frames.
    """

    path: Path
    links: tuple[LinkRows, ...]

    @property
    def num_frames(self) -> int:
        """Return the number of lines that hold a frame."""
        return sum(len(link.line) for link in self.links)


def read_reception_log(path: str | Path, *, is_two_way: bool = False) -> ReceptionLog:
    """Read a log of received frames.

    Args:
        path: CSV in UTF-8, separated by commas. The first line names the columns, in any order.
        is_two_way: ``sender_time_ms`` is on the receiver's clock, so no frame may be received
            before it.

    Returns:
        The frames, by directed link.

    Raises:
        RadioParameterError: It cannot be read, or a line of it is not as it must be.
    """
    source = Path(path)
    reader = csv.reader(io.StringIO(_text_of(source), newline=""), strict=True)
    try:
        filled = (row for row in reader if any(cell.strip() for cell in row))
        header = next(filled, None)
        if header is None:
            raise RadioParameterError(
                f"{source} must be a reception log. Got an empty file. Its first line is "
                f"{','.join(REQUIRED_COLUMNS)}."
            )
        columns = [name.strip().lower() for name in header]
        _check_columns(columns, source)
        lines = ((reader.line_num, row) for row in filled)
        links = _links_of(lines, columns, source)
    except csv.Error as error:
        raise RadioParameterError(
            f"{source} line {reader.line_num} must be CSV. Got: {error}. {_ADVICE}"
        ) from None
    if not links:
        raise RadioParameterError(
            f"{source} must hold a frame. Got a header alone. A log in which nothing was received "
            "cannot tell a loss of 100 % from a sender that was off. Record again."
        )
    for link in links:
        _check_order(link, source)
        if is_two_way:
            _check_round_trips(link, source)
    return ReceptionLog(path=source, links=links)


def _text_of(source: Path) -> str:
    """Return the file's text without its byte order mark."""
    try:
        if source.exists() and not source.is_file():
            raise RadioParameterError(
                f"{source} must be a regular file. Got a directory, device or pipe. "
                "Give the path of a CSV file."
            )
        num_bytes = source.stat().st_size
        if num_bytes > LARGEST_FILE_BYTES:
            raise RadioParameterError(
                f"{source} must be at most {LARGEST_FILE_BYTES // 2**20} MiB. "
                f"Got {num_bytes / 2**20:.0f} MiB. Split it in time and give both parts."
            )
        content = source.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, RadioParameterError):
            raise
        raise RadioParameterError(
            f"{source} must be a readable reception log. Got: {reason}. "
            "Give the path of a CSV file."
        ) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RadioParameterError(
            f"{source} line {line} must be UTF-8 text. Got the byte "
            f"0x{content[error.start]:02x}. Save the log as UTF-8 CSV."
        ) from None


def _check_columns(columns: list[str], source: Path) -> None:
    """Refuse columns that are unknown, given twice or missing."""
    known = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
    for name in columns:
        if name not in known:
            raise RadioParameterError(
                f"column {shown(name)} in {source} line 1 must be a known one, and columns are "
                f"separated by commas. {nearest_name_hint(name, known)}"
            )
        if columns.count(name) > 1:
            raise RadioParameterError(
                f"column {name} in {source} line 1 must be given once. Got "
                f"{columns.count(name)} times. Delete the others."
            )
    for name in REQUIRED_COLUMNS:
        if name not in columns:
            raise RadioParameterError(
                f"column {name} in {source} line 1 must be there. Got {', '.join(columns)}. "
                "Add it; docs/calibration.md says what it holds."
            )


def _links_of(
    lines: Iterator[tuple[int, list[str]]], columns: list[str], source: Path
) -> tuple[LinkRows, ...]:
    """Read the lines below the header into one set of arrays for each directed link."""
    numbers = [name for name in columns if name in _LARGEST]
    place = {name: index for index, name in enumerate(columns)}
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    for line, row in lines:
        where = f"{source} line {line}"
        if len(row) != len(columns):
            raise RadioParameterError(
                f"{where} must have {len(columns)} cells, as the header has. Got {len(row)}. "
                f"{_ADVICE}"
            )
        sender = _name_in(row[place["sender"]], "sender", where)
        receiver = DEFAULT_RECEIVER
        if "receiver" in place:
            receiver = _name_in(row[place["receiver"]], "receiver", where)
        if sender == receiver:
            raise RadioParameterError(
                f"sender in {where} must be another board than the receiver. Got {sender!r} for "
                f"both. {_ADVICE}"
            )
        cells = rows.setdefault((sender, receiver), {name: [] for name in ("line", *numbers)})
        cells["line"].append(line)
        for name in numbers:
            cells[name].append(_number_in(row[place[name]], name, where))
    return tuple(
        LinkRows(
            sender=sender,
            receiver=receiver,
            line=np.array(cells["line"], dtype=np.int64),
            receive_time_ms=_without_wraps(np.array(cells["receive_time_ms"])),
            sequence=np.array(cells["sequence"], dtype=np.int64),
            sender_time_ms=_without_wraps(np.array(cells["sender_time_ms"])),
            distance_m=np.array(cells["distance_m"]) if "distance_m" in cells else None,
        )
        for (sender, receiver), cells in rows.items()
    )


def _without_wraps(times_ms: FloatArray) -> FloatArray:
    """Return times of a clock that may have gone through its 32 bits, as if it had more [ms].

    Times that 32 bits cannot hold, such as those since 1970, have not wrapped.
    """
    if times_ms.max() >= CLOCK_MODULUS_MS:
        return times_ms
    return np.unwrap(times_ms, period=CLOCK_MODULUS_MS)


def _name_in(cell: str, column: str, where: str) -> str:
    """Return a board's name."""
    name = cell.strip()
    if not (1 <= len(name) <= _LONGEST_NAME and name.isprintable()):
        raise RadioParameterError(
            f"{column} in {where} must be 1 to {_LONGEST_NAME} printable characters. "
            f"Got {shown(name)}. {_ADVICE}"
        )
    return name


def _number_in(cell: str, column: str, where: str) -> float:
    """Return a cell's number, which must be in its column's range."""
    text = cell.strip()
    is_sequence = column == "sequence"
    pattern, kind = (_WHOLE_NUMBER, "a whole number") if is_sequence else (_NUMBER, "a number")
    value = float(text) if pattern.fullmatch(text) else math.nan
    largest = _LARGEST[column]
    if not 0.0 <= value <= largest:
        advice = "Log the 16 bits that the frame carries." if is_sequence else _ADVICE
        raise RadioParameterError(
            f"{column} in {where} must be {kind} in [0, {largest:.15g}]. Got {shown(text)}. "
            f"{advice}"
        )
    return value


def _check_order(link: LinkRows, source: Path) -> None:
    """Refuse lines that are not in the order of reception."""
    steps_ms = np.diff(link.receive_time_ms)
    steps = np.flatnonzero((steps_ms < 0.0) & (steps_ms >= -RESTART_STEP_MS))
    if len(steps):
        here = int(steps[0]) + 1
        raise RadioParameterError(
            f"receive_time_ms in {source} line {link.line[here]} must not be before the frame "
            f"from {link.sender!r} above it, {link.receive_time_ms[here - 1]:.15g}, or else by "
            f"more than {RESTART_STEP_MS:g}, which is a restart. "
            f"Got {link.receive_time_ms[here]:.15g}. Write lines in the order of reception."
        )


def _check_round_trips(link: LinkRows, source: Path) -> None:
    """Refuse an echo that came back before its frame was sent."""
    early = np.flatnonzero(link.receive_time_ms < link.sender_time_ms)
    if len(early):
        here = int(early[0])
        raise RadioParameterError(
            f"sender_time_ms in {source} line {link.line[here]} must be at most receive_time_ms "
            f"with --two_way, {link.receive_time_ms[here]:.15g}. "
            f"Got {link.sender_time_ms[here]:.15g}. Log the echo's original send time on the "
            "receiver's own clock."
        )
