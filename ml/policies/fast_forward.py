"""The Deep Sets policy without torch: the same weights on plain arrays, run by compiled code.

A call of torch costs more than the work of so small a network. What is here takes the weights of a
policy of stable-baselines3 as they are and gives its actions and values to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.errors import PolicyError
from ml.policies import deep_set_kernels as kernels
from ml.policies.deep_set_policy import DeepSetExtractor
from ml.policies.lone_actor import LoneActor
from ml.policies.pooling import POOLINGS
from ml.types import Float32Array, IntArray

_ACTIVATIONS: dict[type[torch.nn.Module], int] = {
    torch.nn.Tanh: kernels.TANH,
    torch.nn.ReLU: kernels.RELU,
}


@dataclass(frozen=True)
class NetworkTensors:
    """One of the policy's two networks: its parameters in the kernels' order, and its sizes.

    Attributes:
        parameters: Matrix and bias of each layer; after the actor's, the log of the deviation.
        sizes: As ``deep_set_kernels`` describes them.
    """

    parameters: list[torch.nn.Parameter]
    sizes: IntArray

    def read(self) -> Float32Array:
        """Return a copy of the parameters one after the other."""
        return np.concatenate([_flat_view(tensor) for tensor in self.parameters])

    def write(self, weights: Float32Array) -> None:
        """Copy weights back into the parameters."""
        write_tensors(self.parameters, weights)


def write_tensors(tensors: list[torch.nn.Parameter] | list[torch.Tensor], flat: Any) -> None:  # noqa: ANN401 - an array
    """Copy a flat array into tensors, one after the other, in place."""
    start = 0
    for tensor in tensors:
        view = _flat_view(tensor)
        view[:] = flat[start : start + view.size]
        start += view.size


def _flat_view(tensor: torch.Tensor) -> Float32Array:
    """Return a tensor's memory as a flat array."""
    view: Float32Array = tensor.detach().view(-1).numpy()
    return view


