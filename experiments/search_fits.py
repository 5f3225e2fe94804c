"""Policies that differ in the settings of their imitation alone: same seed, same episodes.

What the recipe's own imitation of a seed collects is kept, those of its second round with the
policy of its first, and every trial is fitted to it. So a trial costs a fit and no simulation, and
the recipe's settings give the very weights that ``imitate_urgently`` does.
"""

from __future__ import annotations

import argparse
import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.evaluation.players import Player
from ml.policies.fast_forward import lone_actor_of
from ml.policies.model_file import tensors_of
from ml.provenance import atomic_path
from ml.training import recipe
from ml.training.arguments import parse_args
from ml.training.callbacks import actor_critic_of
from ml.training.learning import make_model, open_environments
from ml.training.urgent_episodes import UrgentEpisode
from ml.training.urgent_imitation import (
    UrgentImitation,
    actor_in_workers,
    collect_urgent_episodes,
    fit_urgently,
)


@dataclass(frozen=True)
class SeedOfFits:
    """What the fits of one seed have in common.

    Attributes:
        seed: Of the training.
        dataset_dir: Folder of the training scenarios.
        num_episodes: Of all rounds.
        work_dir: Where the rounds are kept.
    """

    seed: int
    dataset_dir: Path
    num_episodes: int
    work_dir: Path

    def fitted(self, settings: UrgentImitation, policy_id: str) -> Player:
        """Return a policy fitted with other settings."""
        policy = self._fresh_policy()
        seen: list[UrgentEpisode] = []
        for number in range(len(settings.fits)):
            seen.append(self._round(number))
            fit_urgently(policy, seen, settings, number, self.seed)
        sha256 = hashlib.sha256(tensors_of(policy)).hexdigest()
        return Player(policy_id, lone_actor_of(policy), sha256)

    def collect(self) -> None:
        """Play the rounds of the recipe, unless they are kept already."""
        settings, args = UrgentImitation(), self._args()
        paths = [self._path(number) for number in range(len(settings.fits))]
        if all(path.is_file() for path in paths):
            return
        policy = self._fresh_policy()
        kwargs = recipe.environment_kwargs(args, "train")
        seen: list[UrgentEpisode] = []
        indices = np.array_split(np.arange(self.num_episodes), len(settings.fits))
        for number, path in enumerate(paths):
            actor = actor_in_workers(policy) if number else None
            new = collect_urgent_episodes(
                kwargs, indices[number].tolist(), actor, settings.episodes
            )
            _write_round(path, new)
            seen += new
            if number + 1 < len(paths):
                fit_urgently(policy, seen, settings, number, self.seed)

    def _args(self) -> argparse.Namespace:
        """Return the arguments of a training of this seed by the preset."""
        return parse_args(
            ["--preset", "urgent", "--seed", str(self.seed), "--n_envs", "1", "--dev_episodes", "0",
             "--dataset_dir", str(self.dataset_dir), "--output_dir", str(self.work_dir / "unused"),
             "--quiet"]
        )  # fmt: skip

    def _fresh_policy(self) -> ActorCriticPolicy:
        """Return the policy with which a training of this seed begins."""
        args = self._args()
        with closing(open_environments(args)) as vector:
            return actor_critic_of(make_model(args, vector)[0])

    def _path(self, number: int) -> Path:
        """Return the file of a round."""
        return self.work_dir / "rounds" / f"s{self.seed}-{self.num_episodes}-{number}.npz"

    def _round(self, number: int) -> UrgentEpisode:
        """Return a round's steps, one episode after the other."""
        with np.load(self._path(number)) as kept:
            arrays = dict(kept)
        demands_mps2, num_demanding = arrays.pop("demands_mps2"), arrays.pop("num_demanding")
        return UrgentEpisode(arrays, demands_mps2, num_demanding)


def _write_round(path: Path, episodes: list[UrgentEpisode]) -> None:
    """Keep a round's steps."""
    arrays = {
        name: np.concatenate([one.observations[name] for one in episodes])
        for name in episodes[0].observations
    }
    arrays["demands_mps2"] = np.concatenate([one.demands_mps2 for one in episodes])
    arrays["num_demanding"] = np.concatenate([one.num_demanding for one in episodes])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)
