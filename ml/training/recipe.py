"""How a policy is trained: what the command line does not set, and what PPO is given."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.provenance import REPOSITORY_ROOT
from ml.training.arguments import DEFAULT_SUMO_CFG

GAMMA = 0.97
"""Discount: 3 s of control steps, about as long as a braking and its consequence last."""

GAE_LAMBDA = 0.9
"""Braking shows in the reward within a few steps, so short advantages have less variance."""

TRAINING_EPISODE_STEPS = 250
"""Training episodes are half as long as evaluated ones: twice the hazards in as many steps."""

TRAINING_PEER_DRIVER = "delayed"
"""In training peers react late, as people do, so that a far car's braking arrives hard."""

PEER_EMBED_DIM = 32

BATCH_SIZE = 512
"""Advantages are normalised within a batch, and hazards fill 3 % of the steps: a small batch often
holds none, and then the noise of calm driving is scaled up to the size of a hazard."""


def learner_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return PPO's keyword arguments that do not name a file."""
    n_steps = max(2, min(args.n_steps, args.total_timesteps))
    return {
        "ent_coef": args.ent_coef,
        "learning_rate": args.learning_rate,
        "n_steps": n_steps,
        "batch_size": batch_size_for(n_steps),
        "gamma": GAMMA,
        "gae_lambda": GAE_LAMBDA,
        "seed": args.seed,
        "device": "cpu",
    }


def batch_size_for(n_steps: int) -> int:
    """Return the divisor of the rollout that is nearest to 512 in ratio, at least 2."""
    divisors = (size for size in range(2, n_steps + 1) if n_steps % size == 0)
    return min(divisors, key=lambda size: max(size / BATCH_SIZE, BATCH_SIZE / size))


def manifest_settings(args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved settings of the learner and its environment for the manifest."""
    return {
        **settings,
        "algorithm": "PPO",
        "peer_embed_dim": PEER_EMBED_DIM,
        "reward_is_normalised": True,
        "torch_threads": getattr(args, "torch_threads", 1),
        "environment": environment_kwargs(args, "train"),
    }


def environment_kwargs(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Return the environment's keyword arguments for training or evaluation."""
    kwargs: dict[str, Any] = {
        "render_mode": "human" if args.gui else None,
        "gui": args.gui,
        "scenario_mode": mode,
        "scenario_seed": args.seed,
    }
    if mode == "train":
        kwargs["max_steps"] = TRAINING_EPISODE_STEPS
        kwargs["peer_driver"] = TRAINING_PEER_DRIVER
    if args.dataset_dir is not None:
        kwargs["dataset_dir"] = args.dataset_dir
    else:
        kwargs["sumo_cfg"] = sumo_cfg_path(args)
    if args.emulator_params is not None:
        kwargs["emulator_params_path"] = args.emulator_params
    return kwargs


def sumo_cfg_path(args: argparse.Namespace) -> str | None:
    """Return the single scenario's path; the default one is found from any folder."""
    sumo_cfg: str | None = args.sumo_cfg
    if sumo_cfg == DEFAULT_SUMO_CFG and not Path(sumo_cfg).exists():
        return str(REPOSITORY_ROOT / sumo_cfg)
    return sumo_cfg
