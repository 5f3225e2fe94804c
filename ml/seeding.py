"""One master seed, spawned into one named generator per stage.

:func:`episode_streams` is the only way an episode gets its random numbers, so the same master seed,
split, environment and episode give the same episode whatever came before it and however many
workers share the load.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.errors import ConfigError

MAX_MASTER_SEED = 2**32 - 1
SPLITS = ("train", "eval", "dev")
_SUMO_SEED_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class EpisodeStreams:
    """The random streams of one episode.

    Attributes:
        hazard: Generator of the hazard's kind, source, onset and strength.
        driver: Generator of the ego driver's and the actuator's parameters.
        peers: Generator of the peer drivers' parameters.
        slots: Generator of the slots in which peers appear to the policy.
        bystander: Generator of a car with a board that is not of the convoy.
        sumo_seed: SUMO's own seed, in [0, 2**31 - 2].
        radio_key: Key of every counter-based random number of the radio and the sensors.
    """

    hazard: np.random.Generator
    driver: np.random.Generator
    peers: np.random.Generator
    slots: np.random.Generator
    bystander: np.random.Generator
    sumo_seed: int
    radio_key: int


def check_master_seed(seed: int, name: str = "seed") -> int:
    """Return ``seed`` as an int, or raise ConfigError when it is no integer in [0, 2**32 - 1].

    >>> check_master_seed(42)
    42
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ConfigError(f"{name} must be an integer. Got {seed!r}.")
    if not 0 <= seed <= MAX_MASTER_SEED:
        raise ConfigError(f"{name} must be in [0, {MAX_MASTER_SEED}]. Got {seed}.")
    return int(seed)


def episode_streams(
    master_seed: int, *, split: str, environment_index: int, episode_index: int
) -> EpisodeStreams:
    """Derive the streams of one episode from the master seed.

    Args:
        master_seed: Seed of the whole run, in [0, 2**32 - 1].
        split: ``train``, ``eval`` or ``dev``; their episodes share no random numbers.
        environment_index: Index of the environment, from 0.
        episode_index: Index of the episode in that environment, from 0.

    Returns:
        The episode's streams, independent of one another.
    """
    path = (SPLITS.index(split), environment_index, episode_index)
    root = np.random.SeedSequence(master_seed, spawn_key=path)
    hazard, driver, peers, slots, sumo, radio, bystander = root.spawn(7)
    return EpisodeStreams(
        hazard=np.random.default_rng(hazard),
        driver=np.random.default_rng(driver),
        peers=np.random.default_rng(peers),
        slots=np.random.default_rng(slots),
        bystander=np.random.default_rng(bystander),
        sumo_seed=int(sumo.generate_state(1, np.uint32)[0]) % _SUMO_SEED_LIMIT,
        radio_key=int(radio.generate_state(1, np.uint64)[0]),
    )


def indexed_generator(master_seed: int, *path: int) -> np.random.Generator:
    """Return the generator at one place of the seed tree, whatever was drawn elsewhere."""
    return np.random.default_rng(np.random.SeedSequence(master_seed, spawn_key=path))
