"""Whole episodes in processes of their own; the records are those of one process.

What can be sent to a worker plays whole episodes there, a message each: scripted policies, and
trained ones that need no torch. Any other policy acts in this process, with one forward pass for
all environments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.episodes import (
    EpisodeRecord,
    PredictingPolicy,
    finished_record,
    run_episode,
)
from ml.evaluation.fixed_batches import BatchPolicy
from ml.policies.baselines import make_scripted_policy
from ml.processors import usable_cores

_EPISODES_WORTH_A_WORKER = 20
"""A worker takes about as long to start as it takes to play so many episodes."""

OnEpisode = Callable[[EpisodeRecord], None]


def default_num_workers(num_episodes: int) -> int:
    """Return how many processes are worth their start: at most one for each usable core."""
    return max(1, min(usable_cores(), num_episodes // _EPISODES_WORTH_A_WORKER))


def open_workers(environment_kwargs: Mapping[str, Any], num_workers: int) -> ConvoyWorkers:
    """Open processes that play the episodes of one environment between them.

    Args:
        environment_kwargs: Keyword arguments of the environment.
        num_workers: Number of processes.
    """
    return ConvoyWorkers(num_workers, environment_kwargs, environment_indices=[0] * num_workers)


class _InOrder:
    """Takes records as they come and hands them on in the order of the episodes."""

    def __init__(self, num_episodes: int, on_episode: OnEpisode | None) -> None:
        """Wait for the first one."""
        self._num_episodes, self._on_episode = num_episodes, on_episode
        self._waiting: dict[int, EpisodeRecord] = {}
        self.records: list[EpisodeRecord] = []

    def add(self, record: EpisodeRecord) -> None:
        """Take a record; those beyond the last episode are left out."""
        if record["episode_index"] < self._num_episodes:
            self._waiting[record["episode_index"]] = record
        while len(self.records) in self._waiting:
            self.records.append(self._waiting.pop(len(self.records)))
            if self._on_episode is not None:
                self._on_episode(self.records[-1])

    @property
    def is_complete(self) -> bool:
        """Whether no episode is missing."""
        return len(self.records) == self._num_episodes


def play_policy(
    policy: BatchPolicy,
    workers: ConvoyWorkers,
    num_episodes: int,
    on_episode: OnEpisode | None = None,
) -> list[EpisodeRecord]:
    """Run whole episodes with deterministic actions, asking the policy once for all environments.

    The records do not depend on the number of workers if an action does not depend on the number
    of rows, as with ``FixedBatches``.

    Args:
        policy: What acts.
        workers: As ``open_workers`` makes them; left open.
        num_episodes: Number of episodes.
        on_episode: Called with each record, in the order of the episodes.

    Returns:
        The records in the order of the episodes.
    """
    done = _InOrder(num_episodes, on_episode)
    indices = list(range(workers.num_envs))
    observations, infos = workers.reset([{"episode_index": index} for index in indices])
    scenario_ids = [info.get("scenario_id", "unknown") for info in infos]
    # Each worker begins its next episode by itself, so that one is dealt ahead.
    workers.next_episodes[:] = range(workers.num_envs, 2 * workers.num_envs)
    num_dealt = 2 * workers.num_envs
    returns, steps = np.zeros(workers.num_envs), np.zeros(workers.num_envs, np.int64)
    while not done.is_complete:
        actions, _ = policy.predict(observations, deterministic=True)
        upcoming = workers.next_episodes.tolist()
        step = workers.step(actions)
        observations = step.observations
        returns += step.rewards
        steps += 1
        for row, (info, next_info) in enumerate(
            zip(step.final_infos, step.next_infos, strict=True)
        ):
            if info is None or next_info is None:
                continue
            record = finished_record(
                info, scenario_ids[row], indices[row],
                length_and_return=(int(steps[row]), float(returns[row])),
                ends=(bool(step.terminated[row]), bool(step.truncated[row])),
            )  # fmt: skip
            done.add(record)
            returns[row], steps[row] = 0.0, 0
            scenario_ids[row] = next_info.get("scenario_id", "unknown")
            indices[row], workers.next_episodes[row] = upcoming[row], num_dealt
            num_dealt += 1
    return done.records


def play_scripted(
    name: str, workers: ConvoyWorkers, num_episodes: int, on_episode: OnEpisode | None = None
) -> list[EpisodeRecord]:
    """Run whole episodes of the scripted policy ``name`` inside the workers.

    Args:
        name: The policy's.
        workers: As ``open_workers`` makes them; left open.
        num_episodes: Number of episodes.
        on_episode: Called with each record, in the order of the episodes.

    Returns:
        The records in the order of the episodes.
    """
    arguments = [(name, index) for index in range(num_episodes)]
    return _dealt(workers, play_scripted_episode, arguments, on_episode)


def play_alone(
    policy: PredictingPolicy,
    workers: ConvoyWorkers,
    num_episodes: int,
    on_episode: OnEpisode | None = None,
) -> list[EpisodeRecord]:
    """Run whole episodes of a policy inside the workers.

    Args:
        policy: What acts on single observations; it is sent to the workers.
        workers: As ``open_workers`` makes them; left open.
        num_episodes: Number of episodes.
        on_episode: Called with each record, in the order of the episodes.

    Returns:
        The records in the order of the episodes.
    """
    arguments = [(policy, index) for index in range(num_episodes)]
    return _dealt(workers, play_episode_alone, arguments, on_episode)


def _dealt(
    workers: ConvoyWorkers,
    play: Callable[..., EpisodeRecord],
    arguments: Sequence[tuple[Any, int]],
    on_episode: OnEpisode | None,
) -> list[EpisodeRecord]:
    """Deal episodes to the workers and return their records in order."""
    done = _InOrder(len(arguments), on_episode)
    for _, record in workers.call_each(play, arguments):
        done.add(record)
    return done.records


def play_episode_alone(
    env: gym.Env[Any, Any], policy: PredictingPolicy, episode_index: int
) -> EpisodeRecord:
    """Run one episode of a policy, and return its record.

    Args:
        env: The environment.
        policy: What acts.
        episode_index: Index of the episode.
    """
    return run_episode(policy, env, episode_index, {"episode_index": episode_index})


def play_scripted_episode(env: gym.Env[Any, Any], name: str, episode_index: int) -> EpisodeRecord:
    """Run one episode of a scripted policy, and return its record.

    Args:
        env: The environment; what the policy needs of it are options of its reset too.
        name: The policy's.
        episode_index: Index of the episode.
    """
    policy = make_scripted_policy(name)
    policy.attach(env)
    options = {**policy.environment_options, "episode_index": episode_index}
    return run_episode(policy, env, episode_index, options)
