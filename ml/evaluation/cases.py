"""One case of a protocol: an episode that is fixed before any policy meets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml.types import CONTROL_PERIOD_S


@dataclass(frozen=True)
class Case:
    """One episode of a protocol, the same for every policy.

    Attributes:
        case_id: Its name, unique in the protocol and fit for a file name, as "H-n3-r2-0007".
        family: The letter of its family.
        scenario_id: Its scenario in the dataset that ``write_protocol_scenarios`` makes.
        options: Options of the environment's ``reset`` without ``scenario_id``; their
            ``episode_index`` is unique and seeds the episode.
        design: What the family fixed: any of ``num_peers``, ``source_rank``, ``speed_mps``,
            ``headway_s``, ``deceleration_mps2`` and ``variant``.
        max_steps: Length of the episode [control steps].
    """

    case_id: str
    family: str
    scenario_id: str
    options: Mapping[str, Any]
    design: Mapping[str, float | int | str]
    max_steps: int

    @property
    def duration_s(self) -> float:
        """Length of the episode [s]."""
        return self.max_steps * CONTROL_PERIOD_S
