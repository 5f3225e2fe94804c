"""Loss, bursts and latency of a link: by hand, against closed forms, and coverage of intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from ml.espnow_emulator.link_fit import (
    clustered_margin,
    fit_losses,
    line_below,
    longest_burst_probability,
    median,
    one_way_of_two_way,
    proportion,
    standard_deviation,
    without_trend,
)
from ml.tests.reception_logs import gilbert_chain, gilbert_gaps

NUM_LOGS = 60
# Of 60 intervals of 95 % fewer than 51 (85 %) hold the truth in 1 of 1350 trials.
FEWEST_HELD = 0.85 * NUM_LOGS


def holds(estimate, truth):
    return estimate.low <= truth <= estimate.high


def fit(gaps, assumed_burst=1.44):
    return fit_losses(np.array(gaps, dtype=np.int64), assumed_burst=assumed_burst)


# --- Losses --------------------------------------------------------------------------------------


def test_a_fit_by_hand():
    # + + - + - - + +: 5 transitions from good, 2 of them to bad; 3 from bad, 2 of them to good.
    found = fit([0, 1, 2, 0, 0])

    assert (found.num_frames, found.num_lost, found.num_bursts) == (8, 3, 2)
    assert found.longest_burst == 2
    assert found.to_bad.value == pytest.approx(2 / 5)
    assert found.to_good.value == pytest.approx(2 / 3)
    assert found.mean_burst.value == pytest.approx(1.5)
    # p / (p + r) = .4 / 1.0667
    assert found.loss.value == pytest.approx(3 / 8)
    assert found.correlation == pytest.approx(1 - 2 / 5 - 2 / 3)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (57, 2000)])
def test_the_interval_of_a_proportion_is_the_exact_one(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")

    found = proportion(successes, trials)

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_gilbert_link_has_the_asymptotic_number_of_independent_frames():
    # The variance of a two-state chain's mean is loss (1 - loss) (2 - p - r) / (n (p + r)), so
    # the number of independent frames is n (p + r) / (2 - p - r); here gaps in exact proportion.
    to_bad, to_good, num_gaps = 0.08, 0.4, 10_000_000
    law = [1 - to_bad, *(to_bad * to_good * (1 - to_good) ** k for k in range(40))]
    gaps = np.repeat(np.arange(41), np.round(np.array(law) * num_gaps).astype(int))

    found = fit(gaps)

    share = (to_bad + to_good) / (2 - to_bad - to_good)
    assert found.effective_frames / found.num_frames == pytest.approx(share, rel=1e-3)


def test_a_longer_tail_widens_the_interval():
    # Both have 1000 receptions, 200 losses and 100 bursts; the second has 95 of one frame.
    short, long = fit([2] * 100 + [0] * 900), fit([1] * 95 + [21] * 5 + [0] * 900)

    assert short.loss.value == long.loss.value
    assert long.loss.high - long.loss.low > 2 * (short.loss.high - short.loss.low)


@pytest.mark.parametrize(
    ("to_bad", "to_good", "num_frames"),
    [(0.0688, 0.6944, 2000), (0.05, 0.2, 3000), (0.36, 0.068, 3000), (0.0198, 0.8865, 1500)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(to_bad, to_good, num_frames):
    truths = (to_bad / (to_bad + to_good), to_bad, to_good, 1 / to_good)
    held = np.zeros(4)
    for seed in range(NUM_LOGS):
        gaps = gilbert_gaps(to_bad, to_good, num_frames, np.random.default_rng(seed))
        found = fit(gaps)
        estimates = (found.loss, found.to_bad, found.to_good, found.mean_burst)
        held += [holds(estimate, truth) for estimate, truth in zip(estimates, truths, strict=True)]

    assert held.min() >= FEWEST_HELD


def test_ignoring_bursts_would_hold_the_loss_too_rarely():
    # The reason for counting independent frames: the same logs, Clopper and Pearson on frames.
    held = 0
    for seed in range(NUM_LOGS):
        received = gilbert_chain(0.05, 0.2, 3000, np.random.default_rng(seed))
        held += holds(proportion(int((~received).sum()), 3000), 0.2)

    assert held < FEWEST_HELD


def test_without_a_loss_there_is_an_upper_limit_and_no_burst():
    # 276 frames without a loss: 1 - .025^(1/276) = 1.328 %, two-sided, if losses were independent.
    found = fit([0] * 276, assumed_burst=1.0)

    assert found.loss.value == found.loss.low == 0.0
    assert found.loss.high == pytest.approx(1 - 0.025 ** (1 / 276))
    assert found.mean_burst is None
    assert found.process == (0.0, 1.0)
    # In bursts of 1.5 frames they tell as much as 276 / (2 * 1.5 - 1) = 138 frames.
    assert fit([0] * 276, assumed_burst=1.5).loss.high == pytest.approx(1 - 0.025 ** (1 / 138))


def test_losses_that_never_follow_one_another_are_independent_within_chance():
    found = fit([0] * 280 + [1] * 3)

    assert not found.has_bursts
    assert found.avoidance_probability > 0.9
    assert found.process == pytest.approx((3 / 286, 283 / 286))


def test_losses_that_avoid_one_another_are_told_from_chance():
    # Every third frame lost: of 100 losses none follows another; (2/3)^100 = 2.5e-18.
    found = fit([0, 1] * 100)

    assert found.avoidance_probability == pytest.approx((2 / 3) ** 100)


def test_the_chance_of_the_longest_burst_by_hand():
    # One burst of r = .25 is longer than 3 with .75^3.
    assert longest_burst_probability(4, 1, 0.25) == pytest.approx(0.75**3)
    assert longest_burst_probability(1, 5, 0.25) == 1.0


# --- Two ways ------------------------------------------------------------------------------------


def test_the_published_round_trip_loss_gives_the_published_one_way_loss():
    # 15.7 % two-way: 1 - sqrt(1 - .157) = 8.18 %.
    gaps = np.array([1] * 157 + [0] * (843 - 157))

    found = one_way_of_two_way(fit(gaps), gaps, np.random.default_rng(0))

    assert found.loss.value == pytest.approx(0.0818, abs=5e-5)


def test_one_way_bursts_follow_from_two_way_ones():
    # p = .1, r = .5 each way: loss 1/6; two-way loss 1 - (5/6)^2 = 11/36, p2 = 1 - .9^2 = .19.
    # In proportion: 2500 echoes, 475 bursts, 1100 lost.
    gaps = np.array([0] * 2025 + [2] * 325 + [3] * 150)
    assert (len(gaps), gaps.sum(), np.count_nonzero(gaps)) == (2500, 1100, 475)

    found = one_way_of_two_way(fit(gaps), gaps, np.random.default_rng(0))

    assert found.loss.value == pytest.approx(1 / 6)
    assert found.mean_burst.value == pytest.approx(2.0)


def test_one_way_intervals_hold_the_truth_as_often_as_they_say():
    held = np.zeros(2)
    for seed in range(NUM_LOGS):
        rng = np.random.default_rng(seed)
        received = gilbert_chain(0.1, 0.5, 2000, rng) & gilbert_chain(0.1, 0.5, 2000, rng)
        gaps = np.diff(np.flatnonzero(received)) - 1
        found = one_way_of_two_way(fit(gaps), gaps, rng)
        held += [holds(found.loss, 1 / 6), holds(found.mean_burst, 2.0)]

    assert held.min() >= FEWEST_HELD


# --- Latency -------------------------------------------------------------------------------------


def test_the_line_below_is_the_best_of_all_lines_below():
    # Second implementation: the linear programme that Moon, Skelly and Towsley state.
    rng = np.random.default_rng(3)
    places = np.cumsum(rng.uniform(0.5, 1.5, 300))
    values = 4.0 - 0.02 * places + rng.exponential(1.0, 300)
    columns = np.stack([np.ones(300), places], axis=1)
    best = optimize.linprog(-columns.sum(axis=0), columns, values, bounds=[(None, None)] * 2)

    found = line_below(places, values)

    assert tuple(found) == pytest.approx(tuple(best.x))


def test_the_line_below_two_points_runs_through_them():
    assert tuple(line_below(np.array([1.0, 3.0]), np.array([5.0, 9.0]))) == pytest.approx((3, 2))


def test_a_clock_that_drifts_without_jitter_is_recovered_exactly():
    places = np.arange(50.0)

    offset, slope = line_below(places, 7.0 + 3e-5 * places)

    assert (offset, slope) == pytest.approx((7.0, 3e-5))


def test_what_is_left_without_a_trend_does_not_know_the_clock():
    rng = np.random.default_rng(5)
    places, noise = np.arange(200.0), rng.standard_normal(200)

    plain, drifting = without_trend(places, noise), without_trend(places, 5 + 2 * places + noise)

    assert drifting == pytest.approx(plain, abs=1e-9)
    assert abs(plain @ places) < 1e-6


@pytest.mark.parametrize("law", ["normal", "exponential"])
def test_the_interval_of_the_jitter_holds_it_as_often_as_it_says(law):
    held = 0
    for seed in range(NUM_LOGS):
        delays = getattr(stats, {"normal": "norm", "exponential": "expon"}[law]).rvs(
            scale=1.7, size=1500, random_state=seed
        )
        held += holds(standard_deviation(without_trend(np.arange(1500.0), delays)), 1.7)

    assert held >= FEWEST_HELD


def test_equal_delays_have_no_jitter():
    assert standard_deviation(np.zeros(60)) == (0.0, 0.0, 0.0)


def test_the_interval_of_the_median_holds_it_as_often_as_it_says():
    # The median of an exponential law is ln 2.
    draws = [np.random.default_rng(seed).exponential(size=400) for seed in range(NUM_LOGS)]

    held = sum(holds(median(values), math.log(2)) for values in draws)

    assert held >= FEWEST_HELD


def test_the_sandwich_of_a_mean_is_the_standard_error_of_block_means():
    # One parameter, the mean of N(mean, 1): scores x - mean, information n. Blocks of 5.
    rng = np.random.default_rng(8)
    values = np.repeat(rng.standard_normal(30), 5)
    scores = (values - values.mean())[:, np.newaxis]
    block = np.repeat(np.arange(30), 5)

    (half_width,) = clustered_margin(scores, np.array([[150.0]]), block)

    means = values.reshape(30, 5).mean(axis=1)
    expected = stats.t.ppf(0.975, 29) * means.std(ddof=1) / math.sqrt(30)
    assert half_width == pytest.approx(expected)
