"""Which episodes of a policy are the worst, and what their recordings are called."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.verdict import has_collided

NUM_RECORDINGS = 10
"""Of each judged policy."""


def worst_rows(rows: Sequence[EpisodeRecord], number: int = NUM_RECORDINGS) -> list[EpisodeRecord]:
    """Return the worst episodes: collisions by impact speed, then the smallest time to collision.

    Args:
        rows: Rows of one policy.
        number: How many.
    """
    return sorted(rows, key=_order)[:number]


def _order(row: EpisodeRecord) -> tuple[bool, float, float, str, str]:
    """Return what sorts the worst episode first."""
    has_hit = has_collided(row)
    impact_mps = float(row.get("impact_speed_mps") or 0.0) if has_hit else 0.0
    ttc_s = row.get("min_ttc_s")
    return (
        not has_hit, -impact_mps, math.inf if ttc_s is None else float(ttc_s),
        row["radio_preset"], row["case_id"],
    )  # fmt: skip


def recording_name(row: EpisodeRecord) -> str:
    """Return the name of the file of an episode's recording."""
    return f"{row['policy']}--{row['radio_preset']}--{row['case_id']}.json"
