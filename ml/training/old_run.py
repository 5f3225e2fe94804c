"""Removes a run, so that another one can take its folder; a folder's foreign files stay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import ConfigError, RecordError
from ml.json_files import read_json
from ml.policies.checkpoint import model_files
from ml.training.failure_state import FAILURE_FOLDER, ROLLOUT_FILE
from ml.training.run_folder import CHECKPOINT_FOLDER, RUN_FILES, RUN_MANIFEST, TENSORBOARD_FOLDER
from ml.training.run_state import ARRAYS_FILE, STATE_FILE, remove_leftovers, state_folders

_FILES_BELOW = (
    *(str(path) for path in model_files(f"{CHECKPOINT_FOLDER}/deep_sets_*_steps.zip")),
    f"{CHECKPOINT_FOLDER}/state_*/{STATE_FILE}",
    f"{CHECKPOINT_FOLDER}/state_*/{ARRAYS_FILE}",
    f"{FAILURE_FOLDER}/state_*/{STATE_FILE}",
    f"{FAILURE_FOLDER}/state_*/{ARRAYS_FILE}",
    f"{FAILURE_FOLDER}/state_*/{ROLLOUT_FILE}",
    f"{TENSORBOARD_FOLDER}/PPO_*/events.out.tfevents.*",
)


def run_files_in(folder: str | Path) -> list[Path]:
    """Return the files of a run that a folder holds; links to other folders are not followed."""
    root = Path(folder)
    files = [root / name for name in RUN_FILES]
    for pattern in _FILES_BELOW:
        files += sorted(root.glob(pattern))
    is_ours = (not any(p.is_symlink() for p in path.parents if root in p.parents) for path in files)
    return [path for path, ours in zip(files, is_ours, strict=True) if ours and path.is_file()]


def check_removable(folder: str | Path, inputs: Iterable[Path]) -> None:
    """Check that what ``remove_run`` would remove is a run, and that no run depends on it.

    Args:
        folder: The folder of the old run; it may hold none.
        inputs: The new run's input files.

    Raises:
        ConfigError: The manifest is another one's, or a file is also an input.
    """
    files = run_files_in(folder)
    manifest = Path(folder) / RUN_MANIFEST
    if manifest in files and not _is_run_manifest(manifest):
        raise ConfigError(
            f"--overwrite must replace a run. Got {str(folder)!r}, whose {RUN_MANIFEST} is none "
            "of a run. Choose another --output_dir."
        )
    removed = {path.resolve() for path in files}
    shared = [path for path in inputs if path.resolve() in removed]
    if shared:
        raise ConfigError(
            f"--overwrite must not remove an input. Got {shared[0]}. Choose another --output_dir."
        )


def _is_run_manifest(path: Path) -> bool:
    """Return whether a file is the manifest of a run."""
    try:
        manifest = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError:
        return False
    return isinstance(manifest, dict) and {"run_id", "status", "learning"} <= manifest.keys()


def remove_unfinished(folder: str | Path) -> None:
    """Remove what a killed run was writing: files and states under their temporary names."""
    root = Path(folder)
    checkpoints = root / CHECKPOINT_FOLDER
    for name in RUN_FILES:
        for path in root.glob(f".{Path(name).stem}.*{Path(name).suffix}"):
            path.unlink()
    if not checkpoints.is_symlink():
        for path in checkpoints.glob(".deep_sets_*_steps.*"):
            path.unlink()
        remove_leftovers(checkpoints)
    if not (root / FAILURE_FOLDER).is_symlink():
        remove_leftovers(root / FAILURE_FOLDER)


def remove_run(folder: str | Path) -> None:
    """Remove the files of a run, and the folders below that this leaves empty.

    Raises:
        RecordError: A file cannot be removed.
    """
    root = Path(folder)
    try:
        for path in run_files_in(root):
            path.unlink()
        remove_unfinished(root)
        folders = [root / CHECKPOINT_FOLDER, root / FAILURE_FOLDER]
        states = [path for one in folders if not one.is_symlink()
                  for path in state_folders(one).values()]  # fmt: skip
        for below in (*states, *folders, *root.glob(f"{TENSORBOARD_FOLDER}/PPO_*")):
            if below.is_dir() and not below.is_symlink() and not any(below.iterdir()):
                below.rmdir()
    except OSError as error:
        raise RecordError(
            f"{root} cannot be cleared: {error.strerror}. Remove the old run, or choose another "
            "--output_dir."
        ) from error
