"""What is read off the emulator for the report: counts, gaps, ages and collisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ml.espnow_emulator.parameters import RadioParameters, load_radio_parameters
from ml.espnow_emulator.radio_samples import (
    radio_alone,
    sample_channel,
    sample_link,
    sample_reception,
)
from ml.tests.radio_worlds import constant_loss

NO_TICK = [].append
ROOF = load_radio_parameters("roof")


@pytest.fixture(scope="module")
def lossy():
    return sample_link(
        constant_loss(0.12, 3.0), 20.0, 4000, warm_up_frames=60, seed=1, tick=NO_TICK
    )


@pytest.fixture(scope="module")
def lossless():
    return sample_link(
        constant_loss(0.0, None), 20.0, 2000, warm_up_frames=20, seed=1, tick=NO_TICK
    )


def test_a_link_without_loss_gives_ages_between_latency_and_a_period_more(lossless):
    ages_ms = np.concatenate(lossless.ages_ms)

    # 4 ms of latency, 100 ms between frames, and 2 ms of jitter in the sender's clock.
    assert ages_ms.min() >= 4.0
    assert ages_ms.max() <= 4.0 + 100.0 + 2.1
    assert np.concatenate(lossless.bursts).size == 0
    assert np.concatenate(lossless.latencies_ms) == pytest.approx(4.0)
    assert lossless.num_received.sum() == pytest.approx(lossless.num_sent.sum(), abs=100)


def test_a_peak_age_is_the_latency_and_the_frames_since_the_one_before(lossless):
    peaks_ms = np.concatenate(lossless.peak_ages_ms)

    assert peaks_ms == pytest.approx(104.0, abs=2.1)
    assert peaks_ms.mean() == pytest.approx(104.0, abs=0.05)


def test_every_gap_is_a_run_of_frames_that_did_not_come(lossy):
    num_lost = sum(int(lengths.sum()) for lengths in lossy.bursts)

    assert min(int(lengths.min(initial=1)) for lengths in lossy.bursts) == 1
    # Runs that reach over a world's ends differ: of 200 worlds with runs of 3 frames, few.
    assert num_lost == pytest.approx((lossy.num_sent - lossy.num_received).sum(), rel=0.15)


def test_every_step_of_every_world_has_an_age_or_is_counted_as_unheard(lossy):
    counts = [len(ages) for ages in lossy.ages_ms] + lossy.num_unheard

    assert counts.tolist() == [200] * 200  # 4000 frames in worlds of 20, 10 steps a frame


def test_nothing_heard_at_all_is_unheard_everywhere():
    silent = sample_link(
        constant_loss(0.0, None), 200.0, 400, warm_up_frames=5, seed=1, tick=NO_TICK
    )

    assert silent.num_received.sum() == 0
    assert silent.num_unheard.tolist() == [200] * 20


@pytest.mark.parametrize(("distance_m", "share"), [(20.0, 1.0), (200.0, 0.0)])
def test_reception_counts_what_reaches_the_ego(distance_m, share):
    sample = sample_reception(constant_loss(0.0, None), distance_m, 100, seed=1, tick=NO_TICK)

    # A phase in the 100 ms and up to 2 ms of jitter: about 1 of 100 worlds sends nothing.
    assert 95 <= sample.num_sent <= 100
    assert sample.num_received == share * sample.num_sent


def test_aligned_senders_collide_as_the_published_share_of_the_others():
    physical = dataclasses.replace(ROOF.physical, aligned_phases=True, stack_range_ms=(0.5, 0.5))

    sample = sample_channel(
        dataclasses.replace(ROOF, physical=physical), 10, 20_000, seed=1, tick=NO_TICK
    )

    # 20.19 % of 10 senders' frames, none of them the ego's, which is asked first.
    share = sample.num_collided.sum() / sample.num_on_air.sum()
    assert share == pytest.approx(0.2019 * 10 / 9, abs=0.005)


def test_two_senders_with_phases_of_their_own_hardly_collide():
    sample = sample_channel(ROOF, 2, 5000, seed=1, tick=NO_TICK)

    assert len(sample.num_on_air) == 100
    assert sample.num_on_air.sum() == pytest.approx(5000, abs=100)
    assert sample.num_collided.sum() == 0


def test_the_radio_alone_has_no_sensors_relays_or_gate():
    alone = radio_alone(dataclasses.replace(RadioParameters(), gps=ROOF.gps))

    assert alone.gps.rate_hz == 0.0
    assert alone.relay.max_relay_hops == 0
    assert alone.receiver.plausibility_gate_m == 0.0


def test_the_same_seed_gives_the_same_samples():
    first, second, other = (
        sample_link(ROOF, 150.0, 400, warm_up_frames=20, seed=seed, tick=NO_TICK).ages_ms
        for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))
    assert not np.array_equal(np.concatenate(first), np.concatenate(other))


def test_progress_is_told_the_frames_of_every_world():
    told = []

    sample_link(ROOF, 150.0, 400, warm_up_frames=20, seed=1, tick=told.append)

    assert told == [20] * 20
