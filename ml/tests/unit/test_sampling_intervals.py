"""Intervals of sampled values: published limits, hand arithmetic, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.espnow_emulator.sampling_intervals import (
    Estimate,
    MeanRunEstimate,
    QuantileEstimate,
    clopper_pearson,
    proportion,
    ratio,
)

SAFETY_LEVEL = 0.90
"""Two-sided, of which each limit is one-sided 95 %."""


@pytest.mark.parametrize(
    ("successes", "trials", "level", "limits"),
    [
        (0, 276, SAFETY_LEVEL, (0.0, 0.010795)),  # 1 - 0.05^(1/276)
        (0, 2995, SAFETY_LEVEL, (0.0, 0.0009997)),
        (10, 100, 0.95, (0.0490, 0.1762)),  # textbook
        (100, 100, 0.95, (0.025 ** (1 / 100), 1.0)),
        (5, 10, 0.95, (0.1871, 0.8129)),
    ],
)
def test_clopper_pearson_gives_published_limits(successes, trials, level, limits):
    assert clopper_pearson(successes, trials, level) == pytest.approx(limits, abs=5e-5)


def test_a_proportion_of_independent_trials_has_exactly_clopper_pearson():
    assert proportion(10, 100).interval(0.95) == clopper_pearson(10, 100, 0.95)


def test_a_ratio_has_the_error_of_the_differences_between_worlds():
    # R = 6 / 12; residuals 1 - 2, 2 - 2, 3 - 2; variance 3/2 * 2 / 12^2.
    estimate = ratio([1, 2, 3], [4, 4, 4])

    assert estimate.value == 0.5
    assert estimate.standard_error == pytest.approx(math.sqrt(3.0) / 12.0)
    assert (estimate.num_worlds, estimate.num_samples) == (3, 12)
    assert estimate.skewness == pytest.approx(0.0)


def test_a_symmetric_ratio_has_students_interval():
    low, high = ratio([1, 2, 3], [4, 4, 4]).interval(0.95)

    reach = 4.3027 * math.sqrt(3.0) / 12.0  # t of 2 degrees of freedom at 97.5 %
    assert (low, high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-4)


def test_one_world_alone_has_no_error():
    assert ratio([3], [4]).interval(0.95) == (0.75, 0.75)


def test_a_skewed_ratio_reaches_farther_to_the_side_of_its_tail():
    rare = ratio([0.0] * 99 + [50.0], [10.0] * 100)

    low, high = rare.interval(0.95)

    assert rare.skewness > 0.9
    assert high - rare.value > 2.0 * (rare.value - low)


def test_a_tail_to_the_other_side_mirrors_the_interval():
    tops = np.array([0.0] * 99 + [50.0])
    rare, mirrored = ratio(tops, [10.0] * 100), ratio(10.0 - tops, [10.0] * 100)

    low, high = rare.interval(0.95)

    assert mirrored.interval(0.95) == pytest.approx((1.0 - high, 1.0 - low))


def test_halls_limits_are_those_of_his_transformation():
    estimate = Estimate(0.0, 1.0, 1_000_001, 1, skewness=0.3)

    _, high = estimate.interval(0.95)

    # t + g t^2 / 3 + g^2 t^3 / 27 + g / 6 of t = -high is the normal quantile -1.96.
    t, g = -high, 0.3
    assert t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6 == pytest.approx(-1.95996, abs=1e-4)


def test_a_share_that_no_world_shows_keeps_an_upper_limit():
    low, high = ratio([0, 0], [50, 50], num_trials=100).interval(0.95)

    assert low == 0.0
    assert high == pytest.approx(1.0 - 0.025 ** (1 / 100))


def test_runs_that_all_have_one_element_leave_room_for_longer_ones():
    low, high = MeanRunEstimate(ratio([5, 5], [5, 5])).interval(0.95)

    assert low == 1.0
    assert high == pytest.approx(0.025 ** (-1 / 10))


def test_a_quantile_has_the_values_at_the_limits_of_the_share_above_it():
    ordered = np.arange(1.0, 1001.0)
    quantile = QuantileEstimate(ordered, proportion(50, 1000))

    fewest, most = clopper_pearson(50, 1000, 0.95)

    assert quantile.value == 950.0
    assert quantile.interval(0.95) == (round(1000 * (1 - most)), round(1000 * (1 - fewest)))


def test_a_quantile_that_no_sample_bounds_has_an_infinite_limit():
    quantile = QuantileEstimate(np.arange(10.0), proportion(1, 10))

    assert quantile.interval(0.95)[1] == math.inf


def coverage(make, truth, level, num_repeats=2000):
    rng = np.random.default_rng(5)
    intervals = np.array([make(rng).interval(level) for _ in range(num_repeats)])
    return float(((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean())


def test_intervals_of_a_skewed_mean_hold_as_often_as_they_say():
    # Log-normal world totals, sigma 1: mean exp(1/2), skewness 6.2. Two standard errors of 2000
    # repeats are .45 points; Student's interval, too short on the side of the tail, falls below.
    def make(rng):
        return ratio(np.exp(rng.standard_normal(200)), np.ones(200))

    assert coverage(make, math.exp(0.5), 0.99) >= 0.99 - 0.0045


def test_intervals_of_a_symmetric_mean_are_not_too_wide():
    def make(rng):
        return ratio(1.0 + rng.standard_normal(200), np.ones(200))

    assert coverage(make, 1.0, 0.95) == pytest.approx(0.95, abs=0.015)
