"""The convoy's way through a network: its edges' lanes 0 and the junction lanes between them.

A path position counts from the start of the first edge along all of these lanes, the junctions'
internal lanes included.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ml.errors import ScenarioError
from ml.scenarios.scenario_files import EGO_ID
from ml.xml_files import read_xml

Point3 = tuple[float, float, float]

_CONVOY_LANE = "0"
_SAME_POINT_M = 0.05


@dataclass(frozen=True)
class PathLane:
    """One lane of a path.

    Attributes:
        lane_id: SUMO's id of the lane.
        edge_index: Index of the lane's edge in the route; None for a lane inside a junction.
        length_m: Length of the lane [m].
        speed_mps: Speed limit [m/s].
        shape: Points (x, y, z) of its centre line; z is 0 where the network has none [m].
    """

    lane_id: str
    edge_index: int | None
    length_m: float
    speed_mps: float
    shape: tuple[Point3, ...] = ()


@dataclass(frozen=True)
class RoadPath:
    """The lanes that a convoy drives on, in order.

    Attributes:
        edges: The route's edges.
        lanes: Their lanes 0 and the junctions' lanes between them.
    """

    edges: tuple[str, ...]
    lanes: tuple[PathLane, ...]

    @property
    def length_m(self) -> float:
        """Length of the whole path [m]."""
        return sum(lane.length_m for lane in self.lanes)

    def points(self) -> list[Point3]:
        """Return the path's line, without the points that neighbouring lanes share [m]."""
        points: list[Point3] = []
        for point in itertools.chain.from_iterable(lane.shape for lane in self.lanes):
            if not points or math.dist(points[-1], point) > _SAME_POINT_M:
                points.append(point)
        return points

    def starts(self) -> Iterator[tuple[float, PathLane]]:
        """Give each lane with the path position of its start [m]."""
        start_m = 0.0
        for lane in self.lanes:
            yield start_m, lane
            start_m += lane.length_m

    def path_position_m(self, lane_id: str, lane_position_m: float) -> float | None:
        """Return the path position of a place on a lane [m]; None off the path."""
        for start_m, lane in self.starts():
            if lane.lane_id == lane_id:
                return start_m + lane_position_m
        return None

    def edge_and_position(self, path_position_m: float) -> tuple[int, float] | None:
        """Return the index of the edge at a path position and the position on its lane [m].

        A lane's end belongs to the lane. None inside a junction and beyond the path.
        """
        for start_m, lane in self.starts():
            if path_position_m <= start_m + lane.length_m:
                if lane.edge_index is None:
                    return None
                return lane.edge_index, path_position_m - start_m
        return None

    def move_clear_of_junctions_m(self, path_position_m: float, clearance_m: float) -> float:
        """Return the first place at or ahead of a path position that is clear of a junction [m].

        A front bumper is clear where it is on an edge and, beyond a junction, at least
        ``clearance_m`` from the edge's start.
        """
        for start_m, lane in self.starts():
            if lane.edge_index is None:
                continue
            first_m = start_m + clearance_m if lane.edge_index > 0 else 0.0
            if path_position_m <= start_m + lane.length_m and first_m <= start_m + lane.length_m:
                return max(path_position_m, first_m)
        return path_position_m


def read_route_edges(routes: Path) -> list[str]:
    """Return the edges of the ego's route.

    Raises:
        ScenarioError: The file is broken, or holds no ego with a route.
    """
    root = read_xml(routes)
    ego = root.find(f"./vehicle[@id='{EGO_ID}']")
    if ego is None:
        raise ScenarioError(f"{routes} must hold a vehicle {EGO_ID!r}, the ego. Got none. Add it.")
    route = ego.find("route")
    if route is None:
        route = root.find(f"./route[@id='{ego.get('route', '')}']")
    edges = "" if route is None else route.get("edges", "")
    if not edges.split():
        raise ScenarioError(
            f"route of {EGO_ID} in {routes} must be one edge or more. Got {edges!r}. "
            "Name the edges of the road, in order."
        )
    return edges.split()


