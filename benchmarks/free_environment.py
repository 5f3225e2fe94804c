"""An environment that costs nothing, in a module of its own for the processes that import it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from ml.envs.action import action_space
from ml.envs.observation import observation_space


class FreeEnv(gym.Env[dict[str, Any], Any]):
    """Has the real environment's spaces and does nothing; an episode never ends."""

    observation_space = observation_space()
    action_space = action_space()

    def __init__(self, *, environment_index: int = 0) -> None:
        del environment_index
        boxes = self.observation_space.spaces
        self._observation = {
            key: np.zeros(box.shape or (), box.dtype) for key, box in boxes.items()
        }
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the same observation as ever."""
        del seed, options
        return self._observation, self._info

    def step(self, action: object) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Return the same observation as ever."""
        del action
        return self._observation, 0.0, False, False, self._info
