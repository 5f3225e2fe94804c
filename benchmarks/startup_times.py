"""How long a user waits before anything happens: help, and a training's first step.

The first step is the end of a training of two steps in one environment, so it includes an update
and the saving of the model. Without kept kernels, the cache folder is a new one each time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measurement import interleaved, print_record, print_table

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.provenance import REPOSITORY_ROOT

TRAIN = ("-m", "ml.training.train_convoy")
TWO_STEPS = ("--total_timesteps", "2", "--n_steps", "2", "--n_envs", "1", "--skip_eval",
             "--dev_episodes", "0", "--quiet")  # fmt: skip


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the start of commands.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=5, help="Rounds (default: 5).")
    return parser.parse_args()


def seconds_of(arguments: Sequence[str], **environment: str) -> float:
    """Return how long a command of this interpreter takes."""
    start_s = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start_s


def first_step_s(folder: Path, *, has_kernels: bool) -> float:
    """Return how long a training of two steps takes."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = (*TRAIN, *TWO_STEPS, "--output_dir", str(Path(place) / "run"))
        if has_kernels:
            return seconds_of(command)
        return seconds_of(command, XDG_CACHE_HOME=place)


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = interleaved(
            {
                "roadsense --help": lambda: seconds_of(("-m", "ml.cli", "--help")),
                "roadsense train --help": lambda: seconds_of(("-m", "ml.cli", "train", "--help")),
                "python -m ...train_convoy --help": lambda: seconds_of((*TRAIN, "--help")),
                "first step, kernels kept": lambda: first_step_s(folder, has_kernels=True),
                "first step, no kernels": lambda: first_step_s(folder, has_kernels=False),
            },
            args.rounds,
        )
    print_table("start [s]", rows, "12.2f")
    print_record(
        "startup_times", {"s": {name: [round(v, 3) for v in row] for name, row in rows.items()}}
    )


if __name__ == "__main__":
    run_command(main)
