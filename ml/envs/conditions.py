"""What is drawn once per episode besides scenario and hazard: the ego's driver and the road."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.envs.driver_kernels import (
    DRIVER_DESIRED_SPEED,
    DRIVER_LAPSE_DURATION,
    DRIVER_LAPSE_OFFSET,
    DRIVER_LAPSE_PERIOD,
    DRIVER_REACTION,
    DRIVER_TIME_GAP,
    NUM_DRIVER_PARAMETERS,
)
from ml.errors import ConfigError, nearest_name_hint
from ml.types import FloatArray

EGO_DRIVERS = ("human", "careful", "none", "sumo")
PEER_DRIVERS = ("sumo", "delayed")

TIME_GAP_S = (0.4, 2.0)
REACTION_S = (0.75, 1.5)
CAREFUL_REACTION_S = 0.65
"""Reaction of the competent and careful driver of UN Regulation No. 157, as this model counts it.

The regulation's driver evaluates for 0.4 s and acts 0.75 s later: 1.15 s pass from the onset ahead
to its braking. Off that go 0.2 s in which braking that builds up at 20 m/s^3 passes the driver
model's trigger, and the actuator's dead time and lag, 0.3 s. It is always attentive.
"""
PEER_REACTION_S = (0.75, 1.15)
LAPSE_PERIOD_S = 30.0
LAPSE_DURATION_S = (0.3, 0.75)
DRY_FRICTION_MPS2 = (8.0, 9.8)
WET_FRICTION_MPS2 = 5.0
WET_SHARE = 0.2
_DESIRED_SPEED_FACTOR = 1.5
_MIN_DESIRED_SPEED_MPS = 5.0


@dataclass(frozen=True)
class Conditions:
    """The ego's driver and the road in one episode.

    Attributes:
        time_gap_s: The ego driver's time gap: equilibrium gap = 2 m + time gap * speed.
        reaction_s: The ego driver's reaction delay in an emergency, lapses excluded.
        lapse_offset_s: Where in each period of 30 s the driver's attention lapses.
        lapse_duration_s: How long it lapses.
        friction_mps2: Largest deceleration of every car.
        ego_driver: One of EGO_DRIVERS.
        peer_driver: One of PEER_DRIVERS.
    """

    time_gap_s: float
    reaction_s: float
    lapse_offset_s: float
    lapse_duration_s: float
    friction_mps2: float
    ego_driver: str = "human"
    peer_driver: str = "sumo"

    def driver_parameters(self, convoy_speed_mps: float, *, has_lead: bool) -> FloatArray:
        """Return the ego driver's parameters, shape (NUM_DRIVER_PARAMETERS,)."""
        parameters = np.zeros(NUM_DRIVER_PARAMETERS)
        parameters[DRIVER_TIME_GAP] = self.time_gap_s
        parameters[DRIVER_REACTION] = self.reaction_s
        parameters[DRIVER_LAPSE_PERIOD] = LAPSE_PERIOD_S
        parameters[DRIVER_LAPSE_OFFSET] = self.lapse_offset_s
        parameters[DRIVER_LAPSE_DURATION] = self.lapse_duration_s
        parameters[DRIVER_DESIRED_SPEED] = convoy_speed_mps
        if has_lead:
            parameters[DRIVER_DESIRED_SPEED] = desired_speed_mps(convoy_speed_mps)
        return parameters


def desired_speed_mps(convoy_speed_mps: float) -> float:
    """Return the speed that a following driver would reach on a free road."""
    return _DESIRED_SPEED_FACTOR * max(convoy_speed_mps, _MIN_DESIRED_SPEED_MPS)


MAX_EPISODE_STEPS = 100_000

_RANGES = {
    "headway_s": (0.1, 10.0),
    "reaction_delay_s": (0.0, 1.5),
    "friction_mps2": (1.0, 12.0),
}
RESET_OPTIONS = (
    "scenario_id", "episode_index", "hazard", *_RANGES, "ego_driver", "peer_driver", "radio_faults",
    "bystander",
)  # fmt: skip


