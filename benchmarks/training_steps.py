"""Steps a second of training, end to end, with the learner's updates and everything beside them.

Each round is the trial of `roadsense doctor` with other settings of the learner: rollouts and
updates from the second one on, on the base scenario, without development episodes.
"""

from __future__ import annotations

from measurement import print_record, print_table
from training_trials import parse_args, rates, run_trials

from ml.command_line import run_command

SETTINGS: dict[str, tuple[str, ...]] = {
    "the defaults": (),
    "--learner sb3": ("--learner", "sb3"),
    "--n_envs 1": ("--n_envs", "1"),
    "--n_envs 2": ("--n_envs", "2"),
    "--batch_size 1024 --n_epochs 4": ("--batch_size", "1024", "--n_epochs", "4"),
    "--preset fast": ("--preset", "fast"),
}


def main() -> None:
    """Measure, print the table and the JSON line."""
    rows = rates(run_trials(SETTINGS, parse_args("Time training.")))
    print_table("training [steps/s]", rows)
    print_record(
        "training_steps",
        {"steps_per_s": {name: [round(value) for value in row] for name, row in rows.items()}},
    )


if __name__ == "__main__":
    run_command(main)
