"""PPO of stable-baselines3 with its rollout and its update in compiled code.

Everything else stays stable-baselines3's: the loop, callbacks, logs and the saved file, which holds
nothing of this module. The same seed draws the same random numbers in the same order as plain
``PPO``, so both learners take the same course up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv

from ml.envs.workers_step import Arrays
from ml.errors import PolicyError
from ml.policies.deep_set_kernels import NetworkArrays, forward_scratch
from ml.policies.fast_forward import as_rows, networks_of, scales_of
from ml.policies.row_forward_kernels import forward_observation, row_memory_size, transposed
from ml.training import fast_update, ppo_kernels, rollout_kernels
from ml.training.callbacks import CALM_DOWN
from ml.training.reward_scaling import ScaledRewards
from ml.training.rollout_actor import (
    ACTIONS,
    LOG_PROBS,
    NOT_FINITE,
    VALUES,
    PolicyArrays,
    RolloutActor,
)
from ml.training.update_pair import UpdatePair
from ml.training.vector_adapter import PlayedRollout, WorkersVecEnv
from ml.types import Float32Array, FloatArray

_MEANS = {
    "train/entropy_loss": ppo_kernels.ENTROPY_LOSS,
    "train/policy_gradient_loss": ppo_kernels.POLICY_LOSS,
    "train/value_loss": ppo_kernels.VALUE_LOSS,
    "train/clip_fraction": ppo_kernels.CLIP_FRACTION,
}

_KEPT = (ACTIONS, VALUES, LOG_PROBS)
_AXES = {"ego": 1, "peers": 2, "peer_mask": 1}


def accelerate(model: PPO) -> str | None:
    """Turn a plain PPO into a ``FastPPO`` in place, where it is supported.

    Args:
        model: The model, new or loaded.

    Returns:
        Why it stays as it is; None if it is fast now.
    """
    reason = fast_update.why_unsupported_model(model)
    if reason is None:
        model.__class__ = FastPPO
    return reason


class FastPPO(PPO):
    """PPO whose rollout and update run without torch; made by ``accelerate``."""

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_update_memory"]

    # --- The rollout ----------------------------------------------------------------------------

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer, as ``PPO`` does; False where a callback ended the training.

        Args:
            env: The environments.
            callback: Called at each step; it sees the names that ``PPO`` shows it.
            rollout_buffer: A ``DictRolloutBuffer``.
            n_rollout_steps: Steps of each environment.
        """
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        actor = _Actor(self, env.num_envs)
        with fast_update.one_blas_thread():
            if isinstance(env, ScaledRewards) and env.workers is not None:
                played = actor.play(env.workers, n_rollout_steps)
                is_going_on = self._take_played(env, callback, rollout_buffer, actor, played)
            else:
                is_going_on = self._take_steps(env, callback, rollout_buffer, actor)
            if not is_going_on:
                return False
            last_values = actor.values(self._last_obs)
        dones = self._last_episode_starts
        _finish(rollout_buffer, last_values, dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _take_steps(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, actor: _Actor
    ) -> bool:
        """Fill the buffer step by step; return whether the training goes on."""
        n_rollout_steps = rollout_buffer.buffer_size
        for n_steps in range(n_rollout_steps):  # noqa: B007 - for the callback
            actions, clipped_actions, values, log_probs = actor.act(self._last_obs)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            self._count_ends(infos, dones, rewards, actor)
            _store(rollout_buffer, self._last_obs, self._last_episode_starts, rewards,
                   (actions, values, log_probs))  # fmt: skip
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]  # a dict
        return True

    def _take_played(
        self,
        env: ScaledRewards,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        actor: _Actor,
        played: PlayedRollout,
    ) -> bool:
        """Fill the buffer with what was played; return whether the training goes on."""
        steps, n_rollout_steps = played.steps, rollout_buffer.buffer_size
        all_dones = steps.terminated | steps.truncated
        all_rewards = env.scale(steps.rewards.astype(np.float32), all_dones)
        kept = [np.stack([row[name] for row in played.results], axis=1) for name in _KEPT]
        nothing: list[dict[str, Any]] = [{} for _ in range(env.num_envs)]
        rows = zip(all_rewards, all_dones, steps.actions, *kept, strict=True)
        for n_steps, row in enumerate(rows):
            rewards, dones, clipped_actions, actions, values, log_probs = row
            new_obs = {key: every[n_steps + 1] for key, every in steps.observations.items()}
            infos = played.infos.get(n_steps, nothing)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if infos is not nothing:
                self._count_ends(infos, dones, rewards, actor)
        _store_all(rollout_buffer, steps.observations, self._last_episode_starts, all_dones)
        rollout_buffer.rewards[:] = all_rewards
        rollout_buffer.actions[:], rollout_buffer.values[:], rollout_buffer.log_probs[:] = kept
        self._last_obs = new_obs
        self._last_episode_starts = all_dones[-1]
        return True

    def _count_ends(
        self,
        infos: list[dict[str, Any]],
        dones: npt.NDArray[np.bool_],
        rewards: Float32Array,
        actor: _Actor,
    ) -> None:
        """Note the episodes that ended, and add what lies beyond an end that is none of its own."""
        self._update_info_buffer(infos, dones)
        for idx in np.flatnonzero(dones):
            final_obs = infos[idx].get("terminal_observation")
            if final_obs is not None and infos[idx].get("TimeLimit.truncated", False):
                rewards[idx] += self.gamma * actor.values(final_obs)[0]

    # --- The update -----------------------------------------------------------------------------

    def train(self) -> None:
        """Update the policy from the rollout, as ``PPO`` does."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        progress = self._current_progress_remaining
        clip_range: Any = self.clip_range
        clip_range_vf: Any = self.clip_range_vf
        value_range = None if clip_range_vf is None else clip_range_vf(progress)
        settings = fast_update.update_settings(self, clip_range(progress), value_range)
        with fast_update.one_blas_thread():
            epochs = self._run_epochs(settings)
        _check_losses(epochs, self.num_timesteps)
        losses = np.concatenate(epochs)
        buffer = self.rollout_buffer
        for name, column in _MEANS.items():
            self.logger.record(name, losses[:, column].mean())
        self.logger.record("train/approx_kl", epochs[-1][:, ppo_kernels.APPROX_KL].mean())
        self.logger.record("train/loss", losses[-1, ppo_kernels.LOSS])
        explained = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/std", float(self.policy.log_std.detach().exp().mean()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", settings.clip_range)
        if value_range is not None:
            self.logger.record("train/clip_range_vf", value_range)

    def _run_epochs(self, settings: ppo_kernels.Settings) -> list[FloatArray]:
        """Pass over the rollout until it is time to stop; return each pass's losses."""
        optimizer = self.policy.optimizer
        networks = networks_of(self.policy)
        rollout = fast_update.pack_rollout(self.rollout_buffer, scales_of(self.policy))
        actor, critic = (fast_update.read_network(network, optimizer) for network in networks)
        size = len(rollout.counts)
        num_batches = -(-size // self.batch_size)
        scratches = self._memory(min(self.batch_size, size)).scratches
        num_steps = fast_update.steps_taken(networks[0], optimizer)
        epochs: list[FloatArray] = []
        with UpdatePair((actor, critic), rollout, settings, scratches, num_steps) as pair:
            for _ in range(self.n_epochs):
                # The generator of stable-baselines3, so that the minibatches are the same.
                order = np.random.permutation(size)  # noqa: NPY002
                losses = np.zeros((num_batches, ppo_kernels.NUM_LOSSES))
                num_taken = pair.pass_over(order, self.batch_size, losses)
                self._n_updates += 1
                epochs.append(losses[: num_taken + 1])
                if num_taken < num_batches:
                    break
        for network, arrays in zip(networks, (actor, critic), strict=True):
            fast_update.write_network(network, optimizer, arrays, pair.num_steps)
        return epochs

    def _memory(self, batch_size: int) -> fast_update.UpdateMemory:
        """Return the memory for minibatches of that size."""
        memory: fast_update.UpdateMemory | None = getattr(self, "_update_memory", None)
        if memory is None or memory.batch_size != batch_size:
            space: Any = self.observation_space
            num_slots = space["peer_mask"].shape[0]
            memory = fast_update.UpdateMemory(networks_of(self.policy), batch_size, num_slots)
            self._update_memory = memory
        return memory


class _Actor:
    """The policy as it is at the beginning of a rollout, for all environments at once."""

    def __init__(self, model: FastPPO, num_envs: int) -> None:
        networks = [NetworkArrays(one.read(), one.sizes) for one in networks_of(model.policy)]
        self._actor, self._critic = (transposed(network) for network in networks)
        self._plain_critic = networks[1]
        space: Any = model.observation_space
        self._num_slots = space["peer_mask"].shape[0]
        memory_size = max(row_memory_size(network.sizes) for network in networks)
        one = forward_scratch(networks[1].sizes, 1, self._num_slots)
        memory = np.zeros(memory_size, np.float32)
        self._scratch = rollout_kernels.RowScratch(one.counts, one.peers, one.features, memory)
        action_space: Any = model.action_space
        bounds = np.stack([action_space.low.reshape(-1), action_space.high.reshape(-1)])
        scales = np.concatenate(scales_of(model.policy))
        self._scaling = rollout_kernels.Scaling(scales, bounds)
        self._num_envs, self._num_actions = num_envs, bounds.shape[1]
        self._decision = self._new_decision()

    def _new_decision(self) -> rollout_kernels.Decision:
        """Return memory for a decision."""
        shape = (self._num_envs, self._num_actions)
        return rollout_kernels.Decision(
            np.empty(shape, np.float32), np.empty(shape, np.float32),
            np.empty(self._num_envs, np.float32), np.empty(self._num_envs, np.float32),
        )  # fmt: skip

    def _draw_noise(self) -> Float32Array:
        """Return standard normal numbers, (num_envs, A).

        They are from torch's own generator, drawn as stable-baselines3 draws them.
        """
        noise: Float32Array = torch.empty((self._num_envs, self._num_actions)).normal_().numpy()
        return noise

    def play(self, workers: WorkersVecEnv, num_steps: int) -> PlayedRollout:
        """Let environments in processes of their own play a rollout."""
        noise = np.stack([self._draw_noise() for _ in range(num_steps)], axis=1)
        policy = PolicyArrays(self._actor, self._plain_critic, self._scaling, self._num_slots)
        return workers.play(RolloutActor, [(policy, rows) for rows in noise], num_steps)

    def act(self, observation: Any) -> rollout_kernels.Decision:  # noqa: ANN401 - SB3's union
        """Draw actions; the next call may overwrite them.

        Raises:
            PolicyError: An action or a value is no finite number.
        """
        is_finite = rollout_kernels.act(
            self._actor, self._critic, observation["ego"], observation["peers"],
            observation["peer_mask"], self._draw_noise(), self._scaling, self._scratch,
            self._decision,
        )  # fmt: skip
        if not is_finite:
            raise PolicyError(NOT_FINITE)
        return self._decision

    def values(self, observation: Any) -> Float32Array:  # noqa: ANN401 - SB3's union
        """Return the critic's values of one observation or of one for each environment."""
        rows = [as_rows(observation[key], num_axes) for key, num_axes in _AXES.items()]
        scales, (counts, packed, features, memory) = self._scaling.scales, self._scratch
        values = [
            forward_observation(
                *self._critic, scales, ego, peers, mask, counts, packed, features, memory
            )[0]
            for ego, peers, mask in zip(*rows, strict=True)
        ]
        return np.array(values, np.float32)


def _check_losses(epochs: Sequence[FloatArray], num_timesteps: int) -> None:
    """Check that every loss of an update is finite.

    Args:
        epochs: Losses of the minibatches of each pass, each of shape (minibatches, NUM_LOSSES).
        num_timesteps: Steps of the training so far, for the message.

    Raises:
        PolicyError: One is not.
    """
    for number, losses in enumerate(epochs, start=1):
        if not np.isfinite(losses).all():
            index, column = np.argwhere(~np.isfinite(losses))[0]
            raise PolicyError(
                f"{ppo_kernels.LOSS_NAMES[column]} of minibatch {index + 1} in pass {number} of "
                f"the update after {num_timesteps} steps must be finite. Got "
                f"{losses[index, column]}. {CALM_DOWN}"
            )


def _store(
    buffer: RolloutBuffer,
    observation: Any,  # noqa: ANN401 - SB3's union
    episode_starts: Any,  # noqa: ANN401 - an array
    rewards: Float32Array,
    decision: tuple[Float32Array, Float32Array, Float32Array],
) -> None:
    """Add a step to the buffer."""
    row = buffer.pos
    for key, values in buffer.observations.items():  # type: ignore[attr-defined]  # a dict here
        values[row] = observation[key]
    buffer.actions[row], buffer.values[row], buffer.log_probs[row] = decision
    buffer.rewards[row], buffer.episode_starts[row] = rewards, episode_starts
    buffer.pos = row + 1
    buffer.full = buffer.pos == buffer.buffer_size


def _store_all(
    buffer: RolloutBuffer,
    observations: Arrays,
    first_starts: npt.NDArray[Any] | None,
    dones: npt.NDArray[np.bool_],
) -> None:
    """Fill the buffer's observations, and what of them began an episode."""
    for key, values in buffer.observations.items():  # type: ignore[attr-defined]  # a dict here
        values[:] = observations[key][:-1]
    buffer.episode_starts[0], buffer.episode_starts[1:] = first_starts, dones[:-1]
    buffer.pos, buffer.full = buffer.buffer_size, True


def _finish(buffer: RolloutBuffer, last_values: Float32Array, dones: Any) -> None:  # noqa: ANN401
    """Fill in the buffer's advantages and returns."""
    rollout_kernels.compute_advantages(
        buffer.rewards, buffer.values, buffer.episode_starts, last_values, dones,
        buffer.gamma, buffer.gae_lambda, buffer.advantages, buffer.returns,
    )  # fmt: skip
