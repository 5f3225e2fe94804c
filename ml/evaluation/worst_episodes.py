"""Recordings of the worst episodes of each judged policy, played again."""

from __future__ import annotations

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
from ml.evaluation.worker_episodes import open_workers
from ml.evaluation.worst_rows import recording_name, worst_rows
from ml.processors import usable_cores
from ml.progress import ProgressDisplay

WorstEpisode = tuple[Player, EpisodeRecord]


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


def check_is_same(recording: Recording, row: EpisodeRecord) -> None:
    """Check that an episode that was played again is the one of its row, to the last bit."""
    for name, value in recording["record"].items():
        if name not in FOLLOWER_FIELDS and row.get(name) != value:
            raise RecordError(
                f"{name} of {row['case_id']} with {row['policy']} must be {row.get(name)!r} again, "
                f"as in its row. Got {value!r}. Evaluate anew with --overwrite."
            )
