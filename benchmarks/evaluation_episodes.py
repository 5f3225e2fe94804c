"""Time of `roadsense evaluate`: 300 episodes of at most 500 steps: `make bench`.

A policy that has not learned anything acts, because a pass through the network takes as long. Each
round runs the whole command, start and baselines aside, with one worker and with one for each
usable core. Prints a table and one JSON line with commit, processor and versions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
from measurement import print_record
from stable_baselines3 import PPO

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs import ENVIRONMENT_ID
from ml.evaluation.arguments import DEFAULT_SUMO_CFG
from ml.evaluation.run import main as evaluate
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.processors import usable_cores


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the evaluation of a policy.")
    parser.add_argument("--rounds", type=integer_in(1, 100), default=3, help="Rounds (default: 3).")
    parser.add_argument(
        "--episodes", type=integer_in(1, 10_000), default=300, help="Episodes (default: 300)."
    )
    return parser.parse_args()


def save_new_policy(path: Path) -> None:
    """Save a policy as it is before its first step."""
    env = gym.make(ENVIRONMENT_ID, sumo_cfg=str(DEFAULT_SUMO_CFG))
    kwargs = create_deep_set_policy_kwargs(peer_embed_dim=32)
    PPO("MultiInputPolicy", env, policy_kwargs=kwargs, seed=1, device="cpu").save(path)
    env.close()


def seconds_of(model: Path, num_episodes: int, num_workers: int) -> float:
    """Return how long an evaluation takes."""
    command = ["--model", str(model), "--episodes", str(num_episodes), "--skip_baselines",
               "--workers", str(num_workers), "--trust", "--quiet"]  # fmt: skip
    start_s = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate(command)
    return time.perf_counter() - start_s


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    sizes = sorted({1, usable_cores()})
    times: dict[int, list[float]] = {num_workers: [] for num_workers in sizes}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.zip"
        save_new_policy(model)
        seconds_of(model, 1, 1)  # compiles the kernels
        for _ in range(args.rounds):
            for num_workers in sizes:
                times[num_workers].append(seconds_of(model, args.episodes, num_workers))
    sys.stdout.write(f"{args.episodes} episodes\nworkers  s (median)     min     max\n")
    for num_workers, values in times.items():
        median = statistics.median(values)
        sys.stdout.write(
            f"{num_workers:7}  {median:10.1f}  {min(values):6.1f}  {max(values):6.1f}\n"
        )
    figures = {
        "episodes": args.episodes,
        "s": {str(n): [round(value, 2) for value in values] for n, values in times.items()},
        "usable_cores": usable_cores(),
    }
    print_record("evaluation_episodes", figures)


if __name__ == "__main__":
    run_command(main)
