"""The compiled part of a rollout's step: acting, reward scaling, and the advantages at its end.

The formulas are those of stable-baselines3's policies, ``VecNormalize`` and ``RolloutBuffer``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ml.kernels import array_kernel
from ml.policies.deep_set_kernels import (
    ForwardScratch,
    NetworkArrays,
    forward_network,
    pack_observations,
)
from ml.types import BoolArray, Float32Array, FloatArray

_ZERO, _ONE, _TWO = (np.float32(value) for value in (0.0, 1.0, 2.0))
_LOG_SQRT_2_PI = np.float32(0.5 * np.log(2.0 * np.pi))


class Scaling(NamedTuple):
    """Scales of `ego` (E,) and `peer` (F,), bounds `low` and `high` of the action (A,)."""

    ego: Float32Array
    peer: Float32Array
    low: Float32Array
    high: Float32Array


class Decision(NamedTuple):
    """What acting writes: `actions` and `clipped` (rows, A), `values` and `log_probs` (rows,)."""

    actions: Float32Array
    clipped: Float32Array
    values: Float32Array
    log_probs: Float32Array


@array_kernel
def act(actor: NetworkArrays, critic: NetworkArrays, ego: Float32Array, peers: Float32Array,
        mask: Float32Array, noise: Float32Array, scaling: Scaling, scratch: ForwardScratch,
        out: Decision) -> bool:  # fmt: skip
    """Draw an action for each observation: ``mean + std * noise``.

    Args:
        actor: Its weights end in the log of the action's deviation.
        critic: The critic.
        ego: Shape (rows, E).
        peers: Shape (rows, slots, F).
        mask: Shape (rows, slots).
        noise: Standard normal numbers, shape (rows, A).
        scaling: Scales and bounds.
        scratch: Memory.
        out: Written.

    Returns:
        Whether every action and value is a finite number.
    """
    num_rows, num_actions = noise.shape
    num_peers = pack_observations(
        ego, peers, mask, scaling.ego, scaling.peer, scratch.counts, scratch.peers, scratch.features
    )
    values = forward_network(critic, num_rows, num_peers, scratch)
    total = _ZERO
    for row in range(num_rows):
        out.values[row] = values[row, 0]
        total += values[row, 0]
    means = forward_network(actor, num_rows, num_peers, scratch)
    log_std = actor.weights[-num_actions:]
    for row in range(num_rows):
        log_prob = _ZERO
        for column in range(num_actions):
            std = np.exp(log_std[column])
            action = means[row, column] + std * noise[row, column]
            distance = action - means[row, column]
            log_prob -= distance * distance / (_TWO * std * std) + np.log(std) + _LOG_SQRT_2_PI
            out.actions[row, column] = action
            out.clipped[row, column] = min(max(action, scaling.low[column]), scaling.high[column])
            total += action
        out.log_probs[row] = log_prob
    return bool(np.isfinite(total))


@array_kernel
def compute_advantages(rewards: Float32Array, values: Float32Array, episode_starts: Float32Array,
                       last_values: Float32Array, dones: BoolArray, gamma: float,
                       gae_lambda: float, advantages: Float32Array,
                       returns: Float32Array) -> None:  # fmt: skip
    """Write generalised advantages and the returns that follow from them.

    ``delta_t = r_t + gamma V_(t+1) - V_t`` and ``A_t = delta_t + gamma lambda A_(t+1)``, where
    what lies beyond the end of an episode counts 0; ``R_t = A_t + V_t``.

    Source: Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage
    Estimation", ICLR 2016, equations 11 to 16.

    Args:
        rewards: Shape (steps, environments).
        values: Shape (steps, environments).
        episode_starts: 1 where the step was an episode's first, shape (steps, environments).
        last_values: After the last step, shape (environments,).
        dones: Whether the last step ended an episode, shape (environments,).
        gamma: Discount.
        gae_lambda: Decay of the advantages.
        advantages: Shape (steps, environments); written.
        returns: Shape (steps, environments); written.
    """
    num_steps, num_envs = rewards.shape
    discount, decay = np.float32(gamma), np.float32(gamma * gae_lambda)
    for env in range(num_envs):
        advantage, next_value = _ZERO, last_values[env]
        goes_on = _ZERO if dones[env] else _ONE
        for step in range(num_steps - 1, -1, -1):
            delta = rewards[step, env] + discount * next_value * goes_on - values[step, env]
            advantage = delta + decay * goes_on * advantage
            advantages[step, env] = advantage
            returns[step, env] = advantage + values[step, env]
            goes_on, next_value = _ONE - episode_starts[step, env], values[step, env]


@array_kernel
def scale_rewards(rewards: Float32Array, dones: BoolArray, discounted: FloatArray,
                  moments: FloatArray, limits: FloatArray, out: Float32Array) -> None:  # fmt: skip
    """Divide rewards by the running deviation of the discounted return, after counting them in.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979, for the moments.

    Args:
        rewards: Shape (environments,).
        dones: Whether the step ended an episode, shape (environments,).
        discounted: Discounted return of each environment, shape (environments,); updated, and set
            to 0 at the end of an episode.
        moments: Mean, variance and number of discounted returns so far; updated.
        limits: Discount, what is added to the variance, largest scaled reward.
        out: Shape (environments,); written.
    """
    num_envs = rewards.size
    gamma, epsilon, largest = limits
    mean = 0.0
    for env in range(num_envs):
        discounted[env] = discounted[env] * gamma + rewards[env]
        mean += discounted[env]
    mean /= num_envs
    square = 0.0
    for env in range(num_envs):
        square += (discounted[env] - mean) ** 2
    count = moments[2]
    total = count + num_envs
    distance = mean - moments[0]
    square += moments[1] * count + distance * distance * count * num_envs / total
    moments[0] += distance * num_envs / total
    moments[1], moments[2] = square / total, total
    deviation = np.sqrt(moments[1] + epsilon)
    for env in range(num_envs):
        out[env] = min(max(rewards[env] / deviation, -largest), largest)
        if dones[env]:
            discounted[env] = 0.0
