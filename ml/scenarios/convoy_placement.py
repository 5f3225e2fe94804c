"""Puts a convoy on a road of several edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ml.scenarios.road_path import RoadPath
from ml.scenarios.scenario_draws import (
    EGO_GAP_M,
    EGO_LONGEST_HEADWAY_S,
)
from ml.scenarios.scenario_files import CAR_LENGTH_M, PlacedVehicle

JUNCTION_CLEARANCE_M = CAR_LENGTH_M + 0.1
"""A car that starts beyond a junction has this much of it behind its front bumper [m]."""
EGO_SHORTEST_HEADWAY_S = 0.4
"""Shortest headway at which the ego must still find its place on its edge [s]."""
EGO_FIRST_POSITION_M = 5.0
"""Nearest the ego's front bumper may come to the start of its edge [m]."""

_ROUNDING = 1e-6


def put_on_path(cars: Sequence[PlacedVehicle], path: RoadPath) -> list[PlacedVehicle] | None:
    """Put cars that are placed by path position on the edges of a path.

    A car that would stand in a junction, or within its own length beyond one, moves forward until
    it is clear of it, and all the cars ahead with it.

    Args:
        cars: The cars from the ego to the leader, ``position_m`` from the start of the path.
        path: The road.

    Returns:
        The cars with their edge and their position on it; None where the road is too short.
    """
    placed: list[PlacedVehicle] = []
    shift_m = 0.0
    for car in cars:
        wanted_m = round(car.position_m + shift_m, 3)
        position_m = path.move_clear_of_junctions_m(wanted_m, JUNCTION_CLEARANCE_M)
        shift_m += position_m - wanted_m
        place = path.edge_and_position(position_m)
        if place is None:
            return None
        edge_index, lane_position_m = place
        placed.append(replace(car, edge_index=edge_index, position_m=round(lane_position_m, 3)))
    return placed


def path_position_m(car: PlacedVehicle, path: RoadPath) -> float:
    """Return the path position of a placed car [m]."""
    starts_m = [start_m for start_m, lane in path.starts() if lane.edge_index == car.edge_index]
    return starts_m[0] + car.position_m


def ego_finds_its_place(cars: Sequence[PlacedVehicle], path: RoadPath) -> bool:
    """Return whether the ego fits on the first edge at every headway it may be given.

    With v the speed, its front stands 2 m + T v behind the rear of the car ahead.

    Args:
        cars: The placed cars.
        path: The road.

    Returns:
        True for a lone ego on the first edge.
    """
    if cars[0].edge_index != 0:
        return False
    if len(cars) == 1:
        return True
    speed_mps = cars[0].speed_mps
    nearest_m = path_position_m(cars[1], path) - CAR_LENGTH_M - EGO_GAP_M
    first_m = nearest_m - EGO_LONGEST_HEADWAY_S * speed_mps
    last_m = nearest_m - EGO_SHORTEST_HEADWAY_S * speed_mps
    return (
        first_m >= EGO_FIRST_POSITION_M - _ROUNDING and last_m <= path.lanes[0].length_m + _ROUNDING
    )
