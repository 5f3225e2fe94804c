"""Reads what a run's or an evaluation's records name; what they hold is not trusted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.command_line import path_text
from ml.envs.scenario_manager import MANIFEST_FILE
from ml.errors import RecordError
from ml.evaluation.evaluation_folder import EVALUATION_FILE, RUN_MANIFEST
from ml.evaluation.record_files import RECORDS_FOLDER
from ml.file_sums import is_sha256
from ml.json_files import read_json
from ml.policies.checkpoint import (
    MODEL_FILE,
    PACKAGED_FOLDER,
    PACKAGED_MODEL_FILE,
    is_packaged_policy,
    model_files,
)
from ml.provenance import sha256_of_file
from ml.training.run_folder import METRICS_FILE

DATASET_MANIFEST = "dataset_manifest"
_RESTORE = "Restore the record."

Json = dict[str, Any]
Line = tuple[str, str]
"""The state, and what it is about."""


@dataclass(frozen=True)
class NamedFile:
    """A file that a record names.

    Attributes:
        label: What it is called on its line.
        path: Where it is.
        sha256: Its recorded hash.
    """

    label: str
    path: Path
    sha256: str

    def state(self) -> str:
        """Return ``ok``, ``changed`` or ``missing``; a device or a pipe is never opened."""
        if not self.path.is_file():
            return "missing"
        return "ok" if sha256_of_file(self.path) == self.sha256 else "changed"


def read_object(path: Path) -> Json:
    """Read a JSON object.

    Raises:
        RecordError: The file is missing, or holds something else.
    """
    if not path.is_file():
        raise RecordError(
            f"{path} must be a record of a run or of an evaluation. Got no such file. "
            "Name the folder of a finished one."
        )
    try:
        content = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable JSON. Got: {error}. Restore it.") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path} must hold an object. Got {content!r:.60}. Restore it.")
    return content


def object_in(holder: Mapping[str, Any], name: str, path: Path) -> Json:
    """Return an object of a record, empty where it is null or absent.

    Raises:
        RecordError: Something else is there.
    """
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RecordError(f"{name} in {path} must be an object. Got {value!r:.60}. {_RESTORE}")
    return value


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, rather than an evaluation.

    Raises:
        RecordError: It holds neither.
    """
    if (folder / RUN_MANIFEST).is_file():
        return True
    if (folder / EVALUATION_FILE).is_file():
        return False
    raise RecordError(
        f"{folder} must hold {RUN_MANIFEST} of a run or {EVALUATION_FILE} of an evaluation. Got "
        "neither. Name the folder of a finished one."
    )


def files_of_run(folder: Path, dataset_dir: str | None) -> list[NamedFile]:
    """Return every file that the records of a run name.

    Args:
        folder: The run's folder.
        dataset_dir: Where the dataset is now, None for where the manifest says.

    Raises:
        RecordError: A record is damaged, the run is not complete, or a name leaves the folder.
    """
    path = folder / RUN_MANIFEST
    manifest = read_object(path)
    if manifest.get("status") != "complete":
        raise RecordError(
            f"status in {path} must be 'complete'. Got {manifest.get('status')!r:.60}. Only a "
            "finished run can be verified."
        )
    named = list(_inputs(manifest, path, dataset_dir))
    named += files_below(folder, object_in(manifest, "outputs", path), f"outputs in {path}")
    metrics_path = folder / METRICS_FILE
    metrics = read_object(metrics_path)
    hashes = object_in(object_in(metrics, "provenance", metrics_path), "sha256", metrics_path)
    named += files_below(folder, hashes, f"provenance.sha256 in {metrics_path}")
    models = object_in(metrics, "models", metrics_path)
    for name in models:
        model = object_in(models, name, metrics_path)
        if model:
            entry: Mapping[Any, Any] = {model.get("file"): model.get("sha256")}
            named += files_below(folder, entry, f"models.{name} in {metrics_path}")
    return list(dict.fromkeys(named))


def files_of_evaluation(folder: Path) -> list[NamedFile]:
    """Return every file that the record of an evaluation names.

    Raises:
        RecordError: The record is damaged, or a name leaves the folder.
    """
    path = folder / EVALUATION_FILE
    evaluation = read_object(path)
    provenance = object_in(evaluation, "provenance", path)
    named = files_below(folder, object_in(provenance, "sha256", path), f"provenance in {path}")
    records = {
        f"{RECORDS_FOLDER}/{policy}.jsonl": sha256
        for policy, sha256 in object_in(provenance, "records_sha256", path).items()
    }
    named += files_below(folder, records, f"provenance.records_sha256 in {path}")
    if provenance.get("model_sha256") is not None:
        model = checked_path(object_in(evaluation, "config", path).get("model"), f"model in {path}")
        sha256 = _hash(provenance["model_sha256"], path)
        named.append(NamedFile("model", _weights_file(model), sha256))
    return named


