"""Scripted policies with the interface of a trained one: the references of every comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.types import MAX_DEMAND_MPS2, Float32Array

Observation = Mapping[str, Float32Array]

# Columns of `peers` and indices of `ego` that the rule reads; the environment's tables name them.
_FORWARD, _LEFT, _RELATIVE_SPEED, _ACCELERATION = 0, 1, 2, 4
_SPEED_NOW = 0

EEBL_THRESHOLD_MPS2 = 4.0
EEBL_REQUIRED_MPS2 = 2.0
_EEBL_CORRIDOR_M = 12.0
_CAR_LENGTH_M = 4.5
_NO_INTERVENTION = -1.0


@dataclass
class ScriptedPolicy:
    """A rule that acts on an observation as a trained policy does.

    Attributes:
        name: Its name in every table.
        demand: Braking demand [m/s^2] for an observation.
        environment_options: Arguments that the environment needs for this policy.
    """

    name: str
    demand: Callable[[Observation], float]
    environment_options: dict[str, Any] = field(default_factory=dict)

    def attach(self, env: gym.Env[Any, Any]) -> None:
        """Prepare for episodes in ``env``; only the oracle needs it."""
        del env

    def predict(
        self,
        observation: Observation,
        state: None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, None]:
        """Return the action, shape (1,), and no state."""
        del state, episode_start, deterministic
        demand = self.demand(observation)
        action = demand / MAX_DEMAND_MPS2 if demand > 0.0 else _NO_INTERVENTION
        return np.array([min(action, 1.0)], dtype=np.float32), None


class OraclePolicy(ScriptedPolicy):
    """Demands what ground truth requires, without delay: the limit of every policy."""

    def __init__(self) -> None:
        """Wait for an environment to be attached."""
        super().__init__("oracle", self._true_demand)
        self._env: Any = None

    def attach(self, env: gym.Env[Any, Any]) -> None:
        """Read ground truth from ``env``."""
        self._env = env.unwrapped

    def _true_demand(self, observation: Observation) -> float:
        """Return the environment's oracle demand, whatever is observed."""
        del observation
        if self._env is None:
            raise ConfigError("the oracle must be attached to an environment first. Got none.")
        return float(self._env.oracle_demand_mps2)


def _no_demand(observation: Observation) -> float:
    """Return 0: the driver is left alone."""
    del observation
    return 0.0


def _full_demand(observation: Observation) -> float:
    """Return the largest demand, always."""
    del observation
    return MAX_DEMAND_MPS2


def eebl_demand_mps2(
    observation: Observation, threshold_mps2: float = EEBL_THRESHOLD_MPS2
) -> float:
    """Return the demand of an emergency electronic brake light rule.

    A heard peer ahead that brakes harder than the threshold, and that the ego would have to brake
    for, calls for full braking; offsets are already dead-reckoned by age.

    Source: the Emergency Electronic Brake Light application of SAE J2945/1, reduced to its core.

    Args:
        observation: The environment's observation.
        threshold_mps2: Deceleration of a peer that counts as hard braking.
    """
    speed = float(observation["ego"][_SPEED_NOW])
    for peer, mask in zip(observation["peers"], observation["peer_mask"], strict=True):
        ahead, left = float(peer[_FORWARD]), float(peer[_LEFT])
        deceleration = -float(peer[_ACCELERATION])
        if mask < 0.5 or ahead <= 0.0 or abs(left) > _EEBL_CORRIDOR_M:
            continue
        if deceleration < threshold_mps2:
            continue
        peer_speed = max(0.0, speed + float(peer[_RELATIVE_SPEED]))
        room_m = max(ahead - _CAR_LENGTH_M, 1.0) + peer_speed**2 / (2.0 * deceleration)
        if speed**2 / (2.0 * room_m) > EEBL_REQUIRED_MPS2:
            return MAX_DEMAND_MPS2
    return 0.0


_MAKERS: dict[str, Callable[[], ScriptedPolicy]] = {
    "null": lambda: ScriptedPolicy("null", _no_demand, {"ego_driver": "none"}),
    "driver": lambda: ScriptedPolicy("driver", _no_demand),
    "always": lambda: ScriptedPolicy("always", _full_demand),
    "eebl": lambda: ScriptedPolicy("eebl", eebl_demand_mps2),
    "oracle": OraclePolicy,
}

SCRIPTED_POLICY_NAMES = tuple(_MAKERS)


def make_scripted_policy(name: str) -> ScriptedPolicy:
    """Return the scripted policy of that name.

    Args:
        name: One of SCRIPTED_POLICY_NAMES.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in _MAKERS:
        hint = nearest_name_hint(name, _MAKERS)
        raise ConfigError(f"policy must be a known scripted one. Got {name!r}. {hint}")
    return _MAKERS[name]()
