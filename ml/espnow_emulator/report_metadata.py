"""What a parameter file says of itself: name, source, use, limits, measured points."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_SETTINGS_BYTES, read_bounded_text
from ml.errors import RadioParameterError
from ml.espnow_emulator.parameters import METADATA_KEYS
from ml.espnow_emulator.value_checks import shown
from ml.json_files import parse_json

_FARTHEST_M = 20_000.0
_MOST_FRAMES = 10**9
_LEAST_TO_GOOD = 1e-4
_LONGEST = 10_000
"""Frames in a burst that can be drawn."""


@dataclass(frozen=True)
class MeasuredPoint:
    """Reception that was measured at a distance.

    Attributes:
        distance_m: Between the boards [m].
        reception: Share of frames received, one-way.
        num_frames: Frames that it rests on; None if the file does not say.
    """

    distance_m: float
    reception: float
    num_frames: int | None


@dataclass(frozen=True)
class LinkMetadata:
    """A file's `_metadata`.

    Attributes:
        content: All of it.
        points: Its measured points, or the one of a measured link.
        distance_m: Of a measured link, else None [m].
        mean_burst: Of a measured link's losses [frames].
        longest_burst_frames: The longest that was measured on it [frames].
    """

    content: Mapping[str, Any]
    points: tuple[MeasuredPoint, ...] = ()
    distance_m: float | None = None
    mean_burst: float | None = None
    longest_burst_frames: int | None = None

    def reception_at(self, distance_m: float) -> float | None:
        """Return the reception measured at a distance, or None if none was."""
        return next((p.reception for p in self.points if p.distance_m == distance_m), None)

    def at(self, distance_m: float) -> LinkMetadata:
        """Return the same without the bursts, if they were measured at another distance."""
        if distance_m == self.distance_m:
            return self
        return dataclasses.replace(self, mean_burst=None, longest_burst_frames=None)


def read_metadata(path: Path) -> LinkMetadata:
    """Return what a parameter file, already read once, says of itself.

    Raises:
        RadioParameterError: It cannot be written again, or its measured points cannot be drawn.
    """
    content = parse_json(read_bounded_text(path, LARGEST_SETTINGS_BYTES), is_strict=False)
    found: Any = next((content[key] for key in METADATA_KEYS if key in content), {})
    metadata = found if isinstance(found, dict) else {"text": found}
    _check_writable(metadata, path)
    distance_m = _number_in(metadata.get("distance_m"), 0.1, _FARTHEST_M)
    points = [_point(item, path) for item in _points(metadata, path)]
    process = _process(metadata)
    if distance_m is None or process is None:
        return LinkMetadata(metadata, tuple(points), distance_m)
    to_bad, to_good = process
    if not points:
        points = [MeasuredPoint(distance_m, to_good / (to_bad + to_good), None)]
    return LinkMetadata(
        metadata,
        tuple(points),
        distance_m,
        mean_burst=1.0 / to_good,
        longest_burst_frames=_whole_in(metadata.get("longest_burst_frames"), 1, _LONGEST),
    )


def _check_writable(metadata: Mapping[str, Any], path: Path) -> None:
    """Refuse what JSON and a page in UTF-8 have no way to hold."""
    try:
        json.dumps(metadata, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise RadioParameterError(
            f"_metadata in {path} must be finite numbers and Unicode text, to be written on the "
            f"page. Got {shown(metadata)}: {error}. Correct or delete it."
        ) from error


def _points(metadata: Mapping[str, Any], path: Path) -> list[Any]:
    """Return the items of measured_points."""
    items = metadata.get("measured_points", [])
    if not isinstance(items, list):
        raise RadioParameterError(
            f"measured_points in {path} [_metadata] must be a list. Got {shown(items)}. "
            "Write [] for none."
        )
    return items


def _point(item: object, path: Path) -> MeasuredPoint:
    """Return one measured point."""
    values = item if isinstance(item, dict) else {}
    distance_m = _number_in(values.get("distance_m"), 0.0, _FARTHEST_M)
    reception = _number_in(values.get("reception"), 0.0, 1.0)
    count = _whole_in(values.get("n"), 1, _MOST_FRAMES)
    if distance_m is None or reception is None or (count is None and values.get("n") is not None):
        raise RadioParameterError(
            f"measured_points in {path} [_metadata] must hold objects of distance_m [m], "
            f"reception in [0, 1] and perhaps n, a whole number in [1, 1e9]. Got {shown(item)}. "
            "Correct or delete it."
        )
    return MeasuredPoint(distance_m, reception, count)


def _process(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return a measured link's two-state process (p, r), r above 0, or None if it is not given."""
    gilbert = metadata.get("gilbert")
    if not isinstance(gilbert, dict):
        return None
    to_bad = _number_in(gilbert.get("p_good_to_bad"), 0.0, 1.0)
    to_good = _number_in(gilbert.get("r_bad_to_good"), _LEAST_TO_GOOD, 1.0)
    return None if to_bad is None or to_good is None else (to_bad, to_good)


def _number_in(value: object, low: float, high: float) -> float | None:
    """Return a number in [low, high] as a float, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if low <= value <= high else None


def _whole_in(value: object, low: int, high: int) -> int | None:
    """Return a whole number in [low, high], anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None
