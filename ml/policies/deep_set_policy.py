"""The Deep Sets network: one shared network per peer, a masked maximum, then the heads.

Zaheer et al., "Deep Sets", NeurIPS 2017: a function of a set that does not depend on the order of
its members is a function of a pooled sum (here: maximum) of one shared embedding per member. The
peers' slots therefore carry no meaning, and a slot that the mask marks as empty has no effect.

The scaling from physical units is fixed by the observation space's bounds and stored in the
network, so that what is saved and exported goes from physical units to the action in one graph. A
hidden input is divided by infinity, which makes it 0 in training and ever after.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from ml.errors import PolicyError
from ml.policies.hidden_inputs import HIDDEN_COLUMNS, HIDDEN_INPUTS
from ml.policies.pooling import POOLINGS, pooled_size

HIDDEN_WIDTH = 64
"""Width of the peers' hidden layer and of both layers of each head."""

INITIAL_ACTION_MEAN = -0.2
"""Mean of the first policy's action: below 0, which means no intervention."""

INITIAL_ACTION_STD = 0.5
"""Standard deviation of the first policy's action: P(action > 0) = Phi(-0.2 / 0.5) = 34 %.

A demand adds nothing until it exceeds the 3 m/s^2 by which the driver follows, action 0.375: only
with this much freedom does exploring reach it (12 % of the steps).
"""

MIN_ACTION_STD, MAX_ACTION_STD = 0.05, 0.6
"""Bounds of the action's standard deviation during training."""

_TYPICAL_SHARE_OF_BOUND = 0.25


class DeepSetExtractor(BaseFeaturesExtractor):
    """Features of an observation of `ego`, `peers` and `peer_mask`.

    ``features = [max over peers of embed(peer / peer_scale), ego / ego_scale]``

    The embedding ends in a ReLU, so no feature is below 0 and an empty slot that contributes
    zeros never wins the maximum; without any peer the pooled part is all zeros. Other kinds of
    pooling are in ``ml.policies.pooling``.

    Args:
        observation_space: Dict of `ego` Box (E,), `peers` Box (slots, F), `peer_mask` Box
            (slots,) in {0, 1}. All bounds of `ego` and `peers` are finite.
        peer_embed_dim: Size of one peer's embedding.
        hidden_inputs: One of HIDDEN_INPUTS, None to show everything.
        pooling: One of POOLINGS.

    Raises:
        PolicyError: The space has another form, or a bound that is not finite, or what is to be
            hidden or the pooling is unknown.
    """

    ego_scale: torch.Tensor
    peer_scale: torch.Tensor

    def __init__(
        self,
        observation_space: spaces.Dict,
        peer_embed_dim: int = 32,
        hidden_inputs: str | None = None,
        pooling: str = POOLINGS[0],
    ) -> None:
        ego_space, peers_space = _checked_spaces(observation_space)
        if pooling not in POOLINGS:
            raise PolicyError(
                f"pooling must be one of {', '.join(POOLINGS)}. Got {pooling!r}. "
                f"Leave it out for {POOLINGS[0]}."
            )
        num_pooled = pooled_size(pooling, peer_embed_dim, peers_space.shape[0])
        super().__init__(observation_space, features_dim=num_pooled + ego_space.shape[0])
        self.peer_embed_dim, self.pooling = peer_embed_dim, pooling
        self.register_buffer("ego_scale", _scale_of(ego_space, "ego"))
        self.register_buffer("peer_scale", _scale_of(peers_space, "peers"))
        _hide(hidden_inputs, self.ego_scale, self.peer_scale)
        self._shows_peers = bool(torch.isfinite(self.peer_scale).any())
        self.embed = torch.nn.Sequential(
            torch.nn.Linear(peers_space.shape[1], HIDDEN_WIDTH),
            torch.nn.ReLU(),
            torch.nn.Linear(HIDDEN_WIDTH, peer_embed_dim),
            torch.nn.ReLU(),
        )
        self.score = torch.nn.Linear(peer_embed_dim, 1) if pooling == "attention" else None

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the features, (batch, ``pooled_size`` + E)."""
        is_present = (observations["peer_mask"] > 0.5).unsqueeze(-1)  # (batch, slots, 1)
        if not self._shows_peers:
            is_present = torch.zeros_like(is_present)
        # Empty slots are blanked before the embedding too: a NaN there must not reach a gradient.
        peers = torch.where(is_present, observations["peers"] / self.peer_scale, 0.0)
        embedded = torch.where(is_present, self.embed(peers), 0.0)
        pooled = pool(self.pooling, embedded, is_present, self.score)
        return torch.cat((pooled, observations["ego"] / self.ego_scale), dim=1)


def pool(
    pooling: str,
    embedded: torch.Tensor,
    is_present: torch.Tensor,
    score: torch.nn.Module | None = None,
) -> torch.Tensor:
    """Return the features of all peers; zeros without any.

    Args:
        pooling: One of POOLINGS.
        embedded: (batch, slots, embedding), at least 0, and zeros in an empty slot.
        is_present: (batch, slots, 1), bool.
        score: What weighs an embedding, (..., embedding) to (..., 1); for ``attention`` only.

    Returns:
        (batch, ``pooled_size``).
    """
    if pooling == "max":
        return embedded.amax(dim=1)
    if pooling == "slots":
        return embedded.flatten(start_dim=1)
    if score is None:
        return embedded.sum(dim=1) / is_present.sum(dim=1).clamp(min=1)
    scores = torch.where(is_present, score(embedded), torch.finfo(embedded.dtype).min)
    return (torch.softmax(scores, dim=1) * embedded).sum(dim=1)


def create_deep_set_policy_kwargs(
    peer_embed_dim: int = 32, hidden_inputs: str | None = None, pooling: str = POOLINGS[0]
) -> dict[str, Any]:
    """Return the ``policy_kwargs`` of PPO's "MultiInputPolicy" for this network.

    Actor and critic have an extractor each: separate networks train better (Andrychowicz et al.,
    "What Matters In On-Policy Reinforcement Learning?", ICLR 2021, section 3.2), and the actor's
    part can be exported alone.

    Args:
        peer_embed_dim: Size of one peer's embedding.
        hidden_inputs: One of HIDDEN_INPUTS, None to show everything.
        pooling: One of POOLINGS.

    Returns:
        A new dict on each call.
    """
    extractor_kwargs: dict[str, Any] = {"peer_embed_dim": peer_embed_dim}
    if hidden_inputs is not None:
        extractor_kwargs["hidden_inputs"] = hidden_inputs
    if pooling != POOLINGS[0]:
        extractor_kwargs["pooling"] = pooling
    return {
        "features_extractor_class": DeepSetExtractor,
        "features_extractor_kwargs": extractor_kwargs,
        "share_features_extractor": False,
        "net_arch": {"pi": [HIDDEN_WIDTH, HIDDEN_WIDTH], "vf": [HIDDEN_WIDTH, HIDDEN_WIDTH]},
        "log_std_init": math.log(INITIAL_ACTION_STD),
    }


def initialise_no_intervention(policy: ActorCriticPolicy) -> None:
    """Make a fresh policy start below action 0, so that it mostly leaves the driver alone."""
    with torch.no_grad():
        torch.nn.init.constant_(_action_layer(policy).bias, INITIAL_ACTION_MEAN)


def clamp_action_std(policy: ActorCriticPolicy) -> None:
    """Bring the action's standard deviation back into its bounds, in place."""
    with torch.no_grad():
        policy.log_std.clamp_(math.log(MIN_ACTION_STD), math.log(MAX_ACTION_STD))


