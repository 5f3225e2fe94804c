"""What a base says about itself in ``base.json``: its speeds, its leader, and its use.

The file is optional; a base without one has the values of ``base``. Every key is optional too::

    {
        "description": "Town: crossings, corners and a leader that stops",
        "convoy_speed_mps": [6, 14],
        "held_out": false,
        "leader_profile": {"cruise_s": [4, 12], ..., "stop_share": 0.5}
    }
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_SETTINGS_BYTES, UnusableFileError, read_bounded_text
from ml.errors import ScenarioError, nearest_name_hint
from ml.json_files import parse_json
from ml.provenance import sha256_of_file

BASE_SETTINGS_FILE = "base.json"
MAX_CONVOY_SPEED_MPS = 30.0
"""Highest convoy speed before speedFactor that a base may ask for [m/s]."""

Range = tuple[float, float]


@dataclass(frozen=True)
class LeaderProfileRanges:
    """The ranges of a scripted leader: cycles of cruising, braking, holding and accelerating.

    Attributes:
        cruise_s: Time at the cruising speed [s].
        brake_mps2: Deceleration from it [m/s^2].
        low_speed_share: Speed that is braked to, as a share of the departure speed, where the
            cycle is no stop.
        stop_share: Probability that a cycle brakes to exactly 0.
        hold_s: Time at the low speed, or standing [s].
        accelerate_mps2: Acceleration back [m/s^2].
        cruise_speed_share: Speed of the next cruising, as a share of the departure speed.
    """

    cruise_s: Range = (4.0, 12.0)
    brake_mps2: Range = (0.8, 2.0)
    low_speed_share: Range = (0.1, 0.4)
    stop_share: float = 0.5
    hold_s: Range = (2.0, 8.0)
    accelerate_mps2: Range = (0.8, 1.8)
    cruise_speed_share: Range = (0.7, 1.0)


@dataclass(frozen=True)
class BaseSettings:
    """The settings of a base.

    Attributes:
        description: One line about the road.
        convoy_speed_mps: Slowest and fastest convoy, before speedFactor [m/s].
        held_out: Whether nothing may be trained on the base.
        leader_profile: How the leader's speed profile is drawn; None for a constant speed.
        settings_hash: SHA-256 of the file; None where there is none.
    """

    description: str = ""
    convoy_speed_mps: Range = (6.0, 30.0)
    held_out: bool = False
    leader_profile: LeaderProfileRanges | None = None
    settings_hash: str | None = None

    def text(self) -> str:
        """Return the settings as the text of a ``base.json``."""
        content = asdict(self)
        del content["settings_hash"]
        return json.dumps(content, indent=2) + "\n"


_SETTINGS_KEYS = tuple(
    field.name for field in fields(BaseSettings) if field.name != "settings_hash"
)
_PROFILE_LIMITS: dict[str, Range] = {
    "cruise_s": (1.0, 60.0),
    "brake_mps2": (0.1, 2.4),
    "low_speed_share": (0.0, 1.0),
    "stop_share": (0.0, 1.0),
    "hold_s": (0.1, 60.0),
    "accelerate_mps2": (0.1, 2.6),
    "cruise_speed_share": (0.1, 1.0),
}
"""Ordinary traffic: braking up to the driver's comfortable 3 m/s^2, acceleration of a car."""


def read_base_settings(folder: str | Path) -> BaseSettings:
    """Read the settings of the base in ``folder``; without a ``base.json``, those of ``base``.

    Args:
        folder: The base's folder, which holds its ``scenario.sumocfg``.

    Returns:
        The settings.

    Raises:
        ScenarioError: The file is no JSON object, has an unknown key, or a value breaks its rule.
    """
    path = Path(folder) / BASE_SETTINGS_FILE
    if not path.is_file():
        return BaseSettings()
    try:
        content = parse_json(read_bounded_text(path, LARGEST_SETTINGS_BYTES), is_strict=False)
    except UnusableFileError as error:
        raise ScenarioError(f"{path} must be readable JSON. Got: {error}. Correct it.") from error
    values = _checked_object(content, _SETTINGS_KEYS, f"{path}")
    defaults = BaseSettings()
    profile = values.get("leader_profile")
    return BaseSettings(
        description=_text(values.get("description", defaults.description), path),
        convoy_speed_mps=_range(
            values.get("convoy_speed_mps", defaults.convoy_speed_mps),
            (0.5, MAX_CONVOY_SPEED_MPS),
            f"convoy_speed_mps in {path}",
        ),
        held_out=_flag(values.get("held_out", defaults.held_out), path),
        leader_profile=None if profile is None else _profile(profile, path),
        settings_hash=sha256_of_file(path),
    )


def _profile(content: Any, path: Path) -> LeaderProfileRanges:  # noqa: ANN401 - any JSON value
    """Return the ranges of a leader's profile, checked."""
    name = f"leader_profile in {path}"
    values: dict[str, Any] = {}
    for key, value in _checked_object(content, tuple(_PROFILE_LIMITS), name).items():
        place = f"leader_profile.{key} in {path}"
        limits = _PROFILE_LIMITS[key]
        values[key] = (
            _number(value, limits, place) if key == "stop_share" else _range(value, limits, place)
        )
    return LeaderProfileRanges(**values)


def _checked_object(
    content: Any,  # noqa: ANN401 - any JSON value
    known_keys: Sequence[str],
    name: str,
) -> dict[str, Any]:
    """Return a JSON object whose keys are all known."""
    if not isinstance(content, dict):
        raise ScenarioError(f"{name} must be a JSON object. Got {content!r}. Correct it.")
    _refuse_unknown(content, known_keys, name)
    return content


def _refuse_unknown(keys: Iterable[str], known_keys: Sequence[str], name: str) -> None:
    """Raise for the first key that is not known."""
    for key in keys:
        if key not in known_keys:
            raise ScenarioError(
                f"{name} must hold known keys only. Got {key!r}. "
                f"{nearest_name_hint(key, known_keys)}"
            )


def _text(value: Any, path: Path) -> str:  # noqa: ANN401 - any JSON value
    """Return a text."""
    if not isinstance(value, str):
        raise ScenarioError(f"description in {path} must be a text. Got {value!r}. Correct it.")
    return value


def _flag(value: Any, path: Path) -> bool:  # noqa: ANN401 - any JSON value
    """Return true or false."""
    if not isinstance(value, bool):
        raise ScenarioError(f"held_out in {path} must be true or false. Got {value!r}. Correct it.")
    return value


def _number(value: Any, limits: Range, place: str) -> float:  # noqa: ANN401 - any JSON value
    """Return a number within its limits."""
    low, high = limits
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ScenarioError(
            f"{place} must be a number in [{low:g}, {high:g}]. Got {value!r}. Correct it."
        )
    return float(value)


def _range(value: Any, limits: Range, place: str) -> Range:  # noqa: ANN401 - any JSON value
    """Return a pair low <= high within its limits."""
    if not isinstance(value, (list, tuple)) or len(value) != len(limits):
        raise ScenarioError(f"{place} must be a pair [low, high]. Got {value!r}. Correct it.")
    low, high = (_number(bound, limits, place) for bound in value)
    if low > high:
        raise ScenarioError(
            f"{place} must be a pair [low, high] with low <= high. Got {value!r}. Swap them."
        )
    return low, high
