"""Loss and bursts of the directed links against the closed forms of the two-state process.

Gilbert, "Capacity of a burst-noise channel" (1960): with p good -> bad and r bad -> good, the loss
is p / (p + r), the mean burst 1 / r, bursts are geometric, and the lag-1 correlation is 1 - p - r.
"""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy import stats

from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.espnow_emulator.link_kernels import (
    start_link,
    step_link,
)
from ml.tests.radio_worlds import cars_in_line, constant_loss, kernel_values

NUM_TRANSMISSIONS = 4_000_000


@njit
def fill_losses(radio_key, values, losses, sender, receiver):
    is_bad = start_link(radio_key, values, sender, receiver, 10.0)
    for transmission in range(losses.shape[0]):
        is_bad = step_link(radio_key, values, is_bad, sender, receiver, transmission, 10.0)
        losses[transmission] = is_bad


def simulated_losses(rate, mean_burst, sender=1, receiver=0):
    losses = np.zeros(NUM_TRANSMISSIONS)
    values = kernel_values(constant_loss(rate, mean_burst))
    fill_losses(np.uint64(20260), values, losses, sender, receiver)
    return losses


def burst_lengths(losses):
    edges = np.flatnonzero(np.diff(np.concatenate(([0.0], losses, [0.0]))))
    return edges[1::2] - edges[::2]


@pytest.mark.parametrize(
    ("rate", "mean_burst"),
    [(0.06, 2.2), (0.082, 1.44), (0.12, 1.6), (0.12, 5.0), (0.25, 2.2), (0.40, 5.0), (0.75, 3.0)],
)
def test_losses_have_the_loss_burst_and_correlation_asked_for(rate, mean_burst):
    losses = simulated_losses(rate, mean_burst)

    lengths = burst_lengths(losses)
    correlation = np.corrcoef(losses[:-1], losses[1:])[0, 1]

    to_good = 1.0 / mean_burst
    to_bad = rate * to_good / (1.0 - rate)
    assert losses.mean() == pytest.approx(rate, rel=0.02)
    assert lengths.mean() == pytest.approx(mean_burst, rel=0.02)
    assert correlation == pytest.approx(1.0 - to_bad - to_good, abs=0.01)


@pytest.mark.parametrize(("rate", "mean_burst"), [(0.12, 1.6), (0.40, 5.0)])
def test_burst_lengths_are_geometric(rate, mean_burst):
    lengths = burst_lengths(simulated_losses(rate, mean_burst))
    longest_class = 12

    observed = np.bincount(np.minimum(lengths, longest_class), minlength=longest_class + 1)[1:]
    shares = stats.geom.pmf(np.arange(1, longest_class), 1.0 / mean_burst)
    expected = lengths.size * np.append(shares, 1.0 - shares.sum())

    assert stats.chisquare(observed, expected).pvalue > 0.001


@pytest.mark.parametrize(("sender", "receiver"), [(2, 0), (0, 1), (1, 2)])
def test_losses_on_different_directed_links_are_independent(sender, receiver):
    one, other = simulated_losses(0.25, None), simulated_losses(0.25, None, sender, receiver)

    # 1 / sqrt(4,000,000) = 0.0005
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(0.0, abs=0.002)


def test_without_bursts_losses_are_uncorrelated():
    losses = simulated_losses(0.25, None)

    assert np.corrcoef(losses[:-1], losses[1:])[0, 1] == pytest.approx(0.0, abs=0.002)
    assert burst_lengths(losses).mean() == pytest.approx(1.0 / 0.75, rel=0.02)


@pytest.mark.parametrize("rate", [0.02, 0.082, 0.25, 0.60])
def test_independent_loss_lies_in_the_exact_binomial_interval(rate):
    emulator = RadioEmulator(constant_loss(rate, None))
    cars = cars_in_line(41, spacing_m=1.0)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    for step in range(1, 101):
        emulator.advance(2.5 * step, cars)

    counts = emulator.statistics()
    num_sent, num_lost = counts.frames_sent.sum(), (counts.frames_sent - counts.frames_delivered)
    interval = stats.binomtest(int(num_lost.sum()), int(num_sent)).proportion_ci(0.99, "exact")
    assert num_sent >= 99_900  # 40 peers at 10 Hz for 250 s
    assert interval.low <= rate <= interval.high


@pytest.mark.parametrize("num_peers", range(3, 9))
def test_delivery_from_each_of_many_peers_is_one_minus_the_loss(num_peers):
    emulator = RadioEmulator(constant_loss(0.25, 2.2))
    cars = cars_in_line(num_peers + 1)
    emulator.reset(radio_key=12, cars=cars, time_s=0.0)

    for step in range(1, 501):
        emulator.advance(10.0 * step, cars)

    counts = emulator.statistics()
    delivery = counts.frames_delivered[1:] / counts.frames_sent[1:]
    np.testing.assert_allclose(delivery, 0.75, rtol=0.02)


def test_nominal_loss_follows_the_distance_tiers():
    emulator = RadioEmulator(load_radio_parameters(None))
    cars = cars_in_line(5, spacing_m=40.0)  # peers at 40, 80, 120 and 160 m
    emulator.reset(radio_key=4, cars=cars, time_s=0.0)

    for step in range(1, 501):
        emulator.advance(10.0 * step, cars)

    counts = emulator.statistics()
    delivery = counts.frames_delivered / np.maximum(counts.frames_sent, 1)
    np.testing.assert_allclose(delivery, [0.0, 0.918, 0.88, 0.75, 0.0], rtol=0.02)
    assert counts.frames_out_of_range.tolist() == [0, 0, 0, 0, counts.frames_sent[4]]


def test_a_lossless_radio_delivers_every_frame():
    emulator = RadioEmulator(constant_loss(0.0, 1.5))
    cars = cars_in_line(4)
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(100.0, cars)

    counts = emulator.statistics()
    in_flight = counts.frames_sent - counts.frames_delivered
    assert counts.frames_sent[1:].min() >= 999
    assert in_flight.max() <= 1


def test_a_radio_that_loses_everything_delivers_nothing():
    emulator = RadioEmulator(constant_loss(1.0, None))
    cars = cars_in_line(4)
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(100.0, cars)

    assert emulator.statistics().frames_delivered.sum() == 0
