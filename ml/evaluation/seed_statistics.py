"""What several training seeds say together: the seed is the unit of replication.

Sources:
    Tukey and McLaughlin, "Less vulnerable confidence and significance procedures for location based
    on a single sample: trimming/winsorization 1", Sankhya A 25 (1963): t interval of a trimmed
    mean, with the standard error ``s_w / ((1 - 2 trim) sqrt(n))``.
    Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61 (1974): the
    standard error ``sqrt(S_w / (h (h - 1)))`` with the h values that are kept.
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from ml.errors import ConfigError
from ml.evaluation.statistics import Interval
from ml.types import FloatArray

QUARTER = 0.25
"""Trimming this share from each end leaves the interquartile mean."""


class TrimmedMean(NamedTuple):
    """A trimmed mean and its t interval.

    Attributes:
        value: The mean of the values that are kept.
        interval: Its interval; None where fewer than two values are kept, or all of them are the
            same, which says nothing of how far another seed may be.
        num_kept: How many are kept.
    """

    value: float
    interval: Interval | None
    num_kept: int


def interquartile_mean(
    values: Sequence[float], *, confidence: float = 0.95, trim: float = QUARTER
) -> TrimmedMean:
    """Return the mean without the outer quarters, with a t interval.

    Of n values in order the ``g = floor(trim n)`` at each end are left out; of 5 seeds the middle
    three stay. The interval is ``mean +- t(h - 1) s`` with ``h = n - 2 g`` and the larger of two
    standard errors: Tukey and McLaughlin's and Yuen's. Each alone is too small for some n, since g
    jumps. The coverage, by simulation, is in docs/compare.md: 94.8 % for 5 normal seeds.

    Args:
        values: One value a seed, at least one.
        confidence: Confidence level in (0, 1).
        trim: Share left out at each end, in [0, 0.5).

    Raises:
        ConfigError: No value, one that is not finite, or a share or level out of range.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.size == 0 or not np.isfinite(ordered).all():
        raise ConfigError(f"values of the seeds must be finite, at least one. Got {list(values)}.")
    if not (0.0 <= trim < 0.5 and 0.0 < confidence < 1.0):
        raise ConfigError(
            f"trim must be in [0, 0.5) and confidence in (0, 1). Got {trim} and {confidence}."
        )
    num_trimmed = math.floor(trim * ordered.size)
    kept = ordered[num_trimmed : ordered.size - num_trimmed]
    mean = float(kept.mean())
    if kept.size < 2:
        return TrimmedMean(mean, None, kept.size)
    spread = _winsorised_spread(ordered, num_trimmed)
    if spread == 0.0:
        return TrimmedMean(mean, None, kept.size)
    tukey = math.sqrt(spread / (ordered.size - 1) / ordered.size) / (1.0 - 2.0 * trim)
    yuen = math.sqrt(_yuen_variance(ordered, trim))
    reach = float(stdtrit(kept.size - 1, (1.0 + confidence) / 2.0)) * max(tukey, yuen)
    return TrimmedMean(mean, Interval(mean - reach, mean + reach), kept.size)


class TrimmedDifference(NamedTuple):
    """The difference of two interquartile means.

    Attributes:
        estimate: First minus second.
        interval: Yuen and Welch's interval; None where a side keeps fewer than two values, or
            neither side has any spread.
    """

    estimate: float
    interval: Interval | None


def interquartile_difference(
    first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95
) -> TrimmedDifference:
    """Return the difference of two recipes' interquartile means over independent seeds.

    Yuen's interval: the variance of each mean is ``S_w / (h (h - 1))``, the degrees of freedom are
    Welch's over the kept values.

    Args:
        first: One value a seed, at least one.
        second: The same of the other recipe.
        confidence: Confidence level in (0, 1).
    """
    means = [interquartile_mean(values, confidence=confidence) for values in (first, second)]
    estimate = means[0].value - means[1].value
    if min(mean.num_kept for mean in means) < 2:
        return TrimmedDifference(estimate, None)
    variances = [_yuen_variance(np.sort(values)) for values in (first, second)]
    total = sum(variances)
    if total == 0.0:
        return TrimmedDifference(estimate, None)
    freedom = total**2 / sum(
        variance**2 / (mean.num_kept - 1) for variance, mean in zip(variances, means, strict=True)
    )
    reach = float(stdtrit(freedom, (1.0 + confidence) / 2.0)) * math.sqrt(total)
    return TrimmedDifference(estimate, Interval(estimate - reach, estimate + reach))


def _yuen_variance(ordered: FloatArray, trim: float = QUARTER) -> float:
    """Return Yuen's squared standard error of the trimmed mean of values in order."""
    num_trimmed = math.floor(trim * ordered.size)
    num_kept = ordered.size - 2 * num_trimmed
    return _winsorised_spread(ordered, num_trimmed) / (num_kept * (num_kept - 1))


def _winsorised_spread(ordered: FloatArray, num_trimmed: int) -> float:
    """Return the sum of squares of values in order, the outer ones moved to the nearest kept."""
    winsorised = np.clip(ordered, ordered[num_trimmed], ordered[-1 - num_trimmed])
    return float(((winsorised - winsorised.mean()) ** 2).sum())


def summarise_seeds(values: Sequence[float], *, is_larger_worse: bool | None) -> dict[str, Any]:
    """Return the interquartile mean over seeds, its 95 % interval and the worst seed.

    Args:
        values: One value a seed, at least one.
        is_larger_worse: Which end is the worst; None where neither is, and no seed is named.
    """
    mean = interquartile_mean(values)
    worst = None
    if is_larger_worse is not None:
        worst = float(max(values) if is_larger_worse else min(values))
    return {
        "num_seeds": len(values),
        "interquartile_mean": mean.value,
        "interval_95": None if mean.interval is None else list(mean.interval),
        "worst": worst,
        "worst_seed_index": None if worst is None else list(values).index(worst),
        "values": [float(value) for value in values],
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given.

    The k-th smallest of m is multiplied by ``m - k + 1``; none is below a smaller one's, none above
    1. Rejecting where the result is at most alpha keeps the chance of any false rejection below it.

    Args:
        p_values: Values in [0, 1].

    Raises:
        ConfigError: A value is out of range.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ConfigError(f"p-values must be in [0, 1]. Got {list(p_values)}.")
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for position, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - position) * p_values[index]))
        adjusted[index] = largest
    return adjusted
