"""Scripted policies with the interface of a trained one: the references of every comparison.

docs/baselines.md has their rules as a table. None keeps anything of an episode in itself, so one
object plays any episodes in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.metrics.safety_kernels import required_deceleration_mps2
from ml.policies.rss import rss_demand_mps2
from ml.types import (
    CONTROL_PERIOD_S,
    EGO_SPEED,
    MAX_DEMAND_MPS2,
    PEER_ACCELERATION,
    PEER_FORWARD,
    PEER_LEFT,
    PEER_RELATIVE_SPEED,
    TRACE_DEMAND,
    TRACE_GAP,
    TRACE_LEAD_ACCELERATION,
    TRACE_LEAD_SPEED,
    TRACE_SPEED,
    Float32Array,
    FloatArray,
)

Observation = Mapping[str, Float32Array]

EEBL_THRESHOLD_MPS2 = 4.0
EEBL_REQUIRED_MPS2 = 2.0
_EEBL_CORRIDOR_M = 12.0
_CAR_LENGTH_M = 4.5
_EEBL_THRESHOLDS_MPS2 = (0.1, 12.0)

AEB_LATENCY_S = 0.2
AEB_TRIGGER_MPS2 = 4.8
AEB_RELEASE_MPS2 = 1.0
_AEB_LATENCY_STEPS = round(AEB_LATENCY_S / CONTROL_PERIOD_S)

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
        """Prepare for episodes in ``env``; only what reads ground truth needs it."""
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


class AebPolicy(ScriptedPolicy):
    """Automatic emergency braking without a radio, by :func:`aeb_demand_mps2`."""

    def __init__(self) -> None:
        """Wait for an environment to be attached."""
        super().__init__("aeb", self._seen_demand)
        self._env: Any = None

    def attach(self, env: gym.Env[Any, Any]) -> None:
        """See the car directly ahead in ``env``."""
        self._env = env.unwrapped

    def _seen_demand(self, observation: Observation) -> float:
        """Return the demand for what the sensor shows now, whatever is heard."""
        del observation
        if self._env is None:
            raise ConfigError("aeb must be attached to an environment first. Got none.")
        return aeb_demand_mps2(self._env.trace)


def aeb_demand_mps2(trace: FloatArray) -> float:
    """Return the demand of an emergency brake that sees the car directly ahead perfectly.

    It sees gap, speeds and the acceleration ahead as they were 0.2 s ago. Full braking begins when
    the deceleration that they require exceeds 4.8 m/s^2. It goes on until less than 1 m/s^2 is
    required: when the car ahead no longer brakes and is no slower, or when the ego stands.

    Source: the strong form of a radar or camera AEB; 4.8 m/s^2 is 0.6 of its full braking of
    8 m/s^2. Simplified: no error of measurement, no first stage of partial braking, and nothing is
    known in the first 0.2 s of an episode.

    Args:
        trace: Ground truth so far, shape (num_steps, NUM_TRACE_FIELDS), as the environment's.
    """
    if len(trace) <= _AEB_LATENCY_STEPS:
        return 0.0
    seen = trace[-1 - _AEB_LATENCY_STEPS]
    required = required_deceleration_mps2(
        float(seen[TRACE_GAP]), float(seen[TRACE_SPEED]),
        float(seen[TRACE_LEAD_SPEED]), float(seen[TRACE_LEAD_ACCELERATION]),
    )  # fmt: skip
    is_braking = trace[-1, TRACE_DEMAND] > 0.0
    is_called_for = required > (AEB_RELEASE_MPS2 if is_braking else AEB_TRIGGER_MPS2)
    return MAX_DEMAND_MPS2 if is_called_for else 0.0


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
        threshold_mps2: Deceleration of a peer that counts as hard braking, above 0.
    """
    is_hard = eebl_braking_mps2(observation) >= threshold_mps2
    return MAX_DEMAND_MPS2 if is_hard else 0.0


