"""A first policy that imitates the oracle, from which PPO goes on.

PPO alone meets a hard braking in 3 % of its steps and pays for each needless braking in all others,
so that it often learns to do nothing, and then never finds out. The oracle knows the true state;
what it demands is what the actor, which sees only its observation, is fitted to here. Source: the
idea is that of Chen et al., "Learning by Cheating", CoRL 2019: a teacher with privileged state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.envs.vector_env import ConvoyWorkers
from ml.processors import usable_cores
from ml.training.actor_fit import FitPlan, fit_actor
from ml.training.demonstrated_steps import NO_INTERVENTION, play_and_label
from ml.types import MAX_DEMAND_MPS2, Float32Array

FIRST_EPISODE = 1_000_000
"""Index of the first episode to imitate, beyond those that a training comes to."""

REST_ACTION = -0.4
"""Action where the oracle demands nothing: exploring two deviations around it demands nothing."""

ACTION_STD = 0.2
"""Deviation of the action from which PPO goes on."""

_FIT = FitPlan(num_epochs=15, batch_size=512, learning_rate=1e-3)
_DEMAND_WEIGHT = 3.0
"""Steps with a demand are 2 to 3 % of all; they weigh so much more than the others."""


class Demonstrations(NamedTuple):
    """Steps of some episodes.

    Attributes:
        observations: Of each step by name, (num_steps, ...), float32.
        demands_mps2: What the oracle demanded at it, (num_steps,).
    """

    observations: Mapping[str, Float32Array]
    demands_mps2: Float32Array


def play_demonstration(env: gym.Env[Any, Any], index: int) -> Demonstrations:
    """Play one episode, the oracle acting in every second one and the driver alone in the others.

    Args:
        env: The environment; its own next episode is another one afterwards.
        index: Which one, from 0.
    """
    is_taught = index % 2 == 0

    def act(_: Mapping[str, Float32Array], demand_mps2: float) -> float:
        is_acting = is_taught and demand_mps2 > 0.0
        return demand_mps2 / MAX_DEMAND_MPS2 if is_acting else NO_INTERVENTION

    observation, _ = env.reset(options={"episode_index": FIRST_EPISODE + index})
    return Demonstrations(*play_and_label(env, observation, act))


def collect_demonstrations(
    environment_kwargs: Mapping[str, Any], num_episodes: int
) -> Demonstrations:
    """Play episodes in processes of their own; their number changes nothing.

    Args:
        environment_kwargs: Keyword arguments of the training environment.
        num_episodes: Number of episodes, at least 1.
    """
    num_workers = min(usable_cores(), num_episodes)
    indices = [(index,) for index in range(num_episodes)]
    with ConvoyWorkers(
        num_workers, environment_kwargs, environment_indices=[0] * num_workers
    ) as workers:
        episodes = dict(workers.call_each(play_demonstration, indices))
    ordered = [episodes[index] for index in range(num_episodes)]
    names = ordered[0].observations
    return Demonstrations(
        {name: np.concatenate([one.observations[name] for one in ordered]) for name in names},
        np.concatenate([one.demands_mps2 for one in ordered]),
    )


def imitate(policy: ActorCriticPolicy, demonstrations: Demonstrations, seed: int) -> float:
    """Fit the action's mean to what the oracle demands, in place; the critic stays as it is.

    Args:
        policy: The policy.
        demonstrations: What to fit it to.
        seed: Of the order of the steps.

    Returns:
        The mean loss of the last pass: the squared difference of actions, demands weighing more.
    """
    demands = torch.as_tensor(demonstrations.demands_mps2, device=policy.device)
    targets = torch.where(demands > 0.0, demands / MAX_DEMAND_MPS2, REST_ACTION)
    weights = torch.where(demands > 0.0, _DEMAND_WEIGHT, 1.0)

    def losses_of(means: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return weights[rows] * (means - targets[rows]) ** 2

    loss = fit_actor(policy, demonstrations.observations, losses_of, _FIT, seed)
    with torch.no_grad():
        policy.log_std.fill_(math.log(ACTION_STD))
    return loss


def imitate_oracle(
    policy: ActorCriticPolicy, environment_kwargs: Mapping[str, Any], num_episodes: int, seed: int
) -> str:
    """Let a policy begin as an imitation of the oracle, and say in a line what came of it.

    Args:
        policy: The policy.
        environment_kwargs: Keyword arguments of the training environment.
        num_episodes: Number of episodes to imitate, at least 1.
        seed: Seed of the training.
    """
    seen = collect_demonstrations(environment_kwargs, num_episodes)
    loss = imitate(policy, seen, seed)
    return f"Imitated the oracle: {len(seen.demands_mps2)} steps, loss {loss:.4f}"
