"""Reads the folder of an evaluation, and checks what a page is made from.

A page is drawn from files that may be old, cut off or edited, so everything that is computed with
is checked here: rows, and the parts of ``evaluation.json`` that have a fixed form. Recordings are
checked where they are read, by ``ml.evaluation.recording_file``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import ConfigError, RecordError
from ml.evaluation.evaluation_folder import EVALUATION_FILE, RECORDINGS_FOLDER
from ml.evaluation.record_files import RECORDS_FOLDER, read_policy_records
from ml.evaluation.worst_rows import recording_name
from ml.json_files import read_json
from ml.provenance import sha256_of_file

Row = dict[str, Any]
Json = dict[str, Any]

FAMILIES = {
    "H": "hard braking",
    "D": "deceleration grid",
    "N": "Euro NCAP braking",
    "M": "multi-hop",
    "C": "calm traffic",
    "R": "radio stress",
}
"""The families in the order of every table."""

BASELINES = ("null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle")
_LARGEST = 1e9
_QUANTITIES = (
    "age_at_onset_s", "case_deceleration_mps2", "case_headway_s", "case_source_rank", "distance_m",
    "duration_s", "impact_speed_mps",
)  # fmt: skip
"""Fields of a row that a page computes with: numbers from 0 up, or null."""


@dataclass(frozen=True)
class EvaluationFolder:
    """What was read of an evaluation.

    Attributes:
        path: The folder.
        evaluation: Content of ``evaluation.json``.
        rows_by_policy: The records of each policy, the judged ones first.
        judged: Ids of the policies that gates were judged for.
        radio_presets: Presets in the order of the protocol, then in that of the rows.
        recordings: The rows of the judged policies of which there is a recording.
        file_hashes: SHA-256 of every file read, by its path below the folder.
    """

    path: Path
    evaluation: Json
    rows_by_policy: dict[str, list[Row]]
    judged: tuple[str, ...]
    radio_presets: tuple[str, ...]
    recordings: list[Row]
    file_hashes: dict[str, str]

    @property
    def gate_presets(self) -> tuple[str, ...]:
        """Presets that the gates use: those in the protocol, or else all."""
        return _texts(self.protocol.get("radio_presets")) or self.radio_presets

    @property
    def protocol(self) -> Json:
        """What the evaluation says of its protocol."""
        protocol: Json = self.evaluation["protocol"]
        return protocol

    def plain_policies(self) -> tuple[str, ...]:
        """Return the policies of the tables: all but variants with another threshold."""
        return tuple(name for name in self.rows_by_policy if name in self.judged or "@" not in name)

    def rows(self, policy: str, radio_preset: str, family: str) -> list[Row]:
        """Return a policy's rows in one family under one radio preset."""
        return [
            row
            for row in self.rows_by_policy.get(policy, ())
            if row["radio_preset"] == radio_preset and row["family"] == family
        ]


def read_evaluation_folder(folder: Path) -> EvaluationFolder:
    """Read and check the folder of an evaluation.

    Raises:
        ConfigError: There is no evaluation in the folder.
        RecordError: A file in it cannot be used.
    """
    path = folder / EVALUATION_FILE
    if not path.is_file():
        raise ConfigError(
            f"DIR must be a folder with {EVALUATION_FILE}, as roadsense evaluate --protocol "
            f"writes it. Got {str(folder)!r}. Choose another folder."
        )
    evaluation = _read_evaluation(path)
    records = sorted((folder / RECORDS_FOLDER).glob("*.jsonl"))
    rows = {file.stem: _read_rows(file) for file in records}
    if not rows:
        raise RecordError(
            f"{folder / RECORDS_FOLDER} must hold records. Got none. Continue the evaluation."
        )
    judged = tuple(name for name in evaluation["gates"] if name in rows)
    found = [row["radio_preset"] for policy in rows.values() for row in policy]
    stated = _texts(evaluation["protocol"].get("radio_presets"))
    presets = [name for name in stated if name in set(found)]
    kept = set((folder / RECORDINGS_FOLDER).glob("*.json"))
    recordings = {
        file: row
        for name in judged
        for row in rows[name]
        if (file := folder / RECORDINGS_FOLDER / recording_name(row)) in kept
    }
    return EvaluationFolder(
        folder,
        evaluation,
        {name: rows[name] for name in _policy_order(rows, judged)},
        judged,
        tuple(dict.fromkeys([*presets, *sorted(found)])),
        list(recordings.values()),
        {
            file.relative_to(folder).as_posix(): sha256_of_file(file)
            for file in (path, *records, *recordings)
        },
    )


