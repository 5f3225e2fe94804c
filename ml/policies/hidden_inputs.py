"""What a network can be kept from seeing, so as to tell what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ml.types import (
    EGO_ACCELERATION,
    EGO_SPEED,
    NUM_HISTORY_SAMPLES,
    PEER_LOWEST_ACCELERATION,
    PEER_SEQUENCE_GAP,
    PEER_STATE_AGE,
    PEER_TIME_SINCE_RECEPTION,
)


class HiddenColumns(NamedTuple):
    """Columns that a network does not see; the environment's tables name them.

    Attributes:
        ego: Indices of `ego`; the last one is -1.
        peers: Columns of `peers`.
    """

    ego: list[int]
    peers: list[int] | slice


_SAMPLES_BEFORE_NOW = [
    newest + sample
    for newest in (EGO_SPEED, EGO_ACCELERATION)
    for sample in range(1, NUM_HISTORY_SAMPLES)
]

HIDDEN_COLUMNS: Mapping[str, HiddenColumns] = MappingProxyType(
    {
        "radio": HiddenColumns([-1], slice(None)),
        "age": HiddenColumns([], [PEER_TIME_SINCE_RECEPTION, PEER_STATE_AGE, PEER_SEQUENCE_GAP]),
        "history": HiddenColumns(_SAMPLES_BEFORE_NOW, [PEER_LOWEST_ACCELERATION]),
    }
)
"""``radio``: the peers, and the ego's number of fresh peers.

``age``: each peer's time since reception, state age and sequence gap, which tell how old it is.

``history``: the ego's speed and acceleration before now, and each peer's lowest acceleration in the
last second.
"""

HIDDEN_INPUTS = tuple(HIDDEN_COLUMNS)
