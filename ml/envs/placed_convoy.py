"""Puts a convoy on a road that SUMO holds already, with random numbers of its own.

Loading a scenario reads its whole network again, which takes most of a reset. Where a scenario is
nothing but cars at given places, SUMO can instead be taken back to an empty road with new random
numbers, by a state file that holds the scenario's types and routes, and the cars be added. What
they then do depends on the scenario and the seed alone, not on what was on the road before.
"""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ml.xml_files import read_xml

_TYPE, _ROUTE, _CAR = "vType", "route", "vehicle"
_ROUTE_ATTRIBUTES = {"id", "edges"}
_CAR_ATTRIBUTES = {
    "id", "type", "route", "depart", "departLane", "departPos", "departSpeed", "insertionChecks",
}  # fmt: skip
_ADDED_ATTRIBUTES = ("id", "route", "type", "departLane", "departPos", "departSpeed")
_NUMBERED_ATTRIBUTES = ("departLane", "departPos", "departSpeed")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_SIGNALS = ("traffic_light", "rail_signal", "rail_crossing")

_WORDS_OF_GENERATOR = 624
_DRAWS_WRITTEN_OUT = 1_000_000
"""A count of draws from which on SUMO reads the generator's words instead of drawing so often."""


@dataclass(frozen=True)
class PlacedConvoy:
    """A scenario of nothing but cars that depart at 0, each at a given place and speed.

    Attributes:
        elements: Its vehicle types and routes, as a state file holds them.
        cars: For each car id, route, type, lane, position and speed, as the file has them.
    """

    elements: str
    cars: tuple[tuple[str, ...], ...]


def placed_convoy(routes: Sequence[Path]) -> PlacedConvoy | None:
    """Return the convoy of some route files, None where they hold more than placed cars.

    Args:
        routes: The scenario's route files.
    """
    parts = [_read_part(path, os.stat(path).st_mtime_ns) for path in routes]  # noqa: PTH116 - fast
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    cars = tuple(car for part in known for car in part.cars)
    return PlacedConvoy("".join(part.elements for part in known), cars)


@lru_cache(maxsize=4096)
def _read_part(path: Path, modified_ns: int) -> PlacedConvoy | None:
    """Read one route file; ``modified_ns`` keeps the cache honest."""
    del modified_ns
    elements, cars = [], []
    for element in read_xml(path):
        if element.tag == _CAR and _is_placed(element):
            cars.append(tuple(element.get(name, "") for name in _ADDED_ATTRIBUTES))
        elif not len(element) and _is_kept(element):
            elements.append(ElementTree.tostring(element, "unicode"))
        else:
            return None
    return PlacedConvoy("".join(elements), tuple(cars))


def _is_kept(element: ElementTree.Element) -> bool:
    """Return whether an element is a type or a plain route; a route is marked to stay."""
    if element.tag == _ROUTE and set(element.keys()) <= _ROUTE_ATTRIBUTES:
        element.set("state", "1")  # kept when no car needs it
        return True
    return element.tag == _TYPE


def _is_placed(car: ElementTree.Element) -> bool:
    """Return whether a car's entry says no more than where and how fast it starts."""
    return (
        set(car.keys()) <= _CAR_ATTRIBUTES
        and all(child.tag == "param" for child in car)
        and all(_NUMBER.fullmatch(car.get(name, "")) for name in _NUMBERED_ATTRIBUTES)
        and car.get("insertionChecks", "none") == "none"
    )


@lru_cache(maxsize=256)
def has_signals(network: Path, content_hash: str) -> bool:
    """Return whether a network has signals, whose phase would outlive the cars.

    Args:
        network: The network's file.
        content_hash: What keeps the cache honest.
    """
    del content_hash
    root = read_xml(network)
    kinds = [junction.get("type", "") for junction in root.iter("junction")]
    return root.find("tlLogic") is not None or any(kind.startswith(_SIGNALS) for kind in kinds)


def empty_road_state(elements: str, lanes: str, seed: int, version: str) -> str:
    """Return the text of a state file: an empty road at time 0, and random numbers from ``seed``.

    SUMO takes a generator's words only after a count of draws that is large enough. It forgets the
    cars of a lane without forgetting that the lane was in use, and would not move what is put
    there next; so every lane is named as in use.

    Args:
        elements: Vehicle types and routes.
        lanes: Ids of all lanes, separated by spaces.
        seed: Seed of the random numbers.
        version: SUMO's version.
    """
    words = np.random.MT19937(seed).state["state"]["key"].tolist()
    generator = f"{_DRAWS_WRITTEN_OUT} {' '.join(map(str, words))} {_WORDS_OF_GENERATOR}"
    return (
        f'<snapshot type="micro" version="{version}" time="0.00">'
        f'<rngState default="{generator}"><rngLane index="0" state="{generator}"/></rngState>'
        f'<edgeControl lanes="{lanes}"/>{elements}'
        '<delay number="0" begin="0" end="0" depart="0.00" time="0.00" speedFactor="1.00" '
        'decel="4.50"/></snapshot>'
    )


class StateFile:
    """A file in memory, where there are such files, that SUMO reads by its name."""

    def __init__(self) -> None:
        """Make the file; it goes with the object."""
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("roadsense_state")
            self.name = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        else:
            self._descriptor, self.name = tempfile.mkstemp(prefix="roadsense_state")
            weakref.finalize(self, os.unlink, self.name)
        weakref.finalize(self, os.close, self._descriptor)

    def write(self, text: str) -> None:
        """Replace what the file holds."""
        content = text.encode()
        os.ftruncate(self._descriptor, len(content))
        os.pwrite(self._descriptor, content, 0)
