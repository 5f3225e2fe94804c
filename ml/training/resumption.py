"""Going on with a run that was stopped: whether that is possible, from where, and what is missing.

A run goes on only with the inputs, the code and the packages that it was begun with: then it ends
as if it had not been stopped. Another processor may round differently, which is told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.command_line import StoppedBySignal
from ml.errors import RecordError
from ml.policies.checkpoint import MODEL_FILE
from ml.provenance import (
    code_sha256,
    processor_name,
    sha256_of_file,
    sha256_of_text,
    software_versions,
)
from ml.records import json_ready, time_stamp
from ml.training.learning import LOGS
from ml.training.old_run import remove_unfinished
from ml.training.results import TrainingResult
from ml.training.run_arguments import read_manifest
from ml.training.run_folder import (
    BEST_MODEL_FILE,
    CHECKPOINT_FOLDER,
    METRICS_FILE,
    RunInputs,
    update_manifest,
)
from ml.training.run_logs import cut_back
from ml.training.run_state import RunState, newest_state, state_folders

_IDENTITY = ("run_id", "created_at", "config", "learning", "seeds", "inputs", "versions",
             "code_sha256")  # fmt: skip


def identity_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a state belongs to: a hash of a run's settings, its code and its packages."""
    settings = {name: manifest.get(name) for name in _IDENTITY}
    text = json.dumps(json_ready(settings), sort_keys=True)
    return {
        "run_id": manifest.get("run_id"),
        "settings_sha256": sha256_of_text(text),
        "code_sha256": manifest.get("code_sha256"),
        "versions": manifest.get("versions"),
    }


@dataclass(frozen=True)
class StoppedRun:
    """A run that can go on.

    Attributes:
        folder: The run's folder.
        manifest: Its manifest.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def model_path(self) -> str:
        """Path of the final model."""
        return str(self.folder / MODEL_FILE)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is missing."""
        last = (METRICS_FILE, self.manifest.get("sums_file") or METRICS_FILE)
        is_complete = self.manifest.get("status") == "complete"
        are_there = all((self.folder / name).is_file() for name in last)
        return is_complete and are_there and self._has_model()

    def _has_model(self) -> bool:
        """Whether the final model is there as it was saved."""
        path = self.folder / MODEL_FILE
        expected = (self.manifest.get("outputs") or {}).get(MODEL_FILE)
        return path.is_file() and sha256_of_file(path) == expected

    def check_same(self, inputs: RunInputs, settings: Mapping[str, Any]) -> None:
        """Check that the run goes on with what it was begun with.

        Args:
            inputs: The inputs as they are now.
            settings: The resolved settings as they are now.

        Raises:
            RecordError: An input, a setting, the code or a package is another one.
        """
        self._check_inputs(inputs)
        before = self.manifest.get("learning") or {}
        for name, value in json_ready(settings).items():
            if value != before.get(name):
                raise RecordError(
                    f"{name} must stay as the run was begun. Got {value} instead of "
                    f"{before.get(name)}. Go on where it is the same, or begin a new run."
                )
        self._check_software()
        processor = (self.manifest.get("hardware") or {}).get("processor")
        if processor != processor_name():
            sys.stderr.write(
                f"the run was begun on another processor ({processor}), which may round "
                "differently: its weights may differ in the last digits from those of one that "
                "was not stopped\n"
            )

    def _check_inputs(self, inputs: RunInputs) -> None:
        before = self.manifest.get("inputs") or {}
        for name, path in inputs.files.items():
            expected = before.get(name, {}).get("sha256")
            if sha256_of_file(path) != expected:
                raise RecordError(
                    f"{name} must stay as the run was begun. Got another content of {path}. "
                    "Restore it, or begin a new run."
                )

    def _check_software(self) -> None:
        told = [
            f"{name} {now} instead of {self._version(name)}"
            for name, now in software_versions().items()
            if now != self._version(name)
        ]
        if code_sha256() != self.manifest.get("code_sha256"):
            commit = (self.manifest.get("git") or {}).get("commit", "unknown")
            told.append(f"other code than at its beginning (commit {commit})")
        if told:
            raise RecordError(
                f"code and packages must stay as the run was begun. Got {', '.join(told)}. "
                "Restore them, or begin a new run."
            )

    def _version(self, package: str) -> str:
        return str((self.manifest.get("versions") or {}).get(package, "unknown"))

    def training_result(self, args: argparse.Namespace) -> TrainingResult | None:
        """Return what the training handed on, None where it has not come to its end.

        Args:
            args: The command's arguments.
        """
        kept = self.manifest.get("training")
        if kept is None or not self._has_model():
            return None
        report = {name: kept[name] for name in ("development", "models", "learner")}
        result = TrainingResult({"training_timesteps": args.total_timesteps}, report)
        result.workers = kept["workers"]
        return result

    def newest_state(self) -> RunState:
        """Return the state to go on from.

        Raises:
            RecordError: There is none.
        """
        checkpoints = self.folder / CHECKPOINT_FOLDER
        state = newest_state(checkpoints, identity_of(self.manifest))
        if state is None:
            num_found = len(state_folders(checkpoints))
            raise RecordError(
                f"{checkpoints} must hold a whole state to go on from. Got "
                f"{f'{num_found}, none of them whole' if num_found else 'none'}. Begin the run "
                "again, with --overwrite into the same folder."
            )
        best = self.folder / BEST_MODEL_FILE
        judged = state.content["callbacks"].get("development") or {}
        if judged.get("best") and not best.is_file():
            raise RecordError(
                f"{best} must be there to go on. Got no such file. Restore it, or begin the run "
                "again, with --overwrite."
            )
        return state

    def note_beginning(self, state: RunState | None) -> Mapping[str, Any]:
        """Clear what came after a state, and write down that the run goes on from it.

        Returns:
            The run's manifest as it was.

        Args:
            state: The state, None where only the evaluation is missing.
        """
        remove_unfinished(self.folder)
        if state is not None:
            cut_back(self.folder, state.content[LOGS])
        entry = {
            "resumed_at": time_stamp(),
            "stopped_as": self.manifest.get("status"),
            "from_steps": None if state is None else state.num_steps,
            "processor": processor_name(),
        }
        changes = {
            "status": "trained" if state is None else "running",
            "finished_at": None,
            "resumptions": [*self.manifest.get("resumptions", []), entry],
        }
        forgotten = {"failure": None} if "failure" in self.manifest else {}
        update_manifest(self.folder, {**changes, **forgotten})
        return self.manifest


def stopped_run(args: argparse.Namespace) -> StoppedRun | None:
    """Return the run that goes on, None for a new one."""
    folder = getattr(args, "resume", None)
    if folder is None:
        return None
    return StoppedRun(Path(folder), read_manifest(Path(folder)))


@contextmanager
def way_on_told(args: argparse.Namespace) -> Iterator[None]:
    """Let an interruption of the block say how the run goes on.

    Args:
        args: The command's arguments; `output_dir` may be filled in meanwhile.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", 2)
        raise StoppedBySignal(number, f"interrupted{_way_on(args)}") from stop


def _way_on(args: argparse.Namespace) -> str:
    """Return how a run goes on, for the end of a line; nothing where it has not begun."""
    folder = Path(args.output_dir or "")
    if args.output_dir is None or not (folder / "manifest.json").is_file():
        return ""
    if state_folders(folder / CHECKPOINT_FOLDER) or (folder / MODEL_FILE).is_file():
        return f"; go on with --resume {folder}"
    return " before a state was saved; begin again with --overwrite"
