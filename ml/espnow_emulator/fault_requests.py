"""Radio faults as an evaluation asks for them: texts, mappings, moments relative to the hazard."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml.errors import ConfigError, nearest_name_hint
from ml.espnow_emulator.faults import FAULT_KINDS, SOURCE, RadioFault, check_num_attacks

FaultRequest = RadioFault | Mapping[str, Any] | str
_KEYS = tuple(field.name for field in dataclasses.fields(RadioFault))
_LONGEST_TEXT = 200
LARGEST_NUM_FAULTS = 64
"""Of an episode: more would only slow it down."""


def fault_from_text(text: str) -> RadioFault:
    """Return the fault that ``KIND[:key=value,...]`` describes.

    Args:
        text: The kind and any of ``car``, ``start_s``, ``duration_s`` and ``value``.

    Raises:
        ConfigError: A name is unknown, or a value is of no use.

    >>> fault_from_text("blackout:car=1,start_s=onset+0.5,duration_s=2").duration_s
    2.0
    """
    if len(text) > _LONGEST_TEXT:
        raise ConfigError(
            f"a radio fault must have at most {_LONGEST_TEXT} letters. Got {text[:40]!r}..."
        )
    kind, _, rest = text.partition(":")
    mapping: dict[str, Any] = {"kind": kind}
    for item in rest.split(",") if rest else ():
        key, is_pair, value = item.partition("=")
        if not is_pair or not value or key in mapping:
            raise ConfigError(
                "a radio fault must be KIND[:key=value,...], each key once, as "
                f"blackout:car=1,start_s=onset,duration_s=2. Got {text!r}."
            )
        mapping[key] = _number_or_text(key, value)
    return fault_from_mapping(mapping)


def _number_or_text(key: str, text: str) -> int | float | str:
    """Return the number that a text holds, else the text."""
    try:
        return int(text) if key == "car" else float(text)
    except ValueError:
        return text


def fault_from_mapping(mapping: Mapping[str, Any]) -> RadioFault:
    """Return the fault that a mapping describes, with RadioFault's attributes as its keys.

    Raises:
        ConfigError: A key is unknown, ``kind`` is missing, or a value is of no use.
    """
    for key in mapping:
        if key not in _KEYS:
            hint = nearest_name_hint(str(key), _KEYS)
            raise ConfigError(f"key of a radio fault must be a known one. Got {key!r}. {hint}")
    if "kind" not in mapping:
        kinds = ", ".join(FAULT_KINDS)
        raise ConfigError(f"kind of a radio fault must be given, one of {kinds}. Got none.")
    return RadioFault(**mapping)


def checked_faults(faults: object) -> tuple[RadioFault, ...]:
    """Return the faults that a caller asks for, each a RadioFault, a mapping or a text.

    Raises:
        ConfigError: It is no sequence of them, or they are too many in all or on one car.
    """
    if not isinstance(faults, Sequence) or isinstance(faults, (str, bytes)):
        raise ConfigError(f"radio_faults must be a list of radio faults. Got {faults!r}.")
    if len(faults) > LARGEST_NUM_FAULTS:
        raise ConfigError(
            f"radio_faults must be at most {LARGEST_NUM_FAULTS}. Got {len(faults)}. Leave some out."
        )
    checked = tuple(_fault_from(fault) for fault in faults)
    check_num_attacks(checked)
    return checked


def _fault_from(fault: object) -> RadioFault:
    """Return the fault that a value of any accepted form describes."""
    if isinstance(fault, RadioFault):
        return fault
    if isinstance(fault, str):
        return fault_from_text(fault)
    if isinstance(fault, Mapping):
        return fault_from_mapping(fault)
    raise ConfigError(f"a radio fault must be a dict or a text. Got {fault!r}.")


def placed_faults(
    faults: Sequence[RadioFault], onset_s: float, source_rank: int
) -> list[RadioFault]:
    """Return an episode's faults with every moment a number and every car a rank or "all".

    Where no car brakes, faults at the onset and faults of the braking car do not happen.

    Args:
        faults: What was asked for.
        onset_s: The hazard's onset on the episode's clock [s], infinite without a hazard.
        source_rank: Rank of the braking car, 0 without one.
    """
    placed = []
    for fault in faults:
        offset_s = fault.offset_from_onset_s
        is_of_hazard = offset_s is not None or fault.car == SOURCE
        if is_of_hazard and (source_rank == 0 or math.isinf(onset_s)):
            continue
        start_s = fault.start_s if offset_s is None else onset_s + offset_s
        car = source_rank if fault.car == SOURCE else fault.car
        placed.append(dataclasses.replace(fault, start_s=start_s, car=car))
    return placed
