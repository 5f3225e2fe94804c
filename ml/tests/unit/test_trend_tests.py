"""Tests of ml.evaluation.trend_tests against published examples and second implementations."""

import math

import pytest
from scipy import stats

from ml.errors import ConfigError
from ml.evaluation.trend_tests import cochran_armitage, poisson_rate_ratio


def test_rate_ratio_matches_the_example_of_rs_poisson_test():
    # R, help page of poisson.test: 11 in 800 against 6 + 8 + 7 in 1083 + 1050 + 878 person-years
    # (Fisher 1967, after Pearson and Hartley): ratio 1.971488, 95 % 0.8584264 to 4.2772659.
    result = poisson_rate_ratio((11, 21), (800.0, 3011.0))

    assert result.ratio == pytest.approx(1.971488, rel=1e-6)
    assert result.interval == pytest.approx((0.8584264, 4.2772659), rel=1e-6)


@pytest.mark.parametrize(("events", "exposures"), [((11, 21), (800, 3011)), ((3, 14), (1.0, 1.5))])
def test_rate_ratio_p_is_twice_the_smaller_tail_of_scipys_binomial_test(events, exposures):
    share = exposures[0] / sum(exposures)
    tails = [
        stats.binomtest(events[0], sum(events), share, alternative=side).pvalue
        for side in ("less", "greater")
    ]
    assert poisson_rate_ratio(events, exposures).p_value == pytest.approx(2 * min(tails))


def test_rates_turned_round_are_the_inverse():
    one = poisson_rate_ratio((4, 9), (2.0, 3.0))
    other = poisson_rate_ratio((9, 4), (3.0, 2.0))

    assert one.ratio == pytest.approx(1 / other.ratio)
    assert one.interval == pytest.approx((1 / other.interval.high, 1 / other.interval.low))
    assert one.p_value == pytest.approx(other.p_value)


def test_no_event_of_the_second_has_no_upper_limit():
    # The lower limit of 5 in 5 is 0.025**(1/5) = 0.478176, and 0.478176 / 0.521824 = 0.916356.
    result = poisson_rate_ratio((5, 0), (1.0, 1.0))

    assert result.ratio is None
    assert result.interval.low == pytest.approx(0.916356, abs=2e-6)
    assert math.isinf(result.interval.high)
    assert result.p_value == pytest.approx(2 / 2**5)


def test_no_event_at_all_shows_nothing():
    assert poisson_rate_ratio((0, 0), (1.0, 2.0)) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("events", "exposures"),
    [((-1, 2), (1.0, 1.0)), ((1, 2), (0.0, 1.0)), ((1, 2), (1.0, math.inf))],
)
def test_counts_and_exposures_out_of_range_are_refused(events, exposures):
    with pytest.raises(ConfigError, match="events must be"):
        poisson_rate_ratio(events, exposures)


# Agresti, "Categorical Data Analysis": malformations by the mother's alcohol consumption (Graubard
# and Korn 1987), drinks a day 0, < 1, 1-2, 3-5, >= 6 with the scores 0, 0.5, 1.5, 4, 7. The trend
# statistic is z^2 = 6.57, two-sided p = 0.010.
MALFORMED = [48, 38, 5, 1, 1]
BORN = [17114, 14502, 793, 127, 38]
DRINKS = [0.0, 0.5, 1.5, 4.0, 7.0]


def test_trend_matches_agrestis_example():
    trend = cochran_armitage(MALFORMED, BORN, DRINKS)

    assert trend.z**2 == pytest.approx(6.57, abs=0.005)
    assert 2 * trend.p_rising == pytest.approx(0.010, abs=0.0005)
    assert trend.p_falling == pytest.approx(1 - trend.p_rising)


def test_trend_is_the_correlation_of_all_single_outcomes():
    # z^2 = N r^2 of the outcomes 0 or 1 with their scores.
    outcomes = [1] * 2 + [0] * 8 + [1] * 5 + [0] * 5 + [1] * 8 + [0] * 2
    scores = [1.0] * 10 + [2.0] * 10 + [4.0] * 10

    r = stats.pearsonr(outcomes, scores).statistic
    assert cochran_armitage([2, 5, 8], [10] * 3, [1.0, 2.0, 4.0]).z == pytest.approx(
        math.sqrt(30) * r
    )


def test_falling_proportion_has_a_negative_z():
    trend = cochran_armitage([9, 5, 1], [10] * 3, [0.0, 1.0, 2.0])

    assert trend.z < 0.0
    assert trend.p_falling < 0.001


@pytest.mark.parametrize(
    ("successes", "trials", "scores"),
    [([0, 0], [5, 5], [0, 1]), ([5, 5], [5, 5], [0, 1]), ([1, 2], [5, 5], [3, 3]), ([], [], [])],
)
def test_nothing_to_compare_shows_nothing(successes, trials, scores):
    assert cochran_armitage(successes, trials, scores) is None


@pytest.mark.parametrize(
    ("successes", "trials", "scores"), [([6], [5], [0]), ([-1], [5], [0]), ([1, 1], [5], [0])]
)
def test_counts_out_of_range_are_refused(successes, trials, scores):
    with pytest.raises(ConfigError, match="successes must be in"):
        cochran_armitage(successes, trials, scores)
