"""How a policy is trained: what the command line does not set, and what PPO is given."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ml.errors import ConfigError
from ml.provenance import REPOSITORY_ROOT
from ml.training.arguments import DEFAULT_CHECKPOINT_INTERVAL, DEFAULT_SUMO_CFG
from ml.training.rollout import (
    IMITATIONS,
    LEARNERS,
    batch_size_for,
    check_batch_size,
    check_num_envs,
    rollout_steps,
)
from ml.training.urgent_imitation import UrgentImitation

GAMMA = 0.97
"""Discount: 3 s of control steps, about as long as a braking and its consequence last."""

GAE_LAMBDA = 0.9
"""Braking shows in the reward within a few steps, so short advantages have less variance."""

TRAINING_EPISODE_STEPS = 250
"""Training episodes are half as long as evaluated ones: twice the hazards in as many steps."""

TRAINING_PEER_DRIVER = "delayed"
"""In training peers react late, as people do, so that a far car's braking arrives hard."""

PEER_EMBED_DIM = 32


def learner_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return PPO's keyword arguments that do not name a file.

    Raises:
        ConfigError: The rollout cannot be divided as asked for, or the device is not there.
    """
    rollout = rollout_steps(args.n_steps, args.total_timesteps)
    batch_size = getattr(args, "batch_size", None)
    return {
        "ent_coef": args.ent_coef,
        "learning_rate": args.learning_rate,
        "n_steps": rollout // check_num_envs(num_envs(args), rollout),
        "batch_size": check_batch_size(batch_size or batch_size_for(rollout), rollout),
        "n_epochs": getattr(args, "n_epochs", 10),
        "gamma": GAMMA,
        "gae_lambda": GAE_LAMBDA,
        "seed": args.seed,
        "device": _checked_device(getattr(args, "device", "cpu")),
    }


def num_envs(args: argparse.Namespace) -> int:
    """Return the number of environments; arguments without the field mean one."""
    return int(getattr(args, "n_envs", None) or 1)


def checkpoint_interval(args: argparse.Namespace) -> int:
    """Return the steps between two checkpoints; arguments without the field mean the default."""
    return int(getattr(args, "checkpoint_interval", DEFAULT_CHECKPOINT_INTERVAL))


def learner(args: argparse.Namespace) -> str:
    """Return what learns; arguments without the field mean the default."""
    return str(getattr(args, "learner", LEARNERS[0]))


def is_imitation_urgent(args: argparse.Namespace) -> bool:
    """Return whether missed braking weighs more in the imitation; by default it does not."""
    return bool(getattr(args, "imitation", IMITATIONS[0]) == "urgent")


def has_development(args: argparse.Namespace) -> bool:
    """Return whether scenarios are held out to choose the best policy by."""
    return bool(getattr(args, "dev_episodes", 0))


def _checked_device(name: str) -> str:
    """Return the device to learn on, `auto` resolved."""
    is_there = torch.cuda.is_available() if name != "cpu" else False
    if name == "cuda" and not is_there:
        raise ConfigError(
            "--device cuda must be available. Got no CUDA device that torch can use. "
            "Use --device cpu, or install a driver and a build of torch with CUDA."
        )
    return "cuda" if is_there else "cpu"


def manifest_settings(args: argparse.Namespace, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved settings of the learner and its environment for the manifest."""
    return {
        **settings,
        "algorithm": "PPO",
        "learner": learner(args),
        "peer_embed_dim": PEER_EMBED_DIM,
        "reward_is_normalised": True,
        "threads": getattr(args, "threads", 1),
        "n_envs": num_envs(args),
        "environment": environment_kwargs(args, "train"),
        "development": development_settings(args),
        "imitation": asdict(UrgentImitation()) if is_imitation_urgent(args) else None,
    }


def development_settings(args: argparse.Namespace) -> dict[str, Any] | None:
    """Return the number of development episodes and their interval, or None without any."""
    if not has_development(args):
        return None
    return {"episodes": args.dev_episodes, "interval_steps": args.dev_interval}


def environment_kwargs(args: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Return the environment's keyword arguments for the mode `train`, `dev` or `eval`."""
    kwargs: dict[str, Any] = {
        "render_mode": "human" if args.gui else None,
        "gui": args.gui,
        "scenario_mode": mode,
        "scenario_seed": args.seed,
    }
    if mode == "train":
        kwargs["max_steps"] = TRAINING_EPISODE_STEPS
        kwargs["peer_driver"] = TRAINING_PEER_DRIVER
        bystander_share = getattr(args, "bystander_share", 0.0)
        if bystander_share:
            kwargs["bystander_share"] = bystander_share
        if has_development(args):
            kwargs["hold_out_development"] = True
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
