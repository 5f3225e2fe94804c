"""The command line of ``ml.training.train_convoy``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ml.command_line import (
    OneLineArgumentParser,
    add_debug_flag,
    integer_in,
    number_in,
    path_text,
)
from ml.errors import ConfigError, RoadSenseError
from ml.evaluation.arguments import BASELINES
from ml.policies.hidden_inputs import HIDDEN_INPUTS
from ml.policies.pooling import POOLINGS
from ml.seeding import MAX_MASTER_SEED
from ml.training.presets import PRESETS
from ml.training.rollout import (
    IMITATIONS,
    LEARNERS,
    batch_size_for,
    check_batch_size,
    check_num_envs,
    default_num_envs,
    default_num_imitated,
    rollout_steps,
)
from ml.training.run_arguments import arguments_to_go_on
from ml.types import MAX_ENVIRONMENTS

DEFAULT_SUMO_CFG = "ml/scenarios/base/scenario.sumocfg"
DEFAULT_CHECKPOINT_INTERVAL = 10_000
_MAX_COUNT = 10**9
_MAX_ROLLOUT_STEPS = 10**6
"""A rollout is held in memory, half a kilobyte a step."""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="train_convoy",
        description="Train PPO with Deep Sets on RoadSense-Convoy, evaluate it, keep the record.",
    )
    count = integer_in(1, _MAX_COUNT)

    parser.add_argument(
        "--dataset_dir",
        type=path_text,
        metavar="DIR",
        help="Dataset folder (holds manifest.json). Without it the single scenario of --sumo_cfg.",
    )
    parser.add_argument(
        "--sumo_cfg",
        type=path_text,
        metavar="FILE",
        help=f"Single scenario (default without --dataset_dir: {DEFAULT_SUMO_CFG}).",
    )
    parser.add_argument(
        "--eval_episodes",
        type=count,
        default=10,
        metavar="N",
        help="Evaluation episodes after training (default: 10).",
    )
    parser.add_argument(
        "--emulator_params",
        type=path_text,
        metavar="FILE",
        help="Radio parameters (default: the dataset's, else the packaged ones).",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=42,
        metavar="N",
        help="Seed of training and scenario selection (default: 42).",
    )
    parser.add_argument(
        "--total_timesteps",
        type=count,
        default=100_000,
        metavar="N",
        help="Training steps, rounded up to whole rollouts (default: 100,000).",
    )
    parser.add_argument(
        "--learning_rate",
        type=number_in(1e-10, 1.0),
        default=3e-4,
        metavar="X",
        help="Learning rate (default: 3e-4).",
    )
    parser.add_argument(
        "--n_steps",
        type=integer_in(2, _MAX_ROLLOUT_STEPS),
        default=2048,
        metavar="N",
        help="Steps per rollout, shared out to the environments; at most --total_timesteps are "
        "used (default: 2048).",
    )
    parser.add_argument(
        "--ent_coef",
        type=number_in(0.0, 1000.0),
        default=0.01,
        metavar="X",
        help="Entropy coefficient (default: 0.01).",
    )
    parser.add_argument(
        "--output_dir",
        type=path_text,
        metavar="DIR",
        help="Folder for model and metrics (default: ml/models/runs/<run_id>/).",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="Replace the run that the folder holds; foreign files in it stay.",
    )
    parser.add_argument(
        "--run_id",
        type=_run_id,
        metavar="NAME",
        help="Name of the run (default: from the time).",
    )
    parser.add_argument("--skip_eval", action="store_true", help="Skip the evaluation.")
    parser.add_argument(
        "--skip_baselines",
        action="store_true",
        help=f"Do not run {', '.join(BASELINES)} on the same episodes.",
    )
    parser.add_argument("--gui", action="store_true", help="Show SUMO's window (for debugging).")
    _add_learning_flags(parser)
    _add_development_flags(parser)
    _add_resumption_flags(parser)
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    add_debug_flag(parser)

    args = parser.parse_args(argv)
    if args.preset is not None:
        args = _with_preset(parser, args.preset, argv)
    if args.resume is not None:
        try:
            args = arguments_to_go_on(parser, args.resume, argv)
        except RoadSenseError as error:
            parser.error(str(error))
    if args.dataset_dir is not None and args.sumo_cfg is not None:
        parser.error("Cannot specify both --dataset_dir and --sumo_cfg")
    if args.dataset_dir is None and args.sumo_cfg is None:
        args.sumo_cfg = DEFAULT_SUMO_CFG
    try:
        _divide_rollout(args)
    except ConfigError as error:
        parser.error(str(error))
    return args


def _with_preset(
    parser: argparse.ArgumentParser, preset: str, argv: Sequence[str] | None
) -> argparse.Namespace:
    """Return the arguments with a preset's values in the place of the defaults."""
    parser.set_defaults(**{**PRESETS[preset], "batch_size": None})
    args = parser.parse_args(argv)
    if args.batch_size is None:
        rollout = rollout_steps(args.n_steps, args.total_timesteps)
        args.batch_size = batch_size_for(rollout, PRESETS[preset]["batch_size"])
    return args


