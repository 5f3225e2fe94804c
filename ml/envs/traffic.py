"""The convoy in motion: drivers, hazard and contacts on top of SUMO's car-following."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.envs.conditions import PEER_REACTION_S, Conditions, desired_speed_mps
from ml.envs.control_kernels import (
    CONTROL_ACCELERATION,
    CONTROL_DRIVER_COMMAND,
    CONTROL_MODE,
    CONTROL_NEXT_SPEED,
    CONTROL_SCRIPTED_SPEED,
    MODE_BRAKING,
    MODE_DRIVER,
    MODE_SCRIPTED,
    MODE_SUMO,
    MODE_UNDRIVEN,
    NUM_CONTROL_FIELDS,
    largest_braking_mps2,
    plan_speeds,
)
from ml.envs.convoy import SPEED_MODE_EGO, Convoy
from ml.envs.convoy_kernels import NO_IMPACT
from ml.envs.departures import EGO_ID
from ml.envs.driver_kernels import (
    DRIVER_DESIRED_SPEED,
    DRIVER_REACTION,
    DRIVER_TIME_GAP,
    NUM_DRIVER_PARAMETERS,
    NUM_DRIVER_STATES,
    STANDSTILL_GAP_M,
)
from ml.envs.hazards import (
    CALM_PLAN,
    HazardOutcome,
    HazardPlan,
)
from ml.envs.sumo_connection import ScenarioFiles, SumoConnection
from ml.errors import SimulatorError
from ml.types import (
    CAR_ACCELERATION,
    CAR_BRAKE_TARGET,
    CAR_SPEED,
    CONTROL_PERIOD_S,
    NEVER_HEARD_S,
    FloatArray,
)

_HELD_TOLERANCE_MPS2 = 1e-6


@dataclass(frozen=True)
class StepEvents:
    """What happened in a step besides motion.

    Attributes:
        impact_speed_mps: The ego's closing speed at contact with the car ahead, None if none.
        peer_contacts: Pairs of peers that touched for the first time, as (rank, rank ahead).
    """

    impact_speed_mps: float | None
    peer_contacts: tuple[tuple[int, int], ...]


NO_EVENTS = StepEvents(None, ())


class Traffic:
    """Moves the convoy by one control period at a time.

    Attributes:
        convoy: The cars.
        plan: The hazard asked for.
        outcome: What became of it.
    """

    def __init__(self, connection: SumoConnection) -> None:
        """Use ``connection`` for every episode."""
        self.convoy = Convoy(connection)
        self._vehicle = connection.vehicle
        self.plan: HazardPlan = CALM_PLAN
        self.outcome = HazardOutcome()

    def load(self, files: ScenarioFiles, sumo_seed: int) -> None:
        """Load a scenario; the cars stand at their places, none having moved."""
        self.convoy.load(files, sumo_seed)

    def begin(self, conditions: Conditions, peers: np.random.Generator) -> None:
        """Give every car its driver and put the ego at its driver's own gap.

        Args:
            conditions: The episode's driver and road.
            peers: The peer drivers' random stream.
        """
        convoy = self.convoy
        num_cars = len(convoy.ids)
        self._conditions = conditions
        self.plan, self.outcome = CALM_PLAN, HazardOutcome()
        self._contacts: set[int] = set()  # ranks of peers that touched the car ahead
        self._held_s = 0.0
        self._control: FloatArray = np.zeros((num_cars, NUM_CONTROL_FIELDS))
        self._states: FloatArray = np.zeros((num_cars, NUM_DRIVER_STATES))
        self._parameters: FloatArray = np.zeros((num_cars, NUM_DRIVER_PARAMETERS))
        convoy.limit_braking(conditions.friction_mps2)
        self.convoy_speed_mps = float(convoy.cars[-1, CAR_SPEED])
        self._parameters[0] = conditions.driver_parameters(
            self.convoy_speed_mps, has_lead=convoy.num_peers > 0
        )
        modes = {"none": MODE_UNDRIVEN, "sumo": MODE_SUMO}
        self._control[0, CONTROL_MODE] = modes.get(conditions.ego_driver, MODE_DRIVER)
        if conditions.ego_driver == "sumo":
            convoy.hand_back(0)
        if convoy.num_peers:
            ego_speed = convoy.cars[0, CAR_SPEED]
            convoy.place_ego(STANDSTILL_GAP_M + conditions.time_gap_s * ego_speed)
        self._num_steps = 0
        self._begin_peers(peers)

    def _begin_peers(self, peers: np.random.Generator) -> None:
        """Give the peers behind the leader the delayed driver where that is asked for."""
        num_cars = len(self.convoy.ids)
        reactions = peers.uniform(*PEER_REACTION_S, size=num_cars)
        self._peer_modes = np.full(num_cars, MODE_SUMO)
        if self._conditions.peer_driver == "delayed":
            self._peer_modes[1:-1] = MODE_DRIVER
        if self.convoy.leader_profile is not None:
            self._peer_modes[-1] = MODE_SCRIPTED
            self.convoy.take_over(num_cars - 1)
        for rank in range(1, num_cars):
            self._control[rank, CONTROL_MODE] = self._peer_modes[rank]
            if self._peer_modes[rank] == MODE_DRIVER:
                self._parameters[rank, DRIVER_TIME_GAP] = self._vehicle.getTau(
                    self.convoy.ids[rank]
                )
                self._parameters[rank, DRIVER_REACTION] = reactions[rank]
                self._parameters[rank, DRIVER_DESIRED_SPEED] = desired_speed_mps(
                    self.convoy_speed_mps
                )
                self.convoy.take_over(rank)

    @property
    def ego_driver_command_mps2(self) -> float:
        """What the ego's driver commanded in the last step."""
        return float(self._control[0, CONTROL_DRIVER_COMMAND])

    @property
    def num_peer_contacts(self) -> int:
        """Number of pairs of peers that touched in this episode."""
        return len(self._contacts)

    @property
    def surest_braking_mps2(self) -> float:
        """Deceleration that every car can reach anywhere on the road, downhill too."""
        return float(
            largest_braking_mps2(self._conditions.friction_mps2, -self.convoy.steepest_grade_rad)
        )

    @property
    def lead_gap_m(self) -> float:
        """Bumper-to-bumper gap from the ego to the car ahead."""
        return float(self.convoy.gaps_m[0])

    def advance(self, time_s: float, demand_mps2: float, age_s: FloatArray) -> StepEvents:
        """Move every car by one control period.

        Args:
            time_s: Time of the decision, 0 at the start of the episode.
            demand_mps2: The policy's braking demand on the ego, >= 0.
            age_s: Age of what the ego's board holds of each car, shape (num_cars,), for the record
                of the hazard's onset.
        """
        self._run_hazard(time_s, age_s)
        if self._conditions.ego_driver == "sumo":
            self._share_ego_with_sumo(demand_mps2)
        self._num_steps += 1
        if self.convoy.leader_profile is not None:
            self._control[-1, CONTROL_SCRIPTED_SPEED] = self.convoy.leader_profile.speed_mps(
                self._num_steps * CONTROL_PERIOD_S
            )
        control, convoy = self._control, self.convoy
        plan_speeds(
            convoy.cars, control, self._parameters, self._states, time_s, demand_mps2,
            self._conditions.friction_mps2, CONTROL_PERIOD_S,
        )  # fmt: skip
        convoy.command_speeds(control[:, CONTROL_NEXT_SPEED].tolist())
        convoy.step()
        return self._settle()

    def end_reason(self, events: StepEvents, *, is_last_step: bool) -> str | None:
        """Return why the episode ends with this step, None if it goes on.

        Args:
            events: What happened in the step.
            is_last_step: Whether the episode's length is reached.
        """
        if events.impact_speed_mps is not None:
            return "contact"
        if self.convoy.has_foreign_vehicle():
            return "other_traffic"
        if is_last_step:
            return "max_steps"
        return "route_end" if self.convoy.is_at_route_end else None

    def _share_ego_with_sumo(self, demand_mps2: float) -> None:
        """Let SUMO drive the ego while the policy demands nothing, the actuator otherwise."""
        row = self._control[0]
        row[CONTROL_DRIVER_COMMAND] = self.convoy.cars[0, CAR_ACCELERATION]
        if demand_mps2 > 0.0 and row[CONTROL_MODE] == MODE_SUMO:
            row[CONTROL_MODE] = MODE_UNDRIVEN
            row[CONTROL_ACCELERATION] = self.convoy.cars[0, CAR_ACCELERATION]
            self._vehicle.setSpeedMode(EGO_ID, SPEED_MODE_EGO)
        elif demand_mps2 <= 0.0 and row[CONTROL_MODE] == MODE_UNDRIVEN:
            row[CONTROL_MODE] = MODE_SUMO
            self.convoy.hand_back(0)

    def _run_hazard(self, time_s: float, age_s: FloatArray) -> None:
        """Start, hold or release the source's braking."""
        plan, outcome = self.plan, self.outcome
        if plan.source_rank == 0 or outcome.is_over or outcome.failure is not None:
            return
        if not outcome.is_started:
            if time_s >= plan.onset_s - 1e-9:
                self._start_hazard(float(age_s[plan.source_rank]))
            return
        rank = plan.source_rank
        realised = -float(self.convoy.cars[rank, CAR_ACCELERATION])
        outcome.measured_deceleration_mps2 = max(outcome.measured_deceleration_mps2, realised)
        is_held = self._control[rank, CONTROL_ACCELERATION] >= (
            plan.deceleration_mps2 - _HELD_TOLERANCE_MPS2
        )
        self._held_s += CONTROL_PERIOD_S * is_held
        if self._held_s > plan.hold_s:
            outcome.is_over = True
            self.convoy.set_deceleration(rank, self._source_deceleration_mps2)
            self._release(rank)
        elif self.convoy.cars[rank, CAR_SPEED] <= 0.0:
            outcome.is_over = math.isinf(plan.hold_s)

    def _start_hazard(self, age_s: float) -> None:
        """Begin the source's braking, or note why it cannot begin."""
        cars, outcome, rank = self.convoy.cars, self.outcome, self.plan.source_rank
        least_mps = self.plan.min_speed_mps
        if cars[rank, CAR_SPEED] < least_mps:
            outcome.failure = f"the source drove below {least_mps:g} m/s at the onset"
            return
        if rank in self._contacts or rank - 1 in self._contacts:
            outcome.failure = "the source had been in a collision before the onset"
            return
        outcome.is_started = True
        outcome.headway_at_onset_s = float(self.convoy.gaps_m[0] / max(cars[0, CAR_SPEED], 0.1))
        outcome.age_at_onset_s = age_s if age_s < NEVER_HEARD_S else None
        self._source_deceleration_mps2 = self.convoy.deceleration_mps2(rank)
        self.convoy.set_deceleration(
            rank, max(self._source_deceleration_mps2, self.plan.deceleration_mps2)
        )
        self._brake(rank, self.plan.deceleration_mps2)

    def _brake(self, rank: int, target_mps2: float) -> None:
        """Let a peer brake, building up from its present deceleration to ``target_mps2``."""
        self._control[rank, CONTROL_MODE] = MODE_BRAKING
        present = -float(self.convoy.cars[rank, CAR_ACCELERATION])
        self._control[rank, CONTROL_ACCELERATION] = min(max(present, 0.0), target_mps2)
        self.convoy.cars[rank, CAR_BRAKE_TARGET] = target_mps2
        self.convoy.take_over(rank)

    def _release(self, rank: int) -> None:
        """Give the source back to whoever drove it before."""
        self._control[rank, CONTROL_MODE] = self._peer_modes[rank]
        self._control[rank, CONTROL_ACCELERATION] = 0.0
        if self._peer_modes[rank] == MODE_SUMO:
            self.convoy.hand_back(rank)
        self.convoy.cars[rank, CAR_BRAKE_TARGET] = 0.0

    def _settle(self) -> StepEvents:
        """Find contacts after a step and make peers that touch one."""
        convoy = self.convoy
        if not convoy.is_in_order:
            raise SimulatorError(
                "the convoy's cars must keep their order. One has passed another: "
                f"{dict(zip(convoy.ids, convoy.cars[:, CAR_SPEED].round(2).tolist(), strict=True))}"
            )
        if not convoy.has_touched:
            return NO_EVENTS
        impact_mps = convoy.impact_speed_mps
        touching = [int(rank) for rank in np.flatnonzero(convoy.gaps_m <= 0.0) if rank > 0]
        new = [rank for rank in touching if rank not in self._contacts]
        for rank in new:
            self._contacts.add(rank)
            self._join(rank)
        contacts = tuple((rank, rank + 1) for rank in new)
        return StepEvents(None if impact_mps == NO_IMPACT else impact_mps, contacts)

    def _join(self, rank: int) -> None:
        """Make the cars around a contact one: they share their momentum and go on braking."""
        first = last = rank
        while first - 1 in self._contacts:
            first -= 1
        while last in self._contacts:
            last += 1
        common_mps = float(self.convoy.cars[first : last + 1, CAR_SPEED].mean())
        for member in range(first, last + 1):
            if member == self.plan.source_rank and self.outcome.is_started:
                self.outcome.is_over = True
            self._brake(member, self._conditions.friction_mps2)
            self._control[member, CONTROL_ACCELERATION] = self._conditions.friction_mps2
            self.convoy.set_speed_at_once(member, common_mps)
