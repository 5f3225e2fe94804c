"""What the processes of several environments share: arrays in memory, and bells to wait on."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.types import NUM_STAGES

_ALIGNMENT_BYTES = 64
_RING_BYTES = 8


@dataclass(frozen=True)
class Spaces:
    """The spaces of one environment.

    Attributes:
        observations: Dict of Boxes.
        actions: Box.
    """

    observations: gym.spaces.Dict
    actions: gym.spaces.Box


class SharedArrays:
    """The numbers of all environments in memory that parent and workers share, a row for each.

    Attributes:
        observations: By key, shape (num_envs, ...): where each environment is now.
        final_observations: The same at the end of its last episode.
        actions: Shape (num_envs, ...): what to do next.
        rewards: Shape (num_envs,), float64.
        stage_seconds: Shape (num_envs, NUM_STAGES), float64: time in the stages of all episodes
            that ended, zeros where an environment does not tell [s].
        next_episodes: Shape (num_envs,), int64: index of the episode after the present one.
        terminated: Shape (num_envs,), bool.
        truncated: Shape (num_envs,), bool.
    """

    def __init__(self, descriptor: int, spaces: Spaces, num_envs: int) -> None:
        """Map the memory behind a file descriptor that ``size_bytes`` was reserved for."""
        self._memory = mmap.mmap(descriptor, self.size_bytes(spaces, num_envs))
        self._offset = 0
        boxes = spaces.observations.spaces
        self.observations = {key: self._rows(num_envs, box) for key, box in boxes.items()}
        self.final_observations = {key: self._rows(num_envs, box) for key, box in boxes.items()}
        self.actions = self._rows(num_envs, spaces.actions)
        self.rewards = self._array((num_envs,), np.float64)
        self.stage_seconds = self._array((num_envs, NUM_STAGES), np.float64)
        self.next_episodes = self._array((num_envs,), np.int64)
        self.terminated = self._array((num_envs,), np.bool_)
        self.truncated = self._array((num_envs,), np.bool_)

    @staticmethod
    def size_bytes(spaces: Spaces, num_envs: int) -> int:
        """Return how much memory the arrays need, ample for their alignment."""
        boxes = [*spaces.observations.spaces.values()] * 2 + [spaces.actions]
        row = sum(int(np.prod(_shape_of(box))) * _dtype_of(box).itemsize for box in boxes)
        numbers = num_envs * (row + 8 * (2 + NUM_STAGES) + 1 + 1)
        numbers += (len(boxes) + 5) * _ALIGNMENT_BYTES
        return max(numbers, mmap.PAGESIZE)

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


def memory_file() -> int:
    """Return a file descriptor of memory without a name, so that nothing is ever left over."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("roadsense-environments")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@dataclass(frozen=True)
class Bell:
    """Wakes another process with a small number: half the price of a message on a pipe.

    Linux has a counter for this, an eventfd; elsewhere it is a pipe. Whoever waits must answer
    before the next ring.

    Attributes:
        ringing: File descriptor to write to.
        waiting: File descriptor to read from.
    """

    ringing: int
    waiting: int

    @classmethod
    def new(cls) -> Bell:
        """Return a bell of this process; its descriptors can be passed on."""
        if hasattr(os, "eventfd"):
            counter = os.eventfd(0, os.EFD_CLOEXEC)
            return cls(counter, os.dup(counter))
        waiting, ringing = os.pipe()
        return cls(ringing, waiting)

    def close(self) -> None:
        """Give both descriptors back."""
        os.close(self.ringing)
        os.close(self.waiting)


def ring(number: int) -> bytes:
    """Return what to write into a bell to ring it with ``number``, at least 1."""
    return number.to_bytes(_RING_BYTES, sys.byteorder)


def wait_for_ring(descriptor: int) -> bytes:
    """Return what a bell was rung with, as ``ring`` makes it; empty where nobody can ring it."""
    return os.read(descriptor, _RING_BYTES)
