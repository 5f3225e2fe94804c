"""What a long training takes more and more of: memory, open files, bytes of logs and checkpoints.

The command runs by itself and is looked at from outside, in /proc and in its folder, whenever it
has written a row of progress. Slopes are of the second half, when everything that is allocated
once has been: the median of all pairs of samples (Theil-Sen) with its 95 % interval, which takes
the samples for independent.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from measurement import TRAINING_BASES, make_dataset, print_record
from scipy import stats

from ml.command_line import EXIT_FAILURE, OneLineArgumentParser, integer_in, run_command
from ml.provenance import REPOSITORY_ROOT

NUM_SCENARIOS = 45
LOOK_INTERVAL_S = 0.5
LOGS = ("progress.jsonl", "development.jsonl", "tensorboard")
COLUMNS = ("parent_kb", "children_kb", "log_bytes")


@dataclass(frozen=True)
class Sample:
    """A training after some steps.

    Attributes:
        steps: Steps so far.
        parent_kb: Resident memory of the command [kB].
        children_kb: Resident memory of its processes together [kB].
        num_children: How many those are.
        num_files: Open file descriptors of all.
        log_bytes: Size of all logs [bytes].
        checkpoint_bytes: Size of all that is in ``checkpoints/`` [bytes].
    """

    steps: int
    parent_kb: float
    children_kb: float
    num_children: int
    num_files: int
    log_bytes: int
    checkpoint_bytes: int


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Look at what a long training takes.")
    parser.add_argument(
        "--steps", type=integer_in(20_000, 1_000_000_000), default=1_000_000,
        help="Steps of the training (default: 1000000).",
    )  # fmt: skip
    parser.add_argument(
        "--n_envs", type=integer_in(1, 64), default=8, help="Environments (default: 8)."
    )
    parser.add_argument(
        "--keep_checkpoints", type=integer_in(1, 1000), default=3,
        help="Checkpoints and states that are kept (default: 3).",
    )  # fmt: skip
    return parser.parse_args()


def children_of(process_id: int) -> list[int]:
    """Return the ids of a process's children."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text(encoding="ascii").split()]


def resident_kb(process_id: int) -> float:
    """Return a process's resident memory [kB]."""
    statm = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii")
    return int(statm.split()[1]) * resource.getpagesize() / 1000.0


def num_files(process_id: int) -> int:
    """Return a process's number of open file descriptors."""
    return len(list(Path(f"/proc/{process_id}/fd").iterdir()))


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files below a folder [bytes]."""
    files = [path, *path.rglob("*")]
    return sum(each.stat().st_size for each in files if each.is_file())


def sample(process_id: int, run: Path, steps: int) -> Sample:
    """Look at a training."""
    children = children_of(process_id)
    return Sample(
        steps=steps,
        parent_kb=resident_kb(process_id),
        children_kb=sum(resident_kb(child) for child in children),
        num_children=len(children),
        num_files=sum(num_files(each) for each in (process_id, *children)),
        log_bytes=sum(size_of(run / name) for name in LOGS),
        checkpoint_bytes=size_of(run / "checkpoints"),
    )


def sampled(args: argparse.Namespace, folder: Path) -> list[Sample]:
    """Run the training and return a sample for each row of its progress that was seen in time."""
    dataset = make_dataset(folder / "data", num_scenarios=NUM_SCENARIOS, bases=TRAINING_BASES)
    run = folder / "run"
    flags = {"dataset_dir": dataset, "output_dir": run, "total_timesteps": args.steps,
             "n_envs": args.n_envs, "keep_checkpoints": args.keep_checkpoints}  # fmt: skip
    command = [sys.executable, "-m", "ml.training.train_convoy", "--skip_eval", "--quiet",
               *(f"--{name}={value}" for name, value in flags.items())]  # fmt: skip
    samples: list[Sample] = []
    with subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=subprocess.DEVNULL) as training:
        while training.poll() is None:
            time.sleep(LOOK_INTERVAL_S)
            steps = steps_so_far(run / "progress.jsonl")
            if steps > (samples[-1].steps if samples else 0):
                try:
                    samples.append(sample(training.pid, run, steps))
                except FileNotFoundError:  # a process or a file has gone meanwhile
                    continue
    if training.returncode != 0:
        sys.exit(EXIT_FAILURE)  # the command has said why
    return samples


def steps_so_far(progress: Path) -> int:
    """Return the steps of the last whole row, 0 without any."""
    if not progress.is_file():
        return 0
    *rows, _ = progress.read_text(encoding="utf-8").split("\n")
    return int(json.loads(rows[-1])["steps"]) if rows else 0


def slope_per_1000_steps(samples: Sequence[Sample], column: str) -> list[float]:
    """Return a column's growth per 1000 steps over the second half, and its interval."""
    late = samples[len(samples) // 2 :]
    thousands = [each.steps / 1000.0 for each in late]
    fitted = stats.theilslopes([getattr(each, column) for each in late], thousands)
    return [round(float(value), 3) for value in (fitted[0], fitted[2], fitted[3])]


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = sampled(args, Path(folder))
    first, last = samples[0], samples[-1]
    slopes = {name: slope_per_1000_steps(samples, name) for name in COLUMNS}
    sys.stdout.write(f"{last.steps:,} steps, {len(samples)} samples\n")
    sys.stdout.write(f"{'per 1000 steps':22} {'slope':>12} {'95 % interval':>27}\n")
    for name, (slope, low, high) in slopes.items():
        sys.stdout.write(f"{name:22} {slope:12,.3f} {low:13,.3f} {high:13,.3f}\n")
    sys.stdout.write(f"{'':22} {'first':>12} {'last':>13} {'largest':>13}\n")
    for name in asdict(first):
        values = [getattr(each, name) for each in samples]
        sys.stdout.write(f"{name:22} {values[0]:12,.0f} {values[-1]:13,.0f} {max(values):13,.0f}\n")
    figures = {
        "num_envs": args.n_envs,
        "keep_checkpoints": args.keep_checkpoints,
        "num_samples": len(samples),
        "slope_per_1000_steps": slopes,
        "first": asdict(first),
        "last": asdict(last),
        "largest": {name: max(getattr(each, name) for each in samples) for name in asdict(first)},
    }
    print_record("long_run", figures)


if __name__ == "__main__":
    run_command(main)
