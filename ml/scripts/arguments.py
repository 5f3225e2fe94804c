"""The command line of ``ml.scripts.gen_scenarios``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, path_text
from ml.seeding import MAX_MASTER_SEED
from ml.types import MAX_PEERS

DEFAULT_BASE_DIR = "ml/scenarios/base"
DEFAULT_EMULATOR_PARAMS = "ml/espnow_emulator/emulator_params_5m.json"
MAX_COUNT = 1_000_000


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="gen_scenarios", description="Make a dataset of convoy scenarios."
    )
    parser.add_argument(
        "--base_dir",
        action="append",
        type=path_text,
        metavar="DIR",
        help="Base scenario folder; may be given several times, each scenario then draws one "
        f"(default: {DEFAULT_BASE_DIR}).",
    )
    parser.add_argument(
        "--output_dir",
        required=True,
        type=path_text,
        metavar="DIR",
        help="Dataset folder to make.",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace a dataset in --output_dir, once the new one is complete.",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=42,
        help="Master seed; the same seed makes the same scenarios (default: 42).",
    )
    count = integer_in(1, MAX_COUNT)
    parser.add_argument(
        "--train_count", type=count, default=100, help="Training scenarios (default: 100)."
    )
    parser.add_argument(
        "--eval_count", type=count, default=20, help="Evaluation scenarios (default: 20)."
    )
    parser.add_argument(
        "--train_max_peers",
        type=integer_in(0, MAX_PEERS),
        default=MAX_PEERS,
        metavar="N",
        help="Most peers of a training scenario, to see whether a policy copes with more "
        f"(default: {MAX_PEERS}).",
    )
    parser.add_argument(
        "--emulator_params",
        type=path_text,
        default=DEFAULT_EMULATOR_PARAMS,
        metavar="FILE",
        help=f"Radio parameters the dataset refers to (default: {DEFAULT_EMULATOR_PARAMS}).",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress and no summary.")
    add_debug_flag(parser)
    arguments = parser.parse_args(argv)
    arguments.base_dir = arguments.base_dir or [DEFAULT_BASE_DIR]
    return arguments
