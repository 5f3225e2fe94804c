"""From the frames that a board received to those that it missed, by their sequence numbers.

A session is a stretch in which the sender counted and kept time without a break. Within it every
number that never came is a frame that was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.errors import RadioParameterError
from ml.espnow_emulator.reception_log import (
    RESTART_STEP_MS,
    SEQUENCE_MODULUS,
    LinkRows,
    ReceptionLog,
)
from ml.types import BoolArray, FloatArray, IntArray

JUMP_FRAMES = 20.0
JUMP_SHARE = 0.1
"""Clock and sequence disagree when they differ by more than both: a break, not a loss."""
LONGEST_SILENCE_FRAMES = SEQUENCE_MODULUS // 2
"""After more than half a turn the numbers no longer tell a silence from a sender that was off."""

_LONGEST_STEP_FOR_PERIOD = 100


@dataclass(frozen=True)
class Session:
    """Frames received in one stretch, once each, in the order of their sequence numbers.

    Attributes:
        sequence: Unwrapped, rising, (num_received,).
        receive_time_ms: Of the first copy, on the receiver's clock, (num_received,) [ms].
        sender_time_ms: (num_received,) [ms].
        distance_m: (num_received,) [m], or None.
    """

    sequence: IntArray
    receive_time_ms: FloatArray
    sender_time_ms: FloatArray
    distance_m: FloatArray | None

    @property
    def num_sent(self) -> int:
        """Return the number of frames sent, from the first received to the last received."""
        return int(self.sequence[-1] - self.sequence[0]) + 1

    def part(self, first: int, end: int) -> Session:
        """Return the received frames ``first`` to ``end - 1``."""
        return Session(
            sequence=self.sequence[first:end],
            receive_time_ms=self.receive_time_ms[first:end],
            sender_time_ms=self.sender_time_ms[first:end],
            distance_m=None if self.distance_m is None else self.distance_m[first:end],
        )


@dataclass(frozen=True)
class LinkRecord:
    """All that the logs hold of one directed link.

    Attributes:
        sender: Name of the sending board.
        receiver: Name of the receiving board.
        sessions: In the order of the logs and of time.
        num_duplicates: Copies of frames received before.
        num_reordered: Frames received after a newer one.
        num_restarts: Times that the sender's clock or the receiver's began anew.
        num_jumps: Times that the sender's clock and its sequence numbers disagreed, or that it was
            not heard for half a turn of them.
    """

    sender: str
    receiver: str
    sessions: tuple[Session, ...]
    num_duplicates: int = 0
    num_reordered: int = 0
    num_restarts: int = 0
    num_jumps: int = 0

    @property
    def num_sent(self) -> int:
        """Return the number of frames sent within the sessions."""
        return sum(session.num_sent for session in self.sessions)

    @property
    def num_received(self) -> int:
        """Return the number of different frames received."""
        return sum(len(session.sequence) for session in self.sessions)

    @property
    def has_distances(self) -> bool:
        """Return whether every frame has a distance."""
        return all(session.distance_m is not None for session in self.sessions)


@dataclass(frozen=True)
class FrameOutcomes:
    """What became of every frame after a session's first, received or not.

    Attributes:
        is_received: (num_frames,).
        distance_m: Linear in the sequence between two received frames, (num_frames,) [m].
        session: Index of the frame's session, (num_frames,).
    """

    is_received: BoolArray
    distance_m: FloatArray
    session: IntArray


def collect_links(logs: Sequence[ReceptionLog]) -> tuple[LinkRecord, ...]:
    """Return each directed link's record over all logs, in the order of first appearance.

    Raises:
        RadioParameterError: A sender's clock does not move with its sequence numbers.
    """
    parts: dict[tuple[str, str], list[LinkRecord]] = {}
    for log in logs:
        for rows in log.links:
            record = split_into_sessions(rows, source=str(log.path))
            parts.setdefault((rows.sender, rows.receiver), []).append(record)
    return tuple(
        LinkRecord(
            sender=sender,
            receiver=receiver,
            sessions=tuple(session for record in records for session in record.sessions),
            num_duplicates=sum(record.num_duplicates for record in records),
            num_reordered=sum(record.num_reordered for record in records),
            num_restarts=sum(record.num_restarts for record in records),
            num_jumps=sum(record.num_jumps for record in records),
        )
        for (sender, receiver), records in parts.items()
    )


def split_into_sessions(rows: LinkRows, *, source: str) -> LinkRecord:
    """Unwrap the sequence numbers of one link in one log with the sender's clock.

    The number of frames sent since the newest frame is the one that agrees with the 16 bits and
    is nearest to time since / period. A clock of either board that steps back by more than 2 s is
    a restart. Where clock and sequence disagree by more than 20 frames and a tenth, the sender
    paused, or restarted with its clock kept. All begin a new session, and so does a silence of
    more than half a turn of the numbers.

    Args:
        rows: The link's frames in the order of reception.
        source: The log's name, for messages.

    Raises:
        RadioParameterError: The sender's clock does not move with its sequence numbers.
    """
    period_ms = _sender_period_ms(rows, source)
    numbers, times_ms = rows.sequence.tolist(), rows.sender_time_ms.tolist()
    has_receiver_restarted = (np.diff(rows.receive_time_ms) < -RESTART_STEP_MS).tolist()
    sessions: list[dict[int, int]] = [{0: 0}]
    newest, newest_row = 0, 0
    num_duplicates = num_reordered = num_restarts = num_jumps = 0
    for row in range(1, len(numbers)):
        since_ms = times_ms[row] - times_ms[newest_row]
        expected = since_ms / period_ms
        step = _unwrapped_step(numbers[row] - numbers[newest_row], expected)
        is_restart = since_ms < -RESTART_STEP_MS or has_receiver_restarted[row - 1]
        if is_restart or _is_jump(step, expected):
            num_restarts += is_restart
            num_jumps += not is_restart
            sessions.append({0: row})
            newest, newest_row = 0, row
        elif newest + step in sessions[-1]:
            num_duplicates += 1
        else:
            sessions[-1][newest + step] = row
            num_reordered += step < 0
            if step > 0:
                newest, newest_row = newest + step, row
    return LinkRecord(
        sender=rows.sender,
        receiver=rows.receiver,
        sessions=tuple(_session_of(rows, members) for members in sessions),
        num_duplicates=num_duplicates,
        num_reordered=num_reordered,
        num_restarts=num_restarts,
        num_jumps=num_jumps,
    )


def _sender_period_ms(rows: LinkRows, source: str) -> float:
    """Return the sender's time from one frame to the next, the median over short steps [ms]."""
    steps = np.diff(rows.sequence) % SEQUENCE_MODULUS
    spans_ms = np.diff(rows.sender_time_ms)
    is_short = (steps >= 1) & (steps <= _LONGEST_STEP_FOR_PERIOD) & (np.abs(spans_ms) < 1e6)
    if not is_short.any():
        return 100.0
    period_ms = float(np.median(spans_ms[is_short] / steps[is_short]))
    if period_ms <= 0.0:
        raise RadioParameterError(
            f"sender_time_ms in {source} must rise with sequence. Got a median step of "
            f"{period_ms:g} ms a frame from {rows.sender!r}. Log the time that the frame carries."
        )
    return period_ms


