"""The age in frames held out against that of a fit of reception against distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.espnow_emulator.distance_fit import DistanceFit
from ml.espnow_emulator.distance_holdout import (
    MOST_FRAMES,
    _age_shares,
    _cycles,
    _shadowing_db,
    check_distance_fit,
)
from ml.espnow_emulator.link_fit import Estimate
from ml.espnow_emulator.link_sessions import Session
from ml.tests.reception_logs import gilbert_chain

FAR_ABOVE_DB = 110.0
NUM_LOGS, NUM_FRAMES = 20, 3000


def exactly(value):
    return Estimate(value, value, value)


def fit_of(margin_db=FAR_ABOVE_DB, floor=0.0, interference=0.0, mean_burst=None):
    return DistanceFit(
        margin_at_1m_db=exactly(margin_db), floor_loss=exactly(floor),
        interference_loss=interference, mean_burst=mean_burst, correlation=0.0,
        shadowing_correlation=0.0, correlation_error=0.01, num_frames=7000, nearest_m=10.0,
        farthest_m=20.0,
    )  # fmt: skip


def session_of(received, distance_m=None):
    """Return a session that begins and ends with a reception; it stands at 15 m by default."""
    sequence = np.flatnonzero(np.concatenate([[True], received, [True]]))
    times_ms = 100.0 * sequence
    places_m = np.full(len(sequence), 15.0) if distance_m is None else distance_m[sequence]
    return Session(sequence, times_ms, times_ms, places_m)


def num_farther(fit, to_bad, to_good, *, ways=1):
    """Return how many logs of a two-state process are farther from a fit than 95 % of its own."""
    farther = 0
    for seed in range(NUM_LOGS):
        rng = np.random.default_rng(seed)
        held_out = [session_of(gilbert_chain(to_bad, to_good, NUM_FRAMES, rng))]
        age = check_distance_fit(fit, held_out, ways=ways, rng=rng).age
        farther += age.value > age.expected
    return farther


def test_the_share_of_time_below_an_age_by_hand():
    # Cycles of 1 and 2 periods: below .5 for .5 + .5 of 3, below 1.5 for 1 + 1.5.
    shares = _age_shares(np.array([0.5, 1.5, 2.0]), np.array([1, 2]))

    assert shares == pytest.approx([1 / 3, 2.5 / 3, 1.0])
    assert _age_shares(np.array([1.0]), np.array([], dtype=np.int64)).tolist() == [0.0]


def test_cycles_begin_anew_in_each_session():
    received = np.array([True, False, True, False, True])

    assert _cycles(received, np.array([0, 0, 0, 1, 1])).tolist() == [1, 2, 2]


# Losses that no propagation has a part in: the margin is 110 dB. Binomial(20, .05) is above 4 in 1
# of 400 trials.


def test_a_true_floor_is_within_chance():
    assert num_farther(fit_of(floor=0.2), 0.2, 0.8) <= 4


def test_a_floor_of_both_ways_is_within_chance():
    # 1 - .8^2 = .36.
    assert num_farther(fit_of(floor=0.2), 0.36, 0.64, ways=2) <= 4


def test_true_interference_is_within_chance():
    # Bursts of 4: r = .25, p = .2 .25 / .8 = .0625.
    fit = fit_of(floor=0.2, interference=0.2, mean_burst=4.0)
    assert num_farther(fit, 0.0625, 0.25) <= 4


def test_another_loss_and_losses_in_bursts_are_farther():
    assert num_farther(fit_of(floor=0.2), 0.3, 0.7) == NUM_LOGS
    assert num_farther(fit_of(floor=0.2), 0.0625, 0.25) == NUM_LOGS


def test_another_margin_is_farther():
    # From 10 to 30 m and back, half a metre a frame, path loss is 20 to 30 dB: a margin of 25 dB
    # loses half of the frames, not a twentieth. 1,500 m hold 75 shadowings.
    steps = np.arange(NUM_FRAMES + 2) % 80
    distance_m = 10.0 + 0.5 * np.minimum(steps, 80 - steps)
    rng = np.random.default_rng(3)
    held_out = [session_of(gilbert_chain(0.05, 0.95, NUM_FRAMES, rng), distance_m)]

    age = check_distance_fit(fit_of(margin_db=25.0), held_out, ways=1, rng=rng).age

    assert age.value > 2.0 * age.expected


def test_shadowing_lasts_for_metres_and_begins_anew_in_each_session():
    distance_m = 10.0 + 5.0 * np.arange(2000)
    session = np.repeat([0, 1], 1000)

    values_db = _shadowing_db(distance_m, session, np.random.default_rng(1))

    # Standard deviation 3 dB; 5 m of 20: exp(-.25) = .779. 100 draws of about 250 shadowings.
    assert values_db.std() == pytest.approx(3.0, rel=0.03)
    products = (values_db[:, 1:] * values_db[:, :-1]).mean(axis=0) / 9.0
    assert np.delete(products, 999).mean() == pytest.approx(math.exp(-0.25), abs=0.02)
    assert abs(products[999]) < 0.4  # of 100 independent pairs: four standard errors


def test_too_few_frames_are_not_compared_and_no_more_than_the_most():
    rng = np.random.default_rng(2)
    few, many = np.ones(20, dtype=bool), np.ones(MOST_FRAMES + 100, dtype=bool)

    assert check_distance_fit(fit_of(), [session_of(few)], ways=1, rng=rng) is None
    check = check_distance_fit(fit_of(), [session_of(many)], ways=1, rng=rng)
    assert check.num_frames == MOST_FRAMES
    assert check.age.value == pytest.approx(0.0, abs=1e-9)
