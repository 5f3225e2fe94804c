"""Named sets of the command line's values; flags that are given go before a preset's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "fast": MappingProxyType({"n_steps": 8192, "batch_size": 1024, "n_epochs": 4}),
    }
)
"""Values by the name of their flag, by preset. Where a rollout is shorter than `n_steps`, the batch
is the divisor nearest to `batch_size`."""
