"""Reads the records of one policy from an evaluation's folder, a run's folder or a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ml.bounded_files import LARGEST_RECORDS_BYTES, UnusableFileError, read_bounded_text
from ml.errors import RecordError
from ml.evaluation.episode_files import EPISODES_FILE
from ml.evaluation.episodes import EPISODE_IDENTITY, EpisodeRecord
from ml.evaluation.operating_curve import base_policy
from ml.json_files import parse_json
from ml.policies.baselines import SCRIPTED_POLICY_NAMES

RECORDS_FOLDER = "records"
WHOLE_FAMILY = "all"
"""Family of the episodes of an evaluation without a protocol."""
AS_RUN = "as run"
"""Their radio preset: the one that they were run under."""

_TEXTS = ("family", "case_id", "radio_preset", "hazard_kind")
_FLAGS = ("collision", "terminated", "hazard_is_realised")
_NUMBERS = (
    "num_peers", "hazard_source_rank", "hazard_onset_s", "hazard_requested_deceleration_mps2",
    "age_at_onset_s", "duration_s", "distance_m", "impact_speed_mps", "min_gap_m", "min_ttc_s",
    "max_required_deceleration_mps2", "time_below_ttc_1.5s_s", "time_below_ttc_3s_s",
    "time_to_braking_s", "false_alarms_1mps2", "false_alarms_3mps2", "false_alarms_5mps2",
    "num_followers", "num_follower_collisions", "follower_max_impact_mps", "jerk_p99_mps3",
    "mean_speed_mps", "mean_headway_s", "radio_delivery_ratio",
)  # fmt: skip
_COUNTS = ("false_alarms_1mps2", "false_alarms_3mps2", "false_alarms_5mps2", "num_followers",
           "num_follower_collisions")  # fmt: skip
_LARGEST = 1e12
_LONGEST_NAME = 200


class PolicyRecords(NamedTuple):
    """The records of one policy.

    Attributes:
        place: Where they were asked for, as it was given.
        path: The file that they were read from.
        rows: The records, each with its family, case and radio preset.
    """

    place: str
    path: Path
    rows: Sequence[EpisodeRecord]


def read_policy_records(place: str) -> PolicyRecords:
    """Read the records of the policy that a folder is about.

    Args:
        place: The folder of an evaluation with a protocol, which must hold one judged policy; of an
            evaluation without, or of a run; or a file of records.

    Raises:
        RecordError: There are no records, or they cannot be used.
    """
    path = _records_file(Path(place))
    rows = [_placed(row, index, path) for index, row in enumerate(_read_rows(path))]
    if not rows:
        raise RecordError(f"{path} must hold an episode. Got none. Evaluate the policy first.")
    cases = Counter((row["case_id"], row["radio_preset"]) for row in rows)
    ((case, count),) = cases.most_common(1)
    if count > 1:
        raise RecordError(
            f"cases of {path} must be there once each. Got {case[0]!r} under {case[1]!r} {count} "
            "times. Evaluate the policy again."
        )
    return PolicyRecords(place, path, rows)


def check_same_cases(reference: PolicyRecords, other: PolicyRecords) -> None:
    """Check that two policies met the same cases.

    Raises:
        RecordError: A case is missing in one, or differs in a field of ``EPISODE_IDENTITY``.
    """
    expected, found = (
        {(row["radio_preset"], row["family"], row["case_id"]): row for row in records.rows}
        for records in (reference, other)
    )
    for key in sorted(expected.keys() ^ found.keys()):
        holder, lacking = (reference, other) if key in expected else (other, reference)
        raise RecordError(
            f"episodes of {lacking.place} must be those of {holder.place}. Got none for case "
            f"{key[2]!r} of family {key[1]!r} under {key[0]!r}. Evaluate both in the same way."
        )
    for key, row in expected.items():
        for field in EPISODE_IDENTITY:
            if row.get(field) != found[key].get(field):
                raise RecordError(
                    f"{field} of case {key[2]!r} must be the same in {reference.place} and "
                    f"{other.place}. Got {row.get(field)!r:.60} and "
                    f"{found[key].get(field)!r:.60}. Compare the same seed and scenarios only."
                )


def _records_file(place: Path) -> Path:
    """Return the file that holds the records of the policy that a place is about."""
    if place.is_file():
        return place
    folder = place / RECORDS_FOLDER
    if folder.is_dir():
        return _judged_file(folder)
    if (place / EPISODES_FILE).is_file():
        return place / EPISODES_FILE
    raise RecordError(
        f"{place} must be a file of records, or a folder with {RECORDS_FOLDER}/ or "
        f"{EPISODES_FILE}. Got neither. Evaluate a policy with --output_dir first."
    )


def _judged_file(folder: Path) -> Path:
    """Return the records of the only policy that is no baseline and no variant."""
    judged = [
        path
        for path in sorted(folder.glob("*.jsonl"))
        if path.stem not in SCRIPTED_POLICY_NAMES and base_policy(path.stem) == path.stem
    ]
    if len(judged) != 1:
        names = ", ".join(path.name for path in judged) or "none"
        raise RecordError(
            f"{folder} must hold the records of one judged policy. Got {names}. Name the file to "
            "compare."
        )
    return judged[0]


def _read_rows(path: Path) -> list[EpisodeRecord]:
    """Return the lines of a file as objects; a last line without an end is left out if torn."""
    try:
        lines = read_bounded_text(path, LARGEST_RECORDS_BYTES).split("\n")
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable text in UTF-8. Got: {error}.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        is_last = number == len(lines)
        if is_last and not line:
            break
        try:
            row = parse_json(line, is_strict=False)
        except UnusableFileError as error:
            if is_last:
                break
            raise _bad_line(path, number, str(error)) from error
        if not isinstance(row, dict):
            raise _bad_line(path, number, f"{row!r:.60}")
        rows.append(row)
    return rows


def _bad_line(path: Path, number: int, found: str) -> RecordError:
    """Return the error for a line that is no record."""
    return RecordError(
        f"line {number} of {path} must be a JSON object. Got: {found}. Evaluate the policy again."
    )


def _placed(row: EpisodeRecord, index: int, path: Path) -> EpisodeRecord:
    """Return a checked record with its family, case and radio preset."""
    place = {"family": WHOLE_FAMILY, "case_id": f"{index:06d}", "radio_preset": AS_RUN}
    placed = {**place, **row}
    for names, rule, is_kept in (
        (_TEXTS, f"at most {_LONGEST_NAME} printable characters", _is_name),
        (_FLAGS, "true or false", lambda value: isinstance(value, bool)),
        (_NUMBERS, f"a number within {_LARGEST:g}", _is_number),
        (_COUNTS, "a whole number from 0", lambda value: value >= 0 and value == int(value)),
    ):
        for name in names:
            value = placed.get(name)
            is_absent = value is None and name not in place
            if not (is_absent or is_kept(value)):
                raise RecordError(
                    f"{name} in line {index + 1} of {path} must be {rule}. Got {value!r:.60}. "
                    "Evaluate the policy again."
                )
    return placed


def _is_number(value: object) -> bool:
    """Return whether a value is a number that arithmetic can take."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -_LARGEST <= value <= _LARGEST


def _is_name(value: object) -> bool:
    """Return whether a value is a text that a terminal can show."""
    return isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_NAME
