"""Each measured link, replayed from its preset, gives back its loss, its bursts and its age.

The expected loss and mean burst are the recordings' own, the age is the closed form of a periodic
sender over a two-state link with the fitted probabilities p (good to bad) and r (bad to good).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.tests.radio_worlds import cars_in_line
from ml.types import CAR_X, CAR_Y, HEARD_SEQUENCE_GAP, HEARD_TIME_SINCE_RECEPTION

PERIOD_MS = 100.0
# max(2.056, N(3.5, 2.364)): 2.056 + 2.364 (phi(z) + z Phi(z)) with z = (3.5 - 2.056) / 2.364
# = .611, phi = .331, Phi = .729: 2.056 + 2.364 * .777
MEAN_LATENCY_MS = 3.89
NUM_PEERS = 8
# Not a divisor of the period, and short enough that two frames of a car never fall into one step
STEP_S = 0.0473

LINKS = [  # preset, distance [m], loss, mean burst [frames], p, r
    ("front_9m", 9.2, 0.071, 1.34, 0.0573, 0.7485),
    ("front_12m", 12.3, 0.088, 1.39, 0.0696, 0.7216),
    ("rear_9m", 9.2, 0.067, 1.13, 0.0639, 0.8850),
    ("rear_12m", 12.3, 0.022, 1.13, 0.0198, 0.8865),
    ("obstructed_21m_first_way", 21.2, 0.841, 14.8, 0.360, 0.068),
    ("obstructed_21m_second_way", 21.2, 0.861, 14.3, 0.435, 0.070),
    ("second_drive_leader_11m", 10.9, 0.148, 1.97, 0.0882, 0.5086),
    ("second_drive_second_17m", 16.8, 0.248, 2.17, 0.1516, 0.4598),
    ("third_drive_leader_16m", 16.2, 0.119, 1.65, 0.0818, 0.6068),
    ("third_drive_second_26m", 26.4, 0.226, 2.13, 0.1371, 0.4685),
]


def mean_age_ms(to_bad, to_good):
    """d + T (1 + p (2 + r) / r^2) / (2 (1 + p / r))."""
    excess = to_bad * (2.0 + to_good) / to_good**2
    return MEAN_LATENCY_MS + PERIOD_MS * (1.0 + excess) / (2.0 * (1.0 + to_bad / to_good))


def probability_of_more_ms(age_ms, to_bad, to_good):
    """P(age > A), from the renewal process of the receptions."""
    late_ms = age_ms - MEAN_LATENCY_MS
    scale_ms = PERIOD_MS * (1.0 + to_bad / to_good)
    if late_ms < PERIOD_MS:
        return 1.0 - late_ms / scale_ms
    num_periods = math.floor(late_ms / PERIOD_MS)
    rest_ms = PERIOD_MS * (1 + num_periods) - late_ms + PERIOD_MS * (1.0 - to_good) / to_good
    return to_bad * (1.0 - to_good) ** (num_periods - 1) * rest_ms / scale_ms


def p95_age_ms(to_bad, to_good):
    return brentq(
        lambda age_ms: probability_of_more_ms(age_ms, to_bad, to_good) - 0.05, 4.0, 100_000.0
    )


def replay(name, distance_m, num_steps):
    """Eight pairs of cars at one distance: loss, lengths of bursts [frames] and ages [ms]."""
    emulator = RadioEmulator(load_radio_parameters(name))
    cars = cars_in_line(1 + NUM_PEERS)
    angles_rad = 2.0 * np.pi * np.arange(NUM_PEERS) / NUM_PEERS
    cars[1:, CAR_X] = distance_m * np.cos(angles_rad)
    cars[1:, CAR_Y] = distance_m * np.sin(angles_rad)
    emulator.reset(radio_key=2024, cars=cars, time_s=0.0)
    start_s = 60.0  # every peer has been heard by then
    emulator.advance(start_s, cars)
    ages_s, gaps, since_s = np.zeros((3, num_steps, NUM_PEERS))
    for step in range(num_steps):
        emulator.advance(start_s + STEP_S * (step + 1), cars)
        ages_s[step] = emulator.true_age_s[1:]
        gaps[step] = emulator.heard[1:, HEARD_SEQUENCE_GAP]
        since_s[step] = emulator.heard[1:, HEARD_TIME_SINCE_RECEPTION]
    counts = emulator.statistics()
    loss = 1.0 - counts.frames_delivered[1:].sum() / counts.frames_sent[1:].sum()
    # A reception is new when it is younger than the step; the gap before it is the burst's length.
    lengths = gaps[(since_s < STEP_S - 1e-9) & (gaps > 0.0)]
    return loss, lengths, 1000.0 * ages_s.ravel()


@pytest.mark.parametrize("link", LINKS, ids=[link[0] for link in LINKS])
def test_a_preset_gives_back_the_measured_link(link):
    name, distance_m, loss, mean_burst, to_bad, to_good = link

    replayed_loss, lengths, ages_ms = replay(name, distance_m, num_steps=150_000)

    # 56,800 s of frames: the rarest bursts (2.2 % of 567,600 / 1.13) number 11,000, 1 % of error.
    assert replayed_loss == pytest.approx(loss, rel=0.04)
    assert lengths.mean() == pytest.approx(mean_burst, rel=0.03)
    assert ages_ms.mean() == pytest.approx(mean_age_ms(to_bad, to_good), rel=0.05)
    assert np.quantile(ages_ms, 0.95) == pytest.approx(p95_age_ms(to_bad, to_good), rel=0.05)


@pytest.mark.parametrize(
    ("loss", "mean_burst", "mean_ms", "p95_ms"),
    [(0.06, 2.2, 67.2, 140.7), (0.12, 5.0, 114.0, 497.1), (0.40, 5.0, 254.0, 1038.3)],
)
def test_the_closed_forms_of_this_file_give_the_tabulated_ages(loss, mean_burst, mean_ms, p95_ms):
    to_good = 1.0 / mean_burst
    to_bad = loss * to_good / (1.0 - loss)
    correction_ms = 4.0 - MEAN_LATENCY_MS  # the table has a latency of 4 ms

    assert mean_age_ms(to_bad, to_good) + correction_ms == pytest.approx(mean_ms, abs=0.06)
    assert p95_age_ms(to_bad, to_good) + correction_ms == pytest.approx(p95_ms, abs=0.06)
