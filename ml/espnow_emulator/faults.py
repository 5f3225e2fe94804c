"""Faults of the radio and of sensors, and attacks, to be injected at a chosen moment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.espnow_emulator.radio_layout import (
    FAULT_BLACKOUT,
    FAULT_BURST,
    FAULT_CAR,
    FAULT_CLOCK_JUMP,
    FAULT_DUPLICATE,
    FAULT_FORGED,
    FAULT_FROM,
    FAULT_FROZEN_GPS,
    FAULT_GPS_JUMP,
    FAULT_KIND,
    FAULT_REBOOT,
    FAULT_REPLAY,
    FAULT_SEQUENCE_RESET,
    FAULT_UNEQUIPPED,
    FAULT_UNTIL,
    FAULT_VALUE,
    NUM_FAULT_FIELDS,
)
from ml.types import FloatArray


@dataclass(frozen=True)
class FaultKind:
    """What a kind of fault needs.

    Attributes:
        code: Its number in the kernels' table.
        meaning: What happens, in a few words.
        unit: Unit of ``value``; empty when the kind has none.
        default: ``value`` when none is given.
        low: Least ``value``.
        high: Largest ``value``.
        strikes_ego: Whether it may strike the ego's own board, row 0.
        is_whole: Whether ``value`` is a whole number.
        is_lasting: Whether it lasts, so that ``duration_s`` matters.
    """

    code: int
    meaning: str
    unit: str = ""
    default: float = 0.0
    low: float = 0.0
    high: float = 0.0
    strikes_ego: bool = False
    is_whole: bool = False
    is_lasting: bool = True


FAULT_KINDS: dict[str, FaultKind] = {
    "blackout": FaultKind(FAULT_BLACKOUT, "the ego hears nothing of the car"),
    "burst": FaultKind(
        FAULT_BURST, "the car's next frames are lost", "frames", 15.0, 1.0, 1000.0, is_whole=True
    ),
    "frozen_gps": FaultKind(
        FAULT_FROZEN_GPS, "position, speed and heading stay as they were", strikes_ego=True
    ),
    "gps_jump": FaultKind(
        FAULT_GPS_JUMP, "the position is off, to the east", "m", 50.0, -1e5, 1e5, strikes_ego=True
    ),
    "sequence_reset": FaultKind(
        FAULT_SEQUENCE_RESET, "sequence numbers start at 0 again", is_lasting=False
    ),
    "clock_jump": FaultKind(
        FAULT_CLOCK_JUMP, "the board's clock jumps", "s", 60.0, -1e5, 1e5, is_lasting=False
    ),
    "reboot": FaultKind(FAULT_REBOOT, "silent; then numbers and clock start at 0"),
    "duplicate": FaultKind(FAULT_DUPLICATE, "each frame comes twice", "s later", 0.0, 0.0, 1.0),
    "replay": FaultKind(
        FAULT_REPLAY,
        "an attacker repeats old frames",
        "frames before",
        20.0,
        1.0,
        25.0,
        is_whole=True,
    ),
    "forged": FaultKind(
        FAULT_FORGED, "an attacker claims an acceleration", "m/s^2", -8.0, -20.0, 20.0
    ),
    "unequipped": FaultKind(FAULT_UNEQUIPPED, "the car has no board"),
}
EVERY_CAR = "all"
LARGEST_NUM_ATTACKS = 4
"""Faults that add frames, for each car: what the event queue has room for."""
_ATTACKS = (FAULT_DUPLICATE, FAULT_REPLAY, FAULT_FORGED)


@dataclass(frozen=True)
class RadioFault:
    """One fault of an episode.

    Attributes:
        kind: A key of FAULT_KINDS.
        car: The car it strikes, by rank (1 is the one ahead of the ego, 0 the ego's own board);
            "all" strikes every peer.
        start_s: When it begins [s], on the episode's clock.
        duration_s: For how long [s]; infinite lasts to the end.
        value: See FAULT_KINDS; None takes the kind's default.

    Raises:
        ConfigError: A value is of no use.

    >>> RadioFault("burst", car=1, start_s=10.0, value=5.0).strength
    5.0
    """

    kind: str
    car: int | str = EVERY_CAR
    start_s: float = 0.0
    duration_s: float = math.inf
    value: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            hint = nearest_name_hint(str(self.kind), FAULT_KINDS)
            raise ConfigError(f"kind of a radio fault must be a known one. {hint}")
        kind = FAULT_KINDS[self.kind]
        first = 0 if kind.strikes_ego else 1
        is_rank = isinstance(self.car, int) and not isinstance(self.car, bool)
        if self.car != EVERY_CAR and not (is_rank and int(self.car) >= first):
            raise ConfigError(
                f"car of the radio fault {self.kind} must be 'all' or a rank from {first} on. "
                f"Got {self.car!r}."
            )
        self._check_number("start_s", self.start_s, -1e6, 1e6)
        if self.duration_s != math.inf:
            self._check_number("duration_s", self.duration_s, 0.0, 1e6)
        if self.value is not None and not kind.unit:
            raise ConfigError(
                f"value of the radio fault {self.kind} must not be given: it has none. "
                f"Got {self.value}."
            )
        if self.value is not None:
            self._check_number("value", self.value, kind.low, kind.high)
            if kind.is_whole and self.value != int(self.value):
                raise ConfigError(
                    f"value of the radio fault {self.kind} must be a whole number of frames. "
                    f"Got {self.value}."
                )

    def _check_number(self, name: str, value: object, low: float, high: float) -> None:
        """Refuse what is no number in a range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and low <= float(value) <= high):  # type: ignore[arg-type]  # a number
            raise ConfigError(
                f"{name} of the radio fault {self.kind} must be a number in [{low:g}, {high:g}]. "
                f"Got {value!r}."
            )

    @property
    def strength(self) -> float:
        """Return ``value``, or the kind's default."""
        return FAULT_KINDS[self.kind].default if self.value is None else float(self.value)


