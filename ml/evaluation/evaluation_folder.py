"""The folder of an evaluation by a protocol: one writer at a time, and only equals continue it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.command_line import check_output_folder
from ml.errors import ConfigError, RecordError
from ml.evaluation.episode_files import BASELINE_EPISODES_FILE, EPISODES_FILE
from ml.evaluation.record_files import RECORDS_FOLDER
from ml.file_sums import SUMS_FILE
from ml.json_files import read_json
from ml.provenance import write_json_atomically

EVALUATION_FILE = "evaluation.json"
INPUTS_FILE = "inputs.json"
PROTOCOL_FILE = "protocol.toml"
REPORT_FILE = "report.html"
RECORDINGS_FOLDER = "recordings"
RUN_MANIFEST = "manifest.json"

_FILES = (
    EVALUATION_FILE, INPUTS_FILE, PROTOCOL_FILE, REPORT_FILE, EPISODES_FILE,
    BASELINE_EPISODES_FILE, SUMS_FILE,
)  # fmt: skip
_FILES_BELOW = (f"{RECORDS_FOLDER}/*.jsonl", f"{RECORDINGS_FOLDER}/*.json")
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class EvaluationInputs:
    """What every row of an evaluation depends on.

    Attributes:
        protocol: The protocol's name.
        protocol_sha256: Its hash.
        scenarios_sha256: Hash of the manifest of its scenarios.
        code_sha256: Hash of the package's code.
        versions: Version of each package that can change a result.
        policies: Hash of each policy.
    """

    protocol: str
    protocol_sha256: str
    scenarios_sha256: str
    code_sha256: str
    versions: Mapping[str, str]
    policies: Mapping[str, str]


def check_evaluation_folder(folder: Path, *, is_overwriting: bool) -> None:
    """Check that a folder can take an evaluation by a protocol, or continue one.

    Raises:
        ConfigError: It cannot.
    """
    if (folder / RUN_MANIFEST).exists():
        raise ConfigError(
            f"--output_dir must not be a run's own folder. Got {str(folder)!r}. Choose a folder "
            "below it."
        )
    is_other = (folder / EVALUATION_FILE).exists() and not (folder / INPUTS_FILE).exists()
    if is_other and not is_overwriting:
        raise ConfigError(
            f"--output_dir must not hold an evaluation without a protocol. Got {str(folder)!r}. "
            "Choose another folder, or add --overwrite."
        )
    check_output_folder(folder)


def clear_evaluation(folder: Path) -> None:
    """Remove what an evaluation left in a folder, and nothing else.

    Raises:
        RecordError: That fails.
    """
    try:
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        for name in (RECORDS_FOLDER, RECORDINGS_FOLDER):
            if (folder / name).exists():
                shutil.rmtree(folder / name)
    except OSError as error:
        raise RecordError(
            f"{folder} must be a folder whose files can be removed. Got: {error}. Choose another "
            "--output_dir."
        ) from error


def evaluation_files_in(folder: Path) -> list[Path]:
    """Return the files of an evaluation that a folder holds."""
    files = [folder / name for name in _FILES]
    for pattern in _FILES_BELOW:
        files += sorted(folder.glob(pattern))
    return [path for path in files if path.is_file()]


def settle_inputs(folder: Path, inputs: EvaluationInputs) -> None:
    """Note what an evaluation depends on, or check that it is what it was when it began.

    Policies may be added to those of the folder.

    Raises:
        RecordError: Something differs from what the folder's rows depend on, or cannot be read.
    """
    before = _read_inputs(folder / INPUTS_FILE)
    if before is not None:
        differences = _differences(before, inputs)
        if differences:
            raise RecordError(
                f"an evaluation must be continued as it began in {folder}. Got "
                f"{'; '.join(differences)}. Choose another --output_dir, or start anew with "
                "--overwrite."
            )
    write_json_atomically(folder / INPUTS_FILE, asdict(inputs))


def _read_inputs(path: Path) -> EvaluationInputs | None:
    """Return what a folder's rows depend on, None for a folder without rows."""
    if not path.exists():
        return None
    try:
        inputs = EvaluationInputs(**read_json(path, LARGEST_DOCUMENT_BYTES))
        if all(isinstance(value, dict) for value in (inputs.versions, inputs.policies)):
            return inputs
        reason = "a value of another kind"
    except (UnusableFileError, TypeError) as error:
        reason = str(error)
    raise RecordError(
        f"{path} must be readable. Got: {reason}. Restore it, or start anew with --overwrite."
    )


def _differences(before: EvaluationInputs, now: EvaluationInputs) -> list[str]:
    """Return in words what a new evaluation does not have in common with the one before."""
    told = []
    if before.protocol_sha256 != now.protocol_sha256:
        told.append(
            f"protocol {now.protocol} {_short(now.protocol_sha256)} instead of "
            f"{before.protocol} {_short(before.protocol_sha256)}"
        )
    elif before.scenarios_sha256 != now.scenarios_sha256:
        told.append("other scenarios")
    if before.code_sha256 != now.code_sha256:
        told.append(f"code {_short(now.code_sha256)} instead of {_short(before.code_sha256)}")
    told += [
        f"{name} {now.versions.get(name)} instead of {version}"
        for name, version in before.versions.items()
        if now.versions.get(name) != version
    ]
    for name, sha256 in before.policies.items():
        if name not in now.policies:
            told.append(f"no policy {name}")
        elif now.policies[name] != sha256:
            told.append(f"other weights of {name}")
    return told


def _short(sha256: Any) -> str:  # noqa: ANN401 - from a file, whatever it holds
    """Return the first digits of a hash."""
    return str(sha256)[:_SHOWN_DIGITS]
