"""What steps of several environments led to, one by one or played without messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.envs.worker_messages import Played

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class WorkersStep:
    """What a step of all environments led to. The arrays are overwritten by the next step.

    Attributes:
        observations: By key, shape (num_envs, ...): the first one of the next episode where one
            ended.
        rewards: Shape (num_envs,), float64.
        terminated: Shape (num_envs,), bool.
        truncated: Shape (num_envs,), bool.
        final_observations: By key, shape (num_envs, ...): the last observation of the episode;
            rows are meaningful only where one ended.
        final_infos: The last step's info without the reward's terms, None where no episode ended.
        next_infos: The info of the next episode's reset, None where no episode ended.
    """

    observations: Arrays
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: Arrays
    final_infos: list[dict[str, Any] | None]
    next_infos: list[dict[str, Any] | None]


@dataclass(frozen=True)
class PlayedSteps:
    """Steps that all environments took by themselves.

    Attributes:
        observations: By key, before each step and after the last one, which are the first ones of
            the next episode where one ended; shape (num_steps + 1, num_envs, ...).
        actions: Shape (num_steps, num_envs, ...).
        rewards: Shape (num_steps, num_envs), float64.
        terminated: Shape (num_steps, num_envs), bool.
        truncated: Shape (num_steps, num_envs), bool.
        ends: The episodes that ended, by step and environment.
    """

    observations: Arrays
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    ends: dict[tuple[int, int], PlayedEnd]


@dataclass(frozen=True)
class PlayedEnd:
    """The end of an episode within a play.

    Attributes:
        info: The last step's info, without the reward's terms.
        observation: The last one, by key.
    """

    info: dict[str, Any]
    observation: Arrays


def join_plays(
    parts: Sequence[Sequence[Played]], last_observations: Mapping[str, npt.NDArray[Any]]
) -> PlayedSteps:
    """Return what the environments played as one.

    Args:
        parts: Of each environment, one after the other, together as many steps for each.
        last_observations: By key, after the last step, shape (num_envs, ...).
    """
    num_steps = sum(len(part.rewards) for part in parts[0])
    observations = {}
    for key, last in last_observations.items():
        rows = np.empty((num_steps + 1, *last.shape), last.dtype)
        _join([[part.observations[key] for part in row] for row in parts], rows)
        rows[num_steps] = last
        observations[key] = rows

    def joined(name: str) -> npt.NDArray[Any]:
        values = [[getattr(part, name) for part in row] for row in parts]
        first = values[0][0]
        return _join(values, np.empty((num_steps, len(parts), *first.shape[1:]), first.dtype))

    ends = {
        (step, number): PlayedEnd(end.info, last)
        for number, row in enumerate(parts)
        for part in row
        for step, end, last in part.ends
    }
    return PlayedSteps(
        observations, joined("actions"), joined("rewards"), joined("terminated"),
        joined("truncated"), dict(sorted(ends.items())),
    )  # fmt: skip


def _join(parts: Sequence[Sequence[npt.NDArray[Any]]], out: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Write each environment's parts, one after the other, into its column; return ``out``."""
    for column, row in enumerate(parts):
        begin = 0
        for part in row:
            out[begin : begin + len(part), column] = part
            begin += len(part)
    return out
