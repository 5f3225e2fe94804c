"""Writes the page of a recipe's results, from the evaluations of its training seeds.

    python -m ml.reporting.results_page --evaluation DIR [DIR ...] --output_page docs/results.md

Two figures go into ``images`` beside the page, and a short version between two marks of the README.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml.command_line import OneLineArgumentParser, add_debug_flag, path_text, run_command
from ml.errors import ConfigError, cannot_write
from ml.provenance import write_text_atomically

if TYPE_CHECKING:
    from ml.reporting.results_commands import PagePlan

_LONGEST_NAME = 200


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    parser = OneLineArgumentParser(
        prog="results",
        description="Write the page of a recipe's results from evaluations of its training seeds.",
    )
    parser.add_argument(
        "--evaluation",
        nargs="+",
        required=True,
        type=path_text,
        metavar="DIR",
        help="Folders of evaluations by one protocol; their judged policies are the seeds.",
    )
    parser.add_argument(
        "--policies",
        nargs="+",
        type=_name_text,
        metavar="NAME",
        help="The judged policies to take as the seeds (default: all).",
    )
    parser.add_argument(
        "--output_page",
        required=True,
        type=path_text,
        metavar="FILE",
        help="Markdown page to write or replace; its figures go into images/ beside it.",
    )
    parser.add_argument(
        "--readme",
        type=path_text,
        metavar="FILE",
        help="Page whose part between <!-- results --> and <!-- /results --> is replaced by a "
        "short version (default: none).",
    )
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")
    add_debug_flag(parser)
    return parser.parse_args(argv)


def _name_text(text: str) -> str:
    """Accept a policy's id."""
    if not (text.strip() and text.isprintable() and len(text) <= _LONGEST_NAME):
        raise argparse.ArgumentTypeError(
            f"must be 1 to {_LONGEST_NAME} printable characters. Got {text!r}."
        )
    return text


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Raises:
        ConfigError: A folder holds no evaluation, the seeds are fewer than two, or a page cannot
            take the results.
        RecordError: A file cannot be used or written, or the evaluations do not belong together.
    """
    args = parse_args(argv)
    # Intervals bring scipy, which a mistyped flag need not wait for.
    from ml.reporting.results_commands import PagePlan  # noqa: PLC0415

    plan = PagePlan(
        [Path(folder) for folder in args.evaluation],
        Path(args.output_page),
        None if args.readme is None else Path(args.readme),
        args.policies or (),
    )
    written = write_results(plan)
    if not args.quiet:
        sys.stdout.writelines(f"{path}\n" for path in written)


def write_results(plan: PagePlan) -> list[Path]:
    """Write figures, page and the README's part, each whole or not at all.

    Args:
        plan: From what, and where to.

    Returns:
        What was written.

    Raises:
        ConfigError: A folder holds no evaluation, the seeds are fewer than two, or a page cannot
            take the results.
        RecordError: A file cannot be used or written, or the evaluations do not belong together.
    """
    from ml.reporting.results_folder import read_seed_results  # noqa: PLC0415
    from ml.reporting.results_text import IMAGES_FOLDER, results_files  # noqa: PLC0415

    page = plan.page
    if page.suffix != ".md" or page.is_dir():
        raise ConfigError(
            f"--output_page must be a file that ends in .md. Got {str(page)!r}. Name one."
        )
    if plan.readme is not None and plan.readme.resolve() == page.resolve():
        raise ConfigError(
            f"--readme must be another file than --output_page. Got {str(page)!r} for both. Name "
            "the page that has the marks."
        )
    files = results_files(read_seed_results(plan.folders, plan.policies), plan)
    images = page.parent / IMAGES_FOLDER
    try:
        images.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(images, error) from error
    for path, content in files.items():
        write_text_atomically(path, content)
    return list(files)


if __name__ == "__main__":
    run_command(main)
