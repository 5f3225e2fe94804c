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
from ml.envs.episode_recorder import TRACE_SHA256
from ml.errors import RecordError
from ml.evaluation.episodes import EpisodeRecord, run_episode
from ml.evaluation.model_episodes import lone_policy
from ml.json_files import parse_json
from ml.policies.baselines import is_scripted_policy, make_scripted_policy
from ml.policies.checkpoint import check_fits
from ml.policies.fast_forward import acting_policy
from ml.policies.model_file import load_model
from ml.records import json_ready
from ml.verification.records import Line


def rows_in(path: Path) -> list[Any]:
    """Return the rows of a file of records, whatever each of them is.

    Raises:
        RecordError: They cannot be read.
    """
    try:
        text = read_bounded_text(path, LARGEST_RECORDS_BYTES)
        return [parse_json(line) for line in text.splitlines()]
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable records. Got: {error}. Restore it.") from error


def recorded_row(path: Path, index: int) -> EpisodeRecord:
    """Return the record of an episode.

    Args:
        path: The file of records.
        index: Which row.

    Raises:
        RecordError: The file holds no such record.
    """
    rows = rows_in(path)
    if index >= len(rows):
        raise RecordError(
            f"--episode must be one of the {len(rows)} in {path}. Got {index}. Count from 0."
        )
    row = rows[index]
    if not isinstance(row, dict):
        raise RecordError(f"row {index} of {path} must be an object. Got {row!r:.60}. Restore it.")
    return row


def play_again(
    model: str,
    environment: Mapping[str, Any],
    index: int,
    *,
    num_threads: int,
    is_trusted: bool = False,
) -> EpisodeRecord:
    """Play an episode as the evaluation did.

    Args:
        model: Path of the model, or the name of a scripted policy.
        environment: The environment's keyword arguments.
        index: Which episode of the evaluation.
        num_threads: Threads of the learner, which may round otherwise with another number.
        is_trusted: Whether the model's zip may be unpickled.

    Returns:
        The record, as JSON holds it.
    """
    torch.set_num_threads(num_threads)
    scripted = make_scripted_policy(model) if is_scripted_policy(model) else None
    extra = {} if scripted is None else scripted.environment_options
    with closing(gym.make(ENVIRONMENT_ID, **{**environment, **extra})) as env:
        if scripted is not None:
            scripted.attach(env)
            policy: Any = scripted
        else:
            trained = load_model(model, is_trusted=is_trusted)
            check_fits(trained, env, model)
            policy = lone_policy(acting_policy(trained))
        record = run_episode(policy, env, index, {"episode_index": index})
    return as_json_holds(record)


def as_json_holds(record: EpisodeRecord) -> EpisodeRecord:
    """Return a record as it is read back from a file."""
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


def compared(what: str, before: EpisodeRecord, now: EpisodeRecord) -> Line:
    """Return the line about an episode that was played again.

    Args:
        what: What the line calls it.
        before: Its record.
        now: What it is now. A record that is older than the hash of the steps need not have it.
    """
    fields = changed_fields(before, now)
    if TRACE_SHA256 not in before:
        fields = [name for name in fields if name != TRACE_SHA256]
        if not fields:
            return "ok", f"{what}: {len(before)} fields of its record, without a hash of its steps"
    if fields == [TRACE_SHA256]:
        return "changed", f"{what}: {TRACE_SHA256} alone, so a step differs and no sum"
    if fields:
        return "changed", f"{what}: {', '.join(fields)}"
    return "ok", f"{what}: {len(before)} fields of its record, with the hash of its steps"
