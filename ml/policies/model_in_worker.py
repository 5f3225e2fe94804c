"""A model that compiled code cannot run, in a process of its own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ml.policies.model_file import LoadedModel, load_model

_THREADS = 1
"""As in training: another number can round otherwise."""


class ModelInWorker:
    """Acts as the model in a trusted file does; each process that is sent it reads the file once.

    Args:
        path: Path of the model, whose author the user has said to trust.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - a dict of arrays, typed otherwise by the library
        *,
        deterministic: bool,
    ) -> tuple[np.ndarray[Any, Any], Any]:
        """Return the model's actions, and a state that is not used."""
        actions: tuple[np.ndarray[Any, Any], Any] = _model_at(self._path).predict(
            observation, deterministic=deterministic
        )
        return actions


@lru_cache(maxsize=4)
def _model_at(path: str) -> LoadedModel:
    """Return the model in a file."""
    torch.set_num_threads(_THREADS)
    return load_model(path, is_trusted=True)
