"""Trains, evaluates and records a policy: ``python -m ml.training.train_convoy``.

One line of each stage is in ``main``: parse, train, evaluate, compare, save. Results go to
standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from ml.command_line import run_command
from ml.envs import ENVIRONMENT_ID
from ml.evaluation.baseline_runs import run_baselines
from ml.evaluation.episode_files import save_episodes
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.verdict import build_report
from ml.evaluation.verdict_text import format_report
from ml.file_sums import write_sums
from ml.folder_lock import LOCK_FILE, locked_folder
from ml.policies.checkpoint import MODEL_FILE, load_policy
from ml.provenance import sha256_of_file, write_json_atomically
from ml.records import json_ready, time_stamp
from ml.training import recipe, run_folder
from ml.training.arguments import parse_args
from ml.training.compile_learner import learner_compiled_beside
from ml.training.development import DevelopmentCallback, training_report
from ml.training.final_evaluation import baseline_workers, play_evaluation
from ml.training.learning import Beginning, learn, open_development, open_environments
from ml.training.old_run import check_removable, remove_run, run_files_in
from ml.training.results import EvaluationResult, TrainingResult
from ml.training.resumption import identity_of, stopped_run, way_on_told
from ml.training.stopping import signals_raised
from ml.training.vector_adapter import WorkersVecEnv

__all__ = [
    "EvaluationResult",
    "TrainingResult",
    "evaluate",
    "main",
    "parse_args",
    "save_metrics",
    "train",
]


# --- Training ------------------------------------------------------------------------------------


def train(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Train a policy and save it as ``model_final.zip``; with `resume`, do what is left of that.

    Everything is checked before anything is created. `run_id` and `output_dir` are filled in.

    Args:
        args: The command's arguments.

    Returns:
        The model's path and the training's metrics.

    Raises:
        RoadSenseError: An input or the output folder cannot be used, or the simulator failed.
    """
    with ExitStack() as held:
        model_path, result = _train(args, held)
        result.lock = held.pop_all()
    return model_path, result


def _train(args: argparse.Namespace, held: ExitStack) -> tuple[str, TrainingResult]:
    """Train, and put the lock of the run's folder into ``held``."""
    if getattr(args, "resume", None) is None:
        run_folder.name_run(args)
        _check_is_free(args)
        if (Path(args.output_dir) / LOCK_FILE).exists():
            with locked_folder(args.output_dir):  # else a process at work is told here already
                pass
    else:
        held.enter_context(locked_folder(args.output_dir))
    stopped, state = stopped_run(args), None
    inputs = run_folder.resolve_inputs(args, recipe.sumo_cfg_path(args))
    settings = recipe.manifest_settings(args, recipe.learner_settings(args))
    if stopped is None:
        check_removable(args.output_dir, inputs.files.values())
    else:
        stopped.check_same(inputs, settings)
        result = stopped.training_result(args)
        if result is not None:
            stopped.note_beginning(None)
            return stopped.model_path, result
        state = stopped.newest_state()
    with ExitStack() as stack:
        stack.enter_context(learner_compiled_beside(recipe.learner(args)))
        vector = stack.enter_context(closing(open_environments(args, gym.make)))
        judge = open_development(args)
        if judge is not None:
            stack.enter_context(closing(judge))
        if stopped is None or state is None:
            manifest: Mapping[str, Any] = _start_run(args, inputs, settings, held)
            said = f"Starting training: {args.total_timesteps} timesteps"
        else:
            manifest = stopped.note_beginning(state)
            said = f"Going on with training: {state.num_steps}/{args.total_timesteps} timesteps"
        beginning = Beginning(identity_of(manifest), state)
        with run_folder.failures_recorded(args.output_dir):
            _say(f"{said}\nOutput directory: {args.output_dir}")
            result = _learn(args, vector, judge, beginning, inputs)
    model_path = str(Path(args.output_dir) / MODEL_FILE)
    _say(f"Model saved to: {model_path}")
    return model_path, result


def _check_is_free(args: argparse.Namespace) -> None:
    """Check that a new run can have its folder."""
    run_folder.check_is_free(args.output_dir, is_overwriting=getattr(args, "overwrite", False))


