"""From the configuration in a run's manifest to the command that made the run, and back."""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path

from ml.errors import RecordError, one_line
from ml.training.arguments import parse_args
from ml.training.run_arguments import flags_of
from ml.verification.records import object_in, read_object


def settings_of_run(path: Path) -> argparse.Namespace:
    """Return the arguments of the run of a manifest, checked as the command line's.

    Args:
        path: The manifest.

    Raises:
        RecordError: ``config`` is not what ``train_convoy`` writes.
    """
    config = object_in(read_object(path), "config", path)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            settings = parse_args(flags_of(config))
    except SystemExit as error:
        raise RecordError(
            f"config in {path} must be that of a training. Got: {one_line(said.getvalue())}. "
            "Restore it."
        ) from error
    return settings
