"""PPO's update of the Deep Sets policy on plain arrays: losses, gradients, Adam.

The formulas are those of stable-baselines3's ``PPO.train`` (Schulman et al., "Proximal Policy
Optimization Algorithms", 2017, equations 7 and 9) and of torch's Adam. All values are float32;
sums of losses are float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ml.kernels import array_kernel
from ml.policies.deep_set_kernels import (
    BackwardScratch,
    ForwardScratch,
    NetworkArrays,
    backward_network,
    forward_network,
)
from ml.types import Float32Array, FloatArray, IntArray

POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, CLIP_FRACTION, APPROX_KL, LOSS = range(6)
NUM_LOSSES = 6
LOSS_NAMES = (
    "policy loss",
    "value loss",
    "entropy loss",
    "clip fraction",
    "KL",
    "loss",
)

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0.0, 0.5, 1.0, 2.0))
_LOG_SQRT_2_PI = np.float32(0.5 * np.log(2.0 * np.pi))
_TINY = np.float32(1e-8)  # against a division by zero, as in stable-baselines3
_TINY_NORM = np.float32(1e-6)  # the same in torch's clip_grad_norm_


class TrainedNetwork(NamedTuple):
    """A network, its gradient and Adam's two moments, all of the weights' shape."""

    arrays: NetworkArrays
    gradient: Float32Array
    first_moment: Float32Array
    second_moment: Float32Array


class PackedRollout(NamedTuple):
    """A rollout of N steps, its observations scaled and without empty slots.

    Attributes:
        starts: First row in `peers` of each step, shape (N,).
        counts: Number of its peers, shape (N,).
        peers: Shape (number of peers, F).
        ego: Shape (N, E).
        actions: Shape (N, A).
        values: As predicted when the step was taken, shape (N,).
        log_probs: Log density of the action then, shape (N,).
        advantages: Shape (N,).
        returns: Shape (N,).
    """

    starts: IntArray
    counts: IntArray
    peers: Float32Array
    ego: Float32Array
    actions: Float32Array
    values: Float32Array
    log_probs: Float32Array
    advantages: Float32Array
    returns: Float32Array


class Minibatch(NamedTuple):
    """What a minibatch takes from the rollout besides the observations; see ``PackedRollout``."""

    actions: Float32Array
    values: Float32Array
    log_probs: Float32Array
    advantages: Float32Array
    returns: Float32Array


class Settings(NamedTuple):
    """PPO's and Adam's settings at the time of an update.

    Attributes:
        clip_range: Of the ratio of the densities.
        clip_range_vf: Of the value's change; below 0: not clipped.
        is_normalizing: Whether advantages are normalised within a minibatch.
        entropy_coefficient: Weight of the entropy.
        value_coefficient: Weight of the value loss.
        max_gradient_norm: Longer gradients are scaled down to it.
        target_kl: The update ends beyond 1.5 times this; infinite: never.
        learning_rate: Adam's.
        beta_1: Decay of Adam's first moment.
        beta_2: Decay of its second moment.
        epsilon: Adam's, against a division by zero.
    """

    clip_range: float
    clip_range_vf: float
    is_normalizing: bool
    entropy_coefficient: float
    value_coefficient: float
    max_gradient_norm: float
    target_kl: float
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float


class UpdateScratch(NamedTuple):
    """Memory for one minibatch."""

    forward: ForwardScratch
    backward: BackwardScratch
    batch: Minibatch


@array_kernel
def gather_minibatch(rollout: PackedRollout, order: IntArray, forward: ForwardScratch,
                     batch: Minibatch) -> int:  # fmt: skip
    """Copy the steps that ``order`` names into the scratch; return the number of their peers."""
    offset = forward.features.shape[1] - rollout.ego.shape[1]
    num_peers = 0
    for row in range(order.size):
        step = order[row]
        count = rollout.counts[step]
        forward.counts[row] = count
        for peer in range(rollout.starts[step], rollout.starts[step] + count):
            for column in range(rollout.peers.shape[1]):
                forward.peers[num_peers, column] = rollout.peers[peer, column]
            num_peers += 1
        for column in range(rollout.ego.shape[1]):
            forward.features[row, offset + column] = rollout.ego[step, column]
        for column in range(rollout.actions.shape[1]):
            batch.actions[row, column] = rollout.actions[step, column]
        batch.values[row] = rollout.values[step]
        batch.log_probs[row] = rollout.log_probs[step]
        batch.advantages[row] = rollout.advantages[step]
        batch.returns[row] = rollout.returns[step]
    return num_peers


@array_kernel
def _normalize(values: Float32Array) -> None:
    """Subtract the mean and divide by the sample's deviation."""
    mean = 0.0
    for value in values:
        mean += value
    mean /= values.size
    square = 0.0
    for value in values:
        square += (value - mean) ** 2
    deviation = np.float32(np.sqrt(square / (values.size - 1))) + _TINY
    for i in range(values.size):
        values[i] = (values[i] - np.float32(mean)) / deviation


