"""How a training is divided: into environments, batches, and episodes to imitate first."""

from __future__ import annotations

from ml.errors import ConfigError
from ml.types import MAX_ENVIRONMENTS

BATCH_SIZE = 512
"""Advantages are normalised within a batch, and hazards fill 3 % of the steps: a small batch often
holds none, and then the noise of calm driving is scaled up to the size of a hazard."""

LEARNERS = ("fast", "sb3")
"""PPO with compiled rollouts and updates, or stable-baselines3's as it is."""

IMITATIONS = ("plain", "urgent")
"""How the first policy imitates the oracle: see ``imitation`` and ``urgent_imitation``."""

DEFAULT_MAX_ENVIRONMENTS = 4
"""Never the number of cores, or the same command would train another policy elsewhere."""


def rollout_steps(n_steps: int, total_timesteps: int) -> int:
    """Return the steps of a rollout over all environments: never longer than the training.

    >>> rollout_steps(2048, 100)
    100
    """
    return max(2, min(n_steps, total_timesteps))


def default_num_envs(rollout: int) -> int:
    """Return the largest number of environments up to 4 that divides the rollout.

    >>> default_num_envs(2048), default_num_envs(99), default_num_envs(101)
    (4, 3, 1)
    """
    return max(n for n in range(1, DEFAULT_MAX_ENVIRONMENTS + 1) if rollout % n == 0)


def default_num_imitated(total_timesteps: int) -> int:
    """Return the episodes to imitate: one for each 1,000 steps up to 100, none in a short run.

    >>> default_num_imitated(100_000), default_num_imitated(20_000), default_num_imitated(19_999)
    (100, 20, 0)
    """
    return min(100, total_timesteps // 1000) if total_timesteps >= 20_000 else 0


def batch_size_for(rollout: int, wanted: int = BATCH_SIZE) -> int:
    """Return the divisor of the rollout, at least 2, that is nearest in ratio to what is wanted.

    >>> batch_size_for(2048), batch_size_for(2000, 1024)
    (512, 1000)
    """
    divisors = (size for size in range(2, rollout + 1) if rollout % size == 0)
    return min(divisors, key=lambda size: max(size / wanted, wanted / size))


def check_num_envs(num_envs: int, rollout: int) -> int:
    """Return the number of environments, or raise ConfigError where it does not fit the rollout."""
    if not 1 <= num_envs <= MAX_ENVIRONMENTS:
        raise ConfigError(f"--n_envs must be in [1, {MAX_ENVIRONMENTS}]. Got {num_envs}. Use 4.")
    return _checked("--n_envs", num_envs, rollout, range(1, MAX_ENVIRONMENTS + 1))


def check_batch_size(batch_size: int, rollout: int) -> int:
    """Return the size of a batch, or raise ConfigError where it does not fit the rollout."""
    return _checked("--batch_size", batch_size, rollout, range(2, rollout + 1))


def _checked(flag: str, value: int, rollout: int, allowed: range) -> int:
    """Return ``value`` if it is allowed and divides the rollout; otherwise name what would."""
    if value in allowed and rollout % value == 0:
        return value
    divisors = [number for number in allowed if rollout % number == 0]
    below = [number for number in divisors if number < value][-1:]
    above = [number for number in divisors if number > value][:1]
    raise ConfigError(
        f"{flag} must divide the rollout of {rollout} steps, which is --n_steps or, if less, "
        f"--total_timesteps. Got {value}. Use {' or '.join(map(str, below + above))}."
    )
