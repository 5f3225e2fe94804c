"""What a parameter file says of itself: name, source, use, limits, measured points."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import RadioParameterError
from ml.espnow_emulator.parameters import METADATA_KEYS
from ml.espnow_emulator.value_checks import is_whole, shown

_FARTHEST_M = 20_000.0


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
    """

    content: Mapping[str, Any]
    points: tuple[MeasuredPoint, ...]
    distance_m: float | None


def read_metadata(path: Path) -> LinkMetadata:
    """Return what a parameter file, already read once, says of itself.

    Raises:
        RadioParameterError: Its measured points cannot be drawn.
    """
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    found: Any = next((content[key] for key in METADATA_KEYS if key in content), {})
    metadata = found if isinstance(found, dict) else {"text": found}
    distance_m = _number_in(metadata.get("distance_m"), 0.1, _FARTHEST_M)
    points = [_point(item, path) for item in _points(metadata, path)]
    own = _own_point(metadata, distance_m)
    if own is not None and not points:
        points = [own]
    return LinkMetadata(metadata, tuple(points), distance_m)


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
    count = values.get("n")
    if (
        distance_m is None
        or reception is None
        or not (count is None or (is_whole(count) and count >= 1))
    ):
        raise RadioParameterError(
            f"measured_points in {path} [_metadata] must hold objects of distance_m [m], "
            f"reception in [0, 1] and perhaps n, a whole number above 0. Got {shown(item)}. "
            "Correct or delete it."
        )
    return MeasuredPoint(distance_m, reception, count)


def _own_point(metadata: Mapping[str, Any], distance_m: float | None) -> MeasuredPoint | None:
    """Return the reception of a measured link, from its fitted two-state process."""
    gilbert = metadata.get("gilbert")
    if distance_m is None or not isinstance(gilbert, dict):
        return None
    to_bad = _number_in(gilbert.get("p_good_to_bad"), 0.0, 1.0)
    to_good = _number_in(gilbert.get("r_bad_to_good"), 0.0, 1.0)
    if to_bad is None or to_good is None or to_bad + to_good == 0.0:
        return None
    return MeasuredPoint(distance_m, to_good / (to_bad + to_good), None)


def _number_in(value: object, low: float, high: float) -> float | None:
    """Return a number in [low, high] as a float, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if low <= value <= high else None
