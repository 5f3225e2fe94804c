"""Tests of ml.evaluation.resampling against scipy's bootstrap, closed forms and coverage."""

import numpy as np
import pytest
from scipy import stats

from ml.errors import ConfigError
from ml.evaluation import resampling
from ml.evaluation.resampling import bca_interval, paired_bootstrap

RNG = np.random.default_rng(11)
FIRST = RNG.lognormal(size=60)
SECOND = 0.5 * FIRST + RNG.lognormal(sigma=0.7, size=60)


def test_interval_of_the_mean_matches_scipys_bca():
    result = paired_bootstrap(FIRST.tolist(), SECOND.tolist())

    expected = stats.bootstrap(
        (FIRST - SECOND,), np.mean, n_resamples=20_000, method="BCa",
        rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    assert result.estimate == pytest.approx((FIRST - SECOND).mean())
    # Both limits are quantiles of their own resamples: a few hundredths of the width apart.
    width = expected.high - expected.low
    assert result.interval == pytest.approx(tuple(expected), abs=0.05 * width)


def test_interval_of_a_ratio_of_sums_matches_scipys_bca():
    hours = RNG.uniform(0.5, 1.5, size=60), RNG.uniform(0.5, 1.5, size=60)
    result = paired_bootstrap(
        FIRST.tolist(), SECOND.tolist(), exposures=(hours[0].tolist(), hours[1].tolist())
    )

    expected = stats.bootstrap(
        (FIRST, hours[0], SECOND, hours[1]),
        lambda a, s, b, t, axis: a.sum(axis) / s.sum(axis) - b.sum(axis) / t.sum(axis),
        paired=True, vectorized=True, n_resamples=20_000, method="BCa",
        rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    assert result.estimate == pytest.approx(
        FIRST.sum() / hours[0].sum() - SECOND.sum() / hours[1].sum()
    )
    width = expected.high - expected.low
    assert result.interval == pytest.approx(tuple(expected), abs=0.05 * width)


def test_interval_of_many_normal_values_is_that_of_the_normal_mean():
    values = np.random.default_rng(3).normal(2.0, 1.0, size=2000)
    result = paired_bootstrap(values.tolist(), [0.0] * 2000)

    reach = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert result.interval == pytest.approx(
        (values.mean() - reach, values.mean() + reach), abs=0.1 * reach
    )


def test_bca_without_bias_or_skewness_is_the_percentile_interval():
    resampled = np.linspace(-1.0, 1.0, 4001)
    left_out = np.array([-1.0, 1.0, -2.0, 2.0])

    assert bca_interval(0.0, resampled, left_out) == pytest.approx((-0.95, 0.95), abs=1e-6)


def test_bca_moves_with_the_bias():
    # A tenth of the resamples is below the estimate: z0 = -1.2816; with a = 0 the limits are the
    # quantiles at ndtr(2 z0 -+ 1.96), which is ndtr(-4.5231) and ndtr(-0.6032) = 0.2732.
    resampled = np.linspace(0.0, 1.0, 100_001)
    low, high = bca_interval(0.1, resampled, np.array([-1.0, 1.0]))

    assert high == pytest.approx(0.2732, abs=1e-3)
    assert low == pytest.approx(3.05e-6, abs=1e-6)


def test_bca_moves_with_the_skewness():
    # Deviations of the jackknife's mean from its values 2, -1, -1: a = 6 / (6 * 6**1.5) = 0.0680;
    # z = 1.96: 1.96 / (1 - 0.1333) = 2.2616, 98.81 %; z = -1.96: -1.96 / 1.1333 = -1.7294, 4.19 %.
    resampled = np.linspace(0.0, 1.0, 100_001)
    low, high = bca_interval(0.5, resampled, np.array([-2.0, 1.0, 1.0]))

    assert (low, high) == pytest.approx((0.0419, 0.9881), abs=2e-4)


def test_interval_covers_the_mean_of_skewed_differences():
    # 400 sets of 40 lognormal differences: BCa covers about 92 %; the share's own error is 1.3.
    sets = np.random.default_rng(9).lognormal(sigma=0.8, size=(400, 40))
    truth = float(np.exp(0.32))

    intervals = [paired_bootstrap(values, [0.0] * 40).interval for values in sets.tolist()]

    assert np.mean([low <= truth <= high for low, high in intervals]) > 0.88


def test_the_seed_decides_the_interval_and_is_in_the_result():
    one, same, other = (
        paired_bootstrap(FIRST.tolist(), SECOND.tolist(), seed=seed) for seed in (1, 1, 2)
    )
    assert one == same
    assert one.interval != other.interval
    assert one.as_json()["bootstrap_seed"] == 1
    assert one.as_json()["bootstrap_resamples"] == resampling.NUM_RESAMPLES


def test_drawing_in_parts_changes_nothing(monkeypatch):
    whole = paired_bootstrap(FIRST.tolist(), SECOND.tolist())

    monkeypatch.setattr(resampling, "_INDICES_AT_ONCE", 60 * 7)

    assert paired_bootstrap(FIRST.tolist(), SECOND.tolist()) == whole


def test_equal_policies_have_no_difference_and_no_interval():
    result = paired_bootstrap(FIRST.tolist(), FIRST.tolist())
    assert (result.estimate, result.interval) == (0.0, None)


def test_a_difference_that_never_varies_has_no_interval():
    result = paired_bootstrap(FIRST.tolist(), (FIRST - 0.1).tolist())
    assert (result.estimate, result.interval) == (pytest.approx(0.1), None)


def test_fewer_than_20_pairs_have_no_interval():
    few, enough = (paired_bootstrap(list(range(n)), [0.0] * n) for n in (19, 20))

    assert (few.estimate, few.interval) == (9.0, None)
    assert enough.interval is not None
    assert paired_bootstrap([1.0], [3.0]).estimate == -2.0


@pytest.mark.parametrize(
    ("first", "second", "exposures", "message"),
    [
        ([], [], None, "as many, at least one"),
        ([1.0], [1.0, 2.0], None, "as many, at least one"),
        ([1.0], [float("nan")], None, "must be finite"),
        ([1.0], [1.0], ([0.0], [1.0]), "sum to more than 0"),
    ],
)
def test_values_that_are_no_pairs_are_refused(first, second, exposures, message):
    with pytest.raises(ConfigError, match=message):
        paired_bootstrap(first, second, exposures=exposures)


def test_level_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="confidence"):
        paired_bootstrap([1.0, 2.0], [0.0, 0.0], confidence=1.0)
