"""Reads JSON that others wrote: bounded in size and depth, each key once, text that can be written.

The errors say what is wrong in a phrase, for the sentence of whoever asked for the file.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from ml.bounded_files import UnusableFileError, read_bounded_text

MAX_DEPTH = 50
"""The project's own files nest 8 deep."""
_LONGEST_KEY = 60


def read_json(path: str | Path, largest_bytes: int) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value that a file holds.

    Args:
        path: A regular file in UTF-8, with or without a byte order mark.
        largest_bytes: How much it may hold.

    Raises:
        UnusableFileError: It cannot be read, or holds something else.
    """
    return parse_json(read_bounded_text(path, largest_bytes))


def parse_json(text: str | bytes, *, is_strict: bool = True) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text.

    Args:
        text: The text; bytes are UTF-8.
        is_strict: Whether NaN, infinity and half a surrogate pair are refused here, and not by
            whoever checks the values.

    Raises:
        UnusableFileError: It is no JSON, repeats a key, nests too deeply, or holds text that
            cannot be written.
    """
    try:
        words = text.decode() if isinstance(text, bytes) else text
        content = json.loads(
            words,
            object_pairs_hook=_object_without_repeats,
            parse_float=_finite if is_strict else float,
            parse_constant=_refuse_constant if is_strict else float,
        )
        _check_depth(content)
        if is_strict and "\\ud" in words.lower():
            json.dumps(content, ensure_ascii=False).encode()
    except RecursionError:
        raise UnusableFileError(_TOO_DEEP) from None
    except UnicodeEncodeError:
        raise UnusableFileError("half a surrogate pair, which is no text") from None
    except ValueError as error:
        raise UnusableFileError(str(error)) from error
    return content


_TOO_DEEP = f"brackets nested too deeply, more than {MAX_DEPTH}"


def _check_depth(content: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse what nests so deeply that later code, which recurses, could not take it."""
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise UnusableFileError(_TOO_DEEP)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinity."""
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    """Return a number, unless it is too large to be one."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is no number that can be held")
    return value


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict; a repeated key would hide one of its values."""
    content = dict(pairs)
    if len(content) < len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated[:_LONGEST_KEY]!r} twice in one object")
    return content