def _start_run(
    args: argparse.Namespace,
    inputs: run_folder.RunInputs,
    settings: Mapping[str, Any],
    held: ExitStack,
) -> dict[str, Any]:
    """Write the manifest of a new run, in the place of an old one if asked; return it."""
    manifest = run_folder.build_manifest(args, inputs, settings)
    held.enter_context(locked_folder(args.output_dir))
    _check_is_free(args)  # again: another run may have begun there
    if getattr(args, "overwrite", False):
        remove_run(args.output_dir)
    run_folder.start_run(args.output_dir, manifest)
    return manifest


def _learn(
    args: argparse.Namespace,
    vector: VecEnv,
    judge: DevelopmentCallback | None,
    beginning: Beginning,
    inputs: run_folder.RunInputs,
) -> TrainingResult:
    """Learn, and write into the manifest what came of it."""
    num_steps, learner = learn(args, vector, judge, beginning=beginning, algorithm=PPO, say=_say)
    report = training_report(
        recipe.development_settings(args),
        args.output_dir,
        is_disjoint=inputs.is_development_disjoint,
        judge=judge,
        num_steps=num_steps,
    )
    result = TrainingResult(
        {"training_timesteps": args.total_timesteps}, {**report, "learner": learner}
    )
    result.workers = {
        "training": vector.counts.as_dict() if isinstance(vector, WorkersVecEnv) else None,
        "development": None if judge is None else judge.counts.as_dict(),
    }
    changes = {
        "status": "trained",
        "finished_at": time_stamp(),
        "num_steps": num_steps,
        "learner": learner,
        "training": {**result.report, "workers": result.workers},
    }
    run_folder.update_manifest(args.output_dir, changes)
    return result


# --- Evaluation ----------------------------------------------------------------------------------


