"""Check text files for trailing whitespace and a last newline, for the pre-commit hook."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import EXIT_FAILURE, OneLineArgumentParser


def whitespace_faults(text: str) -> list[str]:
    r"""Return what is wrong with a text's whitespace, one line per fault.

    >>> whitespace_faults("a \nb")
    ['line 1 ends in whitespace', 'the last line has no newline']
    >>> whitespace_faults("a\n")
    []
    """
    faults = [
        f"line {number} ends in whitespace"
        for number, line in enumerate(text.split("\n"), start=1)
        if line != line.rstrip()
    ]
    if text and not text.endswith("\n"):
        faults.append("the last line has no newline")
    return faults


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line: the files to check."""
    parser = OneLineArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="Files to check.")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print each fault and exit with status 1 if there is one."""
    has_faults = False
    for path in parse_args(argv).files:
        for fault in whitespace_faults(path.read_text(encoding="utf-8")):
            sys.stdout.write(f"{path}: {fault}\n")
            has_faults = True
    if has_faults:
        sys.exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
