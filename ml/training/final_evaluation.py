"""The evaluation after training: in processes of their own where there is enough to play."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.arguments import BASELINES
from ml.evaluation.episodes import EpisodeRecord, PredictingPolicy, run_episodes
from ml.evaluation.model_episodes import play_model
from ml.evaluation.worker_episodes import OnEpisode, default_num_workers, open_workers
from ml.training import recipe

Counts = Mapping[str, int] | None


def play_evaluation(
    model: PredictingPolicy,
    env: gym.Env[Any, Any],
    args: argparse.Namespace,
    on_episode: OnEpisode,
) -> tuple[list[EpisodeRecord], Counts]:
    """Play the evaluation's episodes.

    A double of the model or of the environment is played in this process, a step at a time.

    Args:
        model: What acts.
        env: The evaluation environment; left open.
        args: The command's arguments.
        on_episode: Called with each record, in the order of the episodes.

    Returns:
        The records, and what became of the worker processes, None without any.
    """
    if not isinstance(model, BaseAlgorithm) or not isinstance(env.unwrapped, ConvoyEnv):
        return run_episodes(model, env, args.eval_episodes, on_episode), None
    with _workers_for(args, args.eval_episodes) as workers:
        records = play_model(model, workers or env, args.eval_episodes, on_episode)
        return records, None if workers is None else workers.counts.as_dict()


@contextmanager
def baseline_workers(args: argparse.Namespace) -> Iterator[ConvoyWorkers | None]:
    """Open processes for the baselines, None where they are not worth their start."""
    with _workers_for(args, args.eval_episodes * len(BASELINES)) as workers:
        yield workers


@contextmanager
def _workers_for(args: argparse.Namespace, num_played: int) -> Iterator[ConvoyWorkers | None]:
    """Open as many processes as are worth their start; none with SUMO's window."""
    num_workers = min(default_num_workers(num_played), args.eval_episodes)
    if args.gui or num_workers == 1:
        yield None
        return
    with open_workers(recipe.environment_kwargs(args, "eval"), num_workers) as workers:
        yield workers
