"""The frozen protocol of an evaluation: families, radio presets, seeds, sizes and thresholds.

A protocol is a TOML file, fixed before training; PACKAGED_PROTOCOLS come with the package.
Everything that decides an episode is in it or follows from it, so its hash stands in every result.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml.bounded_files import LARGEST_SETTINGS_BYTES, read_bounded_text
from ml.errors import ConfigError, nearest_name_hint
from ml.espnow_emulator.parameters import load_radio_parameters, radio_parameters_path
from ml.evaluation.family_plans import FAMILY_PLANS, FamilyPlan
from ml.evaluation.gate_limits import GateLimits
from ml.evaluation.table_fields import (
    inner_table,
    number,
    numbers,
    pair,
    read_table,
    reads,
    text,
    texts,
    whole,
)
from ml.provenance import sha256_of_file, sha256_of_text
from ml.seeding import MAX_MASTER_SEED

PROTOCOLS_FOLDER = Path(__file__).resolve().parent / "protocols"
PACKAGED_PROTOCOLS = ("smoke", "screening", "short-gaps", "release-gates", "release")
NOMINAL = "nominal"
"""Name of the radio preset that stands for the packaged parameter file."""
CASES_VERSION = "1"
"""To be raised whenever the same protocol file begins to mean other cases."""

_EARLIEST_ONSET_S = 2.0


@dataclass(frozen=True)
class OperatingCurvePlan:
    """Thresholds over which collisions are held against false alarms.

    Attributes:
        policy_mps2: Demands below which the policy is not listened to; beyond 8 m/s^2 they compare
            what a network says before it is cut to the largest demand.
        eebl_mps2: Decelerations of a heard car that count as hard braking.
    """

    policy_mps2: tuple[float, ...] = field(metadata=reads(numbers(0.0, 12.0)))
    eebl_mps2: tuple[float, ...] = field(metadata=reads(numbers(0.1, 12.0)))


@dataclass(frozen=True)
class FollowerPlan:
    """Virtual followers of the ego: every headway with every delay.

    Attributes:
        headway_s: Their time gaps.
        delay_s: Their reaction delays.
    """

    headway_s: tuple[float, ...] = field(metadata=reads(numbers(0.1, 10.0)))
    delay_s: tuple[float, ...] = field(metadata=reads(numbers(0.0, 5.0)))


def _families(value: object, name: str) -> dict[str, FamilyPlan]:
    """Read the table of the families."""
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"{name} must be a table of families. Got {value!r}. Add [families.H].")
    for letter in value:
        if letter not in FAMILY_PLANS:
            hint = nearest_name_hint(str(letter), FAMILY_PLANS)
            raise ConfigError(f"{name} must hold known families only. Got {letter!r}. {hint}")
    return {
        letter: read_table(kind, value[letter], f"{letter} of {name}")
        for letter, kind in FAMILY_PLANS.items()
        if letter in value
    }


def _stress_presets(value: object, name: str) -> dict[str, tuple[str, ...]]:
    """Read the table of stress presets: which cases each is for."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a table. Got {value!r}. Add [stress_presets].")
    return {preset: texts(cases, f"{preset} of {name}") for preset, cases in value.items()}


