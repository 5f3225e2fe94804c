"""Imitation of the oracle on the states that the policy itself comes to, before PPO."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import numpy as np
import torch

from experiments.dagger_play import play
from ml.envs.vector_env import ConvoyWorkers
from ml.policies.fast_forward import lone_actor_of
from ml.processors import usable_cores

DEFAULTS = {
    "rounds": 3,
    "episodes": 400,
    "steps": 120,
    "onset_s": [1.0, 5.0],
    "headway_s": [0.4, 1.6],
    "delayed_share": 0.5,
    "stale_share": 0.15,
    "dry_share": 0.5,
    "action_noise": 0.05,
    "tau": 0.7,
    "urgency": 3.0,
    "power": 2.0,
    "rest": -0.3,
    "epochs": 8,
    "batch": 2048,
    "lr": 2e-3,
    "std": 0.15,
    "bystander_share": 0.4,
    "hinge": True,
    "unheard": 1,
    "gain": 1.0,
}


def imitate_oracle(
    settings: dict[str, Any], policy: Any, kwargs: dict[str, Any], num: int, seed: int
) -> str:
    """Imitate in rounds, the policy acting from the second one on; return a line about it."""
    settings = {**DEFAULTS, **settings, "seed": seed}
    torch.set_flush_denormal(True)
    if "files" in settings:
        return fit_files(settings, policy, seed)
    data: dict[str, list[Any]] = {}
    demands: list[Any] = []
    first = 0
    kwargs = {**kwargs, "bystander_share": settings["bystander_share"]}
    loss = math.nan
    for number in range(settings["rounds"]):
        begin = time.time()
        actor = lone_actor_of(policy) if number else None
        count = settings["episodes"]
        indices = [(first + i, actor, settings) for i in range(count)]
        first += count
        workers = usable_cores()
        with ConvoyWorkers(workers, kwargs, environment_indices=[0] * workers) as pool:
            played = dict(pool.call_each(play, indices))
        for i in range(count):
            for name, values in played[i]["observations"].items():
                data.setdefault(name, []).append(values)
            demands.append(played[i]["demands"])
        mid = time.time()
        settings["since"] = np.concatenate([since_demand(one) for one in demands])
        loss = fit(
            policy,
            {k: np.concatenate(v) for k, v in data.items()},
            np.concatenate(demands),
            settings,
            seed + number,
        )
        sys.stderr.write(
            f"round {number}: play {mid - begin:.0f} s, fit {time.time() - mid:.0f} s, loss "
            f"{loss:.4f}, steps {sum(map(len, demands))}\n"
        )
    with torch.no_grad():
        policy.log_std.fill_(math.log(settings["std"]))
    return f"Imitated the oracle, loss {loss:.4f}"


def fit(
    policy: Any, observations: dict[str, Any], demands: Any, settings: dict[str, Any], seed: int
) -> float:
    """Fit the actor to an expectile of the demands; return the last pass's mean loss."""
    demand = torch.as_tensor(demands) / 8.0
    wanted = (demand * settings["gain"]).clamp(max=1.0)
    rows = {k: torch.as_tensor(v) for k, v in observations.items()}
    parts = (policy.pi_features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
    parameters = [p for part in parts for p in part.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=settings["lr"])
    generator = torch.Generator().manual_seed(seed)
    tau, rest = settings["tau"], settings["rest"]
    is_called = wanted > 0.0
    under_weight = tau * (1.0 + settings["urgency"] * demand ** settings["power"])
    over_weight = 1.0 - tau
    num_since = torch.as_tensor(settings["since"])
    kept = (num_since == 0) | (num_since > settings["unheard"])
    targets = torch.where(is_called, wanted, torch.tensor(rest))
    epochs = settings["epochs"]
    batches = -(-len(wanted) // settings["batch"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: max(0.02, 1.0 - n / (epochs * batches))
    )
    losses: list[float] = []
    for _ in range(epochs):
        losses = []
        for batch in torch.split(
            torch.randperm(len(wanted), generator=generator), settings["batch"]
        ):
            features = policy.pi_features_extractor({k: v[batch] for k, v in rows.items()})
            means = policy.action_net(policy.mlp_extractor.policy_net(features))[:, 0]
            error = means - targets[batch]
            weight = torch.where(
                is_called[batch] & (error < 0.0), under_weight[batch], torch.tensor(over_weight)
            )
            if settings["hinge"]:
                idle = (~is_called[batch]) & (error < 0.0)
                weight = torch.where(idle, torch.tensor(0.05 * over_weight), weight)
            loss = (weight * kept[batch] * error**2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def since_demand(demands: Any) -> Any:
    """Return for how many steps, this one included, the oracle has been demanding something."""
    counts = np.zeros(len(demands), np.int64)
    for step, demand in enumerate(demands):
        if demand > 0.0:
            counts[step] = 1 + (counts[step - 1] if step else 0)
    return counts


def fit_files(settings: dict[str, Any], policy: Any, seed: int) -> str:
    """Fit to what ``collect.py`` kept."""
    files = [np.load(name) for name in settings["files"]]
    observations = {
        k: np.concatenate([one[k] for one in files]) for k in ("ego", "peers", "peer_mask")
    }
    settings["since"] = np.concatenate([one["since"] for one in files])
    begin = time.time()
    loss = fit(
        policy, observations, np.concatenate([one["demands"] for one in files]), settings, seed
    )
    with torch.no_grad():
        policy.log_std.fill_(math.log(settings["std"]))
    num_steps, duration_s = len(settings["since"]), time.time() - begin
    return f"Imitated the oracle: {num_steps} steps, loss {loss:.4f}, {duration_s:.0f} s"
