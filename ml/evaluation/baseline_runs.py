"""The scripted policies that every trained one is compared with, on the same episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym

from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.arguments import BASELINES
from ml.evaluation.episodes import EpisodeRecord, check_same_episodes, run_scripted_policy
from ml.evaluation.worker_episodes import play_scripted
from ml.policies.baselines import make_scripted_policy
from ml.progress import ProgressDisplay


def run_baselines(
    make_environment: Callable[[Mapping[str, Any]], gym.Env[Any, Any]],
    num_episodes: int,
    reference: Sequence[EpisodeRecord],
    *,
    is_quiet: bool,
    workers: ConvoyWorkers | None = None,
) -> dict[str, list[EpisodeRecord]]:
    """Run every baseline and prove that it met the episodes of the policy under test.

    Args:
        make_environment: Makes the evaluation environment with the given extra options.
        num_episodes: Number of episodes.
        reference: Records of the policy under test.
        is_quiet: Show no progress.
        workers: Processes that play the same episodes, instead of this one.

    Returns:
        The records of each baseline, by its name.

    Raises:
        RecordError: A baseline did not meet the same episodes.
    """
    results = {}
    for name in BASELINES:
        results[name] = run_shown(
            name, make_environment, num_episodes, is_quiet=is_quiet, workers=workers
        )
        check_same_episodes(reference, results[name], name)
    return results


def run_shown(
    name: str,
    make_environment: Callable[[Mapping[str, Any]], gym.Env[Any, Any]],
    num_episodes: int,
    *,
    is_quiet: bool,
    workers: ConvoyWorkers | None = None,
) -> list[EpisodeRecord]:
    """Run the scripted policy ``name`` with its progress on standard error."""
    with ProgressDisplay(name, num_episodes, "episodes", is_quiet=is_quiet) as display:
        if workers is not None:
            return play_scripted(name, workers, num_episodes, progress_of(display))
        return run_scripted_policy(
            make_scripted_policy(name), make_environment, num_episodes, progress_of(display)
        )


def progress_of(display: ProgressDisplay) -> Callable[[EpisodeRecord], None]:
    """Return what shows an episode as done."""

    def show(record: EpisodeRecord) -> None:
        done = record["episode_index"] + 1
        display.update(done, is_last=done == display.total)

    return show
