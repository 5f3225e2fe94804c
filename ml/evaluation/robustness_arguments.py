"""The command line of the robustness curves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, path_text
from ml.evaluation.arguments import add_trust_flag, add_workers_flag
from ml.seeding import MAX_MASTER_SEED

AXES = ("loss", "burst", "delay", "peers")
BASELINES = ("null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle")
_DEFAULT_BASELINES = ("driver", "aeb", "r157", "eebl", "rss", "oracle")
_MOST_EPISODES = 100_000
_DEFAULT_SEED = 20261125


def parse_robustness_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(
        prog="robustness",
        description="Collisions of policies against loss, bursts, delay and number of cars heard.",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        type=path_text,
        metavar="POLICY",
        help="Runs' folders, models' files, 'packaged', or scripted policies such as eebl@3.0 "
        "(default: none).",
    )
    add_trust_flag(parser)
    parser.add_argument(
        "--baselines",
        nargs="+",
        default=list(_DEFAULT_BASELINES),
        choices=BASELINES,
        help=f"Scripted policies beside them (default: {' '.join(_DEFAULT_BASELINES)}).",
    )
    parser.add_argument(
        "--axes", nargs="+", default=list(AXES), choices=AXES, help="What varies (default: all)."
    )
    parser.add_argument(
        "--family",
        choices=("H", "M"),
        default="H",
        help="Hazards: H, any car ahead stops; M, the 2nd or 3rd does (default: H).",
    )
    _add_size_flags(parser)
    parser.add_argument(
        "--output_dir",
        required=True,
        type=path_text,
        metavar="DIR",
        help="Folder for everything written; the same command continues what is in it.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace the curves in --output_dir."
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    args.model = args.model or []
    for name in ("axes", "baselines"):
        setattr(args, name, list(dict.fromkeys(getattr(args, name))))
    return args


def _add_size_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how many episodes are played, which, and by how many processes."""
    parser.add_argument(
        "--episodes",
        type=integer_in(1, _MOST_EPISODES),
        default=72,
        metavar="N",
        help="Hazards for each policy at each level (default: 72).",
    )
    parser.add_argument(
        "--calm_episodes",
        type=integer_in(0, _MOST_EPISODES),
        default=0,
        metavar="N",
        help="Calm episodes for each policy at each level of the radio, in which every alarm is "
        "false (default: 0).",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=_DEFAULT_SEED,
        metavar="N",
        help=f"Seed of the episodes (default: {_DEFAULT_SEED}).",
    )
    add_workers_flag(parser)
