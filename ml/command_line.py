"""What every command shares: one-line errors, exit statuses and checked argument types."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from ml.errors import ConfigError, RoadSenseError, nearest_name_hint, one_line

EXIT_FAILURE = 1
EXIT_USAGE = 2
_EXIT_BY_SIGNAL = 128
_LONGEST_PATH_BYTES = 3500
"""Linux allows 4095, and there must be room for the names of files below."""


class StoppedBySignal(KeyboardInterrupt):
    """A signal has ended the work.

    Attributes:
        number: The signal's number.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


class LenientStream:
    """A stream that drops what cannot be written, and all that follows, in place of failing.

    For standard error: what is told there is worth less than the work that goes on.

    Args:
        stream: The stream; all but writing is its own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        """Return what the stream has."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            return self._stream.write(text)
        except OSError:
            _point_nowhere(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write what is held back, or drop it."""
        try:
            self._stream.flush()
        except OSError:
            _point_nowhere(self._stream)


class OneLineArgumentParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` on one line and exit with status 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {one_line(message)} (see --help)\n")

    def parse_args(  # type: ignore[override]  # the base class's overloads add nothing here
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse ``args``; an unknown flag is answered with the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            hint = nearest_name_hint(unknown[0].split("=")[0], flags)
            self.error(f"unknown argument {unknown[0]}. {hint}")
        self._refuse_lost_values(parsed)
        return parsed

    def _refuse_lost_values(self, parsed: argparse.Namespace) -> None:
        """Refuse ``--flag=--``, of which argparse makes an empty list in place of the value."""
        for action in self._actions:
            value = getattr(parsed, action.dest, None)
            is_valued = action.nargs in {None, "+"} and isinstance(value, list)
            if is_valued and (not value or [] in value):
                self.error(f"argument {action.option_strings[0]}: must have a value. Got '--'.")


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--debug``, which shows the traceback of a failure."""
    parser.add_argument("--debug", action="store_true", help="Show the traceback of a failure.")


def run_command(main: Callable[[], None]) -> NoReturn:
    """Run a command's ``main`` and exit: 0 done, 1 failed (one line), 2 usage, 128 + n by a signal.

    ``--debug`` on the command line, or ROADSENSE_DEBUG=1, shows the traceback instead.
    """
    _open_missing_streams()
    try:
        _run_and_flush(main)
    except RoadSenseError as error:
        if _is_debugging():
            raise
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_FAILURE)
    except BrokenPipeError:
        _drop_output()
        if _is_debugging():
            raise
        sys.stderr.write(
            "error: standard output must have a reader. Got a closed pipe. Send it to a file.\n"
        )
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        _drop_output()
        if _is_debugging():
            raise
        reason = one_line(str(error))
        sys.stderr.write(f"error: a file cannot be read or written: {reason}. Check the disk.\n")
        sys.exit(EXIT_FAILURE)
    except MemoryError as error:
        if _is_debugging():
            raise
        reason = one_line(str(error)) or "no more of it"
        sys.stderr.write(f"error: memory must suffice. Got: {reason}. Ask for less at once.\n")
        sys.exit(EXIT_FAILURE)
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{str(stop) or 'interrupted'}\n")
        sys.exit(_EXIT_BY_SIGNAL + getattr(stop, "number", signal.SIGINT))
    sys.exit(0)


def _open_missing_streams() -> None:
    """Give a command whose streams were closed by its caller, as daemons do, ones into nowhere.

    Its own processes inherit them; else the next file that they open would become a stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lasts as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - as above
    let_errors_be_lost()


def let_errors_be_lost() -> None:
    """Go on, in this process, where nobody reads standard error."""
    sys.stderr = cast(TextIO, LenientStream(sys.stderr))


def _run_and_flush(main: Callable[[], None]) -> None:
    """Run ``main`` and write what it printed, also where argparse ends it after its help."""
    try:
        main()
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _drop_output() -> None:
    """Discard what cannot be printed; else Python tries again at its end and adds lines."""
    try:
        sys.stdout.flush()
    except OSError:
        _point_nowhere(sys.stdout)


def _point_nowhere(stream: TextIO) -> None:
    """Let a stream that cannot be written discard what it holds and what is still to come."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_debugging() -> bool:
    """Return whether a failure shall show its traceback."""
    return "--debug" in sys.argv[1:] or os.environ.get("ROADSENSE_DEBUG") == "1"


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


def check_output_folder(folder: Path) -> None:
    """Check that a folder can be written to, or made.

    Raises:
        ConfigError: Something else is in its place, or its owner does not allow it.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"--output_dir must be a folder that can be written. Got {str(folder)!r}. "
            "Choose another folder."
        )


def path_text(text: str) -> str:
    """Accept a path that the system can look up, whether or not something is there.

    Control characters and bytes that are no UTF-8 are refused, because records and SUMO need text.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must not be empty. Got {text!r}.")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text):
        raise argparse.ArgumentTypeError(
            f"must be UTF-8 text without control characters. Got {text!r}."
        )
    if len(os.fsencode(Path(text).absolute())) > _LONGEST_PATH_BYTES:
        raise argparse.ArgumentTypeError(f"must be a shorter path. Got {text!r}.")
    try:
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"must be a usable path. Got {text!r}: {error.strerror}."
        ) from None
    return text
