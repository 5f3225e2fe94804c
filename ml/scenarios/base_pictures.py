"""Draws a base road as a small SVG, from its network: plan, crossings, start, scale, heights."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.provenance import write_text_atomically
from ml.scenarios.base_settings import read_base_settings
from ml.scenarios.road_path import Point3, RoadPath, read_road_path, read_route_edges
from ml.scenarios.scenario_files import NETWORK_FILE, ROUTE_FILE
from ml.xml_files import read_xml

_WIDTH_PX = 960.0
_MARGIN_PX = 40.0
_LARGEST_PLAN_PX = 400.0
_PROFILE_PX = 110.0
_CAPTION_PX = 50.0
_LEAST_SPACING_PX = 1.5
_STYLE = """
    .road { fill: none; stroke: #4a5568; stroke-width: 5; stroke-linejoin: round }
    .side { fill: none; stroke: #a0aec0; stroke-width: 2 }
    .joint { fill: #ffffff; stroke: #4a5568; stroke-width: 1.5 }
    .start { fill: #c2410c }
    .line { fill: none; stroke: #1f2937; stroke-width: 1.5 }
    text { font: 14px sans-serif; fill: #1f2937 }
    @media (prefers-color-scheme: dark) {
      .road { stroke: #a0aec0 } .side { stroke: #64748b }
      .joint { fill: #0d1117; stroke: #cbd5e1 } .start { fill: #fb923c }
      .line { stroke: #e5e7eb } text { fill: #e5e7eb }
    }
"""

Pixel = tuple[float, float]


@dataclass(frozen=True)
class _Frame:
    """Where metres fall on the picture; y points down there."""

    left_m: float
    top_m: float
    px_per_m: float
    height_px: float

    def place(self, point: Sequence[float]) -> Pixel:
        """Return the place of a point (x, y, ...)."""
        return (
            _MARGIN_PX + (point[0] - self.left_m) * self.px_per_m,
            _MARGIN_PX + (self.top_m - point[1]) * self.px_per_m,
        )


def write_picture(folder: Path, picture: Path) -> None:
    """Draw a base.

    Args:
        folder: The base's folder.
        picture: The SVG to write.
    """
    path = read_road_path(folder / NETWORK_FILE, read_route_edges(folder / ROUTE_FILE))
    others = _other_streets(folder / NETWORK_FILE, path)
    frame = _frame_of(path.points())
    description = read_base_settings(folder).description or "Country road with gentle curves"
    title = f"{folder.name}: {description}"
    parts = [
        *(_polyline("side", map(frame.place, street)) for street in others),
        _polyline("road", map(frame.place, path.points())),
        *_joints(path, frame),
        *_start(path.points(), frame),
        *_scale_bar(frame),
    ]
    height_px = frame.height_px + _CAPTION_PX
    if any(point[2] for point in path.points()):
        parts += _height_profile(path.points(), height_px)
        height_px += _PROFILE_PX
    write_text_atomically(picture, _document(title, height_px, parts))


def _other_streets(network: Path, path: RoadPath) -> list[list[Point3]]:
    """Return the line of lane 0 of every other edge outside junctions."""
    return [
        list(read_road_path(network, [edge_id]).points())
        for edge in read_xml(network).iter("edge")
        if edge.get("function") is None
        and (edge_id := edge.get("id", "")) not in path.edges
        and not edge_id.startswith("backward")
    ]


def _frame_of(points: Sequence[Point3]) -> _Frame:
    """Return the frame that holds a road and what stands beside it."""
    lefts, tops = [point[0] for point in points], [point[1] for point in points]
    width_m, height_m = max(lefts) - min(lefts), max(tops) - min(tops)
    px_per_m = min((_WIDTH_PX - 2.0 * _MARGIN_PX) / width_m, _LARGEST_PLAN_PX / max(height_m, 1.0))
    offset_m = ((_WIDTH_PX - 2.0 * _MARGIN_PX) / px_per_m - width_m) / 2.0
    height_px = height_m * px_per_m + 2.0 * _MARGIN_PX
    return _Frame(min(lefts) - offset_m, max(tops), px_per_m, height_px)


def _polyline(kind: str, places: Iterable[Pixel]) -> str:
    """Return a line, without points that nobody could see."""
    kept: list[Pixel] = []
    all_places = list(places)
    for place in all_places:
        if not kept or math.dist(kept[-1], place) >= _LEAST_SPACING_PX or place is all_places[-1]:
            kept.append(place)
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)
    return f'  <polyline class="{kind}" points="{text}"/>'


def _joints(path: RoadPath, frame: _Frame) -> list[str]:
    """Return a dot for each junction on the way."""
    junctions = [lane.shape for lane in path.lanes if lane.edge_index is None]
    places = [
        frame.place([(first + last) / 2.0 for first, last in zip(shape[0], shape[-1], strict=True)])
        for shape in junctions
    ]
    return [f'  <circle class="joint" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places]


def _start(points: Sequence[Point3], frame: _Frame) -> list[str]:
    """Return the arrow at the start of the road, in the direction of the convoy."""
    (x, y), (next_x, next_y) = frame.place(points[0]), frame.place(points[1])
    angle_deg = math.degrees(math.atan2(next_y - y, next_x - x))
    return [
        f'  <path class="start" d="M 18,0 L -4,-9 L -4,9 Z" '
        f'transform="translate({x:.1f} {y:.1f}) rotate({angle_deg:.1f})"/>',
        f'  <text x="{x - 4:.1f}" y="{y + 28:.1f}">start</text>',
    ]


def _scale_bar(frame: _Frame) -> list[str]:
    """Return a bar of a round length below the plan."""
    longest_m = 0.2 * _WIDTH_PX / frame.px_per_m
    power_m = 10.0 ** math.floor(math.log10(longest_m))
    length_m = max(step * power_m for step in (1.0, 2.0, 5.0) if step * power_m <= longest_m)
    y = frame.height_px + 20.0
    end_x = _WIDTH_PX - _MARGIN_PX
    x = end_x - length_m * frame.px_per_m
    return [
        f'  <path class="line" d="M {x:.1f},{y - 5:.1f} v 10 M {x:.1f},{y:.1f} H {end_x:.1f} '
        f'm 0,-5 v 10"/>',
        f'  <text x="{x - 10:.1f}" y="{y + 5:.1f}" text-anchor="end">{length_m:g} m</text>',
    ]


def _height_profile(points: Sequence[Point3], top_px: float) -> list[str]:
    """Return the height over the way along the road, with its range in metres."""
    stations_m = [0.0]
    for here, there in itertools.pairwise(points):
        stations_m.append(stations_m[-1] + math.dist(here[:2], there[:2]))
    heights_m = [point[2] for point in points]
    low_m, high_m = min(heights_m), max(heights_m)
    across = (_WIDTH_PX - 2.0 * _MARGIN_PX) / stations_m[-1]
    up = (_PROFILE_PX - _MARGIN_PX) / (high_m - low_m)
    places = [
        (_MARGIN_PX + station_m * across, top_px + (high_m - height_m) * up)
        for station_m, height_m in zip(stations_m, heights_m, strict=True)
    ]
    label = f"height along the road: {low_m:.0f} to {high_m:.0f} m"
    return [
        _polyline("line", places),
        f'  <text x="{_MARGIN_PX:g}" y="{top_px + _PROFILE_PX - 16:.1f}">{label}</text>',
    ]


def _document(title: str, height_px: float, parts: Sequence[str]) -> str:
    """Return the whole picture."""
    shown = html.escape(title)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_PX:g} {height_px:.0f}" '
        'role="img" aria-labelledby="title">',
        f'  <title id="title">{shown}</title>',
        f"  <style>{_STYLE}  </style>",
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
