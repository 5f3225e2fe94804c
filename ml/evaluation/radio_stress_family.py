"""Family R: a car ahead brakes to a standstill while something is wrong with the radio.

The cars between follow with a driver's delay. ``clean`` is the same without a fault; a protocol's
stress presets put it under other radio parameters, as aligned phases or a loaded channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ml.errors import ConfigError, nearest_name_hint
from ml.evaluation.case_drawing import Family, case_generator, convoys, dealt, drawn, make_case
from ml.evaluation.case_scenarios import ScenarioPlan
from ml.evaluation.cases import Case
from ml.evaluation.family_plans import RadioStressPlan
from ml.evaluation.protocol import Protocol
from ml.types import MAX_PEERS

SIZES = tuple(range(2, MAX_PEERS + 1))
NEAREST_RANKS = (1, 2)
SECOND_AHEAD = (2,)


def _no_fault(num_peers: int) -> list[str]:
    """Nothing is wrong."""
    del num_peers
    return []


def _fault(text: str) -> Callable[[int], list[str]]:
    """Return the faults of a variant with a single one."""

    def faults(num_peers: int) -> list[str]:
        del num_peers
        return [text]

    return faults


def _only_second_heard(num_peers: int) -> list[str]:
    """Every car but the second one ahead is silent to the ego, from 1 s before the onset."""
    silent = [rank for rank in range(1, num_peers + 1) if rank != SECOND_AHEAD[0]]
    return [f"blackout:car={rank},start_s=onset-1" for rank in silent]


@dataclass(frozen=True)
class StressVariant:
    """One thing that goes wrong.

    Attributes:
        faults: Returns the radio faults for a convoy of so many peers.
        ranks: Ranks of the car that brakes, in turn.
    """

    faults: Callable[[int], list[str]]
    ranks: tuple[int, ...] = NEAREST_RANKS


VARIANTS: Mapping[str, StressVariant] = {
    "clean": StressVariant(_no_fault),
    "blackout": StressVariant(_fault("blackout:start_s=onset,duration_s=2")),
    "burst_5": StressVariant(_fault("burst:car=source,start_s=onset,value=5")),
    "burst_15": StressVariant(_fault("burst:car=source,start_s=onset,value=15")),
    "burst_50": StressVariant(_fault("burst:car=source,start_s=onset,value=50")),
    "only_second_heard": StressVariant(_only_second_heard, SECOND_AHEAD),
    "sequence_reset": StressVariant(_fault("sequence_reset:car=source,start_s=onset")),
    "clock_jump": StressVariant(_fault("clock_jump:car=source,start_s=onset,value=60")),
    "frozen_gps": StressVariant(_fault("frozen_gps:car=source,start_s=onset")),
    "duplicate": StressVariant(_fault("duplicate:car=source,start_s=onset")),
    "replay": StressVariant(_fault("replay:car=source,start_s=onset,value=20")),
    "forged_braking": StressVariant(
        _fault("forged:car=source,start_s=onset-2,duration_s=2,value=-8")
    ),
    "forged_calm": StressVariant(_fault("forged:car=source,start_s=onset,value=0")),
    "unequipped_between": StressVariant(_fault("unequipped:car=1"), SECOND_AHEAD),
}


def radio_stress(protocol: Protocol, plan: RadioStressPlan) -> Family:
    """Return family R: every variant as often as any other, over all sizes of convoy."""
    for name in plan.variants:
        if name not in VARIANTS:
            hint = nearest_name_hint(name, VARIANTS)
            raise ConfigError(f"variants of family R must be known ones. Got {name!r}. {hint}")
    scenarios = convoys(
        protocol, "R", SIZES, speed_mps=plan.speed_mps, count=plan.scenarios_per_size
    )
    cases = [_case(protocol, plan, scenarios, index) for index in range(plan.episodes)]
    return [scenario for group in scenarios.values() for scenario in group], cases


def _case(
    protocol: Protocol,
    plan: RadioStressPlan,
    scenarios: Mapping[int, Sequence[ScenarioPlan]],
    index: int,
) -> Case:
    """Return one case: variants take turns, in each the sizes, then the ranks, then scenarios."""
    turn, position = divmod(index, len(plan.variants))
    name = plan.variants[position]
    variant = VARIANTS[name]
    rest, size_turn = divmod(turn, len(SIZES))
    size = SIZES[(size_turn + position) % len(SIZES)]
    scenario_turn, rank_turn = divmod(rest, len(variant.ranks))
    rank = variant.ranks[rank_turn]
    stream = 20_000 + 1000 * list(VARIANTS).index(name) + 10 * size + rank
    scenario = scenarios[size][dealt(protocol, stream, plan.scenarios_per_size, scenario_turn)]
    generator = case_generator(protocol, "R", index)
    headway_s = drawn(generator, plan.headway_s)
    deceleration_mps2 = drawn(generator, plan.deceleration_mps2)
    hazard = {
        "kind": "hard_stop", "source_rank": rank,
        "deceleration_mps2": deceleration_mps2,
        "onset_s": drawn(generator, protocol.onset_s),
    }  # fmt: skip
    return make_case(
        protocol, scenario, f"R-{name}-{turn:04d}", index,
        options={"hazard": hazard, "headway_s": headway_s, "peer_driver": "delayed",
                 "radio_faults": variant.faults(size)},
        design={"source_rank": rank, "headway_s": headway_s, "variant": name,
                "deceleration_mps2": deceleration_mps2},
    )  # fmt: skip
