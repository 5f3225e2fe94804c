"""From a run's or an evaluation's record to the command that made it, and back."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from ml.errors import RecordError, one_line
from ml.evaluation.arguments import parse_evaluate_args
from ml.evaluation.evaluation_folder import EVALUATION_FILE, PROTOCOL_FILE
from ml.training.arguments import parse_args
from ml.training.run_arguments import flags_of
from ml.verification.records import Json, judged_models, object_in, read_object

_OWN = ("model", "trust", "output_dir", "overwrite", "quiet", "radio_fault")
"""Arguments of an evaluation that are not taken from its record as they are."""


def settings_of_run(path: Path) -> argparse.Namespace:
    """Return the arguments of the run of a manifest, checked as the command line's.

    Args:
        path: The manifest.

    Raises:
        RecordError: ``config`` is not what ``train_convoy`` writes.
    """
    config = object_in(read_object(path), "config", path)
    return _parsed(parse_args, flags_of(config), path)


def flags_of_evaluation(
    folder: Path, evaluation: Json, output_dir: str | None, *, is_trusted: bool
) -> list[str]:
    """Return the flags that make an evaluation, checked as the command line's.

    Args:
        folder: Its folder.
        evaluation: What its record holds.
        output_dir: The new folder, None for that of the record.
        is_trusted: Whether a model's zip may be unpickled. Whatever the record says of that, its
            author is not to decide it.

    Raises:
        RecordError: The record is not what ``roadsense evaluate`` writes.
    """
    path = folder / EVALUATION_FILE
    if object_in(evaluation, "protocol", path):
        names = [name for _, name, _ in judged_models(evaluation, path)]
        flags = [f"--protocol={folder / PROTOCOL_FILE}"]
        recorded_dir: object = str(folder)
    else:
        config = object_in(evaluation, "config", path)
        names = [config.get("model")]
        flags = flags_of({name: value for name, value in config.items() if name not in _OWN})
        faults = config.get("radio_fault")
        flags += [
            f"--radio_fault={fault}" for fault in (faults if isinstance(faults, list) else [])
        ]
        recorded_dir = config.get("output_dir")
    if not names or not all(isinstance(value, str) for value in (*names, recorded_dir)):
        raise RecordError(
            f"{path} must say what --model and --output_dir named. Got an older record, or a "
            "damaged one. Evaluate again."
        )
    flags = ["--model", *map(str, names), *flags, f"--output_dir={output_dir or recorded_dir}"]
    flags += ["--trust"] if is_trusted else []
    _parsed(parse_evaluate_args, flags, path)
    return flags


def _parsed(
    parse: Callable[[Sequence[str]], argparse.Namespace], flags: Sequence[str], path: Path
) -> argparse.Namespace:
    """Return what a command line is parsed to."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return parse(flags)
    except SystemExit as error:
        raise RecordError(
            f"config in {path} must be that of its command. Got: {one_line(said.getvalue())}. "
            "Restore it."
        ) from error
