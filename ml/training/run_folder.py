"""The folder of a run: what went in, what came out, and how it ended.

``manifest.json`` is written before the first step, with the resolved configuration and the hash
of every input, and completed at the end with the hash of every output. Its ``status`` is
`running`, `trained`, `complete`, `interrupted` or `failed`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.envs.convoy import read_departures
from ml.envs.scenario_manager import MANIFEST_FILE, TRAIN, ScenarioManager
from ml.envs.sumo_connection import read_scenario_files
from ml.errors import ConfigError, RecordError
from ml.espnow_emulator.parameters import DEFAULT_PARAMETERS_PATH, load_radio_parameters
from ml.provenance import (
    git_state,
    processor_name,
    sha256_of_file,
    software_versions,
    write_json_atomically,
    write_text_atomically,
)

SCHEMA_VERSION = 1
RUN_MANIFEST = "manifest.json"
MODEL_FILE = "model_final.zip"
METRICS_FILE = "metrics.json"
PROGRESS_FILE = "progress.jsonl"
EPISODES_FILE = "episodes.jsonl"
BASELINE_EPISODES_FILE = "baseline_episodes.jsonl"
CHECKPOINT_FOLDER = "checkpoints"
TENSORBOARD_FOLDER = "tensorboard"
_RUN_FILES = (RUN_MANIFEST, MODEL_FILE, METRICS_FILE, PROGRESS_FILE)


@dataclass(frozen=True)
class RunInputs:
    """The files that a run depends on.

    Attributes:
        files: Path of every input file by what it is.
        num_peers_distribution: Scenarios per number of peers and split, as the dataset's manifest
            says; None for a single scenario.
    """

    files: Mapping[str, Path]
    num_peers_distribution: Mapping[str, Any] | None


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
        RadioParameterError: The radio parameters cannot be used.
    """
    files: dict[str, Path] = {}
    distribution = None
    dataset_params: Path | None = None
    if args.dataset_dir is not None:
        manager = ScenarioManager(args.dataset_dir, args.seed, TRAIN)
        manager.verify_all()
        if not getattr(args, "skip_eval", False):
            manager.set_eval_mode()  # raises where that split is empty
        distribution = manager.manifest.get("num_peers_distribution")
        files["dataset_manifest"] = Path(args.dataset_dir) / MANIFEST_FILE
        dataset_params = None if args.emulator_params else manager.emulator_params_path
    elif sumo_cfg is not None:
        files |= _scenario_files(sumo_cfg)
    params = Path(args.emulator_params or dataset_params or DEFAULT_PARAMETERS_PATH)
    load_radio_parameters(params)
    files["emulator_params"] = params
    return RunInputs(files, distribution)


def _scenario_files(sumo_cfg: str) -> dict[str, Path]:
    """Return a single scenario's files by what they are."""
    scenario = read_scenario_files(sumo_cfg)
    read_departures(scenario)  # raises where the ego is missing or departs late
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


def check_is_free(output_dir: str | Path) -> None:
    """Check that a run can be written to a folder, without creating anything.

    Raises:
        ConfigError: The folder holds a run already, is a file, or cannot be written to.
    """
    folder = Path(output_dir)
    taken = [name for name in _RUN_FILES if (folder / name).exists()]
    if taken:
        raise ConfigError(
            f"--output_dir must not hold a run already. Got {str(folder)!r} with {taken[0]}. "
            "Choose another folder, or another --run_id."
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
        "versions": software_versions(),
        "hardware": {
            "processor": processor_name(),
            "num_processors": os.cpu_count(),
            "platform": platform.platform(),
        },
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
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} must be readable JSON. Got: {error}. Restore it.") from error
    write_json_atomically(
        path, json_ready({**manifest, **changes, "outputs": output_hashes(path.parent)})
    )


@contextmanager
def failures_recorded(output_dir: str | Path | None) -> Iterator[None]:
    """Write into the manifest that the block was interrupted or failed, and pass it on."""
    try:
        yield
    except KeyboardInterrupt:
        update_manifest(output_dir, {"status": "interrupted", "finished_at": time_stamp()})
        raise
    except Exception as error:
        failure = {"status": "failed", "finished_at": time_stamp(), "failure": str(error)}
        update_manifest(output_dir, failure)
        raise


def output_hashes(output_dir: str | Path) -> dict[str, str]:
    """Return the SHA-256 of the run's outputs that are there."""
    folder = Path(output_dir)
    names = (MODEL_FILE, PROGRESS_FILE, EPISODES_FILE, BASELINE_EPISODES_FILE)
    return {name: sha256_of_file(folder / name) for name in names if (folder / name).is_file()}


def save_episodes(
    output_dir: str | Path,
    records: Sequence[Mapping[str, Any]],
    baselines: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Write every episode of the policy, and of the baselines, from which all else follows."""
    folder = Path(output_dir)
    write_json_lines(folder / EPISODES_FILE, records)
    if baselines:
        rows = [{"policy": name, **row} for name, rows in baselines.items() for row in rows]
        write_json_lines(folder / BASELINE_EPISODES_FILE, rows)


def write_json_lines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, the file whole or not at all."""
    lines = [json.dumps(json_ready(row), allow_nan=False) + "\n" for row in rows]
    write_text_atomically(path, "".join(lines))


def json_ready(value: Any) -> Any:  # noqa: ANN401 - any value in, any JSON value out
    """Return ``value`` as strict JSON can hold it: NaN and infinity become null.

    >>> json_ready({"rates": (0.5, float("nan"))})
    {'rates': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return json_ready(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def time_stamp() -> str:
    """Return the local time with its offset, in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
