"""What a network can be kept from seeing, so as to tell what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class HiddenColumns(NamedTuple):
    """Columns that a network does not see; the environment's tables name them.

    Attributes:
        ego: Indices of `ego`; the last one is -1.
        peers: Columns of `peers`.
    """

    ego: list[int]
    peers: list[int] | slice


HIDDEN_COLUMNS: Mapping[str, HiddenColumns] = MappingProxyType(
    {
        "radio": HiddenColumns([-1], slice(None)),
        "age": HiddenColumns([], [6, 7, 8]),
        "history": HiddenColumns([*range(1, 6), *range(7, 12)], [5]),
    }
)
"""``radio``: the peers, and the ego's number of fresh peers.

``age``: each peer's time since reception, state age and sequence gap, which tell how old it is.

``history``: the ego's speed and acceleration before now, and each peer's lowest acceleration in the
last second.
"""

HIDDEN_INPUTS = tuple(HIDDEN_COLUMNS)
