"""Families H and M: one car ahead brakes to a standstill, at every rank of every convoy."""

from __future__ import annotations

from collections.abc import Sequence

from ml.evaluation.case_drawing import (
    Family,
    case_generator,
    convoys,
    dealt,
    drawn,
    family_index,
    make_case,
)
from ml.evaluation.family_plans import HazardMatrixPlan, MultiHopPlan
from ml.evaluation.protocol import Protocol
from ml.types import MAX_PEERS

Cell = tuple[int, int]
"""Number of peers, and rank of the car that brakes."""

_ALL_CELLS = tuple((size, rank) for size in range(1, MAX_PEERS + 1) for rank in range(1, size + 1))
_PEER_DRIVERS = {"H": "sumo", "M": "delayed"}


def hazard_matrix(protocol: Protocol, plan: HazardMatrixPlan) -> Family:
    """Return family H: every rank of convoys of 1 to 8 peers, which follow without delay."""
    return _matrix(protocol, "H", plan, _ALL_CELLS)


def multi_hop(protocol: Protocol, plan: MultiHopPlan) -> Family:
    """Return family M: a car beyond the one ahead brakes hard, and those between react late."""
    return _matrix(protocol, "M", plan, _cells(plan))


def hazards_of_size(
    protocol: Protocol, family: str, plan: HazardMatrixPlan | MultiHopPlan, size: int
) -> Family:
    """Return a family whose convoys are all of one size, each rank braking equally often.

    The n-th case of every size has the same time gap, deceleration and onset, and the same draws of
    what no option fixes.

    Args:
        protocol: The protocol.
        family: H or M.
        plan: What is fixed of it.
        size: Number of peers.
    """
    return _matrix(protocol, family, plan, [cell for cell in _cells(plan) if cell[0] == size])


def _cells(plan: HazardMatrixPlan | MultiHopPlan) -> list[Cell]:
    """Return the cells that a plan deals its episodes to."""
    if isinstance(plan, HazardMatrixPlan):
        return list(_ALL_CELLS)
    return [cell for cell in _ALL_CELLS if cell[1] in plan.ranks]


def _matrix(
    protocol: Protocol,
    family: str,
    plan: HazardMatrixPlan | MultiHopPlan,
    cells: Sequence[Cell],
) -> Family:
    """Deal a family's episodes evenly to its cells; the first cells take what is left over."""
    scenarios = convoys(
        protocol, family, sorted({size for size, _ in cells}),
        speed_mps=plan.speed_mps, count=plan.scenarios_per_size,
    )  # fmt: skip
    cases = []
    for index in range(plan.episodes):
        turn, cell = divmod(index, len(cells))
        size, rank = cells[cell]
        stream = 100 * (10 * size + rank) + family_index(family)
        scenario = scenarios[size][dealt(protocol, stream, plan.scenarios_per_size, turn)]
        generator = case_generator(protocol, family, index)
        headway_s = drawn(generator, plan.headway_s)
        deceleration_mps2 = drawn(generator, plan.deceleration_mps2)
        hazard = {
            "kind": "hard_stop", "source_rank": rank, "deceleration_mps2": deceleration_mps2,
            "onset_s": drawn(generator, protocol.onset_s),
        }  # fmt: skip
        cases.append(
            make_case(
                protocol,
                scenario,
                f"{family}-n{size}-r{rank}-{turn:04d}",
                index,
                options={
                    "hazard": hazard,
                    "headway_s": headway_s,
                    "peer_driver": _PEER_DRIVERS[family],
                },
                design={
                    "source_rank": rank,
                    "headway_s": headway_s,
                    "deceleration_mps2": deceleration_mps2,
                },
            )
        )
    return [scenario for group in scenarios.values() for scenario in group], cases
