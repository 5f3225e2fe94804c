"""Episodes to learn from, most of them about a hazard that leaves little time.

They run in processes of their own, so nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from ml.evaluation.episodes import PredictingPolicy
from ml.seeding import indexed_generator
from ml.training.demonstrated_steps import NO_INTERVENTION, play_and_label
from ml.types import MAX_DEMAND_MPS2, Float32Array, IntArray

FIRST_EPISODE = 2_000_000
"""Index of the first one, beyond those of a training and of the plain imitation."""

_STREAM = 7_000
_ALWAYS_S = -10.0
"""Before the warm-up begins, so that a fault strikes from the first frame on."""


@dataclass(frozen=True)
class UrgentEpisodes:
    """What the episodes are drawn from; all else is drawn as in training.

    Attributes:
        num_steps: Length of an episode [control steps].
        onset_s: When a car begins to brake, if one does.
        headway_s: Time gap of the ego's driver.
        sumo_peers_share: Share of episodes whose peers follow without delay; in the others they
            react late.
        dry_share: Share of episodes on a road that allows ``dry_friction_mps2``; in the others it
            is drawn.
        dry_friction_mps2: Largest deceleration on it.
        bystander_share: Share of episodes with a bystander.
        repeated_share: Share of episodes in which the braking car is heard only from a sender that
            repeats its frames late; a braking that resolves is then brief.
        repeated_frames: By how many frames it is late, at most 25.
        repeated_hold_s: How long such a braking lasts.
        action_noise: Standard deviation of what is added to all actions of an episode that a
            policy plays, so that its states vary.
    """

    num_steps: int = 100
    onset_s: tuple[float, float] = (1.0, 3.5)
    headway_s: tuple[float, float] = (0.4, 1.5)
    sumo_peers_share: float = 0.5
    dry_share: float = 0.5
    dry_friction_mps2: float = 9.8
    bystander_share: float = 0.4
    repeated_share: float = 0.15
    repeated_frames: tuple[int, int] = (5, 25)
    repeated_hold_s: tuple[float, float] = (0.0, 0.5)
    action_noise: float = 0.05


class UrgentEpisode(NamedTuple):
    """The steps of one episode.

    Attributes:
        observations: Of each step by name, (num_steps, ...), float32.
        demands_mps2: What the oracle demanded at it, (num_steps,).
        num_demanding: For how many steps it had been demanding without a break, this one included;
            0 where it demanded nothing, (num_steps,).
    """

    observations: Mapping[str, Float32Array]
    demands_mps2: Float32Array
    num_demanding: IntArray


def drawn_options(
    generator: np.random.Generator, episodes: UrgentEpisodes, index: int
) -> dict[str, Any]:
    """Draw the options of the reset that begins an episode.

    Args:
        generator: The episode's own.
        episodes: What to draw from.
        index: Which one, from 0.
    """
    is_late = generator.uniform() >= episodes.sumo_peers_share
    hazard = {"onset_s": float(generator.uniform(*episodes.onset_s))}
    options: dict[str, Any] = {
        "episode_index": FIRST_EPISODE + index,
        "headway_s": float(generator.uniform(*episodes.headway_s)),
        "peer_driver": "delayed" if is_late else "sumo",
        "hazard": hazard,
    }
    if generator.uniform() < episodes.dry_share:
        options["friction_mps2"] = episodes.dry_friction_mps2
    if generator.uniform() < episodes.repeated_share:
        low, high = episodes.repeated_frames
        fault = {"car": "source", "start_s": _ALWAYS_S}
        num_frames = float(generator.integers(low, high + 1))
        hazard["hold_s"] = float(generator.uniform(*episodes.repeated_hold_s))
        options["radio_faults"] = [
            {**fault, "kind": "dead_link", "value": 0.0},
            {**fault, "kind": "replay", "value": num_frames},
        ]
    return options


def play_urgent_episode(
    env: gym.Env[Any, Any], index: int, actor: PredictingPolicy | None, episodes: UrgentEpisodes
) -> UrgentEpisode:
    """Play one episode and note what the oracle demands.

    Args:
        env: The environment, from now on with episodes of this length.
        index: Which one, from 0.
        actor: Who acts; None lets the oracle act in every second episode and the driver alone in
            the others.
        episodes: What it is drawn from.
    """
    convoy: Any = env.unwrapped
    convoy.max_steps = episodes.num_steps
    generator = indexed_generator(convoy.master_seed, _STREAM, index)
    observation, _ = env.reset(options=drawn_options(generator, episodes, index))
    noise = float(generator.normal(0.0, episodes.action_noise))

    def act(seen: Mapping[str, Float32Array], demand_mps2: float) -> float:
        if actor is not None:
            return float(actor.predict(seen, deterministic=True)[0][0]) + noise
        if index % 2 == 0 and demand_mps2 > 0.0:
            return demand_mps2 / MAX_DEMAND_MPS2
        return NO_INTERVENTION

    observations, demands_mps2 = play_and_label(env, observation, act)
    return UrgentEpisode(observations, demands_mps2, num_steps_demanding(demands_mps2))


def num_steps_demanding(demands_mps2: Float32Array) -> IntArray:
    """Return at each step for how many steps something has been demanded, this one included.

    >>> num_steps_demanding(np.array([0.0, 4.0, 5.0, 0.0, 3.5], np.float32)).tolist()
    [0, 1, 2, 0, 1]
    """
    counts = np.zeros(len(demands_mps2), np.int64)
    count = 0
    for step, demand_mps2 in enumerate(demands_mps2):
        count = count + 1 if demand_mps2 > 0.0 else 0
        counts[step] = count
    return counts
