"""Intervals and tests for rates, counts and paired outcomes.

Sources:
    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934): exact limits of a proportion.
    Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28 (1936).
    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947); its exact form is the sign test on discordant pairs.
    Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17 (1998).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import bdtr, betaincinv, gammaincinv, ndtri

from ml.errors import ConfigError


class Interval(NamedTuple):
    """A confidence interval.

    Attributes:
        low: Lower limit.
        high: Upper limit.
    """

    low: float
    high: float


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the exact two-sided interval of a proportion.

    Args:
        successes: Number of successes, in [0, trials].
        trials: Number of trials, at least 1.
        confidence: Confidence level in (0, 1); each tail holds half of the rest.

    Returns:
        Limits in [0, 1].

    Raises:
        ConfigError: A count or the level is out of range.

    >>> [round(limit, 4) for limit in clopper_pearson(0, 10)]
    [0.0, 0.3085]
    """
    _check_proportion(successes, trials, confidence)
    tail = (1.0 - confidence) / 2.0
    low, high = 0.0, 1.0
    if successes > 0:
        low = float(betaincinv(successes, trials - successes + 1, tail))
    if successes < trials:
        high = float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return Interval(low, high)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a proportion.

    >>> round(upper_bound(0, 276), 6)
    0.010795
    """
    _check_proportion(successes, trials, confidence)
    if successes == trials:
        return 1.0
    return float(betaincinv(successes + 1, trials - successes, confidence))


def lower_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided lower bound of a proportion."""
    return 1.0 - upper_bound(trials - successes, trials, confidence)


def poisson_rate_interval(events: int, exposure: float, confidence: float = 0.95) -> Interval:
    """Return the exact two-sided interval of a rate of events per unit of exposure.

    Args:
        events: Number of events, at least 0.
        exposure: What was observed, above 0, in the unit the rate is wanted in (such as [h]).
        confidence: Confidence level in (0, 1).

    Returns:
        Limits in events per unit of exposure.

    Raises:
        ConfigError: A value is out of range.
    """
    _check_level(confidence)
    if events < 0:
        raise ConfigError(f"events must be >= 0. Got {events}.")
    if not (math.isfinite(exposure) and exposure > 0.0):
        raise ConfigError(f"exposure must be above 0. Got {exposure}.")
    tail = (1.0 - confidence) / 2.0
    low = float(gammaincinv(events, tail)) if events > 0 else 0.0
    high = float(gammaincinv(events + 1, 1.0 - tail))
    return Interval(low / exposure, high / exposure)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the two-sided exact p of "both fail equally often" for paired outcomes.

    ``p = min(1, 2 P(X <= min(b, c)))`` with X ~ Binomial(b + c, 1/2); 1 without discordant pairs.

    Args:
        first_only: Pairs b in which only the first one failed.
        second_only: Pairs c in which only the second one failed.

    Returns:
        The p-value in (0, 1].

    Raises:
        ConfigError: A count is negative.

    >>> mcnemar_exact(0, 6)
    0.03125
    """
    if min(first_only, second_only) < 0:
        raise ConfigError(f"discordant counts must be >= 0. Got {first_only} and {second_only}.")
    discordant = first_only + second_only
    if discordant == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(first_only, second_only), discordant, 0.5)))


def paired_difference_interval(
    first_only: int, second_only: int, pairs: int, confidence: float = 0.95
) -> Interval:
    """Return Tango's score interval of the difference of two paired rates, first minus second.

    With b, c the discordant counts and N the pairs, the limits are the two roots d of
    ``(b - c - N d)^2 = z^2 N (2 q + d (1 - d))``, where q is the likelihood's best probability of
    the second kind of discordant pair under the difference d.

    Args:
        first_only: Pairs b in which only the first one failed.
        second_only: Pairs c in which only the second one failed.
        pairs: Number N of pairs, at least b + c and at least 1.
        confidence: Confidence level in (0, 1).

    Returns:
        Limits in [-1, 1].

    Raises:
        ConfigError: A count or the level is out of range.
    """
    from scipy.optimize import brentq  # noqa: PLC0415 - slow to load, and wanted at the end only

    _check_level(confidence)
    if min(first_only, second_only) < 0 or pairs < max(1, first_only + second_only):
        raise ConfigError(
            "discordant counts must be >= 0 and their sum <= pairs (>= 1). "
            f"Got {first_only}, {second_only} and {pairs} pairs."
        )
    quantile = float(ndtri((1.0 + confidence) / 2.0))
    estimate = (first_only - second_only) / pairs

    def excess(difference: float) -> float:
        score = _tango_score(first_only, second_only, pairs, difference)
        return score * score - quantile * quantile

    low = -1.0 if estimate <= -1.0 else float(brentq(excess, -1.0 + 1e-12, estimate))
    high = 1.0 if estimate >= 1.0 else float(brentq(excess, estimate, 1.0 - 1e-12))
    return Interval(low, high)


def _tango_score(first_only: int, second_only: int, pairs: int, difference: float) -> float:
    """Return Tango's score statistic at one difference; its square grows away from the estimate."""
    # Tango (1998): the constrained maximum-likelihood probability is the larger
    # root of 2 N q^2 + linear q + constant = 0.
    linear = -first_only - second_only + (2.0 * pairs - first_only + second_only) * difference
    constant = -second_only * difference * (1.0 - difference)
    root = math.sqrt(max(linear * linear - 8.0 * pairs * constant, 0.0))
    best_probability = (root - linear) / (4.0 * pairs)
    variance = pairs * (2.0 * best_probability + difference * (1.0 - difference))
    deviation = first_only - second_only - pairs * difference
    if variance <= 0.0:
        return 0.0 if deviation == 0.0 else math.copysign(math.inf, deviation)
    return deviation / math.sqrt(variance)


def _check_level(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence must be in (0, 1). Got {confidence}.")


def _check_proportion(successes: int, trials: int, confidence: float) -> None:
    _check_level(confidence)
    if trials < 1:
        raise ConfigError(f"trials must be >= 1. Got {trials}.")
    if not 0 <= successes <= trials:
        raise ConfigError(f"successes must be in [0, {trials}]. Got {successes}.")
