"""Both learners on the real environment: returns over seeds, with t intervals of both and between.

Trains each learner with the same settings and seeds by ``train_convoy``. For the training episodes
after each update, and for each evaluation on the development split, it prints the mean return over
the seeds with half of its 95 % interval; the same of the difference of the two learners on one seed
(the first minus the second, paired), which is what a bias of one of them would show in; and the
largest such difference. A line on standard error says when a run is done.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measurement import print_record

from ml.command_line import OneLineArgumentParser, integer_in, path_text, run_command
from ml.evaluation.scripted_table import mean_with_interval
from ml.training import train_convoy
from ml.training.rollout import LEARNERS

_CURVES = (
    ("progress.jsonl", "training", "episode_reward_mean"),
    ("development.jsonl", "development", "mean_return"),
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Compare the learners' curves.")
    count = integer_in(1, 10**9)
    parser.add_argument("--dataset_dir", type=path_text, required=True, help="Dataset folder.")
    parser.add_argument("--seeds", type=integer_in(2, 100), default=5, help="Seeds (default: 5).")
    parser.add_argument("--total_timesteps", type=count, default=100_000, help="Steps of a run.")
    parser.add_argument("--dev_interval", type=count, default=20_000, help="Between evaluations.")
    parser.add_argument("--dev_episodes", type=count, default=36, help="Of each evaluation.")
    parser.add_argument("--n_envs", type=integer_in(1, 64), default=4, help="Environments.")
    return parser.parse_args()


def mean_returns(args: argparse.Namespace, learner: str, seed: int) -> dict[str, float]:
    """Train once and return the mean returns by episodes and number of steps."""
    flags = ("dataset_dir", "total_timesteps", "dev_interval", "dev_episodes", "n_envs")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = ["--learner", learner, "--seed", str(seed), "--skip_eval", "--quiet",
                   "--output_dir", folder]  # fmt: skip
        for flag in flags:
            command += [f"--{flag}", str(getattr(args, flag))]
        train_convoy.train(train_convoy.parse_args(command))
        sys.stderr.write(f"{learner}, seed {seed}: {time.monotonic() - started_s:.0f} s\n")
        return {
            f"{episodes} {row['steps']:,}": row[key]
            for file, episodes, key in _CURVES
            if (Path(folder) / file).exists()  # no development episodes in a run that is shorter
            for row in map(json.loads, (Path(folder) / file).read_text("utf-8").splitlines())
            if row[key] is not None
        }


def compare(curves: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Return the figures of each point of the curves that all runs have."""
    runs = [run for rows in curves.values() for run in rows]
    points = {}
    for point in runs[0]:
        if not all(point in run for run in runs):
            continue
        values = {name: np.array([run[point] for run in rows]) for name, rows in curves.items()}
        between = values[LEARNERS[0]] - values[LEARNERS[1]]
        named = {**values, "difference": between}
        points[point] = {
            **{name: mean_with_interval(one) for name, one in named.items()},
            "largest_difference": float(np.abs(between).max()),
        }
    return points


def main() -> None:
    """Train, print the table and the JSON line."""
    args = parse_args()
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in LEARNERS}
    for seed in range(args.seeds):
        for learner in LEARNERS:
            curves[learner].append(mean_returns(args, learner, seed))
    points = compare(curves)
    names = (*LEARNERS, "difference")
    heads = "  ".join(f"{name:>18}" for name in names)
    sys.stdout.write(f"{'episodes and steps':19}  {heads}     largest\n")
    for point, figures in points.items():
        cells = [f"{mean:9.3f} ± {half:6.3f}" for mean, half in map(figures.get, names)]
        largest = figures["largest_difference"]
        sys.stdout.write(f"{point:19}  {'  '.join(f'{c:>18}' for c in cells)}  {largest:10.2e}\n")
    print_record(
        "learning_curves",
        {
            "settings": {key: value for key, value in vars(args).items() if key != "dataset_dir"},
            "mean_returns": curves,
            "mean_and_half_interval": points,
        },
    )


if __name__ == "__main__":
    run_command(main)
