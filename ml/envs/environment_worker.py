"""A process that holds one environment for ``ml.envs.vector_env``.

``WorkerProcess`` starts ``main`` in a new interpreter. Numbers go through shared memory and a step
is one ring of a bell each way. Everything else is a message: a bell is rung, then the message
follows on a pipe.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.command_line import let_errors_be_lost
from ml.envs.shared_arrays import SharedArrays, Spaces, ring, wait_for_ring
from ml.envs.stage_timer import StageTimer
from ml.envs.worker_messages import (
    Call,
    EpisodeEnd,
    Failure,
    Play,
    Played,
    Ready,
    Reset,
    WorkerSetup,
)
from ml.errors import RoadSenseError, SimulatorError
from ml.types import STAGE_INFERENCE

STEP, MESSAGE, STOP = ring(1), ring(2), ring(3)
"""What the bells say: take a step, or it is taken; a message follows; end."""

REWARD_TERMS = "reward_terms"
"""What of a last step's info stays in the worker: nobody needs it."""


@dataclass(frozen=True)
class Channel:
    """A worker's descriptors, each as the process that holds it sees them.

    Attributes:
        commands: The readable end of a pipe of messages.
        answers: The writable end of another one.
        command_bell: Where to wait for a command.
        answer_bell: What to ring with an answer.
        lifeline: The readable end of a pipe whose other end the parent holds while it lives.
        memory: A file to map, sized by the parent before its first command.
    """

    commands: int
    answers: int
    command_bell: int
    answer_bell: int
    lifeline: int
    memory: int


