"""Fits the mean of a policy's action to examples; the critic stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.types import Float32Array

Losses = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes the actions' means and the rows that they belong to, returns each row's loss."""


@dataclass(frozen=True)
class FitPlan:
    """How long and how fast to fit.

    Attributes:
        num_epochs: Passes over all rows.
        batch_size: Rows of a gradient step.
        learning_rate: Adam's.
        is_decaying: Whether it falls linearly to 0 on the way.
    """

    num_epochs: int
    batch_size: int
    learning_rate: float
    is_decaying: bool = False


def fit_actor(
    policy: ActorCriticPolicy,
    observations: Mapping[str, Float32Array],
    losses_of: Losses,
    plan: FitPlan,
    seed: int,
) -> float:
    """Fit the action's mean, in place.

    Args:
        policy: The policy.
        observations: By name, (num_rows, ...).
        losses_of: What to make small.
        plan: How long and how fast.
        seed: Of the order of the rows.

    Returns:
        The mean loss of the last pass.
    """
    tensors = {
        name: torch.as_tensor(values, device=policy.device) for name, values in observations.items()
    }
    num_rows = len(next(iter(tensors.values())))
    parts = (policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=plan.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    num_steps = plan.num_epochs * -(-num_rows // plan.batch_size)
    losses: list[float] = []
    step = 0
    for _ in range(plan.num_epochs):
        losses = []
        order = torch.randperm(num_rows, generator=generator)
        for rows in torch.split(order, plan.batch_size):
            if plan.is_decaying:
                optimiser.param_groups[0]["lr"] = plan.learning_rate * (1.0 - step / num_steps)
            features = policy.pi_features_extractor({k: v[rows] for k, v in tensors.items()})
            means = policy.action_net(policy.mlp_extractor.policy_net(features))[:, 0]
            loss = losses_of(means, rows).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(loss.item())
            step += 1
    return float(np.mean(losses))
