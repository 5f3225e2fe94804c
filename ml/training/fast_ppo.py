"""PPO of stable-baselines3 with its rollout and its update in compiled code.

Everything else stays stable-baselines3's: the loop, callbacks, logs and the saved file, which holds
nothing of this module. The same seed draws the same random numbers in the same order as plain
``PPO``, so both learners take the same course up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from ml.errors import PolicyError
from ml.policies.deep_set_kernels import NetworkArrays, forward_network, pack_observations
from ml.policies.fast_forward import as_rows, make_forward_scratch, networks_of, scales_of
from ml.training import fast_update, ppo_kernels, rollout_kernels
from ml.training.rollout_actor import (
    ACTIONS,
    LOG_PROBS,
    NOT_FINITE,
    VALUES,
    PolicyArrays,
    RolloutActor,
)
from ml.training.update_pair import UpdatePair
from ml.training.vector_adapter import WorkersVecEnv
from ml.types import Float32Array, FloatArray

_MEANS = {
    "train/entropy_loss": ppo_kernels.ENTROPY_LOSS,
    "train/policy_gradient_loss": ppo_kernels.POLICY_LOSS,
    "train/value_loss": ppo_kernels.VALUE_LOSS,
    "train/clip_fraction": ppo_kernels.CLIP_FRACTION,
}


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
        n_steps = 0
        rollout_buffer.reset()
        callback.on_rollout_start()
        actor = _Actor(self, env.num_envs)
        actor.play_ahead(env, n_rollout_steps)
        with fast_update.one_blas_thread():
            while n_steps < n_rollout_steps:
                actions, clipped_actions, values, log_probs = actor.act(self._last_obs)
                new_obs, rewards, dones, infos = env.step(clipped_actions)
                self.num_timesteps += env.num_envs
                callback.update_locals(locals())
                if not callback.on_step():
                    return False
                self._update_info_buffer(infos, dones)
                n_steps += 1
                for idx in np.flatnonzero(dones):
                    final_obs = infos[idx].get("terminal_observation")
                    if final_obs is not None and infos[idx].get("TimeLimit.truncated", False):
                        rewards[idx] += self.gamma * actor.values(final_obs)[0]
                _store(rollout_buffer, self._last_obs, self._last_episode_starts, rewards,
                       (actions, values, log_probs))  # fmt: skip
                self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]  # a dict
            last_values = actor.values(self._last_obs)
        _finish(rollout_buffer, last_values, dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

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
        networks = networks_of(model.policy)
        self._actor, self._critic = (NetworkArrays(one.read(), one.sizes) for one in networks)
        space: Any = model.observation_space
        num_slots = space["peer_mask"].shape[0]
        self._scratch = make_forward_scratch(networks, num_envs, num_slots)
        self._scratch_of_one = make_forward_scratch(networks, 1, num_slots)
        action_space: Any = model.action_space
        bounds = (action_space.low.reshape(-1), action_space.high.reshape(-1))
        self._scaling = rollout_kernels.Scaling(*scales_of(model.policy), *bounds)
        self._num_envs, self._num_actions = num_envs, bounds[0].size
        self._decision = self._new_decision()
        self._played: Iterator[rollout_kernels.Decision] = iter(())

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

    def play_ahead(self, env: VecEnv, num_steps: int) -> None:
        """Let environments in processes of their own play the rollout, where that is possible."""
        base = env
        while isinstance(base, VecEnvWrapper):
            base = base.venv
        if not isinstance(base, WorkersVecEnv):
            return
        noise = np.stack([self._draw_noise() for _ in range(num_steps)], axis=1)
        policy = PolicyArrays(self._actor, self._critic, self._scaling, self._scratch_of_one)
        kept = base.play(RolloutActor, [(policy, rows) for rows in noise], num_steps)
        actions, values, log_probs = (
            np.stack([row[name] for row in kept], axis=1) for name in (ACTIONS, VALUES, LOG_PROBS)
        )
        clipped = np.clip(actions, self._scaling.low, self._scaling.high)
        self._played = map(rollout_kernels.Decision, actions, clipped, values, log_probs)

    def act(self, observation: Any) -> rollout_kernels.Decision:  # noqa: ANN401 - SB3's union
        """Draw actions, or return those played; the next call may overwrite them.

        Raises:
            PolicyError: An action or a value is no finite number.
        """
        played = next(self._played, None)
        if played is not None:
            return played
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
        ego = as_rows(observation["ego"], 1)
        scratch = self._scratch
        num_peers = pack_observations(
            ego, as_rows(observation["peers"], 2), as_rows(observation["peer_mask"], 1),
            self._scaling.ego, self._scaling.peer,
            scratch.counts, scratch.peers, scratch.features,
        )  # fmt: skip
        return forward_network(self._critic, len(ego), num_peers, scratch)[:, 0].copy()


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


def _finish(buffer: RolloutBuffer, last_values: Float32Array, dones: Any) -> None:  # noqa: ANN401
    """Fill in the buffer's advantages and returns."""
    rollout_kernels.compute_advantages(
        buffer.rewards, buffer.values, buffer.episode_starts, last_values, dones,
        buffer.gamma, buffer.gae_lambda, buffer.advantages, buffer.returns,
    )  # fmt: skip
