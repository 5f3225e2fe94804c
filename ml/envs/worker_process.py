"""The parent's end of one environment's process: start it, ask it, notice when it ends or hangs."""

from __future__ import annotations

import fcntl
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from ml.envs.environment_worker import MESSAGE, STEP, STOP, Channel
from ml.envs.shared_arrays import Bell, wait_for_ring
from ml.envs.worker_messages import WorkerSetup

_WORKER_CODE = (
    "import sys; from ml.envs.environment_worker import main; main(*map(int, sys.argv[1:]))"
)
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
"""Environment variables of every worker."""

_PIPE_BYTES = 1 << 20
"""A rollout of 512 steps is 0.3 MB, which is written while nobody reads yet."""


def _widen(pipe: Connection) -> None:
    """Let a pipe hold a whole message, where the system allows that: its writer then goes on."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


class WorkerLostError(Exception):
    """A worker ended without a word, or does not answer.

    Attributes:
        is_hang: Whether it did not answer.
    """

    def __init__(self, how: str, *, is_hang: bool) -> None:
        super().__init__(how)
        self.is_hang = is_hang


class WorkerProcess:
    """A fresh interpreter that holds one environment, as multiprocessing's ``spawn`` makes it.

    It does not import the program's main module, which may load torch: that would cost seconds.

    Args:
        setup: What it is told first.
        memory: File descriptor of the shared memory.
    """

    def __init__(self, setup: WorkerSetup, memory: int) -> None:
        self._command_bell, self._answer_bell = Bell.new(), Bell.new()
        their_commands, self._commands = Pipe(duplex=False)
        self._answers, their_answers = Pipe(duplex=False)
        for pipe in (self._commands, self._answers):
            _widen(pipe)
        their_lifeline, self._lifeline = os.pipe()
        channel = Channel(
            commands=their_commands.fileno(), answers=their_answers.fileno(),
            command_bell=self._command_bell.waiting, answer_bell=self._answer_bell.ringing,
            lifeline=their_lifeline, memory=memory,
        )  # fmt: skip
        passed = tuple(vars(channel).values())
        search_path = os.pathsep.join(entry or os.curdir for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER_CODE, *map(str, passed)],
                stdin=subprocess.DEVNULL,
                pass_fds=passed,
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": search_path},
                process_group=0,  # out of reach of the terminal's Ctrl-C, also while it starts
            )
        finally:
            their_commands.close()
            their_answers.close()
            os.close(their_lifeline)
        poll = select.poll()
        poll.register(self._answer_bell.waiting, select.POLLIN)
        poll.register(self._answers.fileno(), 0)  # only its end
        self._poll = poll.poll
        self._ringing, self._waiting = self._command_bell.ringing, self._answer_bell.waiting
        self._is_closed = False
        self._write(pickle.dumps(setup))

    @property
    def process_id(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def descriptors(self) -> tuple[int, int]:
        """File descriptors, one of which can be read once it has answered or ended."""
        return self._waiting, self._answers.fileno()

    def ring(self) -> None:
        """Let it take a step; ``receive`` waits for its end."""
        os.write(self._ringing, STEP)

    def send(self, message: object) -> None:
        """Send a message; ``receive`` waits for the answer."""
        content = pickle.dumps(message)
        os.write(self._ringing, MESSAGE)
        self._write(content)

    def _write(self, content: bytes) -> None:
        try:
            self._commands.send_bytes(content)
        except OSError:
            return  # It has ended; ``receive`` says how.

    def receive(self, limit_s: float) -> Any:  # noqa: ANN401 - what the command asked for
        """Wait for the end of a step, which is None, or for a message.

        Args:
            limit_s: How long to wait at most.

        Raises:
            WorkerLostError: It ended, or did not answer in time.
        """
        events = self._poll(limit_s * 1000.0)
        if not events:
            raise WorkerLostError(f"no answer within {limit_s:g} s", is_hang=True)
        if events[0][0] != self._waiting:
            raise WorkerLostError(self._end(), is_hang=False)
        if wait_for_ring(self._waiting) == STEP:
            return None
        try:
            return pickle.loads(self._answers.recv_bytes())  # noqa: S301 - from our own worker
        except (EOFError, OSError) as error:
            raise WorkerLostError(self._end(), is_hang=False) from error

    def _end(self) -> str:
        """Return how it ended, which it has done or is doing."""
        self.stop(time.monotonic() + 1.0)
        code = self._process.returncode
        signals = {int(member): member.name for member in signal.Signals}
        return f"exit code {code}" + (f" ({signals[-code]})" if -code in signals else "")

    def ask_to_stop(self) -> None:
        """Tell it to end, without waiting; safe to call again."""
        if not self._is_closed:
            os.write(self._ringing, STOP)
            self._commands.close()

    def stop(self, deadline_s: float) -> None:
        """Wait for its end until a time of ``time.monotonic``, then kill it; safe to call again."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._process.wait(max(deadline_s - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._commands.close()
        self._answers.close()
        self._command_bell.close()
        self._answer_bell.close()
        os.close(self._lifeline)

    @property
    def return_code(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, None while it runs."""
        return self._process.returncode
