"""What training and evaluation hand on to the record, each a dict with the specified keys."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ml.evaluation.episodes import EpisodeRecord


class TrainingResult(dict[str, Any]):
    """The summary that goes into `training` of metrics.json, with what is known beyond it.

    Attributes:
        report: Objects to add to metrics.json beside `training`.
        workers: What became of the environments' processes, None without any.
        lock: Keeps other processes out of the run's folder until it is closed or forgotten.
    """

    def __init__(self, summary: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        super().__init__(summary)
        self.report = dict(report)
        self.lock = ExitStack()
        self.workers: dict[str, Mapping[str, int] | None] = {}


class EvaluationResult(dict[str, Any]):
    """The summary that goes into `evaluation` of metrics.json, with what it was made from.

    Attributes:
        records: One record per episode.
        baselines: The same of each baseline that was run.
        workers: What became of the processes that played, by who played, None without any.
        report: Objects to add to metrics.json beside `evaluation`.
    """

    def __init__(
        self,
        summary: Mapping[str, Any],
        records: list[EpisodeRecord],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(summary)
        self.records = records
        self.workers: dict[str, Mapping[str, int] | None] = {"evaluation": counts}
        self.baselines: dict[str, list[EpisodeRecord]] = {}
        self.report: dict[str, Any] = {}
