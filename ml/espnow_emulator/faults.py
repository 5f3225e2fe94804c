"""Faults of the radio and of sensors, and attacks, to be injected at a chosen moment."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.espnow_emulator.radio_layout import (
    FAULT_BLACKOUT,
    FAULT_BURST,
    FAULT_CAR,
    FAULT_CLOCK_JUMP,
    FAULT_DEAD_LINK,
    FAULT_DUPLICATE,
    FAULT_FORGED,
    FAULT_FORGED_POSITION,
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
    LARGEST_NUM_ATTACKS,
    LARGEST_NUM_CARS,
    NUM_FAULT_FIELDS,
)
from ml.types import FloatArray

EVERY_CAR = "all"
SOURCE = "source"
_FROM_ONSET = re.compile(r"onset([+-][0-9]{1,6}(?:\.[0-9]{1,6})?)?")


@dataclass(frozen=True)
class FaultKind:
    """What a kind of fault needs.

    Attributes:
        code: Its number in the kernels' table.
        meaning: What happens, in a few words.
        receiver: What the receiving board makes of it.
        unit: Unit of ``value``; empty when the kind has none.
        default: ``value`` when none is given.
        low: Least ``value``.
        high: Largest ``value``.
        strikes_ego: Whether it may strike the ego's own board, row 0.
        is_whole: Whether ``value`` is a whole number.
        has_start: Whether it begins at ``start_s``, else it is there from the beginning.
        has_end: Whether it lasts for ``duration_s``.
    """

    code: int
    meaning: str
    receiver: str
    unit: str = ""
    default: float = 0.0
    low: float = 0.0
    high: float = 0.0
    strikes_ego: bool = False
    is_whole: bool = False
    has_start: bool = True
    has_end: bool = True


FAULT_KINDS: dict[str, FaultKind] = {
    "blackout": FaultKind(
        FAULT_BLACKOUT,
        "the ego hears nothing of the car, not even over relays",
        "the car goes stale",
    ),
    "burst": FaultKind(
        FAULT_BURST,
        "the car's next own frames are lost at the ego",
        "a gap in the numbers",
        "frames",
        15.0,
        1.0,
        1000.0,
        is_whole=True,
    ),
    "dead_link": FaultKind(
        FAULT_DEAD_LINK,
        "one way of one link: nothing that the car sends reaches one receiver; the other way works",
        "the car goes stale, unless a relay is heard",
        "receiver's rank, 0 the ego",
        0.0,
        0.0,
        LARGEST_NUM_CARS - 1.0,
        is_whole=True,
    ),
    "unequipped": FaultKind(
        FAULT_UNEQUIPPED,
        "the car has no board",
        "the car is never heard",
        has_start=False,
        has_end=False,
    ),
    "frozen_gps": FaultKind(
        FAULT_FROZEN_GPS,
        "position, speed and heading stay as they were",
        "believed; the jump at its end goes through the gate",
        strikes_ego=True,
    ),
    "gps_jump": FaultKind(
        FAULT_GPS_JUMP,
        "the position is off, to the east",
        "beyond the gate: four frames dropped, the fifth in a row believed",
        "m",
        50.0,
        -1e5,
        1e5,
        strikes_ego=True,
    ),
    "sequence_reset": FaultKind(
        FAULT_SEQUENCE_RESET,
        "sequence numbers start at 0 again",
        "the next frame is taken in, by its clock",
        has_end=False,
    ),
    "clock_jump": FaultKind(
        FAULT_CLOCK_JUMP,
        "the board's clock jumps",
        "the next frame is taken in, by its number",
        "s",
        60.0,
        -1e5,
        1e5,
        has_end=False,
    ),
    "reboot": FaultKind(
        FAULT_REBOOT,
        "silent; then numbers and clock start at 0",
        "the next frame is taken in: its clock has run no longer than the silence",
    ),
    "duplicate": FaultKind(
        FAULT_DUPLICATE,
        "each frame comes twice",
        "dropped, as a duplicate or as old",
        "s later",
        0.0,
        0.0,
        1.0,
    ),
    "replay": FaultKind(
        FAULT_REPLAY,
        "beside each frame an attacker repeats an old one",
        "dropped as old",
        "frames before",
        20.0,
        1.0,
        25.0,
        is_whole=True,
    ),
    "forged": FaultKind(
        FAULT_FORGED,
        "beside each frame an attacker sends a newer one with this acceleration",
        "believed",
        "m/s^2",
        -8.0,
        -20.0,
        20.0,
    ),
    "forged_position": FaultKind(
        FAULT_FORGED_POSITION,
        "beside each frame an attacker sends a newer one from so much farther east",
        "beyond the gate: dropped, unless five in a row are heard; within it: believed",
        "m",
        200.0,
        -1e5,
        1e5,
    ),
}
_ATTACKS = (FAULT_DUPLICATE, FAULT_REPLAY, FAULT_FORGED, FAULT_FORGED_POSITION)


@dataclass(frozen=True)
class RadioFault:
    """One fault of an episode.

    Attributes:
        kind: A key of FAULT_KINDS.
        car: The car it strikes, by rank (1 is the one ahead of the ego, 0 the ego's own board);
            "all" strikes every peer, "source" the car that brakes.
        start_s: When it begins [s], on the episode's clock, or relative to the hazard's onset:
            "onset", "onset+0.5", "onset-2".
        duration_s: For how long [s]; infinite lasts to the end.
        value: See FAULT_KINDS; None takes the kind's default.

    Raises:
        ConfigError: A value is of no use.

    >>> str(RadioFault("burst", car="source", start_s="onset-0.2", value=5.0))
    'burst:car=source,start_s=onset-0.2,value=5'
    """

    kind: str
    car: int | str = EVERY_CAR
    start_s: float | str = 0.0
    duration_s: float = math.inf
    value: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in FAULT_KINDS:
            hint = nearest_name_hint(str(self.kind), FAULT_KINDS)
            raise ConfigError(
                f"kind of a radio fault must be a known one. Got {self.kind!r}. {hint}"
            )
        self._check_car()
        if self.offset_from_onset_s is None:
            self._check_number("start_s", self.start_s, -1e6, 1e6, " or from onset, as onset+0.5")
        if self.duration_s != math.inf:
            self._check_number("duration_s", self.duration_s, 0.0, 1e6)
        kind = FAULT_KINDS[self.kind]
        for name, is_used, is_given in (
            ("start_s", kind.has_start, self.start_s != 0.0),
            ("duration_s", kind.has_end, self.duration_s != math.inf),
            ("value", bool(kind.unit), self.value is not None),
        ):
            if is_given and not is_used:
                raise ConfigError(
                    f"{name} of the radio fault {self.kind} must be left out: it has none. "
                    f"Got {getattr(self, name)!r}."
                )
        if self.value is not None:
            self._check_number("value", self.value, kind.low, kind.high)
            if kind.is_whole and self.value != int(self.value):
                raise ConfigError(
                    f"value of the radio fault {self.kind} must be a whole number. "
                    f"Got {self.value}."
                )

    def _check_car(self) -> None:
        """Refuse a car that the kind cannot strike."""
        first = 0 if FAULT_KINDS[self.kind].strikes_ego else 1
        is_rank = isinstance(self.car, int) and not isinstance(self.car, bool)
        is_name = isinstance(self.car, str) and self.car in (EVERY_CAR, SOURCE)
        if not is_name and not (is_rank and first <= int(self.car) < LARGEST_NUM_CARS):
            raise ConfigError(
                f"car of the radio fault {self.kind} must be 'all', 'source' or a rank in "
                f"[{first}, {LARGEST_NUM_CARS - 1}]. Got {self.car!r}."
            )

    def _check_number(
        self, name: str, value: object, low: float, high: float, other: str = ""
    ) -> None:
        """Refuse what is no number in a range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and low <= value <= high):  # type: ignore[operator]  # a number
            raise ConfigError(
                f"{name} of the radio fault {self.kind} must be a number in [{low:g}, {high:g}]"
                f"{other}. Got {value!r}."
            )

    @property
    def offset_from_onset_s(self) -> float | None:
        """Return how long after the hazard's onset it begins [s], None for a fixed time."""
        match = _FROM_ONSET.fullmatch(self.start_s) if isinstance(self.start_s, str) else None
        return None if match is None else float(match.group(1) or 0.0)

    @property
    def strength(self) -> float:
        """Return ``value``, or the kind's default."""
        return FAULT_KINDS[self.kind].default if self.value is None else float(self.value)

    def __str__(self) -> str:
        """Return it as a command line takes it."""
        kind = FAULT_KINDS[self.kind]
        text = f"{self.kind}:car={self.car}"
        if kind.has_start:
            is_number = not isinstance(self.start_s, str)
            text += f",start_s={self.start_s:.12g}" if is_number else f",start_s={self.start_s}"
        if kind.has_end and self.duration_s != math.inf:
            text += f",duration_s={self.duration_s:.12g}"
        return f"{text},value={self.strength:.12g}" if kind.unit else text


