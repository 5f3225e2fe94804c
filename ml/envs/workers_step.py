"""What a step of several environments led to, also of steps that were played without messages."""

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


def steps_of_plays(
    parts: Sequence[Sequence[Played]], last_observations: Mapping[str, npt.NDArray[Any]]
) -> tuple[list[WorkersStep], list[npt.NDArray[Any]]]:
    """Return what each step of a play led to, and its actions, shape (num_envs, ...).

    Args:
        parts: Of each environment, one after the other, together as many steps for each.
        last_observations: By key, after the last step, shape (num_envs, ...).
    """
    observations = {
        key: np.stack([*_joined([[part.observations[key] for part in row] for row in parts]), rows])
        for key, rows in last_observations.items()
    }
    actions = _joined([[part.actions for part in row] for row in parts])
    rewards = _joined([[part.rewards for part in row] for row in parts])
    terminated = _joined([[part.terminated for part in row] for row in parts])
    truncated = _joined([[part.truncated for part in row] for row in parts])
    ends = [{step: (end, last) for part in row for step, end, last in part.ends} for row in parts]
    nothing = {key: np.zeros_like(rows[0]) for key, rows in observations.items()}
    steps = []
    for number in range(len(rewards)):
        found = [row.get(number) for row in ends]
        at_end = nothing
        if any(found):
            at_end = {key: rows.copy() for key, rows in nothing.items()}
            for row, one in enumerate(found):
                for key, value in one[1].items() if one else ():
                    at_end[key][row] = value
        step = WorkersStep(
            {key: rows[number + 1] for key, rows in observations.items()},
            rewards[number], terminated[number], truncated[number], at_end,
            [one[0].info if one else None for one in found],
            [one[0].next_info if one else None for one in found],
        )  # fmt: skip
        steps.append(step)
    return steps, list(actions)


def _joined(parts: Sequence[Sequence[npt.NDArray[Any]]]) -> npt.NDArray[Any]:
    """Return one array of all environments' parts, shape (num_steps, num_envs, ...)."""
    return np.stack([np.concatenate(row) for row in parts], axis=1)
