"""Run a policy over episodes and keep one record of each.

All policies are compared on the same episodes: each run opens the environment anew with the same
seed, and ``check_same_episodes`` proves from the records that they really were the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym

from ml.errors import RecordError

EpisodeRecord = dict[str, Any]
"""One episode: the environment's flat ``info["episode_record"]`` and what the loop itself saw."""

EPISODE_IDENTITY = (
    "scenario_id",
    "num_peers",
    "hazard_kind",
    "hazard_source_rank",
    "hazard_onset_s",
    "hazard_requested_deceleration_mps2",
    "radio_faults",
)
"""Fields that depend on the episode's seed alone, never on the policy."""


class PredictingPolicy(Protocol):
    """Anything that acts: a trained model or a scripted rule."""

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - whatever the environment's space holds
        *,
        deterministic: bool,
    ) -> tuple[Any, Any]:
        """Return the action for an observation, and a state that is not used here."""
        ...


class ScriptedPolicy(PredictingPolicy, Protocol):
    """A baseline: it may need an option of the environment, or the environment itself."""

    @property
    def environment_options(self) -> Mapping[str, Any]:
        """Keyword arguments to add when the environment is made."""
        ...

    def attach(self, env: gym.Env[Any, Any]) -> None:
        """Get ready for the episodes of one environment."""
        ...


def run_episodes(
    policy: PredictingPolicy,
    env: gym.Env[Any, Any],
    num_episodes: int,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
) -> list[EpisodeRecord]:
    """Run whole episodes with deterministic actions.

    Args:
        policy: What acts.
        env: The environment; left open.
        num_episodes: Number of episodes.
        on_episode: Called with each record as soon as its episode ends.

    Returns:
        The records in the order of the episodes.
    """
    records = []
    for episode_index in range(num_episodes):
        record = run_episode(policy, env, episode_index)
        records.append(record)
        if on_episode is not None:
            on_episode(record)
    return records


def run_episode(
    policy: PredictingPolicy,
    env: gym.Env[Any, Any],
    episode_index: int,
    options: dict[str, Any] | None = None,
) -> EpisodeRecord:
    """Run one episode with deterministic actions.

    Args:
        policy: What acts.
        env: The environment; left open.
        episode_index: What the record says; the environment's own next episode is played.
        options: Options of the reset, None for a reset without arguments.

    Returns:
        The episode's record.
    """
    observation, info = env.reset() if options is None else env.reset(options=options)
    scenario_id = info.get("scenario_id", "unknown")
    episode_return, steps = 0.0, 0
    terminated = truncated = False
    while not (terminated or truncated):
        action, _ = policy.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, info = env.step(action)
        episode_return += float(reward)
        steps += 1
    return finished_record(
        info, scenario_id, episode_index,
        length_and_return=(steps, episode_return), ends=(bool(terminated), bool(truncated)),
    )  # fmt: skip


def finished_record(
    info: Mapping[str, Any],
    scenario_id: str,
    episode_index: int,
    *,
    length_and_return: tuple[int, float],
    ends: tuple[bool, bool],
) -> EpisodeRecord:
    """Return an episode's record; what the loop saw wins over the environment's own count of it.

    Args:
        info: The last step's.
        scenario_id: The episode's scenario.
        episode_index: Its index.
        length_and_return: Number of its steps and sum of its rewards.
        ends: Whether it was terminated, and whether it was truncated.
    """
    return {
        **info.get("episode_record", {}),
        "scenario_id": scenario_id,
        "episode_index": episode_index,
        "steps": length_and_return[0],
        "return": length_and_return[1],
        "terminated": ends[0],
        "truncated": ends[1],
    }


def run_scripted_policy(
    policy: ScriptedPolicy,
    make_environment: Callable[[Mapping[str, Any]], gym.Env[Any, Any]],
    num_episodes: int,
    on_episode: Callable[[EpisodeRecord], None] | None = None,
) -> list[EpisodeRecord]:
    """Run a baseline in an environment of its own, which is closed in the end.

    Args:
        policy: The baseline.
        make_environment: Makes the evaluation environment with the given extra options.
        num_episodes: Number of episodes.
        on_episode: Called with each record as soon as its episode ends.

    Returns:
        The records in the order of the episodes.
    """
    env = make_environment(policy.environment_options)
    try:
        policy.attach(env)
        return run_episodes(policy, env, num_episodes, on_episode)
    finally:
        env.close()


def check_same_episodes(
    reference: Sequence[EpisodeRecord], records: Sequence[EpisodeRecord], name: str
) -> None:
    """Check row by row that two policies met the same episodes.

    Args:
        reference: Records of the policy under test.
        records: Records of the policy to compare it with.
        name: That policy's name, for the message.

    Raises:
        RecordError: The number of episodes or a field of ``EPISODE_IDENTITY`` differs.
    """
    if len(reference) != len(records):
        raise RecordError(
            f"episodes of {name} must be as many as the policy's {len(reference)}. "
            f"Got {len(records)}. Run both with the same number of episodes."
        )
    for index, (expected, found) in enumerate(zip(reference, records, strict=True)):
        for field in EPISODE_IDENTITY:
            if expected.get(field) != found.get(field):
                raise RecordError(
                    f"{field} of {name} in episode {index} must be {expected.get(field)!r}, as "
                    f"for the policy. Got {found.get(field)!r}. Compare policies only on the "
                    "same seed and scenarios."
                )