@array_kernel
def _actor_loss(means: Float32Array, log_std: Float32Array, batch: Minibatch, settings: Settings,
                outer: Float32Array, log_std_gradient: Float32Array,
                losses: FloatArray) -> None:  # fmt: skip
    """Write the actor's losses, and their gradient with respect to the means and the log deviation.

    ``ratio = p_new(action) / p_old(action)``; the loss is minus the mean of
    ``min(ratio A, clip(ratio) A)``, and the entropy's weight is on the log deviation alone.
    """
    num_rows, num_actions = means.shape
    lowest, highest = np.float32(1.0 - settings.clip_range), np.float32(1.0 + settings.clip_range)
    share = _ONE / np.float32(num_rows)
    loss = kl = 0.0
    num_clipped = 0
    sums = np.zeros(num_actions)
    for row in range(num_rows):
        log_prob = _ZERO
        for column in range(num_actions):
            std = np.exp(log_std[column])
            distance = batch.actions[row, column] - means[row, column]
            log_prob -= distance * distance / (_TWO * std * std) + np.log(std) + _LOG_SQRT_2_PI
        log_ratio = log_prob - batch.log_probs[row]
        ratio = np.exp(log_ratio)
        advantage = batch.advantages[row]
        clipped = min(max(ratio, lowest), highest)
        gain, clipped_gain = advantage * ratio, advantage * clipped
        loss -= min(gain, clipped_gain)
        num_clipped += abs(ratio - _ONE) > np.float32(settings.clip_range)
        kl += (ratio - _ONE) - log_ratio
        slope = -share * gain if gain <= clipped_gain else _ZERO
        for column in range(num_actions):
            std = np.exp(log_std[column])
            distance = batch.actions[row, column] - means[row, column]
            pull = slope * distance / (std * std)
            outer[row, column] = pull
            sums[column] += pull * distance - slope
    entropy = 0.0
    for column in range(num_actions):
        log_std_gradient[column] = np.float32(sums[column] - settings.entropy_coefficient)
        entropy += 0.5 + float(_LOG_SQRT_2_PI) + log_std[column]
    losses[POLICY_LOSS] = loss / num_rows
    losses[ENTROPY_LOSS] = -entropy
    losses[CLIP_FRACTION] = num_clipped / num_rows
    losses[APPROX_KL] = kl / num_rows


@array_kernel
def _critic_loss(values: Float32Array, batch: Minibatch, settings: Settings, outer: Float32Array,
                 losses: FloatArray) -> None:  # fmt: skip
    """Write the mean squared error of the values, and its gradient with respect to them."""
    num_rows = values.shape[0]
    reach = np.float32(settings.clip_range_vf)
    scale = np.float32(settings.value_coefficient) * _TWO / np.float32(num_rows)
    loss = 0.0
    for row in range(num_rows):
        predicted, slope = values[row, 0], scale
        if reach >= _ZERO:
            change = predicted - batch.values[row]
            slope = scale if -reach <= change <= reach else _ZERO
            predicted = batch.values[row] + min(max(change, -reach), reach)
        error = predicted - batch.returns[row]
        loss += error * error
        outer[row, 0] = slope * error
    losses[VALUE_LOSS] = loss / num_rows


