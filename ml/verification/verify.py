"""Checks a run against its own records: ``python -m ml.verification.verify RUN``.

Every hash is recomputed and one episode is played again. Status 0: all as recorded; 1: not.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ml.command_line import EXIT_FAILURE, run_command
from ml.envs.scenario_manager import MANIFEST_FILE
from ml.errors import ConfigError, RecordError, RoadSenseError, one_line
from ml.evaluation.episode_files import EPISODES_FILE
from ml.evaluation.evaluation_folder import (
    EVALUATION_FILE,
    RUN_MANIFEST,
    evaluation_files_in,
)
from ml.policies.checkpoint import MODEL_FILE, model_files
from ml.training import recipe
from ml.training.old_run import run_files_in
from ml.training.run_folder import METRICS_FILE
from ml.verification.arguments import parse_verify_args
from ml.verification.command import settings_of_run
from ml.verification.differences import code_and_version_differences
from ml.verification.folder_sums import check_sums, files_of_sums
from ml.verification.protocol_evaluation import check_protocol_evaluation
from ml.verification.records import (
    Json,
    Line,
    checked_path,
    files_of_evaluation,
    files_of_run,
    is_run,
    object_in,
    read_object,
)
from ml.verification.replayed_episode import compared, play_again, recorded_row
from ml.verification.scenarios import check_scenarios

_NEEDED = {"model", *(path.name for path in model_files(MODEL_FILE))}


def check_episode(
    folder: Path, plan: tuple[str, dict[str, Any], int], index: int, *, is_trusted: bool
) -> Line:
    """Play an episode again and compare it with its record.

    Args:
        folder: The run's or evaluation's folder.
        plan: Model, the environment's keyword arguments, and number of threads.
        index: Which episode.
        is_trusted: Whether the model's zip may be unpickled.
    """
    model, environment, num_threads = plan
    before = recorded_row(folder / EPISODES_FILE, index)
    try:
        now = play_again(model, environment, index, num_threads=num_threads, is_trusted=is_trusted)
    except RoadSenseError as error:
        return "changed", f"episode {index}: it cannot be played: {error}"
    return compared(f"episode {index}", before, now)


def _plan_of_run(folder: Path, dataset_dir: str | None) -> tuple[str, dict[str, Any], int]:
    """Return how the evaluation of a run is played."""
    settings = settings_of_run(folder / RUN_MANIFEST)
    if dataset_dir is not None:
        settings.dataset_dir = dataset_dir
    settings.gui = False
    environment = recipe.environment_kwargs(settings, "eval")
    return str(folder / MODEL_FILE), environment, settings.threads


def _plan_of_evaluation(config: Json, args: argparse.Namespace) -> tuple[str, dict[str, Any], int]:
    """Return how an evaluation without a protocol is played."""
    path = Path(args.folder) / EVALUATION_FILE
    try:
        environment = {
            "dataset_dir": args.dataset_dir or config["dataset_dir"],
            "sumo_cfg": config["sumo_cfg"], "scenario_mode": config["split"],
            "scenario_seed": config["seed"], "emulator_params_path": config["emulator_params"],
            "radio_faults": config["radio_fault"],
        }  # fmt: skip
        model = str(checked_path(config["model"], f"config.model in {path}"))
    except KeyError as error:
        raise RecordError(f"config in {path} must hold {error}. Got none. Restore it.") from error
    return model, environment, 1


def verify(args: argparse.Namespace) -> Iterator[Line]:
    """Give one line for each check of a folder.

    Args:
        args: The command line's ``folder``, ``episode`` and ``dataset_dir``.
    """
    folder = Path(args.folder)
    if args.dataset_dir is not None and not (Path(args.dataset_dir) / MANIFEST_FILE).is_file():
        raise ConfigError(
            f"--dataset_dir must be a dataset's folder, with {MANIFEST_FILE}. Got "
            f"{args.dataset_dir!r}. Check the path."
        )
    is_of_run = is_run(folder)
    path = folder / (RUN_MANIFEST if is_of_run else EVALUATION_FILE)
    record = read_object(path)
    named = files_of_run(folder, args.dataset_dir) if is_of_run else files_of_evaluation(folder)
    is_playable = True
    for file in dict.fromkeys((*named, *files_of_sums(folder))):
        state = file.state()
        is_needed = file.label.startswith("input ") or file.label in _NEEDED
        is_playable &= state == "ok" or not is_needed
        yield state, file.label
    made_by = record if is_of_run else object_in(record, "provenance", path)
    files = run_files_in(folder) if is_of_run else evaluation_files_in(folder)
    yield from check_sums(folder, made_by, files, METRICS_FILE if is_of_run else EVALUATION_FILE)
    if not is_of_run and object_in(record, "protocol", path):
        yield from check_protocol_evaluation(folder, record, args)
        return
    config = object_in(record, "config", path)
    dataset_dir = args.dataset_dir or config.get("dataset_dir")
    if dataset_dir is not None:
        place = checked_path(dataset_dir, f"config.dataset_dir in {path}")
        for line in check_scenarios(str(place)):
            is_playable &= line[0] == "ok"
            yield line
    yield from _episode(args, (record, path), config, is_playable=is_playable)


def _episode(
    args: argparse.Namespace, source: tuple[Json, Path], config: Json, *, is_playable: bool
) -> Iterator[Line]:
    """Give the lines about the episode, and before it what may make it differ."""
    folder, (record, path) = Path(args.folder), source
    is_of_run = path.name == RUN_MANIFEST
    if is_of_run and config.get("skip_eval") is True:
        yield "skipped", "episode: the run was not evaluated"
        return
    if not is_playable:
        # A model whose hash is another one's is not even loaded.
        yield "skipped", "episode: something that it needs is not as recorded"
        return
    if not (folder / EPISODES_FILE).is_file():
        yield "missing", f"episode {args.episode or 0}: no {EPISODES_FILE}"
        return
    made_by = record if is_of_run else object_in(record, "provenance", path)
    for difference in code_and_version_differences(made_by, path):
        yield "differs", f"{difference}; the episode may differ therefore"
    if is_of_run:
        plan = _plan_of_run(folder, args.dataset_dir)
    else:
        plan = _plan_of_evaluation(config, args)
    yield check_episode(folder, plan, args.episode or 0, is_trusted=args.trust)


def main(argv: Sequence[str] | None = None) -> None:
    """Verify a folder as the command line says; exit with status 1 unless all is as recorded.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_verify_args(argv)
    counts: Counter[str] = Counter()
    for state, what in verify(args):
        counts[state] += 1
        sys.stdout.write(f"{state:8}{one_line(what)}\n")
        sys.stdout.flush()
    num_bad = counts["changed"] + counts["missing"]
    if num_bad:
        sys.stdout.write(f"Not as recorded: {num_bad} of {counts['ok'] + num_bad} checks failed\n")
        sys.exit(EXIT_FAILURE)
    sys.stdout.write(f"As recorded: {counts['ok']} checks\n")


if __name__ == "__main__":
    run_command(main)
