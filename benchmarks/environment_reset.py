"""How long a reset of the environment takes, with scenarios in random order: median and p99."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from measurement import (
    TRAINING_BASES,
    make_dataset,
    open_env,
    print_record,
    print_table,
    training_scenarios,
)

from ml.command_line import OneLineArgumentParser, integer_in, run_command

NUM_SCENARIOS = 45


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time resets.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=5, help="Rounds (default: 5).")
    parser.add_argument(
        "--resets", type=integer_in(10, 100_000), default=200, help="Resets a round (default: 200)."
    )
    return parser.parse_args()


def reset_times_ms(dataset: Path, num_resets: int) -> tuple[list[float], list[float]]:
    """Return the processor time and the wall time of each of some resets [ms]."""
    env = open_env(dataset)
    for scenario_id in training_scenarios(dataset):  # the first reset checks a scenario's files
        env.reset(options={"scenario_id": scenario_id})
    processor_ms, wall_ms = [], []
    for _ in range(num_resets):
        start_s, wall_start_s = time.process_time(), time.perf_counter()
        env.reset()
        processor_ms.append(1000.0 * (time.process_time() - start_s))
        wall_ms.append(1000.0 * (time.perf_counter() - wall_start_s))
    env.close()
    return processor_ms, wall_ms


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        datasets = {
            "one road": make_dataset(Path(folder) / "one", num_scenarios=NUM_SCENARIOS),
            "three training roads": make_dataset(
                Path(folder) / "all", num_scenarios=NUM_SCENARIOS, bases=TRAINING_BASES
            ),
        }
        for _ in range(args.rounds):
            for roads, dataset in datasets.items():
                processor_ms, wall_ms = reset_times_ms(dataset, args.resets)
                for clock, times_ms in (("processor", processor_ms), ("wall", wall_ms)):
                    for figure, percent in (("median", 50), ("p99", 99)):
                        name = f"{roads}, {clock}, {figure}"
                        rows.setdefault(name, []).append(float(np.percentile(times_ms, percent)))
    print_table("reset [ms]", rows, "12.2f")
    print_record(
        "environment_reset",
        {"reset_ms": {name: [round(value, 3) for value in row] for name, row in rows.items()}},
    )


if __name__ == "__main__":
    run_command(main)
