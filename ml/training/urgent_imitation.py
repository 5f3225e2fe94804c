"""An imitation of the oracle that counts a missed braking by how urgent it is.

It differs from the plain imitation in three ways. Its episodes are mostly about hazards that leave
little time. From the second round on the policy itself acts in them, so that it learns in the
states that it comes to: Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and Structured
Prediction to No-Regret Online Learning" (DAgger), AISTATS 2011. And too little braking costs more
than too much: the actor is fitted to an expectile of what the oracle demands, as far as what it
sees tells (Newey and Powell, "Asymmetric Least Squares Estimation and Testing", Econometrica 1987).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.envs.vector_env import ConvoyWorkers
from ml.evaluation.episodes import PredictingPolicy
from ml.policies.fast_forward import lone_actor_of, why_unsupported
from ml.policies.model_in_worker import PolicyInWorker
from ml.processors import usable_cores
from ml.training.actor_fit import FitPlan, Losses, fit_actor
from ml.training.urgent_episodes import UrgentEpisode, UrgentEpisodes, play_urgent_episode
from ml.types import MAX_DEMAND_MPS2


@dataclass(frozen=True)
class UrgentImitation:
    """How the imitation is done.

    Attributes:
        episodes: What its episodes are drawn from.
        fits: The fit after each round, to the episodes of all rounds so far; the episodes are
            divided evenly among the rounds.
        too_little_share: Weight of too little braking; the rest of 1 is that of too much. The
            expectile.
        urgency_weight: By how much the largest demand adds to the weight of too little braking.
        urgency_power: Of the demand's share of the largest one, by which that falls.
        demand_gain: The actor is to demand so many times what the oracle demands, which reacts
            without delay; at most the largest demand.
        rest_action: Action where nothing is demanded.
        below_rest_weight: Weight of an action below it, as a share of that of too much braking:
            what the actor does there changes nothing on the road.
        num_unheard: Steps of a demand that are left out because no frame can tell of it yet.
        action_std: Deviation of the action from which PPO goes on.
    """

    episodes: UrgentEpisodes = field(default_factory=UrgentEpisodes)
    fits: tuple[FitPlan, ...] = (
        FitPlan(5, 2048, 2e-3, is_decaying=True),
        FitPlan(8, 2048, 2e-3, is_decaying=True),
    )
    too_little_share: float = 0.9
    urgency_weight: float = 10.0
    urgency_power: float = 3.0
    demand_gain: float = 1.5
    rest_action: float = -0.3
    below_rest_weight: float = 0.05
    num_unheard: int = 1
    action_std: float = 0.15


def collect_urgent_episodes(
    environment_kwargs: Mapping[str, Any],
    indices: Sequence[int],
    actor: PredictingPolicy | None,
    episodes: UrgentEpisodes,
) -> list[UrgentEpisode]:
    """Play episodes in processes of their own; their number changes nothing.

    Args:
        environment_kwargs: Keyword arguments of the training environment.
        indices: Which ones, at least one.
        actor: Who acts, see ``play_urgent_episode``.
        episodes: What they are drawn from.
    """
    num_workers = min(usable_cores(), len(indices))
    kwargs = {**environment_kwargs, "bystander_share": episodes.bystander_share}
    arguments = [(index, actor, episodes) for index in indices]
    with ConvoyWorkers(num_workers, kwargs, environment_indices=[0] * num_workers) as workers:
        played = dict(workers.call_each(play_urgent_episode, arguments))
    return [played[number] for number in range(len(indices))]


def actor_in_workers(policy: ActorCriticPolicy) -> PredictingPolicy:
    """Return what acts as a policy does now wherever it is sent: compiled, or else with torch."""
    return lone_actor_of(policy) if why_unsupported(policy) is None else PolicyInWorker(policy)


def urgency_losses(
    seen: Sequence[UrgentEpisode], settings: UrgentImitation, device: torch.device
) -> Losses:
    """Return what the fit makes small: squared differences of actions, weighted.

    Args:
        seen: The episodes, whose steps follow one another in the rows.
        settings: The weights.
        device: Where the actor is.
    """
    demands_mps2 = np.concatenate([one.demands_mps2 for one in seen])
    demands = torch.as_tensor(demands_mps2, device=device) / MAX_DEMAND_MPS2
    counts = np.concatenate([one.num_demanding for one in seen])
    num_demanding = torch.as_tensor(counts, device=device)
    is_demanded = num_demanding > 0
    targets = (settings.demand_gain * demands).clamp(max=1.0)
    targets[~is_demanded] = settings.rest_action
    too_much = torch.full_like(demands, 1.0 - settings.too_little_share)
    urgency = settings.urgency_weight * demands**settings.urgency_power
    too_little = settings.too_little_share * (1.0 + urgency)
    too_little[~is_demanded] = settings.below_rest_weight * (1.0 - settings.too_little_share)
    is_unheard = is_demanded & (num_demanding <= settings.num_unheard)
    for weights in (too_much, too_little):
        weights[is_unheard] = 0.0

    def losses_of(means: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        errors = means - targets[rows]
        return torch.where(errors < 0.0, too_little[rows], too_much[rows]) * errors**2

    return losses_of


def imitate_urgently(
    policy: ActorCriticPolicy,
    environment_kwargs: Mapping[str, Any],
    num_episodes: int,
    seed: int,
    settings: UrgentImitation | None = None,
) -> str:
    """Let a policy begin as an imitation of the oracle, and say in a line what came of it.

    Args:
        policy: The policy.
        environment_kwargs: Keyword arguments of the training environment.
        num_episodes: Number of episodes in all rounds, at least 1.
        seed: Seed of the training.
        settings: How it is done; None takes the defaults.
    """
    settings = settings or UrgentImitation()
    seen: list[UrgentEpisode] = []
    loss = math.nan
    rounds = np.array_split(np.arange(num_episodes), len(settings.fits))
    for number, indices in enumerate(rounds):
        if not len(indices):
            break
        actor = actor_in_workers(policy) if number else None
        seen += collect_urgent_episodes(
            environment_kwargs, indices.tolist(), actor, settings.episodes
        )
        loss = fit_urgently(policy, seen, settings, number, seed)
    num_steps = sum(len(one.demands_mps2) for one in seen)
    return f"Imitated the oracle: {num_steps} steps, loss {loss:.4f}"


def fit_urgently(
    policy: ActorCriticPolicy,
    seen: Sequence[UrgentEpisode],
    settings: UrgentImitation,
    number: int,
    seed: int,
) -> float:
    """Fit a policy after a round, in place, and return the mean loss of the last pass.

    Args:
        policy: The policy, as the round before left it.
        seen: The episodes of all rounds so far, this one included, at least one.
        settings: How it is done.
        number: Which round, from 0.
        seed: Seed of the training.
    """
    observations = {
        name: np.concatenate([one.observations[name] for one in seen])
        for name in seen[0].observations
    }
    losses_of = urgency_losses(seen, settings, policy.device)
    loss = fit_actor(policy, observations, losses_of, settings.fits[number], seed + number)
    with torch.no_grad():
        policy.log_std.fill_(math.log(settings.action_std))
    return loss
