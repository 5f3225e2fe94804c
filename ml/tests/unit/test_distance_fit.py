"""Reception against distance: recovered values, interference, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from ml.errors import RadioParameterError
from ml.espnow_emulator.distance_fit import fit_distance, measured_points, tier_losses
from ml.espnow_emulator.link_sessions import FrameOutcomes
from ml.tests.reception_logs import gilbert_chain

NUM_FRAMES = 4000
DISTANCES_M = np.linspace(5.0, 72.0, NUM_FRAMES)


def chance_of_reception(distance_m, margin_db, floor):
    """(1 - floor) Q(1.5, 1.5 10^(-margin/10)) with margin = M0 - 20 log10 d + N(0, 3 dB).

    The mean over shadowing is a plain sum over a fine grid, for distances below the break point.
    """
    shadowing_db = np.linspace(-15, 15, 601)
    weights = np.exp(-0.5 * (shadowing_db / 3.0) ** 2)
    margins_db = margin_db - 20 * np.log10(distance_m)[:, np.newaxis] + shadowing_db
    passed = special.gammaincc(1.5, 1.5 * 10 ** (-margins_db / 10))
    return (1 - floor) * (passed * weights).sum(axis=1) / weights.sum()


def outcomes_of(is_received, distance_m=DISTANCES_M):
    session = np.zeros(len(distance_m), dtype=np.int64)
    return FrameOutcomes(is_received=is_received, distance_m=distance_m, session=session)


def drawn(margin_db, floor, seed, ways=1):
    chance = chance_of_reception(DISTANCES_M, margin_db, floor) ** ways
    return outcomes_of(np.random.default_rng(seed).random(NUM_FRAMES) < chance)


def fit(outcomes, **options):
    return fit_distance(outcomes, **{"is_two_way": False, "source": "log.csv", **options})


# Binomial(20, .95) is below 16 in 1 of 390 trials, Binomial(10, .95) below 7 in 1 of 970.
@pytest.mark.parametrize(("ways", "num_logs", "fewest"), [(1, 20, 16), (2, 10, 7)])
def test_margin_and_floor_are_recovered_within_their_intervals(ways, num_logs, fewest):
    held = np.zeros(2)
    for seed in range(num_logs):
        found = fit(drawn(38.6, 0.04, seed, ways), is_two_way=ways == 2)
        margin, floor = found.margin_at_1m_db, found.floor_loss
        held += [margin.low <= 38.6 <= margin.high, floor.low <= 0.04 <= floor.high]

    assert held.min() >= fewest


def test_a_shadowing_that_lasts_is_in_the_interval():
    """One drive out and back: 134 m hold about seven shadowings of 20 m.

    Over 20 blocks alone, 9 of these 20 intervals held the margin.
    """
    num_logs, held = 20, 0
    distance_m = np.concatenate([DISTANCES_M[::2], DISTANCES_M[::-2]])
    moved_m = np.abs(np.diff(distance_m, prepend=distance_m[0]))
    for seed in range(num_logs):
        rng = np.random.default_rng(seed)
        margin_db = 38.6 - 20 * np.log10(distance_m) + walked_shadowing_db(moved_m, rng)
        passed = special.gammaincc(1.5, 1.5 * 10 ** (-margin_db / 10))
        margin = fit(outcomes_of(rng.random(NUM_FRAMES) < 0.96 * passed, distance_m))
        held += margin.margin_at_1m_db.low <= 38.6 <= margin.margin_at_1m_db.high

    # Binomial(20, .95) is below 16 in 1 of 390 trials.
    assert held >= 16


def walked_shadowing_db(moved_m, rng):
    """An Ornstein-Uhlenbeck process over the distance moved: 3 dB, 20 m."""
    kept = np.exp(-moved_m / 20.0)
    fresh = 3.0 * np.sqrt(1.0 - kept**2) * rng.standard_normal(len(moved_m))
    fresh[0] = 3.0 * rng.standard_normal()
    shadowing_db = [fresh[0]]
    for share, step_db in zip(kept[1:].tolist(), fresh[1:].tolist(), strict=True):
        shadowing_db.append(share * shadowing_db[-1] + step_db)
    return np.array(shadowing_db)


def test_independent_losses_leave_the_interference_at_zero():
    found = [fit(drawn(38.6, 0.08, seed)) for seed in range(6)]

    assert [one.interference_loss for one in found] == [0.0] * 6


def test_losses_in_bursts_become_interference():
    # 8 % in bursts of 3: r = 1/3, p = .08 / 3 / .92.
    bursts = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        spared = gilbert_chain(0.08 / 3 / 0.92, 1 / 3, NUM_FRAMES, rng)
        outcomes = drawn(38.6, 0.0, seed + 100)
        found = fit(outcomes_of(outcomes.is_received & spared))
        assert found.interference_loss == found.floor_loss.value
        bursts.append(found.mean_burst)

    # One log's mean burst scatters by a fifth, six logs' mean by 8 %.
    assert np.mean(bursts) == pytest.approx(3.0, rel=0.25)


REFUSED = [
    (np.ones(NUM_FRAMES, bool), DISTANCES_M, "all of them received"),
    (np.zeros(NUM_FRAMES, bool), DISTANCES_M, "none of them received"),
    (np.arange(499) % 9 > 0, np.linspace(5, 50, 499), "at least 500 frames.*Got 499"),
    (np.arange(600) % 9 > 0, np.linspace(10, 19, 600), "factor of 2.*10 to 19 m"),
    (np.arange(600) % 9 > 0, np.linspace(0.1, 1.9, 600), "factor of 2.*1 to 1.9 m"),
    (np.arange(900) % 9 > 0, np.linspace(2, 5, 900), "at which reception falls"),
]


@pytest.mark.parametrize(("is_received", "distance_m", "words"), REFUSED)
def test_frames_that_do_not_tell_the_values_are_refused(is_received, distance_m, words):
    with pytest.raises(RadioParameterError, match=words) as caught:
        fit(outcomes_of(is_received, distance_m))

    assert "log.csv" in str(caught.value)
    assert "--mode simple" in str(caught.value)


def test_tiers_need_200_frames_each():
    distance_m = np.repeat([10.0, 60.0, 120.0], [300, 200, 200])
    is_received = np.arange(700) % 10 != 0  # 30, 20 and 20 lost

    enough = tier_losses(outcomes_of(is_received, distance_m), (50.0, 100.0), effective_share=1.0)
    too_few = outcomes_of(is_received[1:-1], distance_m[1:-1])

    assert [tier.value for tier in enough] == pytest.approx([0.1, 0.1, 0.1])
    assert tier_losses(too_few, (50.0, 100.0), effective_share=1.0) is None


def test_a_limit_belongs_to_the_nearer_tier():
    distance_m = np.repeat([50.0, 100.0, 100.5], 200)

    tiers = tier_losses(
        outcomes_of(np.repeat([True, False, True], 200), distance_m),
        (50.0, 100.0),
        effective_share=0.5,
    )

    assert [tier.value for tier in tiers] == [0.0, 1.0, 0.0]


def test_measured_points_are_means_over_10_m():
    distance_m = np.array([1.0, 9.0, 10.0, 35.0])
    outcomes = outcomes_of(np.array([True, False, True, False]), distance_m)

    assert measured_points(outcomes, is_two_way=False) == [
        {"distance_m": 5.0, "reception": 0.5, "n": 2},
        {"distance_m": 10.0, "reception": 1.0, "n": 1},
        {"distance_m": 35.0, "reception": 0.0, "n": 1},
    ]
    assert measured_points(outcomes, is_two_way=True)[0]["reception"] == 0.707107
