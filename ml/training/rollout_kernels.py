"""The compiled part of a rollout's step: acting, reward scaling, and the advantages at its end.

The formulas are those of stable-baselines3's policies, ``VecNormalize`` and ``RolloutBuffer``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ml.kernels import array_kernel
from ml.policies.deep_set_kernels import NetworkArrays
from ml.policies.row_forward_kernels import forward_observation, forward_row
from ml.types import BoolArray, Float32Array, FloatArray, IntArray

_ZERO, _ONE, _TWO = (np.float32(value) for value in (0.0, 1.0, 2.0))
_LOG_SQRT_2_PI = np.float32(0.5 * np.log(2.0 * np.pi))


class Scaling(NamedTuple):
    """`scales` of an ego's and a peer's features (E + F,), `bounds` of the action (2, A)."""

    scales: Float32Array
    bounds: Float32Array


class RowScratch(NamedTuple):
    """Memory for one observation: see ``forward_observation``."""

    counts: IntArray
    peers: Float32Array
    features: Float32Array
    memory: Float32Array


class Decision(NamedTuple):
    """What acting writes: `actions` and `clipped` (rows, A), `values` and `log_probs` (rows,)."""

    actions: Float32Array
    clipped: Float32Array
    values: Float32Array
    log_probs: Float32Array


@array_kernel
def act(actor: NetworkArrays, critic: NetworkArrays, ego: Float32Array, peers: Float32Array,
        mask: Float32Array, noise: Float32Array, scaling: Scaling, scratch: RowScratch,
        out: Decision) -> bool:  # fmt: skip
    """Draw an action for each observation: ``mean + std * noise``.

    Args:
        actor: ``transposed``; its weights end in the log of the action's deviation.
        critic: The critic, ``transposed``.
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
    total = _ZERO
    log_std = actor.weights[-noise.shape[1] :]
    for row in range(noise.shape[0]):
        mean = forward_observation(
            actor.weights, actor.sizes, scaling.scales, ego[row], peers[row], mask[row],
            scratch.counts, scratch.peers, scratch.features, scratch.memory,
        )  # fmt: skip
        out.log_probs[row] = _draw(
            mean, log_std, noise[row], scaling.bounds, out.actions[row], out.clipped[row]
        )
        present = scratch.peers[: scratch.counts[0]]
        out.values[row] = forward_row(
            critic.weights, critic.sizes, present, scratch.features[0], scratch.memory
        )[0]
        total += out.log_probs[row] + out.values[row]
    return bool(np.isfinite(total))


@array_kernel
def _draw(mean: Float32Array, log_std: Float32Array, noise: Float32Array, bounds: Float32Array,
          action: Float32Array, clipped: Float32Array) -> np.float32:  # fmt: skip
    """Write an action and the same within its bounds; return the log density of the first."""
    log_prob = _ZERO
    for column in range(noise.size):
        std = np.exp(log_std[column])
        drawn = mean[column] + std * noise[column]
        distance = drawn - mean[column]
        log_prob -= distance * distance / (_TWO * std * std) + np.log(std) + _LOG_SQRT_2_PI
        action[column] = drawn
        clipped[column] = min(max(drawn, bounds[0, column]), bounds[1, column])
    return log_prob


@array_kernel
def act_alone(weights: Float32Array, sizes: IntArray, scales: Float32Array, bounds: Float32Array,
              ego: Float32Array, peers: Float32Array, mask: Float32Array, noise: Float32Array,
              counts: IntArray, packed: Float32Array, features: Float32Array,
              memory: Float32Array, action: Float32Array, clipped: Float32Array,
              log_prob: Float32Array) -> bool:  # fmt: skip
    """Draw an action for one observation, and leave that as the networks take it.

    The arguments are plain arrays: a call finds out their kinds, and takes longer for tuples.

    Args:
        weights: The actor's, ``transposed``; they end in the log of the action's deviation.
        sizes: The actor's.
        scales: As ``forward_observation``'s, like all but the following.
        bounds: Lowest and highest action, shape (2, A).
        ego: See there.
        peers: See there.
        mask: See there.
        noise: Standard normal numbers, shape (A,).
        counts: See there.
        packed: See there.
        features: See there.
        memory: See there.
        action: Written, shape (A,).
        clipped: The action within its bounds, shape (A,); written.
        log_prob: The action's log density, shape (1,); written.

    Returns:
        Whether the action is finite.
    """
    mean = forward_observation(
        weights, sizes, scales, ego, peers, mask, counts, packed, features, memory
    )
    log_std = weights[weights.size - noise.size :]
    log_prob[0] = _draw(mean, log_std, noise, bounds, action, clipped)
    return bool(np.isfinite(log_prob[0]))


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
        rewards: Shape (steps, environments).
        dones: Whether a step ended an episode, shape (steps, environments).
        discounted: Discounted return of each environment, shape (environments,); updated, and set
            to 0 at the end of an episode.
        moments: Mean, variance and number of discounted returns so far; updated.
        limits: Discount, what is added to the variance, largest scaled reward.
        out: Shape (steps, environments); written.
    """
    num_steps, num_envs = rewards.shape
    gamma, epsilon, largest = limits
    for step in range(num_steps):
        mean = 0.0
        for env in range(num_envs):
            discounted[env] = discounted[env] * gamma + rewards[step, env]
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
            out[step, env] = min(max(rewards[step, env] / deviation, -largest), largest)
            if dones[step, env]:
                discounted[env] = 0.0
