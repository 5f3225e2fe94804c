"""Tests of ml.evaluation.seed_statistics: published examples, second implementations, coverage."""

import numpy as np
import pytest
from scipy import stats

from ml.errors import ConfigError
from ml.evaluation.seed_statistics import (
    holm,
    interquartile_difference,
    interquartile_mean,
    summarise_seeds,
)

# Dana (1990), self-awareness data, in Wilcox, "Introduction to Robust Estimation and Hypothesis
# Testing": the 20 % trimmed mean is 282.7, its standard error 56.1 and the t quantile of 12 degrees
# of freedom 2.18, which gives 160 to 405.
SELF_AWARENESS = [
    77, 87, 88, 114, 151, 210, 219, 246, 253, 262, 296, 299, 306, 376, 428, 515, 666, 1310, 2611,
]  # fmt: skip


def test_trimmed_mean_and_interval_match_a_published_example():
    result = interquartile_mean(SELF_AWARENESS, trim=0.2)

    assert result.num_kept == 13
    assert result.value == pytest.approx(282.7, abs=0.05)
    assert result.interval == pytest.approx((160.4, 405.0), abs=0.2)


def test_interquartile_mean_of_five_seeds_is_the_mean_of_the_middle_three():
    # 1 2 3 4 100: (2 + 3 + 4) / 3; winsorised 2 2 3 4 4 has the sum of squares 4 and, with
    # Tukey and McLaughlin, the standard error sqrt(4 / 4 / 5) / 0.5 = 0.8944; Yuen's is
    # sqrt(4 / (3 * 2)) = 0.8165. t(2) = 4.3027: 3 -+ 3.8484.
    result = interquartile_mean([100.0, 1.0, 3.0, 4.0, 2.0])

    assert result.value == pytest.approx(3.0)
    assert result.interval == pytest.approx((-0.8484, 6.8484), abs=1e-4)


def test_yuens_error_counts_where_it_is_the_larger():
    # 8 values, 2 trimmed at each end: winsorised 3 3 3 4 5 6 6 6, mean 4.5, sum of squares 14.
    # Yuen: sqrt(14 / (4 * 3)) = 1.0801; Tukey and McLaughlin: sqrt(14 / 7 / 8) / 0.5 = 1.0.
    # t(3) = 3.1824: 4.5 -+ 3.4374.
    result = interquartile_mean([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])

    assert result.interval == pytest.approx((1.0626, 7.9374), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_mean_and_error_match_scipys_trimmed_ones(seed):
    values = np.random.default_rng(seed).normal(size=10)

    result = interquartile_mean(values.tolist())

    # With 10 values Tukey and McLaughlin's error is the larger one.
    expected = stats.mstats.trimmed_mean_ci(values, limits=(0.25, 0.25))
    assert result.value == pytest.approx(stats.trim_mean(values, 0.25))
    assert result.interval == pytest.approx(tuple(expected))


def test_interval_without_trimming_is_students():
    values = [1.0, 2.0, 4.0, 8.0, 9.0]

    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert interquartile_mean(values, trim=0.0).interval == pytest.approx(tuple(expected))


@pytest.mark.parametrize(("num_seeds", "least"), [(5, 0.94), (6, 0.96), (8, 0.93), (10, 0.955)])
def test_interval_covers_the_mean_of_normal_seeds(num_seeds, least):
    # 4,000 sets: the standard error of the share is 0.35 points.
    sets = np.random.default_rng(7).normal(size=(4000, num_seeds))

    intervals = [interquartile_mean(values).interval for values in sets.tolist()]

    assert np.mean([low <= 0.0 <= high for low, high in intervals]) > least


def test_five_equal_seeds_show_nothing_of_another():
    assert interquartile_mean([0.25] * 5) == (0.25, None, 3)


def test_one_seed_has_no_interval():
    assert interquartile_mean([0.25]).interval is None


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [1.0, float("inf")]])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(ConfigError, match="values of the seeds must be finite"):
        interquartile_mean(values)


@pytest.mark.parametrize("fields", [{"trim": 0.5}, {"trim": -0.1}, {"confidence": 1.0}])
def test_share_or_level_out_of_range_is_refused(fields):
    with pytest.raises(ConfigError, match="trim must be in"):
        interquartile_mean([1.0, 2.0], **fields)


@pytest.mark.parametrize("sizes", [(5, 5), (6, 9)])
def test_difference_of_two_recipes_matches_scipys_trimmed_test(sizes):
    rng = np.random.default_rng(2)
    first, second = (rng.normal(size=size).tolist() for size in sizes)

    result = interquartile_difference(first, second)

    test = stats.ttest_ind(first, second, equal_var=False, trim=0.25)
    expected = test.confidence_interval(0.95)
    assert result.interval == pytest.approx((expected.low, expected.high))
    assert result.estimate == pytest.approx((expected.low + expected.high) / 2)


def test_difference_of_single_seeds_has_no_interval():
    assert interquartile_difference([3.0], [1.0, 2.0]) == (1.5, None)


def test_difference_of_seeds_without_spread_has_no_interval():
    assert interquartile_difference([2.0] * 5, [0.5] * 5) == (1.5, None)


def test_worst_seed_is_named_by_its_place():
    summary = summarise_seeds([0.1, 0.4, 0.2], is_larger_worse=True)

    assert (summary["worst"], summary["worst_seed_index"]) == (0.4, 1)
    assert summarise_seeds([0.1, 0.4, 0.2], is_larger_worse=False)["worst_seed_index"] == 0


def test_no_seed_is_the_worst_where_neither_end_is():
    summary = summarise_seeds([0.1, 0.4], is_larger_worse=None)

    assert (summary["worst"], summary["worst_seed_index"]) == (None, None)


def test_holm_multiplies_by_what_is_left_and_never_falls():
    # Sorted 0.005 * 4, 0.01 * 3, 0.03 * 2, and 0.04 * 1 raised to the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_a_single_value_and_never_exceeds_one():
    assert holm([0.04]) == [0.04]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ConfigError, match="p-values"):
        holm([0.5, 1.5])
