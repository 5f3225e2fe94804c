"""A trained policy's deterministic actions, one observation at a time, without torch.

It can be sent to another process, which then needs no torch either. An action is computed alone, so
it does not depend on what else is asked at the same time.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.errors import PolicyError
from ml.policies import row_forward_kernels
from ml.policies.deep_set_kernels import SIZE_EGO, SIZE_EMBED, SIZE_FEATURES, NetworkArrays
from ml.types import Float32Array


class LoneActor:
    """Acts on single observations.

    Args:
        actor: The actor's network.
        scales: What to divide the ego's and a peer's features by.
        bounds: Lower and upper bounds of the action, each flat.
        num_slots: Slots for peers in an observation.
    """

    def __init__(
        self,
        actor: NetworkArrays,
        scales: tuple[Float32Array, Float32Array],
        *,
        bounds: tuple[Float32Array, Float32Array],
        num_slots: int,
    ) -> None:
        weights, sizes = row_forward_kernels.transposed(actor)
        self._policy = (weights, sizes, np.concatenate(scales), np.stack(bounds))
        num_features = int(sizes[SIZE_EMBED] + sizes[SIZE_EGO])
        self._memory = (
            np.zeros(1, np.int64),
            np.zeros((num_slots, int(sizes[SIZE_FEATURES])), np.float32),
            np.zeros((1, num_features), np.float32),
            np.zeros(row_forward_kernels.row_memory_size(sizes), np.float32),
        )

    def without_bounds(self) -> LoneActor:
        """Return the same actor with actions that may lie beyond the action space."""
        other = copy.copy(self)
        weights, sizes, scales, bounds = self._policy
        infinite = np.broadcast_to(np.array([[-np.inf], [np.inf]], np.float32), bounds.shape)
        other._policy = (weights, sizes, scales, infinite.copy())
        return other

    def predict(
        self, observation: Mapping[str, np.ndarray[Any, Any]], *, deterministic: bool
    ) -> tuple[Float32Array, None]:
        """Return the deterministic action for an observation, and no state.

        Args:
            observation: `ego` (E,), `peers` (slots, F) and `peer_mask` (slots,), float32.
            deterministic: Must be true.

        Raises:
            PolicyError: Random actions are asked for.
        """
        if not deterministic:
            raise PolicyError("deterministic must be True. Got False. Use the model itself.")
        bounds = self._policy[3]
        action = np.empty(bounds.shape[1], np.float32)
        row_forward_kernels.act_best(
            *self._policy, observation["ego"], observation["peers"], observation["peer_mask"],
            *self._memory, action,
        )  # fmt: skip
        return action, None
