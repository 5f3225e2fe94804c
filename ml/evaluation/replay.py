"""Shows one episode: ``python -m ml.evaluation.replay --model POLICY --video FILE.gif``.

It is an episode of ``roadsense evaluate``, played again, or one from a recording.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import gymnasium as gym
import torch

from ml.command_line import run_command
from ml.envs import ENVIRONMENT_ID
from ml.evaluation.model_episodes import lone_policy
from ml.evaluation.recording import Recording, record_episode
from ml.evaluation.recording_file import read_recording, write_recording
from ml.evaluation.replay_arguments import parse_replay_args
from ml.evaluation.run import settle_inputs
from ml.evaluation.video import write_gif
from ml.policies.baselines import is_scripted_policy, make_scripted_policy
from ml.policies.checkpoint import check_fits
from ml.policies.fast_forward import acting_policy
from ml.policies.model_file import load_model
from ml.progress import ProgressDisplay


def play(args: argparse.Namespace) -> Recording:
    """Play the episode that the command line names.

    Args:
        args: The parsed command line, with a model.

    Returns:
        The episode's recording.
    """
    labels = {"policy": Path(args.model).name}
    settle_inputs(args)
    if args.emulator_params is not None:
        labels["radio_preset"] = Path(args.emulator_params).stem
    scripted = None
    if is_scripted_policy(args.model):
        scripted = make_scripted_policy(args.model)
    env = gym.make(
        ENVIRONMENT_ID,
        dataset_dir=args.dataset_dir, sumo_cfg=args.sumo_cfg,
        scenario_mode=args.split, scenario_seed=args.seed,
        emulator_params_path=args.emulator_params, radio_faults=args.radio_fault,
        **(scripted.environment_options if scripted is not None else {}),
    )  # fmt: skip
    options = {"episode_index": args.episode}
    with closing(env):
        if scripted is not None:
            scripted.attach(env)
            return record_episode(scripted, env, options, labels)
        torch.set_num_threads(1)
        model = load_model(args.model, is_trusted=args.trust)
        check_fits(model, env, args.model)
        return record_episode(lone_policy(acting_policy(model)), env, options, labels)


def main(argv: Sequence[str] | None = None) -> None:
    """Show an episode as the command line says.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_replay_args(argv)
    recording = read_recording(args.source) if args.source is not None else play(args)
    if args.recording is not None:
        write_recording(args.recording, recording)
        sys.stdout.write(f"Recording saved to: {args.recording}\n")
    if args.video is not None:
        num_pictures = len(recording["ego"]["gap_m"])
        with ProgressDisplay("video", num_pictures, "pictures", is_quiet=args.quiet) as display:
            write_gif(
                args.video,
                recording,
                lambda done: display.update(done, is_last=done == num_pictures),
            )
        sys.stdout.write(f"Video saved to: {args.video}\n")


if __name__ == "__main__":
    run_command(main)
