"""What it takes to play the present episodes of some environments again, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from ml.errors import RoadSenseError, SimulatorError

Options = Mapping[str, Any]

_FORGET_AT_STEPS = 1000


@dataclass(frozen=True)
class EpisodeSoFar:
    """An episode up to now: an environment that plays it again is where this one is.

    Attributes:
        seed: Master seed, None where the environment has none.
        index: The episode's index.
        options: What its reset was given.
        actions: Shape (num_steps, ...), None before its first step.
    """

    seed: int | None
    index: int
    options: Options | None
    actions: npt.NDArray[Any] | None


@dataclass
class Episode:
    """The present episode of one environment: what it takes to begin it again.

    Attributes:
        seed: Master seed, None where the environment has none.
        index: The episode's index.
        options: What its reset was given.
        begin: Number of the step of all environments that was its first.
    """

    seed: int | None = None
    index: int = 0
    options: Options | None = None
    begin: int = 0


class EpisodeMemory:
    """The present episode of each of several environments that step together.

    Args:
        num_envs: Number of environments.
    """

    def __init__(self, num_envs: int) -> None:
        self._episodes = [Episode() for _ in range(num_envs)]
        self._played: list[npt.NDArray[Any]] = []
        self._num_forgotten = 0

    def __getitem__(self, row: int) -> Episode:
        """Return the present episode of an environment."""
        return self._episodes[row]

    def begin(
        self, row: int, index: int, options: Options | None = None, *, first_step: int | None = None
    ) -> None:
        """Note the episode that an environment begins, with the seed it has.

        Args:
            row: The environment.
            index: The episode's index.
            options: What its reset was given.
            first_step: Number of its first step; the next one when None.
        """
        first = self.num_steps if first_step is None else first_step
        self._episodes[row] = Episode(self._episodes[row].seed, index, options, first)

    def add(self, steps: Sequence[npt.NDArray[Any]]) -> None:
        """Note the actions of steps, each of shape (num_envs, ...)."""
        self._played += steps

    def actions(self, row: int) -> npt.NDArray[Any] | None:
        """Return the actions of an environment's episode so far, None before its first step."""
        played = self._played[self._episodes[row].begin - self._num_forgotten :]
        return np.stack([actions[row] for actions in played]) if played else None

    @property
    def num_steps(self) -> int:
        """Steps of all environments so far."""
        return self._num_forgotten + len(self._played)

    def forget(self) -> None:
        """Drop the actions of episodes that are over, now and then."""
        num_over = min(episode.begin for episode in self._episodes) - self._num_forgotten
        if num_over > _FORGET_AT_STEPS:
            del self._played[:num_over]
            self._num_forgotten += num_over

    def so_far(self) -> list[EpisodeSoFar]:
        """Return the present episode of each environment."""
        return [
            EpisodeSoFar(one.seed, one.index, one.options, self.actions(row))
            for row, one in enumerate(self._episodes)
        ]

    def restore(self, episodes: Sequence[EpisodeSoFar], action_shape: tuple[int, ...]) -> None:
        """Take over episodes that were begun elsewhere, one for each environment.

        Args:
            episodes: The episodes.
            action_shape: Shape of one environment's action.
        """
        lengths = [0 if one.actions is None else len(one.actions) for one in episodes]
        longest = max(lengths)
        # The episodes end together now; rows of steps before one's begin are never read.
        played = np.zeros((longest, len(episodes), *action_shape), np.float32)
        for row, one in enumerate(episodes):
            if one.actions is not None:
                played[longest - lengths[row] :, row] = one.actions
        self._played, self._num_forgotten = list(played), 0
        self._episodes = [
            Episode(one.seed, one.index, one.options, longest - length)
            for one, length in zip(episodes, lengths, strict=True)
        ]


class RememberedEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """An environment of this process that knows what it takes to play its episode again.

    Its reset's info must name the `master_seed` and the `episode_index`.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._begun = EpisodeSoFar(None, 0, None, None)
        self._actions: list[npt.NDArray[Any]] = []
        self._scenario_id: str | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode and remember which one."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._begun = EpisodeSoFar(info["master_seed"], info["episode_index"], options, None)
        self._actions, self._scenario_id = [], info.get("scenario_id")
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401 - an array
        """Take a step and remember its action.

        Raises:
            RoadSenseError: The environment's own, which then says where it was.
        """
        self._actions.append(np.array(action))
        try:
            return self.env.step(action)
        except RoadSenseError as error:
            raise type(error)(
                f"environment 0, seed {self._begun.seed}, episode {self._begun.index}, scenario "
                f"{self._scenario_id}, step {len(self._actions)}: {error}"
            ) from error

    def so_far(self) -> EpisodeSoFar:
        """Return the present episode."""
        begun = self._begun
        actions = np.stack(self._actions) if self._actions else None
        return EpisodeSoFar(begun.seed, begun.index, begun.options, actions)

    def go_on(self, episode: EpisodeSoFar) -> Any:  # noqa: ANN401 - an observation
        """Play an episode again and return the observation that it has come to.

        Raises:
            SimulatorError: It ended before, so this is another environment than it was.
        """
        options = {**(episode.options or {}), "episode_index": episode.index}
        observation, _ = self.reset(seed=episode.seed, options=options)
        self._begun = EpisodeSoFar(episode.seed, episode.index, episode.options, None)
        for action in () if episode.actions is None else episode.actions:
            observation, _, terminated, truncated, _ = self.step(action)
            if terminated or truncated:
                raise SimulatorError(ended_early(episode))
        return observation


def ended_early(episode: EpisodeSoFar) -> str:
    """Return what is wrong where an episode that is played again ends."""
    num_steps = 0 if episode.actions is None else len(episode.actions)
    return (
        f"episode {episode.index} of seed {episode.seed} must go on after the {num_steps} steps "
        "that are played again. Got its end. Use the code, inputs and packages it was begun with."
    )
