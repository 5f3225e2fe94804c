"""How records are written: strict JSON, one object a line where there are many, dated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from ml.provenance import write_text_atomically


def write_json_lines(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, the file whole or not at all."""
    lines = [json.dumps(json_ready(row), allow_nan=False) + "\n" for row in rows]
    write_text_atomically(path, "".join(lines))


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
