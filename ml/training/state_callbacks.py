"""When a training saves its state, and when a request to stop ends it."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback

from ml.command_line import StoppedBySignal
from ml.training.stopping import StopRequest


class StateCallback(BaseCallback):
    """Save the state between an update and the next rollout, and end there where that is asked.

    It comes before all others: what they do at a rollout's beginning is not in the state, and is
    done again by a training that goes on from it.

    Args:
        save: Saves the state.
        period_steps: Steps after which a state is due.
        stop: What notes a request to stop.
        begun_at: Steps that the training has at its beginning.
        on_start: Called when the training has a logger.
    """

    def __init__(
        self,
        save: Callable[[], None],
        period_steps: int,
        *,
        stop: StopRequest,
        begun_at: int = 0,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._save, self._period_steps, self._stop = save, period_steps, stop
        self._saved_at, self._on_start = begun_at, on_start

    def _on_training_start(self) -> None:
        if self._on_start is not None:
            self._on_start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._stop.raise_at_once()
        period = self._period_steps
        is_due = self.num_timesteps // period > self._saved_at // period
        self._save_if(is_due or self._stop.number is not None)

    def _on_training_end(self) -> None:
        self._stop.raise_at_once()
        self._save_if(self._stop.number is not None)

    def _save_if(self, is_wanted: bool) -> None:
        """Save the state where that is wanted, then stop where that is."""
        if is_wanted and self.num_timesteps > self._saved_at:
            self._save()
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