def _add_learning_flags(parser: argparse.ArgumentParser) -> None:
    """Add what speeds the learning up or shapes its updates."""
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="Values of flags that belong together; flags that are given go before them "
        "(default: none).",
    )
    parser.add_argument(
        "--learner",
        choices=LEARNERS,
        default=LEARNERS[0],
        help="What learns: fast, PPO with compiled rollouts and updates, or sb3, plain "
        "stable-baselines3 (default: fast).",
    )
    parser.add_argument(
        "--imitation_episodes",
        type=integer_in(0, 100_000),
        metavar="N",
        help="Episodes, not counted as training steps, from which the first policy learns to "
        "imitate the oracle (default: one for each 1,000 steps, at most 100; none below 20,000).",
    )
    parser.add_argument(
        "--imitation",
        choices=IMITATIONS,
        default=IMITATIONS[0],
        help="How it does so: plain, or urgent, in hazards that leave little time, in the states "
        "that it comes to itself, and with missed braking weighing more (default: plain).",
    )
    parser.add_argument(
        "--bystander_share",
        type=number_in(0.0, 1.0),
        default=0.0,
        metavar="X",
        help="Share of training episodes in which a car brakes that is in nobody's way (default: "
        "0).",
    )
    parser.add_argument(
        "--hide_inputs",
        choices=HIDDEN_INPUTS,
        help="Train a network that never sees the radio, or how old what it hears is, or what was "
        "before, for comparison (default: it sees everything).",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default=POOLINGS[0],
        help="How the network makes features of one size of any number of peers; all but max are "
        "for comparison, and learned by plain PPO (default: max).",
    )
    parser.add_argument(
        "--n_envs",
        type=integer_in(1, MAX_ENVIRONMENTS),
        metavar="N",
        help="Environments, a process each; must divide the rollout (default: the largest "
        "number up to 4 that does).",
    )
    parser.add_argument(
        "--batch_size",
        type=integer_in(2, _MAX_COUNT),
        metavar="N",
        help="Steps per gradient step; must divide the rollout (default: the divisor nearest "
        "to 512).",
    )
    parser.add_argument(
        "--n_epochs",
        type=integer_in(1, 1000),
        default=10,
        metavar="N",
        help="Passes over a rollout in its update (default: 10).",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda", "auto"),
        default="cpu",
        help="Where the learner computes; auto takes cuda if there is one (default: cpu).",
    )
    parser.add_argument(
        "--threads",
        type=integer_in(1, 1024),
        default=1,
        metavar="N",
        help="Threads of the learner; the number changes the weights (default: 1).",
    )


def _add_development_flags(parser: argparse.ArgumentParser) -> None:
    """Add how the best policy is chosen."""
    parser.add_argument(
        "--dev_interval",
        type=integer_in(1, _MAX_COUNT),
        default=20_000,
        metavar="N",
        help="Steps between two evaluations on the development split (default: 20,000).",
    )
    parser.add_argument(
        "--dev_episodes",
        type=integer_in(0, 1_000_000),
        default=36,
        metavar="N",
        help="Episodes of each of them; 0: none, and nothing is held out (default: 36).",
    )


def _add_resumption_flags(parser: argparse.ArgumentParser) -> None:
    """Add how a run is kept, and how it goes on."""
    parser.add_argument(
        "--resume",
        type=path_text,
        metavar="RUN",
        help="Go on with a run that was stopped: its folder, or its name below ml/models/runs/. "
        "It ends as if it had not been stopped.",
    )
    parser.add_argument(
        "--checkpoint_interval",
        type=integer_in(1, _MAX_COUNT),
        default=DEFAULT_CHECKPOINT_INTERVAL,
        metavar="N",
        help="Steps between two checkpoints, and between two states to go on from "
        "(default: 10,000).",
    )
    parser.add_argument(
        "--keep_checkpoints",
        type=integer_in(1, 1_000_000),
        metavar="N",
        help="Keep only the newest N checkpoints and N states (default: every checkpoint, 2 "
        "states).",
    )


def _divide_rollout(args: argparse.Namespace) -> None:
    """Fill in what depends on other flags, and check that the parts fit the rollout."""
    rollout = rollout_steps(args.n_steps, args.total_timesteps)
    if args.n_envs is None:
        args.n_envs = 1 if args.gui else default_num_envs(rollout)
    if args.imitation_episodes is None:
        args.imitation_episodes = 0 if args.gui else default_num_imitated(args.total_timesteps)
    if args.gui and args.imitation_episodes:
        raise ConfigError(
            f"--imitation_episodes must be 0 with --gui. Got {args.imitation_episodes}. "
            "Leave one out."
        )
    if args.imitation == "urgent" and args.imitation_episodes and args.device != "cpu":
        raise ConfigError(
            f"--device must be cpu with --imitation urgent. Got {args.device}. Leave one out."
        )
    if args.gui and args.n_envs > 1:
        raise ConfigError(f"--n_envs must be 1 with --gui. Got {args.n_envs}. Leave one out.")
    check_num_envs(args.n_envs, rollout)
    if args.batch_size is not None:
        check_batch_size(args.batch_size, rollout)


def _run_id(text: str) -> str:
    """Accept a name that is a plain folder name everywhere."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", text):
        raise argparse.ArgumentTypeError(
            f"must be letters, digits, '_', '-' and '.', not starting with '.'. Got {text!r}."
        )
    return text
