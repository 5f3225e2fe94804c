"""A trained policy's deterministic actions, one observation at a time, without torch.

It can be sent to another process, which then needs no torch either. An action is computed alone, so
it does not depend on what else is asked at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.errors import PolicyError
from ml.policies import deep_set_kernels as kernels
from ml.types import Float32Array


class LoneActor:
    """Acts on single observations.

    Args:
        actor: The actor's network.
        scales: What to divide the ego's and a peer's features by.
        bounds: Lower and upper bounds of the action, each flat.
        scratch: Memory for one observation.
    """

    def __init__(
        self,
        actor: kernels.NetworkArrays,
        scales: tuple[Float32Array, Float32Array],
        *,
        bounds: tuple[Float32Array, Float32Array],
        scratch: kernels.ForwardScratch,
    ) -> None:
        self._actor, self._scales, self._bounds, self._scratch = actor, scales, bounds, scratch

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
        scratch = self._scratch
        num_peers = kernels.pack_observations(
            observation["ego"][None], observation["peers"][None], observation["peer_mask"][None],
            *self._scales, scratch.counts, scratch.peers, scratch.features,
        )  # fmt: skip
        means = kernels.forward_network(self._actor, 1, num_peers, scratch)[0]
        action: Float32Array = np.clip(means, *self._bounds)
        return action, None