def evaluate(model_path: str, args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate a trained model with deterministic actions on the evaluation scenarios, in order.

    Args:
        model_path: Path of the saved model.
        args: The command's arguments; only the specified ones are needed.

    Returns:
        The summary: an ``EvaluationResult``, which also carries the episodes' records.

    Raises:
        PolicyError: The model cannot be read.
    """
    _say(f"\nStarting evaluation: {args.eval_episodes} episodes")
    model = load_policy(model_path, PPO.load)
    env = gym.make(ENVIRONMENT_ID, **recipe.environment_kwargs(args, "eval"))

    def report_episode(record: EpisodeRecord) -> None:
        _say(
            f"  Episode {record['episode_index'] + 1}/{args.eval_episodes}: "
            f"reward={record['return']:.2f}, length={record['steps']}, "
            f"scenario={record['scenario_id']}"
        )

    try:
        records, counts = play_evaluation(model, env, args, report_episode)
    finally:
        env.close()
    summary = _summarise(records)
    _say("\nEvaluation Summary:")
    _say(f"  Avg Reward: {summary['avg_reward']:.2f} (+/- {summary['std_reward']:.2f})")
    _say(f"  Avg Length: {summary['avg_length']:.1f}")
    _say(
        f"  Collisions: {summary['collisions']}/{args.eval_episodes} "
        f"({summary['collision_rate'] * 100:.1f}%)"
    )
    return EvaluationResult(summary, records, counts)


def _summarise(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the summary with exactly the specified keys."""
    rewards = [record["return"] for record in records]
    collisions = sum(record["terminated"] for record in records)
    truncations = sum(record["truncated"] for record in records)
    return {
        "eval_episodes": len(records),
        "avg_reward": float(np.mean(rewards)),
        "std_reward": float(np.std(rewards)),
        "min_reward": float(np.min(rewards)),
        "max_reward": float(np.max(rewards)),
        "avg_length": float(np.mean([record["steps"] for record in records])),
        "collisions": collisions,
        "collision_rate": collisions / len(records),
        "truncations": truncations,
        "truncation_rate": truncations / len(records),
        "scenarios_evaluated": [record["scenario_id"] for record in records],
    }


def compare_with_baselines(result: EvaluationResult, args: argparse.Namespace) -> None:
    """Run the baselines on the same episodes and add the report to ``result``.

    Args:
        result: The policy's evaluation; its `baselines` and `report` are filled in.
        args: The command's arguments.

    Raises:
        RecordError: A baseline did not meet the same episodes.
    """

    def make_environment(options: Mapping[str, Any]) -> gym.Env[Any, Any]:
        return gym.make(ENVIRONMENT_ID, **{**recipe.environment_kwargs(args, "eval"), **options})

    if not args.skip_baselines:
        with baseline_workers(args) as workers:
            result.baselines = run_baselines(
                make_environment, args.eval_episodes, result.records,
                is_quiet=args.quiet, workers=workers,
            )  # fmt: skip
            result.workers["baselines"] = None if workers is None else workers.counts.as_dict()
    result.report = build_report(result.records, result.baselines)


# --- Records -------------------------------------------------------------------------------------


def save_metrics(
    output_dir: str,
    training_metrics: dict[str, Any],
    eval_metrics: dict[str, Any] | None,
    args: argparse.Namespace,
) -> str:
    """Write ``metrics.json``.

    `config`, `training` and `evaluation` hold the specified keys; what a ``TrainingResult`` and an
    ``EvaluationResult`` report beyond them gets keys of its own. NaN and infinity become null.

    Args:
        output_dir: The run's folder.
        training_metrics: What ``train`` returned.
        eval_metrics: What ``evaluate`` returned, None if it was skipped.
        args: The command's arguments.

    Returns:
        The file's path.

    Raises:
        RecordError: The file cannot be written.
    """
    folder = Path(output_dir)
    hashes = run_folder.output_hashes(folder)
    manifest = folder / run_folder.RUN_MANIFEST
    if manifest.is_file():
        hashes[manifest.name] = sha256_of_file(manifest)
    metrics = {
        "schema_version": run_folder.SCHEMA_VERSION,
        "run_id": args.run_id,
        "timestamp": time_stamp(),
        "config": {
            "dataset_dir": args.dataset_dir,
            "sumo_cfg": args.sumo_cfg,
            "emulator_params": args.emulator_params,
            "seed": args.seed,
            "total_timesteps": args.total_timesteps,
            "learning_rate": args.learning_rate,
            "n_steps": args.n_steps,
            "ent_coef": args.ent_coef,
        },
        "training": training_metrics,
        "evaluation": eval_metrics,
        **getattr(training_metrics, "report", {}),
        **getattr(eval_metrics, "report", {}),
        "workers": {
            **getattr(training_metrics, "workers", {}),
            **getattr(eval_metrics, "workers", {}),
        },
        "provenance": {"sha256": hashes},
    }
    metrics_path = os.path.join(output_dir, run_folder.METRICS_FILE)  # noqa: PTH118 - a str
    write_json_atomically(metrics_path, json_ready(metrics))
    _say(f"Metrics saved to: {metrics_path}")
    return metrics_path


def _say(text: str) -> None:
    """Print a line of results at once, so that a log can be followed."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> None:
    """Train, evaluate, compare and save.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_args(argv)
    stopped = stopped_run(args)
    if stopped is not None and stopped.is_finished:
        _say(f"The run is finished, nothing is left to do: {args.output_dir}")
        return
    with signals_raised(), way_on_told(args):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    """Train, evaluate, compare and save, as far as that is not done."""
    model_path, training_metrics = train(args)
    lock = getattr(training_metrics, "lock", nullcontext())
    with lock, run_folder.failures_recorded(args.output_dir):
        eval_metrics = None if args.skip_eval else evaluate(model_path, args)
        if isinstance(eval_metrics, EvaluationResult):
            compare_with_baselines(eval_metrics, args)
            save_episodes(args.output_dir, eval_metrics.records, eval_metrics.baselines)
        run_folder.update_manifest(
            args.output_dir, {"status": "complete", "finished_at": time_stamp()}
        )
        save_metrics(args.output_dir, training_metrics, eval_metrics, args)
        write_sums(args.output_dir, run_files_in(args.output_dir))
    if isinstance(eval_metrics, EvaluationResult):
        _say(f"\n{format_report(eval_metrics.report)}")
    _say(f"\nRun complete: {args.run_id}")
    _say(f"Output: {args.output_dir}")


if __name__ == "__main__":
    run_command(main)
