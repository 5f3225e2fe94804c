"""The command line of ``ml.training.train_convoy``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, number_in
from ml.seeding import MAX_MASTER_SEED

DEFAULT_SUMO_CFG = "ml/scenarios/base/scenario.sumocfg"
BASELINES = ("null", "driver", "oracle", "eebl")
_MAX_COUNT = 10**9


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="train_convoy",
        description="Train PPO with Deep Sets on RoadSense-Convoy, evaluate it, keep the record.",
    )
    count = integer_in(1, _MAX_COUNT)

    parser.add_argument(
        "--dataset_dir",
        type=_path_text,
        metavar="DIR",
        help="Dataset folder (holds manifest.json). Without it the single scenario of --sumo_cfg.",
    )
    parser.add_argument(
        "--sumo_cfg",
        type=_path_text,
        metavar="FILE",
        help=f"Single scenario (default without --dataset_dir: {DEFAULT_SUMO_CFG}).",
    )
    parser.add_argument(
        "--eval_episodes",
        type=count,
        default=10,
        metavar="N",
        help="Evaluation episodes after training (default: 10).",
    )
    parser.add_argument(
        "--emulator_params",
        type=_path_text,
        metavar="FILE",
        help="Radio parameters (default: the dataset's, else the packaged ones).",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=42,
        metavar="N",
        help="Seed of training and scenario selection (default: 42).",
    )
    parser.add_argument(
        "--total_timesteps",
        type=count,
        default=100_000,
        metavar="N",
        help="Training steps, rounded up to whole rollouts (default: 100,000).",
    )
    parser.add_argument(
        "--learning_rate",
        type=number_in(1e-10, 1.0),
        default=3e-4,
        metavar="X",
        help="Learning rate (default: 3e-4).",
    )
    parser.add_argument(
        "--n_steps",
        type=integer_in(2, _MAX_COUNT),
        default=2048,
        metavar="N",
        help="Steps per rollout, at most --total_timesteps are used (default: 2048).",
    )
    parser.add_argument(
        "--ent_coef",
        type=number_in(0.0, 1000.0),
        default=0.01,
        metavar="X",
        help="Entropy coefficient (default: 0.01).",
    )
    parser.add_argument(
        "--output_dir",
        type=_path_text,
        metavar="DIR",
        help="Folder for model and metrics (default: ml/models/runs/<run_id>/).",
    )
    parser.add_argument(
        "--run_id",
        type=_run_id,
        metavar="NAME",
        help="Name of the run (default: from the time).",
    )
    parser.add_argument("--skip_eval", action="store_true", help="Skip the evaluation.")
    parser.add_argument(
        "--skip_baselines",
        action="store_true",
        help=f"Do not run {', '.join(BASELINES)} on the same episodes.",
    )
    parser.add_argument("--gui", action="store_true", help="Show SUMO's window (for debugging).")
    parser.add_argument(
        "--torch_threads",
        type=integer_in(1, 1024),
        default=1,
        metavar="N",
        help="Threads of the learner; the number changes the weights (default: 1).",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    add_debug_flag(parser)

    args = parser.parse_args(argv)
    if args.dataset_dir is not None and args.sumo_cfg is not None:
        parser.error("Cannot specify both --dataset_dir and --sumo_cfg")
    if args.dataset_dir is None and args.sumo_cfg is None:
        args.sumo_cfg = DEFAULT_SUMO_CFG
    return args


def _path_text(text: str) -> str:
    """Accept a path that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty.")
    return text


def _run_id(text: str) -> str:
    """Accept a name that is a plain folder name everywhere."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", text):
        raise argparse.ArgumentTypeError(
            f"must be letters, digits, '_', '-' and '.', not starting with '.'. Got {text!r}."
        )
    return text
