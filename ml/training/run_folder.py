"""The folder of a run: what went in, what came out, and how it ended.

``manifest.json`` is written before the first step, with the resolved configuration and the hash
of every input, and completed at the end with the hash of every output. Its ``status`` is
`running`, `trained`, `complete`, `interrupted` or `failed`.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.envs.departures import read_departures
from ml.envs.scenario_manager import MANIFEST_FILE, TRAIN, ScenarioManager
from ml.envs.sumo_connection import read_scenario_files
from ml.envs.worker_process import ONE_THREAD
from ml.errors import ConfigError, RadioParameterError, RecordError, ScenarioError
from ml.espnow_emulator.parameters import load_radio_parameters
from ml.evaluation.episode_files import BASELINE_EPISODES_FILE, EPISODES_FILE
from ml.file_sums import SUMS_FILE
from ml.json_files import read_json
from ml.policies.checkpoint import MODEL_FILE, model_files
from ml.processors import usable_cores
from ml.provenance import (
    code_sha256,
    container_image,
    git_state,
    processor_name,
    sha256_of_file,
    software_versions,
    write_json_atomically,
)
from ml.records import json_ready, time_stamp
from ml.scenarios import base_settings

SCHEMA_VERSION = 2
RUN_MANIFEST = "manifest.json"
BEST_MODEL_FILE = "model_best.zip"
METRICS_FILE = "metrics.json"
PROGRESS_FILE = "progress.jsonl"
DEVELOPMENT_FILE = "development.jsonl"
CHECKPOINT_FOLDER = "checkpoints"
TENSORBOARD_FOLDER = "tensorboard"
_OUTPUT_FILES = (
    *(path.name for path in model_files(MODEL_FILE)),
    *(path.name for path in model_files(BEST_MODEL_FILE)),
    PROGRESS_FILE,
    DEVELOPMENT_FILE,
    EPISODES_FILE,
    BASELINE_EPISODES_FILE,
)
RUN_FILES = (RUN_MANIFEST, METRICS_FILE, SUMS_FILE, *_OUTPUT_FILES)
"""Every file of a run in its folder itself."""


@dataclass(frozen=True)
class RunInputs:
    """The files that a run depends on.

    Attributes:
        files: Path of every input file by what it is.
        num_peers_distribution: Scenarios per number of peers and split, as the dataset's manifest
            says; None for a single scenario.
        is_development_disjoint: Whether training meets no scenario of the development split,
            given that it is held out.
    """

    files: Mapping[str, Path]
    num_peers_distribution: Mapping[str, Any] | None
    is_development_disjoint: bool = False


def resolve_inputs(args: argparse.Namespace, sumo_cfg: str | None) -> RunInputs:
    """Check and list every input of a run.

    The radio parameters are the flag's, else the dataset's, else the packaged default.

    Args:
        args: The command's arguments: `dataset_dir`, `emulator_params`, `seed`, `skip_eval`.
        sumo_cfg: The single scenario, resolved; None with a dataset.

    Returns:
        The inputs.

    Raises:
        ScenarioError: The dataset or the scenario cannot be used.
        RadioParameterError: The radio parameters cannot be used, or not for training.
    """
    files: dict[str, Path] = {}
    distribution = None
    is_development_disjoint = False
    dataset_params: Path | None = None
    if args.dataset_dir is not None:
        manager = ScenarioManager(args.dataset_dir, args.seed, TRAIN, hold_out_development=True)
        manager.verify_all()
        if not getattr(args, "skip_eval", False):
            manager.set_eval_mode()  # raises where that split is empty
        distribution = manager.manifest.get("num_peers_distribution")
        is_development_disjoint = manager.is_development_disjoint
        files["dataset_manifest"] = Path(args.dataset_dir) / MANIFEST_FILE
        dataset_params = None if args.emulator_params else manager.emulator_params_path
    elif sumo_cfg is not None:
        files |= _scenario_files(sumo_cfg)
    params = load_radio_parameters(args.emulator_params or dataset_params)
    if params.use == "test":
        raise RadioParameterError(
            f"use in {params.source} must not be 'test' for training. Got 'test': these are values "
            "to judge a policy on. Train with other --emulator_params."
        )
    files["emulator_params"] = Path(params.source)
    return RunInputs(files, distribution, is_development_disjoint)


def _scenario_files(sumo_cfg: str) -> dict[str, Path]:
    """Return a single scenario's files by what they are."""
    scenario = read_scenario_files(sumo_cfg)
    read_departures(scenario)  # raises where the ego is missing or departs late
    if base_settings.read_base_settings(scenario.sumocfg.parent).held_out:
        raise ScenarioError(
            f"sumo_cfg must not be a base that is held out of training. Got {sumo_cfg!r}, whose "
            f"{base_settings.BASE_SETTINGS_FILE} says held_out. Train on another one."
        )
    files = {"sumo_cfg": scenario.sumocfg, "network": scenario.network}
    files |= {f"routes_{index}": path for index, path in enumerate(scenario.routes)}
    return files | {f"additional_{index}": path for index, path in enumerate(scenario.additional)}


