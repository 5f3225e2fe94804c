"""The cars of one scenario in one simulation, read into one array per step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.envs.convoy_kernels import (
    AT_ROUTE_END,
    HAS_PASSED,
    HAS_TOUCHED,
    NO_IMPACT,
    NUM_READING_FIELDS,
    READING_ANGLE,
    READING_ODOMETER,
    READING_SLOPE,
    READING_SPEED,
    READING_X,
    READING_Y,
    update_cars,
)
from ml.envs.convoy_path import ConvoyPath, steepest_grade_rad, trace_path
from ml.envs.departures import EGO_ID, Departure, SpeedProfile, read_departures
from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.errors import ScenarioError
from ml.types import (
    CAR_ACCELERATION,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SPEED,
    CONTROL_PERIOD_S,
    NUM_CAR_FIELDS,
    FloatArray,
)

_POSITION_TOLERANCE_M = 0.01

SPEED_MODE_SUMO = 31
SPEED_MODE_EGO = 38
"""Keep the caps on acceleration and deceleration, drop every check that would brake for the ego."""
SPEED_MODE_COMMANDED = 0
EGO_ACCELERATION_MPS2 = 3.0
EGO_DECELERATION_MPS2 = 10.0


class Convoy:
    """The convoy's cars, rear to front: row 0 of ``cars`` is the ego.

    Attributes:
        cars: Ground truth after the last step, shape (num_cars, NUM_CAR_FIELDS).
        gaps_m: Bumper-to-bumper gap from each car to the one ahead, shape (num_peers,), likewise.
        impact_speed_mps: Closing speed at which the ego touched the car ahead in the last step,
            NO_IMPACT if it did not.
        ids: SUMO's ids in the order of the rows.
        leader_profile: The script that the frontmost car drives by, None without one.
        steepest_grade_rad: Largest slope anywhere on the road; 0 on a flat one.
    """

    def __init__(self, connection: SumoConnection) -> None:
        """Use ``connection`` for every scenario that is loaded."""
        self._connection = connection
        self._vehicle = connection.vehicle
        self._position_of, self._speed_of, self._angle_of, self._odometer_of, self._set_speed = map(
            connection.vehicle_function,
            ("getPosition", "getSpeed", "getAngle", "getDistance", "setSpeed"),
        )
        self.ids: tuple[str, ...] = ()
        self._allocate(0)
        self.leader_profile: SpeedProfile | None = None
        self.steepest_grade_rad = 0.0
        self._path = ConvoyPath({}, {}, 0.0)
        self._has_other_traffic = False

    def _allocate(self, num_cars: int) -> None:
        """Make the arrays for a number of cars."""
        self.cars: FloatArray = np.zeros((num_cars, NUM_CAR_FIELDS))
        self.gaps_m: FloatArray = np.zeros(max(num_cars - 1, 0))
        self._odometer_offsets_m: FloatArray = np.zeros(num_cars)
        self._route_ends_m: FloatArray = np.zeros(num_cars)
        self._readings: FloatArray = np.zeros((num_cars, NUM_READING_FIELDS))
        # Single numbers are written into a memoryview in half the time of an array.
        self._readings_view = memoryview(self._readings.reshape(-1))  # type: ignore[arg-type]
        self._findings, self.impact_speed_mps = 0, NO_IMPACT

    @property
    def num_peers(self) -> int:
        """Number of cars ahead of the ego."""
        return len(self.ids) - 1

    @property
    def widths_m(self) -> FloatArray:
        """The cars' widths, shape (num_cars,)."""
        return np.array([self._vehicle.getWidth(car_id) for car_id in self.ids])

    def load(self, files: ScenarioFiles, sumo_seed: int) -> None:
        """Load a scenario and put every car on the road at its position, none having moved.

        Args:
            files: The scenario.
            sumo_seed: Seed of SUMO's driver imperfection.

        Raises:
            ScenarioError: A car is missing, misplaced, off the ego's route and lane, cars overlap,
                or other traffic is among them.
        """
        departures = read_departures(files)
        self._connection.load(files, sumo_seed)
        self._connection.step()  # inserts the cars without moving them
        present = set(self._connection.vehicle_ids())
        missing = [car.car_id for car in departures.cars if car.car_id not in present]
        if missing:
            raise ScenarioError(f"{files.sumocfg}: {', '.join(missing)} must be on the road at 0.")
        self._connection.follow(EGO_ID)
        self._path = trace_path(self._connection, files, EGO_ID)
        self.steepest_grade_rad = steepest_grade_rad(files.network)
        self._has_other_traffic = departures.has_other_traffic
        self._place(files, [car.car_id for car in departures.cars])
        self._check_positions(files, departures.cars)
        self.leader_profile = self._profile_of_leader(files, departures.cars)
        if self.has_foreign_vehicle():
            raise ScenarioError(
                f"{files.sumocfg}: no other vehicle may stand among the convoy's cars at the "
                "start. Got one. Let it depart elsewhere."
            )

    def _place(self, files: ScenarioFiles, ids: Sequence[str]) -> None:
        """Order the cars along the ego's path and set up their arrays."""
        vehicle, starts = self._vehicle, self._path.lane_starts_m
        positions: dict[str, float] = {}
        for car_id in ids:
            lane = vehicle.getLaneID(car_id)
            if lane not in starts:
                raise ScenarioError(
                    f"{files.sumocfg}: {car_id} must start on {EGO_ID}'s route, in its lane. "
                    f"Got the lane {lane!r}."
                )
            positions[car_id] = starts[lane] + vehicle.getLanePosition(car_id)
        self.ids = tuple(sorted(ids, key=positions.__getitem__))
        if self.ids[0] != EGO_ID:
            raise ScenarioError(
                f"{files.sumocfg}: {EGO_ID} must be the rearmost car. Got {self.ids[0]} behind it."
            )
        self._allocate(len(ids))
        self.cars[:, CAR_LENGTH] = [vehicle.getLength(car_id) for car_id in self.ids]
        self._odometer_offsets_m[:] = [
            positions[car_id] - vehicle.getDistance(car_id) for car_id in self.ids
        ]
        self._route_ends_m[:] = [self._route_end_m(car_id) for car_id in self.ids]
        for car_id in self.ids:
            vehicle.setLaneChangeMode(car_id, 0)
        vehicle.setSpeedMode(EGO_ID, SPEED_MODE_EGO)
        vehicle.setAccel(EGO_ID, EGO_ACCELERATION_MPS2)
        vehicle.setDecel(EGO_ID, EGO_DECELERATION_MPS2)
        vehicle.setEmergencyDecel(EGO_ID, EGO_DECELERATION_MPS2)
        self.read()
        self.cars[:, CAR_ACCELERATION] = 0.0

    def _route_end_m(self, car_id: str) -> float:
        """Return the path position beyond which a car is too close to the end of its route."""
        last_edge = self._vehicle.getRoute(car_id)[-1]
        lane = self._path.lane_of_edge.get(last_edge)
        length_m = 0.0 if lane is None else self._connection.lane_length_m(lane)
        return self._path.end_m(last_edge, length_m)

    def _profile_of_leader(
        self, files: ScenarioFiles, departures: Sequence[Departure]
    ) -> SpeedProfile | None:
        """Return the leader's script; no other car may have one."""
        profiles = {car.car_id: car.profile for car in departures if car.profile is not None}
        leader = self.ids[-1]
        for car_id in profiles:
            if car_id != leader or leader == EGO_ID:
                raise ScenarioError(
                    f"{files.sumocfg}: only the frontmost car, ahead of {EGO_ID}, may have a "
                    f"speed profile. Got one of {car_id}. Take it out."
                )
        return profiles.get(leader)

    def _check_positions(self, files: ScenarioFiles, departures: Sequence[Departure]) -> None:
        """Check that SUMO put every car where its file says, without overlap."""
        for departure in departures:
            actual_m = self._vehicle.getLanePosition(departure.car_id)
            wanted_m = departure.position_m
            if wanted_m is not None and abs(actual_m - wanted_m) > _POSITION_TOLERANCE_M:
                raise ScenarioError(
                    f"{files.sumocfg}: {departure.car_id} must start at {wanted_m} m. "
                    f"SUMO put it at {actual_m:.2f} m."
                )
        gaps = self.gaps_m
        if self.has_touched:
            rank = int(gaps.argmin())
            raise ScenarioError(
                f"{files.sumocfg}: {self.ids[rank]} and {self.ids[rank + 1]} overlap at the start "
                f"(gap {gaps[rank]:.2f} m). Put more distance between them."
            )

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
        readings = self._readings_view
        position_of, speed_of = self._position_of, self._speed_of
        angle_of, odometer_of = self._angle_of, self._odometer_of
        first = 0
        for car_id in self.ids:
            readings[first + READING_X], readings[first + READING_Y] = position_of(car_id)
            readings[first + READING_SPEED] = speed_of(car_id)
            readings[first + READING_ANGLE] = angle_of(car_id)
            readings[first + READING_ODOMETER] = odometer_of(car_id)
            first += NUM_READING_FIELDS
        if self.steepest_grade_rad > 0.0:
            self._readings[:, READING_SLOPE] = [
                self._vehicle.getSlope(car_id) for car_id in self.ids
            ]
        self._findings, self.impact_speed_mps = update_cars(
            self._readings, self._odometer_offsets_m, self._route_ends_m, CONTROL_PERIOD_S,
            self.cars, self.gaps_m,
        )  # fmt: skip

    @property
    def is_in_order(self) -> bool:
        """Whether no car has passed another's front bumper."""
        return not self._findings & HAS_PASSED

    @property
    def has_touched(self) -> bool:
        """Whether two cars overlap."""
        return bool(self._findings & HAS_TOUCHED)

    @property
    def is_at_route_end(self) -> bool:
        """Whether a car is about to leave the road."""
        return bool(self._findings & AT_ROUTE_END)

    def has_foreign_vehicle(self) -> bool:
        """Return whether a vehicle outside the convoy is between its cars or touches the ego."""
        if not self._has_other_traffic:
            return False
        connection, starts = self._connection, self._path.lane_starts_m
        if EGO_ID in connection.colliding_ids() and not (self.num_peers and self.gaps_m[0] <= 0.0):
            return True
        rear_m, front_m = self.cars[0, CAR_PATH_POSITION], self.cars[-1, CAR_PATH_POSITION]
        for vehicle_id in set(connection.vehicle_ids()).difference(self.ids):
            start_m = starts.get(self._vehicle.getLaneID(vehicle_id))
            if start_m is not None:
                position_m = start_m + self._vehicle.getLanePosition(vehicle_id)
                if rear_m < position_m < front_m:
                    return True
        return False

    def command_speeds(self, speeds_mps: Sequence[float]) -> None:
        """Let cars drive at exactly these speeds [m/s] over the next step; NaN leaves one alone."""
        set_speed = self._set_speed
        for car_id, speed_mps in zip(self.ids, speeds_mps, strict=True):
            if speed_mps == speed_mps:  # not NaN  # noqa: PLR0124
                set_speed(car_id, speed_mps if speed_mps > 0.0 else 0.0)

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
