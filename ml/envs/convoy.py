"""The cars of one scenario in one simulation, read into one array per step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.errors import ScenarioError
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    CONTROL_PERIOD_S,
    NUM_CAR_FIELDS,
    FloatArray,
)
from ml.units import heading_rad_from_sumo_angle_deg

EGO_ID = "V001"
_CONVOY_ID = re.compile(r"V\d{3,}")
_POSITION_TOLERANCE_M = 0.01
_ROUTE_END_MARGIN_M = 60.0
"""A car never gets closer to the end of its route than this: more than one step at 50 m/s."""

SPEED_MODE_SUMO = 31
SPEED_MODE_EGO = 38
"""Keep the caps on acceleration and deceleration, drop every check that would brake for the ego."""
SPEED_MODE_COMMANDED = 0
EGO_ACCELERATION_MPS2 = 3.0
EGO_DECELERATION_MPS2 = 10.0


@dataclass(frozen=True)
class _Departure:
    """A convoy car's entry in the route file; ``position_m`` is None where it is not a number."""

    car_id: str
    position_m: float | None


@lru_cache(maxsize=4096)
def _read_departures(routes: Path, modified_ns: int) -> tuple[_Departure, ...]:
    """Read the convoy's cars from a route file; ``modified_ns`` keeps the cache honest."""
    del modified_ns
    try:
        root = ElementTree.parse(routes).getroot()  # noqa: S314 - expands no external entity
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise ScenarioError(f"{routes} must be well-formed XML. Got: {error}.") from error
    departures = []
    for element in root.iter():
        car_id = element.get("id", "")
        if element.tag not in {"vehicle", "trip"} or not _CONVOY_ID.fullmatch(car_id):
            continue
        depart = element.get("depart", "")
        if _number_or_none(depart) != 0.0:
            raise ScenarioError(
                f"depart of {car_id} in {routes} must be 0: every convoy car is on the road from "
                f"the start. Got {depart!r}."
            )
        departures.append(_Departure(car_id, _number_or_none(element.get("departPos", ""))))
    return tuple(departures)


def _number_or_none(text: str) -> float | None:
    """Return ``text`` as a number, or None where it is a word such as 'base'."""
    try:
        return float(text)
    except ValueError:
        return None


def read_departures(files: ScenarioFiles) -> tuple[_Departure, ...]:
    """Return the convoy's cars as the route files list them.

    Raises:
        ScenarioError: ``V001`` is missing, a car is listed twice, or one departs after 0.
    """
    departures = [
        departure
        for routes in files.routes
        for departure in _read_departures(routes, routes.stat().st_mtime_ns)
    ]
    ids = [departure.car_id for departure in departures]
    if EGO_ID not in ids:
        names = ", ".join(map(str, files.routes))
        raise ScenarioError(f"{names} must hold a vehicle {EGO_ID}, the ego. Got {ids or 'none'}.")
    if len(set(ids)) < len(ids):
        raise ScenarioError(f"{files.sumocfg} lists a convoy car twice: {sorted(ids)}.")
    return tuple(departures)


