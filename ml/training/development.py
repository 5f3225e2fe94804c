"""The development split: every policy on the way is judged on the same episodes, the best kept.

The development scenarios are held out of training, and the evaluation split has no part in the
choice, so ``model_best.zip`` can be judged on the latter without bias.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from ml.envs.supervision import WorkerCounts
from ml.evaluation.model_episodes import play_model
from ml.evaluation.worker_episodes import open_workers
from ml.policies.checkpoint import MODEL_FILE
from ml.policies.model_file import copy_model
from ml.provenance import sha256_of_file
from ml.records import append_json_line, json_ready
from ml.training.callbacks import save_model_atomically
from ml.training.run_folder import BEST_MODEL_FILE, DEVELOPMENT_FILE

FALSE_ALARMS = "false_alarms_3mps2"
_MAX_WORKERS = 4
_SECONDS_PER_HOUR = 3600.0


class DevelopmentEpisodes:
    """The first episodes of the development split, played again and again, apart from training.

    They run in processes of their own, because libsumo holds one simulation for each. Which
    episodes they are does not depend on the number of processes.

    Args:
        environment_kwargs: Keyword arguments of the environment, with `scenario_mode` "dev".
        num_episodes: Number of episodes.
        num_workers: Number of processes.
    """

    def __init__(
        self,
        environment_kwargs: Mapping[str, Any],
        num_episodes: int,
        *,
        num_workers: int = _MAX_WORKERS,
    ) -> None:
        num_workers = min(num_workers, num_episodes)
        self.num_episodes = num_episodes
        self._workers = open_workers(environment_kwargs, num_workers)

    def play(self, model: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever has ``predict``
        """Return the record of each episode, in order.

        Args:
            model: What acts, deterministically.
        """
        return play_model(model, self._workers, self.num_episodes)

    @property
    def counts(self) -> WorkerCounts:
        """What became of the processes."""
        return self._workers.counts

    def close(self) -> None:
        """Stop the processes; safe to call again."""
        self._workers.close()


class DevelopmentCallback(BaseCallback):
    """Judge the policy on the development episodes now and then, and keep the best as a file.

    The policy is judged after the first update at or beyond each multiple of the interval, and
    after the last update. A row of ``development.jsonl`` has `steps` that the policy has learned
    from, `time_s` since the start, `evaluation_s` that this took, `episodes`, `mean_return`,
    `collisions`, `hours` driven, and `false_alarms_3mps2`, null where the records have none.

    Args:
        episodes: What to judge on.
        folder: The run's folder.
        interval_steps: Steps between two evaluations.
    """

    def __init__(
        self, episodes: DevelopmentEpisodes, folder: str | Path, interval_steps: int
    ) -> None:
        super().__init__()
        self._episodes, self._folder = episodes, Path(folder)
        self._interval_steps = interval_steps
        self._num_due = 0
        self._started_s = self._spent_s = 0.0
        self.evaluations: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    @property
    def counts(self) -> WorkerCounts:
        """What became of the development episodes' processes."""
        return self._episodes.counts

    def close(self) -> None:
        """Stop the development episodes' processes; safe to call again."""
        self._episodes.close()

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as JSON can hold it."""
        state = {
            "num_due": self._num_due,
            "evaluations": self.evaluations,
            "best": self.best,
            "workers": self.counts.as_dict(),
            "spent_s": self._spent_s + time.monotonic() - self._started_s,
        }
        return dict(json_ready(state))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self._num_due, self._spent_s = state["num_due"], state["spent_s"]
        self.evaluations, self.best = list(state["evaluations"]), state["best"]
        self.counts.add(state["workers"])

    def _on_training_start(self) -> None:
        self._started_s = time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps // self._interval_steps > self._num_due:
            self._evaluate()

    def _on_training_end(self) -> None:
        if not self.evaluations or self.evaluations[-1]["steps"] != self.num_timesteps:
            self._evaluate()

    def _evaluate(self) -> None:
        """Judge the present policy; the first one with the highest mean return is the best."""
        self._num_due = self.num_timesteps // self._interval_steps
        begun_s = time.monotonic()
        records = self._episodes.play(self.model)
        now_s = time.monotonic()
        row = {
            "steps": self.num_timesteps,
            "time_s": round(self._spent_s + now_s - self._started_s, 3),
            "evaluation_s": round(now_s - begun_s, 3),
            **summarise(records),
        }
        self.evaluations.append(row)
        append_json_line(self._folder / DEVELOPMENT_FILE, json_ready(row))
        self.logger.record("development/mean_return", row["mean_return"])
        self.logger.record("development/collisions", row["collisions"])
        if self.best is None or row["mean_return"] > self.best["mean_return"]:
            self.best = row
            save_model_atomically(self.model, self._folder / BEST_MODEL_FILE)


def summarise(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what an evaluation's row says of its episodes.

    Args:
        records: The episodes' records.

    Returns:
        `episodes`, `mean_return`, `collisions`, `hours` and `false_alarms_3mps2`.
    """
    has_alarms = all(FALSE_ALARMS in record for record in records)
    return {
        "episodes": len(records),
        "mean_return": float(np.mean([record["return"] for record in records])),
        "collisions": sum(bool(record["terminated"]) for record in records),
        "hours": sum(record["duration_s"] for record in records) / _SECONDS_PER_HOUR,
        FALSE_ALARMS: sum(record[FALSE_ALARMS] for record in records) if has_alarms else None,
    }


def training_report(
    settings: Mapping[str, Any] | None,
    folder: str | Path,
    *,
    is_disjoint: bool,
    judge: DevelopmentCallback | None,
    num_steps: int,
) -> dict[str, Any]:
    """Return `development` and `models` of metrics.json, and see that there is a best model.

    Where training was too short for an evaluation, the final policy is the best one.

    Args:
        settings: Number of episodes and interval, None where nothing was held out.
        folder: The run's folder.
        is_disjoint: Whether training met no development scenario.
        judge: What judged the policies; None where training was too short.
        num_steps: Steps of the training.
    """
    final, best_model = Path(folder) / MODEL_FILE, Path(folder) / BEST_MODEL_FILE
    models: dict[str, Any] = {"final": _file_entry(final), "best": None}
    if settings is None:
        return {"development": None, "models": models}
    best = None if judge is None else judge.best
    if best is None:
        copy_model(final, best_model)
    best_steps = num_steps if best is None else best["steps"]
    mean_return = None if best is None else best["mean_return"]
    models["best"] = {**_file_entry(best_model), "steps": best_steps}
    development = {
        **settings,
        "is_disjoint": is_disjoint,
        "evaluations": [] if judge is None else judge.evaluations,
        "best": {"steps": best_steps, "mean_return": mean_return},
    }
    return {"development": development, "models": models}


def _file_entry(path: Path) -> dict[str, Any]:
    """Return a model's name and hash; None where a double of the learner has saved nothing."""
    return {"file": path.name, "sha256": sha256_of_file(path) if path.is_file() else None}