def fault_from_mapping(mapping: Mapping[str, Any]) -> RadioFault:
    """Return the fault that a mapping describes, with the attributes' names as its keys.

    Raises:
        ConfigError: A key is unknown, `kind` is missing, or a value is of no use.
    """
    known = [field.name for field in dataclasses.fields(RadioFault)]
    if not isinstance(mapping, Mapping) or "kind" not in mapping:
        raise ConfigError(f"a radio fault must be a mapping with a kind. Got {mapping!r}.")
    for key in mapping:
        if key not in known:
            hint = nearest_name_hint(str(key), known)
            raise ConfigError(f"{key!r} of a radio fault must be a known key. {hint}")
    return RadioFault(**mapping)


def fault_rows(faults: Sequence[RadioFault], num_cars: int) -> FloatArray:
    """Return the kernels' table, one row for each fault and car (num_rows, NUM_FAULT_FIELDS).

    A fault of a car that is not there has no row.

    Raises:
        ConfigError: More than LARGEST_NUM_ATTACKS faults add frames of one car.
    """
    rows = []
    for fault in faults:
        cars = range(1, num_cars) if fault.car == EVERY_CAR else (int(fault.car),)
        for car in cars:
            if car >= num_cars:
                continue
            row = np.zeros(NUM_FAULT_FIELDS)
            row[FAULT_KIND] = FAULT_KINDS[fault.kind].code
            row[FAULT_FROM] = fault.start_s
            row[FAULT_UNTIL] = fault.start_s + fault.duration_s
            row[FAULT_CAR] = car
            row[FAULT_VALUE] = fault.strength
            rows.append(row)
    table = np.array(rows).reshape(-1, NUM_FAULT_FIELDS)
    struck = table[np.isin(table[:, FAULT_KIND], _ATTACKS), FAULT_CAR]
    for car in range(1, num_cars):
        num_attacks = int(np.sum(struck == car))
        if num_attacks > LARGEST_NUM_ATTACKS:
            raise ConfigError(
                f"faults of car {car} must be at most {LARGEST_NUM_ATTACKS} of duplicate, replay "
                f"and forged. Got {num_attacks}. Leave some out."
            )
    return table


def fault_kind_table() -> list[str]:
    """Return the kinds of faults as a Markdown table's lines."""
    lines = [
        "| kind | what happens | `value` | default | range | `car` | `duration_s` |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in FAULT_KINDS.items():
        has_value = bool(kind.unit)
        cells = (
            f"`{name}`",
            kind.meaning,
            kind.unit if has_value else "-",
            f"{kind.default:g}" if has_value else "-",
            f"{kind.low:g} to {kind.high:g}" if has_value else "-",
            "0, 1, ... or all" if kind.strikes_ego else "1, 2, ... or all",
            "how long" if kind.is_lasting else "no effect",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines
