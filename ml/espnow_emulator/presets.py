"""Packaged presets: parameter files for the links that were measured, and for installations.

A measured link's preset holds the loss and bursts of one directed link at one distance and
arrangement. It marks itself as a test set: what it is used to judge must not have been trained on
it. An installation's preset is the physical mode with the margin of antennas on the roof or in the
cabin, and may be trained on.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

PRESETS_FOLDER = Path(__file__).resolve().parent / "presets"


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of all packaged presets, in alphabetical order.

    >>> "front_9m" in preset_names()
    True
    """
    return tuple(sorted(path.stem for path in PRESETS_FOLDER.glob("*.json")))


def preset_path(name: str) -> Path:
    """Return the parameter file of a preset."""
    return PRESETS_FOLDER / f"{name}.json"
