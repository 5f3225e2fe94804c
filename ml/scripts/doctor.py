"""Looks at an installation and measures it: `python -m ml.scripts.doctor`, `roadsense doctor`.

What is wrong is said with what to do about it. Then a training of the default kind runs for a few
seconds, and its rate and the shares of its stages say what bounds this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ml.command_line import (
    EXIT_FAILURE,
    OneLineArgumentParser,
    add_debug_flag,
    number_in,
    run_command,
)

if TYPE_CHECKING:
    from ml.scripts.doctor_checks import Finding
    from ml.training.trial import TrialResult

LONGEST_TRIAL_S = 600.0
_MEANINGS = {
    "simulator": "SUMO and the drivers. More cores help: --n_envs up to twice their number",
    "radio": "the emulated radio. A file with fewer background senders or relays is faster",
    "observation": "observation, reward and records of the environments. More cores help",
    "transfer": "messages, and waiting for environments that had no core. Other work on this "
    "machine, or more environments than cores, make it grow",
    "inference": "the policy's forward pass and the rollout's bookkeeping. More --n_envs share it",
    "update": "the learner. A larger --batch_size or fewer --n_epochs make it cheaper",
}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="doctor", description="Check this installation, and measure what bounds it."
    )
    parser.add_argument(
        "--seconds",
        type=number_in(0.0, LONGEST_TRIAL_S),
        default=10.0,
        metavar="S",
        help="How long to measure; 0 only checks (default: 10).",
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON object instead.")
    add_debug_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Check, measure and print; exit with status 1 if something failed.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_args(argv)
    # The checks bring SUMO, which help need not wait for.
    from ml.scripts.doctor_checks import State, all_findings  # noqa: PLC0415

    findings = all_findings()
    if not args.json:
        sys.stdout.write("".join(f"{finding_line(finding)}\n" for finding in findings))
        sys.stdout.flush()
    is_well = all(finding.state is not State.FAILED for finding in findings)
    trial = None
    if is_well and args.seconds > 0.0:
        from ml.training.trial import run_trial  # noqa: PLC0415 - brings torch

        trial = run_trial(args.seconds)
    if args.json:
        content = {
            "findings": [vars(finding) for finding in findings],
            "trial": None if trial is None else trial.as_dict(),
        }
        sys.stdout.write(json.dumps(content) + "\n")
    else:
        sys.stdout.write(f"{verdict_text(is_well, trial)}\n")
    if not is_well:
        sys.exit(EXIT_FAILURE)


def finding_line(finding: Finding) -> str:
    """Return a finding on one line."""
    return f"{finding.state:8}{finding.subject:9} {finding.text}"


def verdict_text(is_well: bool, trial: TrialResult | None) -> str:
    """Return what all of it means."""
    if not is_well:
        return "\nRoadSense does not work here yet: see what failed."
    if trial is None:
        return "\nRoadSense is ready."
    lines = [
        f"\nRoadSense is ready. A training of the default kind takes {trial.steps_per_s:,.0f} "
        f"steps a second here, measured over {trial.num_steps:,} steps and "
        f"{trial.duration_s:.0f} s with {trial.num_envs} environments:",
        f"100,000 steps take {100_000 / trial.steps_per_s:,.0f} s. Where the time goes:",
    ]
    shares = sorted(vars(trial.shares).items(), key=lambda item: -item[1])
    lines += [f"  {name:12}{share:4.0%}" for name, share in shares]
    largest = trial.shares.largest
    return "\n".join([*lines, f"Most of it is {largest}: {_MEANINGS[largest]}."])


if __name__ == "__main__":
    run_command(main)
