"""The processes of several environments, each replaced where it hangs, dies or grows too large."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any, NoReturn, cast

from ml import errors
from ml.envs.supervision import Supervision, WorkerCounts
from ml.envs.worker_messages import Call, Failure, Play, Ready, Reset, WorkerSetup
from ml.envs.worker_process import WorkerLostError, WorkerProcess
from ml.errors import RoadSenseError, SimulatorError

Command = Reset | Call | Play
_STOP_LIMIT_S = 5.0
_SLOW_ANSWER_FACTOR = 10.0
"""Starts, resets, replays and calls may compile kernels or last an episode."""


class WorkerPool:
    """One process for each row of the shared memory.

    A command says all that its answer depends on, so a new process can answer it in the place of a
    lost one. An exception in an environment ends all processes.

    Args:
        setups: What each worker is told first.
        memory: File descriptor of the shared memory; closed in the end.
        supervision: When a worker is replaced.
    """

    def __init__(
        self, setups: Sequence[WorkerSetup], memory: int, supervision: Supervision
    ) -> None:
        self.counts = WorkerCounts()
        self._setups, self._memory, self._supervision = setups, memory, supervision
        self._slow_limit_s = supervision.step_limit_s * _SLOW_ANSWER_FACTOR
        self._num_restarts = [0] * len(setups)
        self._workers: list[WorkerProcess] = []
        self._finalizer = weakref.finalize(self, _stop, self._workers, memory)
        for setup in setups:
            self._workers.append(WorkerProcess(setup, memory))

    def first_answers(self) -> list[Ready]:
        """Wait until every environment is there."""
        return [self._first_answer(row) for row in range(len(self._setups))]

    def _first_answer(self, row: int) -> Ready:
        try:
            answer = self._workers[row].receive(self._slow_limit_s)
        except WorkerLostError as loss:
            self._fail_for_loss(row, loss, None)
        ready: Ready = self._checked(row, answer, None)
        return ready

    @property
    def is_open(self) -> bool:
        """Whether the processes are there."""
        return self._finalizer.alive

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.process_id for worker in self._workers]

    def ring_all(self) -> None:
        """Let every environment take a step."""
        for worker in self._workers:
            worker.ring()

    def receive_step(self, row: int, repeat: Callable[[int], Reset]) -> Any:  # noqa: ANN401 - None or EpisodeEnd
        """Wait for the end of a step.

        Args:
            row: The worker.
            repeat: Gives the command that plays the episode again up to this step.
        """
        try:
            answer = self._workers[row].receive(self._supervision.step_limit_s)
        except WorkerLostError as loss:
            return self._replace_lost(row, loss, repeat(row))
        if isinstance(answer, Failure):
            self._checked(row, answer, repeat(row))
        return answer

    def send(self, row: int, command: Command) -> float:
        """Send a command that begins something new.

        Returns:
            Until when the answer is waited for, on ``time.monotonic``.
        """
        self._num_restarts[row] = 0
        self._workers[row].send(command)
        return time.monotonic() + self._slow_limit_s

    def receive(
        self,
        row: int,
        command: Command,
        deadline_s: float,
        repeat: Callable[[int], Reset] | None = None,
    ) -> Any:  # noqa: ANN401 - what the command asked for
        """Wait for the answer to a command.

        Args:
            row: The worker.
            command: What it was sent.
            deadline_s: Until when to wait, on ``time.monotonic``.
            repeat: Gives the command that brings a new worker to where this one began, None where
                the answer does not depend on that.
        """
        try:
            answer = self._workers[row].receive(max(deadline_s - time.monotonic(), 0.0))
        except WorkerLostError as loss:
            before = None if repeat is None else repeat(row)
            return self._replace_lost(row, loss, command, before)
        return self._checked(row, answer, command)

    def first_to_answer(self, deadlines_s: Mapping[int, float]) -> int:
        """Return a row whose worker has answered or ended, or whose time is over."""
        rows = {number: row for row in deadlines_s for number in self._workers[row].descriptors}
        most_urgent = min(deadlines_s, key=lambda row: deadlines_s[row])
        limit_s = max(deadlines_s[most_urgent] - time.monotonic(), 0.0)
        ready = wait(list(rows), limit_s)
        return rows[cast(int, ready[0])] if ready else most_urgent

    def forgive(self, row: int) -> None:
        """Count the losses of a worker anew."""
        self._num_restarts[row] = 0

    def recycle(self, row: int, command: Reset) -> Any:  # noqa: ANN401 - what the command asked for
        """Replace a worker that has grown too large, and return what the new one answers."""
        self.counts.recycled += 1
        self._workers[row].ask_to_stop()
        self._workers[row].stop(time.monotonic() + _STOP_LIMIT_S)
        try:
            return self._begin_anew(row, command)
        except WorkerLostError as loss:
            return self._replace_lost(row, loss, command)

    def close(self) -> None:
        """Stop all processes, by force those that do not end by themselves; safe to call again."""
        self._finalizer()

    def _replace_lost(
        self, row: int, loss: WorkerLostError, command: Command, before: Reset | None = None
    ) -> Any:  # noqa: ANN401 - what the command asked for
        """Return what a new worker answers, which takes over where the lost one was."""
        commands = [command] if before is None else [before, command]
        while True:
            self._workers[row].stop(0.0)
            if self._num_restarts[row] >= self._supervision.max_restarts:
                self._fail_for_loss(row, loss, command)
            self._num_restarts[row] += 1
            self.counts.add_loss(is_hang=loss.is_hang)
            first = commands[0]
            if isinstance(first, Reset) and first.actions is not None:
                self.counts.replayed_steps += len(first.actions)
            try:
                return self._begin_anew(row, *commands)
            except WorkerLostError as another:
                loss = another

    def _begin_anew(self, row: int, *commands: Command) -> Any:  # noqa: ANN401 - what the last command asked for
        """Return what a new worker in the place of one that has ended answers to commands."""
        worker = self._workers[row] = WorkerProcess(self._setups[row], self._memory)
        answer = self._checked(row, worker.receive(self._slow_limit_s), commands[0])
        for command in commands:
            worker.send(command)
            answer = self._checked(row, worker.receive(self._slow_limit_s), command)
        return answer

    def _checked(self, row: int, answer: Any, command: Command | None) -> Any:  # noqa: ANN401 - what the command asked for
        """Return an answer, or stop all and raise what the worker raised."""
        if isinstance(answer, Failure):
            self.close()
            raise _error_from(answer, self._place(row, command, answer))
        return answer

    def _place(self, row: int, command: Command | None, failure: Failure | None) -> str:
        """Return where something happened, as a message begins."""
        place = f"worker {row} of {len(self._setups)}"
        if isinstance(command, Call):
            return f"{place}, {command.function.__name__}{command.arguments}"
        if command is None:
            return place
        index = self._setups[row].kwargs["environment_index"]
        place += f", environment {index}, seed {command.seed}"
        if failure is None:
            if isinstance(command, Reset):
                place += f", episode {command.episode_index}"
            return place
        place += f", episode {failure.episode_index}"
        scenario = "" if failure.scenario_id is None else f", scenario {failure.scenario_id}"
        return f"{place}{scenario}, step {failure.step}"

    def _fail_for_loss(self, row: int, loss: WorkerLostError, command: Command | None) -> NoReturn:
        """Stop all and say how a worker was lost that said nothing."""
        self.close()
        num_restarts = self._num_restarts[row]
        again = f", also after {num_restarts} restarts" if num_restarts else ""
        raise SimulatorError(
            f"{self._place(row, command, None)}: the process must run to the end. Got {loss}"
            f"{again}. Look for a lack of memory, or run fewer environments."
        ) from loss


def _stop(workers: Sequence[WorkerProcess], memory: int) -> None:
    """End the workers, and kill those that do not end in time."""
    for worker in workers:
        worker.ask_to_stop()
    deadline_s = time.monotonic() + _STOP_LIMIT_S
    for worker in workers:
        worker.stop(deadline_s)
    os.close(memory)


def _error_from(failure: Failure, where: str) -> RoadSenseError:
    """Return a worker's exception as this process raises it, its traceback as a note."""
    kind = getattr(errors, failure.kind, None) if failure.is_ours else None
    if isinstance(kind, type) and issubclass(kind, RoadSenseError):
        error = kind(f"{where}: {failure.message}")
    else:
        error = SimulatorError(
            f"{where} failed with {failure.kind}: {failure.message}. Use --debug to see where."
        )
    error.add_note(failure.trace)
    return error
