"""Steps per second of several environments in processes: `make bench`.

First with an environment that costs nothing, so that all that is left is the price of a step beyond
the environment; then with the real one. Prints a table and one JSON line with commit, processor and
versions. A figure is the median of several rounds, the rounds of all sizes interleaved.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import ExitStack
from typing import Any

import gymnasium as gym
import numpy as np
from free_environment import FreeEnv

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.convoy_env import ConvoyEnv
from ml.envs.vector_env import ConvoyWorkers
from ml.processors import usable_cores
from ml.provenance import REPOSITORY_ROOT, git_state, processor_name, software_versions

NUM_ENVS = (1, 2, 4, 8)
BASE_SCENARIO = REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"
_FEWEST_STEPS = 100


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time several environments in processes.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=7, help="Rounds (default: 7).")
    parser.add_argument(
        "--steps", type=integer_in(_FEWEST_STEPS, 10**6), default=1000,
        help="Steps of all environments in a round (default: 1000).",
    )  # fmt: skip
    return parser.parse_args()


def microseconds_per_step(workers: ConvoyWorkers, num_steps: int) -> tuple[float, float]:
    """Return the time for a step of one environment, by the clock and of this process's own."""
    actions = np.full((workers.num_envs, 1), -1.0, np.float32)
    start_s, own_s = time.perf_counter(), time.process_time()
    for _ in range(num_steps):
        workers.step(actions)
    taken = time.perf_counter() - start_s, time.process_time() - own_s
    clock, own = (1e6 * seconds / num_steps / workers.num_envs for seconds in taken)
    return clock, own


def measure(
    environment: type[gym.Env[Any, Any]], kwargs: dict[str, Any], args: argparse.Namespace
) -> dict[int, list[tuple[float, float]]]:
    """Return each round's times by number of environments."""
    times: dict[int, list[tuple[float, float]]] = {num_envs: [] for num_envs in NUM_ENVS}
    with ExitStack() as stack:
        opened = [
            stack.enter_context(ConvoyWorkers(num_envs, kwargs, environment=environment))
            for num_envs in NUM_ENVS
        ]
        for workers in opened:
            workers.reset()
            microseconds_per_step(workers, _FEWEST_STEPS)
        for _ in range(args.rounds):
            for workers in opened:
                times[workers.num_envs].append(microseconds_per_step(workers, args.steps))
    return times


def table(title: str, times: dict[int, list[tuple[float, float]]]) -> str:
    """Return the times as text, with the rate beside that of one environment."""
    lines = [f"{title}: us a step and environment", "envs  median     min     max  parent's own  x"]
    first = statistics.median(clock for clock, _ in times[NUM_ENVS[0]])
    for num_envs, rounds in times.items():
        clock = [one for one, _ in rounds]
        median, own = statistics.median(clock), statistics.median(own for _, own in rounds)
        lines.append(
            f"{num_envs:4}  {median:6.1f}  {min(clock):6.1f}  {max(clock):6.1f}  {own:12.1f}  "
            f"{first / median:.2f}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the tables and the JSON line."""
    args = parse_args()
    free = measure(FreeEnv, {}, args)
    real = measure(ConvoyEnv, {"sumo_cfg": str(BASE_SCENARIO), "scenario_seed": 1}, args)
    sys.stdout.write(table("free environment", free) + table("base scenario", real))
    record = {
        "benchmark": "vector_steps",
        "free_us": {str(n): [round(clock, 2) for clock, _ in rows] for n, rows in free.items()},
        "free_parent_us": {str(n): [round(own, 2) for _, own in rows] for n, rows in free.items()},
        "real_us": {str(n): [round(clock, 2) for clock, _ in rows] for n, rows in real.items()},
        "usable_cores": usable_cores(),
        "git": git_state(),
        "processor": processor_name(),
        "versions": software_versions(),
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    run_command(main)
