"""Reception logs for the calibration's tests, made without any of the project's radio code."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

HEADER = ("receive_time_ms", "sender", "sequence", "sender_time_ms")


def gilbert_chain(to_bad, to_good, num_frames, rng):
    """Return whether each frame is received: a two-state chain, started in its stationary law."""
    draws = rng.random(num_frames + 1)
    is_bad = draws[-1] < to_bad / (to_bad + to_good)
    received = np.empty(num_frames, dtype=bool)
    for index, draw in enumerate(draws[:-1].tolist()):
        is_bad = draw >= to_good if is_bad else draw < to_bad
        received[index] = not is_bad
    return received


def gilbert_gaps(to_bad, to_good, num_frames, rng):
    """Return the lengths of the gaps between receptions of a chain."""
    return np.diff(np.flatnonzero(gilbert_chain(to_bad, to_good, num_frames, rng))) - 1


def sent_frames(  # the arguments are a log's physics, all with a plain default
    received,
    rng,
    *,
    sender="A",
    base_ms=10.0,
    jitter_ms=1.5,
    clock_offset_ms=7000.0,
    drift_ppm=30.0,
    first_sequence=65_000,
    first_time_ms=500.0,
    period_ms=100.0,
    columns=None,
):
    """Return the rows of the frames received: sent every 100 ms, on two clocks that differ."""
    num_frames = len(received)
    sent_ms = first_time_ms + period_ms * np.arange(num_frames) + rng.uniform(0, 2, num_frames)
    arrival_ms = sent_ms + base_ms + jitter_ms * rng.standard_normal(num_frames)
    arrival_ms = arrival_ms * (1.0 + 1e-6 * drift_ppm) + clock_offset_ms
    rows = []
    for index in np.flatnonzero(received).tolist():
        extra = [] if columns is None else [values[index] for values in columns]
        sequence = (first_sequence + index) % 65_536
        rows.append([f"{arrival_ms[index]:.4f}", sender, sequence, f"{sent_ms[index]:.4f}", *extra])
    return rows


def write_log(path: Path, rows: Iterable[Sequence[object]], *, extra: Sequence[str] = ()) -> Path:
    """Write rows below a header and return the path."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*HEADER, *extra])
        writer.writerows(rows)
    return path
