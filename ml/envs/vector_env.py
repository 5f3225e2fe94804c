"""Several environments at once, each in a process of its own: libsumo holds one simulation each.

The processes are fresh interpreters, as multiprocessing's ``spawn`` makes them, but they do not
import the program's main module, which may load torch: that would cost each of them seconds.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml import errors
from ml.envs.convoy_env import ConvoyEnv
from ml.envs.environment_worker import STEP, Failure, Ready, SharedArrays, WorkerSetup
from ml.errors import ConfigError, RoadSenseError, SimulatorError
from ml.types import MAX_ENVIRONMENTS

_STOP_LIMIT_S = 5.0
_WORKER_CODE = (
    "import sys; from ml.envs.environment_worker import main; main(*map(int, sys.argv[1:]))"
)
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Link:
    """Our ends of a worker's two pipes, which cost a third of a socket's round trip."""

    commands: Connection
    answers: Connection


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
    """

    observations: Arrays
    rewards: npt.NDArray[np.float64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    final_observations: Arrays
    final_infos: list[dict[str, Any] | None]


class ConvoyWorkers:
    """``num_envs`` environments, each in its own process; environment i is what it is alone.

    An environment begins its next episode by itself. After any failure, and after ``close``, all
    processes are gone; they also end by themselves when this process is killed.

    Args:
        num_envs: Number of processes, 1 to 64.
        environment_kwargs: Keyword arguments of every environment; each gets its own
            ``environment_index``.
        environment: The environment's class, importable; Dict observations and Box actions.
        environment_indices: The environments' indices; 0 to ``num_envs - 1`` when None.

    Raises:
        RoadSenseError: An environment refuses its arguments, as it would in this process.
    """

    def __init__(
        self,
        num_envs: int,
        environment_kwargs: Mapping[str, Any],
        *,
        environment: type[gym.Env[Any, Any]] = ConvoyEnv,
        environment_indices: Sequence[int] | None = None,
    ) -> None:
        if not 1 <= num_envs <= MAX_ENVIRONMENTS:
            raise ConfigError(
                f"num_envs must be in [1, {MAX_ENVIRONMENTS}]. Got {num_envs}. Use fewer."
            )
        self.num_envs = num_envs
        self._processes: list[subprocess.Popen[bytes]] = []
        self._links: list[_Link] = []
        self._num_episodes = [0] * num_envs
        self._finalizer = weakref.finalize(self, _stop, self._processes, self._links)
        memory = _memory_file()
        try:
            indices = range(num_envs) if environment_indices is None else environment_indices
            for row, environment_index in enumerate(indices):
                kwargs = {**environment_kwargs, "environment_index": environment_index}
                self._start(WorkerSetup(environment, kwargs, row, num_envs), memory)
            spaces: list[Ready] = [self._receive(row) for row in range(num_envs)]
            os.truncate(memory, max(SharedArrays.size_bytes(spaces[0], num_envs), mmap.PAGESIZE))
            self._arrays = SharedArrays(memory, spaces[0], num_envs)
            for row in range(num_envs):
                self._send(row, b"")
        except BaseException:
            self.close()
            raise
        finally:
            os.close(memory)
        self.observation_space = spaces[0].observation_space
        self.action_space = spaces[0].action_space

    def _start(self, setup: WorkerSetup, memory: int) -> None:
        """Start a worker and tell it what to hold."""
        their_commands, commands = Pipe(duplex=False)
        answers, their_answers = Pipe(duplex=False)
        passed = (their_commands.fileno(), their_answers.fileno(), memory)
        self._links.append(_Link(commands, answers))
        search_path = os.pathsep.join(entry or os.curdir for entry in sys.path)
        with their_commands, their_answers:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER_CODE, *map(str, passed)],
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": search_path},
                process_group=0,  # out of reach of the terminal's Ctrl-C, also while it starts
            )
        self._processes.append(process)
        self._send(setup.index, pickle.dumps(setup))

    def reset(
        self, options: Sequence[Mapping[str, Any] | None] | None = None
    ) -> tuple[Arrays, list[dict[str, Any]]]:
        """Begin an episode in every environment.

        Args:
            options: Reset options of each environment.

        Returns:
            Observations by key, shape (num_envs, ...), overwritten by the next step; and each
            environment's info.
        """
        infos: list[dict[str, Any]] = []
        # The first one alone compiles the kernels where that is due; the others load them.
        for rows in (range(1), range(1, self.num_envs)):
            for row in rows:
                self._send(row, pickle.dumps(None if options is None else options[row]))
            infos += [self._receive(row) for row in rows]
        return self._arrays.observations, infos

    def step(self, actions: npt.NDArray[Any]) -> WorkersStep:
        """Take a step in every environment; see ``send`` and ``receive``."""
        self.send(actions)
        return self.receive()

    def send(self, actions: npt.NDArray[Any]) -> None:
        """Let every environment take a step.

        Args:
            actions: Shape (num_envs, ...).
        """
        self._check_is_open()
        self._arrays.actions[...] = actions
        for row in range(self.num_envs):
            self._send(row, STEP)

    def receive(self) -> WorkersStep:
        """Wait until every environment has taken its step.

        Returns:
            What it led to.

        Raises:
            RoadSenseError: A worker failed, or ended; all are stopped.
        """
        final_infos: list[dict[str, Any] | None] = [
            self._receive(row) for row in range(self.num_envs)
        ]
        for row, info in enumerate(final_infos):
            self._num_episodes[row] += info is not None
        arrays = self._arrays
        return WorkersStep(
            arrays.observations, arrays.rewards, arrays.terminated, arrays.truncated,
            arrays.final_observations, final_infos,
        )  # fmt: skip

    def close(self) -> None:
        """Stop all processes, by force those that do not end by themselves; safe to call again."""
        self._finalizer()

    def __enter__(self) -> Self:
        """Return the workers."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all processes."""
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """The workers' process ids."""
        return [process.pid for process in self._processes]

    # --- Messages ----------------------------------------------------------------------------

    def _check_is_open(self) -> None:
        if not self._finalizer.alive:
            raise ConfigError("workers must be open. Got closed ones. Make them anew.")

    def _send(self, row: int, message: bytes) -> None:
        """Send a message to a worker."""
        self._check_is_open()
        try:
            self._links[row].commands.send_bytes(message)
        except OSError:
            self._receive(row)  # It may have said why it ended.

    def _receive(self, row: int) -> Any:  # noqa: ANN401 - what the command asked for
        """Return a worker's answer, None for an empty one, or raise what it raised."""
        self._check_is_open()
        try:
            message = self._links[row].answers.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._end_of(row) from error
        if not message:
            return None
        answer = pickle.loads(message)  # noqa: S301 - from our own worker
        if isinstance(answer, Failure):
            self.close()
            raise _error_from(answer, self._place(row))
        return answer

    def _place(self, row: int) -> str:
        return f"worker {row} of {self.num_envs}, episode {self._num_episodes[row]}"

    def _end_of(self, row: int) -> SimulatorError:
        """Stop the others and say how a worker ended that said nothing."""
        process = self._processes[row]
        self.close()
        code = process.returncode
        signals = {int(member): member.name for member in signal.Signals}
        how = f"exit code {code}" + (f" ({signals[-code]})" if -code in signals else "")
        return SimulatorError(
            f"{self._place(row)}: the process must run to the end. Got {how}. Look for a lack of "
            "memory, or run fewer environments."
        )


def _memory_file() -> int:
    """Return a file descriptor of memory without a name, so that nothing is ever left over."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("roadsense-environments")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _stop(processes: Sequence[subprocess.Popen[bytes]], links: Sequence[_Link]) -> None:
    """Close the pipes, which ends the workers, and kill those that do not notice in time."""
    for link in links:
        link.commands.close()
        link.answers.close()
    deadline_s = time.monotonic() + _STOP_LIMIT_S
    for process in processes:
        try:
            process.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