class Convoy:
    """The convoy's cars, rear to front: row 0 of ``cars`` is the ego.

    Attributes:
        cars: Ground truth after the last step, shape (num_cars, NUM_CAR_FIELDS).
        ids: SUMO's ids in the order of the rows.
    """

    def __init__(self, connection: SumoConnection) -> None:
        """Use ``connection`` for every scenario that is loaded."""
        self._connection = connection
        self._vehicle = connection.vehicle
        self.ids: tuple[str, ...] = ()
        self.cars: FloatArray = np.zeros((0, NUM_CAR_FIELDS))
        self._odometer_offsets_m: list[float] = []
        self._route_ends_m: FloatArray = np.zeros(0)

    @property
    def num_peers(self) -> int:
        """Number of cars ahead of the ego."""
        return len(self.ids) - 1

    def load(self, files: ScenarioFiles, sumo_seed: int) -> None:
        """Load a scenario and put every car on the road at its position, none having moved.

        Args:
            files: The scenario.
            sumo_seed: Seed of SUMO's driver imperfection.

        Raises:
            ScenarioError: A car is missing, misplaced, off the ego's route, or cars overlap.
        """
        departures = read_departures(files)
        self._connection.load(files, sumo_seed)
        self._connection.step()  # inserts the cars without moving them
        present = set(self._connection.vehicle_ids())
        missing = [d.car_id for d in departures if d.car_id not in present]
        if missing:
            raise ScenarioError(f"{files.sumocfg}: {', '.join(missing)} must be on the road at 0.")
        self._place(files, [departure.car_id for departure in departures])
        self._check_positions(files, departures)

    def _place(self, files: ScenarioFiles, ids: Sequence[str]) -> None:
        """Order the cars along the ego's route and set up their arrays."""
        offsets = self._edge_offsets_m()
        vehicle = self._vehicle
        positions: dict[str, float] = {}
        for car_id in ids:
            edge = vehicle.getRoadID(car_id)
            if edge not in offsets:
                raise ScenarioError(
                    f"{files.sumocfg}: {car_id} must start on {EGO_ID}'s route. Got edge {edge!r}."
                )
            positions[car_id] = offsets[edge] + vehicle.getLanePosition(car_id)
        self.ids = tuple(sorted(ids, key=positions.__getitem__))
        if self.ids[0] != EGO_ID:
            raise ScenarioError(
                f"{files.sumocfg}: {EGO_ID} must be the rearmost car. Got {self.ids[0]} behind it."
            )
        self.cars = np.zeros((len(ids), NUM_CAR_FIELDS))
        self.cars[:, CAR_LENGTH] = [vehicle.getLength(car_id) for car_id in self.ids]
        self._odometer_offsets_m = [
            positions[car_id] - vehicle.getDistance(car_id) for car_id in self.ids
        ]
        self._route_ends_m = np.array([self._route_end_m(car_id, offsets) for car_id in self.ids])
        for car_id in self.ids:
            vehicle.setLaneChangeMode(car_id, 0)
        vehicle.setSpeedMode(EGO_ID, SPEED_MODE_EGO)
        vehicle.setAccel(EGO_ID, EGO_ACCELERATION_MPS2)
        vehicle.setDecel(EGO_ID, EGO_DECELERATION_MPS2)
        vehicle.setEmergencyDecel(EGO_ID, EGO_DECELERATION_MPS2)
        self.read()
        self.cars[:, CAR_ACCELERATION] = 0.0

    def _edge_offsets_m(self) -> dict[str, float]:
        """Return the path position at which each edge of the ego's route begins."""
        connection = self._connection
        edges = self._vehicle.getRoute(EGO_ID)
        offsets: dict[str, float] = {}
        start_m = 0.0
        for edge, next_edge in zip(edges, [*edges[1:], ""], strict=True):
            offsets.setdefault(edge, start_m)
            lane = f"{edge}_0"
            start_m += connection.lane_length_m(lane)
            for next_lane, via in connection.lane_links(lane):
                if next_lane.rpartition("_")[0] != next_edge:
                    continue
                internal = via
                while internal:
                    start_m += connection.lane_length_m(internal)
                    internal = next((link[1] for link in connection.lane_links(internal)), "")
                break
        offsets[""] = start_m
        return offsets

    def _route_end_m(self, car_id: str, offsets: dict[str, float]) -> float:
        """Return the path position beyond which a car is too close to the end of its route."""
        last_edge = self._vehicle.getRoute(car_id)[-1]
        start_m = offsets.get(last_edge)
        if start_m is None:
            return offsets[""] - _ROUTE_END_MARGIN_M
        return start_m + self._connection.lane_length_m(f"{last_edge}_0") - _ROUTE_END_MARGIN_M

    def _check_positions(self, files: ScenarioFiles, departures: Sequence[_Departure]) -> None:
        """Check that SUMO put every car where its file says, without overlap."""
        for departure in departures:
            actual_m = self._vehicle.getLanePosition(departure.car_id)
            wanted_m = departure.position_m
            if wanted_m is not None and abs(actual_m - wanted_m) > _POSITION_TOLERANCE_M:
                raise ScenarioError(
                    f"{files.sumocfg}: {departure.car_id} must start at {wanted_m} m. "
                    f"SUMO put it at {actual_m:.2f} m."
                )
        gaps = self.gaps_m()
        if gaps.size and gaps.min() <= 0.0:
            rank = int(gaps.argmin())
            raise ScenarioError(
                f"{files.sumocfg}: {self.ids[rank]} and {self.ids[rank + 1]} overlap at the start "
                f"(gap {gaps[rank]:.2f} m). Put more distance between them."
            )

    def gaps_m(self) -> FloatArray:
        """Return the bumper-to-bumper gap from each car to the one ahead, shape (num_peers,)."""
        positions = self.cars[:, CAR_PATH_POSITION]
        gaps: FloatArray = positions[1:] - self.cars[1:, CAR_LENGTH] - positions[:-1]
        return gaps

    def place_ego(self, gap_m: float) -> None:
        """Move the ego so that ``gap_m`` lies before it, as far as its route reaches back."""
        lead_rear_m = self.cars[1, CAR_PATH_POSITION] - self.cars[1, CAR_LENGTH]
        lane = self._vehicle.getLaneID(EGO_ID)
        start_m = self.cars[0, CAR_PATH_POSITION] - self._vehicle.getLanePosition(EGO_ID)
        earliest_m = start_m + self.cars[0, CAR_LENGTH] + 0.1
        latest_m = start_m + self._connection.lane_length_m(lane) - 0.1
        target_m = min(max(lead_rear_m - gap_m, earliest_m), latest_m)
        self._vehicle.moveTo(EGO_ID, lane, target_m - start_m)
        self._odometer_offsets_m[0] = target_m - self._vehicle.getDistance(EGO_ID)
        self.read()
        self.cars[0, CAR_ACCELERATION] = 0.0

    def step(self) -> None:
        """Advance SUMO by one control period and read every car."""
        self._connection.step()
        self.read()

    def read(self) -> None:
        """Read the state of every car into ``cars``."""
        vehicle, cars = self._vehicle, self.cars
        speeds_before = cars[:, CAR_SPEED].copy()
        for rank, car_id in enumerate(self.ids):
            row = cars[rank]
            row[CAR_X], row[CAR_Y] = vehicle.getPosition(car_id)
            row[CAR_SPEED] = vehicle.getSpeed(car_id)
            row[CAR_HEADING] = heading_rad_from_sumo_angle_deg(vehicle.getAngle(car_id))
            row[CAR_PATH_POSITION] = self._odometer_offsets_m[rank] + vehicle.getDistance(car_id)
        cars[:, CAR_ACCELERATION] = (cars[:, CAR_SPEED] - speeds_before) / CONTROL_PERIOD_S

    def is_in_order(self) -> bool:
        """Return whether no car has passed another's front bumper."""
        positions = self.cars[:, CAR_PATH_POSITION]
        return bool((positions[1:] > positions[:-1]).all())

    def is_at_route_end(self) -> bool:
        """Return whether a car is about to leave the road."""
        return bool((self.cars[:, CAR_PATH_POSITION] > self._route_ends_m).any())

    def command_speed(self, rank: int, speed_mps: float) -> None:
        """Let a car drive at exactly ``speed_mps`` [m/s] over the next step."""
        self._vehicle.setSpeed(self.ids[rank], max(0.0, speed_mps))

    def set_speed_at_once(self, rank: int, speed_mps: float) -> None:
        """Change a car's present speed [m/s], as an impact does."""
        self.cars[rank, CAR_SPEED] = speed_mps
        self._vehicle.setPreviousSpeed(self.ids[rank], speed_mps)

    def take_over(self, rank: int) -> None:
        """Take a peer from SUMO: it drives the commanded speeds, unchecked."""
        self._vehicle.setSpeedMode(self.ids[rank], SPEED_MODE_COMMANDED)

    def hand_back(self, rank: int) -> None:
        """Give a peer back to SUMO's car-following."""
        self._vehicle.setSpeedMode(self.ids[rank], SPEED_MODE_SUMO)
        self._vehicle.setSpeed(self.ids[rank], -1.0)

    def deceleration_mps2(self, rank: int) -> float:
        """Return a car's ``decel`` in SUMO [m/s^2]."""
        return float(self._vehicle.getDecel(self.ids[rank]))

    def set_deceleration(self, rank: int, deceleration_mps2: float) -> None:
        """Set a car's ``decel`` in SUMO [m/s^2], which clamps whatever brakes it."""
        self._vehicle.setDecel(self.ids[rank], deceleration_mps2)

    def limit_braking(self, friction_mps2: float) -> None:
        """Let no peer brake harder than the road allows."""
        for rank, car_id in enumerate(self.ids[1:], start=1):
            if self.deceleration_mps2(rank) > friction_mps2:
                self.set_deceleration(rank, friction_mps2)
            self._vehicle.setEmergencyDecel(car_id, friction_mps2)
