"""Whole episodes of a trained model, in this process or in others; the records are the same.

A model that compiled code can run acts alone on each observation, wherever the episode is played.
Any other one acts in this process, always on as many rows at once.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.episodes import EpisodeRecord, PredictingPolicy, run_episodes
from ml.evaluation.fixed_batches import BatchPolicy, FixedBatches, OneOfABatch
from ml.evaluation.worker_episodes import OnEpisode, play_alone, play_policy
from ml.policies.fast_forward import acting_policy
from ml.policies.lone_actor import LoneActor


def play_model(
    model: Any,  # noqa: ANN401 - whatever has ``predict``
    source: ConvoyWorkers | gym.Env[Any, Any],
    num_episodes: int,
    on_episode: OnEpisode | None = None,
) -> list[EpisodeRecord]:
    """Run whole episodes of a model with deterministic actions.

    Args:
        model: The model.
        source: Environments in processes of their own, or one of this process; left open.
        num_episodes: Number of episodes.
        on_episode: Called with each record, in the order of the episodes.

    Returns:
        The records in the order of the episodes.
    """
    policy = acting_policy(model)
    if isinstance(source, ConvoyWorkers):
        if isinstance(policy, LoneActor):
            return play_alone(policy, source, num_episodes, on_episode)
        return play_policy(FixedBatches(policy), source, num_episodes, on_episode)
    return run_episodes(lone_policy(policy), source, num_episodes, on_episode)


def lone_policy(policy: BatchPolicy) -> PredictingPolicy:
    """Return what acts on one observation as in an evaluation of many.

    Args:
        policy: As ``acting_policy`` returns it.
    """
    return policy if isinstance(policy, LoneActor) else OneOfABatch(policy)
