"""Recordings of the worst episodes of each judged policy, played again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ml.errors import RecordError
from ml.evaluation.case_episodes import FOLLOWER_FIELDS, record_case
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.evaluation_folder import RECORDINGS_FOLDER
from ml.evaluation.players import Player
from ml.evaluation.protocol_run import EvaluationPlan
from ml.evaluation.record_store import RecordStore
from ml.evaluation.recording import Recording
from ml.evaluation.recording_file import write_recording
from ml.evaluation.verdict import has_collided
from ml.evaluation.worker_episodes import open_workers
from ml.processors import usable_cores
from ml.progress import ProgressDisplay

NUM_RECORDINGS = 10

WorstEpisode = tuple[Player, EpisodeRecord]


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


def record_worst(
    plan: EvaluationPlan,
    store: RecordStore,
    folder: Path,
    *,
    num_workers: int | None,
    is_quiet: bool,
) -> None:
    """Play the worst episodes of each judged policy again, and save what a replay shows.

    Recordings that are there already are kept.

    Args:
        plan: What was played.
        store: The rows.
        folder: The evaluation's folder.
        num_workers: Number of processes, None to choose.
        is_quiet: Show no progress.

    Raises:
        RecordError: An episode was not the same again, or cannot be written.
    """
    target = folder / RECORDINGS_FOLDER
    target.mkdir(exist_ok=True)
    by_preset: dict[str, list[WorstEpisode]] = {}
    for player in plan.judged:
        for row in worst_rows(store.rows(player.policy_id)):
            if not (target / recording_name(row)).exists():
                by_preset.setdefault(row["radio_preset"], []).append((player, row))
    cases = {case.case_id: case for case in plan.cases}
    total, done = sum(map(len, by_preset.values())), 0
    with ProgressDisplay("recordings", total, "episodes", is_quiet=is_quiet) as display:
        for preset, episodes in by_preset.items():
            size = min(num_workers or usable_cores(), len(episodes))
            arguments = [(player, cases[row["case_id"]], preset) for player, row in episodes]
            with open_workers(plan.environment_kwargs(preset), size) as workers:
                for number, recording in workers.call_each(record_case, arguments):
                    row = episodes[number][1]
                    check_is_same(recording, row)
                    content = {**recording, "record": row}
                    write_recording(target / recording_name(row), content)
                    done += 1
                    display.update(done, is_last=done == total)


def recording_name(row: EpisodeRecord) -> str:
    """Return the name of the file of an episode's recording."""
    return f"{row['policy']}--{row['radio_preset']}--{row['case_id']}.json"


def check_is_same(recording: Recording, row: EpisodeRecord) -> None:
    """Check that an episode that was played again is the one of its row, to the last bit."""
    for name, value in recording["record"].items():
        if name not in FOLLOWER_FIELDS and row.get(name) != value:
            raise RecordError(
                f"{name} of {row['case_id']} with {row['policy']} must be {row.get(name)!r} again, "
                f"as in its row. Got {value!r}. Evaluate anew with --overwrite."
            )
