"""The learner's kernels, compiled on another core while the environments' are.

``python -m ml.training.compile_learner`` learns for two steps from an environment that does
nothing, as the real training will, and keeps nothing but the kernels. They are a third of all
that a first training compiles, and no training needs them before its first episodes have begun.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from ml.envs.action import action_space
from ml.envs.observation import observation_space
from ml.kernels import is_kept
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.processors import usable_cores
from ml.training import recipe
from ml.training.learners import choose_learner, scale_rewards
from ml.training.ppo_kernels import take_step
from ml.training.rollout import LEARNERS

_FAST = LEARNERS[0]


class _StillEnv(gym.Env[dict[str, Any], Any]):
    """Has the real environment's spaces; nothing happens."""

    observation_space = observation_space()
    action_space = action_space()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return an observation."""
        super().reset(seed=seed, options=options)
        return self.observation_space.sample(), {}

    def step(self, action: object) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Return an observation."""
        del action
        return self.observation_space.sample(), 0.0, False, False, {}


def compile_learner() -> None:
    """Learn for two steps, for the sake of the kernels."""
    model = PPO(
        "MultiInputPolicy",
        scale_rewards(DummyVecEnv([_StillEnv]), _FAST, recipe.GAMMA),
        policy_kwargs=create_deep_set_policy_kwargs(peer_embed_dim=recipe.PEER_EMBED_DIM),
        n_steps=2,
        batch_size=2,
        n_epochs=1,
        device="cpu",
    )
    choose_learner(model, _FAST)
    model.learn(2)


@contextmanager
def learner_compiled_beside(learner: str) -> Iterator[None]:
    """Compile the learner's kernels beside what is done inside, if they are not kept yet.

    Whoever needs one of them waits until it is there. With one core there is nothing to gain.
    """
    if learner != _FAST or usable_cores() == 1 or is_kept(take_step):
        yield
        return
    search_path = os.pathsep.join(entry or os.curdir for entry in sys.path)
    command = [sys.executable, "-P", "-m", "ml.training.compile_learner"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": search_path},
    ) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    compile_learner()
