"""The learning itself: environments, model, callbacks, and the way on from a state."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from ml.envs import ENVIRONMENT_ID
from ml.envs.episode_memory import RememberedEpisodes
from ml.envs.vector_env import ConvoyWorkers
from ml.policies.checkpoint import MODEL_FILE, model_files
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs, initialise_no_intervention
from ml.policies.optimiser_start import leave_out_compiler
from ml.policies.pooling import POOLINGS
from ml.processors import oversubscription_warning, usable_cores
from ml.training import recipe, run_folder, run_logs
from ml.training.callbacks import (
    BoundedLogStdCallback,
    CheckpointCallback,
    FiniteUpdateCallback,
    ProgressCallback,
    actor_critic_of,
    divergence_told,
    save_model_atomically,
)
from ml.training.curves import curves_told
from ml.training.development import DevelopmentCallback, DevelopmentEpisodes
from ml.training.failure_state import failure_kept
from ml.training.imitation import imitate_oracle
from ml.training.learner_state import Learning, Resumable, capture, restore, restore_log
from ml.training.learners import choose_learner, scale_rewards
from ml.training.run_state import RunState, make_durable, write_state
from ml.training.stage_shares import StageClock, TimedVecEnv
from ml.training.state_callbacks import PatienceCallback, StateCallback
from ml.training.stopping import StopRequest
from ml.training.urgent_imitation import imitate_urgently
from ml.training.vector_adapter import WorkersVecEnv

DEFAULT_NUM_STATES = 2
LOGS = "log_bytes"


def open_environments(
    args: argparse.Namespace, make: Callable[..., gym.Env[Any, Any]] = gym.make
) -> VecEnv:
    """Open the training environments: one in this process, several in processes of their own.

    Args:
        args: The command's arguments.
        make: Makes an environment by its id, as ``gym.make`` does.
    """
    num_envs = recipe.num_envs(args)
    warning = oversubscription_warning(num_envs, getattr(args, "threads", 1), usable_cores())
    if warning is not None and not getattr(args, "quiet", False):
        sys.stderr.write(f"{warning}\n")
    kwargs = recipe.environment_kwargs(args, "train")
    # Also before several: what is wrong with the arguments is said here, by one process.
    env = make(ENVIRONMENT_ID, **kwargs)
    if num_envs > 1:
        env.close()
        return WorkersVecEnv(ConvoyWorkers(num_envs, kwargs))
    remembered = RememberedEpisodes(Monitor(env))
    return DummyVecEnv([lambda: remembered])


def open_development(args: argparse.Namespace) -> DevelopmentCallback | None:
    """Open the development episodes, unless training is shorter than their interval."""
    settings = recipe.development_settings(args)
    if settings is None or args.total_timesteps < settings["interval_steps"]:
        return None
    kwargs = {**recipe.environment_kwargs(args, "dev"), "gui": False, "render_mode": None}
    episodes = DevelopmentEpisodes(kwargs, settings["episodes"])
    return DevelopmentCallback(episodes, args.output_dir, settings["interval_steps"])


def make_model(
    args: argparse.Namespace, vector: VecEnv, algorithm: Callable[..., PPO] = PPO
) -> tuple[PPO, dict[str, Any]]:
    """Make a fresh model as the command line asks for it.

    Args:
        args: The command's arguments.
        vector: The training environments, whose rewards are scaled from here on.
        algorithm: Makes the learner.

    Returns:
        The model, and what learns: see ``choose_learner``.
    """
    leave_out_compiler()
    torch.set_num_threads(getattr(args, "threads", 1))
    set_random_seed(args.seed)
    with warnings.catch_warnings():
        # Whoever asks for a GPU need not be told that a small network is no faster there.
        warnings.filterwarnings("ignore", message="You are trying to run PPO on the GPU")
        model = algorithm(
            "MultiInputPolicy",
            scale_rewards(vector, recipe.learner(args), recipe.GAMMA),
            policy_kwargs=create_deep_set_policy_kwargs(
                recipe.PEER_EMBED_DIM,
                getattr(args, "hide_inputs", None),
                getattr(args, "pooling", POOLINGS[0]),
            ),
            verbose=0,
            tensorboard_log=str(Path(args.output_dir) / run_folder.TENSORBOARD_FOLDER),
            **recipe.learner_settings(args),
        )
    initialise_no_intervention(actor_critic_of(model))
    return model, choose_learner(model, recipe.learner(args))


@dataclass(frozen=True)
class Beginning:
    """Where a training begins.

    Attributes:
        identity: What its states belong to.
        state: Where to go on from, None at the very beginning.
    """

    identity: dict[str, Any]
    state: RunState | None = None


@dataclass(frozen=True)
class _Callbacks:
    """What happens beside the learning."""

    bound: BoundedLogStdCallback
    checkpoints: CheckpointCallback
    judge: DevelopmentCallback | None
    progress: ProgressCallback

    @property
    def in_order(self) -> list[BaseCallback]:
        """All of them, as they are called."""
        return [self.bound, self.checkpoints, *filter(None, [self.judge]), self.progress]

    @property
    def resumable(self) -> dict[str, Resumable]:
        """Those with a state, by name."""
        named: dict[str, Resumable] = {"checkpoints": self.checkpoints, "progress": self.progress}
        if self.judge is not None:
            named["development"] = self.judge
        return named


def _make_callbacks(
    args: argparse.Namespace, timed: TimedVecEnv, judge: DevelopmentCallback | None
) -> _Callbacks:
    folder = Path(args.output_dir)
    progress = ProgressCallback(
        folder / run_folder.PROGRESS_FILE,
        args.total_timesteps,
        start_clock=lambda: StageClock(timed, min(timed.num_envs, usable_cores())),
        is_quiet=getattr(args, "quiet", False),
    )
    checkpoints = CheckpointCallback(
        folder / run_folder.CHECKPOINT_FOLDER,
        recipe.checkpoint_interval(args),
        getattr(args, "keep_checkpoints", None),
    )
    return _Callbacks(BoundedLogStdCallback(), checkpoints, judge, progress)


def learn(
    args: argparse.Namespace,
    vector: VecEnv,
    judge: DevelopmentCallback | None,
    *,
    beginning: Beginning,
    algorithm: Callable[..., PPO],
    say: Callable[[str], None],
) -> tuple[int, dict[str, Any]]:
    """Run PPO on the environments and save it as ``model_final.zip``.

    Args:
        args: The command's arguments.
        vector: The training environments.
        judge: What judges the policy on the way, None where nothing does.
        beginning: Where to begin.
        algorithm: Makes the learner.
        say: Takes a line for the user.

    Returns:
        The steps taken, and what learned: see ``choose_learner``.
    """
    timed = TimedVecEnv(vector)
    model, learner = make_model(args, timed, algorithm)
    callbacks = _make_callbacks(args, timed, judge)
    learning = Learning(model, vector, callbacks.resumable)
    state = beginning.state
    begun_at = 0 if state is None else state.num_steps
    num_episodes = getattr(args, "imitation_episodes", 0)
    if state is not None:
        restore(learning, state)
    elif num_episodes:
        kwargs = recipe.environment_kwargs(args, "train")
        imitate = imitate_urgently if recipe.is_imitation_urgent(args) else imitate_oracle
        say(imitate(actor_critic_of(model), kwargs, num_episodes, args.seed))
    try:
        with StopRequest() as stop:
            saving = StateCallback(
                lambda: _captured(args, learning),
                lambda state: _save_state(args, state, beginning.identity),
                recipe.checkpoint_interval(args),
                stop=stop,
                begun_at=begun_at,
                on_start=None if state is None else lambda: restore_log(model, state),
            )
            every = [FiniteUpdateCallback(), saving, *callbacks.in_order, PatienceCallback(stop)]
            with (
                curves_told(args.output_dir),
                failure_kept(args.output_dir, beginning.identity, model, lambda: saving.latest),
                divergence_told(model),
            ):
                model.learn(
                    total_timesteps=args.total_timesteps - begun_at,
                    callback=every,
                    reset_num_timesteps=state is None,
                )
    finally:
        callbacks.progress.close()
    path = Path(args.output_dir) / MODEL_FILE
    save_model_atomically(model, path)
    make_durable([*model_files(path), path.parent])
    return model.num_timesteps, learner


def _captured(args: argparse.Namespace, learning: Learning) -> RunState:
    """Return the state of a training, with the lengths of its logs."""
    state = capture(learning)
    content = {**state.content, LOGS: run_logs.log_sizes(args.output_dir)}
    return RunState(state.num_steps, state.arrays, content)


def _save_state(args: argparse.Namespace, state: RunState, identity: dict[str, Any]) -> None:
    """Write the state of a training, and what it depends on, to the disk."""
    folder = Path(args.output_dir)
    logs = [folder / name for name in state.content[LOGS]]
    make_durable([*model_files(folder / run_folder.BEST_MODEL_FILE), *logs, folder])
    write_state(
        folder / run_folder.CHECKPOINT_FOLDER,
        state,
        identity,
        getattr(args, "keep_checkpoints", None) or DEFAULT_NUM_STATES,
    )
