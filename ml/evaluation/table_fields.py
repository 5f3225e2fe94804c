"""Reads the tables of a protocol file into frozen dataclasses: unknown keys and bad values fail."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ml.errors import ConfigError, nearest_name_hint

Table = TypeVar("Table")
Reader = Callable[[Any, str], Any]
"""Takes a value and what messages call it; returns the value to keep."""

_READER = "reader"


def reads(reader: Reader) -> dict[str, Reader]:
    """Return the metadata of a dataclass field whose value in a file goes through ``reader``."""
    return {_READER: reader}


def read_table(kind: type[Table], table: object, place: str) -> Table:
    """Return the dataclass that a table of a file describes, key by key.

    Args:
        kind: A dataclass, all of whose fields have the metadata of ``reads``.
        table: What the file holds.
        place: What messages call the table.

    Raises:
        ConfigError: It is no table, a key is unknown or missing, or a value breaks its rule.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{place} must be a table. Got {table!r}. Write its keys below [name].")
    readers = {entry.name: entry.metadata[_READER] for entry in _fields_of(kind)}
    for key in table:
        if key not in readers:
            hint = nearest_name_hint(str(key), readers)
            raise ConfigError(f"{place} must hold known keys only. Got {key!r}. {hint}")
    for key in readers:
        if key not in table:
            raise ConfigError(f"{place} must hold {key}. Got no such key. Add it.")
    values = {key: reader(table[key], f"{key} of {place}") for key, reader in readers.items()}
    return kind(**values)


_MOST_POINTS = 1000
"""Of a grid; each is an episode or more of a protocol's family."""


def _fields_of(kind: type[Any]) -> tuple[dataclasses.Field[Any], ...]:
    """Return a dataclass's fields."""
    return dataclasses.fields(kind)


def inner_table(kind: type[Any]) -> Reader:
    """Return the reader of a table within a table."""
    return lambda value, name: read_table(kind, value, name)


def number(low: float, high: float) -> Reader:
    """Return the reader of a number in [low, high]."""

    def read(value: object, name: str) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and low <= value <= high):  # type: ignore[operator]  # a number
            raise ConfigError(
                f"{name} must be a number in [{low:g}, {high:g}]. Got {value!r}. Correct it."
            )
        return float(value)  # type: ignore[arg-type]  # a number

    return read


def whole(low: int, high: int) -> Reader:
    """Return the reader of a whole number in [low, high]."""

    def read(value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"{name} must be a whole number in [{low}, {high}]. Got {value!r}. Correct it."
            )
        return value

    return read


def pair(low: float, high: float) -> Reader:
    """Return the reader of a range: two numbers in [low, high], the lower one first."""
    read_number = number(low, high)

    def read(value: object, name: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise ConfigError(f"{name} must be a range [low, high]. Got {value!r}. Correct it.")
        first, last = (read_number(bound, name) for bound in value)
        if first > last:
            raise ConfigError(f"{name} must be a range [low, high]. Got {value!r}. Swap them.")
        return first, last

    return read


def numbers(low: float, high: float) -> Reader:
    """Return the reader of a list of rising numbers in [low, high]."""
    read_number = number(low, high)

    def read(value: object, name: str) -> tuple[float, ...]:
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{name} must be a list of numbers. Got {value!r}. Correct it.")
        values = tuple(read_number(entry, name) for entry in value)
        if any(second <= first for first, second in itertools.pairwise(values)):
            raise ConfigError(f"{name} must be a list of rising numbers. Got {value!r}. Sort it.")
        return values

    return read


def grid(low: float, high: float) -> Reader:
    """Return the reader of a regular grid [first, last, step], last included."""
    read_number = number(low, high)

    def read(value: object, name: str) -> tuple[float, ...]:
        rule = (
            f"{name} must be a grid [first, last, step] that ends at last, of at most "
            f"{_MOST_POINTS} points"
        )
        if not isinstance(value, list) or len(value) != 3:
            raise ConfigError(f"{rule}. Got {value!r}. Correct it.")
        first, last = (read_number(bound, name) for bound in value[:2])
        step = number(1e-9, math.inf)(value[2], name)
        num_steps = round((last - first) / step)
        if not 0 <= num_steps < _MOST_POINTS or not math.isclose(first + num_steps * step, last):
            raise ConfigError(f"{rule}. Got {value!r}. Correct it.")
        return tuple(round(first + index * step, 9) for index in range(num_steps + 1))

    return read


def texts(value: object, name: str) -> tuple[str, ...]:
    """Read a list of different texts."""
    is_list = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    if not is_list or len(set(value)) < len(value):  # type: ignore[call-overload, arg-type]  # texts
        raise ConfigError(f"{name} must be a list of different texts. Got {value!r}. Correct it.")
    return tuple(value)  # type: ignore[arg-type]  # texts


def text(value: object, name: str) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} must be a text. Got {value!r}. Put it in quotation marks.")
    return value
