"""Two rates of events, and a proportion that should rise with a score.

Sources:
    Przyborowski and Wilenski, "Homogeneity of results in testing samples from Poisson series",
    Biometrika 31 (1940): given their sum, the first count is binomial.
    Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10 (1954),
    and Armitage, "Tests for linear trends in proportions and frequencies", Biometrics 11 (1955).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from scipy.special import bdtr, bdtrc, ndtr

from ml.errors import ConfigError
from ml.evaluation.statistics import Interval, clopper_pearson


class RateRatio(NamedTuple):
    """A ratio of two rates of events.

    Attributes:
        ratio: First over second; None without an event of the second.
        interval: Exact interval; infinite above where the second had no event, None without any
            event at all.
        p_value: Two-sided exact p of equal rates, twice the smaller tail.
    """

    ratio: float | None
    interval: Interval | None
    p_value: float

    def as_json(self) -> dict[str, Any]:
        """Return what is saved; a limit without an end is null there."""
        limits = None
        if self.interval is not None:
            limits = [limit if math.isfinite(limit) else None for limit in self.interval]
        return {
            "rate_ratio": self.ratio,
            "rate_ratio_interval_95": limits,
            "rate_ratio_p": self.p_value,
        }


def poisson_rate_ratio(
    events: tuple[int, int], exposures: tuple[float, float], confidence: float = 0.95
) -> RateRatio:
    """Compare two independent rates of events exactly.

    Under the ratio r the first count, given the sum, is binomial with the probability
    ``r t1 / (r t1 + t2)``; the limits are Clopper and Pearson's, turned back into ratios. Alarms
    of one episode that come together make the true interval wider; the paired bootstrap allows
    for that.

    Args:
        events: The two counts.
        exposures: What they were observed over, each above 0.
        confidence: Confidence level in (0, 1).

    Raises:
        ConfigError: A value is out of range.
    """
    first, second = events
    if min(events) < 0 or not all(math.isfinite(e) and e > 0.0 for e in exposures):
        raise ConfigError(
            f"events must be >= 0 and exposures above 0. Got {events} over {exposures}."
        )
    total = first + second
    if total == 0:
        return RateRatio(None, None, 1.0)
    scale = exposures[1] / exposures[0]
    low, high = (
        scale * share / (1.0 - share) if share < 1.0 else math.inf
        for share in clopper_pearson(first, total, confidence)
    )
    null_share = exposures[0] / (exposures[0] + exposures[1])
    at_most = float(bdtr(first, total, null_share))
    at_least = float(bdtrc(first - 1, total, null_share)) if first else 1.0
    ratio = scale * first / second if second else None
    return RateRatio(ratio, Interval(low, high), min(1.0, 2.0 * min(at_most, at_least)))


class Trend(NamedTuple):
    """A test of a linear trend in proportions.

    Attributes:
        z: Standard normal without a trend; above 0 where the proportion rises with the score.
        p_rising: One-sided p of "does not rise".
        p_falling: One-sided p of "does not fall".
    """

    z: float
    p_rising: float
    p_falling: float


def cochran_armitage(
    successes: Sequence[int], trials: Sequence[int], scores: Sequence[float]
) -> Trend | None:
    """Test whether a proportion rises with a score.

    ``z = sum(s_i (x_i - n_i p)) / sqrt(p (1 - p) sum(n_i (s_i - s)^2))`` with the pooled proportion
    p and the mean score s.

    Args:
        successes: Number of successes in each group.
        trials: Number of trials in each group.
        scores: Each group's score.

    Returns:
        The test; None where all or none succeeded, or all scores are equal, which shows nothing.

    Raises:
        ConfigError: The lengths differ or a count is out of range.
    """
    groups = list(zip(successes, trials, scores, strict=False))
    if not len(successes) == len(trials) == len(scores) or any(
        not 0 <= x <= n for x, n, _ in groups
    ):
        raise ConfigError(
            "successes must be in [0, trials], one of each for a score. "
            f"Got {list(successes)} of {list(trials)} for {list(scores)}."
        )
    total = sum(trials)
    if total == 0:
        return None
    share = sum(successes) / total
    mean = sum(n * score for _, n, score in groups) / total
    variance = share * (1.0 - share) * sum(n * (score - mean) ** 2 for _, n, score in groups)
    if variance <= 0.0:
        return None
    z = sum(score * (x - n * share) for x, n, score in groups) / math.sqrt(variance)
    return Trend(z, float(ndtr(-z)), float(ndtr(z)))
