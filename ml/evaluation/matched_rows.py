"""Picking the rows of an evaluation, and matching those of two policies case by case."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ml.evaluation.episodes import EpisodeRecord

RowsByPolicy = Mapping[str, Sequence[EpisodeRecord]]
"""The records of each policy, by its id."""


def rows_of(
    rows_by_policy: RowsByPolicy, policy: str, radio_preset: str, families: Collection[str]
) -> list[EpisodeRecord]:
    """Return a policy's rows in some families under one radio preset, none if it was not run."""
    return [
        row
        for row in rows_by_policy.get(policy, ())
        if row["radio_preset"] == radio_preset and row["family"] in families
    ]


def matched(
    rows: Sequence[EpisodeRecord], others: Sequence[EpisodeRecord]
) -> tuple[list[EpisodeRecord], list[EpisodeRecord]]:
    """Return the rows of the cases that both hold, in one order.

    Args:
        rows: Rows of one policy under one radio preset.
        others: Rows of another.
    """
    by_case = {row["case_id"]: row for row in others}
    mine = [row for row in rows if row["case_id"] in by_case]
    return mine, [by_case[row["case_id"]] for row in mine]


def case_ids(rows: Sequence[EpisodeRecord]) -> list[str]:
    """Return the rows' case ids in order, each once."""
    return sorted({str(row["case_id"]) for row in rows})
