"""Named sets of the command line's values; flags that are given go before a preset's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_LARGE_BATCHES = {"n_steps": 8192, "batch_size": 1024, "n_epochs": 4}

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "fast": MappingProxyType(_LARGE_BATCHES),
        "urgent": MappingProxyType(
            {
                **_LARGE_BATCHES,
                "total_timesteps": 106_496,
                "learning_rate": 3e-5,
                "ent_coef": 0.0,
                "imitation": "urgent",
                "imitation_episodes": 16_000,
                "bystander_share": 0.3,
            }
        ),
    }
)
"""Values by the name of their flag, by preset. Where a rollout is shorter than `n_steps`, the batch
is the divisor nearest to `batch_size`."""
