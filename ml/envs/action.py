"""The action: one number that demands braking or leaves the driver alone."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np

from ml.errors import ConfigError
from ml.types import MAX_DEMAND_MPS2, Float32Array


def action_space() -> gym.Space[Float32Array]:
    """Return ``Box(-1, 1, (1,))``: a <= 0 is no intervention, a > 0 demands ``8 a`` m/s^2."""
    space: gym.Space[Float32Array] = gym.spaces.Box(-1.0, 1.0, (1,), dtype=np.float32)
    return space


def demand_from_action(action: np.ndarray) -> float:
    """Return the braking demand of an action of shape (1,), clipped to its space [m/s^2].

    >>> demand_from_action(np.array([0.5]))
    4.0

    Raises:
        ConfigError: The action is no finite number, or more than one.
    """
    values = action if isinstance(action, np.ndarray) else np.asarray(action, dtype=np.float64)
    value = float(values.item()) if values.size == 1 else math.nan
    if not math.isfinite(value):
        raise ConfigError(f"action must be one finite number of shape (1,). Got {action!r}.")
    return MAX_DEMAND_MPS2 * min(1.0, max(0.0, value))
