"""Recordings as files: small, checked when they are read, written whole or not at all.

A file holds the messages as columns, each value once for a frame, and fates as numbers, since they
are most of a recording. All else is as ``record_episode`` returns it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import RecordError
from ml.json_files import read_json
from ml.json_schema import check_form
from ml.provenance import write_text_atomically

if TYPE_CHECKING:
    from ml.evaluation.recording import Recording

FATES = ("delivered", "lost", "relayed", "stale")
"""A file names a fate by its place here."""

_COLUMNS = ("sender", "sent_s", "received_s", "fate", "hops")
_SCHEMA_PATH = Path(__file__).with_name("recording.schema.json")


def write_recording(path: str | Path, recording: Recording) -> None:
    """Write a recording.

    Raises:
        RecordError: The file cannot be written.
    """
    rows = [{**row, "fate": FATES.index(row["fate"])} for row in recording["messages"]]
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    content = {**recording, "messages": columns}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    write_text_atomically(path, text + "\n")


def read_recording(path: str | Path) -> Recording:
    """Read a recording back as ``record_episode`` returned it.

    Raises:
        RecordError: The file cannot be read, or is no recording.
    """
    try:
        content = read_json(path, LARGEST_DOCUMENT_BYTES)
        check_form(content, _SCHEMA_PATH)
    except UnusableFileError as error:
        raise _no_recording(path, str(error)) from error
    problem = _inconsistency(content)
    if problem is not None:
        raise _no_recording(path, problem)
    return {**content, "messages": _messages(content["messages"])}


def _no_recording(path: str | Path, reason: str) -> RecordError:
    """Return the error for a file that holds something else."""
    return RecordError(
        f"{path} must be a recording that roadsense replay wrote. Got {reason}. Record it again."
    )


def _inconsistency(content: Mapping[str, Any]) -> str | None:
    """Return what does not fit together in content of the right form, None if all does."""
    cars, columns = content["cars"], content["messages"]
    num_cars, num_steps = len(cars), len(cars[0]["x_m"])
    parts = (*cars, content["ego"], *content["heard"])
    lengths = {len(series) for part in parts for series in part.values() if _is_list(series)}
    checks = (
        (num_steps > 0, "no steps"),
        (lengths == {num_steps}, "series of different lengths"),
        ([car["rank"] for car in cars] == list(range(num_cars)), "cars not in their order"),
        (
            [heard["rank"] for heard in content["heard"]] == list(range(1, num_cars)),
            "heard of other cars than the ego's peers",
        ),
        (
            len({len(column) for column in columns.values()}) == 1,
            "messages with columns of different lengths",
        ),
        (
            all(1 <= sender < num_cars for sender in columns["sender"]),
            "a message of a car that is not there",
        ),
    )
    return next((problem for is_kept, problem in checks if not is_kept), None)


def _is_list(value: object) -> bool:
    """Return whether a value of a car, or of what is heard of it, is a series."""
    return isinstance(value, list)


def _messages(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the messages one by one."""
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    return [
        {"sender": sender, "receiver": 0, "sent_s": sent_s, "received_s": received_s,
         "fate": FATES[fate], "hops": hops}
        for sender, sent_s, received_s, fate, hops in rows
    ]  # fmt: skip