def why_unsupported(policy: object) -> str | None:
    """Return why a policy cannot be run by the kernels, None if it can."""
    if not isinstance(policy, ActorCriticPolicy):
        return f"the policy is a {type(policy).__name__}"
    extractors = (policy.pi_features_extractor, policy.vf_features_extractor)
    layers = [*policy.mlp_extractor.policy_net, *policy.mlp_extractor.value_net]
    activations = {type(layer) for layer in layers if not isinstance(layer, torch.nn.Linear)}
    unknown = sorted(kind.__name__ for kind in activations - set(_ACTIVATIONS))
    odd = [type(one).__name__ for one in extractors if type(one) is not DeepSetExtractor]
    used = {getattr(one, "pooling", POOLINGS[0]) for one in extractors}
    poolings = sorted(used - {POOLINGS[0]})
    reasons = {
        f"the device is {policy.device.type}": policy.device.type != "cpu",
        f"the features come from {', '.join(odd)}": bool(odd),
        f"peers are pooled by {', '.join(poolings)}": bool(poolings),
        "actor and critic share their features": extractors[0] is extractors[1],
        f"an activation is {', '.join(unknown)}": bool(unknown),
        "the activations differ": len(activations) > 1,
        f"the action's distribution is {type(policy.action_dist).__name__}": (
            type(policy.action_dist) is not DiagGaussianDistribution
        ),
        "a parameter is not float32": any(p.dtype != torch.float32 for p in policy.parameters()),
        "a parameter is frozen": not all(p.requires_grad for p in policy.parameters()),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def networks_of(policy: ActorCriticPolicy) -> tuple[NetworkTensors, NetworkTensors]:
    """Return the actor and the critic.

    Raises:
        PolicyError: The kernels cannot run this policy.
    """
    reason = why_unsupported(policy)
    if reason is not None:
        raise PolicyError(
            f"the policy must be the Deep Sets network of train_convoy on the CPU. Got one where "
            f"{reason}. Use torch for it."
        )
    head = policy.mlp_extractor
    actor = _network(policy.pi_features_extractor, [*head.policy_net, policy.action_net])
    actor.parameters.append(policy.log_std)
    return actor, _network(policy.vf_features_extractor, [*head.value_net, policy.value_net])


def _network(extractor: torch.nn.Module, head: list[torch.nn.Module]) -> NetworkTensors:
    """Return a network's parameters and sizes."""
    embed = getattr(extractor, "embed")  # noqa: B009 - torch gives it no type
    embedding = [embed[0], embed[2]]
    heads = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
    activation = next((_ACTIVATIONS[type(a)] for a in head if type(a) in _ACTIVATIONS), 0)
    sizes = [
        heads[0].in_features - embedding[1].out_features,
        embedding[0].in_features,
        embedding[0].out_features,
        embedding[1].out_features,
        activation,
        *(layer.out_features for layer in heads),
    ]
    layers = [*embedding, *heads]
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    return NetworkTensors(parameters, np.array(sizes, dtype=np.int64))


def make_forward_scratch(
    networks: tuple[NetworkTensors, NetworkTensors], num_rows: int, num_slots: int
) -> kernels.ForwardScratch:
    """Return memory for forward passes of either network over at most ``num_rows`` observations."""

    def width(sizes: IntArray) -> int:
        return int(sizes[kernels.FIRST_WIDTH :].sum())

    largest = max((network.sizes for network in networks), key=width)
    return kernels.forward_scratch(largest, num_rows, num_slots)


def scales_of(policy: ActorCriticPolicy) -> tuple[Float32Array, Float32Array]:
    """Return what to divide the ego's and a peer's features by."""
    extractor = policy.pi_features_extractor
    if not isinstance(extractor, DeepSetExtractor):
        raise PolicyError("the policy's features must come from a DeepSetExtractor.")
    return _flat_view(extractor.ego_scale), _flat_view(extractor.peer_scale)


class FastForward:
    """A policy's deterministic actions and its values, for any number of observations at once.

    The weights are those at the time of ``refresh``, which the constructor calls.

    Args:
        policy: The policy of a loaded or trained model.

    Raises:
        PolicyError: The kernels cannot run this policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._networks = networks_of(policy)
        self._scales = scales_of(policy)
        space: Any = policy.observation_space
        self._num_slots = space["peer_mask"].shape[0]
        self._action_shape = policy.action_space.shape or ()
        self._low, self._high = _bounds(policy.action_space)
        self._scratch = make_forward_scratch(self._networks, 1, self._num_slots)
        self.refresh()

    def refresh(self) -> None:
        """Read the weights again."""
        self._actor, self._critic = (
            kernels.NetworkArrays(one.read(), one.sizes) for one in self._networks
        )

    def predict(
        self,
        observation: Mapping[str, np.ndarray[Any, Any]],
        state: object = None,
        episode_start: object = None,
        deterministic: bool = True,
    ) -> tuple[Float32Array, None]:
        """Return the deterministic actions, as a model's ``predict`` does, and no state.

        Args:
            observation: `ego`, `peers` and `peer_mask`, of one observation or with a leading axis.
            state: Not used: the policy has none.
            episode_start: Not used.
            deterministic: Must be true.

        Raises:
            PolicyError: Random actions are asked for.
        """
        del state, episode_start
        if not deterministic:
            raise PolicyError("deterministic must be True. Got False. Use the model itself.")
        is_single = observation["ego"].ndim == 1
        means = self._run(self._actor, observation)
        actions = np.clip(means, self._low, self._high).reshape(-1, *self._action_shape)
        return actions[0] if is_single else actions, None

    def predict_values(self, observation: Mapping[str, np.ndarray[Any, Any]]) -> Float32Array:
        """Return the critic's values, shape (rows,), of one observation or several."""
        return self._run(self._critic, observation)[:, 0]

    def _run(
        self, network: kernels.NetworkArrays, observation: Mapping[str, np.ndarray[Any, Any]]
    ) -> Float32Array:
        """Return a network's output, a copy, shape (rows, outputs)."""
        ego_scale, peer_scale = self._scales
        ego = as_rows(observation["ego"], 1)
        if len(ego) > len(self._scratch.counts):
            self._scratch = make_forward_scratch(self._networks, len(ego), self._num_slots)
        num_peers = kernels.pack_observations(
            ego,
            as_rows(observation["peers"], 2),
            as_rows(observation["peer_mask"], 1),
            ego_scale,
            peer_scale,
            self._scratch.counts,
            self._scratch.peers,
            self._scratch.features,
        )
        return kernels.forward_network(network, len(ego), num_peers, self._scratch).copy()


def lone_actor_of(policy: ActorCriticPolicy) -> LoneActor:
    """Return what acts as a policy does, on one observation at a time and without torch.

    Raises:
        PolicyError: The kernels cannot run this policy.
    """
    networks = networks_of(policy)
    space: Any = policy.observation_space
    low, high = _bounds(policy.action_space)
    return LoneActor(
        kernels.NetworkArrays(networks[0].read(), networks[0].sizes),
        scales_of(policy),
        bounds=(low, high),
        num_slots=space["peer_mask"].shape[0],
    )


def acting_policy(model: Any) -> Any:  # noqa: ANN401 - whatever has ``predict``
    """Return what gives a model's deterministic actions fastest: a LoneActor, else the model."""
    policy: Any = getattr(model, "policy", None)
    return model if why_unsupported(policy) is not None else lone_actor_of(policy)


def as_rows(array: np.ndarray[Any, Any], num_axes: int) -> Float32Array:
    """Return float32 values with a leading axis before their last ``num_axes``."""
    rows = np.ascontiguousarray(array, dtype=np.float32)
    return rows.reshape(-1, *rows.shape[rows.ndim - num_axes :])


def _bounds(space: Any) -> tuple[Float32Array, Float32Array]:  # noqa: ANN401 - a Box, by contract
    """Return the action's bounds as flat rows."""
    return space.low.reshape(-1), space.high.reshape(-1)
