"""The check of one value of a parameter file against its field's declaration."""

from __future__ import annotations

import dataclasses
from typing import Any

from ml.errors import RadioParameterError

_LONGEST_SHOWN = 60


def check_value(value: Any, entry: dataclasses.Field[Any], where: str) -> None:  # noqa: ANN401
    """Refuse a value of the wrong type or out of its field's range."""
    name = f"{entry.name} in {where}"
    if isinstance(entry.default, bool):
        if not isinstance(value, bool):
            raise RadioParameterError(
                f"{name} must be true or false. Got {shown(value)}. "
                f"Without the key it is {str(entry.default).lower()}."
            )
        return
    if "choices" in entry.metadata:
        _check_choice(value, entry, name)
        return
    low, high = entry.metadata["low"], entry.metadata["high"]
    is_valid, kind = (is_whole, "whole ") if entry.metadata["is_whole"] else (is_number, "")
    if isinstance(entry.default, tuple):
        is_pair = isinstance(value, tuple) and len(value) == 2 and all(map(is_valid, value))
        if not (is_pair and low <= value[0] <= value[1] <= high):
            text = shown(list(value) if isinstance(value, tuple) else value)
            raise RadioParameterError(
                f"{name} must be two {kind}numbers, low <= high, in [{low:g}, {high:g}]. "
                f"Got {text}. Without the key it is {list(entry.default)}."
            )
    elif not (is_valid(value) and low <= value <= high):
        rule = "" if is_valid(value) else f"a {kind}number "
        raise RadioParameterError(
            f"{name} must be {rule}in [{low:g}, {high:g}]. Got {shown(value)}. "
            f"Without the key it is {entry.default:g}."
        )


def _check_choice(value: Any, entry: dataclasses.Field[Any], name: str) -> None:  # noqa: ANN401
    """Refuse a value that is none of its field's choices."""
    choices = entry.metadata["choices"]
    known = ", ".join(f"{item:g}" for item in choices)
    is_list = isinstance(entry.default, tuple)
    values = value if isinstance(value, tuple) else (value,)
    is_of_kind = isinstance(value, tuple) == is_list
    if not (is_of_kind and all(is_number(item) and item in choices for item in values)):
        kind = "a list of some" if is_list else "one"
        text = shown(list(value) if isinstance(value, tuple) else value)
        default = list(entry.default) if isinstance(entry.default, tuple) else entry.default
        raise RadioParameterError(
            f"{name} must be {kind} of {known}. Got {text}. Without the key it is {default}."
        )


def is_number(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: Any) -> str:  # noqa: ANN401
    """Return a value for a message, on one line and cut when long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_LONGEST_SHOWN:
        return f"an integer of more than {_LONGEST_SHOWN} digits"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