def read_road_path(network: Path, edges: Sequence[str]) -> RoadPath:
    """Read the way of a convoy along ``edges`` from a network.

    Args:
        network: The network file.
        edges: The route's edges, at least one.

    Returns:
        The path on lane 0 of each edge and through the junctions between them.

    Raises:
        ScenarioError: An edge is missing, is listed twice, or its lane 0 does not lead to the
            next edge's.
    """
    root = read_xml(network)
    if len(set(edges)) < len(edges):
        raise ScenarioError(
            f"route of the ego in {network.parent} must pass each edge once. "
            f"Got {' '.join(edges)!r}. Draw a longer road."
        )
    reader = _PathReader(root, network)
    lanes = [reader.lane(edges[0], 0)]
    for index, (edge, next_edge) in enumerate(itertools.pairwise(edges), start=1):
        lanes += reader.junction_lanes(edge, next_edge)
        lanes.append(reader.lane(next_edge, index))
    return RoadPath(tuple(edges), tuple(lanes))


class _PathReader:
    """Looks up lanes and connections of one network."""

    def __init__(self, root: ElementTree.Element, network: Path) -> None:
        """Index the network."""
        self._network = network
        self._edges = {edge.get("id", ""): edge for edge in root.iter("edge")}
        self._vias = {
            (link.get("from"), link.get("to")): link.get("via", "")
            for link in root.iter("connection")
            if link.get("fromLane") == link.get("toLane") == _CONVOY_LANE
        }
        self._next_vias = {
            f"{link.get('from')}_{link.get('fromLane')}": link.get("via", "")
            for link in root.iter("connection")
        }

    def lane(self, edge_id: str, edge_index: int | None, lane_id: str = "") -> PathLane:
        """Return a lane of an edge: its lane 0, or the one named."""
        wanted = lane_id or f"{edge_id}_{_CONVOY_LANE}"
        edge = self._edges.get(edge_id)
        lanes = [] if edge is None else edge.findall("lane")
        lane = next((lane for lane in lanes if lane.get("id") == wanted), None)
        if lane is None:
            raise ScenarioError(
                f"edge {edge_id!r} in {self._network} must exist and have a lane {wanted!r}. "
                f"Got {len(lanes)} lanes. Change the network or the ego's route."
            )
        try:
            length_m, speed_mps = float(lane.get("length", "")), float(lane.get("speed", ""))
            shape = tuple(_point(text) for text in lane.get("shape", "").split())
            if not (0.0 < length_m < math.inf and 0.0 < speed_mps < math.inf):
                raise ValueError(f"length {length_m:g} and speed {speed_mps:g}")
        except ValueError as error:
            raise ScenarioError(
                f"lane {wanted!r} in {self._network} must have a length, a speed and a shape. "
                f"Got: {error}. Make the network again with netconvert."
            ) from error
        return PathLane(wanted, edge_index, length_m, speed_mps, shape)

    def junction_lanes(self, edge: str, next_edge: str) -> list[PathLane]:
        """Return the lanes through the junction between two edges; none where it has none."""
        via = self._vias.get((edge, next_edge))
        if via is None:
            raise ScenarioError(
                f"lane 0 of edge {edge!r} in {self._network} must lead to lane 0 of "
                f"{next_edge!r}. Got no such connection. Change the network or the ego's route."
            )
        lanes: list[PathLane] = []
        while via and len(lanes) < len(self._edges):
            lanes.append(self.lane(via.rpartition("_")[0], None, via))
            via = self._next_vias.get(via, "")
        return lanes


def _point(text: str) -> Point3:
    """Return the point `x,y` or `x,y,z`."""
    x_m, y_m, *height = map(float, text.split(","))
    return x_m, y_m, height[0] if height else 0.0
