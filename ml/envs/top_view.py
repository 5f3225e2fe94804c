"""Draws the convoy from above, the ego on the left and the cars ahead to its right.

Only pictures need this module: training never loads it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ml.envs.scene import Scene
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    MAX_DEMAND_MPS2,
    FloatArray,
)

PICTURE_SIZE_PX = (960, 320)
"""Width and height."""

SHORTEST_VIEW_M = 60.0
"""The picture shows at least so much of the road, so that few cars are not drawn as giants."""

LONGEST_VIEW_M = 500.0
"""And at most so much: cars farther away are not in it."""

POST_DISTANCE_M = 20.0

EGO_AT_PX = 120
"""Where the ego's front bumper is, from the left; half of the road's strip is above it."""

_ROAD_TOP_PX, _ROAD_BOTTOM_PX = 44, 250
_NEAR_M = 150.0
_EGO_WEIGHT_M = 10.0
_ROOM_ASIDE_PX = 90.0
_FINER = 2
"""The road is drawn so many times larger and then scaled down, which smooths every edge."""
_LARGEST_BAR_MPS2 = 10.0
_LEAST_BRAKING_MPS2 = 0.5

Colour = tuple[int, int, int]
_BACKGROUND: Colour = (232, 236, 229)
_PANEL: Colour = (255, 255, 255)
_ASPHALT: Colour = (92, 97, 104)
_POST: Colour = (160, 166, 156)
_MARKING: Colour = (214, 216, 219)
_TEXT: Colour = (33, 37, 41)
_FAINT_TEXT: Colour = (108, 117, 125)
_TRACK: Colour = (233, 236, 239)
_EGO: Colour = (247, 196, 49)
_HEARD: Colour = (78, 161, 243)
_UNHEARD: Colour = (176, 182, 189)
_OUTLINE: Colour = (33, 37, 41)
_GLASS: Colour = (40, 55, 71)
_BRAKE_LIGHT: Colour = (235, 47, 47)
_DIRECT: Colour = (0, 138, 117)
_RELAYED: Colour = (214, 112, 0)
_DEMAND: Colour = (214, 40, 57)
_DRIVER: Colour = (73, 102, 143)
COLOURS = (
    _BACKGROUND, _PANEL, _ASPHALT, _POST, _MARKING, _TEXT, _FAINT_TEXT, _TRACK, _EGO, _HEARD,
    _UNHEARD, _GLASS, _BRAKE_LIGHT, _DIRECT, _RELAYED, _DEMAND, _DRIVER,
)  # fmt: skip
"""All that pictures are drawn with, apart from the shades along edges."""


def first_view_length_m(cars: FloatArray) -> float:
    """Return how much road pictures show ahead of the ego: all of the convoy as it begins.

    Args:
        cars: Ground truth at the begin, shape (num_cars, NUM_CAR_FIELDS).
    """
    farthest_m = float(_distances_m(cars).max())
    return min(max(SHORTEST_VIEW_M, 1.1 * farthest_m), LONGEST_VIEW_M)


def grown_view_length_m(length_m: float, cars: FloatArray) -> float:
    """Return the length at which a bend leaves in the picture what is near enough for it.

    Args:
        length_m: The length so far.
        cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS).
    """
    near = cars[_distances_m(cars) <= length_m]
    aside_m = np.abs((near - near[0])[:, CAR_X : CAR_Y + 1] @ _axes(cars)[1]).max()
    room_px = (PICTURE_SIZE_PX[0] - EGO_AT_PX) / _ROOM_ASIDE_PX
    return max(length_m, min(float(room_px * aside_m), LONGEST_VIEW_M))


def _distances_m(cars: FloatArray) -> FloatArray:
    """Return how far each car is from the ego, shape (num_cars,)."""
    offsets_m = cars - cars[0]
    distances_m: FloatArray = np.hypot(offsets_m[:, CAR_X], offsets_m[:, CAR_Y])
    return distances_m


def _axes(cars: FloatArray) -> FloatArray:
    """Return the map's directions that are right and up in a picture, one a row.

    Right is where the cars are, seen from the ego; those that have driven away count less.
    """
    weights = np.exp(-((_distances_m(cars) / _NEAR_M) ** 2))
    offsets_m = (cars - cars[0])[:, CAR_X : CAR_Y + 1]
    right = weights @ offsets_m + _EGO_WEIGHT_M * _forward(cars[0])
    right /= max(math.hypot(*right), 1e-9)
    return np.array([right, [-right[1], right[0]]])


def _forward(car: FloatArray) -> FloatArray:
    """Return the direction in which a car points."""
    return np.array([math.cos(car[CAR_HEADING]), math.sin(car[CAR_HEADING])])


def draw_scene(scene: Scene, length_m: float, *, caption: str = "") -> npt.NDArray[np.uint8]:
    """Draw a scene.

    Args:
        scene: What is to be seen.
        length_m: How much of the road ahead of the ego shall fit.
        caption: A text for the upper right corner.

    Returns:
        The picture, shape (height, width, 3), PICTURE_SIZE_PX large.
    """
    picture = Image.new("RGB", PICTURE_SIZE_PX, _PANEL)
    width, strip = PICTURE_SIZE_PX[0], _ROAD_BOTTOM_PX - _ROAD_TOP_PX
    road = Image.new("RGB", (_FINER * width, _FINER * strip), _BACKGROUND)
    scale = _FINER * (width - EGO_AT_PX) / length_m
    scene = _without_far_lanes(scene, 1.1 * length_m)
    _Road(ImageDraw.Draw(road), scene, scale, middle=_FINER * strip / 2.0).draw()
    picture.paste(road.reduce(_FINER), (0, _ROAD_TOP_PX))
    panel = ImageDraw.Draw(picture)
    _draw_header(panel, scene, caption)
    _draw_bars(panel, scene)
    _draw_legend(panel)
    return np.asarray(picture).copy()


def _without_far_lanes(scene: Scene, distance_m: float) -> Scene:
    """Return a scene without the lanes that are farther from the ego than a distance."""
    ego = scene.cars[0, CAR_X : CAR_Y + 1]
    near = [
        lane
        for lane in scene.lanes
        if (lane.points_m.min(axis=0) <= ego + distance_m).all()
        and (lane.points_m.max(axis=0) >= ego - distance_m).all()
    ]
    return dataclasses.replace(scene, lanes=near)


class _Road:
    """The strip with road, cars and messages, drawn in the ego's frame."""

    def __init__(
        self, canvas: ImageDraw.ImageDraw, scene: Scene, scale: float, *, middle: float
    ) -> None:
        """Draw ``scene`` on ``canvas`` with ``scale`` pixels a metre, the ego at ``middle``."""
        self._canvas, self._scene, self._scale = canvas, scene, scale
        self._turn = scale * _axes(scene.cars) * [[1.0], [-1.0]]  # rows count downwards
        self._ego_xy = scene.cars[0, CAR_X : CAR_Y + 1]
        self._origin = np.array([_FINER * EGO_AT_PX, middle])

    def draw(self) -> None:
        """Draw the road, then the cars, then what reached the ego."""
        for lane in self._scene.lanes:
            self._draw_posts(lane.points_m, lane.width_m)
        for lane in self._scene.lanes:
            self._draw_lane(lane.points_m, lane.width_m + 0.6, _MARKING)
        for lane in self._scene.lanes:
            self._draw_lane(lane.points_m, lane.width_m - 0.2, _ASPHALT)
        for rank in range(len(self._scene.cars)):
            self._draw_car(rank)
        for rank, num_hops in self._scene.arrivals:
            self._draw_message(rank, _RELAYED if num_hops else _DIRECT)

    def _pixels(self, points_m: FloatArray) -> FloatArray:
        """Return where points of the map are on the canvas; both have the shape (num_points, 2)."""
        pixels: FloatArray = (points_m - self._ego_xy) @ self._turn.T + self._origin
        return pixels

    def _draw_posts(self, points_m: FloatArray, width_m: float) -> None:
        """Draw posts on both sides of a lane, by which one sees the road pass; none on junctions.

        Args:
            points_m: The lane's middle line, shape (num_points, 2).
            width_m: Its width.
        """
        steps_m = np.diff(points_m, axis=0)
        ends_m = np.concatenate([[0.0], np.hypot(steps_m[:, 0], steps_m[:, 1]).cumsum()])
        places_m = np.arange(POST_DISTANCE_M, ends_m[-1], POST_DISTANCE_M)
        middles = np.column_stack([np.interp(places_m, ends_m, points_m[:, k]) for k in (0, 1)])
        pieces = np.searchsorted(ends_m, places_m) - 1
        aside = np.column_stack([-steps_m[pieces, 1], steps_m[pieces, 0]])
        aside *= (width_m / 2.0 + 1.5) / np.hypot(aside[:, :1], aside[:, 1:])
        pixels = self._pixels(np.concatenate([middles + aside, middles - aside]))
        for x, y in pixels[(np.abs(pixels) <= _FINER * PICTURE_SIZE_PX[0]).all(axis=1)].tolist():
            self._canvas.rectangle((x - 3, y - 3, x + 3, y + 3), fill=_POST)

    def _draw_lane(self, points_m: FloatArray, width_m: float, colour: Colour) -> None:
        """Draw a lane's surface."""
        width = max(1, round(width_m * self._scale))
        self._canvas.line(_pairs(self._pixels(points_m)), fill=colour, width=width, joint="curve")

    def _draw_car(self, rank: int) -> None:
        """Draw a car as a box with a windscreen, and with lights where it brakes."""
        car, scene = self._scene.cars[rank], self._scene
        # Far away a car would be a dot: it is drawn at least 7 pixels wide, and longer likewise.
        larger = max(1.0, 7.0 * _FINER / (scene.widths_m[rank] * self._scale))
        length_m, width_m = float(car[CAR_LENGTH]), larger * float(scene.widths_m[rank])
        colour = _EGO if rank == 0 else _HEARD if scene.is_fresh[rank] else _UNHEARD
        self._draw_box(car, (-length_m, 0.0), width_m, colour)
        self._draw_box(car, (-0.42 * length_m, -0.24 * length_m), 0.8 * width_m, _GLASS)
        if car[CAR_ACCELERATION] < -_LEAST_BRAKING_MPS2:
            self._draw_box(car, (-1.12 * length_m, -0.88 * length_m), width_m, _BRAKE_LIGHT)

    def _draw_box(
        self, car: FloatArray, along_m: tuple[float, float], width_m: float, colour: Colour
    ) -> None:
        """Draw a rectangle across a car.

        Args:
            car: The car's row.
            along_m: From where to where, ahead of its front bumper.
            width_m: Width.
            colour: What it is filled with.
        """
        forward = _forward(car)
        left = np.array([-forward[1], forward[0]]) * width_m / 2.0
        rear, front = (car[CAR_X : CAR_Y + 1] + metres * forward for metres in along_m)
        corners = np.array([rear - left, rear + left, front + left, front - left])
        self._canvas.polygon(_pairs(self._pixels(corners)), fill=colour, outline=_OUTLINE, width=1)

    def _draw_message(self, rank: int, colour: Colour) -> None:
        """Draw an arc from the middle of a car to that of the ego."""
        cars = [self._scene.cars[row] for row in (rank, 0)]
        middles = [car[CAR_X : CAR_Y + 1] - car[CAR_LENGTH] / 2.0 * _forward(car) for car in cars]
        sender, ego = self._pixels(np.array(middles))
        room = 0.9 * max(0.0, float(min(sender[1], ego[1])))
        height = min(room, 40.0 + 0.16 * float(abs(sender[0] - ego[0])))
        share = np.linspace(0.0, 1.0, 33)[:, None]
        points = sender + share * (ego - sender)
        points[:, 1] -= (4.0 * height * share * (1.0 - share))[:, 0]
        self._canvas.line(_pairs(points), fill=colour, width=4)
        x, y = sender
        self._canvas.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)


