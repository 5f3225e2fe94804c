"""Paired bootstrap: intervals of differences whose distribution has no closed form.

Source: Efron, "Better bootstrap confidence intervals", Journal of the American Statistical
Association 82 (1987): the bias-corrected and accelerated (BCa) interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from ml.errors import ConfigError
from ml.evaluation.statistics import Interval
from ml.seeding import indexed_generator
from ml.types import FloatArray, IntArray

BOOTSTRAP_SEED = 20261125
NUM_RESAMPLES = 4000
MIN_PAIRS = 20
"""Fewer show too little of the differences' distribution: one outlier decides the interval."""

_INDICES_AT_ONCE = 2_000_000
_ROUNDING = 1e-12


class BootstrapDifference(NamedTuple):
    """A difference of two paired ratios and its bootstrap interval.

    Attributes:
        estimate: First minus second.
        interval: BCa interval; None where fewer than ``MIN_PAIRS`` were measured, or all pairs say
            the same: resampling shows nothing then.
        num_pairs: Pairs that it rests on.
        num_resamples: Resamples drawn.
        seed: Seed of the generator that drew them.
    """

    estimate: float
    interval: Interval | None
    num_pairs: int
    num_resamples: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return what is saved, the conclusion left to the caller."""
        return {
            "pairs": self.num_pairs,
            "difference": self.estimate,
            "interval_95": None if self.interval is None else list(self.interval),
            "bootstrap_seed": self.seed,
            "bootstrap_resamples": self.num_resamples,
        }


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    exposures: tuple[Sequence[float], Sequence[float]] | None = None,
    confidence: float = 0.95,
    seed: int = BOOTSTRAP_SEED,
) -> BootstrapDifference:
    """Return the difference of two means, or of two ratios of sums, over the same episodes.

    Whole pairs are drawn with replacement. The estimate is ``sum(first) / sum(first's exposure)``
    minus the same of the second; without exposures each is a mean.

    Args:
        first: One value an episode, at least one.
        second: The other policy's, in the same order.
        exposures: What each value was observed over, such as hours; both sums above 0.
        confidence: Confidence level in (0, 1).
        seed: Seed of the resamples, in [0, 2**32 - 1].

    Raises:
        ConfigError: The lengths differ, a value is not finite, or an exposure or level is out of
            range.
    """
    columns = _columns(first, second, exposures)
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence must be in (0, 1). Got {confidence}.")
    totals = columns.sum(axis=1)
    if not (totals[1] > 0.0 and totals[3] > 0.0):
        raise ConfigError(f"exposures must sum to more than 0. Got {totals[1]} and {totals[3]}.")
    num_pairs = columns.shape[1]
    estimate = float(_difference(totals))
    if num_pairs < MIN_PAIRS:
        return BootstrapDifference(estimate, None, num_pairs, 0, seed)
    left_out = _difference(totals[:, None] - columns)
    if np.ptp(left_out[np.isfinite(left_out)]) <= _ROUNDING * max(1.0, abs(estimate)):
        return BootstrapDifference(estimate, None, num_pairs, 0, seed)
    drawn = _resampled(columns, seed)
    interval = bca_interval(estimate, drawn, left_out, confidence)
    return BootstrapDifference(estimate, interval, num_pairs, NUM_RESAMPLES, seed)


def _columns(
    first: Sequence[float],
    second: Sequence[float],
    exposures: tuple[Sequence[float], Sequence[float]] | None,
) -> FloatArray:
    """Return first, its exposure, second and its exposure as rows, shape (4, num_pairs)."""
    mine, other = exposures or ([1.0] * len(first), [1.0] * len(second))
    lengths = {len(first), len(second), len(mine), len(other)}
    if len(lengths) != 1 or not first:
        raise ConfigError(f"paired values must be as many, at least one. Got {sorted(lengths)}.")
    columns: FloatArray = np.array([first, mine, second, other], dtype=np.float64)
    if not np.isfinite(columns).all():
        raise ConfigError(
            "paired values must be finite. Got NaN or infinity. Leave such pairs out."
        )
    return columns


def _difference(sums: FloatArray) -> FloatArray:
    """Return the difference of the two ratios of sums, over the first axis of 4.

    A resample without any exposure has no ratio, and gives NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: FloatArray = sums[0] / sums[1] - sums[2] / sums[3]
    return difference


def _resampled(columns: FloatArray, seed: int) -> FloatArray:
    """Return the difference in each resample of the pairs, shape (NUM_RESAMPLES,)."""
    generator = indexed_generator(seed)
    num_pairs = columns.shape[1]
    rows_at_once = max(1, _INDICES_AT_ONCE // num_pairs)
    parts = []
    for start in range(0, NUM_RESAMPLES, rows_at_once):
        num_rows = min(rows_at_once, NUM_RESAMPLES - start)
        places = generator.integers(num_pairs, size=(num_rows, num_pairs))
        parts.append(_difference(np.stack([_drawn_sums(column, places) for column in columns])))
    return np.concatenate(parts)


def _drawn_sums(column: FloatArray, places: IntArray) -> FloatArray:
    """Return the sum of each resample; a mean's exposures, all 1, need not be gathered."""
    if np.ptp(column) == 0.0:
        return np.full(places.shape[0], column[0] * column.size)
    sums: FloatArray = column[places].sum(axis=1)
    return sums


def bca_interval(
    estimate: float, resampled: FloatArray, left_out: FloatArray, confidence: float = 0.95
) -> Interval:
    """Return Efron's bias-corrected and accelerated interval.

    With ``z0`` the normal quantile of the share of resamples below the estimate (half of those
    equal to it), and ``a = sum(d^3) / (6 sum(d^2)^1.5)`` of the jackknife's deviations d, the
    limits are the resamples' quantiles at ``ndtr(z0 + (z0 + z) / (1 - a (z0 + z)))``.

    Args:
        estimate: The estimate from all pairs.
        resampled: The estimate in each resample, shape (num_resamples,).
        left_out: The estimate without each pair in turn, shape (num_pairs,), not all the same.
        confidence: Confidence level in (0, 1).
    """
    values = resampled[np.isfinite(resampled)]
    kept = left_out[np.isfinite(left_out)]
    share_below = float((values < estimate).mean() + 0.5 * (values == estimate).mean())
    deviations = kept.mean() - kept
    spread = float((deviations**2).sum())
    if not 0.0 < share_below < 1.0:
        return Interval(float(values.min()), float(values.max()))
    bias = float(ndtri(share_below))
    acceleration = float((deviations**3).sum()) / (6.0 * math.pow(spread, 1.5))
    tail = float(ndtri((1.0 + confidence) / 2.0))
    low, high = (
        float(ndtr(bias + (bias + z) / (1.0 - acceleration * (bias + z)))) for z in (-tail, tail)
    )
    limits = np.quantile(values, (low, high))
    return Interval(float(limits[0]), float(limits[1]))
