"""Closed forms of a parameter file: published tables, limits, a second implementation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from ml.espnow_emulator.closed_forms import reception_probability
from ml.espnow_emulator.parameter_sections import LatencyParameters, PacketLossParameters
from ml.espnow_emulator.parameters import RadioParameters, load_radio_parameters
from ml.espnow_emulator.radio_expectations import (
    expected_collisions,
    expected_latency_ms,
    expected_link,
    expected_reception,
    frame_airtime_us,
    reach_m,
)
from ml.tests.radio_worlds import constant_loss
from ml.tests.two_state_links import received_frames

DELAY_MS = 4.0
IN_CAR = load_radio_parameters("in_car_long_range")
ROOF = load_radio_parameters("roof")

# Loss, mean burst; mean, peak, 95 % and 99 % of the age [ms] and P(age > 500 ms), for a period of
# 100 ms and a delay of 4 ms: the published closed form of a two-state process.
AGES = [
    (0.06, 1 / 0.94, 60.4, 110.4, 121.7, 192.7, 1e-6),
    (0.06, 2.2, 67.2, 110.4, 140.7, 400.8, 0.0055),
    (0.12, 1.6, 73.2, 117.6, 197.3, 369.2, 0.0025),
    (0.12, 5.0, 114.0, 117.6, 497.1, 1218.9, 0.0496),
    (0.25, 2.2, 109.0, 137.3, 376.1, 641.7, 0.0229),
    (0.40, 5.0, 254.0, 170.7, 1038.3, 1759.9, 0.165),
]


def physical(**changes):
    return dataclasses.replace(ROOF, physical=dataclasses.replace(ROOF.physical, **changes))


@pytest.mark.parametrize(("loss", "burst", "mean", "peak", "p95", "p99", "above_500"), AGES)
def test_ages_are_those_of_the_table(*, loss, burst, mean, peak, p95, p99, above_500):
    form = expected_link(constant_loss(loss, burst), 20.0)

    assert form.loss == pytest.approx(loss)
    assert form.mean_burst == pytest.approx(burst)
    assert form.mean_age_ms(DELAY_MS) == pytest.approx(mean, abs=0.06)
    assert form.peak_age_ms(DELAY_MS) == pytest.approx(peak, abs=0.06)
    assert form.age_quantile_ms(0.95, DELAY_MS) == pytest.approx(p95, abs=0.06)
    assert form.age_quantile_ms(0.99, DELAY_MS) == pytest.approx(p99, abs=0.06)
    above = form.age_exceedance(np.array([500.0]), DELAY_MS)[0]
    assert above == pytest.approx(above_500, rel=0.02, abs=5e-7)


def test_ages_without_losses_are_uniform_over_a_period():
    form = expected_link(constant_loss(0.0, None), 20.0)

    ages_ms = np.array([0.0, 4.0, 29.0, 103.0, 104.0, 500.0])
    expected = [1.0, 1.0, 0.75, 0.01, 0.0, 0.0]
    assert form.age_exceedance(ages_ms, DELAY_MS) == pytest.approx(expected)
    assert (form.loss, form.mean_burst) == (0.0, 0.0)
    assert (form.mean_age_ms(DELAY_MS), form.peak_age_ms(DELAY_MS)) == pytest.approx((54.0, 104.0))


def test_bursts_of_a_two_state_process_are_geometric():
    form = expected_link(constant_loss(0.12, 5.0), 20.0)

    assert form.burst_exceedance(4) == pytest.approx([1.0, 0.8, 0.64, 0.512])


def test_a_link_without_losses_has_no_bursts():
    form = expected_link(constant_loss(0.0, None), 20.0)

    assert form.burst_exceedance(3).tolist() == [0.0, 0.0, 0.0]


def test_fading_and_interference_together_lose_what_a_chain_of_frames_loses():
    # In the open at 300 m with interference: 120 shadowings of 3 dB, frame by frame.
    parameters = dataclasses.replace(
        physical(interference_loss=0.12),
        burst_loss=dataclasses.replace(ROOF.burst_loss, mean_burst_length=3.0),
    )
    form = expected_link(parameters, 300.0)
    quantiles = (np.arange(120) + 0.5) / 120.0
    fading = 1.0 - np.array([
        reception_probability(300.0, 66.0 + 3.0 * z, shadowing_std_db=0.0)
        for z in stats.norm.ppf(quantiles)
    ])  # fmt: skip
    to_good = 1.0 / 3.0
    to_bad = 0.12 * to_good / 0.88

    received = received_frames(to_bad, to_good, fading, 20_000, np.random.default_rng(3))

    assert form.loss == pytest.approx(1.0 - received.mean(), abs=0.005)
    begins = received[:, :-1] & ~received[:, 1:]
    assert form.mean_burst == pytest.approx((~received).sum() / begins.sum(), rel=0.02)


def test_a_link_beyond_the_range_has_no_closed_form():
    assert expected_link(constant_loss(0.1, 2.0), 151.0) is None


@pytest.mark.parametrize(
    ("distance_m", "reception"), [(10, 0.956), (20, 0.934), (30, 0.883), (50, 0.713), (60, 0.614)]
)
def test_reception_in_cabins_is_that_of_the_table(distance_m, reception):
    assert expected_reception(IN_CAR, [distance_m]) == pytest.approx([reception], abs=5e-4)
    assert 1.0 - expected_link(IN_CAR, distance_m).loss == pytest.approx(reception, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "distance_m", "reception"),
    [("roof", 150, 0.940), ("roof", 300, 0.60), ("roof_long_range", 450, 0.894),
     ("roof_long_range", 900, 0.40)],
)  # fmt: skip
def test_reception_in_the_open_passes_through_the_published_points(name, distance_m, reception):
    parameters = load_radio_parameters(name)

    assert expected_reception(parameters, [distance_m]) == pytest.approx([reception], abs=0.005)


def test_interference_takes_its_share_of_every_distance():
    clear, disturbed = ROOF, physical(interference_loss=0.25)

    distances_m = [50.0, 300.0]
    assert expected_reception(disturbed, distances_m) == pytest.approx(
        0.75 * expected_reception(clear, distances_m)
    )


def test_simple_reception_has_the_tiers_and_the_range():
    loss = PacketLossParameters(
        base_rate=0.1, distance_threshold_1=50.0, distance_threshold_2=100.0, rate_tier_1=0.1,
        rate_tier_2=0.2, rate_tier_3=0.3, max_range_m=150.0,
    )  # fmt: skip

    received = expected_reception(
        RadioParameters(packet_loss=loss), [10.0, 50.0, 50.1, 100.1, 150.0, 150.1]
    )

    assert received == pytest.approx([0.9, 0.9, 0.8, 0.7, 0.7, 0.0])


@pytest.mark.parametrize(("num_senders", "of_all"), [(3, 0.0208), (6, 0.0994), (10, 0.2019)])
def test_aligned_collisions_are_the_published_ones_shared_by_all_but_the_first(num_senders, of_all):
    aligned = physical(aligned_phases=True, stack_range_ms=(0.5, 0.5))

    of_others = of_all * num_senders / (num_senders - 1)
    assert expected_collisions(aligned, num_senders) == pytest.approx(of_others, abs=1e-4)


@pytest.mark.parametrize(
    "parameters", [ROOF, physical(aligned_phases=True), physical(stack_range_ms=(0.5, 0.5))]
)
def test_there_is_no_closed_form_of_collisions_at_other_instants(parameters):
    assert expected_collisions(parameters, 10) is None


def test_airtime_is_that_of_the_file_or_of_ninety_bytes():
    assert frame_airtime_us(RadioParameters()) == 1256.0
    assert frame_airtime_us(physical(payload_bytes=250)) == 2536.0


def test_latency_clamped_at_the_floor_is_the_mean_of_the_clamped_normal():
    # max(0, N(0, s)) has the mean s / sqrt(2 pi); the floor is 1.256 ms + 0.8 ms.
    latency = LatencyParameters(base_ms=2.056, distance_factor=0.0, jitter_std_ms=3.0)

    expected = 2.056 + 3.0 / math.sqrt(2.0 * math.pi)
    assert expected_latency_ms(RadioParameters(latency=latency), 10.0) == pytest.approx(expected)


@pytest.mark.parametrize(("base_ms", "expected_ms"), [(4.0, 6.0), (0.5, 2.5), (0.0, 2.056)])
def test_latency_without_jitter_is_base_and_distance_above_the_floor(base_ms, expected_ms):
    latency = LatencyParameters(base_ms=base_ms, distance_factor=0.1, jitter_std_ms=0.0)
    distance_m = 0.0 if base_ms == 0.0 else 20.0

    shown_ms = expected_latency_ms(RadioParameters(latency=latency), distance_m)

    assert shown_ms == pytest.approx(expected_ms)


def test_physical_latency_adds_stacks_airtime_and_the_wait_for_one_other():
    # Stacks 1.4 ms, airtime 1.256 ms; busy 1.306 ms: 1.306 (0.653 + 0.31) / 100 ms.
    assert expected_latency_ms(ROOF, 20.0) == pytest.approx(1.4 + 1.256 + 0.01258, abs=1e-4)


def test_the_reach_is_the_range_or_where_a_fiftieth_is_received():
    assert reach_m(constant_loss(0.1, 2.0)) == 150.0
    reach = reach_m(ROOF)
    assert expected_reception(ROOF, [reach])[0] == pytest.approx(0.02, abs=0.004)  # steps of 2 %


def test_rare_shadows_govern_where_the_mean_age_hangs_on_the_deepest():
    deep, none = physical(shadowing_std_db=12.0), physical(shadowing_std_db=0.0)

    assert expected_link(deep, 300.0).is_governed_by_rare_shadows
    assert not expected_link(none, 150.0).is_governed_by_rare_shadows
