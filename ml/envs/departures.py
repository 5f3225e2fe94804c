"""What a scenario's route files say of the convoy: its cars, the leader's script, other traffic."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ml.envs.sumo_connection import ScenarioFiles
from ml.errors import ScenarioError
from ml.types import FloatArray
from ml.xml_files import read_xml

EGO_ID = "V001"
SPEED_PROFILE_PARAMETER = "roadsense.speed_profile"
_CONVOY_ID = re.compile(r"V\d{3,}")
_CAR_ELEMENTS = {"vehicle", "trip"}
_OTHER_TRAFFIC_ELEMENTS = {"vehicle", "trip", "flow", "person", "personFlow", "container"}
_LARGEST_PROFILE_SPEED_MPS = 50.0


@dataclass(frozen=True)
class SpeedProfile:
    """The script of a leader: a speed for every moment, linear between points, the last held.

    Attributes:
        times_s: Times since the scenario's start, increasing from 0 [s].
        speeds_mps: The speeds at those times [m/s].
    """

    times_s: tuple[float, ...]
    speeds_mps: tuple[float, ...]

    def speed_mps(self, time_s: float) -> float:
        """Return the speed at ``time_s`` since the scenario's start.

        >>> SpeedProfile((0.0, 10.0, 20.0), (12.0, 12.0, 0.0)).speed_mps(15.0)
        6.0
        """
        return float(np.interp(time_s, *self._points))

    @cached_property
    def _points(self) -> tuple[FloatArray, FloatArray]:
        """The times and the speeds as arrays, which need not be made at every step."""
        return np.array(self.times_s), np.array(self.speeds_mps)


@dataclass(frozen=True)
class Departure:
    """A convoy car's entry in the route file.

    Attributes:
        car_id: SUMO's id, ``V001`` and so on.
        position_m: Lane position of the front bumper; None where the file has a word instead.
        profile: The car's script, None where SUMO drives it.
    """

    car_id: str
    position_m: float | None
    profile: SpeedProfile | None


@dataclass(frozen=True)
class Departures:
    """The convoy's cars in the order of the files.

    Attributes:
        cars: One entry a car.
        has_other_traffic: Whether the files also hold vehicles that are not the convoy's.
    """

    cars: tuple[Departure, ...]
    has_other_traffic: bool


def read_departures(files: ScenarioFiles) -> Departures:
    """Return what the route files say of the convoy.

    Raises:
        ScenarioError: ``V001`` is missing, a car is listed twice, one departs after 0, or a script
            cannot be used.
    """
    parts = [_read_route_file(path, path.stat().st_mtime_ns) for path in files.routes]
    cars = tuple(car for part in parts for car in part.cars)
    ids = [car.car_id for car in cars]
    if EGO_ID not in ids:
        names = ", ".join(map(str, files.routes))
        raise ScenarioError(f"{names} must hold a vehicle {EGO_ID}, the ego. Got {ids or 'none'}.")
    if len(set(ids)) < len(ids):
        raise ScenarioError(f"{files.sumocfg} lists a convoy car twice: {sorted(ids)}.")
    has_other_traffic = any(part.has_other_traffic for part in parts)
    scripted = [car.car_id for car in cars if car.profile is not None]
    if scripted and has_other_traffic:
        raise ScenarioError(
            f"{SPEED_PROFILE_PARAMETER} of {scripted[0]} in {files.sumocfg} needs a road without "
            "other traffic, which it would drive into. Got both. Take one of them out."
        )
    return Departures(cars, has_other_traffic)


@lru_cache(maxsize=4096)
def _read_route_file(path: Path, modified_ns: int) -> Departures:
    """Read one route file; ``modified_ns`` keeps the cache honest."""
    del modified_ns
    root = read_xml(path)
    cars = []
    has_other_traffic = False
    for element in root.iter():
        car_id = element.get("id", "")
        if element.tag in _CAR_ELEMENTS and _CONVOY_ID.fullmatch(car_id):
            cars.append(_departure(element, path))
        elif element.tag in _OTHER_TRAFFIC_ELEMENTS:
            has_other_traffic = True
    return Departures(tuple(cars), has_other_traffic)


def _departure(element: ElementTree.Element, path: Path) -> Departure:
    """Return a convoy car's entry, checked."""
    car_id, depart = element.get("id", ""), element.get("depart", "")
    if _number_or_none(depart) != 0.0:
        raise ScenarioError(
            f"depart of {car_id} in {path} must be 0: every convoy car is on the road from "
            f"the start. Got {depart!r}."
        )
    script = element.find(f"./param[@key='{SPEED_PROFILE_PARAMETER}']")
    profile = None if script is None else _profile(script.get("value", ""), car_id, path)
    return Departure(car_id, _number_or_none(element.get("departPos", "")), profile)


def _profile(text: str, car_id: str, path: Path) -> SpeedProfile:
    """Return the script written as ``time:speed time:speed ...``."""
    points = [_point(word) for word in text.split()]
    times = tuple(time_s for time_s, _ in points)
    speeds = tuple(speed_mps for _, speed_mps in points)
    is_increasing = all(first < second for first, second in pairwise(times))
    is_in_range = all(0.0 <= speed <= _LARGEST_PROFILE_SPEED_MPS for speed in speeds)
    if not times or times[0] != 0.0 or not is_increasing or not is_in_range:
        raise ScenarioError(
            f"{SPEED_PROFILE_PARAMETER} of {car_id} in {path} must be time:speed points, times "
            f"increasing from 0 and speeds in [0, {_LARGEST_PROFILE_SPEED_MPS:g}] m/s, as in "
            f"'0:13.9 8:13.9 14:0'. Got {text[:60]!r}."
        )
    return SpeedProfile(times, speeds)


def _point(word: str) -> tuple[float, float]:
    """Return one ``time:speed`` point; NaN where it is none, which no rule accepts."""
    time_text, _, speed_text = word.partition(":")
    time_s, speed_mps = _number_or_none(time_text), _number_or_none(speed_text)
    return (
        math.nan if time_s is None else time_s,
        math.nan if speed_mps is None else speed_mps,
    )


def _number_or_none(text: str) -> float | None:
    """Return ``text`` as a finite number, or None where it is a word such as 'base'."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
