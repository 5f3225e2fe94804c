"""How far a sampled value may be from the truth, when the samples come from independent worlds.

Samples within a world belong together (a burst, a phase, a shadow), so the error of a ratio is
taken from the differences between worlds. Few worlds often make up much of a total (the deep
shadows, the long bursts), which a symmetric interval misjudges on one side, so the interval is the
union of Student's and Hall's, who corrects for skewness; for a proportion it is never narrower than
Clopper-Pearson's, which also holds where nothing was counted.

Sources: Clopper and Pearson, Biometrika 26 (1934); Cochran, Sampling Techniques (1977), 6.4, the
variance of a ratio; Hall, Journal of the Royal Statistical Society B 54 (1992), the cubic
transformation of Student's t; Woodruff, Journal of the American Statistical Association 47 (1952),
the interval of a quantile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, stdtrit

from ml.types import FloatArray

_LEAST_SKEWNESS = 1e-6
"""Below it the correction is lost in rounding."""


@dataclass(frozen=True)
class Estimate:
    """A sampled value and its error.

    Attributes:
        value: The value.
        standard_error: From the differences between worlds; 0 where there is only one.
        num_worlds: Independent worlds.
        num_samples: What it rests on.
        num_trials: Independent trials of a proportion at most; 0 for anything else.
        skewness: Of the value's sampling distribution, from the differences between worlds.
    """

    value: float
    standard_error: float
    num_worlds: int
    num_samples: int
    num_trials: int = 0
    skewness: float = 0.0

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval at a level in (0, 1)."""
        low = high = self.value
        tail = 0.5 * (1.0 - level)
        if self.num_worlds > 1 and self.standard_error > 0.0:
            quantile = -float(stdtrit(self.num_worlds - 1, tail))
            below = max(quantile, _skewed(quantile, self.skewness))
            above = max(quantile, -_skewed(-quantile, self.skewness))
            low = self.value - below * self.standard_error
            high = self.value + above * self.standard_error
        if self.num_trials > 0:
            exact = clopper_pearson(self.value * self.num_trials, self.num_trials, level)
            low, high = max(0.0, min(low, exact[0])), min(1.0, max(high, exact[1]))
        return low, high


@dataclass(frozen=True)
class MeanRunEstimate:
    """A mean length of runs, at least 1, and its error.

    Attributes:
        length: Elements of all runs over the number of runs.
    """

    length: Estimate

    @property
    def value(self) -> float:
        """Return the mean length."""
        return self.length.value

    @property
    def num_samples(self) -> int:
        """Return the runs."""
        return self.length.num_samples

    @property
    def num_worlds(self) -> int:
        """Return the independent worlds."""
        return self.length.num_worlds

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval at a level in (0, 1).

        Never narrower than that of independent ends, runs / elements, in which runs of one element
        leave room for longer ones.
        """
        low, high = self.length.interval(level)
        runs = self.length.num_samples
        fewest, most = clopper_pearson(runs, self.length.value * runs, level)
        return max(1.0, min(low, 1.0 / most)), max(high, 1.0 / fewest)


@dataclass(frozen=True)
class QuantileEstimate:
    """A sampled quantile and its error: the values at the limits of the share above it.

    Attributes:
        ordered: All values in ascending order, (num_values,).
        above: The share of samples above the value; those without a value count as above.
    """

    ordered: FloatArray
    above: Estimate

    @property
    def value(self) -> float:
        """Return the quantile."""
        return self._at(self.above.value)

    @property
    def num_samples(self) -> int:
        """Return what it rests on, samples without a value included."""
        return self.above.num_samples

    @property
    def num_worlds(self) -> int:
        """Return the independent worlds."""
        return self.above.num_worlds

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval at a level in (0, 1); infinite where no sample bounds it.

        The share above does not fall within a step of equal values, so the place in their order is
        moved by less than one sample.
        """
        fewest, most = self.above.interval(level)
        return self._at(most), self._at(fewest)

    def _at(self, share_above: float) -> float:
        """Return the value that this share of all samples is above."""
        place = round((1.0 - share_above) * self.num_samples) - 1
        if place >= len(self.ordered) - 1:
            return math.inf
        return float(self.ordered[max(place, 0)])


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
    rests = tops - value * bottoms
    spread = float((rests**2).sum())
    if num_worlds < 2 or spread == 0.0:
        return Estimate(value, 0.0, num_worlds, round(total), num_trials)
    error = math.sqrt(spread * num_worlds / (num_worlds - 1)) / total
    skewness = float((rests**3).sum()) / spread**1.5
    return Estimate(value, error, num_worlds, round(total), num_trials, skewness)


def _skewed(quantile: float, skewness: float) -> float:
    """Return what Hall's transformation of a t-statistic of this skewness takes to a quantile.

    The transformation is t + g t^2 / 3 + g^2 t^3 / 27 + g / 6, with the skewness g of a mean, the
    population's over the square root of n.
    """
    if abs(skewness) < _LEAST_SKEWNESS:
        return quantile
    inner = 1.0 + skewness * (quantile - skewness / 6.0)
    return 3.0 / skewness * (math.cbrt(inner) - 1.0)
