"""Plays the episodes of an evaluation by a protocol that were not played yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ml.errors import RecordError
from ml.evaluation.case_episodes import play_curve
from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.evaluation_folder import EvaluationInputs
from ml.evaluation.players import Play, Player, plays_by_preset
from ml.evaluation.protocol import FollowerPlan, Protocol, radio_preset_path
from ml.evaluation.record_store import RecordStore
from ml.evaluation.tasks import Task, tasks_by_preset
from ml.evaluation.verdict import Json
from ml.evaluation.worker_episodes import default_num_workers, open_workers
from ml.progress import ProgressDisplay
from ml.provenance import (
    code_sha256,
    container_image,
    git_state,
    sha256_of_file,
    software_versions,
)

_SCENARIOS_MANIFEST = "manifest.json"
_EPISODES_OF_A_POOL = 20_000
"""libsumo leaks 6 kB an episode, so that the processes are replaced now and then."""


@dataclass(frozen=True)
class EvaluationPlan:
    """What an evaluation plays.

    Attributes:
        protocol: The protocol.
        cases: Its cases.
        scenarios: Folder of its scenarios.
        judged: The policies to judge.
        players: Everyone who plays: baselines, judged policies, variants.
        code_sha256: Hash of the code that plays.
    """

    protocol: Protocol
    cases: Sequence[Case]
    scenarios: Path
    judged: Sequence[Player]
    players: Sequence[Player]
    code_sha256: str

    def plays(self) -> dict[str, list[Play]]:
        """Return all episodes by radio preset."""
        return plays_by_preset(self.protocol, self.cases, self.players)

    @property
    def may_share(self) -> bool:
        """Whether cases of one id are the same under every radio preset."""
        return True

    @property
    def play(self) -> Callable[..., list[EpisodeRecord]]:
        """What a process does to play a case with a policy at its thresholds."""
        return play_curve

    def environment_kwargs(self, radio_preset: str) -> dict[str, object]:
        """Return the arguments of the environment that plays under a radio preset."""
        return {
            "dataset_dir": str(self.scenarios),
            "scenario_mode": "eval",
            "scenario_seed": self.protocol.seed,
            "emulator_params_path": str(radio_preset_path(radio_preset)),
            "max_steps": max(case.max_steps for case in self.cases),
        }


def inputs_of(plan: EvaluationPlan, name: str, sha256: str) -> EvaluationInputs:
    """Return what every row of an evaluation depends on.

    Args:
        plan: What is played.
        name: Of the protocol.
        sha256: The protocol's hash.
    """
    return EvaluationInputs(
        protocol=name,
        protocol_sha256=sha256,
        scenarios_sha256=sha256_of_file(plan.scenarios / _SCENARIOS_MANIFEST),
        code_sha256=plan.code_sha256,
        versions=software_versions(),
        policies={player.policy_id: player.sha256 for player in plan.players},
    )


def provenance_of(inputs: EvaluationInputs) -> Json:
    """Return where an evaluation's rows come from."""
    return {
        "scenarios_sha256": inputs.scenarios_sha256,
        "code_sha256": inputs.code_sha256,
        "versions": dict(inputs.versions),
        "git": git_state(),
        "container_image": container_image(),
    }


def play_missing(
    plan: EvaluationPlan, store: RecordStore, *, num_workers: int | None, is_quiet: bool
) -> None:
    """Play what the store does not hold yet, in worker processes.

    Args:
        plan: What to play.
        store: Takes each row as its episode ends.
        num_workers: Number of processes, None to choose; it changes no row.
        is_quiet: Show no progress.

    Raises:
        RecordError: The code was changed since the plan was made.
    """
    missing = _missing(plan.plays(), store)
    total = sum(map(len, missing.values()))
    followers = plan.protocol.followers
    done = 0
    with ProgressDisplay("evaluation", total, "episodes", is_quiet=is_quiet) as display:
        for preset, tasks in _pools(tasks_by_preset(missing, may_share=plan.may_share)):
            size = min(num_workers or default_num_workers(total), len(tasks))
            arguments = [_arguments(task, followers) for task in tasks]
            _check_code(plan)
            with open_workers(plan.environment_kwargs(preset), size) as workers:
                for _, rows in workers.call_each(plan.play, arguments):
                    for row in rows:
                        store.add(row)
                    done += len(rows)
                    display.update(done, partial(_place, rows[0]), is_last=done == total)


def _arguments(task: Task, followers: FollowerPlan) -> tuple[Any, ...]:
    """Return what a plan's ``play`` takes; other presets only where there are some."""
    preset, *others = task.presets
    return task.players, task.case, preset, followers, *([others] if others else [])


def _check_code(plan: EvaluationPlan) -> None:
    """Refuse to start processes that would run other code than those before."""
    if code_sha256() != plan.code_sha256:
        raise RecordError(
            "code of ml must stay as it is while an evaluation runs. Got a change. Undo it and run "
            "the same command again, or start anew with --overwrite."
        )


def _pools(tasks: Mapping[str, Sequence[Task]]) -> Iterator[tuple[str, Sequence[Task]]]:
    """Give the tasks that one pool of processes plays, with their radio preset."""
    for preset, group in tasks.items():
        begin, num_episodes = 0, 0
        for end, task in enumerate(group, 1):
            num_episodes += len(task.players)
            if num_episodes >= _EPISODES_OF_A_POOL or end == len(group):
                yield preset, group[begin:end]
                begin, num_episodes = end, 0


def _place(row: EpisodeRecord) -> str:
    """Return where an evaluation is, for its progress."""
    return f"family {row['family']}, radio {row['radio_preset']}"


def _missing(plays: Mapping[str, Sequence[Play]], store: RecordStore) -> dict[str, list[Play]]:
    """Return the episodes that a store does not hold."""
    return {
        preset: [
            play
            for play in group
            if not store.has(play.player.policy_id, (preset, play.case.case_id))
        ]
        for preset, group in plays.items()
    }


def say_what_is_kept(folder: Path, store: RecordStore, plan: EvaluationPlan) -> None:
    """Say on standard error what an interrupted evaluation keeps."""
    plays = plan.plays()
    total = sum(map(len, plays.values()))
    left = sum(map(len, _missing(plays, store).values()))
    sys.stderr.write(
        f"{total - left:,} of {total:,} episodes are kept in {folder}; the same command continues "
        "there.\n"
    )
