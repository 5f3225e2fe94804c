"""How far a sampled value may be from the truth, when the samples come from independent worlds.

Samples within a world belong together (a burst, a phase, a shadow), so the error of a ratio is
taken from the differences between worlds; for a proportion the interval is never narrower than
Clopper-Pearson's, which also holds where nothing was counted.

Sources: Clopper and Pearson, Biometrika 26 (1934); Cochran, Sampling Techniques (1977), 6.4, the
variance of a ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, stdtrit


@dataclass(frozen=True)
class Estimate:
    """A sampled value and its error.

    Attributes:
        value: The value.
        standard_error: From the differences between worlds; 0 where there is only one.
        num_worlds: Independent worlds.
        num_samples: What it rests on.
        num_trials: Independent trials of a proportion at most; 0 for anything else.
    """

    value: float
    standard_error: float
    num_worlds: int
    num_samples: int
    num_trials: int = 0

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval at a level in (0, 1)."""
        low = high = self.value
        tail = 0.5 * (1.0 - level)
        if self.num_worlds > 1 and self.standard_error > 0.0:
            reach = -float(stdtrit(self.num_worlds - 1, tail)) * self.standard_error
            low, high = self.value - reach, self.value + reach
        if self.num_trials > 0:
            exact = clopper_pearson(self.value * self.num_trials, self.num_trials, level)
            low, high = max(0.0, min(low, exact[0])), min(1.0, max(high, exact[1]))
        return low, high


def clopper_pearson(successes: float, trials: float, level: float) -> tuple[float, float]:
    """Return the exact two-sided interval of a proportion.

    >>> [round(limit, 4) for limit in clopper_pearson(0, 10, 0.95)]
    [0.0, 0.3085]
    """
    tail = 0.5 * (1.0 - level)
    low, high = 0.0, 1.0
    if successes > 0.0:
        low = float(betaincinv(successes, trials - successes + 1.0, tail))
    if successes < trials:
        high = float(betaincinv(successes + 1.0, trials - successes, 1.0 - tail))
    return low, high


def proportion(successes: int, trials: int) -> Estimate:
    """Return a proportion of independent trials, at least one."""
    return Estimate(successes / trials, 0.0, 1, trials, trials)


def ratio(numerators: ArrayLike, denominators: ArrayLike, *, num_trials: int = 0) -> Estimate:
    """Return sum(numerators) / sum(denominators), each an array with a row for a world.

    The variance is W / (W - 1) sum (x_w - R n_w)^2 / (sum n_w)^2 for W worlds.

    Args:
        numerators: Totals x_w, (num_worlds,).
        denominators: Totals n_w, (num_worlds,), not all 0.
        num_trials: See Estimate.
    """
    tops = np.asarray(numerators, dtype=np.float64)
    bottoms = np.asarray(denominators, dtype=np.float64)
    total = float(bottoms.sum())
    value = float(tops.sum()) / total
    num_worlds = len(tops)
    error = 0.0
    if num_worlds > 1:
        spread = float(((tops - value * bottoms) ** 2).sum()) * num_worlds / (num_worlds - 1)
        error = math.sqrt(spread) / total
    return Estimate(value, error, num_worlds, round(total), num_trials)
