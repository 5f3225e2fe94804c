"""From the configuration in a run's manifest to the command that made the run, and back."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.errors import RecordError, one_line
from ml.training.arguments import parse_args
from ml.verification.records import object_in, read_object


def flags_of(config: Mapping[str, Any]) -> list[str]:
    """Return the flags that a configuration is parsed from.

    >>> flags_of({"seed": 7, "quiet": True, "gui": False, "sumo_cfg": None})
    ['--seed=7', '--quiet']
    """
    flags = []
    for name, value in config.items():
        if value is True:
            flags.append(f"--{name}")
        elif value is not None and value is not False:
            flags.append(f"--{name}={value}")
    return flags


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
