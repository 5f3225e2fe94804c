"""A rollout's steps without anything around them, in a module of its own for what imports it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from ml.envs.worker_messages import Actor


def play_alone(
    env: gym.Env[Any, Any],
    seed: int,
    make_actor: Callable[..., Actor],
    rollouts: Sequence[tuple[Any, ...]],
    num_steps: int,
) -> tuple[float, float]:
    """Play rollouts as a worker does, and keep nothing of them.

    Args:
        env: The environment.
        seed: Master seed of its episodes.
        make_actor: Makes what acts.
        rollouts: Its arguments in each rollout.
        num_steps: Steps of each rollout.

    Returns:
        Wall time and processor time of all steps, resets included [s].
    """
    episode_index = 0
    observation, _ = env.reset(seed=seed, options={"episode_index": episode_index})
    start_s, own_start_s = time.perf_counter(), time.process_time()
    for arguments in rollouts:
        actor = make_actor(*arguments)
        for step in range(num_steps):
            action = actor.act(observation, step)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                episode_index += 1
                observation, _ = env.reset(options={"episode_index": episode_index})
        actor.result()
    return time.perf_counter() - start_s, time.process_time() - own_start_s
