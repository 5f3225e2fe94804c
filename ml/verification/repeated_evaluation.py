"""Repeats an evaluation into another folder and compares what came out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml.errors import ConfigError, one_line
from ml.evaluation.episode_files import BASELINE_EPISODES_FILE, EPISODES_FILE
from ml.evaluation.evaluation_folder import EVALUATION_FILE, evaluation_files_in
from ml.evaluation.record_files import RECORDS_FOLDER
from ml.provenance import container_image
from ml.verification.differences import code_and_version_differences
from ml.verification.records import (
    Json,
    NamedFile,
    files_of_evaluation,
    judged_models,
    object_in,
    read_object,
)

_OWN_KEYS = frozenset({"timestamp", "config", "provenance"})
"""Keys of evaluation.json that say when and where, rather than what came out."""
_MODEL = "model"


def models_of(folder: Path, evaluation: Json) -> list[NamedFile]:
    """Return the files of weights that an evaluation's record names.

    Args:
        folder: Its folder.
        evaluation: What its record holds.
    """
    path = folder / EVALUATION_FILE
    if object_in(evaluation, "protocol", path):
        return [file for *_, file in judged_models(evaluation, path) if file is not None]
    return [file for file in files_of_evaluation(folder) if file.label == _MODEL]


def evaluation_differences(folder: Path, evaluation: Json) -> Iterator[str]:
    """Give in words what differs here from where an evaluation was made.

    Args:
        folder: Its folder.
        evaluation: What its record holds.
    """
    path = folder / EVALUATION_FILE
    provenance = object_in(evaluation, "provenance", path)
    yield from code_and_version_differences(provenance, path)
    there, here = provenance.get("container_image"), container_image()
    if there != here:
        yield f"container image: {there!r:.80} there, {here!r} here"
    for file in models_of(folder, evaluation):
        if file.state() != "ok":
            yield f"{file.label}: {file.path} is {file.state()}"


def check_has_no_evaluation(output_dir: str) -> None:
    """Refuse a folder whose evaluation would be continued.

    Raises:
        ConfigError: It holds one.
    """
    held = evaluation_files_in(Path(output_dir))
    if held:
        raise ConfigError(
            f"--output_dir must not hold an evaluation already. Got {output_dir!r} with "
            f"{held[0].name}. Choose another folder."
        )


def tell_if_equal(first: Path, second: Path) -> bool:
    """Say which rows and which results of two evaluations differ, and return whether none does.

    Args:
        first: The folder of one.
        second: The folder of the other.
    """
    rows = _files_that_differ(first, second)
    before, now = (_outcome(folder) for folder in (first, second))
    keys = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    for what, differing in (("episodes", rows), ("evaluation", keys)):
        told = f"not equal: {', '.join(differing)}" if differing else "equal"
        sys.stdout.write(f"{what}: {one_line(told)}\n")
    return not rows and not keys


def _files_that_differ(first: Path, second: Path) -> list[str]:
    """Return the names of the files of rows that two evaluations do not have in common."""
    before, now = (_rows_files(folder) for folder in (first, second))
    return [
        name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)
    ]


def _rows_files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of rows."""
    paths = [*(folder / RECORDS_FOLDER).glob("*.jsonl"), folder / EPISODES_FILE,
             folder / BASELINE_EPISODES_FILE]  # fmt: skip
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _outcome(folder: Path) -> dict[str, Any]:
    """Return what came out of an evaluation."""
    content = read_object(folder / EVALUATION_FILE)
    return {name: value for name, value in content.items() if name not in _OWN_KEYS}
