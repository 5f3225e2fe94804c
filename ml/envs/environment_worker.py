"""A process that holds one environment for ``ml.envs.vector_env``, and what both of them share.

``ConvoyWorkers`` starts ``main`` in a new interpreter. Numbers go through shared memory; through
two pipes goes one message for each command and one for each answer, empty unless an episode ended
or something failed.
"""

from __future__ import annotations

import logging
import mmap
import pickle
import signal
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.errors import RoadSenseError

STEP = b"s"
"""Command: take one step with the action in shared memory. Any other command is a pickled dict of
reset options."""

REWARD_TERMS = "reward_terms"
"""What of a last step's info stays in the worker: nobody needs it."""

_ALIGNMENT_BYTES = 64


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is told first.

    Attributes:
        environment: The environment's class, importable.
        kwargs: Its keyword arguments.
        index: The worker's row in every array.
        num_envs: Rows of every array.
    """

    environment: type[gym.Env[Any, Any]]
    kwargs: Mapping[str, Any]
    index: int
    num_envs: int


@dataclass(frozen=True)
class Ready:
    """A worker's first answer: its environment is there.

    Attributes:
        observation_space: Dict of Boxes.
        action_space: Box.
    """

    observation_space: gym.spaces.Dict
    action_space: gym.spaces.Box


@dataclass(frozen=True)
class Failure:
    """An exception on its way to the parent.

    Attributes:
        kind: Name of its class.
        is_ours: Whether it is one of ``ml.errors``.
        message: What it says.
        trace: Its traceback, for ``--debug``.
    """

    kind: str
    is_ours: bool
    message: str
    trace: str


class SharedArrays:
    """The numbers of all environments in memory that parent and workers share, a row for each.

    Attributes:
        observations: By key, shape (num_envs, ...): where each environment is now.
        final_observations: The same at the end of its last episode.
        actions: Shape (num_envs, ...): what to do next.
        rewards: Shape (num_envs,), float64.
        terminated: Shape (num_envs,), bool.
        truncated: Shape (num_envs,), bool.
    """

    def __init__(self, descriptor: int, spaces: Ready, num_envs: int) -> None:
        """Map the memory behind a file descriptor that ``size_bytes`` was reserved for."""
        self._memory = mmap.mmap(descriptor, self.size_bytes(spaces, num_envs))
        self._offset = 0
        boxes = spaces.observation_space.spaces
        self.observations = {key: self._rows(num_envs, box) for key, box in boxes.items()}
        self.final_observations = {key: self._rows(num_envs, box) for key, box in boxes.items()}
        self.actions = self._rows(num_envs, spaces.action_space)
        self.rewards = self._array((num_envs,), np.float64)
        self.terminated = self._array((num_envs,), np.bool_)
        self.truncated = self._array((num_envs,), np.bool_)

    @staticmethod
    def size_bytes(spaces: Ready, num_envs: int) -> int:
        """Return how much memory the arrays need, ample for their alignment."""
        boxes = [*spaces.observation_space.spaces.values()] * 2 + [spaces.action_space]
        row = sum(int(np.prod(_shape_of(box))) * _dtype_of(box).itemsize for box in boxes)
        return num_envs * (row + 8 + 1 + 1) + (len(boxes) + 3) * _ALIGNMENT_BYTES

    def _rows(self, num_envs: int, box: gym.Space[Any]) -> npt.NDArray[Any]:
        return self._array((num_envs, *_shape_of(box)), _dtype_of(box))

    def _array(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return the next array in the memory."""
        count = int(np.prod(shape))
        array = np.frombuffer(self._memory, dtype, count, self._offset).reshape(shape)
        end = self._offset + array.nbytes
        self._offset = end + -end % _ALIGNMENT_BYTES
        return array


def _shape_of(space: gym.Space[Any]) -> tuple[int, ...]:
    return tuple(space.shape or ())


def _dtype_of(space: gym.Space[Any]) -> np.dtype[Any]:
    return np.dtype(space.dtype)


class _Worker:
    """One environment and the rows it writes."""

    def __init__(self, commands: Connection, answers: Connection, memory: int) -> None:
        """Make the environment and tell the parent its spaces; map the memory once it is there."""
        self._commands, self._answers = commands, answers
        setup: WorkerSetup = commands.recv()
        self._index = setup.index
        self.env = setup.environment(**setup.kwargs)
        space, actions = self.env.observation_space, self.env.action_space
        if not isinstance(space, gym.spaces.Dict) or not isinstance(actions, gym.spaces.Box):
            raise TypeError("the environment must have a Dict of observations and a Box of actions")
        ready = Ready(space, actions)
        self._answer(ready)
        commands.recv_bytes()  # The parent has reserved the memory.
        self._arrays = SharedArrays(memory, ready, setup.num_envs)

    def serve(self) -> None:
        """Do what the parent asks until it closes the connection."""
        while True:
            command = self._commands.recv_bytes()
            if command == STEP:
                self._step()
            else:
                options = pickle.loads(command)  # noqa: S301 - from our own parent
                observation, info = self.env.reset(options=options)
                self._write(self._arrays.observations, observation)
                self._answer(info)

    def _step(self) -> None:
        """Take one step; at the end of an episode, keep its end and begin the next one."""
        arrays, index = self._arrays, self._index
        observation, reward, terminated, truncated, info = self.env.step(arrays.actions[index])
        arrays.rewards[index] = reward
        arrays.terminated[index], arrays.truncated[index] = terminated, truncated
        if not (terminated or truncated):
            self._write(arrays.observations, observation)
            self._answers.send_bytes(b"")
            return
        self._write(arrays.final_observations, observation)
        observation, _ = self.env.reset()
        self._write(arrays.observations, observation)
        self._answer({key: value for key, value in info.items() if key != REWARD_TERMS})

    def _write(
        self, arrays: Mapping[str, npt.NDArray[Any]], observation: Mapping[str, Any]
    ) -> None:
        for key, array in arrays.items():
            array[self._index] = observation[key]

    def _answer(self, content: object) -> None:
        self._answers.send_bytes(pickle.dumps(content))


def main(commands_descriptor: int, answers_descriptor: int, memory_descriptor: int) -> None:
    """Serve one environment until the parent closes its end, also by dying.

    Args:
        commands_descriptor: The readable end of a ``multiprocessing.Pipe``.
        answers_descriptor: The writable end of another one.
        memory_descriptor: A file to map, sized by the parent once it knows the spaces.
    """
    logging.getLogger("ml").setLevel(logging.ERROR)  # What is to be told, the parent tells once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle.
    commands = Connection(commands_descriptor, writable=False)
    answers = Connection(answers_descriptor, readable=False)
    worker: _Worker | None = None
    try:
        worker = _Worker(commands, answers, memory_descriptor)
        worker.serve()
    except (EOFError, ConnectionError):
        return  # The parent is done, or gone.
    except Exception as error:
        _report(answers, error)
    finally:
        if worker is not None:
            worker.env.close()


def _report(answers: Connection, error: Exception) -> None:
    """Send an exception to the parent, if that still listens."""
    failure = Failure(
        kind=type(error).__name__,
        is_ours=isinstance(error, RoadSenseError),
        message=str(error),
        trace="".join(traceback.format_exception(error)),
    )
    try:
        answers.send_bytes(pickle.dumps(failure))
    except OSError:
        return