def has_finite_weights(policy: torch.nn.Module) -> bool:
    """Return whether every weight is a number; learning too fast makes NaN of them."""
    return all(bool(torch.isfinite(weights).all()) for weights in policy.parameters())


def actor_size_bytes(policy: ActorCriticPolicy) -> int:
    """Return the size of the weights that the board needs: embedding, scales, trunk, action."""
    modules = (policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
    return sum(
        tensor.numel() * tensor.element_size()
        for module in modules
        for tensor in module.state_dict().values()
    )


def _action_layer(policy: ActorCriticPolicy) -> torch.nn.Linear:
    """Return the layer that gives the action's mean, or raise PolicyError."""
    if not isinstance(policy.action_net, torch.nn.Linear):
        raise PolicyError("the policy's action must be continuous. Use a Box action space.")
    return policy.action_net


def _checked_spaces(space: spaces.Dict) -> tuple[spaces.Box, spaces.Box]:
    """Return the spaces of `ego` and `peers`, or raise PolicyError."""
    boxes = [space.spaces.get(key) for key in ("ego", "peers", "peer_mask")]
    shapes = [box.shape for box in boxes if isinstance(box, spaces.Box)]
    ego, peers, mask = boxes
    if (
        not isinstance(ego, spaces.Box)
        or not isinstance(peers, spaces.Box)
        or not isinstance(mask, spaces.Box)
        or [len(shape) for shape in shapes] != [1, 2, 1]
        or peers.shape[0] != mask.shape[0]
    ):
        raise PolicyError(
            "observation space must be a Dict of Boxes `ego` (E,), `peers` (slots, F) and "
            f"`peer_mask` (slots,). Got {space}."
        )
    return ego, peers


def _hide(hidden_inputs: str | None, ego_scale: torch.Tensor, peer_scale: torch.Tensor) -> None:
    """Make the scale of each hidden input infinite, in place, or raise PolicyError."""
    if hidden_inputs is None:
        return
    if hidden_inputs not in HIDDEN_INPUTS:
        raise PolicyError(
            f"hidden_inputs must be one of {', '.join(HIDDEN_INPUTS)}. Got {hidden_inputs!r}. "
            "Leave it out to show everything."
        )
    hidden = HIDDEN_COLUMNS[hidden_inputs]
    try:
        ego_scale[hidden.ego] = math.inf
        peer_scale[hidden.peers] = math.inf
    except IndexError as error:
        raise PolicyError(
            f"the observation must have the columns that hidden_inputs={hidden_inputs!r} hides. "
            f"Got {len(ego_scale)} of `ego` and {len(peer_scale)} of `peers`. Show everything."
        ) from error


def _scale_of(space: spaces.Box, name: str) -> torch.Tensor:
    """Return what to divide by, so that typical values are about 1; the slots share one row."""
    bound = np.maximum(np.abs(space.low), np.abs(space.high)).astype(np.float64)
    if not np.all(np.isfinite(bound)):
        raise PolicyError(
            f"bounds of `{name}` in the observation space must be finite, since they fix the "
            "network's scaling. Give each feature a low and a high."
        )
    bound = bound.reshape(-1, space.shape[-1]).max(axis=0)
    scale = np.where(bound > 0.0, _TYPICAL_SHARE_OF_BOUND * bound, 1.0)
    return torch.as_tensor(scale, dtype=torch.float32)