@array_kernel
def actor_gradient(actor: TrainedNetwork, rollout: PackedRollout, chosen: IntArray,
                   settings: Settings, scratch: UpdateScratch,
                   losses: FloatArray) -> np.float32:  # fmt: skip
    """Write the actor's gradient and losses of a minibatch; return the gradient's square.

    Args:
        actor: Its weights and gradient end in the log of the action's deviation.
        rollout: What was experienced.
        chosen: The minibatch's steps in the rollout.
        settings: PPO's settings.
        scratch: Memory of the actor's own; its advantages are normalised where asked for.
        losses: Shape (NUM_LOSSES,); all but the critic's and the sum are written.
    """
    forward, backward, batch = scratch
    num_rows = chosen.size
    num_peers = gather_minibatch(rollout, chosen, forward, batch)
    if settings.is_normalizing and num_rows > 1:
        _normalize(batch.advantages[:num_rows])
    num_actions = batch.actions.shape[1]
    means = forward_network(actor.arrays, num_rows, num_peers, forward)
    _actor_loss(
        means,
        actor.arrays.weights[-num_actions:],
        batch,
        settings,
        backward.layer[: num_rows * num_actions].reshape(num_rows, num_actions),
        actor.gradient[-num_actions:],
        losses,
    )
    backward_network(actor.arrays, num_rows, num_peers, forward, backward, actor.gradient)
    return np.dot(actor.gradient, actor.gradient)  # type: ignore[no-any-return]


@array_kernel
def critic_gradient(critic: TrainedNetwork, rollout: PackedRollout, chosen: IntArray,
                    settings: Settings, scratch: UpdateScratch,
                    losses: FloatArray) -> np.float32:  # fmt: skip
    """Write the critic's gradient and loss of a minibatch; return the gradient's square.

    Args:
        critic: The critic.
        rollout: What was experienced.
        chosen: The minibatch's steps in the rollout.
        settings: PPO's settings.
        scratch: Memory of the critic's own.
        losses: Shape (NUM_LOSSES,); its VALUE_LOSS is written.
    """
    forward, backward, batch = scratch
    num_rows = chosen.size
    num_peers = gather_minibatch(rollout, chosen, forward, batch)
    values = forward_network(critic.arrays, num_rows, num_peers, forward)
    outer = backward.layer[:num_rows].reshape(num_rows, 1)
    _critic_loss(values, batch, settings, outer, losses)
    backward_network(critic.arrays, num_rows, num_peers, forward, backward, critic.gradient)
    return np.dot(critic.gradient, critic.gradient)  # type: ignore[no-any-return]


@array_kernel
def adam_step(network: TrainedNetwork, num_steps: int, gradient_scale: float,
              settings: Settings) -> None:  # fmt: skip
    """Take one step of Adam, in the order of operations of torch's.

    Source: Kingma and Ba, "Adam", ICLR 2015, algorithm 1.

    Args:
        network: Weights and moments are changed in place.
        num_steps: Steps taken, this one included.
        gradient_scale: What to multiply the gradient by.
        settings: Adam's settings.
    """
    step_size = np.float32(settings.learning_rate / (1.0 - settings.beta_1**num_steps))
    correction = np.float32(np.sqrt(1.0 - settings.beta_2**num_steps))
    first_share = np.float32(1.0 - settings.beta_1)
    decay, second_share = np.float32(settings.beta_2), np.float32(1.0 - settings.beta_2)
    epsilon, scale = np.float32(settings.epsilon), np.float32(gradient_scale)
    weights, first, second = network.arrays.weights, network.first_moment, network.second_moment
    for i in range(weights.size):
        gradient = network.gradient[i] * scale
        first[i] += first_share * (gradient - first[i])
        second[i] = decay * second[i] + second_share * gradient * gradient
        weights[i] -= step_size * (first[i] / (np.sqrt(second[i]) / correction + epsilon))


@array_kernel
def take_step(actor: TrainedNetwork, critic: TrainedNetwork, square: float, num_steps: int,
              settings: Settings, losses: FloatArray) -> bool:  # fmt: skip
    """Sum a minibatch's losses and take a step of Adam, unless the policy has changed too much.

    Args:
        actor: The actor; changed in place.
        critic: The critic; changed in place.
        square: Of both gradients.
        num_steps: Steps of Adam taken before.
        settings: PPO's and Adam's settings.
        losses: Shape (NUM_LOSSES,); its LOSS is written.

    Returns:
        Whether the step was taken.
    """
    losses[LOSS] = (
        losses[POLICY_LOSS]
        + settings.entropy_coefficient * losses[ENTROPY_LOSS]
        + settings.value_coefficient * losses[VALUE_LOSS]
    )
    if losses[APPROX_KL] > 1.5 * settings.target_kl:
        return False
    scale = np.float32(settings.max_gradient_norm) / (np.sqrt(np.float32(square)) + _TINY_NORM)
    adam_step(actor, num_steps + 1, min(scale, _ONE), settings)
    adam_step(critic, num_steps + 1, min(scale, _ONE), settings)
    return True