def _policy_order(rows: Mapping[str, object], judged: Sequence[str]) -> list[str]:
    """Return the judged policies first, then the baselines in their order, then others."""
    first = [*judged, *(name for name in BASELINES if name in rows)]
    return list(dict.fromkeys([*first, *sorted(rows)]))


def _read_evaluation(path: Path) -> Json:
    """Return the checked content of ``evaluation.json``."""
    try:
        content = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable JSON. Got: {error}. Restore it.") from error
    evaluation = _object(content, str(path))
    _check_evaluation(evaluation, path)
    return evaluation


def _read_rows(path: Path) -> list[Row]:
    """Return the checked rows of one policy."""
    rows = list(read_policy_records(str(path)).rows)
    for number, row in enumerate(rows, start=1):
        name = f"line {number} of {path}"
        if row.get("policy") != path.stem:
            raise _wrong("policy", name, "the file's name", row.get("policy"))
        if row["family"] not in FAMILIES:
            raise _wrong("family", name, f"one of {', '.join(FAMILIES)}", row["family"])
        for key in _QUANTITIES:
            value = row.get(key)
            if value is not None and not (is_number(value) and value >= 0.0):
                raise _wrong(key, name, "a number from 0 up, or null", value)
    return rows


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number that can be drawn."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value if isinstance(value, float) else 0.0)
        and abs(value) <= _LARGEST
    )


def _check_evaluation(evaluation: Json, path: Path) -> None:
    """Refuse an evaluation whose fixed parts have another form."""
    for key in ("protocol", "gates", "verdict", "provenance"):
        if not isinstance(evaluation.get(key), dict):
            raise _wrong(key, str(path), "an object", evaluation.get(key))
    for policy, gates in evaluation["gates"].items():
        name = f"gates of {policy!r:.60} in {path}"
        for gate in _list(gates, name):
            _check_statement(_object(gate, name), name)
            for check in _list(gate.get("checks", []), name):
                _check_statement(_object(check, name), name)
    curves = _object(evaluation.get("operating_curves", {}), f"operating_curves in {path}")
    for policy, points in curves.items():
        name = f"operating curve of {policy!r:.60} in {path}"
        for point in _list(points, name):
            _check_point(_object(point, name), name)


def _check_statement(entry: Json, name: str) -> None:
    """Check a gate, or one of its checks."""
    for key in ("name", "text"):
        if not isinstance(entry.get(key), str):
            raise _wrong(key, name, "a text", entry.get(key))
    if entry.get("status") not in ("pass", "fail", "open"):
        raise _wrong("status", name, "pass, fail or open", entry.get("status"))
    case_ids = entry.get("case_ids", [])
    if not isinstance(case_ids, list) or not all(isinstance(case, str) for case in case_ids):
        raise _wrong("case_ids", name, "a list of texts", case_ids)


def _check_point(point: Json, name: str) -> None:
    """Check a point of an operating curve."""
    if not isinstance(point.get("radio_preset"), str):
        raise _wrong("radio_preset", name, "a text", point.get("radio_preset"))
    threshold = point.get("threshold_mps2")
    if threshold is not None and not is_number(threshold):
        raise _wrong("threshold_mps2", name, "a number or null", threshold)
    for key, rate in (("all", "collision_rate"), ("false_alarms", "per_hour")):
        part = _object(point.get(key), f"{key} of an {name}")
        interval = part.get("interval_95")
        if part.get(rate) is None:
            continue
        is_interval = isinstance(interval, list) and len(interval) == 2
        if not (is_number(part[rate]) and is_interval and all(map(is_number, interval or ()))):
            raise _wrong(f"{rate} of {key}", name, "a number with interval_95", part)
        counts = ("episodes", "collisions") if key == "all" else ("count", "hours")
        for count in counts:
            if not is_number(part.get(count)):
                raise _wrong(f"{count} of {key}", name, "a number", part.get(count))


def _object(value: object, name: str) -> Json:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise RecordError(f"{name} must be an object. Got {value!r:.60}. Restore it.")
    return value


def _list(value: object, name: str) -> list[Any]:
    """Return a JSON list."""
    if not isinstance(value, list):
        raise RecordError(f"{name} must be a list. Got {value!r:.60}. Restore it.")
    return value


def _texts(value: object) -> tuple[str, ...]:
    """Return the texts of a list, none of anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _wrong(key: str, name: str, rule: str, value: object) -> RecordError:
    """Return the error for a value that breaks its rule."""
    return RecordError(f"{key} in {name} must be {rule}. Got {value!r:.60}. Restore the file.")
