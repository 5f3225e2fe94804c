"""Environments in processes of their own, as stable-baselines3 wants them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from ml.envs.supervision import WorkerCounts
from ml.envs.vector_env import ConvoyWorkers
from ml.envs.worker_messages import Actor
from ml.envs.workers_step import Arrays, WorkersStep
from ml.errors import ConfigError
from ml.types import FloatArray

VecEnvIndices = None | int | Iterable[int]


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
        self._played: deque[WorkersStep] = deque()
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

    def play(
        self,
        make_actor: Callable[..., Actor],
        arguments: Sequence[tuple[Any, ...]],
        num_steps: int,
    ) -> list[dict[str, npt.NDArray[Any]]]:
        """Let the environments take the next steps by themselves; ``step`` then gives them out.

        Args:
            make_actor: Importable; makes the actor of an environment's process.
            arguments: Its arguments, of each environment.
            num_steps: Steps of each environment.

        Returns:
            What each environment's actor kept, (num_steps, ...) by name.
        """
        begun_s = time.perf_counter()
        steps, results = self._workers.play(make_actor, arguments, num_steps)
        self._played.extend(steps)
        self.play_s += time.perf_counter() - begun_s
        return results

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Let every environment take a step, unless it has taken it already."""
        if not self._played:
            self._workers.send(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step; what is returned stays as it is during the next one."""
        step = self._played.popleft() if self._played else self._workers.receive()
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
        episode = {
            "r": float(self._returns[row]),
            "l": int(self._lengths[row]),
            "t": time.monotonic() - self._started_s,
        }
        self._returns[row], self._lengths[row] = 0.0, 0
        return {
            **final_info,
            "terminal_observation": {k: v[row].copy() for k, v in step.final_observations.items()},
            "TimeLimit.truncated": bool(step.truncated[row] and not step.terminated[row]),
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