def _unwrapped_step(difference: int, expected: float) -> int:
    """Return the step that agrees with ``difference`` in 16 bits and is nearest to ``expected``.

    >>> _unwrapped_step(-65535, 1.2)
    1
    """
    wraps = round((expected - difference) / SEQUENCE_MODULUS)
    return difference + SEQUENCE_MODULUS * wraps


def _is_jump(step: int, expected: float) -> bool:
    """Return whether so many frames since the newest one are no loss but a break."""
    disagreement = abs(step - expected)
    return step > LONGEST_SILENCE_FRAMES or disagreement > max(
        JUMP_FRAMES, JUMP_SHARE * abs(expected)
    )


def _session_of(rows: LinkRows, members: dict[int, int]) -> Session:
    """Return the session whose frames ``members`` maps from unwrapped sequence to row."""
    sequence = np.array(sorted(members), dtype=np.int64)
    order = np.array([members[number] for number in sequence.tolist()], dtype=np.int64)
    return Session(
        sequence=sequence - sequence[0],
        receive_time_ms=rows.receive_time_ms[order],
        sender_time_ms=rows.sender_time_ms[order],
        distance_m=None if rows.distance_m is None else rows.distance_m[order],
    )


def split_for_holdout(
    sessions: Sequence[Session], share: float
) -> tuple[tuple[Session, ...], tuple[Session, ...]]:
    """Return the sessions to fit, and those of the last ``share`` of the frames.

    The cut is at the last frame received within the first part; it begins the second part too,
    so that no loss is counted in both.
    """
    num_left = round((1.0 - share) * sum(session.num_sent for session in sessions))
    fitted: list[Session] = []
    held_out: list[Session] = []
    for session in sessions:
        if share == 0.0 or num_left >= session.num_sent:
            fitted.append(session)
        elif num_left <= 0:
            held_out.append(session)
        else:
            cut = int(np.searchsorted(session.sequence, num_left, side="left"))
            fitted.append(session.part(0, cut))
            held_out.append(session.part(cut - 1, len(session.sequence)))
        num_left -= session.num_sent
    return tuple(fitted), tuple(held_out)


def gap_lengths(sessions: Sequence[Session]) -> IntArray:
    """Return how many frames were lost between each two frames received in a row."""
    gaps = [np.diff(session.sequence) - 1 for session in sessions]
    return np.concatenate([np.zeros(0, dtype=np.int64), *gaps])


def frame_outcomes(sessions: Sequence[Session]) -> FrameOutcomes:
    """Return the fate and distance of every frame after each session's first.

    Raises:
        ValueError: A session has no distances.
    """
    received, distances, indices = [], [], []
    for index, session in enumerate(sessions):
        if session.distance_m is None:
            raise ValueError("every session must have distances")
        numbers = np.arange(session.sequence[0] + 1, session.sequence[-1] + 1)
        received.append(np.isin(numbers, session.sequence, assume_unique=True))
        distances.append(np.interp(numbers, session.sequence, session.distance_m))
        indices.append(np.full(len(numbers), index, dtype=np.int64))
    return FrameOutcomes(
        is_received=np.concatenate([np.zeros(0, dtype=np.bool_), *received]),
        distance_m=np.concatenate([np.zeros(0), *distances]),
        session=np.concatenate([np.zeros(0, dtype=np.int64), *indices]),
    )
