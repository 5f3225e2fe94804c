"""How training's rate falls with the number of peers and grows with that of environments.

Steps a second end to end, as in ``training_steps``: with 0 to 8 peers in every episode and the
default number of environments, and with 1 to 8 environments and 0 to 8 peers equally often. Beside
each, where its wall time went, as training shows it live: the median share of each stage.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from measurement import (
    make_dataset,
    print_record,
    scenario_files,
    training_scenarios,
)
from training_trials import parse_args, rates, run_trials

from ml.command_line import run_command
from ml.training.trial import TrialResult

NUM_PEERS = (0, 1, 2, 4, 8)
NUM_ENVS = (1, 2, 4, 8)
STAGES = ("simulator", "radio", "observation", "inference", "update", "transfer")


def settings_of(dataset: Path) -> dict[str, tuple[str, ...]]:
    """Return the flags of each trial by name; the dataset has one scenario of each size."""
    by_size = {num_peers: name for name, num_peers in training_scenarios(dataset).items()}
    peers = {
        f"{num_peers} peers": (
            "--sumo_cfg", str(scenario_files(dataset, by_size[num_peers]).sumocfg)
        )
        for num_peers in NUM_PEERS
    }  # fmt: skip
    environments = {
        f"{num_envs} environments": ("--dataset_dir", str(dataset), "--n_envs", str(num_envs))
        for num_envs in NUM_ENVS
    }
    return {**peers, **environments}


def median_shares(trials: Sequence[TrialResult]) -> dict[str, float]:
    """Return the median share of each stage over the rounds."""
    shares = [asdict(trial.shares) for trial in trials]
    return {stage: statistics.median(row[stage] for row in shares) for stage in STAGES}


def print_growth(
    rows: Mapping[str, Sequence[float]], shares: Mapping[str, Mapping[str, float]]
) -> None:
    """Print median, smallest and largest rate of each trial, and its shares."""
    heads = " ".join(f"{head:>11}" for head in ("median", "smallest", "largest", *STAGES))
    sys.stdout.write(f"{'training [steps/s]':18} {heads}\n")
    for name, values in rows.items():
        numbers = (statistics.median(values), min(values), max(values))
        cells = [f"{number:11,.0f}" for number in numbers]
        cells += [f"{shares[name][stage]:11.0%}" for stage in STAGES]
        sys.stdout.write(f"{name:18} {' '.join(cells)}\n")


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args("Time training as it grows.")
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "dataset", num_scenarios=9)
        trials = run_trials(settings_of(dataset), args)
    rows = rates(trials)
    shares = {name: median_shares(row) for name, row in trials.items()}
    print_growth(rows, shares)
    print_record(
        "training_growth",
        {
            "steps_per_s": {name: [round(value) for value in row] for name, row in rows.items()},
            "shares": {
                name: {stage: round(share, 3) for stage, share in row.items()}
                for name, row in shares.items()
            },
        },
    )


if __name__ == "__main__":
    run_command(main)
