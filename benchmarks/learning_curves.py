"""Both learners on the real environment: development returns over seeds, with t intervals.

Trains each learner with the same settings and seeds by ``train_convoy`` and prints the mean return
over the seeds with its 95 % interval, and the largest difference of the two learners on one seed:
for each evaluation on the development split, and after each update for the training episodes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from ml.command_line import OneLineArgumentParser, integer_in, path_text, run_command
from ml.provenance import git_state, processor_name, software_versions
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
    with tempfile.TemporaryDirectory() as folder:
        command = ["--learner", learner, "--seed", str(seed), "--skip_eval", "--quiet",
                   "--output_dir", folder]  # fmt: skip
        for flag in flags:
            command += [f"--{flag}", str(getattr(args, flag))]
        train_convoy.train(train_convoy.parse_args(command))
        return {
            f"{episodes} {row['steps']:,}": row[key]
            for file, episodes, key in _CURVES
            for row in map(json.loads, (Path(folder) / file).read_text("utf-8").splitlines())
            if row[key] is not None
        }


def main() -> None:
    """Train, print the table and the JSON line."""
    args = parse_args()
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in LEARNERS}
    for seed in range(args.seeds):
        for learner in LEARNERS:
            curves[learner].append(mean_returns(args, learner, seed))
    quantile = stats.t.ppf(0.975, args.seeds - 1)
    sys.stdout.write(
        "episodes and steps   learner  mean return  half of the 95 % interval  difference\n"
    )
    for steps in curves[LEARNERS[0]][0]:
        values = {name: np.array([run[steps] for run in runs]) for name, runs in curves.items()}
        difference = np.abs(values[LEARNERS[0]] - values[LEARNERS[1]]).max()
        for name, returns in values.items():
            half = quantile * returns.std(ddof=1) / np.sqrt(args.seeds)
            sys.stdout.write(
                f"{steps:19}  {name:7}  {returns.mean():11.3f}  {half:21.3f}  {difference:10.2e}\n"
            )
    record = {
        "benchmark": "learning_curves",
        "settings": {key: value for key, value in vars(args).items() if key != "dataset_dir"},
        "mean_returns": curves,
        "git": git_state(),
        "processor": processor_name(),
        "versions": software_versions(),
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    run_command(main)
