"""Plays an episode of a run's evaluation again and compares its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

from ml.bounded_files import LARGEST_RECORDS_BYTES, UnusableFileError, read_bounded_text
from ml.envs import ENVIRONMENT_ID
from ml.errors import RecordError
from ml.evaluation.episode_files import EPISODES_FILE
from ml.evaluation.episodes import EpisodeRecord, run_episode
from ml.evaluation.model_episodes import lone_policy
from ml.json_files import parse_json
from ml.policies.baselines import SCRIPTED_POLICY_NAMES, make_scripted_policy
from ml.policies.checkpoint import check_fits
from ml.policies.fast_forward import acting_policy
from ml.policies.model_file import load_model
from ml.records import json_ready


def recorded_episode(folder: Path, index: int) -> EpisodeRecord:
    """Return the record of an episode.

    Raises:
        RecordError: The file holds no such record.
    """
    path = folder / EPISODES_FILE
    try:
        text = read_bounded_text(path, LARGEST_RECORDS_BYTES)
        rows = [parse_json(line) for line in text.splitlines()]
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable records. Got: {error}. Restore it.") from error
    if index >= len(rows):
        raise RecordError(
            f"--episode must be one of the {len(rows)} in {path}. Got {index}. Count from 0."
        )
    row = rows[index]
    if not isinstance(row, dict):
        raise RecordError(f"row {index} of {path} must be an object. Got {row!r:.60}. Restore it.")
    return row


def play_again(
    model: str, environment: Mapping[str, Any], index: int, num_threads: int
) -> EpisodeRecord:
    """Play an episode as the evaluation did.

    Args:
        model: Path of the model, or the name of a scripted policy.
        environment: The environment's keyword arguments.
        index: Which episode of the evaluation.
        num_threads: Threads of the learner, which may round otherwise with another number.

    Returns:
        The record, as JSON holds it.
    """
    torch.set_num_threads(num_threads)
    scripted = make_scripted_policy(model) if model in SCRIPTED_POLICY_NAMES else None
    extra = {} if scripted is None else scripted.environment_options
    with closing(gym.make(ENVIRONMENT_ID, **{**environment, **extra})) as env:
        if scripted is not None:
            scripted.attach(env)
            policy: Any = scripted
        else:
            trained = load_model(model)
            check_fits(trained, env, model)
            policy = lone_policy(acting_policy(trained))
        record = run_episode(policy, env, index, {"episode_index": index})
    again: EpisodeRecord = json.loads(json.dumps(json_ready(record)))
    return again


def changed_fields(before: EpisodeRecord, now: EpisodeRecord) -> list[str]:
    """Return the names of the fields in which two records differ."""
    missing = object()
    return [
        name
        for name in dict.fromkeys((*before, *now))
        if before.get(name, missing) != now.get(name, missing)
    ]
