"""Judges a policy: ``python -m ml.evaluation.run --model POLICY``.

The same episodes are run by the policy and by the baselines. The report goes to standard output,
progress to standard error, and with ``--output_dir`` everything it was made from to a folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.command_line import check_output_folder, path_text, run_command
from ml.envs import ENVIRONMENT_ID
from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ConfigError, RecordError
from ml.evaluation.arguments import BASELINES, DEFAULT_SUMO_CFG, parse_evaluate_args
from ml.evaluation.baseline_runs import progress_of, run_baselines, run_shown
from ml.evaluation.episode_files import BASELINE_EPISODES_FILE, EPISODES_FILE, save_episodes
from ml.evaluation.episodes import EpisodeRecord, check_same_episodes
from ml.evaluation.evaluation_folder import (
    EVALUATION_FILE,
    INPUTS_FILE,
    RUN_MANIFEST,
    evaluation_files_in,
)
from ml.evaluation.model_episodes import play_model
from ml.evaluation.player_files import find_named_model, policy_ids_of
from ml.evaluation.protocol_command import evaluate_by_protocol
from ml.evaluation.verdict import build_report
from ml.evaluation.verdict_text import format_report, format_side_by_side
from ml.evaluation.worker_episodes import default_num_workers, open_workers
from ml.file_sums import SUMS_FILE, write_sums
from ml.folder_lock import locked_folder
from ml.json_files import read_json
from ml.policies.baselines import is_scripted_policy
from ml.policies.checkpoint import check_fits, is_packaged_policy
from ml.policies.model_file import LoadedModel, load_model
from ml.progress import ProgressDisplay
from ml.provenance import (
    container_image,
    git_state,
    sha256_of_file,
    software_versions,
    write_json_atomically,
)
from ml.records import json_ready, time_stamp

_THREADS = 1
"""More are slower for so small a network, and can round otherwise."""
_CONFIG_PATHS = ("dataset_dir", "sumo_cfg", "emulator_params")


def settle_inputs(args: argparse.Namespace) -> None:
    """Fill in what the command line leaves open.

    A run's folder brings its own dataset or scenario, and its radio unless one is named.

    Raises:
        PolicyError: The model does not exist.
        RecordError: The run's manifest cannot be read.
    """
    config: Mapping[str, Any] = {}
    model = find_named_model(args.model)
    if model is not None:
        config = _config_of_run(model.parent)
        if not is_packaged_policy(args.model):  # its place is another one in each installation
            args.model = str(model)
    if args.dataset_dir is None and args.sumo_cfg is None:
        args.dataset_dir, args.sumo_cfg = config.get("dataset_dir"), config.get("sumo_cfg")
        if args.emulator_params is None:
            args.emulator_params = config.get("emulator_params")
    if args.dataset_dir is None and args.sumo_cfg is None:
        args.sumo_cfg = str(DEFAULT_SUMO_CFG)


def _config_of_run(folder: Path) -> Mapping[str, Any]:
    """Return the configuration of the run in a folder, empty where no run is."""
    manifest = folder / RUN_MANIFEST
    if not manifest.is_file():
        return {}
    try:
        config = read_json(manifest, LARGEST_DOCUMENT_BYTES).get("config", {})
    except (UnusableFileError, AttributeError) as error:
        raise RecordError(f"{manifest} must be readable JSON. Got: {error}. Restore it.") from error
    if not isinstance(config, Mapping):
        raise RecordError(
            f"config in {manifest} must be an object. Got {config!r:.60}. Restore it."
        )
    for name in _CONFIG_PATHS:
        _check_recorded_path(config.get(name), f"config.{name} in {manifest}")
    return config


def _check_recorded_path(value: object, name: str) -> None:
    """Refuse a path in a record that the command line would not accept either."""
    try:
        if value is not None:
            path_text(value if isinstance(value, str) else "")
    except argparse.ArgumentTypeError as error:
        raise RecordError(f"{name} must be a path or null. Got {value!r}: {error}") from error


def check_output_dir(args: argparse.Namespace) -> None:
    """Refuse a folder that holds an evaluation already or cannot be written to.

    Raises:
        ConfigError: The folder cannot be used.
    """
    if args.output_dir is None:
        return
    folder = Path(args.output_dir)
    held = [name for name in (EVALUATION_FILE, INPUTS_FILE) if (folder / name).exists()]
    if held and not args.overwrite:
        raise ConfigError(
            f"--output_dir must not hold an evaluation already. Got {str(folder)!r} with "
            f"{held[0]}. Choose another folder, or add --overwrite."
        )
    if (folder / RUN_MANIFEST).exists():
        raise ConfigError(
            f"--output_dir must not be a run's own folder, whose episodes would be replaced. "
            f"Got {str(folder)!r}. Choose a folder below it."
        )
    check_output_folder(folder)


def read_model(args: argparse.Namespace) -> LoadedModel | None:
    """Return the trained policy that ``--model`` names, None for a scripted one.

    Raises:
        PolicyError: The model cannot be read.
    """
    if is_scripted_policy(args.model):
        return None
    torch.set_num_threads(_THREADS)
    return load_model(args.model, is_trusted=args.trust)


def run_policies(
    args: argparse.Namespace, model: LoadedModel | None, held: ExitStack
) -> tuple[list[EpisodeRecord], dict[str, list[EpisodeRecord]]]:
    """Run the policy, and the baselines unless they are skipped, on the same episodes.

    Args:
        args: The settled arguments.
        model: The trained policy, None for a scripted one.
        held: Takes the lock of ``--output_dir``, once everything was checked.

    Returns:
        The policy's records, and those of each baseline by its name.
    """
    kwargs = {
        "dataset_dir": args.dataset_dir, "sumo_cfg": args.sumo_cfg,
        "scenario_mode": args.split, "scenario_seed": args.seed,
        "emulator_params_path": args.emulator_params, "radio_faults": args.radio_fault,
    }  # fmt: skip

    def make_environment(options: Mapping[str, Any]) -> gym.Env[Any, Any]:
        return gym.make(ENVIRONMENT_ID, **kwargs, **options)

    # Also before several: what is wrong with the arguments is said by this process.
    with closing(make_environment({})) as env, ExitStack() as stack:
        if model is not None:
            check_fits(model, env, args.model)
        if args.output_dir is not None:
            held.enter_context(locked_folder(args.output_dir))
            check_output_dir(args)  # again: another evaluation may have come and gone
        workers = None
        num_played = args.episodes * (1 if args.skip_baselines else 1 + len(BASELINES))
        num_workers = min(args.workers or default_num_workers(num_played), args.episodes)
        if num_workers > 1:
            workers = stack.enter_context(open_workers(kwargs, num_workers))
        if model is None:
            own = run_shown(
                args.model, make_environment, args.episodes, is_quiet=args.quiet, workers=workers
            )
        else:
            own = _run_model(model, workers or env, args)
            env.close()  # SUMO runs once in a process, and a baseline may need it.
        if args.skip_baselines:
            return own, {}
        return own, run_baselines(
            make_environment, args.episodes, own, is_quiet=args.quiet, workers=workers
        )


def _run_model(
    model: LoadedModel, source: ConvoyWorkers | gym.Env[Any, Any], args: argparse.Namespace
) -> list[EpisodeRecord]:
    """Run a trained model with its progress on standard error."""
    with ProgressDisplay("policy", args.episodes, "episodes", is_quiet=args.quiet) as display:
        return play_model(model, source, args.episodes, progress_of(display))


def evaluate_side_by_side(args: argparse.Namespace) -> None:
    """Run several policies on the same episodes and print them in one table.

    Args:
        args: The command line's, with several in ``model``. Where it names no scenarios, they are
            those of the first one's run.

    Raises:
        PolicyError: A model cannot be read.
        ConfigError: Two policies would have one name.
        RecordError: A policy did not meet the same episodes.
    """
    names, policy_ids = args.model, policy_ids_of(args.model)
    read: list[tuple[argparse.Namespace, LoadedModel | None]] = []
    for name in names:
        args.model = name
        settle_inputs(args)
        read.append((argparse.Namespace(**vars(args)), read_model(args)))
    records: dict[str, list[EpisodeRecord]] = {}
    baselines: dict[str, list[EpisodeRecord]] = {}
    for policy_id, (settings, model) in zip(policy_ids, read, strict=True):
        settings.skip_baselines = args.skip_baselines or bool(records)
        with ExitStack() as held:
            records[policy_id], more = run_policies(settings, model, held)
        baselines |= more
        check_same_episodes(records[policy_ids[0]], records[policy_id], policy_id)
    sys.stdout.write(f"{', '.join(names)}: {args.episodes} episodes, split {args.split}\n")
    sys.stdout.writelines(f"radio fault: {fault}\n" for fault in args.radio_fault)
    sys.stdout.write(f"{format_side_by_side(records, baselines)}\n")


def save_evaluation(
    args: argparse.Namespace,
    model: LoadedModel | None,
    records: Sequence[EpisodeRecord],
    baselines: Mapping[str, Sequence[EpisodeRecord]],
    report: Mapping[str, Any],
) -> None:
    """Write the report, its inputs and every episode into ``--output_dir``, which exists.

    Raises:
        RecordError: The folder cannot be written.
    """
    folder = Path(args.output_dir)
    save_episodes(folder, records, baselines)
    evaluation = {
        "timestamp": time_stamp(),
        "config": {name: value for name, value in vars(args).items() if name != "debug"},
        **report,
        "provenance": {
            "model_sha256": None if model is None else model.sha256,
            "threads": _THREADS,
            "git": git_state(),
            "versions": software_versions(),
            "container_image": container_image(),
            "sums_file": SUMS_FILE,
            "sha256": {
                name: sha256_of_file(folder / name)
                for name in (EPISODES_FILE, BASELINE_EPISODES_FILE)
                if (folder / name).is_file()
            },
        },
    }
    write_json_atomically(folder / EVALUATION_FILE, json_ready(evaluation))
    write_sums(folder, evaluation_files_in(folder))


def main(argv: Sequence[str] | None = None) -> None:
    """Judge a policy as the command line says.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_evaluate_args(argv)
    if args.protocol is not None:
        evaluate_by_protocol(args)
        return
    if len(args.model) > 1:
        evaluate_side_by_side(args)
        return
    (args.model,) = args.model
    check_output_dir(args)
    settle_inputs(args)
    model = read_model(args)
    with ExitStack() as held:
        records, baselines = run_policies(args, model, held)
        report = build_report(records, baselines)
        sys.stdout.write(f"{args.model}: {args.episodes} episodes, split {args.split}\n")
        sys.stdout.writelines(f"radio fault: {fault}\n" for fault in args.radio_fault)
        sys.stdout.write(f"{format_report(report)}\n")
        if args.output_dir is not None:
            save_evaluation(args, model, records, baselines, report)
            sys.stdout.write(f"Evaluation saved to: {args.output_dir}\n")


if __name__ == "__main__":
    run_command(main)
