"""A model that compiled code cannot run, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.errors import PolicyError
from ml.policies.model_file import LoadedModel, load_model, policy_of, tensors_of
from ml.policies.network_description import describe_network

_THREADS = 1
"""As in training: another number can round otherwise."""

_Act = Callable[[Mapping[str, np.ndarray[Any, Any]]], np.ndarray[Any, Any]]


class ModelInWorker:
    """Acts as the model in a trusted file does; each process that is sent it reads the file once.

    Args:
        path: Path of the model, whose author the user has said to trust.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - a dict of arrays, typed otherwise by the library
        *,
        deterministic: bool,
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Return the model's actions, and a state that is not used."""
        model, act = _model_at(self._path)
        if deterministic and act is not None:
            return act(observation), None
        actions: tuple[np.ndarray[Any, Any], Any] = model.predict(
            observation, deterministic=deterministic
        )
        return actions


@lru_cache(maxsize=4)
def _model_at(path: str) -> tuple[LoadedModel, _Act | None]:
    """Return the model in a file, and what acts for it if it is one of our own networks."""
    torch.set_num_threads(_THREADS)
    model = load_model(path, is_trusted=True)
    is_own = describe_network(model.policy) is not None
    return model, partial(best_action, model.policy) if is_own else None


class PolicyInWorker:
    """Acts as a policy of this process does now; each process that is sent it builds it once.

    Args:
        policy: The policy, of which a copy is taken.

    Raises:
        PolicyError: It is not one of our own networks.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        network = describe_network(policy)
        if network is None:
            raise PolicyError(
                "the policy must be a Deep Sets network of train_convoy to act in other processes. "
                f"Got a {type(policy).__name__}. Act in this process."
            )
        self._network, self._tensors = json.dumps(network), tensors_of(policy)

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - a dict of arrays, typed otherwise by the library
        *,
        deterministic: bool,
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Return the policy's actions, and a state that is not used."""
        policy = _policy_with(self._network, self._tensors)
        if deterministic:
            return best_action(policy, observation), None
        return policy.predict(observation, deterministic=deterministic)


@lru_cache(maxsize=4)
def _policy_with(network: str, tensors: bytes) -> ActorCriticPolicy:
    """Return the policy with a description and weights."""
    torch.set_num_threads(_THREADS)
    return policy_of(json.loads(network), tensors)


def best_action(
    policy: ActorCriticPolicy, observation: Mapping[str, np.ndarray[Any, Any]]
) -> np.ndarray[Any, Any]:
    """Return the deterministic actions, bit for bit those of ``predict``.

    It takes less than half of the time: nothing is checked, and no distribution is made.

    Args:
        policy: One of our own networks.
        observation: `ego`, `peers` and `peer_mask`, of one moment or several with a leading axis.
    """
    space: Any = policy.action_space
    is_single = observation["ego"].ndim == 1
    with torch.inference_mode():
        tensors = {
            name: torch.tensor(array, dtype=torch.float32)[None if is_single else ...]
            for name, array in observation.items()
        }
        features = policy.pi_features_extractor(tensors)
        means = policy.action_net(policy.mlp_extractor.forward_actor(features))
    actions: np.ndarray[Any, Any] = (
        means.numpy().reshape(-1, *space.shape).clip(space.low, space.high)
    )
    return actions[0] if is_single else actions
