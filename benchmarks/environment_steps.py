"""Steps per second of the environment, resets included: `make bench`.

Prints a table over the number of peers and one JSON line with commit, processor and versions. A
figure is the median of several rounds, the rounds of all sizes interleaved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.convoy_env import ConvoyEnv
from ml.provenance import git_state, processor_name, software_versions
from ml.scripts.gen_scenarios import main as generate

NUM_PEERS = (0, 1, 2, 5, 8)
NO_DEMAND = np.array([-1.0], dtype=np.float32)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the environment.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=5, help="Rounds (default: 5).")
    parser.add_argument(
        "--episodes", type=integer_in(1, 100), default=5, help="Episodes a round (default: 5)."
    )
    return parser.parse_args()


def steps_per_second(env: ConvoyEnv, scenario_id: str, num_episodes: int) -> float:
    """Return the rate over whole episodes of one scenario, resets included."""
    num_steps = 0
    start_s = time.perf_counter()
    for _ in range(num_episodes):
        env.reset(options={"scenario_id": scenario_id})
        is_over = False
        while not is_over:
            _, _, terminated, truncated, _ = env.step(NO_DEMAND)
            is_over = terminated or truncated
            num_steps += 1
    return num_steps / (time.perf_counter() - start_s)


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    rates: dict[int, list[float]] = {num_peers: [] for num_peers in NUM_PEERS}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        generate(["--output_dir", str(dataset), "--seed", "1", "--train_count", "9",
                  "--eval_count", "1", "--quiet"])  # fmt: skip
        scenarios = json.loads((dataset / "manifest.json").read_text(encoding="utf-8"))["scenarios"]
        by_size = {
            entry["draws"]["num_peers"]: name
            for name, entry in scenarios.items()
            if name.startswith("train")
        }
        env = ConvoyEnv(dataset_dir=dataset, scenario_seed=1)
        for num_peers in NUM_PEERS:
            steps_per_second(env, by_size[num_peers], 1)  # compiles the kernels
        for _ in range(args.rounds):
            for num_peers in NUM_PEERS:
                rate = steps_per_second(env, by_size[num_peers], args.episodes)
                rates[num_peers].append(rate)
        env.close()
    sys.stdout.write("peers  steps/s (median)  min      max\n")
    for num_peers, values in rates.items():
        median = statistics.median(values)
        sys.stdout.write(
            f"{num_peers:5}  {median:16,.0f}  {min(values):7,.0f}  {max(values):7,.0f}\n"
        )
    record = {
        "benchmark": "environment_steps",
        "steps_per_s": {str(n): [round(v) for v in values] for n, values in rates.items()},
        "git": git_state(),
        "processor": processor_name(),
        "versions": software_versions(),
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    run_command(main)