def name_run(args: argparse.Namespace) -> None:
    """Fill in `run_id`, from the time, and `output_dir` where they were not given."""
    is_named = args.run_id is not None
    name = args.run_id if is_named else datetime.now().astimezone().strftime("run_%Y%m%d_%H%M%S")
    runs = Path(__file__).resolve().parent.parent / "models" / "runs"
    if args.output_dir is None and not is_named:
        candidates = [name, *(f"{name}_{number}" for number in range(2, 100))]
        name = next(candidate for candidate in candidates if not (runs / candidate).exists())
    args.run_id = name
    if args.output_dir is None:
        args.output_dir = str(runs / name)


def check_is_free(output_dir: str | Path, *, is_overwriting: bool = False) -> None:
    """Check that a run can be written to a folder, without creating anything.

    Args:
        output_dir: The folder.
        is_overwriting: Whether a run may be there already.

    Raises:
        ConfigError: The folder holds a run already, is a file, or cannot be written to.
    """
    folder = Path(output_dir)
    taken = [name for name in RUN_FILES if (folder / name).exists()]
    if taken and not is_overwriting:
        raise ConfigError(
            f"--output_dir must not hold a run already. Got {str(folder)!r} with {taken[0]}. "
            "Choose another folder, or another --run_id, or replace the run with --overwrite."
        )
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ConfigError(
            f"--output_dir must be a folder. Got {str(folder)!r}, where {existing} is a file. "
            "Choose another folder."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"--output_dir must be writable. Got {str(folder)!r}. Choose another folder."
        )


def start_run(output_dir: str | Path, manifest: Mapping[str, Any]) -> None:
    """Create a run's folder and write its manifest.

    Raises:
        RecordError: The folder cannot be created or written to.
    """
    folder = Path(output_dir)
    try:
        for name in (CHECKPOINT_FOLDER, TENSORBOARD_FOLDER):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be created: {error.strerror}. Choose another --output_dir."
        ) from error
    write_json_atomically(folder / RUN_MANIFEST, json_ready(manifest))


def build_manifest(
    args: argparse.Namespace, inputs: RunInputs, learning: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a run's manifest as it stands before the first step.

    Args:
        args: The command's arguments, all resolved.
        inputs: The run's inputs.
        learning: Resolved settings of the learner and of its environment.

    Returns:
        A JSON object.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": args.run_id,
        "status": "running",
        "created_at": time_stamp(),
        "finished_at": None,
        "command_line": list(sys.argv),
        "config": dict(vars(args)),
        "learning": dict(learning),
        "seeds": {"master": args.seed, "python_numpy_torch": args.seed},
        "inputs": {
            name: {"path": str(path), "sha256": sha256_of_file(path)}
            for name, path in inputs.files.items()
        },
        "num_peers_distribution": inputs.num_peers_distribution,
        "git": git_state(),
        "code_sha256": code_sha256(),
        "versions": software_versions(),
        "hardware": {
            "processor": processor_name(),
            "num_processors": os.cpu_count(),
            "usable_cores": usable_cores(),
            "threads_of_each_worker": ONE_THREAD,
            "platform": platform.platform(),
        },
        "container_image": container_image(),
        "sums_file": SUMS_FILE,
        "outputs": {},
    }


def update_manifest(output_dir: str | Path | None, changes: Mapping[str, Any]) -> None:
    """Add to a run's manifest, with the present hash of every output; without one do nothing.

    Raises:
        RecordError: The manifest cannot be read or written.
    """
    path = Path(output_dir or "") / RUN_MANIFEST
    if output_dir is None or not path.is_file():
        return
    try:
        manifest = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable JSON. Got: {error}. Restore it.") from error
    write_json_atomically(
        path, json_ready({**manifest, **changes, "outputs": output_hashes(path.parent)})
    )


@contextmanager
def failures_recorded(output_dir: str | Path | None) -> Iterator[None]:
    """Write into the manifest that the block was interrupted or failed, and pass it on.

    Where that cannot be written either, as on a full disk, the manifest stays as it was.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        is_stop = isinstance(error, KeyboardInterrupt)
        end = {"status": "interrupted"} if is_stop else {"status": "failed", "failure": str(error)}
        try:
            update_manifest(output_dir, {**end, "finished_at": time_stamp()})
        except RecordError as second:
            error.add_note(f"The manifest does not say so: {second}")
        raise


def output_hashes(output_dir: str | Path) -> dict[str, str]:
    """Return the SHA-256 of the run's outputs that are there."""
    folder = Path(output_dir)
    return {
        name: sha256_of_file(folder / name) for name in _OUTPUT_FILES if (folder / name).is_file()
    }
