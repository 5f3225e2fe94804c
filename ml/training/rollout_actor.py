"""The policy as it acts in an environment's own process, for a rollout without messages.

Nothing here loads torch: a worker imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ml.errors import PolicyError
from ml.policies.deep_set_kernels import ForwardScratch, NetworkArrays
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
        actor: The actor; its weights end in the log of the action's deviation.
        critic: The critic.
        scaling: Scales of the observation, bounds of the action.
        scratch: Memory for one observation.
    """

    actor: NetworkArrays
    critic: NetworkArrays
    scaling: rollout_kernels.Scaling
    scratch: ForwardScratch


class RolloutActor:
    """Draws actions with given random numbers, and keeps what a rollout needs of them.

    Args:
        policy: The policy.
        noise: Standard normal numbers, shape (num_steps, A).
    """

    def __init__(self, policy: PolicyArrays, noise: Float32Array) -> None:
        self._policy, self._noise = policy, noise
        num_steps, num_actions = noise.shape
        self._kept: dict[str, Float32Array] = {
            ACTIONS: np.zeros((num_steps, num_actions), np.float32),
            VALUES: np.zeros(num_steps, np.float32),
            LOG_PROBS: np.zeros(num_steps, np.float32),
        }
        self._decision = rollout_kernels.Decision(
            np.empty((1, num_actions), np.float32),
            np.empty((1, num_actions), np.float32),
            np.empty(1, np.float32),
            np.empty(1, np.float32),
        )

    def act(self, observation: Mapping[str, np.ndarray[Any, Any]], step: int) -> Float32Array:
        """Return the action for an observation, within its bounds.

        Raises:
            PolicyError: The action or the value is no finite number.
        """
        policy, decision = self._policy, self._decision
        is_finite = rollout_kernels.act(
            policy.actor, policy.critic, observation["ego"][None], observation["peers"][None],
            observation["peer_mask"][None], self._noise[step : step + 1], policy.scaling,
            policy.scratch, decision,
        )  # fmt: skip
        if not is_finite:
            raise PolicyError(NOT_FINITE)
        kept = self._kept
        kept[ACTIONS][step], kept[VALUES][step] = decision.actions[0], decision.values[0]
        kept[LOG_PROBS][step] = decision.log_probs[0]
        clipped: Float32Array = decision.clipped[0]
        return clipped

    def result(self) -> dict[str, Float32Array]:
        """Return the actions before they were bound, the values and the log-probabilities."""
        return self._kept
