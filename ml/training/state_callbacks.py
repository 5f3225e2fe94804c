"""When a training saves its state, and when a request to stop ends it."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback

from ml.command_line import StoppedBySignal
from ml.training.run_state import RunState
from ml.training.stopping import StopRequest


class StateCallback(BaseCallback):
    """Take the state between an update and the next rollout; save it and end where that is asked.

    It comes before all others: what they do at a rollout's beginning is not in the state, and is
    done again by a training that goes on from it.

    Args:
        capture: Returns the state.
        save: Saves one.
        period_steps: Steps after which a state is due.
        stop: What notes a request to stop.
        begun_at: Steps that the training has at its beginning.
        on_start: Called when the training has a logger.

    Attributes:
        latest: The state before the iteration that goes on, None before the first one.
    """

    def __init__(
        self,
        capture: Callable[[], RunState],
        save: Callable[[RunState], None],
        period_steps: int,
        *,
        stop: StopRequest,
        begun_at: int = 0,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._capture, self._save, self._period_steps = capture, save, period_steps
        self._stop, self._saved_at, self._on_start = stop, begun_at, on_start
        self.latest: RunState | None = None

    def _on_training_start(self) -> None:
        if self._on_start is not None:
            self._on_start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._stop.raise_at_once()
        self.latest = self._capture()
        period = self._period_steps
        is_due = self.num_timesteps // period > self._saved_at // period
        self._save_if(self.latest, is_due or self._stop.number is not None)

    def _on_training_end(self) -> None:
        self._stop.raise_at_once()
        if self._stop.number is not None:
            self._save_if(self._capture(), True)

    def _save_if(self, state: RunState, is_wanted: bool) -> None:
        """Save a state where that is wanted, then stop where that is."""
        if is_wanted and self.num_timesteps > self._saved_at:
            self._save(state)
            self._saved_at = self.num_timesteps
        if self._stop.number is not None:
            raise StoppedBySignal(self._stop.number)


class PatienceCallback(BaseCallback):
    """Let requests to stop wait for the end of the iteration; it comes after all others.

    Args:
        stop: What notes a request to stop.
    """

    def __init__(self, stop: StopRequest) -> None:
        super().__init__()
        self._stop = stop

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._stop.let_wait()
