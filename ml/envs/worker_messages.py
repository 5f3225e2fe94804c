"""What an environment's process and its parent tell each other, beside the rings of their bells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy.typing as npt

from ml.envs.shared_arrays import Spaces


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker is told first.

    Attributes:
        environment: The environment's class, importable.
        kwargs: Its keyword arguments.
        row: The worker's row in every array.
        num_envs: Rows of every array.
        memory_growth_limit_bytes: What its memory may grow by from the first to the last episode.
    """

    environment: type[gym.Env[Any, Any]]
    kwargs: Mapping[str, Any]
    row: int
    num_envs: int
    memory_growth_limit_bytes: float


@dataclass(frozen=True)
class Ready:
    """A worker's first answer: its environment is there.

    Attributes:
        spaces: The environment's.
        master_seed: The seed of its episodes, None where it has none.
    """

    spaces: Spaces
    master_seed: int | None


@dataclass(frozen=True)
class Reset:
    """Command: begin an episode and, where it was begun before, repeat what was done in it.

    The answer to a reset without actions is its info; with actions it is that of the last step:
    an ``EpisodeEnd``, or None before the end.

    Attributes:
        seed: Master seed, None to keep it.
        options: Reset options, with the episode's index.
        actions: Shape (num_steps, ...): the episode so far; None at its beginning.
    """

    seed: int | None
    options: Mapping[str, Any]
    actions: npt.NDArray[Any] | None = None

    @property
    def episode_index(self) -> Any:  # noqa: ANN401 - the worker refuses what is no number
        """The episode's index."""
        return self.options["episode_index"]


@dataclass(frozen=True)
class Call:
    """Command: answer with ``function(environment, *arguments)``.

    Attributes:
        function: Importable.
        arguments: Its other arguments.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Actor(Protocol):
    """What acts in a worker while it plays."""

    def act(self, observation: Mapping[str, npt.NDArray[Any]], step: int) -> npt.NDArray[Any]:
        """Return the action for an observation; ``step`` counts from the beginning of the play."""
        ...

    def result(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what is to be kept, arrays with a row for each step of the play, by name."""
        ...


@dataclass(frozen=True)
class Play:
    """Command: take steps with a policy of its own; the answer is a ``Played``.

    Attributes:
        make_actor: Importable; returns the actor.
        arguments: Its arguments.
        begin: First step to take, of those that the actor knows.
        end: The step after the last one.
        seed: Master seed of the environment's episodes, for messages.
    """

    make_actor: Callable[..., Actor]
    arguments: tuple[Any, ...]
    begin: int
    end: int
    seed: int | None


@dataclass(frozen=True)
class Played:
    """Steps that a worker took by itself.

    They are as many as asked for, or end with an episode after which it has grown too large.

    Attributes:
        observations: By key, before each step, shape (num_steps, ...).
        actions: Shape (num_steps, ...).
        rewards: Shape (num_steps,).
        terminated: Shape (num_steps,).
        truncated: Shape (num_steps,).
        ends: Of each episode that ended: its last step, its end, and its last observation by key.
        result: What the actor kept of these steps.
    """

    observations: dict[str, npt.NDArray[Any]]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[Any]
    terminated: npt.NDArray[Any]
    truncated: npt.NDArray[Any]
    ends: list[tuple[int, EpisodeEnd, dict[str, npt.NDArray[Any]]]]
    result: dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class EpisodeEnd:
    """Answer to a step that ends an episode.

    Attributes:
        info: The last step's info, without the reward's terms.
        next_info: The info of the next episode's reset, None where the worker has grown too large
            and wants to be replaced before it.
    """

    info: dict[str, Any]
    next_info: dict[str, Any] | None


@dataclass(frozen=True)
class Failure:
    """An exception on its way to the parent, and where it happened.

    Attributes:
        kind: Name of its class.
        is_ours: Whether it is one of ``ml.errors``.
        message: What it says.
        trace: Its traceback, for ``--debug``.
        episode_index: Index of the episode.
        scenario_id: Its scenario, None before its reset is done.
        step: Control step of the episode, counted from 1; 0 during its reset.
    """

    kind: str
    is_ours: bool
    message: str
    trace: str
    episode_index: int
    scenario_id: str | None
    step: int
