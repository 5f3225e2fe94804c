"""Whether every case of a protocol was played, happened as asked, and was the same for everyone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord, check_same_episodes
from ml.evaluation.players import Play
from ml.evaluation.record_store import row_key
from ml.evaluation.verdict import Json, is_counted, is_realised

Cell = tuple[str, str, str, int | None, int | None, str | None]
"""Policy, radio preset, family, peers, rank of the source and variant."""

_CELL_NAMES = ("policy", "radio_preset", "family", "num_peers", "source_rank", "variant")


def check_pairing(rows_by_policy: Mapping[str, Sequence[EpisodeRecord]]) -> None:
    """Prove from the rows that all policies met the same episodes.

    Args:
        rows_by_policy: Rows by policy; a variant has a part of the cases only.

    Raises:
        RecordError: A policy met another episode in a case.
    """
    reference: dict[tuple[str, str], EpisodeRecord] = {}
    for policy_id, rows in rows_by_policy.items():
        expected = [reference.setdefault(row_key(row), row) for row in rows]
        check_same_episodes(expected, rows, policy_id)


def summarise_coverage(
    plays: Mapping[str, Sequence[Play]], rows_by_policy: Mapping[str, Sequence[EpisodeRecord]]
) -> Json:
    """Hold the planned cases against the rows that count, cell by cell.

    Args:
        plays: What was planned, by radio preset.
        rows_by_policy: What was played.

    Returns:
        Numbers of planned, played and counted episodes, cells with fewer than planned, and the
        episodes whose hazard did not happen as asked.
    """
    planned = Counter(
        _cell_of_case(play.player.policy_id, preset, play.case)
        for preset, group in plays.items()
        for play in group
    )
    rows = [row for group in rows_by_policy.values() for row in group]
    counted = Counter(_cell_of_row(row) for row in rows if is_counted(row))
    short = sorted(
        (cell for cell, number in planned.items() if counted[cell] < number), key=_sortable
    )
    return {
        "planned": planned.total(),
        "played": len(rows),
        "counted": counted.total(),
        "num_cells": len(planned),
        "by_family": _by_family(planned, counted),
        "shortfalls": [
            {
                **dict(zip(_CELL_NAMES, cell, strict=True)),
                "planned": planned[cell],
                "counted": counted[cell],
            }
            for cell in short
        ],
        "not_realised": [_not_realised(row) for row in rows if not is_realised(row)],
    }


def _cell_of_case(policy_id: str, preset: str, case: Case) -> Cell:
    """Return the cell in which a case counts."""
    peers, rank, variant = (
        case.design.get(name) for name in ("num_peers", "source_rank", "variant")
    )
    return policy_id, preset, case.family, peers, rank, variant  # type: ignore[return-value]  # the design's own types


def _cell_of_row(row: EpisodeRecord) -> Cell:
    """Return the cell in which a row counts."""
    return (
        row["policy"], row["radio_preset"], row["family"],
        row["case_num_peers"], row["case_source_rank"], row["case_variant"],
    )  # fmt: skip


def _sortable(cell: Cell) -> tuple[str, ...]:
    """Return a key that orders cells with and without a rank or variant."""
    return tuple("" if part is None else str(part) for part in cell)


def _by_family(planned: Counter[Cell], counted: Counter[Cell]) -> Json:
    """Return planned and counted episodes by family and radio preset, over all policies."""
    table: Json = {}
    for cell, number in sorted(planned.items(), key=lambda item: _sortable(item[0])):
        entry = table.setdefault(cell[2], {}).setdefault(cell[1], {"planned": 0, "counted": 0})
        entry["planned"] += number
        entry["counted"] += counted[cell]
    return table


def _not_realised(row: EpisodeRecord) -> Json:
    """Return which episode did not happen as asked, why, and whether it counts all the same."""
    return {
        **{name: row[name] for name in ("policy", "radio_preset", "case_id")},
        "hazard_failure": row.get("hazard_failure"),
        "is_counted": is_counted(row),
    }
