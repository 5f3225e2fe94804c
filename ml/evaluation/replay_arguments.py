"""The command line of the replay of an episode."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, path_text
from ml.evaluation.arguments import (
    MAX_EPISODES,
    add_scenario_flags,
    add_trust_flag,
    check_output_file,
    settle_scenario,
)

_SUFFIXES = {"--video": ".gif", "--recording": ".json"}


def parse_replay_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(
        prog="replay",
        description="Play one episode and keep it as a video, as a recording, or both.",
    )
    parser.add_argument(
        "source",
        nargs="?",
        type=path_text,
        metavar="RECORDING",
        help="A recording to show, instead of an episode of --model.",
    )
    parser.add_argument(
        "--model",
        type=path_text,
        metavar="POLICY",
        help="A run's folder, a model's file, 'packaged', or a scripted policy's name such as "
        "eebl.",
    )
    add_trust_flag(parser)
    parser.add_argument(
        "--episode",
        type=integer_in(0, MAX_EPISODES - 1),
        default=0,
        metavar="N",
        help="Which episode: 0 is the first that evaluate runs (default: 0).",
    )
    add_scenario_flags(parser)
    parser.add_argument(
        "--video", type=path_text, metavar="FILE", help="Write a video: a .gif in real time."
    )
    parser.add_argument(
        "--recording", type=path_text, metavar="FILE", help="Write the recording: a .json."
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace files that are there already."
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    settle_scenario(parser, args)
    _check_source(parser, args)
    for flag, suffix in _SUFFIXES.items():
        value = getattr(args, flag.removeprefix("--"))
        if value is not None:
            _check_file(parser, args, flag, Path(value), suffix)
    return args


def _check_source(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse none or two sources, no output, and what a recording has no use for."""
    if (args.source is None) == (args.model is None):
        got = "none" if args.source is None else "both"
        parser.error(f"either a RECORDING or --model must be given. Got {got}.")
    if args.video is None and args.recording is None:
        parser.error("--video or --recording must be given, else nothing is kept. Got neither.")
    if args.source is not None and args.recording is not None:
        parser.error("--recording must come with --model. Got a RECORDING, which is one already.")


def _check_file(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    flag: str,
    path: Path,
    suffix: str,
) -> None:
    """Refuse a file of another kind, one that cannot be written, and one that is there."""
    if path.suffix.lower() != suffix:
        parser.error(f"{flag} must be a file whose name ends in {suffix}. Got {str(path)!r}.")
    check_output_file(parser, flag, path)
    if path.exists() and not args.overwrite:
        parser.error(
            f"{flag} must be a new file. Got {str(path)!r}. Choose another name, or add "
            "--overwrite."
        )
