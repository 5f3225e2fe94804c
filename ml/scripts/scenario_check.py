"""Whether a scenario holds in the real simulator: inserted as written, then driven for 5 s."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.scenarios.road_path import RoadPath
from ml.scenarios.scenario_files import CAR_LENGTH_M, PlacedVehicle

CHECKED_STEPS = 50
POSITION_TOLERANCE_M = 0.01
_SUMO_SEED = 1
_NO_LANE_CHANGES = 0
"""The convoy keeps its lane, as in an episode."""

MISSING = "vehicle_missing"
MISPLACED = "vehicle_not_at_its_position"
OUT_OF_ORDER = "out_of_order"
CONTACT = "contact"
OFF_ROAD = "does_not_fit_the_road"
OFF_FIRST_EDGE = "ego_does_not_fit_the_first_edge"
DUPLICATE = "duplicate"
REJECTION_REASONS = (OFF_ROAD, OFF_FIRST_EDGE, DUPLICATE, MISSING, MISPLACED, OUT_OF_ORDER, CONTACT)


def find_fault(
    connection: SumoConnection,
    files: ScenarioFiles,
    vehicles: Sequence[PlacedVehicle],
    path: RoadPath,
) -> str | None:
    """Load a scenario, insert its cars and drive for ``CHECKED_STEPS`` steps.

    Args:
        connection: The simulator.
        files: The scenario's files.
        vehicles: The cars the scenario must show, from the ego to the leader.
        path: The lanes that all of them must be on.

    Returns:
        The first reason to reject the scenario, or None when it holds.

    Raises:
        ScenarioError: SUMO refuses the files.
    """
    connection.load(files, _SUMO_SEED)
    connection.step()
    for vehicle_id in connection.vehicle_ids():
        connection.vehicle.setLaneChangeMode(vehicle_id, _NO_LANE_CHANGES)
    fault = _fault_on_the_road(connection, vehicles, path)
    if fault is None and not _are_at_their_positions(connection, vehicles, path):
        fault = MISPLACED
    step = 0
    while fault is None and step < CHECKED_STEPS:
        connection.step()
        fault = _fault_on_the_road(connection, vehicles, path)
        step += 1
    return fault


def _fault_on_the_road(
    connection: SumoConnection, vehicles: Sequence[PlacedVehicle], path: RoadPath
) -> str | None:
    """Return what is wrong now: a car missing, the order changed, or bumpers touching."""
    ids = [vehicle.vehicle_id for vehicle in vehicles]
    if sorted(connection.vehicle_ids()) != sorted(ids):
        return MISSING
    vehicle = connection.vehicle
    places = [
        path.path_position_m(vehicle.getLaneID(vehicle_id), vehicle.getLanePosition(vehicle_id))
        for vehicle_id in ids
    ]
    positions_m = [position_m for position_m in places if position_m is not None]
    return MISPLACED if len(positions_m) < len(ids) else fault_of_positions(positions_m)


def fault_of_positions(positions_m: Sequence[float]) -> str | None:
    """Return the fault of a row of cars given by their front bumpers, from rear to front.

    The gap to the car ahead is its position, less its length, less one's own position; contact is
    a gap of 0 or less.

    >>> fault_of_positions([0.0, 4.5])
    'contact'
    >>> fault_of_positions([0.0, 4.6]) is None
    True
    """
    advances_m = [ahead_m - behind_m for behind_m, ahead_m in itertools.pairwise(positions_m)]
    if any(advance_m <= 0.0 for advance_m in advances_m):
        return OUT_OF_ORDER
    if any(advance_m <= CAR_LENGTH_M for advance_m in advances_m):
        return CONTACT
    return None


def _are_at_their_positions(
    connection: SumoConnection, vehicles: Sequence[PlacedVehicle], path: RoadPath
) -> bool:
    """Return whether every car stands on the edge and at the place where its scenario puts it."""
    return all(
        connection.vehicle.getLaneID(car.vehicle_id) == f"{path.edges[car.edge_index]}_0"
        and abs(connection.vehicle.getLanePosition(car.vehicle_id) - car.position_m)
        <= POSITION_TOLERANCE_M
        for car in vehicles
    )
