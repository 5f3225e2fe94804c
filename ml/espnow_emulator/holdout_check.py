"""How well a fitted two-state process reproduces the part of a log that it has not seen.

Pure functions. Distances are Kolmogorov and Smirnov's; what they would be for a true model comes
from simulated logs of the same size, because ages follow one another and the model is fitted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ml.espnow_emulator.closed_forms import age_exceedance
from ml.types import FloatArray, IntArray

AGES_PER_PERIOD = 10
"""Ages are compared every tenth of a period, 10 ms at 10 Hz."""
_NUM_FINE_PERIODS = 30
_LONGEST_GAP = 1000
_NUM_SIMULATIONS = 400
_NUM_QUANTILES = 50


class Distance(NamedTuple):
    """A Kolmogorov-Smirnov distance, and what it would be if the model were true.

    Attributes:
        value: Largest difference of the two distribution functions.
        expected: Exceeded by 1 in 20 pairs of logs, as long as these, of the fitted model.
    """

    value: float
    expected: float


class Delays(NamedTuple):
    """How late frames are, as quantiles at the middles of equal shares.

    Attributes:
        starts_ms: D, age at a reception, (num_quantiles,) [ms].
        ends_ms: L, age just before the next reception less the periods between, (num_quantiles,)
            [ms]: the next frame's delay, and how late it was sent.
    """

    starts_ms: FloatArray
    ends_ms: FloatArray

    @classmethod
    def of(cls, starts_ms: FloatArray, ends_ms: FloatArray) -> Delays:
        """Return the quantiles of two samples."""
        places = (np.arange(_NUM_QUANTILES) + 0.5) / _NUM_QUANTILES
        return cls(np.quantile(starts_ms, places), np.quantile(ends_ms, places))


PUNCTUAL = Delays(np.zeros(1), np.zeros(1))
"""Frames that are sent on time and arrive at once."""


def age_grid_ms(period_ms: float, longest_ms: float) -> FloatArray:
    """Return the ages at which distributions are compared: fine to 30 periods, then one a period.

    Args:
        period_ms: Time between transmissions [ms].
        longest_ms: Longest age that matters [ms].
    """
    num_periods = math.ceil(longest_ms / period_ms)
    num_fine = min(num_periods, _NUM_FINE_PERIODS)
    fine = np.arange(num_fine * AGES_PER_PERIOD + 1) / AGES_PER_PERIOD
    coarse = np.arange(num_fine + 1, min(num_periods, _LONGEST_GAP) + 1)
    return np.asarray(np.concatenate([fine, coarse]) * period_ms)


def age_distribution(
    ages_ms: FloatArray, start_ms: FloatArray, length_ms: FloatArray
) -> FloatArray:
    """Return the share of time in which the age is at most ``ages_ms``.

    Args:
        ages_ms: (num_ages,) [ms].
        start_ms: Age just after each reception, (num_receptions,) [ms].
        length_ms: Time until the next one, (num_receptions,) [ms].

    Returns:
        Shares, (num_ages,).
    """
    end_ms = start_ms + length_ms
    time_ms = _excess_sum(ages_ms, start_ms) - _excess_sum(ages_ms, end_ms)
    return np.asarray(time_ms / length_ms.sum())


def _excess_sum(levels: FloatArray, values: FloatArray) -> FloatArray:
    """Return the sum over the values of max(level - value, 0), (num_levels,)."""
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    below = np.searchsorted(ordered, levels)
    return np.asarray(below * levels - sums[below])


def burst_distance(gap_counts: IntArray, to_good: float) -> float:
    """Return the KS distance of burst lengths to the geometric law, 0 without bursts.

    Args:
        gap_counts: How often a gap of 0, 1, 2 ... frames was seen, (num_lengths,).
        to_good: Probability r of the model.
    """
    bursts = gap_counts[1:]
    if not bursts.sum():
        return 0.0
    lengths = np.arange(1, len(gap_counts))
    expected = 1.0 - (1.0 - to_good) ** lengths
    return float(np.abs(np.cumsum(bursts) / bursts.sum() - expected).max())


def expected_distances(
    process: tuple[float, float],
    num_fitted: int,
    num_held_out: int,
    *,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the KS distances of age and of bursts that 1 in 20 logs of the model exceeds.

    Both the log that the model is fitted to and the one held out are drawn from the process; the
    period is 1 and the delay 0.

    Args:
        process: (p, r) of the fitted process.
        num_fitted: Receptions in the part that was fitted.
        num_held_out: Receptions in the part held out.
        rng: Generator of the draws.
    """
    law = _gap_law(*process)
    lengths = np.arange(len(law))
    fitted = rng.multinomial(num_fitted, law, size=_NUM_SIMULATIONS)
    held_out = rng.multinomial(num_held_out, law, size=_NUM_SIMULATIONS)
    ages = age_grid_ms(1.0, float(len(law)))
    times = np.minimum(ages[:, np.newaxis], lengths + 1.0)
    shares = (times @ held_out.T) / (held_out @ (lengths + 1.0))
    age_distances, burst_distances = [], []
    for index in range(_NUM_SIMULATIONS):
        num_bursts = int(num_fitted - fitted[index, 0])
        to_bad = num_bursts / num_fitted
        to_good = num_bursts / int(fitted[index] @ lengths) if num_bursts else 1.0
        age_distances.append(np.abs(shares[:, index] - modelled_ages(ages, to_bad, to_good)).max())
        burst_distances.append(burst_distance(held_out[index], to_good))
    age, burst = np.quantile(age_distances, 0.95), np.quantile(burst_distances, 0.95)
    return float(age), float(burst)


def modelled_ages(
    ages_ms: FloatArray,
    to_bad: float,
    to_good: float,
    *,
    delays: Delays = PUNCTUAL,
    period_ms: float = 1.0,
) -> FloatArray:
    """Return the share of time in which the model's age is at most ``ages_ms``, (num_ages,).

    From one reception to the next, n periods T later, the age runs from D to n T + L, so it is
    above A for (n T + L - A)^+ - (D - A)^+. For D = L = 0 the mean over n is the closed form's;
    the means over D and over L are taken over their quantiles.
    """
    loss = to_bad / (to_bad + to_good)
    cycle_ms = period_ms / (1.0 - loss)
    since_ms = ages_ms[:, np.newaxis] - delays.ends_ms
    above = age_exceedance(since_ms, loss, 1.0 / to_good, period_ms=period_ms)
    above += np.maximum(-since_ms, 0.0) / cycle_ms
    before = np.maximum(delays.starts_ms - ages_ms[:, np.newaxis], 0.0) / cycle_ms
    return np.asarray(1.0 - above.mean(axis=1) + before.mean(axis=1))


def _gap_law(to_bad: float, to_good: float) -> FloatArray:
    """Return the probabilities of gaps of 0, 1, 2 ... frames; the last holds the rest."""
    num_lengths = _LONGEST_GAP
    if to_good > 0.03:
        num_lengths = max(2, math.ceil(math.log(1e-9) / math.log1p(-min(to_good, 0.999999))))
    bursts = to_bad * to_good * (1.0 - to_good) ** np.arange(num_lengths)
    law = np.concatenate([[1.0 - to_bad], bursts])
    law[-1] += 1.0 - law.sum()
    return np.asarray(np.clip(law, 0.0, 1.0))
