"""How records are written: strict JSON, one object a line where there are many, dated."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.errors import cannot_write
from ml.provenance import write_text_atomically


def write_json_lines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, the file whole or not at all."""
    write_text_atomically(path, "".join(json_line(json_ready(row)) for row in rows))


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row of strict JSON values as a line; NaN and infinity are refused."""
    return json.dumps(row, allow_nan=False) + "\n"


def append_json_line(path: str | Path, row: Mapping[str, Any]) -> None:
    """Append one JSON object as a line, whole or not at all; NaN and infinity are refused.

    Raises:
        RecordError: The file cannot be written.
    """
    line = json_line(row).encode()
    try:
        with Path(path).open("ab", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            try:
                written = 0
                while written < len(line):
                    written += stream.write(line[written:])
            except OSError:
                with suppress(OSError):  # a device has no size
                    stream.truncate(size)
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


def json_ready(value: Any) -> Any:  # noqa: ANN401 - any value in, any JSON value out
    """Return ``value`` as strict JSON can hold it: NaN and infinity become null.

    >>> json_ready({"rates": (0.5, float("nan"))})
    {'rates': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return json_ready(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def time_stamp() -> str:
    """Return the local time with its offset, in ISO 8601, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
