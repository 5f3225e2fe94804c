"""When the process of an environment is replaced, and how often it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ml.errors import ConfigError


@dataclass(frozen=True)
class Supervision:
    """When a worker is replaced. What it computes is the same with and without that.

    Attributes:
        step_limit_s: A worker that takes longer for a step is killed; for anything else it has ten
            times as long.
        max_restarts: A worker lost more often in one episode is an error.
        memory_growth_limit_mb: A worker whose memory has grown by more since the end of its first
            episode is replaced after the episode. libsumo leaks 6 kB an episode.
    """

    step_limit_s: float = 60.0
    max_restarts: int = 3
    memory_growth_limit_mb: float = 256.0

    def __post_init__(self) -> None:
        """Refuse limits that no worker could keep."""
        if not self.step_limit_s > 0.0:
            raise ConfigError(f"step_limit_s must be > 0. Got {self.step_limit_s}. Use 60.")
        if self.max_restarts < 0:
            raise ConfigError(f"max_restarts must be >= 0. Got {self.max_restarts}. Use 3.")


@dataclass
class WorkerCounts:
    """What became of the workers.

    Attributes:
        lost: Workers that ended without a word, and were replaced.
        hung: Workers that were killed because they did not answer in time, and replaced.
        recycled: Workers that were replaced between episodes for their memory.
        replayed_steps: Steps of episodes that were begun again from their seed.
    """

    lost: int = 0
    hung: int = 0
    recycled: int = 0
    replayed_steps: int = 0

    def add_loss(self, *, is_hang: bool) -> None:
        """Count a worker that was lost."""
        if is_hang:
            self.hung += 1
        else:
            self.lost += 1

    def add(self, counts: Mapping[str, int]) -> None:
        """Count what ``as_dict`` of others returned, too."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, for records."""
        return asdict(self)
