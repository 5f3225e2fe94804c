"""How much memory resets with changing scenarios leave behind, beside bare ``load`` of the same.

Each runs in a process of its own. The slope is a straight line fitted to the resident memory over
the second half of the resets, when everything that is allocated once has been.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import libsumo
import numpy as np
from measurement import (
    NO_DEMAND,
    TRAINING_BASES,
    make_dataset,
    open_env,
    print_record,
    scenario_files,
    training_scenarios,
)

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.sumo_connection import SIMULATION_OPTIONS

NUM_SCENARIOS = 45
NUM_SAMPLES = 200
WORDS = {"environment": "environment", "bare": "bare libsumo load"}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Measure the memory that resets leave behind.")
    parser.add_argument(
        "--resets", type=integer_in(400, 1_000_000), default=10_000,
        help="Resets of each (default: 10000).",
    )  # fmt: skip
    parser.add_argument("--child", choices=list(WORDS), help="Used by this script itself.")
    parser.add_argument("--dataset", type=Path, help="Used by this script itself.")
    return parser.parse_args()


def resident_kb() -> float:
    """Return this process's resident memory [kB]."""
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * resource.getpagesize() / 1000.0


def sampled_kb(reset: Callable[[str], None], dataset: Path, num_resets: int) -> list[float]:
    """Return the resident memory at equal numbers of resets over the scenarios in turn [kB]."""
    every = num_resets // NUM_SAMPLES
    samples = []
    scenarios = islice(cycle(training_scenarios(dataset)), every * NUM_SAMPLES)
    for count, scenario_id in enumerate(scenarios, start=1):
        reset(scenario_id)
        if count % every == 0:
            samples.append(resident_kb())
    return samples


def measure_environment(dataset: Path, num_resets: int) -> list[float]:
    """Reset the environment, with one step in each episode."""
    env = open_env(dataset)

    def reset(scenario_id: str) -> None:
        env.reset(options={"scenario_id": scenario_id})
        env.step(NO_DEMAND)

    samples = sampled_kb(reset, dataset, num_resets)
    env.close()
    return samples


def measure_bare(dataset: Path, num_resets: int) -> list[float]:
    """Load the scenarios into SUMO, with as many steps as a reset has."""
    options = {
        name: [*scenario_files(dataset, name).options(), *SIMULATION_OPTIONS]
        for name in training_scenarios(dataset)
    }
    libsumo.start(["sumo", *next(iter(options.values()))])

    def reset(scenario_id: str) -> None:
        libsumo.load(options[scenario_id])
        for _ in range(22):
            libsumo.simulationStep()

    samples = sampled_kb(reset, dataset, num_resets)
    libsumo.close()
    return samples


def in_child(word: str, dataset: Path, num_resets: int) -> list[float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", word, "--dataset", str(dataset),
               "--resets", str(num_resets)]  # fmt: skip
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    samples: list[float] = json.loads(output.splitlines()[-1])
    return samples


def slope_kb(samples: list[float], num_resets: int) -> float:
    """Return the growth per reset over the second half [kB]."""
    half = len(samples) // 2
    resets = np.arange(half) * (num_resets // NUM_SAMPLES)
    return float(np.polyfit(resets, samples[-half:], 1)[0])


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    if args.child:
        measure = measure_environment if args.child == "environment" else measure_bare
        sys.stdout.write(json.dumps(measure(args.dataset, args.resets)) + "\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(
            Path(folder) / "all", num_scenarios=NUM_SCENARIOS, bases=TRAINING_BASES
        )
        samples = {word: in_child(word, dataset, args.resets) for word in WORDS}
    figures = {
        word: {
            "slope_kb_per_reset": round(slope_kb(row, args.resets), 3),
            "first_mb": round(row[0] / 1000.0, 1),
            "last_mb": round(row[-1] / 1000.0, 1),
        }
        for word, row in samples.items()
    }
    sys.stdout.write(f"{args.resets} resets              kB a reset   MB at first   MB at last\n")
    for word, row in figures.items():
        slope, first, last = row.values()
        sys.stdout.write(f"{WORDS[word]:24} {slope:12.2f} {first:13.1f} {last:12.1f}\n")
    print_record("reset_memory", {"num_resets": args.resets, "memory": figures})


if __name__ == "__main__":
    run_command(main)
