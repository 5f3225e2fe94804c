"""Tests of ml.evaluation.statistics against published tables and second implementations."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from ml.errors import ConfigError
from ml.evaluation.statistics import (
    clopper_pearson,
    lower_bound,
    mcnemar_exact,
    paired_difference_interval,
    poisson_rate_interval,
    upper_bound,
)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (276, 0.010795),  # 1 - 0.05 ** (1 / 276)
        (2995, 0.00099974),  # 1 - 0.05 ** (1 / 2995)
        (59, 0.049508),  # 1 - 0.05 ** (1 / 59), the classic "0 in 59 shows 5 %"
    ],
)
def test_upper_bound_of_no_success_is_the_rule_of_three_made_exact(trials, expected):
    assert upper_bound(0, trials) == pytest.approx(expected, rel=1e-4)


def test_upper_bound_is_one_when_every_trial_succeeds():
    assert upper_bound(7, 7) == 1.0


def test_lower_bound_of_all_successes_is_alpha_to_the_one_over_n():
    assert lower_bound(20, 20) == pytest.approx(0.05 ** (1 / 20), rel=1e-12)


def test_lower_bound_of_no_success_is_zero():
    assert lower_bound(0, 9) == 0.0


def test_two_sided_limits_of_no_success_are_zero_and_the_97_5_percent_bound():
    low, high = clopper_pearson(0, 10)
    assert low == 0.0
    assert high == pytest.approx(1 - 0.025 ** (1 / 10), rel=1e-12)


def test_two_sided_limits_of_half_successes_match_published_table():
    # Exact 95 % limits for 5 of 10 in published tables: 18.71 % and 81.29 %.
    assert clopper_pearson(5, 10) == pytest.approx((0.1871, 0.8129), abs=5e-5)


@given(st.integers(0, 40), st.integers(1, 40))
@settings(max_examples=50)
def test_two_sided_limits_match_scipy_binomtest(successes, trials):
    successes = min(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


@pytest.mark.parametrize(
    ("successes", "trials", "confidence"),
    [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0), (1, 5, math.nan)],
)
def test_proportion_out_of_range_is_refused(successes, trials, confidence):
    with pytest.raises(ConfigError):
        clopper_pearson(successes, trials, confidence)


@pytest.mark.parametrize(
    ("events", "low", "high"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)],  # Garwood (1936), 95 %
)
def test_poisson_limits_match_garwood_table(events, low, high):
    assert poisson_rate_interval(events, 1.0) == pytest.approx((low, high), abs=6e-4)


def test_poisson_rate_is_per_unit_of_exposure():
    assert poisson_rate_interval(0, 2.0).high == pytest.approx(-math.log(0.025) / 2.0)


@pytest.mark.parametrize(("events", "exposure"), [(-1, 1.0), (1, 0.0), (1, math.nan)])
def test_poisson_values_out_of_range_are_refused(events, exposure):
    with pytest.raises(ConfigError):
        poisson_rate_interval(events, exposure)


@pytest.mark.parametrize(
    ("first_only", "second_only", "expected"),
    [
        (0, 0, 1.0),
        (0, 5, 2 / 2**5),
        (6, 0, 2 / 2**6),
        (1, 7, 2 * (1 + 8) / 2**8),  # 0.0703, the airway data of Bentur et al. (2009)
        (3, 3, 1.0),
    ],
)
def test_mcnemar_p_is_twice_the_binomial_tail(first_only, second_only, expected):
    assert mcnemar_exact(first_only, second_only) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=50)
def test_mcnemar_p_matches_scipy_sign_test(first_only, second_only):
    if first_only + second_only > 0:
        expected = stats.binomtest(first_only, first_only + second_only, 0.5).pvalue
        assert mcnemar_exact(first_only, second_only) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ConfigError):
        mcnemar_exact(-1, 2)


def test_paired_interval_matches_published_airway_example():
    # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014):
    # 21 children, discordant 1 and 7, Tango score interval -0.517 to -0.026.
    assert paired_difference_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_paired_interval_without_discordant_pairs_has_the_closed_form():
    # With b = c = 0 and d > 0 the likelihood is largest at q = 0, which leaves
    # (N d)^2 = z^2 N d (1 - d), so d = z^2 / (N + z^2).
    z_squared = stats.norm.ppf(0.975) ** 2
    limit = z_squared / (10 + z_squared)
    assert paired_difference_interval(0, 0, 10) == pytest.approx((-limit, limit), rel=1e-9)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 40))
@settings(max_examples=30)
def test_paired_limits_solve_the_score_equation_of_the_numerical_likelihood(b, c, extra):
    pairs = b + c + extra
    low, high = paired_difference_interval(b, c, pairs)
    assert low <= (b - c) / pairs <= high
    for limit in (low, high):
        assert _score_by_search(b, c, pairs, limit) == pytest.approx(1.959964, abs=2e-3)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 40))
@settings(max_examples=30)
def test_swapping_the_policies_mirrors_the_interval(b, c, extra):
    low, high = paired_difference_interval(b, c, b + c + extra)
    assert paired_difference_interval(c, b, b + c + extra) == pytest.approx((-high, -low), abs=1e-8)


@pytest.mark.parametrize(
    ("counts", "closed_end"), [((5, 0, 5), 1), ((0, 5, 5), 0)], ids=["all first", "all second"]
)
def test_paired_interval_reaches_the_end_when_every_pair_differs_one_way(counts, closed_end):
    assert abs(paired_difference_interval(*counts)[closed_end]) == 1.0


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_paired_counts_that_do_not_fit_are_refused(counts):
    with pytest.raises(ConfigError):
        paired_difference_interval(*counts)


def _score_by_search(b, c, pairs, difference):
    """|score| with the constrained maximum of the trinomial likelihood found numerically."""
    low = max(0.0, -difference)
    high = (1.0 - difference) / 2.0

    def negative_likelihood(q):
        terms = [(b, q + difference), (c, q), (pairs - b - c, 1.0 - 2.0 * q - difference)]
        return -sum(n * math.log(max(p, 1e-300)) for n, p in terms if n > 0)

    best = optimize.minimize_scalar(
        negative_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    ).x
    variance = pairs * (2.0 * best + difference * (1.0 - difference))
    return abs(b - c - pairs * difference) / math.sqrt(variance)
