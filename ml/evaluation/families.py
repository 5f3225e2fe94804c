"""All cases and all scenarios of a protocol, family by family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml.evaluation.calm_family import calm
from ml.evaluation.case_drawing import Family
from ml.evaluation.case_scenarios import ScenarioPlan
from ml.evaluation.cases import Case
from ml.evaluation.hazard_families import hazard_matrix, multi_hop
from ml.evaluation.protocol import Protocol
from ml.evaluation.published_families import car_to_car, deceleration_grid
from ml.evaluation.radio_stress_family import radio_stress

_MAKERS: dict[str, Callable[[Protocol, Any], Family]] = {
    "H": hazard_matrix,
    "D": deceleration_grid,
    "N": car_to_car,
    "M": multi_hop,
    "C": calm,
    "R": radio_stress,
}


def cases_of(protocol: Protocol) -> tuple[Case, ...]:
    """Return every case of a protocol, family by family; the same ones every time.

    Raises:
        ConfigError: The protocol names a variant that no family has.
    """
    return tuple(case for family in _families_of(protocol) for case in family[1])


def scenario_plans_of(protocol: Protocol) -> dict[str, tuple[ScenarioPlan, float]]:
    """Return the scenarios that the cases use, each with the length of its longest episode [s].

    Raises:
        ConfigError: The protocol names a variant that no family has.
    """
    plans: dict[str, tuple[ScenarioPlan, float]] = {}
    for scenarios, cases in _families_of(protocol):
        by_id = {scenario.scenario_id: scenario for scenario in scenarios}
        for case in cases:
            name = case.scenario_id
            _, known_s = plans.get(name, (by_id[name], 0.0))
            plans[name] = (by_id[name], max(known_s, case.duration_s))
    return dict(sorted(plans.items()))


def _families_of(protocol: Protocol) -> list[Family]:
    """Return scenarios and cases of every family of a protocol."""
    return [_MAKERS[letter](protocol, plan) for letter, plan in protocol.families.items()]