@dataclass(frozen=True)
class Protocol:
    """Everything that an evaluation fixes beforehand.

    Attributes:
        name: Its name.
        seed: Master seed of its scenarios and episodes.
        episode_s: Length of an episode; family D sets its own.
        onset_s: When a car begins to brake.
        friction_mps2: Largest deceleration that the road allows.
        radio_presets: Radio parameters of every case: "nominal", or a preset's name.
        stress_presets: Further presets, each with the cases it is for: a family's letter, or
            letter and variant as "R-clean".
        families: What is fixed of each family, by its letter.
        gates: Thresholds of the gates.
        operating_curve: Thresholds of the operating curves.
        followers: Virtual followers.
    """

    name: str = field(metadata=reads(text))
    seed: int = field(metadata=reads(whole(0, MAX_MASTER_SEED)))
    episode_s: float = field(metadata=reads(number(15.0, 120.0)))
    onset_s: tuple[float, float] = field(metadata=reads(pair(_EARLIEST_ONSET_S, 60.0)))
    friction_mps2: float = field(metadata=reads(number(3.0, 12.0)))
    radio_presets: tuple[str, ...] = field(metadata=reads(texts))
    stress_presets: Mapping[str, tuple[str, ...]] = field(metadata=reads(_stress_presets))
    families: Mapping[str, FamilyPlan] = field(metadata=reads(_families))
    gates: GateLimits = field(metadata=reads(inner_table(GateLimits)))
    operating_curve: OperatingCurvePlan = field(metadata=reads(inner_table(OperatingCurvePlan)))
    followers: FollowerPlan = field(metadata=reads(inner_table(FollowerPlan)))

    @property
    def sha256(self) -> str:
        """Hash of the content: values, radio parameter files and version of the cases."""
        content = {
            "cases_version": CASES_VERSION,
            "protocol": dataclasses.asdict(self),
            "radio_files": {
                name: sha256_of_file(radio_preset_path(name))
                for name in (*self.radio_presets, *self.stress_presets)
            },
        }
        return sha256_of_text(json.dumps(content, sort_keys=True, allow_nan=False))

    def presets_of(self, family: str, variant: str | None = None) -> tuple[str, ...]:
        """Return the radio presets that a case is played under, the gates' first.

        Args:
            family: The case's family.
            variant: Its variant, None where the family has none.
        """
        names = {family, f"{family}-{variant}"}
        stress = [preset for preset, cases in self.stress_presets.items() if names & set(cases)]
        return (*self.radio_presets, *stress)


def radio_preset_path(name: str) -> Path:
    """Return the radio parameter file of a preset that a protocol names.

    Args:
        name: "nominal", a preset of the protocols, or one of the emulator's.
    """
    if name == NOMINAL:
        return radio_parameters_path(None)
    own = PROTOCOLS_FOLDER / f"{name}.json"
    is_own = os.path.isfile(own)  # noqa: PTH113 - unlike Path's, false for a name too long
    return own if is_own else radio_parameters_path(name)


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a protocol.

    Args:
        name_or_path: The name of a packaged one, or a file.

    Raises:
        ConfigError: It cannot be read, a key is unknown or missing, or a value breaks its rule.
        RadioParameterError: The file of a radio preset cannot be used.
    """
    path = _protocol_path(name_or_path)
    try:
        content = tomllib.loads(read_bounded_text(path, LARGEST_SETTINGS_BYTES))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"protocol {path} must be readable TOML in UTF-8. Got: {error}. Correct it, or name "
            f"one of {', '.join(PACKAGED_PROTOCOLS)}."
        ) from error
    protocol = read_table(Protocol, content, f"protocol {path}")
    _check(protocol, path)
    return protocol


def _protocol_path(name_or_path: str | Path) -> Path:
    """Return the file of a protocol."""
    if str(name_or_path) in PACKAGED_PROTOCOLS:
        return PROTOCOLS_FOLDER / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix != ".toml":
        hint = nearest_name_hint(str(name_or_path), PACKAGED_PROTOCOLS)
        raise ConfigError(
            f"protocol must be one of {', '.join(PACKAGED_PROTOCOLS)}, or a .toml file. "
            f"Got {str(name_or_path)!r}. {hint}"
        )
    return path


def _check(protocol: Protocol, path: Path) -> None:
    """Check what depends on several values."""
    if not protocol.radio_presets:
        raise ConfigError(
            f"radio_presets of protocol {path} must name a preset. Got none. Add {NOMINAL!r}."
        )
    latest_s = protocol.episode_s - 10.0
    if protocol.onset_s[1] > latest_s:
        raise ConfigError(
            f"onset_s of protocol {path} must end by {latest_s:g} s, 10 s before the episode does. "
            f"Got {list(protocol.onset_s)}. Lengthen episode_s."
        )
    for preset in (*protocol.radio_presets, *protocol.stress_presets):
        load_radio_parameters(radio_preset_path(preset))
