"""Actions that do not depend on how many environments are asked for at once.

A matrix product of another height may be rounded otherwise: with torch on a CPU, 195 of 256 actions
for one observation differed in the last bit from those for four or more. A collision can hang on
it. So a policy is always asked for the same number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

ROWS = 8
"""Rows of every question. One forward pass answers up to so many environments."""

Observations = Mapping[str, npt.NDArray[Any]]


class BatchPolicy(Protocol):
    """Anything that acts on several observations at once, such as a model."""

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - a dict of arrays, typed otherwise by each library
        *,
        deterministic: bool,
    ) -> tuple[npt.NDArray[Any], Any]:
        """Return the actions, shape (num_rows, ...), and a state that is not used here."""
        ...


class FixedBatches:
    """Asks a policy for ``ROWS`` actions at a time, however many are wanted.

    Args:
        policy: What acts.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._batch: dict[str, npt.NDArray[Any]] = {}

    def predict(
        self, observation: Observations, *, deterministic: bool
    ) -> tuple[npt.NDArray[Any], None]:
        """Return the actions for observations.

        Args:
            observation: By key, shape (num_rows, ...).
            deterministic: Whether to leave out exploration.

        Returns:
            Actions, shape (num_rows, ...), and no state.
        """
        num_rows = len(next(iter(observation.values())))
        actions = [
            self._ask(observation, begin, min(begin + ROWS, num_rows), deterministic)
            for begin in range(0, num_rows, ROWS)
        ]
        return np.concatenate(actions), None

    def _ask(
        self, observation: Observations, begin: int, end: int, deterministic: bool
    ) -> npt.NDArray[Any]:
        """Return the actions for the rows from ``begin`` to ``end``, the others being padding."""
        for key, rows in observation.items():
            if key not in self._batch:
                self._batch[key] = np.zeros((ROWS, *rows.shape[1:]), rows.dtype)
            self._batch[key][: end - begin] = rows[begin:end]
        actions, _ = self._policy.predict(self._batch, deterministic=deterministic)
        return actions[: end - begin]


class OneOfABatch:
    """Acts for a single environment exactly as ``FixedBatches`` does for several.

    Args:
        policy: What acts.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = FixedBatches(policy)

    def predict(
        self, observation: Observations, *, deterministic: bool
    ) -> tuple[npt.NDArray[Any], None]:
        """Return the action for one observation, and no state."""
        rows = {key: np.asarray(value)[None] for key, value in observation.items()}
        return self._policy.predict(rows, deterministic=deterministic)[0][0], None
