"""Whether a scenario holds in the real simulator: inserted as written, then driven for 5 s."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.scenarios.scenario_files import CAR_LENGTH_M, PlacedVehicle

CHECKED_STEPS = 50
POSITION_TOLERANCE_M = 0.01
_SUMO_SEED = 1

MISSING = "vehicle_missing"
MISPLACED = "vehicle_not_at_its_position"
OUT_OF_ORDER = "out_of_order"
CONTACT = "contact"
OFF_ROAD = "does_not_fit_the_road"
DUPLICATE = "duplicate"
REJECTION_REASONS = (OFF_ROAD, DUPLICATE, MISSING, MISPLACED, OUT_OF_ORDER, CONTACT)


def find_fault(
    connection: SumoConnection,
    files: ScenarioFiles,
    vehicles: Sequence[PlacedVehicle],
    lane_id: str,
) -> str | None:
    """Load a scenario, insert its cars and drive for ``CHECKED_STEPS`` steps.

    Args:
        connection: The simulator.
        files: The scenario's files.
        vehicles: The cars the scenario must show, from the ego to the leader.
        lane_id: The lane that all of them must be on.

    Returns:
        The first reason to reject the scenario, or None when it holds.

    Raises:
        ScenarioError: SUMO refuses the files.
    """
    connection.load(files, _SUMO_SEED)
    connection.step()
    fault = _fault_on_the_road(connection, vehicles, lane_id)
    if fault is None and not _are_at_their_positions(connection, vehicles):
        fault = MISPLACED
    step = 0
    while fault is None and step < CHECKED_STEPS:
        connection.step()
        fault = _fault_on_the_road(connection, vehicles, lane_id)
        step += 1
    return fault


def _fault_on_the_road(
    connection: SumoConnection, vehicles: Sequence[PlacedVehicle], lane_id: str
) -> str | None:
    """Return what is wrong now: a car missing, the order changed, or bumpers touching."""
    ids = [vehicle.vehicle_id for vehicle in vehicles]
    if sorted(connection.vehicle_ids()) != sorted(ids):
        return MISSING
    if any(connection.vehicle.getLaneID(vehicle_id) != lane_id for vehicle_id in ids):
        return MISPLACED
    positions_m = [connection.vehicle.getLanePosition(vehicle_id) for vehicle_id in ids]
    return fault_of_positions(positions_m)


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


def _are_at_their_positions(connection: SumoConnection, vehicles: Sequence[PlacedVehicle]) -> bool:
    """Return whether every car stands where its scenario puts it."""
    return all(
        abs(connection.vehicle.getLanePosition(car.vehicle_id) - car.position_m)
        <= POSITION_TOLERANCE_M
        for car in vehicles
    )