def eebl_braking_mps2(observation: Observation) -> float:
    """Return the hardest braking that :func:`eebl_demand_mps2` weighs against its threshold.

    Args:
        observation: The environment's observation.

    Returns:
        The largest deceleration of a heard peer ahead that the ego would have to brake for; 0
        where there is none.
    """
    speed = float(observation["ego"][EGO_SPEED])
    hardest = 0.0
    for peer, mask in zip(observation["peers"], observation["peer_mask"], strict=True):
        deceleration = -float(peer[PEER_ACCELERATION])
        if mask < 0.5 or deceleration <= hardest:
            continue
        ahead, left = float(peer[PEER_FORWARD]), float(peer[PEER_LEFT])
        if ahead <= 0.0 or abs(left) > _EEBL_CORRIDOR_M:
            continue
        peer_speed = max(0.0, speed + float(peer[PEER_RELATIVE_SPEED]))
        room_m = max(ahead - _CAR_LENGTH_M, 1.0) + peer_speed**2 / (2.0 * deceleration)
        if speed**2 / (2.0 * room_m) > EEBL_REQUIRED_MPS2:
            hardest = deceleration
    return hardest


_MAKERS: dict[str, Callable[[], ScriptedPolicy]] = {
    "null": lambda: ScriptedPolicy("null", _no_demand, {"ego_driver": "none"}),
    "driver": lambda: ScriptedPolicy("driver", _no_demand),
    "always": lambda: ScriptedPolicy("always", _full_demand),
    "aeb": AebPolicy,
    # The environment's own driver, with the regulation's reaction in place of a drawn one.
    "r157": lambda: ScriptedPolicy("r157", _no_demand, {"ego_driver": "careful"}),
    "eebl": lambda: ScriptedPolicy("eebl", eebl_demand_mps2),
    "rss": lambda: ScriptedPolicy("rss", rss_demand_mps2),
    "oracle": OraclePolicy,
}

SCRIPTED_POLICY_NAMES = tuple(_MAKERS)

DEAF_POLICY_NAMES = ("null", "driver", "always", "aeb", "r157", "oracle")
"""Those that act alike whatever the radio does."""


def is_scripted_policy(name: str) -> bool:
    """Return whether ``name`` names a scripted policy, ``eebl@...`` included.

    >>> is_scripted_policy("eebl@3.0"), is_scripted_policy("demo@3.0")
    (True, False)
    """
    return name in _MAKERS or name.startswith("eebl@")


def make_scripted_policy(name: str) -> ScriptedPolicy:
    """Return the scripted policy of that name.

    Args:
        name: One of SCRIPTED_POLICY_NAMES, or ``eebl@`` and the deceleration [m/s^2] that counts
            as hard braking, as in ``eebl@3.0``.

    Raises:
        ConfigError: The name is unknown, or the threshold is out of range.
    """
    if name.startswith("eebl@"):
        threshold = eebl_threshold_mps2(name)
        return ScriptedPolicy(name, partial(eebl_demand_mps2, threshold_mps2=threshold))
    if name not in _MAKERS:
        hint = nearest_name_hint(name, _MAKERS)
        raise ConfigError(f"policy must be a known scripted one. Got {name!r}. {hint}")
    return _MAKERS[name]()


def eebl_threshold_mps2(name: str) -> float:
    """Return the threshold of ``eebl`` or of a name such as ``eebl@3.0``.

    Raises:
        ConfigError: It is no number, or out of range.
    """
    if name == "eebl":
        return EEBL_THRESHOLD_MPS2
    low, high = _EEBL_THRESHOLDS_MPS2
    try:
        threshold = float(name.partition("@")[2])
    except ValueError:
        threshold = math.nan
    if not low <= threshold <= high:
        raise ConfigError(
            f"threshold of eebl must be a number in [{low:g}, {high:g}] m/s^2. Got {name!r:.60}. "
            "Write it as in eebl@3.0."
        )
    return threshold
