"""Writes the page of a saved evaluation: ``roadsense report DIR``.

Everything on it comes from the folder's records, so an old evaluation can be reported again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import OneLineArgumentParser, add_debug_flag, path_text, run_command
from ml.errors import ConfigError
from ml.file_sums import renew_sum
from ml.provenance import write_text_atomically


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    parser = OneLineArgumentParser(
        prog="report", description="Write the page of a saved evaluation from its records."
    )
    parser.add_argument(
        "folder",
        type=path_text,
        metavar="DIR",
        help="Folder of an evaluation by a protocol.",
    )
    parser.add_argument(
        "--output_file",
        type=path_text,
        metavar="FILE",
        help="HTML file to write or replace (default: DIR/report.html).",
    )
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")
    add_debug_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Raises:
        ConfigError: The folder holds no evaluation, or the page would replace something else.
        RecordError: A record cannot be used, or the page cannot be written.
    """
    args = parse_args(argv)
    page = write_report(
        Path(args.folder), None if args.output_file is None else Path(args.output_file)
    )
    if not args.quiet:
        sys.stdout.write(f"{page}\n")


def write_report(folder: Path, page: Path | None = None) -> Path:
    """Write the page of an evaluation.

    Args:
        folder: What ``roadsense evaluate --protocol`` wrote.
        page: The file to write; ``report.html`` in the folder if None.

    Returns:
        The page's path.

    Raises:
        ConfigError: The folder holds no evaluation, or the page would replace something else.
        RecordError: A record cannot be used, or the page cannot be written.
    """
    # Intervals bring scipy, which a mistyped flag need not wait for.
    from ml.evaluation.evaluation_folder import REPORT_FILE  # noqa: PLC0415
    from ml.reporting.evaluation_folder import read_evaluation_folder  # noqa: PLC0415
    from ml.reporting.page import report_html  # noqa: PLC0415

    page = folder / REPORT_FILE if page is None else page
    if page.suffix != ".html" or page.is_dir():
        raise ConfigError(
            f"--output_file must be a file that ends in .html. Got {str(page)!r}. Name one."
        )
    write_text_atomically(page, report_html(read_evaluation_folder(folder)))
    if page.resolve() == (folder / REPORT_FILE).resolve():
        renew_sum(folder, REPORT_FILE)
    return page


if __name__ == "__main__":
    run_command(main)
