"""The command lines of ``roadsense verify`` and ``roadsense reproduce``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, path_text
from ml.evaluation.arguments import add_trust_flag

_LAST_EPISODE = 10**9


def parse_verify_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of ``roadsense verify``."""
    parser = OneLineArgumentParser(
        prog="verify",
        description="Recompute every hash that a run's records name, and replay one episode.",
    )
    parser.add_argument(
        "folder", type=path_text, metavar="RUN", help="A run's or an evaluation's folder."
    )
    parser.add_argument(
        "--episode",
        type=integer_in(0, _LAST_EPISODE),
        metavar="N",
        help="The episode to replay, counted from 0; in an evaluation by a protocol, the row of "
        "each policy (default: the first one; there, one that its records' hash chooses).",
    )
    parser.add_argument(
        "--dataset_dir",
        type=path_text,
        metavar="DIR",
        help="Where the dataset is now (default: where the records say).",
    )
    add_trust_flag(parser)
    add_debug_flag(parser)
    return parser.parse_args(argv)


def parse_reproduce_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of ``roadsense reproduce``."""
    parser = OneLineArgumentParser(
        prog="reproduce",
        description="Print the command that made a run or an evaluation, and what differs here; "
        "repeat it.",
    )
    parser.add_argument(
        "folder", type=path_text, metavar="RUN", help="A run's or an evaluation's folder."
    )
    parser.add_argument(
        "--run", action="store_true", help="Also run the command, and compare what it makes."
    )
    parser.add_argument(
        "--output_dir",
        type=path_text,
        metavar="DIR",
        help="Folder of the repeated one, needed with --run; never the original.",
    )
    add_trust_flag(parser)
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    if args.run and args.output_dir is None:
        parser.error("--run must have an --output_dir. Got none. Name a new folder.")
    return args
