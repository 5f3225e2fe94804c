"""Several convoys as Gymnasium's vector environment: ``gym.make_vec("RoadSense-Convoy-v0", 4)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.vector_env import ConvoyWorkers
from ml.envs.workers_step import Arrays

BoolArray = npt.NDArray[np.bool_]


class ConvoyVectorEnv(gym.vector.VectorEnv[Arrays, npt.NDArray[Any], npt.NDArray[Any]]):
    """``num_envs`` environments, a process each, behind Gymnasium's vector interface.

    Autoreset is in the same step: where an episode ends, the observation is the first one of the
    next episode, and the infos hold ``final_obs`` and ``final_info`` of the last one beside the
    info of the next one's reset. The infos of other steps are empty. Environment i plays the
    episodes of ``ConvoyEnv(environment_index=i)``.

    Args:
        num_envs: Number of environments, 1 to 64.
        environment: The environment's class, importable; see ``ConvoyWorkers``.
        kwargs: Keyword arguments of every environment.
    """

    metadata = {  # noqa: RUF012 - Gymnasium's own form
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        environment: type[gym.Env[Any, Any]] = ConvoyEnv,
        **kwargs: Any,  # noqa: ANN401 - the environment's own
    ) -> None:
        self.workers = ConvoyWorkers(num_envs, kwargs, environment=environment)
        self.num_envs = num_envs
        self.single_observation_space = self.workers.observation_space
        self.single_action_space = self.workers.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode in every environment.

        Args:
            seed: A new master seed of all environments, whose index makes their episodes differ;
                or one for each.
            options: Reset options of every environment.

        Returns:
            Observations and infos.
        """
        seeds = [seed] * self.num_envs if seed is None or isinstance(seed, int) else list(seed)
        observations, infos = self.workers.reset([options] * self.num_envs, seeds=seeds)
        return _copied(observations), self._merged(infos)

    def step(
        self, actions: npt.NDArray[Any]
    ) -> tuple[Arrays, npt.NDArray[Any], BoolArray, BoolArray, dict[str, Any]]:
        """Take a step in every environment.

        Args:
            actions: Shape (num_envs, 1).

        Returns:
            Observations, rewards, terminations, truncations and infos, all the caller's to keep.
        """
        step = self.workers.step(actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, (final_info, next_info) in enumerate(
            zip(step.final_infos, step.next_infos, strict=True)
        ):
            if final_info is not None:
                final = {key: rows[row].copy() for key, rows in step.final_observations.items()}
                infos[row] = {"final_obs": final, "final_info": final_info, **(next_info or {})}
        return (
            _copied(step.observations), step.rewards.copy(), step.terminated.copy(),
            step.truncated.copy(), self._merged(infos),
        )  # fmt: skip

    def _merged(self, infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return Gymnasium's dict of arrays, with a mask for each key."""
        merged: dict[str, Any] = {}
        for row, info in enumerate(infos):
            merged = self._add_info(merged, info, row)
        return merged

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - as the base class
        """Stop the environments' processes."""
        del kwargs
        self.workers.close()


def _copied(observations: Arrays) -> Arrays:
    """Return observations that the next step does not overwrite."""
    return {key: array.copy() for key, array in observations.items()}
