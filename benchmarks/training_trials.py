"""Trials of training, for the benchmarks that time it end to end.

Each round is the trial of `roadsense doctor` with other flags: rollouts and updates from the second
one on, without development episodes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial

from measurement import interleaved

from ml.command_line import OneLineArgumentParser, integer_in, number_in
from ml.training.trial import TrialResult, run_trial


def parse_args(description: str) -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description=description)
    parser.add_argument("--rounds", type=integer_in(3, 100), default=3, help="Rounds (default: 3).")
    parser.add_argument(
        "--seconds", type=number_in(0.5, 600.0), default=5.0, help="Of each trial (default: 5)."
    )
    return parser.parse_args()


def run_trials(
    settings: Mapping[str, Sequence[str]], args: argparse.Namespace
) -> dict[str, list[TrialResult]]:
    """Return each round's trial by name, the rounds interleaved.

    Args:
        settings: Flags of ``train_convoy`` by name.
        args: What ``parse_args`` returned.
    """
    return interleaved(
        {name: partial(run_trial, args.seconds, flags) for name, flags in settings.items()},
        args.rounds,
    )


def rates(trials: Mapping[str, Sequence[TrialResult]]) -> dict[str, list[float]]:
    """Return the steps a second of each trial by name."""
    return {name: [trial.steps_per_s for trial in row] for name, row in trials.items()}
