"""Family C: traffic in which nothing calls for more than the driver's own braking.

Every alarm here is false. Where something brakes hard, it is a bystander: a sender behind the ego
or in the next lane. In ``stale_relay`` the third car ahead brakes for a moment, and the ego hears
of it only from a sender that repeats its frames 2.5 s late, and over relays where there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.evaluation.case_drawing import (
    Family,
    case_generator,
    dealt,
    drawn,
    family_index,
    make_case,
    spread_speeds_mps,
)
from ml.evaluation.case_scenarios import TEST_TRACK, CaseRoad, ScenarioPlan
from ml.evaluation.family_plans import CalmPlan
from ml.evaluation.protocol import Protocol
from ml.types import MAX_PEERS

BEHIND_M = (-40.0, -15.0)
NEXT_LANE_AHEAD_M = (5.0, 40.0)
LANE_WIDTH_M = 3.2
BYSTANDER_DECELERATION_MPS2 = (6.4, 9.8)
BENIGN_MPS2 = (1.0, 2.4)
BRIEF_DECELERATION_MPS2 = (4.5, 6.0)
BRIEF_HOLD_S = 0.1
STALE_FRAMES = 25
STALE_RANK = 3
_STRIDE = 5  # shares no factor with the numbers of sizes, 8 and 6: every size comes, soon

Options = dict[str, Any]
Drawer = Callable[[Protocol, np.random.Generator, int], Options]
"""Draws the options of a variant's case for a convoy of so many peers."""


def _cruise(protocol: Protocol, generator: np.random.Generator, num_peers: int) -> Options:
    """Nothing happens."""
    del protocol, generator, num_peers
    return {"hazard": {"kind": "calm"}}


def _benign(protocol: Protocol, generator: np.random.Generator, num_peers: int) -> Options:
    """One car ahead brakes mildly for a while."""
    hazard = {
        "kind": "benign",
        "source_rank": int(generator.integers(1, num_peers + 1)),
        "onset_s": drawn(generator, protocol.onset_s),
        "deceleration_mps2": drawn(generator, BENIGN_MPS2),
    }
    return {"hazard": hazard}


def _with_bystander(ahead_m: tuple[float, float], left_m: float) -> Drawer:
    """Return the drawer of a bystander that brakes hard at an offset from the ego."""

    def draw(protocol: Protocol, generator: np.random.Generator, num_peers: int) -> Options:
        del num_peers
        bystander = {
            "ahead_m": drawn(generator, ahead_m),
            "left_m": left_m,
            "onset_s": drawn(generator, protocol.onset_s),
            "deceleration_mps2": drawn(generator, BYSTANDER_DECELERATION_MPS2),
        }
        return {"hazard": {"kind": "calm"}, "bystander": bystander}

    return draw


def _stale_relay(protocol: Protocol, generator: np.random.Generator, num_peers: int) -> Options:
    """The third car ahead brakes for a moment; its frames reach the ego late or over relays."""
    del num_peers
    hazard = {
        "kind": "hard_resolve",
        "source_rank": STALE_RANK,
        "onset_s": drawn(generator, protocol.onset_s),
        "deceleration_mps2": drawn(generator, BRIEF_DECELERATION_MPS2),
        "hold_s": BRIEF_HOLD_S,
    }
    faults = [
        {"kind": "dead_link", "car": STALE_RANK, "start_s": -10.0, "value": 0.0},
        {"kind": "replay", "car": STALE_RANK, "start_s": -10.0, "value": float(STALE_FRAMES)},
    ]
    return {"hazard": hazard, "radio_faults": faults}


@dataclass(frozen=True)
class CalmVariant:
    """One way for traffic to be calm.

    Attributes:
        draw: Draws the options of a case.
        base: Its road.
        has_profile: Whether the leader stops and goes.
        speed_mps: Speed of the convoy; None takes the protocol's on the test track, and the
            road's own elsewhere.
        fewest_peers: Least size of the convoy.
    """

    draw: Drawer = _cruise
    base: str = TEST_TRACK
    has_profile: bool = False
    speed_mps: tuple[float, float] | None = None
    fewest_peers: int = 1


VARIANTS: Mapping[str, CalmVariant] = {
    "cruise": CalmVariant(),
    "stop_and_go": CalmVariant(has_profile=True),
    "benign": CalmVariant(_benign),
    "curve": CalmVariant(base="base_curve"),
    "urban": CalmVariant(base="base_urban", has_profile=True),
    "parked": CalmVariant(speed_mps=(0.0, 0.0)),
    "behind": CalmVariant(_with_bystander(BEHIND_M, 0.0)),
    "next_lane": CalmVariant(_with_bystander(NEXT_LANE_AHEAD_M, LANE_WIDTH_M)),
    "stale_relay": CalmVariant(_stale_relay, fewest_peers=STALE_RANK),
}


def calm(protocol: Protocol, plan: CalmPlan) -> Family:
    """Return family C: every variant as often as any other."""
    scenarios = {name: _scenarios_of(protocol, plan, name) for name in plan.variants}
    cases = []
    for index in range(plan.episodes):
        turn, position = divmod(index, len(plan.variants))
        name = plan.variants[position]
        stream = 10_000 + list(VARIANTS).index(name)
        scenario = scenarios[name][dealt(protocol, stream, plan.scenarios_per_variant, turn)]
        generator = case_generator(protocol, "C", index)
        headway_s = drawn(generator, plan.headway_s)
        options = VARIANTS[name].draw(protocol, generator, scenario.num_peers)
        design: dict[str, float | int | str] = {"variant": name, "headway_s": headway_s}
        for key in ("source_rank", "deceleration_mps2"):
            if key in options["hazard"]:
                design[key] = options["hazard"][key]
        options["headway_s"] = headway_s
        case_id = f"C-{name}-{turn:04d}"
        cases.append(make_case(protocol, scenario, case_id, index, options=options, design=design))
    return [scenario for group in scenarios.values() for scenario in group], cases


def _scenarios_of(protocol: Protocol, plan: CalmPlan, name: str) -> list[ScenarioPlan]:
    """Return the convoys of a variant, their sizes and speeds spread evenly."""
    if name not in VARIANTS:
        hint = nearest_name_hint(name, VARIANTS)
        raise ConfigError(f"variants of family C must be known ones. Got {name!r}. {hint}")
    variant = VARIANTS[name]
    place = 100 * list(VARIANTS).index(name)
    number, count = family_index("C"), plan.scenarios_per_variant
    bounds = variant.speed_mps or plan.speed_mps
    if variant.base != TEST_TRACK:
        bounds = CaseRoad(variant.base).settings.convoy_speed_mps
    speeds = spread_speeds_mps(protocol, 100 * number + place, bounds, count)
    num_sizes = MAX_PEERS + 1 - variant.fewest_peers
    return [
        ScenarioPlan(
            f"C_{name}_{index:03d}",
            (number, 1000 * place + index),
            variant.fewest_peers + (index * _STRIDE + 2) % num_sizes,
            speed,
            variant.base,
            has_profile=variant.has_profile,
        )
        for index, speed in enumerate(speeds)
    ]
