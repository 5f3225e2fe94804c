"""The states of a run on disk: folders from which it can go on, each whole or not there.

``checkpoints/state_<steps>/`` holds ``arrays.safetensors``, and ``state.json`` with everything
else, the size and SHA-256 of the arrays, and its own hash. Reading one runs no code from it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ml.bounded_files import LARGEST_DOCUMENT_BYTES
from ml.errors import RecordError, cannot_write, one_line
from ml.json_files import read_json
from ml.provenance import sha256_of_file, sha256_of_text

STATE_FILE, ARRAYS_FILE = "state.json", "arrays.safetensors"
FORMAT_VERSION = 1
_STATE_NAME = re.compile(r"state_(\d+)")
_TEMPORARY = ".state_"


@dataclass(frozen=True)
class RunState:
    """What a run needs to go on.

    Attributes:
        num_steps: Steps that the policy has learned from.
        arrays: Numbers by name.
        content: Everything else, as JSON can hold it.
    """

    num_steps: int
    arrays: Mapping[str, npt.NDArray[Any]]
    content: Mapping[str, Any]


def state_folders(checkpoints: str | Path) -> dict[int, Path]:
    """Return the folders of states by their steps, in ascending order."""
    found = {
        int(match.group(1)): path
        for path in Path(checkpoints).glob("state_*")
        if (match := _STATE_NAME.fullmatch(path.name))
    }
    return dict(sorted(found.items()))


def write_state(
    checkpoints: str | Path, state: RunState, identity: Mapping[str, Any], num_kept: int
) -> Path:
    """Write a state whole or not at all, also if the power fails, and remove the oldest ones.

    Args:
        checkpoints: Existing folder of the states.
        state: The state.
        identity: What the state belongs to; ``newest_state`` asks for the same.
        num_kept: How many states to keep up to this one, at least 1.

    Returns:
        The state's folder.

    Raises:
        RecordError: It cannot be written.
    """
    folder = Path(checkpoints)
    target = folder / f"state_{state.num_steps}"
    try:
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=f"{_TEMPORARY}{state.num_steps}."))
        try:
            _write_files(temporary, state, identity)
            if target.exists():  # a damaged one, which the run has come to again
                shutil.rmtree(target)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        make_durable([folder])
        for old in [path for steps, path in state_folders(folder).items()
                    if steps <= state.num_steps][:-num_kept]:  # fmt: skip
            _remove(old)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target


def _write_files(folder: Path, state: RunState, identity: Mapping[str, Any]) -> None:
    """Write a state's files into a folder, and see that they are on the disk."""
    arrays = save({name: np.asarray(array, order="C") for name, array in state.arrays.items()})
    (folder / ARRAYS_FILE).write_bytes(arrays)
    content = {
        "format_version": FORMAT_VERSION,
        "num_steps": state.num_steps,
        "identity": dict(identity),
        "files": {
            ARRAYS_FILE: {
                "num_bytes": len(arrays),
                "sha256": sha256_of_file(folder / ARRAYS_FILE),
            }
        },
        "content": dict(state.content),
    }
    text = json.dumps({**content, "sha256": _hash_of(content)}, indent=1, allow_nan=False)
    (folder / STATE_FILE).write_text(text + "\n", encoding="utf-8")
    folder.chmod(0o755)
    make_durable([folder / ARRAYS_FILE, folder / STATE_FILE, folder])


def _hash_of(content: Mapping[str, Any]) -> str:
    """Return the hash of a JSON object, whatever its layout."""
    return sha256_of_text(json.dumps(content, sort_keys=True, allow_nan=False))


def _remove(folder: Path) -> None:
    """Remove a state so that half of it is never taken for one."""
    hidden = folder.with_name(f"{_TEMPORARY}{folder.name}.old")
    folder.rename(hidden)
    shutil.rmtree(hidden)


def remove_leftovers(checkpoints: str | Path) -> None:
    """Remove states that were not finished, or not removed to the end."""
    for path in Path(checkpoints).glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def make_durable(paths: Iterable[Path]) -> None:
    """Wait until files and folders are on the disk; those that are not there are left out."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def newest_state(checkpoints: str | Path, identity: Mapping[str, Any]) -> RunState | None:
    """Return the newest intact state, None without any; say on standard error what is skipped.

    Args:
        checkpoints: Folder of the states.
        identity: What the state must belong to.
    """
    for path in reversed(state_folders(checkpoints).values()):
        try:
            return read_state(path, identity)
        except RecordError as error:
            sys.stderr.write(f"skipped: {error}\n")
    return None


def read_state(folder: str | Path, identity: Mapping[str, Any]) -> RunState:
    """Read a state and check it.

    Raises:
        RecordError: It is damaged, or of another run.
    """
    path = Path(folder)
    try:
        content = read_json(path / STATE_FILE, LARGEST_DOCUMENT_BYTES)
        expected = content.pop("sha256")
        if expected != _hash_of(content):
            raise ValueError(f"another content of {STATE_FILE}")
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {content['format_version']}")
        if content["identity"] != dict(identity):
            raise ValueError("a state of another run")
        data = (path / ARRAYS_FILE).read_bytes()
        if sha256_of_file(path / ARRAYS_FILE) != content["files"][ARRAYS_FILE]["sha256"]:
            raise ValueError(f"another content of {ARRAYS_FILE}")
        return RunState(content["num_steps"], load(data), content["content"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError,
            SafetensorError) as error:  # fmt: skip
        reason = getattr(error, "strerror", None) or one_line(str(error))
        raise RecordError(
            f"{path} must be a whole state of this run. Got: {reason}. An older one is taken."
        ) from error
