"""Steps a second of training, end to end, with the learner's updates and everything beside them.

Each round is the trial of `roadsense doctor` with other settings of the learner: rollouts and
updates from the second one on, on the base scenario, without development episodes.
"""

from __future__ import annotations

import argparse
from functools import partial

from measurement import interleaved, print_record, print_table

from ml.command_line import OneLineArgumentParser, integer_in, number_in, run_command
from ml.training.trial import run_trial

SETTINGS: dict[str, tuple[str, ...]] = {
    "the defaults": (),
    "--learner sb3": ("--learner", "sb3"),
    "--n_envs 1": ("--n_envs", "1"),
    "--n_envs 2": ("--n_envs", "2"),
    "--batch_size 1024 --n_epochs 4": ("--batch_size", "1024", "--n_epochs", "4"),
    "--preset fast": ("--preset", "fast"),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time training.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=3, help="Rounds (default: 3).")
    parser.add_argument(
        "--seconds", type=number_in(0.5, 600.0), default=5.0, help="Of each trial (default: 5)."
    )
    return parser.parse_args()


def steps_per_second(flags: tuple[str, ...], seconds: float) -> float:
    """Return the rate of a trial."""
    return run_trial(seconds, flags).steps_per_s


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    measures = {
        name: partial(steps_per_second, flags, args.seconds) for name, flags in SETTINGS.items()
    }
    rows = interleaved(measures, args.rounds)
    print_table("training [steps/s]", rows)
    print_record(
        "training_steps",
        {"steps_per_s": {name: [round(value) for value in row] for name, row in rows.items()}},
    )


if __name__ == "__main__":
    run_command(main)
