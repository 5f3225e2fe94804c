"""What a failed training leaves: the state before the iteration that failed, to be played again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.numpy import save
from stable_baselines3 import PPO

from ml.errors import RecordError, RoadSenseError
from ml.provenance import atomic_path
from ml.training.run_state import RunState, write_state

FAILURE_FOLDER = "failure"
ROLLOUT_FILE = "rollout.safetensors"
_ROLLOUT = ("actions", "values", "log_probs", "rewards", "episode_starts", "advantages", "returns")


@contextmanager
def failure_kept(
    output_dir: str | Path,
    identity: Mapping[str, Any],
    model: PPO,
    latest: Callable[[], RunState | None],
) -> Iterator[None]:
    """Where the block fails, write the state that led there into ``failure/``, and say so.

    What fails for want of disk or memory is not of that state's making, and leaves none.

    Args:
        output_dir: The run's folder.
        identity: What the state belongs to.
        model: The learner; the rollout is kept too if it was in the midst of an update.
        latest: Returns the state before the iteration that goes on.

    Raises:
        RoadSenseError: The same one, with the state's folder in its message.
    """
    try:
        yield
    except (RecordError, OSError, MemoryError):
        raise
    except Exception as error:
        state = latest()
        if state is None:
            raise
        where = _keep(Path(output_dir) / FAILURE_FOLDER, state, identity, model)
        if not isinstance(error, RoadSenseError):
            error.add_note(where)
            raise
        told = type(error)(f"{error} {where}")
        for note in getattr(error, "__notes__", ()):
            told.add_note(note)
        raise told from error


def _keep(folder: Path, state: RunState, identity: Mapping[str, Any], model: PPO) -> str:
    """Write a state, and what the update was given; return where that is, for a message."""
    try:
        folder.mkdir(exist_ok=True)
        path = write_state(folder, state, identity, num_kept=1)
        if model.rollout_buffer.full:
            with atomic_path(path / ROLLOUT_FILE) as temporary:
                temporary.write_bytes(save(_rollout_of(model)))
    except (OSError, RecordError) as error:
        return f"The state before it is lost: {error}"
    return f"The state before it is in {path}."


def _rollout_of(model: PPO) -> dict[str, Any]:
    """Return what an update was given."""
    buffer: Any = model.rollout_buffer
    named = {f"observation/{key}": values for key, values in buffer.observations.items()}
    return {**named, **{name: getattr(buffer, name) for name in _ROLLOUT}}
