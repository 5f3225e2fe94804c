"""The choice of what learns: stable-baselines3 as it is, or with compiled rollouts and updates."""

from __future__ import annotations

import sys
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from ml.training.fast_ppo import accelerate
from ml.training.reward_scaling import ScaledRewards
from ml.training.rollout import LEARNERS

_FAST, _SB3 = LEARNERS


def scale_rewards(vector: VecEnv, learner: str, gamma: float) -> VecNormalize:
    """Return the environments with rewards divided by the deviation of their discounted return.

    Args:
        vector: The environments.
        learner: One of LEARNERS.
        gamma: The discount.
    """
    if learner == _FAST:
        return ScaledRewards(vector, gamma)
    return VecNormalize(vector, norm_obs=False, norm_reward=True, gamma=gamma)


def choose_learner(model: PPO, learner: str) -> dict[str, Any]:
    """Make a new model fast if that is asked for and possible; say on standard error if it is not.

    Args:
        model: The model; changed in place.
        learner: One of LEARNERS.

    Returns:
        `asked`, `used` and the `reason` why they differ, None if they do not.
    """
    reason = accelerate(model) if learner == _FAST else None
    if reason is not None:
        sys.stderr.write(f"--learner fast is not used: {reason}. Plain PPO learns instead.\n")
    return {"asked": learner, "used": learner if reason is None else _SB3, "reason": reason}