class _Worker:
    """One environment and the rows it writes."""

    def __init__(self, channel: Channel) -> None:
        """Hold nothing yet."""
        self._channel = channel
        self._commands = Connection(channel.commands, writable=False)
        self._answers = Connection(channel.answers, readable=False)
        self._num_steps, self._scenario_id, self._episode_index = 0, None, 0
        self._first_memory_bytes: int | None = None
        self.env: gym.Env[Any, Any] | None = None

    def serve(self) -> None:
        """Make the environment and do what the parent asks until it says stop."""
        channel = self._channel
        setup: WorkerSetup = self._commands.recv()
        self._row, self._growth_limit_bytes = setup.row, setup.memory_growth_limit_bytes
        env = self.env = setup.environment(**setup.kwargs)
        self._timer: StageTimer | None = getattr(env, "stage_timer", None)
        space, actions = env.observation_space, env.action_space
        if not isinstance(space, gym.spaces.Dict) or not isinstance(actions, gym.spaces.Box):
            raise TypeError("the environment must have a Dict of observations and a Box of actions")
        spaces = Spaces(space, actions)
        self.answer(Ready(spaces, getattr(env, "master_seed", None)))
        command = wait_for_ring(channel.command_bell)
        self._map(SharedArrays(channel.memory, spaces, setup.num_envs))
        while command not in {STOP, b""}:
            if command == STEP:
                self._answer_step(self._step(env))
            else:
                self.answer(self._obey(env, self._commands.recv()))
            command = wait_for_ring(channel.command_bell)

    def _map(self, arrays: SharedArrays) -> None:
        """Keep a view of each row of this worker: indexing them anew would cost as much again."""
        self._arrays, row = arrays, self._row
        self._action, self._stage_seconds = arrays.actions[row], arrays.stage_seconds[row]
        self._now = [(key, rows[row]) for key, rows in arrays.observations.items()]
        self._at_end = [(key, rows[row]) for key, rows in arrays.final_observations.items()]

    def _obey(self, env: gym.Env[Any, Any], command: Reset | Call | Play) -> object:
        """Do what a message asks for and return the answer."""
        if isinstance(command, Play):
            return self._play(env, command)
        self._num_steps, self._scenario_id = 0, None
        if isinstance(command, Call):
            return command.function(env, *command.arguments)
        info = self._reset(env, command.options, command.seed)
        if command.actions is None:
            return info
        end = None
        for action in command.actions:
            if end is not None:
                raise SimulatorError(
                    f"the repeated episode must last {len(command.actions)} steps or more. "
                    "Got its end before. Report it."
                )
            self._action[...] = action
            end = self._step(env)
        return end

    def _play(self, env: gym.Env[Any, Any], command: Play) -> Played:
        """Take steps with an actor, and count the episodes on."""
        actor, row = command.make_actor(*command.arguments), self._row
        first, size = command.begin, command.end - command.begin
        observations = {key: np.empty((size, *now.shape), now.dtype) for key, now in self._now}
        actions = np.empty((size, *self._action.shape), self._action.dtype)
        rewards = np.empty(size)
        is_end = np.zeros((2, size), np.bool_)
        now, ends = dict(self._now), []
        observation: Mapping[str, npt.NDArray[Any]] = now
        num_taken, inference_s = 0, 0.0
        for step in range(first, command.end):
            begun_s = time.perf_counter()
            action = actions[num_taken]
            action[...] = actor.act(observation, step)
            inference_s += time.perf_counter() - begun_s
            for key, rows in observations.items():
                rows[num_taken] = observation[key]
            self._num_steps += 1
            observation, rewards[num_taken], terminated, truncated, info = env.step(action)
            num_taken += 1
            if terminated or truncated:
                is_end[:, num_taken - 1] = terminated, truncated
                end = self._end_episode(env, observation, info)
                ends.append((step, end, {key: last.copy() for key, last in self._at_end}))
                observation = now
                if end.next_info is None:
                    break
                self._arrays.next_episodes[row] += 1
        _write(self._now, observation)
        self._stage_seconds[STAGE_INFERENCE] += inference_s
        return Played(
            {key: rows[:num_taken] for key, rows in observations.items()},
            actions[:num_taken], rewards[:num_taken], is_end[0, :num_taken], is_end[1, :num_taken],
            ends, {name: kept[first : first + num_taken] for name, kept in actor.result().items()},
        )  # fmt: skip

    def _answer_step(self, end: EpisodeEnd | None) -> None:
        if end is None:
            os.write(self._channel.answer_bell, STEP)
        else:
            self.answer(end)

    def _step(self, env: gym.Env[Any, Any]) -> EpisodeEnd | None:
        """Take one step; at the end of an episode, keep its end and begin the next one."""
        arrays, row = self._arrays, self._row
        self._num_steps += 1
        observation, reward, terminated, truncated, info = env.step(self._action)
        arrays.rewards[row] = reward
        arrays.terminated[row], arrays.truncated[row] = terminated, truncated
        if terminated or truncated:
            return self._end_episode(env, observation, info)
        _write(self._now, observation)
        return None

    def _end_episode(
        self,
        env: gym.Env[Any, Any],
        observation: Mapping[str, npt.NDArray[Any]],
        info: Mapping[str, Any],
    ) -> EpisodeEnd:
        """Keep the end of an episode and begin the next one."""
        _write(self._at_end, observation)
        if self._timer is not None:
            self._stage_seconds += self._timer.take()
        kept = {key: value for key, value in info.items() if key != REWARD_TERMS}
        if self._has_grown():
            return EpisodeEnd(kept, None)
        return EpisodeEnd(kept, self._reset(env, {}, None))

    def _reset(
        self, env: gym.Env[Any, Any], options: Mapping[str, Any], seed: int | None
    ) -> dict[str, Any]:
        """Begin an episode, the parent's next one where the options name none."""
        self._num_steps, self._scenario_id = 0, None
        index = int(self._arrays.next_episodes[self._row])
        self._episode_index = index = options.get("episode_index", index)
        observation, info = env.reset(seed=seed, options={**options, "episode_index": index})
        self._scenario_id = info.get("scenario_id")
        _write(self._now, observation)
        return info

    def _has_grown(self) -> bool:
        """Return whether the memory has grown too much since the end of the first episode."""
        memory_bytes = _resident_bytes()
        if self._first_memory_bytes is None:
            self._first_memory_bytes = memory_bytes
        return memory_bytes - self._first_memory_bytes > self._growth_limit_bytes

    def answer(self, content: object) -> None:
        """Send a message to the parent."""
        os.write(self._channel.answer_bell, MESSAGE)
        self._answers.send_bytes(pickle.dumps(content))

    def report(self, error: Exception) -> None:
        """Send an exception to the parent, if that still listens."""
        failure = Failure(
            kind=type(error).__name__,
            is_ours=isinstance(error, RoadSenseError),
            message=str(error),
            trace="".join(traceback.format_exception(error)),
            episode_index=self._episode_index,
            scenario_id=self._scenario_id,
            step=self._num_steps,
        )
        try:
            self.answer(failure)
        except OSError:
            return


def _write(
    rows: Sequence[tuple[str, npt.NDArray[Any]]], observation: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Copy an observation into the shared memory."""
    for key, row in rows:
        row[...] = observation[key]


def _resident_bytes() -> int:
    """Return the memory this process holds now, or where that is unknown, the most it ever held."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        return int(statistics.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _end_with_the_parent(lifeline: int) -> None:
    """Let the system end this process as soon as the parent is gone, whatever it is doing then.

    The parent's end of the lifeline closes when it ends; the system then sends SIGIO to the owner
    of this end, and that ends a process also in the middle of a simulation step.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0.0)[0]:
        sys.exit(0)  # The parent was gone before.


def main(*descriptors: int) -> None:
    """Serve one environment until the parent says stop, or is gone.

    Args:
        descriptors: The fields of ``Channel``.
    """
    logging.getLogger("ml").setLevel(logging.ERROR)  # What is to be told, the parent tells once.
    let_errors_be_lost()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Both are the parent's to handle.
    channel = Channel(*descriptors)
    _end_with_the_parent(channel.lifeline)
    worker = _Worker(channel)
    try:
        worker.serve()
    except (EOFError, ConnectionError):
        pass  # The parent is done.
    except Exception as error:
        worker.report(error)
    finally:
        if worker.env is not None:
            worker.env.close()
    _leave()


def _leave() -> NoReturn:
    """End this process without taking its interpreter and compiled kernels apart, which is slow."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
