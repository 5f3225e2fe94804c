"""Steps per second of the environment beside those of SUMO alone.

For each number of peers: the environment with radio, hazards and reward, resets included; the same
behind ``gym.make``, which adds Gymnasium's wrappers; and the bare simulator, which steps, commands
the ego's speed and reads of each car what the environment reads. Time is that of one processor
core, so that other work on the machine counts as little as possible.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import libsumo
from measurement import (
    interleaved,
    make_dataset,
    open_env,
    print_record,
    print_table,
    run_episode,
    scenario_files,
    training_scenarios,
)

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs import ENVIRONMENT_ID
from ml.envs.sumo_connection import SIMULATION_OPTIONS, ScenarioFiles

NUM_PEERS = (0, 1, 2, 4, 5, 8)
MAIN_NUM_PEERS = 5
NUM_BARE_STEPS = 300
COMMANDED_MPS = 15.0


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the environment.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=5, help="Rounds (default: 5).")
    parser.add_argument(
        "--episodes", type=integer_in(1, 100), default=5, help="Episodes a round (default: 5)."
    )
    return parser.parse_args()


def environment_rate(dataset: Path, scenario_id: str, num_episodes: int) -> float:
    """Return steps per second of processor time over whole episodes, resets included."""
    env = open_env(dataset)
    run_episode(env, scenario_id)  # starts SUMO
    start_s = time.process_time()
    num_steps = sum(run_episode(env, scenario_id) for _ in range(num_episodes))
    elapsed_s = time.process_time() - start_s
    env.close()
    return num_steps / elapsed_s


def wrapped_rate(dataset: Path, scenario_id: str, num_episodes: int) -> float:
    """Return the same with the environment made by ``gym.make``."""
    env = gym.make(ENVIRONMENT_ID, dataset_dir=dataset, scenario_seed=1)
    run_episode(env, scenario_id)
    start_s = time.process_time()
    num_steps = sum(run_episode(env, scenario_id) for _ in range(num_episodes))
    elapsed_s = time.process_time() - start_s
    env.close()
    return num_steps / elapsed_s


def bare_rate(files: ScenarioFiles, num_episodes: int) -> float:
    """Return steps per second of processor time of SUMO alone with command and reads, no resets."""
    libsumo.start(["sumo", *files.options(), *SIMULATION_OPTIONS])
    elapsed_s = 0.0
    for _ in range(num_episodes):
        libsumo.load([*files.options(), *SIMULATION_OPTIONS])
        libsumo.simulationStep()
        elapsed_s += _bare_steps_s()
    libsumo.close()
    return num_episodes * NUM_BARE_STEPS / elapsed_s


def _bare_steps_s() -> float:
    """Return the processor time of the steps of one bare episode [s]."""
    vehicle = libsumo.vehicle
    cars = vehicle.getIDList()
    start_s = time.process_time()
    for _ in range(NUM_BARE_STEPS):
        vehicle.setSpeed("V001", COMMANDED_MPS)
        libsumo.simulationStep()
        for car in cars:
            vehicle.getPosition(car)
            vehicle.getSpeed(car)
            vehicle.getAngle(car)
            vehicle.getDistance(car)
    return time.process_time() - start_s


def measures_of(dataset: Path, num_episodes: int) -> dict[str, Callable[[], float]]:
    """Return what is measured, by name."""
    by_size = {num_peers: name for name, num_peers in training_scenarios(dataset).items()}
    measures: dict[str, Callable[[], float]] = {}
    for num_peers in NUM_PEERS:
        name = by_size[num_peers]
        measures[f"environment, {num_peers} peers"] = lambda name=name: environment_rate(
            dataset, name, num_episodes
        )
        measures[f"bare libsumo, {num_peers} peers"] = lambda name=name: bare_rate(
            scenario_files(dataset, name), num_episodes
        )
    name = by_size[MAIN_NUM_PEERS]
    measures[f"through gym.make, {MAIN_NUM_PEERS} peers"] = lambda: wrapped_rate(
        dataset, name, num_episodes
    )
    return measures


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "dataset", num_scenarios=9)
        rates = interleaved(measures_of(dataset, args.episodes), args.rounds)
    print_table("steps/s of processor time", rates)
    shares = {
        num_peers: statistics.median(
            environment / bare
            for environment, bare in zip(
                rates[f"environment, {num_peers} peers"],
                rates[f"bare libsumo, {num_peers} peers"],
                strict=True,
            )
        )
        for num_peers in NUM_PEERS
    }
    for num_peers, share in shares.items():
        sys.stdout.write(f"{num_peers} peers: 1/{1.0 / share:.1f} of the bare rate\n")
    print_record(
        "environment_steps",
        {
            "steps_per_processor_s": {
                name: [round(value) for value in values] for name, values in rates.items()
            },
            "share_of_bare_rate": {str(n): round(share, 4) for n, share in shares.items()},
        },
    )


if __name__ == "__main__":
    run_command(main)
