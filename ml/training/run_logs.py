"""The files that a training appends to, and how they are cut back to an earlier moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ml.errors import RecordError
from ml.training.run_folder import DEVELOPMENT_FILE, PROGRESS_FILE, TENSORBOARD_FOLDER

_ROWS = (PROGRESS_FILE, DEVELOPMENT_FILE)
_CURVES = f"{TENSORBOARD_FOLDER}/PPO_*/events.out.tfevents.*"


def _logs_in(folder: Path) -> list[Path]:
    return [*(folder / name for name in _ROWS if (folder / name).is_file()),
            *sorted(folder.glob(_CURVES))]  # fmt: skip


def log_sizes(output_dir: str | Path) -> dict[str, int]:
    """Return the present size of each log of a run by its name [bytes]."""
    folder = Path(output_dir)
    return {str(path.relative_to(folder)): path.stat().st_size for path in _logs_in(folder)}


def cut_back(output_dir: str | Path, sizes: Mapping[str, int]) -> None:
    """Cut the logs of a run to what ``log_sizes`` found; remove those that it did not find.

    Curves that are missing stay so: nothing depends on them.

    Raises:
        RecordError: Rows are missing, or a file cannot be changed.
    """
    folder = Path(output_dir)
    for name in _ROWS:
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found < sizes.get(name, 0):
            raise RecordError(
                f"{path} must hold the {sizes[name]} bytes of before the stop. Got {found}. "
                "Restore it, or start again with --overwrite."
            )
    try:
        for path in _logs_in(folder):
            size = sizes.get(str(path.relative_to(folder)))
            if size is None:
                path.unlink()
            elif path.stat().st_size > size:
                os.truncate(path, size)
    except OSError as error:
        raise RecordError(f"{folder} cannot be changed: {error.strerror}. Check it.") from error