def _weights_file(model: Path) -> Path:
    """Return the file of a model whose hash an evaluation records: the tensors, if it has any."""
    file = model / MODEL_FILE if model.is_dir() else model
    if is_packaged_policy(model):
        file = PACKAGED_FOLDER / PACKAGED_MODEL_FILE
    tensors = model_files(file)[1]
    return tensors if tensors.is_file() else file


def _inputs(manifest: Json, path: Path, dataset_dir: str | None) -> Iterator[NamedFile]:
    """Give the inputs of a run."""
    inputs = object_in(manifest, "inputs", path)
    for name in inputs:
        entry = object_in(inputs, name, path)
        place = checked_path(entry.get("path"), f"inputs.{name}.path in {path}")
        if name == DATASET_MANIFEST and dataset_dir is not None:
            place = Path(dataset_dir) / MANIFEST_FILE
        yield NamedFile(f"input {name}", place, _hash(entry.get("sha256"), path))


def policies_in(evaluation: Json, path: Path) -> dict[str, Json]:
    """Return what the record of an evaluation by a protocol says of each policy, by its id.

    Raises:
        RecordError: It is damaged.
    """
    entries = evaluation.get("policies")
    policies: dict[str, Json] = {}
    for entry in entries if isinstance(entries, list) else [None]:
        name = entry.get("id") if isinstance(entry, dict) else None
        if entry is None or not isinstance(name, str) or PurePosixPath(name).name != name:
            raise RecordError(
                f"policies in {path} must be objects, each with an id that can be a file's name. "
                f"Got {entry!r:.60}. {_RESTORE}"
            )
        checked_path(f"{name}.jsonl", f"id of a policy in {path}")
        policies[name] = entry
    return policies


def judged_models(
    evaluation: Json, path: Path
) -> Iterator[tuple[str, str | None, NamedFile | None]]:
    """Give each judged policy's id, what ``--model`` named, and the file of its weights.

    Args:
        evaluation: The record of an evaluation by a protocol.
        path: Its file.

    Yields:
        No name where an older record lacks it; no file for a scripted policy.

    Raises:
        RecordError: The record is damaged.
    """
    for policy_id, entry in policies_in(evaluation, path).items():
        if entry.get("role") != "judged":
            continue
        name = entry.get("model")
        if name is None:
            yield policy_id, None, None
            continue
        model = checked_path(name, f"model of {policy_id} in {path}")
        if entry.get("is_scripted") is True:
            yield policy_id, str(model), None
            continue
        weights = NamedFile(
            f"model of {policy_id}", _weights_file(model), _hash(entry.get("sha256"), path)
        )
        yield policy_id, str(model), weights


def files_below(folder: Path, hashes: Mapping[Any, Any], place: str) -> list[NamedFile]:
    """Return files of the folder itself.

    Args:
        folder: The folder.
        hashes: SHA-256 by the file's name.
        place: What holds them, for messages.

    Raises:
        RecordError: A name leads out of the folder, or a hash is none.
    """
    named = []
    for name, sha256 in hashes.items():
        relative = PurePosixPath(checked_path(name, place))
        is_out = relative.is_absolute() or ".." in relative.parts
        if is_out or not (folder / relative).resolve().is_relative_to(folder.resolve()):
            raise RecordError(
                f"{place} must name files of the folder only. Got {name!r:.200}. {_RESTORE}"
            )
        named.append(NamedFile(str(relative), folder / relative, _hash(sha256, Path(place))))
    return named


def checked_path(value: object, name: str) -> Path:
    """Return a path of a record that the command line would accept as well.

    Raises:
        RecordError: It would not.
    """
    try:
        return Path(path_text(value if isinstance(value, str) else ""))
    except argparse.ArgumentTypeError as error:
        raise RecordError(f"{name} must be a path. Got {value!r:.200}: {error}") from error


def _hash(value: object, path: Path) -> str:
    """Return a recorded hash."""
    if is_sha256(value):
        return str(value)
    raise RecordError(
        f"SHA-256 in {path} must be 64 hexadecimal digits. Got {value!r:.80}. {_RESTORE}"
    )
