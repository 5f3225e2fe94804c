"""The command line of the comparison of evaluations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from ml.command_line import OneLineArgumentParser, add_debug_flag, path_text

_LONGEST_NAME = 40


class SeedGroup(NamedTuple):
    """Evaluations of one recipe, trained with several seeds.

    Attributes:
        name: What the recipe is called.
        places: Its evaluations, one for each seed.
    """

    name: str
    places: tuple[str, ...]


def parse_compare_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of the comparison."""
    parser = OneLineArgumentParser(
        prog="compare",
        description="Compare policies that met the same episodes, from their saved records.",
    )
    parser.add_argument(
        "places",
        nargs="*",
        type=path_text,
        metavar="DIR",
        help="An evaluation's or a run's folder, or a file of records; each is compared with the "
        "first.",
    )
    parser.add_argument(
        "--group",
        type=seed_group,
        action="append",
        metavar="NAME=DIR,DIR,...",
        help="A recipe with the evaluations of its training seeds, in place of DIR; to be given "
        "once for each recipe.",
    )
    parser.add_argument(
        "--output_file",
        type=path_text,
        metavar="FILE",
        help="Also write everything as JSON (default: only print).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace --output_file.")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    _settle(parser, args)
    return args


def seed_group(text: str) -> SeedGroup:
    """Return the recipe that a flag's value describes."""
    name, mark, rest = text.partition("=")
    places = rest.split(",")
    if not (mark and name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME):
        raise argparse.ArgumentTypeError(
            f"must be NAME=DIR,DIR,... with a name of 1 to {_LONGEST_NAME} printable characters. "
            f"Got {text!r}."
        )
    if len(set(places)) < len(places):
        raise argparse.ArgumentTypeError(f"must name each folder once. Got {text!r}.")
    return SeedGroup(name.strip(), tuple(path_text(place) for place in places))


def _settle(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what cannot be compared."""
    args.group = args.group or []
    names = [group.name for group in args.group]
    if args.group and args.places:
        parser.error("--group must be given without DIR. Put every folder into a group.")
    if args.group and len(set(names)) < max(2, len(names)):
        parser.error(
            f"--group must be given at least twice, each with another name. Got {', '.join(names)}."
        )
    if not args.group and len(args.places) < 2:
        parser.error(
            f"DIR must be given at least twice, or --group. Got {len(args.places)}. Name the "
            "evaluations to compare."
        )