def check_num_attacks(faults: Sequence[RadioFault]) -> None:
    """Refuse more faults that add frames of one car than the event queue has room for."""
    cars = [fault.car for fault in faults if FAULT_KINDS[fault.kind].code in _ATTACKS]
    num_anywhere = sum(isinstance(car, str) for car in cars)
    num_on_one = max((cars.count(car) for car in cars if not isinstance(car, str)), default=0)
    if num_anywhere + num_on_one > LARGEST_NUM_ATTACKS:
        raise ConfigError(
            f"radio faults of one car must be at most {LARGEST_NUM_ATTACKS} of duplicate, replay, "
            f"forged and forged_position. Got {num_anywhere + num_on_one}. Leave some out."
        )


def fault_rows(faults: Sequence[RadioFault], num_cars: int) -> FloatArray:
    """Return the kernels' table, one row for each fault and car (num_rows, NUM_FAULT_FIELDS).

    A fault of a car that is not there has no row.

    Raises:
        ConfigError: A moment or a car depends on a hazard, or more than LARGEST_NUM_ATTACKS faults
            add frames of one car.
    """
    if not faults:
        return np.zeros((0, NUM_FAULT_FIELDS))
    check_num_attacks(faults)
    rows = []
    for fault in faults:
        if isinstance(fault.start_s, str) or fault.car == SOURCE:
            raise ConfigError(
                "start_s and car of a radio fault must be numbers without a hazard. "
                f"Got {fault}. Give the moment and the rank."
            )
        kind = FAULT_KINDS[fault.kind]
        cars = range(1, num_cars) if fault.car == EVERY_CAR else (int(fault.car),)
        for car in cars:
            if car >= num_cars:
                continue
            row = np.zeros(NUM_FAULT_FIELDS)
            row[FAULT_KIND] = kind.code
            row[FAULT_FROM] = fault.start_s if kind.has_start else -math.inf
            row[FAULT_UNTIL] = fault.start_s + fault.duration_s
            row[FAULT_CAR] = car
            row[FAULT_VALUE] = fault.strength
            rows.append(row)
    return np.array(rows).reshape(-1, NUM_FAULT_FIELDS)


def fault_kind_table() -> list[str]:
    """Return the kinds of faults as a Markdown table's lines."""
    lines = [
        "| kind | what happens | `value` | default, range | `car` | what the receiver does |",
        "|---|---|---|---|---|---|",
    ]
    for name, kind in FAULT_KINDS.items():
        keys = [key for key, is_used in (("start_s", kind.has_start), ("duration_s", kind.has_end))
                if not is_used]  # fmt: skip
        without = f" (no {' or '.join(f'`{key}`' for key in keys)})" if keys else ""
        cells = (
            f"`{name}`",
            kind.meaning + without,
            kind.unit or "-",
            f"{kind.default:g}, {kind.low:g} to {kind.high:g}" if kind.unit else "-",
            "0, 1, ..." if kind.strikes_ego else "1, 2, ...",
            kind.receiver,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines
