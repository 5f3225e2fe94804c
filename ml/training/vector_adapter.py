"""Environments in processes of their own, as stable-baselines3 wants them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from ml.envs.episode_memory import EpisodeSoFar
from ml.envs.supervision import WorkerCounts
from ml.envs.vector_env import ConvoyWorkers
from ml.envs.worker_messages import Actor
from ml.envs.workers_step import Arrays, PlayedSteps, WorkersStep
from ml.errors import ConfigError
from ml.types import FloatArray, IntArray

VecEnvIndices = None | int | Iterable[int]


class PlayedRollout(NamedTuple):
    """What environments did by themselves.

    Attributes:
        steps: Their steps.
        infos: Of each step in which an episode ended: the infos of all environments.
        results: What each environment's actor kept, (num_steps, ...) by name.
    """

    steps: PlayedSteps
    infos: dict[int, list[dict[str, Any]]]
    results: list[dict[str, npt.NDArray[Any]]]


class WorkersVecEnv(VecEnv):
    """The ``VecEnv`` over ``ConvoyWorkers``; it also counts what ``Monitor`` would.

    At the end of an episode the info holds `terminal_observation`, `TimeLimit.truncated` and
    `episode` with the return `r`, the length `l` [steps] and the time since the start `t` [s].

    Args:
        workers: The environments; closed with this.

    Attributes:
        play_s: How long the environments took for steps that they took by themselves [s].
    """

    def __init__(self, workers: ConvoyWorkers) -> None:
        self._workers = workers
        self._returns = np.zeros(workers.num_envs)
        self._lengths = np.zeros(workers.num_envs, np.int64)
        self._started_s = time.monotonic()
        self.play_s = 0.0
        super().__init__(workers.num_envs, workers.observation_space, workers.action_space)

    @property
    def counts(self) -> WorkerCounts:
        """What became of the processes."""
        return self._workers.counts

    @property
    def stage_seconds(self) -> FloatArray:
        """Time in the stages of each environment's ended episodes, (num_envs, NUM_STAGES) [s]."""
        return self._workers.stage_seconds

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment and return the observations."""
        observations, infos = self._workers.reset()
        self.reset_infos = infos
        self._returns[:], self._lengths[:] = 0.0, 0
        return _copied(observations)

    def go_on(
        self, episodes: Sequence[EpisodeSoFar], returns: FloatArray, lengths: IntArray
    ) -> Arrays:
        """Play an episode again in every environment, in the place of a reset.

        Args:
            episodes: Of each environment.
            returns: Sum of the rewards so far, shape (num_envs,).
            lengths: Steps so far, shape (num_envs,).

        Returns:
            The observations that they have come to.
        """
        observations = _copied(self._workers.go_on(episodes))
        self._returns[:], self._lengths[:] = returns, lengths
        return observations

    @property
    def episodes_so_far(self) -> list[EpisodeSoFar]:
        """The present episode of each environment."""
        return self._workers.episodes_so_far()

    @property
    def sums_so_far(self) -> tuple[FloatArray, IntArray]:
        """Return and length of each environment's episode so far, each of shape (num_envs,)."""
        return self._returns.copy(), self._lengths.copy()

    def play(
        self,
        make_actor: Callable[..., Actor],
        arguments: Sequence[tuple[Any, ...]],
        num_steps: int,
    ) -> PlayedRollout:
        """Let the environments take the next steps by themselves.

        Args:
            make_actor: Importable; makes the actor of an environment's process.
            arguments: Its arguments, of each environment.
            num_steps: Steps of each environment.
        """
        begun_s = time.perf_counter()
        steps, results = self._workers.play(make_actor, arguments, num_steps)
        infos = self._played_infos(steps)
        self.play_s += time.perf_counter() - begun_s
        return PlayedRollout(steps, infos, results)

    def _played_infos(self, steps: PlayedSteps) -> dict[int, list[dict[str, Any]]]:
        """Return all environments' infos of each step in which an episode ended."""
        infos: dict[int, list[dict[str, Any]]] = {}
        begins = [0] * self.num_envs
        for (step, row), end in steps.ends.items():
            self._count(row, steps.rewards[begins[row] : step + 1, row])
            begins[row] = step + 1
            is_cut = bool(steps.truncated[step, row] and not steps.terminated[step, row])
            info = self._end_info(row, end.info, end.observation, is_truncated=is_cut)
            infos.setdefault(step, [{} for _ in range(self.num_envs)])[row] = info
        for row, begin in enumerate(begins):
            self._count(row, steps.rewards[begin:, row])
        return infos

    def _count(self, row: int, rewards: FloatArray) -> None:
        """Add the rewards of further steps of an episode."""
        self._returns[row] = functools.reduce(float.__add__, rewards.tolist(), self._returns[row])
        self._lengths[row] += len(rewards)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Let every environment take a step."""
        self._workers.send(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step; what is returned stays as it is during the next one."""
        step = self._workers.receive()
        self._returns += step.rewards
        self._lengths += 1
        infos = [self._info(step, row) for row in range(self.num_envs)]
        rewards = step.rewards.astype(np.float32)
        return _copied(step.observations), rewards, step.terminated | step.truncated, infos

    def _info(self, step: WorkersStep, row: int) -> dict[str, Any]:
        """Return an environment's info, empty before the end of its episode."""
        final_info = step.final_infos[row]
        if final_info is None:
            return {}
        last = {key: rows[row].copy() for key, rows in step.final_observations.items()}
        is_cut = bool(step.truncated[row] and not step.terminated[row])
        return self._end_info(row, final_info, last, is_truncated=is_cut)

    def _end_info(
        self, row: int, info: Mapping[str, Any], last_observation: Arrays, *, is_truncated: bool
    ) -> dict[str, Any]:
        """Return the info of an episode's last step, and begin to count the next one."""
        episode = {
            "r": float(self._returns[row]),
            "l": int(self._lengths[row]),
            "t": time.monotonic() - self._started_s,
        }
        self._returns[row], self._lengths[row] = 0.0, 0
        return {
            **info,
            "terminal_observation": last_observation,
            "TimeLimit.truncated": is_truncated,
            "episode": episode,
        }

    def close(self) -> None:
        """Stop the environments; safe to call again."""
        self._workers.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Do nothing: an environment's master seed and index fix its episodes."""
        del seed
        return [None] * self.num_envs

    # --- What a process of its own does not give away -------------------------------------------

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return the render mode, which is None; nothing else can be read."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        raise AttributeError(f"{attr_name} of an environment in another process cannot be read.")

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        """Refuse: see ``env_method``."""
        del value, indices
        raise ConfigError(
            f"{attr_name} of environments in other processes must stay. Got another value. "
            "Give it when they are made, or use one environment."
        )

    def env_method(
        self,
        method_name: str,
        *method_args: object,
        indices: VecEnvIndices = None,
        **method_kwargs: object,
    ) -> list[Any]:
        """Refuse: the environments only reset and step."""
        del method_args, indices, method_kwargs
        raise ConfigError(
            f"environments in other processes must only reset and step. Got {method_name}. "
            "Use one environment."
        )

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each: nothing is wrapped."""
        del wrapper_class
        return [False for _ in self._get_indices(indices)]


def _copied(observations: Arrays) -> Arrays:
    """Return observations that the next step does not overwrite."""
    return {key: array.copy() for key, array in observations.items()}
