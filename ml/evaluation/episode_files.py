"""The files that hold every episode of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml.evaluation.episodes import EpisodeRecord
from ml.records import write_json_lines

EPISODES_FILE = "episodes.jsonl"
BASELINE_EPISODES_FILE = "baseline_episodes.jsonl"


def save_episodes(
    folder: str | Path,
    records: Sequence[EpisodeRecord],
    baselines: Mapping[str, Sequence[EpisodeRecord]],
) -> None:
    """Write every episode of the policy, and of the baselines, from which all else follows.

    Raises:
        RecordError: The folder cannot be written to.
    """
    write_json_lines(Path(folder) / EPISODES_FILE, records)
    if baselines:
        rows = [{"policy": name, **row} for name, rows in baselines.items() for row in rows]
        write_json_lines(Path(folder) / BASELINE_EPISODES_FILE, rows)
