"""What the families share: where their random numbers come from, and how cases are put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml.evaluation.case_scenarios import ScenarioPlan
from ml.evaluation.cases import Case
from ml.evaluation.family_plans import FAMILY_PLANS, MOST_EPISODES
from ml.evaluation.protocol import Protocol
from ml.seeding import indexed_generator
from ml.types import CONTROL_PERIOD_S

Family = tuple[list[ScenarioPlan], list[Case]]
"""The scenarios and the cases of a family."""

_CASE_STREAM, _SPEED_STREAM, _DEAL_STREAM = 4_000, 5_000, 6_000
_ROUNDING = 1e-9


def family_index(family: str) -> int:
    """Return the place of a family in the seed tree."""
    return list(FAMILY_PLANS).index(family)


def case_generator(protocol: Protocol, family: str, index: int) -> np.random.Generator:
    """Return the generator of one case's values, whatever other cases there are."""
    return indexed_generator(protocol.seed, _CASE_STREAM + family_index(family), index)


def spread_speeds_mps(
    protocol: Protocol, stream: int, bounds_mps: tuple[float, float], count: int
) -> list[float]:
    """Return speeds that cover a range evenly: one in each of ``count`` equal parts of it [m/s]."""
    low_mps, high_mps = bounds_mps
    shares = indexed_generator(protocol.seed, _SPEED_STREAM, stream).uniform(size=count)
    width_mps = (high_mps - low_mps) / count
    return [
        round(low_mps + (index + float(share)) * width_mps, 3) for index, share in enumerate(shares)
    ]


def dealt(protocol: Protocol, stream: int, count: int, turn: int) -> int:
    """Return which of ``count`` things a cell takes at its turn: each once before any again."""
    deal, position = divmod(turn, count)
    generator = indexed_generator(protocol.seed, _DEAL_STREAM, stream, deal)
    return int(generator.permutation(count)[position])


def convoys(
    protocol: Protocol,
    family: str,
    sizes: Sequence[int],
    *,
    speed_mps: tuple[float, float],
    count: int,
) -> dict[int, list[ScenarioPlan]]:
    """Return ``count`` convoys of each size on the test track, their speeds spread evenly."""
    number = family_index(family)
    plans: dict[int, list[ScenarioPlan]] = {}
    for size in sizes:
        speeds = spread_speeds_mps(protocol, 100 * number + size, speed_mps, count)
        plans[size] = [
            ScenarioPlan(
                f"{family}_n{size}_{index:03d}", (number, 1000 * size + index), size, speed
            )
            for index, speed in enumerate(speeds)
        ]
    return plans


def drawn(generator: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw a value from its range, rounded to 4 decimals."""
    return round(float(generator.uniform(*bounds)), 4)


def num_steps(duration_s: float) -> int:
    """Return the control steps of an episode that lasts at least so long.

    >>> num_steps(28.0), num_steps(28.01)
    (280, 281)
    """
    return math.ceil(duration_s / CONTROL_PERIOD_S - _ROUNDING)


def make_case(
    protocol: Protocol,
    scenario: ScenarioPlan,
    case_id: str,
    index: int,
    *,
    options: Mapping[str, Any],
    design: Mapping[str, float | int | str],
) -> Case:
    """Return a case of the family that its id names, on the protocol's road and for its time.

    Args:
        protocol: The protocol.
        scenario: The case's scenario.
        case_id: Its name.
        index: Its number in the family, which seeds its episode.
        options: Options of the reset besides ``episode_index`` and ``friction_mps2``.
        design: What the family fixed besides the number of peers and the speed.
    """
    family = case_id.partition("-")[0]
    return Case(
        case_id=case_id,
        family=family,
        scenario_id=scenario.scenario_id,
        options={
            "episode_index": family_index(family) * MOST_EPISODES + index,
            "friction_mps2": protocol.friction_mps2,
            **options,
        },
        design={"num_peers": scenario.num_peers, "speed_mps": scenario.speed_mps, **design},
        max_steps=num_steps(protocol.episode_s),
    )
