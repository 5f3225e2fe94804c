"""What the benchmarks share: a dataset, interleaved rounds, and a table with a JSON line."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.sumo_connection import ScenarioFiles, read_scenario_files
from ml.provenance import REPOSITORY_ROOT, git_state, processor_name, software_versions
from ml.scripts.gen_scenarios import main as generate

NO_DEMAND = np.array([-1.0], dtype=np.float32)
TRAINING_BASES = ("base", "base_curve", "base_urban")

_Result = TypeVar("_Result")


def make_dataset(folder: Path, *, num_scenarios: int, bases: Sequence[str] = ("base",)) -> Path:
    """Make a dataset of training scenarios on some of the base roads and return its folder."""
    options = [part for base in bases for part in ("--base_dir", str(base_folder(base)))]
    generate(["--output_dir", str(folder), "--seed", "1", "--train_count", str(num_scenarios),
              "--eval_count", "1", "--quiet", *options])  # fmt: skip
    return folder


def base_folder(name: str) -> Path:
    """Return the folder of a base road."""
    return REPOSITORY_ROOT / "ml" / "scenarios" / name


def training_scenarios(dataset: Path) -> dict[str, int]:
    """Return the number of peers of each training scenario of a dataset."""
    entries = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))["scenarios"]
    return {
        name: entry["draws"]["num_peers"]
        for name, entry in entries.items()
        if name.startswith("train")
    }


def scenario_files(dataset: Path, scenario_id: str) -> ScenarioFiles:
    """Return the files of a training scenario."""
    return read_scenario_files(dataset / "train" / scenario_id / "scenario.sumocfg")


def run_episode(env: Any, scenario_id: str) -> int:  # noqa: ANN401 - wrapped or not
    """Run one whole episode without demand and return its number of steps."""
    env.reset(options={"scenario_id": scenario_id})
    num_steps, is_over = 0, False
    while not is_over:
        _, _, terminated, truncated, _ = env.step(NO_DEMAND)
        is_over = terminated or truncated
        num_steps += 1
    return num_steps


def open_env(dataset: Path, **settings: Any) -> ConvoyEnv:  # noqa: ANN401 - the environment's
    """Return an environment in training mode, radio and hazards included."""
    return ConvoyEnv(dataset_dir=dataset, scenario_seed=1, **settings)


def interleaved(
    measures: Mapping[str, Callable[[], _Result]], num_rounds: int
) -> dict[str, list[_Result]]:
    """Run every measure once a round, after one run that is not counted: it compiles kernels."""
    for measure in measures.values():
        measure()
    rows: dict[str, list[_Result]] = {name: [] for name in measures}
    for _ in range(num_rounds):
        for name, measure in measures.items():
            rows[name].append(measure())
    return rows


def print_table(title: str, rows: Mapping[str, Sequence[float]], form: str = "12,.0f") -> None:
    """Print median, smallest and largest of each row's values."""
    sys.stdout.write(f"{title:34} {'median':>12} {'smallest':>12} {'largest':>12}\n")
    for name, values in rows.items():
        numbers = (statistics.median(values), min(values), max(values))
        cells = " ".join(f"{number:{form}}" for number in numbers)
        sys.stdout.write(f"{name:34} {cells}\n")


def print_record(benchmark: str, figures: Mapping[str, Any]) -> None:
    """Print the JSON line: the figures, and what they were measured on."""
    record = {
        "benchmark": benchmark,
        **figures,
        "git": git_state(),
        "processor": processor_name(),
        "num_processors": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": software_versions(),
    }
    sys.stdout.write(json.dumps(record) + "\n")
