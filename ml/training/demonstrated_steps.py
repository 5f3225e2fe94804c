"""What an episode shows to learn from: each observation, and what the oracle demands at it.

Episodes are played in processes of their own, so nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from ml.types import Float32Array

NO_INTERVENTION = -1.0
"""Action that leaves the driver alone."""


def play_and_label(
    env: gym.Env[Any, Any],
    observation: Mapping[str, Float32Array],
    act: Callable[[Mapping[str, Float32Array], float], float],
) -> tuple[dict[str, Float32Array], Float32Array]:
    """Play an episode to its end.

    Args:
        env: The environment, just reset.
        observation: What the reset returned.
        act: Gives the action for an observation and the oracle's demand [m/s^2].

    Returns:
        The observation of each step by name, (num_steps, ...), and the demands, (num_steps,).
    """
    convoy: Any = env.unwrapped
    steps: dict[str, list[Float32Array]] = {}
    demands: list[float] = []
    is_over = False
    while not is_over:
        demand_mps2 = convoy.oracle_demand_mps2
        demands.append(demand_mps2)
        for name, values in observation.items():
            steps.setdefault(name, []).append(np.array(values, np.float32))
        action = np.array([act(observation, demand_mps2)], np.float32)
        observation, _, terminated, truncated, _ = env.step(action)
        is_over = terminated or truncated
    arrays = {name: np.stack(values) for name, values in steps.items()}
    return arrays, np.array(demands, np.float32)
