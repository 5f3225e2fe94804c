"""The lanes that the convoy drives on, one after the other, and how far along them each begins.

Lane changes of convoy cars are off, so the ego's lane and its route decide the whole chain: from
each lane the link to the route's next edge, over the junction's internal lanes, to the next lane.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.errors import ScenarioError
from ml.xml_files import read_xml

ROUTE_END_MARGIN_M = 60.0
"""A car never gets closer to the end of its route than this: more than one step at 50 m/s."""


@dataclass(frozen=True)
class ConvoyPath:
    """A chain of lanes, junctions included.

    Attributes:
        lane_starts_m: Path position at which each lane begins, internal lanes included.
        lane_of_edge: The chain's lane on each edge.
        length_m: Length of the whole chain.
    """

    lane_starts_m: Mapping[str, float]
    lane_of_edge: Mapping[str, str]
    length_m: float

    def end_m(self, last_edge: str, lane_length_m: float) -> float:
        """Return the path position beyond which a car is too close to the end of its route.

        Args:
            last_edge: The last edge of the car's route.
            lane_length_m: Length of that edge's lane.
        """
        lane = self.lane_of_edge.get(last_edge)
        end_m = self.length_m if lane is None else self.lane_starts_m[lane] + lane_length_m
        return end_m - ROUTE_END_MARGIN_M


def trace_path(connection: SumoConnection, files: ScenarioFiles, ego_id: str) -> ConvoyPath:
    """Follow the ego's lane along its route.

    Args:
        connection: The simulation, the ego on the road.
        files: The scenario, for messages.
        ego_id: SUMO's id of the ego.

    Raises:
        ScenarioError: The ego is on a junction, or its lane does not lead along its route.
    """
    edges = connection.vehicle.getRoute(ego_id)
    lane = connection.vehicle.getLaneID(ego_id)
    if lane.rpartition("_")[0] != edges[0]:
        raise ScenarioError(
            f"{files.sumocfg}: {ego_id} must start on the first edge of its route, {edges[0]!r}. "
            f"Got the lane {lane!r}."
        )
    starts_m, lane_of_edge, position_m = {lane: 0.0}, {edges[0]: lane}, 0.0
    for edge, next_edge in pairwise(edges):
        position_m += connection.lane_length_m(lane)
        links = [link for link in connection.lane_links(lane) if _edge_of(link[0]) == next_edge]
        if not links:
            raise ScenarioError(
                f"{files.sumocfg}: {ego_id}'s lane {lane!r} must lead from edge {edge!r} to "
                f"{next_edge!r}, since convoy cars do not change lanes. Got no such connection. "
                "Let the convoy depart on another lane."
            )
        lane, internal = links[0]
        while internal:
            starts_m[internal] = position_m
            position_m += connection.lane_length_m(internal)
            internal = next((link[1] for link in connection.lane_links(internal)), "")
        starts_m.setdefault(lane, position_m)
        lane_of_edge.setdefault(next_edge, lane)
    return ConvoyPath(starts_m, lane_of_edge, position_m + connection.lane_length_m(lane))


def _edge_of(lane_id: str) -> str:
    """Return the edge of a lane: SUMO names lanes ``<edge>_<index>``."""
    return lane_id.rpartition("_")[0]


def steepest_grade_rad(network: Path) -> float:
    """Return the largest slope of any lane in a network, 0 where it has no heights [rad]."""
    return _steepest_grade_rad(network, network.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _steepest_grade_rad(network: Path, modified_ns: int) -> float:
    """Read the heights of every lane; ``modified_ns`` keeps the cache honest."""
    del modified_ns
    steepest = 0.0
    for lane in read_xml(network).iter("lane"):
        for first, second in pairwise(_points(lane.get("shape", ""), network)):
            rise_m = abs(_height_m(second) - _height_m(first))
            if rise_m > 0.0:
                steepest = max(steepest, math.atan2(rise_m, math.dist(first[:2], second[:2])))
    return steepest


def _points(shape: str, network: Path) -> list[tuple[float, ...]]:
    """Return the points of a lane's shape."""
    try:
        return [tuple(map(float, point.split(","))) for point in shape.split()]
    except ValueError as error:
        raise ScenarioError(
            f"shape of a lane in {network} must be points x,y or x,y,z. Got: {error}. "
            "Make the network again with netconvert."
        ) from error


def _height_m(point: tuple[float, ...]) -> float:
    """Return a shape point's height; netconvert leaves out a height of 0, on hills too."""
    return point[2] if len(point) == 3 else 0.0
