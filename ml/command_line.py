"""What every command shares: one-line errors, exit statuses and checked argument types."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ml.errors import RoadSenseError, nearest_name_hint

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class OneLineArgumentParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` on one line and exit with status 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see --help)\n")

    def parse_args(  # type: ignore[override]  # the base class's overloads add nothing here
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse ``args``; an unknown flag is answered with the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            hint = nearest_name_hint(unknown[0].split("=")[0], flags)
            self.error(f"unknown argument {unknown[0]}. {hint}")
        return parsed


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``, which shows the traceback of a failure."""
    parser.add_argument("--debug", action="store_true", help="Show the traceback of a failure.")


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command's ``main`` and exit: 0 done, 1 failed (one line), 2 usage, 130 interrupted.

    ``--debug`` on the command line, or ROADSENSE_DEBUG=1, shows the traceback instead.
    """
    try:
        main()
    except RoadSenseError as error:
        if "--debug" in sys.argv[1:] or os.environ.get("ROADSENSE_DEBUG") == "1":
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def integer_in(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type that accepts an integer in [low, high]."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be an integer. Got {text!r}.") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be in [{low}, {high}]. Got {value}.")
        return value

    return parse


def number_in(low: float, high: float) -> Callable[[str], float]:
    """Return an argparse type that accepts a finite number in [low, high]."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number. Got {text!r}.") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise argparse.ArgumentTypeError(f"must be in [{low:g}, {high:g}]. Got {text}.")
        return value

    return parse
