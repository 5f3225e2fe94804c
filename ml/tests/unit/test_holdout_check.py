"""The age and the bursts of a log against those of a fitted two-state process."""

from __future__ import annotations

import numpy as np
import pytest

from ml.espnow_emulator.holdout_check import (
    Delays,
    age_distribution,
    age_grid_ms,
    burst_distance,
    expected_distances,
    modelled_ages,
)
from ml.tests.reception_logs import gilbert_gaps


def ages_of(gaps, period_ms=100.0, delay_ms=4.0):
    """Return the ages at reception and the times until the next, of a punctual sender."""
    return np.full(len(gaps), delay_ms), (gaps + 1) * period_ms


def test_the_age_of_a_punctual_sender_is_uniform_over_the_period():
    shares = age_distribution(np.array([0.0, 29.0, 79.0, 104.0, 500.0]), *ages_of(np.zeros(7)))

    assert shares == pytest.approx([0.0, 0.25, 0.75, 1.0, 1.0])


def test_the_age_after_a_loss_by_hand():
    # 100 ms at 0 to 100, then 200 ms at 0 to 200: of 300 ms, age <= 150 for 100 + 150.
    starts, lengths = ages_of(np.array([0, 1]), delay_ms=0.0)

    assert age_distribution(np.array([50.0, 150.0]), starts, lengths) == pytest.approx(
        [100 / 300, 250 / 300]
    )


def test_the_shares_agree_with_samples_on_a_fine_clock():
    rng = np.random.default_rng(2)
    starts, lengths = rng.uniform(1, 9, 40), rng.uniform(50, 400, 40)
    ages = np.concatenate([s + np.arange(0.005, n, 0.01) for s, n in zip(starts, lengths)])  # noqa: B905
    levels = age_grid_ms(100.0, 400.0)

    shares = age_distribution(levels, starts, lengths)

    assert shares == pytest.approx([(ages <= level).mean() for level in levels], abs=1e-4)


def test_a_long_log_of_a_process_has_the_ages_of_its_closed_form():
    gaps = gilbert_gaps(0.1, 0.5, 300_000, np.random.default_rng(1))
    levels = age_grid_ms(100.0, 1500.0)

    difference = age_distribution(levels, *ages_of(gaps)) - modelled_ages(
        levels, 0.1, 0.5, delays=Delays(np.array([4.0]), np.array([4.0])), period_ms=100.0
    )

    assert np.abs(difference).max() < 0.005


def test_late_frames_smear_the_age_as_in_a_log_of_them():
    rng = np.random.default_rng(3)
    gaps = gilbert_gaps(0.1, 0.5, 300_000, rng)
    late_ms, sent_late_ms = rng.gamma(2.0, 4.0, len(gaps) + 1), rng.uniform(0, 20, len(gaps) + 1)
    lengths = (gaps + 1) * 100.0 + np.diff(late_ms + sent_late_ms)
    ends_ms = late_ms[1:] + np.diff(sent_late_ms)
    levels = age_grid_ms(100.0, 1500.0)

    shares = age_distribution(levels, late_ms[:-1], lengths)
    delays = Delays.of(late_ms[:-1], ends_ms)
    difference = shares - modelled_ages(levels, 0.1, 0.5, delays=delays, period_ms=100.0)

    # With the mean delay alone it is .021, without the lateness at sending .010.
    assert np.abs(difference).max() < 0.004


def test_ages_are_compared_every_10_ms_of_a_10_hz_sender():
    levels = age_grid_ms(100.0, 3300.0)

    assert np.diff(levels[:301]) == pytest.approx(10.0)
    assert levels[301:].tolist() == [3100.0, 3200.0, 3300.0]


def test_the_distance_of_burst_lengths_by_hand():
    # Bursts 1, 1, 1, 3 against r = .5: shares .75, .75, 1 and .5, .75, .875.
    assert burst_distance(np.array([90, 3, 0, 1]), 0.5) == pytest.approx(0.25)
    assert burst_distance(np.array([90]), 0.5) == 0.0


@pytest.mark.parametrize("process", [(0.0688, 0.6944), (0.36, 0.068)])
def test_a_true_model_is_farther_than_expected_in_1_of_20_logs(process):
    num_logs, farther = 100, np.zeros(2)
    for seed in range(num_logs):
        rng = np.random.default_rng(seed)
        fitted, held_out = gilbert_gaps(*process, 1500, rng), gilbert_gaps(*process, 700, rng)
        to_bad, to_good = (np.count_nonzero(fitted) / n for n in (len(fitted), fitted.sum()))
        levels = age_grid_ms(100.0, 100.0 * (held_out.max() + 2))
        shares = age_distribution(levels, *ages_of(held_out, delay_ms=0.0))
        model = modelled_ages(levels, to_bad, to_good, period_ms=100.0)
        expected = expected_distances((to_bad, to_good), len(fitted), len(held_out), rng=rng)
        bursts = burst_distance(np.bincount(held_out), to_good)
        farther += [np.abs(shares - model).max() > expected[0], bursts > expected[1]]

    # Binomial(100, .05) is above 12 in 1 of 700 trials; the fit's own error adds a little.
    assert farther.max() <= 12


def test_a_process_without_losses_is_expected_to_have_none():
    age, bursts = expected_distances((0.0, 1.0), 100, 100, rng=np.random.default_rng(0))

    assert (age, bursts) == (pytest.approx(0.0, abs=1e-9), 0.0)
