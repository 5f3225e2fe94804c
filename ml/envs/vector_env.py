"""Several environments at once, each in a process of its own: libsumo holds one simulation each.

This is the core below ``ConvoyVectorEnv`` (Gymnasium's interface), ``WorkersVecEnv``
(stable-baselines3's) and the evaluation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.episode_memory import EpisodeMemory, EpisodeSoFar, Options, ended_early
from ml.envs.shared_arrays import SharedArrays, memory_file
from ml.envs.supervision import Supervision, WorkerCounts
from ml.envs.worker_messages import Actor, Call, EpisodeEnd, Play, Played, Reset, WorkerSetup
from ml.envs.worker_pool import WorkerPool
from ml.envs.workers_step import Arrays, PlayedSteps, WorkersStep, join_plays
from ml.errors import ConfigError, SimulatorError
from ml.types import MAX_ENVIRONMENTS


class _PlayStart(NamedTuple):
    """Where a play began.

    Attributes:
        num_steps: Steps of all environments before it.
        next_index: Index of the environment's next episode.
    """

    num_steps: int
    next_index: int


class ConvoyWorkers:
    """``num_envs`` environments, each in its own process; environment i is what it is alone.

    An environment begins its next episode by itself. A process that hangs or dies is replaced, and
    its episode replayed from the seed. After an exception in an environment, and after ``close``,
    all processes are gone; they also end when this process is killed.

    Args:
        num_envs: Number of processes, 1 to 64.
        environment_kwargs: Keyword arguments of every environment; each gets its own
            ``environment_index``.
        environment: The environment's class, importable; Dict observations, Box actions and the
            reset option ``episode_index``.
        environment_indices: The environments' indices; 0 to ``num_envs - 1`` when None.
        supervision: When a worker is replaced.

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
        supervision: Supervision | None = None,
    ) -> None:
        if not 1 <= num_envs <= MAX_ENVIRONMENTS:
            raise ConfigError(
                f"num_envs must be in [1, {MAX_ENVIRONMENTS}]. Got {num_envs}. Use fewer."
            )
        self.num_envs = num_envs
        supervision = supervision or Supervision()
        limit_bytes = supervision.memory_growth_limit_mb * 1e6
        indices = range(num_envs) if environment_indices is None else environment_indices
        setups = [
            WorkerSetup(
                environment, {**environment_kwargs, "environment_index": index}, row, num_envs,
                limit_bytes,
            )
            for row, index in enumerate(indices)
        ]  # fmt: skip
        self._episodes = EpisodeMemory(num_envs)
        memory = memory_file()
        self._pool = WorkerPool(setups, memory, supervision)
        try:
            ready = self._pool.first_answers()
            os.truncate(memory, SharedArrays.size_bytes(ready[0].spaces, num_envs))
            self._arrays = SharedArrays(memory, ready[0].spaces, num_envs)
        except BaseException:
            self.close()
            raise
        for row, answer in enumerate(ready):
            self._episodes[row].seed = answer.master_seed
        self.observation_space = ready[0].spaces.observations
        self.action_space = ready[0].spaces.actions

    @property
    def counts(self) -> WorkerCounts:
        """What became of the workers."""
        return self._pool.counts

    @property
    def next_episodes(self) -> npt.NDArray[np.int64]:
        """Index of each environment's next episode, shape (num_envs,); writable between steps.

        Unless it is changed, it is the one after the present episode.
        """
        return self._arrays.next_episodes

    @property
    def stage_seconds(self) -> npt.NDArray[np.float64]:
        """Time in the stages of each environment's ended episodes, (num_envs, NUM_STAGES) [s]."""
        return self._arrays.stage_seconds

    def reset(
        self,
        options: Sequence[Options | None] | None = None,
        *,
        seeds: Sequence[int | None] | None = None,
    ) -> tuple[Arrays, list[dict[str, Any]]]:
        """Begin an episode in every environment.

        Args:
            options: Reset options of each environment.
            seeds: A new master seed of each environment, from which its episodes start again.

        Returns:
            Observations by key, shape (num_envs, ...), overwritten by the next step; and each
            environment's info.
        """
        self._check_is_open()
        nothing = [None] * self.num_envs
        commands = [
            self._prepare_reset(row, row_options, seed)
            for row, (row_options, seed) in enumerate(
                zip(options or nothing, seeds or nothing, strict=True)
            )
        ]
        self._episodes.forget()
        return self._arrays.observations, self._answers(commands)

    def _answers(self, commands: Sequence[Reset]) -> list[Any]:
        """Return every worker's answer to its command."""
        answers: list[Any] = []
        # The first one alone compiles the kernels where that is due; the others load them.
        for rows in (range(1), range(1, self.num_envs)):
            limits_s = {row: self._pool.send(row, commands[row]) for row in rows}
            answers += [self._pool.receive(row, commands[row], limits_s[row]) for row in rows]
        return answers

    def episodes_so_far(self) -> list[EpisodeSoFar]:
        """Return the present episode of each environment."""
        return self._episodes.so_far()

    def go_on(self, episodes: Sequence[EpisodeSoFar]) -> Arrays:
        """Play an episode again in every environment, in the place of a reset.

        Args:
            episodes: Of each environment.

        Returns:
            The observations that they have come to, as ``reset`` returns them.

        Raises:
            SimulatorError: An episode ended before, so its environment is another one than it was.
        """
        self._check_is_open()
        self._episodes.restore(episodes, self._arrays.actions.shape[1:])
        for row in range(self.num_envs):
            self._count_on(row)
        answers = self._answers([self._replay_command(row) for row in range(self.num_envs)])
        for episode, answer in zip(episodes, answers, strict=True):
            if episode.actions is not None and answer is not None:
                raise SimulatorError(ended_early(episode))
        return self._arrays.observations

    def _prepare_reset(self, row: int, options: Options | None, seed: int | None) -> Reset:
        """Note the episode that a reset begins, and return the command."""
        index = int(self.next_episodes[row]) if seed is None else 0
        index = (options or {}).get("episode_index", index)
        if seed is not None:
            self._episodes[row].seed = seed
        self._episodes.begin(row, index, options)
        self._count_on(row)
        return self._reset_command(row)

    def _count_on(self, row: int) -> None:
        """Let the next episode be the one after the present; a wrong index is the worker's case."""
        index = self._episodes[row].index
        self.next_episodes[row] = index + 1 if isinstance(index, int) else 0

    def _reset_command(self, row: int, actions: npt.NDArray[Any] | None = None) -> Reset:
        """Return the command that begins the present episode of a row."""
        episode = self._episodes[row]
        options = {**(episode.options or {}), "episode_index": episode.index}
        return Reset(episode.seed, options, actions)

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
        self._episodes.add([self._arrays.actions.copy()])
        self._pool.ring_all()

    def receive(self) -> WorkersStep:
        """Wait until every environment has taken its step.

        Returns:
            What it led to.

        Raises:
            RoadSenseError: An environment failed, or its worker was lost too often; all are
                stopped.
        """
        self._check_is_open()
        final_infos: list[dict[str, Any] | None] = [None] * self.num_envs
        next_infos: list[dict[str, Any] | None] = [None] * self.num_envs
        for row in range(self.num_envs):
            end = self._pool.receive_step(row, self._replay_command)
            if end is not None:
                final_infos[row], next_infos[row] = self._end_episode(row, end)
        arrays = self._arrays
        return WorkersStep(
            arrays.observations, arrays.rewards, arrays.terminated, arrays.truncated,
            arrays.final_observations, final_infos, next_infos,
        )  # fmt: skip

    def _end_episode(self, row: int, end: EpisodeEnd) -> tuple[dict[str, Any], dict[str, Any]]:
        """Note the episode that has begun; replace the worker where it asks for that."""
        index = int(self.next_episodes[row])
        self._episodes.begin(row, index)
        self._count_on(row)
        self._episodes.forget()
        self._pool.forgive(row)
        if end.next_info is not None:
            return end.info, end.next_info
        return end.info, self._pool.recycle(row, self._reset_command(row))

    def play(
        self,
        make_actor: Callable[..., Actor],
        arguments: Sequence[tuple[Any, ...]],
        num_steps: int,
    ) -> tuple[PlayedSteps, list[dict[str, npt.NDArray[Any]]]]:
        """Let every worker take steps with an actor of its own, without a message for each.

        Args:
            make_actor: Importable; makes an environment's actor.
            arguments: Its arguments, of each environment.
            num_steps: Steps of each environment.

        Returns:
            What the steps led to, and what each environment's actor kept, (num_steps, ...) by name.

        Raises:
            RoadSenseError: As ``receive``.
        """
        self._check_is_open()
        plays = [
            Play(make_actor, one, 0, num_steps, self._episodes[row].seed)
            for row, one in enumerate(arguments)
        ]
        begin = self._episodes.num_steps
        next_indices = self.next_episodes.tolist()
        limits_s = [self._pool.send(row, play) for row, play in enumerate(plays)]
        parts = [
            self._play_out(row, play, limits_s[row], _PlayStart(begin, next_indices[row]))
            for row, play in enumerate(plays)
        ]
        results = [
            {name: np.concatenate([part.result[name] for part in row]) for name in row[0].result}
            for row in parts
        ]
        steps = join_plays(parts, self._arrays.observations)
        self._episodes.add(list(steps.actions))
        self._episodes.forget()
        return steps, results

    def _play_out(self, row: int, play: Play, limit_s: float, start: _PlayStart) -> list[Played]:
        """Wait for a play and note its episodes; replace the worker where it asks for that."""
        parts: list[Played] = []
        index = start.next_index
        while True:
            resume = partial(self._resume_command, next_index=index)
            part: Played = self._pool.receive(row, play, limit_s, resume)
            parts.append(part)
            for step, end, _ in part.ends:
                first = start.num_steps + step + 1
                self._episodes.begin(row, index, first_step=first)
                index += 1
                self._pool.forgive(row)
                if end.next_info is None:
                    self.next_episodes[row] = index
                    self._pool.recycle(row, self._reset_command(row))
            play = replace(play, begin=play.begin + len(part.rewards))
            if play.begin == play.end:
                return parts
            limit_s = self._pool.send(row, play)

    def _resume_command(self, row: int, next_index: int) -> Reset:
        """Return the command that repeats the present episode up to the last step known."""
        self.next_episodes[row] = next_index
        return self._replay_command(row)

    def call_each(
        self, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Deal calls of a function to the workers as they become free; a reset must follow.

        Args:
            function: Importable; its first argument is the worker's environment, and its result
                must not depend on what that environment did before.
            arguments: The other arguments of each call.

        Yields:
            Number of the call and its result, as they are done.
        """
        self._check_is_open()
        calls = enumerate(Call(function, one) for one in arguments)
        busy: dict[int, tuple[int, Call, float]] = {}
        free = list(range(self.num_envs))
        try:
            while True:
                for row, (number, call) in zip(free, calls, strict=False):
                    busy[row] = number, call, self._pool.send(row, call)
                if not busy:
                    return
                limits_s = {row: limit_s for row, (_, _, limit_s) in busy.items()}
                row = self._pool.first_to_answer(limits_s)
                number, call, limit_s = busy[row]
                result = self._pool.receive(row, call, limit_s)
                del busy[row]
                yield number, result
                free = [row]
        finally:
            if busy:
                self.close()

    def close(self) -> None:
        """Stop all processes, by force those that do not end by themselves; safe to call again."""
        self._pool.close()

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
        return self._pool.process_ids

    def _check_is_open(self) -> None:
        if not self._pool.is_open:
            raise ConfigError("workers must be open. Got closed ones. Make them anew.")

    def _replay_command(self, row: int) -> Reset:
        """Return the command that repeats the present episode, a step just sent included."""
        return self._reset_command(row, self._episodes.actions(row))
