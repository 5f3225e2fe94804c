"""Families D and N: grids that regulation and consumer tests have published, one car ahead.

Sources: the deceleration grid of UN R157 as in the JRC FSM study; Euro NCAP car-to-car rear
braking (CCRb). The gap of both is bumper to bumper, so the driver's time gap is set to what makes
its own equilibrium gap, 2 m + T v, the gap asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ml.envs.driver_kernels import STANDSTILL_GAP_M
from ml.evaluation.case_drawing import (
    Family,
    case_generator,
    drawn,
    family_index,
    make_case,
    num_steps,
)
from ml.evaluation.case_scenarios import ScenarioPlan
from ml.evaluation.cases import Case
from ml.evaluation.family_plans import CarToCarPlan, DecelerationGridPlan
from ml.evaluation.protocol import Protocol
from ml.units import GRAVITY_MPS2, mps_from_kmh

SLOWEST_SOURCE_MPS = 0.5
"""The grid's slowest case drives at 2.8 m/s, below what a drawn hazard needs [m/s]."""
BUILD_UP_S = 0.5
"""Braking is built up within this time: 9.8 m/s^2 at 20 m/s^3 [s]."""

R157_SPEEDS_KMH = (7.2, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
R157_HEADWAYS_S = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)
"""Least following distance of UN R157, paragraph 5.2.3.3, as a time gap bumper to bumper; linear
between, and held above 60 km/h, which is our extension."""


def r157_headway_s(speed_kmh: float) -> float:
    """Return the time gap of UN R157 at a speed.

    >>> r157_headway_s(25.0), r157_headway_s(128.0)
    (1.25, 1.6)
    """
    return float(np.interp(speed_kmh, R157_SPEEDS_KMH, R157_HEADWAYS_S))


@dataclass(frozen=True)
class _CarToCar:
    """One case of two cars: the one ahead brakes to a standstill."""

    case_id: str
    scenario: ScenarioPlan
    gap_m: float
    deceleration_mps2: float
    variant: str | None = None

    @property
    def headway_s(self) -> float:
        """Time gap of the driver whose equilibrium gap is ``gap_m``."""
        return (self.gap_m - STANDSTILL_GAP_M) / self.scenario.speed_mps

    def case(self, protocol: Protocol, index: int, onset_s: float) -> Case:
        """Return the case that begins to brake at ``onset_s``."""
        hazard = {
            "kind": "hard_stop", "source_rank": 1, "deceleration_mps2": self.deceleration_mps2,
            "onset_s": onset_s, "min_speed_mps": SLOWEST_SOURCE_MPS,
        }  # fmt: skip
        design: dict[str, float | int | str] = {
            "source_rank": 1,
            "headway_s": self.gap_m / self.scenario.speed_mps,
            "deceleration_mps2": self.deceleration_mps2,
        }
        if self.variant is not None:
            design["variant"] = self.variant
        return make_case(
            protocol, self.scenario, self.case_id, index,
            options={"hazard": hazard, "headway_s": self.headway_s}, design=design,
        )  # fmt: skip


def _two_cars(family: str, speed_kmh: float) -> ScenarioPlan:
    """Return the scenario of two cars at a speed."""
    name = f"{family}_v{speed_kmh:05.1f}".replace(".", "_")
    place = (family_index(family), round(10.0 * speed_kmh))
    return ScenarioPlan(name, place, 1, mps_from_kmh(speed_kmh), is_exact=True)


def deceleration_grid(protocol: Protocol, plan: DecelerationGridPlan) -> Family:
    """Return family D: every speed with every deceleration, once."""
    scenarios: list[ScenarioPlan] = []
    cases: list[Case] = []
    for speed_kmh in plan.speed_kmh:
        scenario = _two_cars("D", speed_kmh)
        scenarios.append(scenario)
        gap_m = r157_headway_s(speed_kmh) * scenario.speed_mps
        for deceleration_g in plan.deceleration_g:
            deceleration_mps2 = GRAVITY_MPS2 * deceleration_g
            name = f"D-v{speed_kmh:05.1f}-g{deceleration_g:.3f}".replace(".", "_")
            stop_s = BUILD_UP_S + scenario.speed_mps / deceleration_mps2
            onset_s = protocol.onset_s[0]
            pair = _CarToCar(name, scenario, gap_m, deceleration_mps2)
            case = pair.case(protocol, len(cases), onset_s)
            duration_s = onset_s + stop_s + plan.tail_s
            cases.append(replace(case, max_steps=num_steps(duration_s)))
    return scenarios, cases


def car_to_car(protocol: Protocol, plan: CarToCarPlan) -> Family:
    """Return family N: every configuration as often as any other, onset and driver drawn."""
    speeds_kmh = sorted({plan.gap_speed_kmh, *plan.headway_speed_kmh})
    scenarios = {speed_kmh: _two_cars("N", speed_kmh) for speed_kmh in speeds_kmh}
    configurations = [
        (f"gap{gap_m:g}_d{deceleration_mps2:g}", plan.gap_speed_kmh, gap_m, deceleration_mps2)
        for gap_m in plan.gap_m
        for deceleration_mps2 in plan.gap_deceleration_mps2
    ]
    configurations += [
        (f"v{speed_kmh:g}", speed_kmh, plan.headway_s * mps_from_kmh(speed_kmh),
         plan.headway_deceleration_mps2)
        for speed_kmh in plan.headway_speed_kmh
    ]  # fmt: skip
    cases = []
    for index in range(plan.episodes):
        turn, position = divmod(index, len(configurations))
        variant, speed_kmh, gap_m, deceleration_mps2 = configurations[position]
        name = f"N-{variant}-{turn:04d}".replace(".", "_")
        pair = _CarToCar(name, scenarios[speed_kmh], gap_m, deceleration_mps2, variant)
        onset_s = drawn(case_generator(protocol, "N", index), protocol.onset_s)
        cases.append(pair.case(protocol, index, onset_s))
    return list(scenarios.values()), cases
