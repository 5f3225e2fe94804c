"""``VecNormalize`` for rewards alone, without its copies of every observation."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ml.training.rollout_kernels import scale_rewards
from ml.training.stage_shares import TimedVecEnv
from ml.training.vector_adapter import WorkersVecEnv
from ml.types import BoolArray, Float32Array


class ScaledRewards(VecNormalize):
    """Scales rewards as ``VecNormalize(norm_obs=False)`` does; observations pass through.

    Args:
        venv: The environments; they must not overwrite an observation that they gave out.
        gamma: Discount of the returns whose deviation the rewards are divided by.
    """

    def __init__(self, venv: VecEnv, gamma: float) -> None:
        super().__init__(venv, norm_obs=False, norm_reward=True, gamma=gamma)
        self._limits = np.array([gamma, self.epsilon, self.clip_reward])

    @property
    def workers(self) -> WorkersVecEnv | None:
        """The environments if they can play by themselves: their steps pass nothing else."""
        base = self.venv.venv if isinstance(self.venv, TimedVecEnv) else self.venv
        return base if isinstance(base, WorkersVecEnv) and self.training else None

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step's results, count its rewards in while training, and scale them."""
        if not self.training:
            return super().step_wait()
        observations, rewards, dones, infos = self.venv.step_wait()
        self.old_obs, self.old_reward = observations, rewards  # type: ignore[assignment]  # a dict
        return observations, self.scale(rewards[None], dones[None])[0], dones, infos

    def scale(self, rewards: Float32Array, dones: BoolArray) -> Float32Array:
        """Count the rewards of one step after the other in, and return them scaled.

        Args:
            rewards: Shape (steps, num_envs).
            dones: Whether a step ended an episode, shape (steps, num_envs).
        """
        seen = self.ret_rms
        moments = np.array([seen.mean, seen.var, seen.count])
        scaled = np.empty(rewards.shape, np.float32)
        scale_rewards(rewards, dones, self.returns, moments, self._limits, scaled)
        seen.mean, seen.var, seen.count = moments
        return scaled
