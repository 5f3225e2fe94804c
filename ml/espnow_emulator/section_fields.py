"""How a section of a parameter file declares what its values may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any


def bounded(default: Any, low: float, high: float) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a number, or a pair low <= high of numbers, that must be in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high, "is_whole": False})


def bounded_whole(default: Any, low: int, high: int) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a whole number, or a pair of them, that must be in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high, "is_whole": True})


def choice(default: Any, choices: Sequence[float]) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare one of the numbers in ``choices``, or a list of some of them."""
    return field(default=default, metadata={"choices": tuple(choices)})