def _pairs(points: FloatArray) -> list[tuple[float, float]]:
    """Return points, shape (num_points, 2), as Pillow takes them."""
    return [(x, y) for x, y in points.tolist()]


def _draw_header(panel: ImageDraw.ImageDraw, scene: Scene, caption: str) -> None:
    """Write time, speed and gap, and the caption on the right."""
    gap = "-" if math.isinf(scene.gap_m) else f"{scene.gap_m:.1f} m"
    values = (
        ("time", f"{scene.time_s:.1f} s"),
        ("speed", f"{scene.cars[0, CAR_SPEED]:.1f} m/s"),
        ("gap", gap),
    )
    for column, (name, value) in enumerate(values):
        left = 20 + 150 * column
        panel.text((left, 22), name, _FAINT_TEXT, font=_font(13), anchor="lm")
        panel.text((left + 44, 22), value, _TEXT, font=_font(18), anchor="lm")
    panel.text((PICTURE_SIZE_PX[0] - 20, 22), caption, _FAINT_TEXT, font=_font(13), anchor="rm")


def _draw_bars(panel: ImageDraw.ImageDraw, scene: Scene) -> None:
    """Draw how hard policy and driver brake."""
    rows = (
        ("policy demands", scene.demand_mps2, MAX_DEMAND_MPS2, _DEMAND),
        ("driver brakes", max(0.0, -scene.driver_command_mps2), _LARGEST_BAR_MPS2, _DRIVER),
    )
    per_mps2 = 29.0
    for row, (name, value_mps2, largest_mps2, colour) in enumerate(rows):
        top, left = _ROAD_BOTTOM_PX + 14 + 26 * row, 124
        panel.text((20, top + 8), name, _TEXT, font=_font(13), anchor="lm")
        right = left + largest_mps2 * per_mps2
        panel.rectangle((left, top, right, top + 15), fill=_TRACK)
        if value_mps2 > 0.0:
            filled = left + min(value_mps2, largest_mps2) * per_mps2
            panel.rectangle((left, top, filled, top + 15), fill=colour)
        text = f"{value_mps2:.1f} m/s^2"
        panel.text((right + 8, top + 8), text, _TEXT, font=_font(13), anchor="lm")


def _draw_legend(panel: ImageDraw.ImageDraw) -> None:
    """Say what the colours of cars and messages mean."""
    entries: Sequence[tuple[str, Colour]] = (
        ("ego", _EGO),
        ("heard lately", _HEARD),
        ("not heard", _UNHEARD),
        ("message", _DIRECT),
        ("relayed message", _RELAYED),
        ("brakes", _BRAKE_LIGHT),
    )
    for index, (name, colour) in enumerate(entries):
        left, top = (
            PICTURE_SIZE_PX[0] - 372 + 124 * (index % 3),
            _ROAD_BOTTOM_PX + 16 + 26 * (index // 3),
        )
        panel.rectangle((left, top, left + 12, top + 12), fill=colour)
        panel.text((left + 18, top + 6), name, _FAINT_TEXT, font=_font(12), anchor="lm")


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, which needs no file of the system."""
    return ImageFont.load_default(size)