def checked_reset_options(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the environment's ``reset`` options, or raise ConfigError on a malformed one.

    Args:
        options: What the caller gave; None is empty.

    Raises:
        ConfigError: A name is unknown, or ``episode_index`` or ``hazard`` is of the wrong type.
    """
    checked = options or {}
    for name in checked:
        if name not in RESET_OPTIONS:
            hint = nearest_name_hint(name, RESET_OPTIONS)
            raise ConfigError(f"reset option {name!r} is unknown. {hint}")
    index = checked.get("episode_index", 0)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise ConfigError(f"reset option episode_index must be an integer >= 0. Got {index!r}.")
    hazard = checked.get("hazard")
    if hazard is not None and not isinstance(hazard, Mapping):
        raise ConfigError(f"reset option hazard must be a dict. Got {hazard!r}.")
    return checked


def draw_conditions(
    generator: np.random.Generator, *, ego_driver: str, peer_driver: str, options: Mapping[str, Any]
) -> Conditions:
    """Draw an episode's conditions; the same numbers are drawn whatever ``options`` fixes.

    Args:
        generator: The episode's driver stream.
        ego_driver: The environment's ego driver.
        peer_driver: The environment's peer driver.
        options: Values to use instead: ``headway_s``, ``reaction_delay_s``, ``friction_mps2``,
            ``ego_driver``, ``peer_driver``. The careful driver's reaction is its own.

    Raises:
        ConfigError: An option is out of range.
    """
    time_gap_s = float(generator.uniform(*TIME_GAP_S))
    reaction_s = float(generator.uniform(*REACTION_S))
    lapse_offset_s = float(generator.uniform(0.0, LAPSE_PERIOD_S))
    lapse_duration_s = float(generator.uniform(*LAPSE_DURATION_S))
    is_wet = bool(generator.uniform() < WET_SHARE)
    dry_friction = float(generator.uniform(*DRY_FRICTION_MPS2))
    numbers = {name: _number_option(name, options) for name in _RANGES if name in options}
    driver = checked_choice("ego_driver", options.get("ego_driver", ego_driver), EGO_DRIVERS)
    if driver == "careful":
        numbers["reaction_delay_s"] = CAREFUL_REACTION_S
    return Conditions(
        time_gap_s=numbers.get("headway_s", time_gap_s),
        reaction_s=numbers.get("reaction_delay_s", reaction_s),
        lapse_offset_s=lapse_offset_s,
        lapse_duration_s=0.0 if "reaction_delay_s" in numbers else lapse_duration_s,
        friction_mps2=numbers.get("friction_mps2", WET_FRICTION_MPS2 if is_wet else dry_friction),
        ego_driver=driver,
        peer_driver=checked_choice(
            "peer_driver", options.get("peer_driver", peer_driver), PEER_DRIVERS
        ),
    )


def checked_max_steps(max_steps: object) -> int:
    """Return the length of an episode if it is in its range, else raise ConfigError."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int):
        raise ConfigError(f"max_steps must be an integer. Got {max_steps!r}.")
    if not 1 <= max_steps <= MAX_EPISODE_STEPS:
        raise ConfigError(f"max_steps must be in [1, {MAX_EPISODE_STEPS}]. Got {max_steps}.")
    return max_steps


def checked_choice(name: str, value: object, known: tuple[str, ...]) -> str:
    """Return ``value`` if it is a known one, else raise ConfigError."""
    if value not in known:
        hint = nearest_name_hint(str(value), known)
        raise ConfigError(f"{name} must be one of {', '.join(known)}. Got {value!r}. {hint}")
    return str(value)


def _number_option(name: str, options: Mapping[str, Any]) -> float:
    """Return a numeric option of ``reset``, or raise ConfigError."""
    value = options[name]
    low, high = _RANGES[name]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ConfigError(f"option {name} must be a number. Got {value!r}.")
    if not low <= value <= high:
        raise ConfigError(f"option {name} must be in [{low:g}, {high:g}]. Got {value}.")
    return float(value)
