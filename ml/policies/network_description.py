"""A network in words and numbers, and back: what a model's JSON file says of it.

A description names one of the networks in a table here; nothing that it holds is imported or run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy

from ml.errors import PolicyError
from ml.policies.deep_set_policy import DeepSetExtractor, create_deep_set_policy_kwargs
from ml.policies.hidden_inputs import HIDDEN_INPUTS
from ml.policies.optimiser_start import leave_out_compiler
from ml.policies.pooling import POOLINGS

DEEP_SETS = "deep_sets"
LARGEST_SPACE = 4096
"""Most numbers that a part of an observation may have; ours has 72."""

_OBSERVATION_PARTS = ("ego", "peers", "peer_mask")
_SCALES = ("ego_scale", "peer_scale")


def describe_network(policy: object) -> dict[str, Any] | None:
    """Return the description of a policy, from which an equal one can be built.

    Args:
        policy: The policy of a model.

    Returns:
        What ``build_policy`` takes, as JSON values; None for a policy of another kind.
    """
    if type(policy) is not MultiInputActorCriticPolicy:
        return None
    extractor = policy.pi_features_extractor
    if type(extractor) is not DeepSetExtractor:
        return None
    space: Any = policy.observation_space
    try:
        description = {
            "class": DEEP_SETS,
            "peer_embed_dim": extractor.peer_embed_dim,
            "pooling": extractor.pooling,
            "hidden_inputs": _hidden_inputs_of(policy),
            "observation_space": {name: _described_box(space[name]) for name in _OBSERVATION_PARTS},
            "action_space": _described_box(policy.action_space),
        }
        is_complete = _structure(policy) == _structure(build_policy(description))
    except PolicyError:  # its spaces are others than a description can hold
        return None
    return description if is_complete else None


def build_policy(description: Mapping[str, Any]) -> ActorCriticPolicy:
    """Return a policy with the network described, on the CPU, its weights still to be set.

    The generators of random numbers are left as they are.

    Args:
        description: As ``describe_network`` returns it.

    Raises:
        PolicyError: The description contradicts itself.
    """
    if description["class"] != DEEP_SETS:
        raise PolicyError(f"class must be {DEEP_SETS!r}. Got {description['class']!r}.")
    # Models of before there was a choice have no pooling, and maxima.
    hidden_inputs, pooling = description["hidden_inputs"], description.get("pooling", POOLINGS[0])
    boxes: dict[str, spaces.Space[Any]] = {
        name: _box(description["observation_space"][name]) for name in _OBSERVATION_PARTS
    }
    leave_out_compiler()  # the policy makes an optimiser, though nobody wants it here
    with torch.random.fork_rng(devices=[]):
        return MultiInputActorCriticPolicy(
            spaces.Dict(boxes),
            _box(description["action_space"]),
            lambda _: 0.0,
            **create_deep_set_policy_kwargs(description["peer_embed_dim"], hidden_inputs, pooling),
        )


def named_tensors(policy: ActorCriticPolicy) -> dict[str, torch.Tensor]:
    """Return the policy's weights and scales by name, each once, sharing the policy's memory."""
    own: dict[int, str] = {}
    tensors = policy.state_dict()
    # Of an extractor with two names, the last one is kept: `pi_features_extractor`.
    for name, tensor in tensors.items():
        own[tensor.data_ptr()] = name
    return {name: tensors[name] for name in own.values()}


def why_unusable(name: str, values: np.ndarray[Any, Any], wanted: torch.Tensor) -> str | None:
    """Return why values cannot take a tensor's place, None if they can.

    Args:
        name: The tensor's name.
        values: Of the tensor's shape.
        wanted: The tensor of a policy as ``build_policy`` returns it.
    """
    if not name.endswith(_SCALES):
        return None if np.isfinite(values).all() else f"{name} with NaN or infinity"
    if not (values > 0.0).all():
        return f"{name} with a scale that is not above 0"
    # An infinite scale hides an input, which the description has to say.
    if not np.array_equal(np.isinf(values), np.isinf(wanted.numpy())):
        return f"{name} that hides other inputs than hidden_inputs says"
    return None


def _structure(policy: ActorCriticPolicy) -> list[object]:
    """Return what has to be equal for two policies to compute the same of the same weights."""
    modules: list[object] = [(name, type(module)) for name, module in policy.named_modules()]
    tensors = [(name, t.shape, t.dtype) for name, t in named_tensors(policy).items()]
    settings = (
        policy.observation_space, policy.action_space, policy.squash_output, policy.use_sde,
        type(policy.action_dist),
    )  # fmt: skip
    return [*modules, *tensors, *settings]


def _hidden_inputs_of(policy: ActorCriticPolicy) -> str | None:
    """Return what the policy was made to hide, None for nothing."""
    hidden = (policy.features_extractor_kwargs or {}).get("hidden_inputs")
    return hidden if hidden in HIDDEN_INPUTS else None


def _described_box(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a Box as JSON values."""
    if not isinstance(space, spaces.Box) or not space.is_bounded():
        raise PolicyError(f"spaces of a model must be Boxes with finite bounds. Got {space}.")
    low, high = (bound.ravel().tolist() for bound in (space.low, space.high))
    return {"shape": list(space.shape), "low": low, "high": high}


def _box(description: Mapping[str, Any]) -> spaces.Box:
    """Return the Box described, or raise PolicyError."""
    shape, low, high = (description[name] for name in ("shape", "low", "high"))
    size = math.prod(shape)
    if size > LARGEST_SPACE or not len(low) == len(high) == size:
        raise PolicyError(
            f"low and high of a space must have as many numbers as its shape, at most "
            f"{LARGEST_SPACE}. Got {len(low)} and {len(high)} for {shape}."
        )
    bounds = [np.array(bound, np.float32).reshape(shape) for bound in (low, high)]
    if not np.all(bounds[0] <= bounds[1]):
        raise PolicyError("low of a space must be at most its high. Got a low above its high.")
    return spaces.Box(bounds[0], bounds[1], dtype=np.float32)
