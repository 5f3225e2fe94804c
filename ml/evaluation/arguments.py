"""The command lines of the evaluation's commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, path_text
from ml.errors import ConfigError
from ml.espnow_emulator.fault_requests import LARGEST_NUM_FAULTS, fault_from_text
from ml.espnow_emulator.faults import RadioFault
from ml.provenance import REPOSITORY_ROOT
from ml.seeding import MAX_MASTER_SEED, SPLITS
from ml.types import MAX_ENVIRONMENTS

DEFAULT_SUMO_CFG = REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"
BASELINES = ("null", "driver", "oracle", "eebl")
MAX_EPISODES = 1_000_000
_FIXED_BY_PROTOCOL = (
    "dataset_dir", "sumo_cfg", "split", "emulator_params", "radio_fault", "episodes", "seed",
    "skip_baselines",
)  # fmt: skip


def parse_table_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of the table of scripted policies."""
    parser = OneLineArgumentParser(
        prog="scripted_table", description="Table of what the scripted policies earn and crash."
    )
    _add_episode_flags(parser, fewest=2, default_episodes=300)
    parser.add_argument(
        "--output_page",
        type=path_text,
        metavar="FILE",
        help="Also write the table as Markdown page.",
    )
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    settle_scenario(parser, args)
    if args.dataset_dir is None and args.sumo_cfg is None:
        args.sumo_cfg = str(DEFAULT_SUMO_CFG)
    if args.output_page is not None:
        check_output_file(parser, "--output_page", Path(args.output_page))
    return args


def parse_evaluate_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line of the evaluation of a policy."""
    parser = OneLineArgumentParser(
        prog="evaluate",
        description="Judge a policy on whole episodes, beside the scripted ones.",
    )
    parser.add_argument(
        "--model",
        required=True,
        nargs="+",
        type=path_text,
        metavar="POLICY",
        help="A run's folder, a model's file, 'packaged' for the trained policy that comes with "
        "this package, or a scripted policy's name such as eebl; several stand in one table.",
    )
    add_trust_flag(parser)
    parser.add_argument(
        "--protocol",
        type=path_text,
        metavar="NAME",
        help="Judge by a frozen protocol: smoke, screening, short-gaps, release-gates, release, or "
        "a .toml file. It fixes the episodes; the same command continues what is in --output_dir "
        "(default: none).",
    )
    _add_episode_flags(parser, fewest=1, default_episodes=90)
    parser.add_argument(
        "--output_dir",
        type=path_text,
        metavar="DIR",
        help="Folder for evaluation.json and the episodes' records (default: keep none).",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an evaluation in --output_dir."
    )
    parser.add_argument(
        "--skip_baselines",
        action="store_true",
        help=f"Do not run {', '.join(BASELINES)} on the same episodes.",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    settle_scenario(parser, args)
    if args.protocol is not None:
        _check_protocol_flags(parser, args)
    elif len(args.model) > 1 and args.output_dir is not None:
        parser.error(
            f"--model must be one policy to be kept in --output_dir without --protocol. Got "
            f"{len(args.model)}. Leave out --output_dir, or evaluate each alone."
        )
    return args


def _check_protocol_flags(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse flags of what a protocol fixes, and an evaluation that keeps nothing."""
    for name in _FIXED_BY_PROTOCOL:
        value, default = getattr(args, name), parser.get_default(name)
        if value not in (default, []):
            parser.error(f"--{name} is fixed by --protocol. Leave it out.")
    if args.output_dir is None:
        parser.error("--output_dir must be given with --protocol. Got none.")


def _add_episode_flags(
    parser: argparse.ArgumentParser, *, fewest: int, default_episodes: int
) -> None:
    """Add the flags that decide which episodes are run, and where."""
    add_scenario_flags(parser)
    parser.add_argument(
        "--episodes",
        type=integer_in(fewest, MAX_EPISODES),
        default=default_episodes,
        metavar="N",
        help=f"Episodes (default: {default_episodes}).",
    )
    add_workers_flag(parser)


def add_workers_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says how many processes play."""
    parser.add_argument(
        "--workers",
        type=integer_in(1, MAX_ENVIRONMENTS),
        metavar="N",
        help="Processes, which change no result (default: one for each usable core, if 20 "
        "episodes are left for it).",
    )


def add_trust_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that lets a model's zip be unpickled."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="Also read a model's .zip that has no .safetensors and .json beside it, which runs "
        "whatever code its author put there (default: refuse it).",
    )


def add_scenario_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that decide which sequence of episodes there is."""
    parser.add_argument(
        "--dataset_dir", type=path_text, metavar="DIR", help="Dataset; without it, one scenario."
    )
    parser.add_argument(
        "--sumo_cfg",
        type=path_text,
        metavar="FILE",
        help="Single scenario (default: the base scenario).",
    )
    parser.add_argument(
        "--split", choices=SPLITS, default="eval", help="Split of the dataset (default: eval)."
    )
    parser.add_argument(
        "--emulator_params",
        type=path_text,
        metavar="FILE",
        help="Radio parameters, a file or a preset's name (default: the dataset's).",
    )
    parser.add_argument(
        "--radio_fault",
        type=radio_fault,
        action="append",
        metavar="FAULT",
        help="A fault of every episode, as blackout:car=source,start_s=onset,duration_s=2; may be "
        "repeated (default: none).",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=42,
        metavar="N",
        help="Seed of the episodes (default: 42).",
    )


def radio_fault(text: str) -> RadioFault:
    """Return the fault that a flag's value describes."""
    try:
        return fault_from_text(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settle_scenario(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse two sources of scenarios and too many faults."""
    args.radio_fault = args.radio_fault or []
    if len(args.radio_fault) > LARGEST_NUM_FAULTS:
        parser.error(
            f"--radio_fault must be given at most {LARGEST_NUM_FAULTS} times. "
            f"Got {len(args.radio_fault)}."
        )
    if args.dataset_dir is not None and args.sumo_cfg is not None:
        parser.error("Cannot specify both --dataset_dir and --sumo_cfg")


def check_output_file(parser: argparse.ArgumentParser, flag: str, path: Path) -> None:
    """Refuse a file that could not be written, before the episodes are run."""
    if not path.resolve().parent.is_dir():
        parser.error(f"{flag} must be in an existing folder. Got {str(path)!r}.")
    if not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        parser.error(f"{flag} must be in a folder that can be written. Got {str(path)!r}.")
    if path.is_dir():
        parser.error(f"{flag} must be a file. Got the folder {str(path)!r}.")
