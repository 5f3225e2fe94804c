"""The errors that RoadSense raises, in one tree.

Every message says which value of what is wrong, the rule, what came, and what to do::

    RoadSenseError
    |-- ConfigError          (ValueError)    an argument, option or configuration value
    |-- ScenarioError        (ValueError)    a scenario, dataset or manifest
    |-- RadioParameterError  (ValueError)    an emulator parameter file
    |-- FrameFormatError     (ValueError)    bytes that are no message of a board
    |-- PolicyError          (ValueError)    a saved policy or its parameters
    |-- SimulatorError       (RuntimeError)  SUMO could not be started, loaded or stepped
    `-- RecordError          (RuntimeError)  a result could not be written or read back
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_MESSAGE = 1000
_LONGEST_END = 300


class RoadSenseError(Exception):
    """Any failure that RoadSense reports to its user in one line."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class ConfigError(RoadSenseError, ValueError):
    """An argument, option or configuration value breaks its rule."""


class ScenarioError(RoadSenseError, ValueError):
    """A scenario, dataset or manifest cannot be used as it is."""


class RadioParameterError(RoadSenseError, ValueError):
    """An emulator parameter file holds a value that the radio model cannot use."""


class FrameFormatError(RoadSenseError, ValueError):
    """Bytes that came over the air are no message of this wire format."""


class PolicyError(RoadSenseError, ValueError):
    """A saved policy cannot be read or does not fit the environment."""


class SimulatorError(RoadSenseError, RuntimeError):
    """SUMO could not be found, started, loaded or stepped."""


class RecordError(RoadSenseError, RuntimeError):
    """A result file could not be written, or does not match its hash."""


def cannot_write(path: object, error: OSError) -> RecordError:
    """Return the error for a file that could not be written, as on a full disk."""
    reason = error.strerror or str(error)
    return RecordError(f"{path} cannot be written: {reason}. Make room, or choose another folder.")


def one_line(text: str) -> str:
    r"""Return ``text`` as a terminal can show it: on one line, printable, and cut when very long.

    Names and values come from the user and from files, and may hold anything.

    >>> one_line("a\nb \x1b[31m")
    'a b \\x1b[31m'
    """
    words = " ".join(text.split())
    if len(words) > _LONGEST_MESSAGE:
        words = f"{words[: _LONGEST_MESSAGE - _LONGEST_END]} [...] {words[-_LONGEST_END:]}"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in words
    )


def nearest_name_hint(name: str, known_names: Iterable[str]) -> str:
    """Return a sentence that names the nearest known name, or the list of all.

    >>> nearest_name_hint("jiter_std_ms", ["base_ms", "jitter_std_ms"])
    "Did you mean 'jitter_std_ms'?"
    >>> nearest_name_hint("zzz", ["a", "b"])
    'Known: a, b.'
    """
    names = sorted(known_names)
    matches = difflib.get_close_matches(name, names, n=1)
    if matches:
        return f"Did you mean {matches[0]!r}?"
    return f"Known: {', '.join(names)}."
