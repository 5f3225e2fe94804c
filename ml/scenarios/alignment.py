"""The line of a road: straights and circular arcs in plan, a chain of grades in height.

Pure geometry. Roads start at the origin towards the east, x to the east, y to the north.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHORD_M = 20.0
MAX_TURN_RAD = math.radians(5.0)
"""An arc turns by at most this from one point to the next [rad]."""

Point = tuple[float, float]
Grade = tuple[float, float]
"""A station [m] and the grade there (rise over run); linear between, constant at the ends."""


@dataclass(frozen=True)
class RoadElement:
    """A straight or a circular arc of a road's centre line.

    Attributes:
        length_m: Length along the centre line [m].
        radius_m: Radius of the arc, positive to the left, negative to the right; infinite for a
            straight [m].
    """

    length_m: float
    radius_m: float = math.inf


@dataclass(frozen=True)
class RoadPoint:
    """A point of a centre line.

    Attributes:
        x_m: East [m].
        y_m: North [m].
        heading_rad: Direction of the road, counterclockwise from the east [rad].
        station_m: Length of the road up to here [m].
    """

    x_m: float
    y_m: float
    heading_rad: float
    station_m: float


ORIGIN = RoadPoint(0.0, 0.0, 0.0, 0.0)


def bend(radius_m: float, angle_deg: float) -> RoadElement:
    """Return the arc that turns by ``angle_deg``; a negative radius turns right.

    >>> round(bend(-100.0, 180.0).length_m, 3)
    314.159
    """
    return RoadElement(abs(radius_m) * math.radians(angle_deg), radius_m)


def trace(
    elements: Sequence[RoadElement], start: RoadPoint = ORIGIN, *, cut_straights: bool = False
) -> list[RoadPoint]:
    """Return the points of a centre line.

    An arc of radius r and length l is cut into the fewest equal parts that are at most
    MAX_CHORD_M long and turn by at most MAX_TURN_RAD. A part of
    central angle a advances by its chord 2 r sin(a / 2), at the heading of the part's middle.

    Args:
        elements: The straights and arcs, in order.
        start: Where they begin.
        cut_straights: Cut straights as arcs are, for a road that rises and falls.

    Returns:
        The points, the start included.
    """
    x, y, heading_rad, station_m = start.x_m, start.y_m, start.heading_rad, start.station_m
    points = [start]
    for element in elements:
        is_straight = math.isinf(element.radius_m)
        is_cut = cut_straights or not is_straight
        longest_m = min(MAX_CHORD_M, MAX_TURN_RAD * abs(element.radius_m))
        num_parts = math.ceil(element.length_m / longest_m) if is_cut else 1
        part_m = element.length_m / num_parts
        turn_rad = part_m / element.radius_m
        chord_m = part_m if is_straight else 2.0 * element.radius_m * math.sin(turn_rad / 2.0)
        for _ in range(num_parts):
            x += chord_m * math.cos(heading_rad + turn_rad / 2.0)
            y += chord_m * math.sin(heading_rad + turn_rad / 2.0)
            heading_rad += turn_rad
            station_m += part_m
            points.append(RoadPoint(x, y, heading_rad, station_m))
    return points


def centre_line(elements: Sequence[RoadElement]) -> list[Point]:
    """Return the points (x, y) of a centre line that starts at the origin [m]."""
    return [(point.x_m, point.y_m) for point in trace(elements)]


def split_at(
    elements: Sequence[RoadElement], stations_m: Sequence[float]
) -> list[list[RoadElement]]:
    """Cut a road at stations that increase, and return its parts in order.

    >>> [[e.length_m for e in part] for part in split_at([RoadElement(50), RoadElement(30)], [60])]
    [[50, 10.0], [20.0]]
    """
    parts: list[list[RoadElement]] = [[]]
    cuts = list(stations_m)
    station_m = 0.0
    for element in elements:
        left_m = element.length_m
        while cuts and cuts[0] < station_m + left_m:
            length_m = cuts.pop(0) - station_m
            if length_m > 0.0:
                parts[-1].append(RoadElement(length_m, element.radius_m))
            parts.append([])
            station_m += length_m
            left_m -= length_m
        parts[-1].append(RoadElement(left_m, element.radius_m))
        station_m += left_m
    return parts


def height_m(grades: Sequence[Grade], station_m: float) -> float:
    """Return the height above the road's start: the grade integrated by trapezes [m].

    >>> round(height_m([(0.0, 0.0), (100.0, 0.04)], 150.0), 6)  # 100 m x 2 % + 50 m x 4 %
    4.0
    """
    height = 0.0
    for (start_m, grade), (end_m, end_grade) in itertools.pairwise([*grades, (math.inf, 0.0)]):
        if station_m <= start_m:
            break
        run_m = min(station_m, end_m) - start_m
        slope = 0.0 if math.isinf(end_m) else (end_grade - grade) / (end_m - start_m)
        height += run_m * (grade + slope * run_m / 2.0)
    return height
