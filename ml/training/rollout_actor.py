"""The policy as it acts in an environment's own process, for a rollout without messages.

Nothing here loads torch: a worker imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ml.errors import PolicyError
from ml.policies.deep_set_kernels import NetworkArrays, forward_network, forward_scratch
from ml.policies.row_forward_kernels import row_memory_size
from ml.training import rollout_kernels
from ml.types import Float32Array

ACTIONS, VALUES, LOG_PROBS = "actions", "values", "log_probs"
NOT_FINITE = (
    "the policy's action and value must be finite numbers. Got another one. Check the "
    "observations, or use a smaller --learning_rate."
)


class PolicyArrays(NamedTuple):
    """Everything of a policy that acting needs.

    Attributes:
        actor: The actor, ``transposed``; its weights end in the log of the action's deviation.
        critic: The critic.
        scaling: Scales of the observation, bounds of the action.
        num_slots: Slots for peers in an observation.
    """

    actor: NetworkArrays
    critic: NetworkArrays
    scaling: rollout_kernels.Scaling
    num_slots: int


class RolloutActor:
    """Draws actions with given random numbers, and keeps what a rollout needs of them.

    The critic looks at all observations at once in the end.

    Args:
        policy: The policy.
        noise: Standard normal numbers, shape (num_steps, A).
    """

    def __init__(self, policy: PolicyArrays, noise: Float32Array) -> None:
        self._critic, self._noise = policy.critic, noise
        self._actor = (*policy.actor, *policy.scaling)
        num_steps = len(noise)
        self._actions, self._clipped = np.zeros_like(noise), np.zeros_like(noise)
        self._log_probs = np.zeros((num_steps, 1), np.float32)
        self._scratch = forward_scratch(policy.critic.sizes, num_steps, policy.num_slots)
        self._memory = np.zeros(row_memory_size(policy.actor.sizes), np.float32)
        self._num_peers = 0

    def act(self, observation: Mapping[str, np.ndarray[Any, Any]], step: int) -> Float32Array:
        """Return the action for an observation, within its bounds; steps come in their order.

        Raises:
            PolicyError: The action is no finite number.
        """
        scratch, row = self._scratch, slice(step, step + 1)
        clipped: Float32Array = self._clipped[step]
        is_finite = rollout_kernels.act_alone(
            *self._actor, observation["ego"], observation["peers"], observation["peer_mask"],
            self._noise[step], scratch.counts[row], scratch.peers[self._num_peers :],
            scratch.features[row], self._memory, self._actions[step], clipped,
            self._log_probs[step],
        )  # fmt: skip
        if not is_finite:
            raise PolicyError(NOT_FINITE)
        self._num_peers += int(scratch.counts[step])
        return clipped

    def result(self) -> dict[str, Float32Array]:
        """Return the actions before they were bound, the values and the log-probabilities.

        Raises:
            PolicyError: A value is no finite number.
        """
        values = forward_network(self._critic, len(self._noise), self._num_peers, self._scratch)
        if not np.isfinite(values).all():
            raise PolicyError(NOT_FINITE)
        return {
            ACTIONS: self._actions,
            VALUES: values[:, 0].copy(),
            LOG_PROBS: self._log_probs[:, 0],
        }
