"""Repeats a run or an evaluation: ``python -m ml.verification.reproduce RUN``.

Without ``--run`` nothing is executed or written: the command is printed, and what differs here.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ml.command_line import EXIT_FAILURE, run_command
from ml.errors import ConfigError, RecordError, one_line
from ml.evaluation.evaluation_folder import EVALUATION_FILE, RUN_MANIFEST
from ml.file_sums import SUMS_FILE
from ml.policies.checkpoint import MODEL_FILE, model_files
from ml.provenance import sha256_of_file
from ml.training import run_folder
from ml.training.run_arguments import flags_of
from ml.verification.arguments import parse_reproduce_args
from ml.verification.command import flags_of_evaluation, settings_of_run
from ml.verification.differences import code_and_version_differences, machine_differences
from ml.verification.records import Json, NamedFile, files_of_run, is_run, read_object
from ml.verification.repeated_evaluation import (
    check_has_no_evaluation,
    evaluation_differences,
    models_of,
    tell_if_equal,
)

_TRAINING = "ml.training.train_convoy"
_EVALUATION = "ml.evaluation.run"
_OWN_METRICS = frozenset({"run_id", "timestamp", "config", "provenance", "models", "workers"})
"""Keys of metrics.json that say when and where, rather than what came out."""


def flags_here(path: Path, output_dir: str | None) -> list[str]:
    """Return the flags that make the run of a manifest, into another folder where one is given.

    Args:
        path: The manifest.
        output_dir: The new folder, None for that of the record.
    """
    settings = vars(settings_of_run(path))
    if output_dir is not None:
        settings |= {"output_dir": output_dir, "overwrite": False}
    return flags_of(settings)


def differences(folder: Path, manifest: Json) -> Iterator[str]:
    """Give in words what differs here from where a run was made."""
    path = folder / RUN_MANIFEST
    yield from code_and_version_differences(manifest, path)
    yield from machine_differences(manifest, path)
    for file in files_of_run(folder, None):
        if file.label.startswith("input ") and file.state() != "ok":
            yield f"{file.label}: {file.path} is {file.state()}"


def have_equal_weights(first: Path, second: Path) -> bool:
    """Return whether two saved models have the same weights, to the last bit."""
    tensors = [model_files(path)[1] for path in (first, second)]
    return sha256_of_file(tensors[0]) == sha256_of_file(tensors[1])


def metrics_that_differ(first: Path, second: Path) -> list[str]:
    """Return which parts of ``metrics.json`` differ, apart from times, names and hashes."""
    before, now = (_outcome(folder / run_folder.METRICS_FILE) for folder in (first, second))
    return [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]


def _outcome(path: Path) -> dict[str, Any]:
    """Return what came out of a run."""
    return {name: value for name, value in read_object(path).items() if name not in _OWN_METRICS}


def _check_output(folder: Path, output_dir: str) -> None:
    """Refuse to write into the original run."""
    target, original = Path(output_dir).resolve(), folder.resolve()
    if target.is_relative_to(original) or original.is_relative_to(target):
        raise ConfigError(
            f"--output_dir must lie apart from the original. Got {output_dir!r}. Choose "
            "another folder."
        )
    check_has_no_evaluation(output_dir)
    run_folder.check_is_free(output_dir)


def _check_as_recorded(models: Iterable[NamedFile]) -> None:
    """Refuse to begin hours of work with another model than the record's."""
    for model in models:
        if model.state() != "ok":
            raise RecordError(
                f"{model.path} must be as recorded, to be compared with. Got: {model.state()}. "
                "Restore it."
            )


def _evaluate(folder: Path, evaluation: Json, flags: Sequence[str], output_dir: str) -> bool:
    """Repeat the evaluation, say what came out, and return whether all is equal."""
    _check_as_recorded(models_of(folder, evaluation))
    result = subprocess.run([sys.executable, "-m", _EVALUATION, *flags], check=False)
    if not (Path(output_dir) / SUMS_FILE).is_file():  # status 1 may be a gate that fails again
        raise RecordError(
            f"the repeated evaluation must come to its end. Got status {result.returncode}. See "
            "above."
        )
    return tell_if_equal(folder, Path(output_dir))


def _train(folder: Path, flags: Sequence[str], output_dir: str) -> bool:
    """Repeat the run, say what came out, and return whether all is equal."""
    names = {path.name for path in model_files(MODEL_FILE)}
    _check_as_recorded(file for file in files_of_run(folder, None) if file.label in names)
    result = subprocess.run([sys.executable, "-m", _TRAINING, *flags], check=False)
    if result.returncode != 0:
        raise RecordError(
            f"the repeated run must end with status 0. Got {result.returncode}. See above."
        )
    is_same = have_equal_weights(folder / MODEL_FILE, Path(output_dir) / MODEL_FILE)
    changed = metrics_that_differ(folder, Path(output_dir))
    sys.stdout.write(f"weights: {'equal' if is_same else 'not equal'}\n")
    told = f"not equal: {', '.join(changed)}" if changed else "equal"
    sys.stdout.write(f"metrics: {one_line(told)}\n")
    return is_same and not changed


def reproduce(args: argparse.Namespace) -> bool:
    """Print command and differences, and repeat the run where that is asked for.

    Args:
        args: The command line's ``folder``, ``run``, ``output_dir`` and ``trust``.

    Returns:
        Whether all is equal; without a repetition, True.
    """
    folder = Path(args.folder)
    if args.output_dir is not None:
        _check_output(folder, args.output_dir)
    is_of_run = is_run(folder)
    record = read_object(folder / (RUN_MANIFEST if is_of_run else EVALUATION_FILE))
    if is_of_run:
        verb, flags = "train", flags_here(folder / RUN_MANIFEST, args.output_dir)
        told = list(differences(folder, record))
    else:
        verb = "evaluate"
        flags = flags_of_evaluation(folder, record, args.output_dir, is_trusted=args.trust)
        told = list(evaluation_differences(folder, record))
    sys.stdout.write(f"{shlex.join(['roadsense', verb, *flags])}\n")
    sys.stdout.writelines(f"differs  {one_line(difference)}\n" for difference in told)
    if not told:
        sys.stdout.write("Nothing recorded differs here.\n")
    sys.stdout.flush()
    if not args.run:
        return True
    if is_of_run:
        return _train(folder, flags, args.output_dir)
    return _evaluate(folder, record, flags, args.output_dir)


def main(argv: Sequence[str] | None = None) -> None:
    """Repeat a run as the command line says; exit with status 1 unless all is equal.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    if not reproduce(parse_reproduce_args(argv)):
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    run_command(main)
