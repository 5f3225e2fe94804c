"""The closed forms against published values, hand arithmetic and numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate
from scipy.optimize import brentq

from ml.espnow_emulator.closed_forms import (
    age_exceedance,
    aligned_collision_rate,
    mean_age_ms,
    path_loss_db,
    peak_age_ms,
    reception_probability,
)

AGE_TABLE = [  # loss, mean burst, mean, peak, p95, p99 [ms], P(age > 500 ms); delay 4, period 100
    (0.00, 1.0, 54.0, 104.0, 99.0, 103.0, 0.0),
    (0.06, 1.0 / 0.94, 60.4, 110.4, 121.7, 192.7, 1e-6),
    (0.06, 2.2, 67.2, 110.4, 140.7, 400.8, 0.0055),
    (0.12, 1.6, 73.2, 117.6, 197.3, 369.2, 0.0025),
    (0.12, 5.0, 114.0, 117.6, 497.1, 1218.9, 0.0496),
    (0.25, 2.2, 109.0, 137.3, 376.1, 641.7, 0.0229),
    (0.40, 5.0, 254.0, 170.7, 1038.3, 1759.9, 0.165),
]


# --- Collisions --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("num_senders", "share"), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0208), (6, 0.0994), (10, 0.2019)]
)
def test_aligned_frames_collide_as_published(num_senders, share):
    assert aligned_collision_rate(num_senders) == pytest.approx(share, abs=5e-5)


# --- Path loss ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("distance_m", "loss_db"),
    [
        (0.3, 0.0),  # below 1 m counts as 1 m
        (1.0, 0.0),
        (10.0, 20.0),
        (73.0, 37.266),  # 20 * 1.86332
        (146.0, 49.308),  # 37.266 + 40 * .30103
        (730.0, 77.266),
    ],
)
def test_path_loss_is_20_db_a_decade_to_the_break_point_and_40_beyond(distance_m, loss_db):
    assert float(path_loss_db(distance_m)) == pytest.approx(loss_db, abs=5e-4)


def test_path_loss_keeps_the_shape_of_the_distances():
    assert path_loss_db(np.ones((2, 3))).shape == (2, 3)


# --- Reception ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("distance_m", "margin_db", "floor_loss", "reception"),
    [
        (10.0, 38.6, 0.04, 0.956),
        (20.0, 38.6, 0.04, 0.934),
        (30.0, 38.6, 0.04, 0.883),
        (50.0, 38.6, 0.04, 0.713),
        (60.0, 38.6, 0.04, 0.614),
        (300.0, 66.0, 0.0, 0.60),
        (150.0, 66.0, 0.0, 0.940),
        (900.0, 81.7, 0.0, 0.40),
        (450.0, 81.7, 0.0, 0.894),
    ],
)
def test_reception_is_that_of_the_published_points(distance_m, margin_db, floor_loss, reception):
    model = reception_probability(distance_m, margin_db, floor_loss=floor_loss)

    assert float(model) == pytest.approx(reception, abs=0.005)


def reception_by_integration(distance_m, margin_db, std_db, shape):
    """Mean over normal shadowing and over the gamma density of the fading power, both by quad."""

    def passed(shadowing_db):
        least = 10.0 ** (-(margin_db - 20.0 * math.log10(distance_m) + shadowing_db) / 10.0)
        return integrate.quad(
            lambda power: shape**shape * power ** (shape - 1.0) * math.exp(-shape * power),
            least,
            60.0,
            points=[1.0] if least < 1.0 else None,
        )[0] / math.gamma(shape)

    def weighed(shadowing_db):
        density = math.exp(-0.5 * (shadowing_db / std_db) ** 2)
        return density / (std_db * math.sqrt(2.0 * math.pi)) * passed(shadowing_db)

    return integrate.quad(weighed, -7.0 * std_db, 7.0 * std_db)[0]


@pytest.mark.parametrize(
    ("distance_m", "std_db", "shape"),
    [(20.0, 3.0, 1.5), (50.0, 3.0, 1.5), (50.0, 2.0, 1.0), (65.0, 4.0, 3.0)],
)
def test_reception_is_the_integral_over_shadowing_and_fading(distance_m, std_db, shape):
    model = reception_probability(distance_m, 38.6, shadowing_std_db=std_db, fading_m=shape)

    expected = reception_by_integration(distance_m, 38.6, std_db, shape)
    assert float(model) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("margin_db", "floor_loss"), [(38.6, 0.04), (66.0, 0.0), (81.7, 0.0)])
def test_reception_falls_with_distance_but_for_a_small_step_where_the_fading_changes(
    margin_db, floor_loss
):
    near_m, far_m = np.arange(1.0, 80.5, 0.5), np.arange(80.5, 2000.0, 0.5)

    near = reception_probability(near_m, margin_db, floor_loss=floor_loss)
    far = reception_probability(far_m, margin_db, floor_loss=floor_loss)

    assert np.diff(near).max() <= 1e-12
    assert np.diff(far).max() <= 1e-12
    assert far[0] - near[-1] <= 0.015


@pytest.mark.parametrize("distance_m", [5.0, 10.0, 15.0, 23.0])
def test_a_blocking_car_of_10_db_is_3162_times_the_distance(distance_m):
    blocked = reception_probability(distance_m, 38.6, floor_loss=0.04, obstruction_db=10.0)
    farther = reception_probability(math.sqrt(10.0) * distance_m, 38.6, floor_loss=0.04)

    assert float(blocked) == pytest.approx(float(farther), abs=1e-9)


def test_the_floor_is_lost_at_any_distance():
    model = reception_probability(np.array([1.0, 5.0]), 200.0, floor_loss=0.04)

    np.testing.assert_allclose(model, 0.96, rtol=1e-12)


# --- Age ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("row", AGE_TABLE)
def test_mean_and_peak_age_are_those_of_the_published_table(row):
    loss, mean_burst, mean, peak, *_ = row

    assert mean_age_ms(loss, mean_burst, delay_ms=4.0) == pytest.approx(mean, abs=0.06)
    assert peak_age_ms(loss, delay_ms=4.0) == pytest.approx(peak, abs=0.06)


def age_exceeded_ms(share, loss, mean_burst):
    return brentq(
        lambda age_ms: float(age_exceedance(age_ms, loss, mean_burst, delay_ms=4.0)) - share,
        4.0,
        1e5,
    )


@pytest.mark.parametrize("row", AGE_TABLE)
def test_the_distribution_of_the_age_is_that_of_the_published_table(row):
    loss, mean_burst, _, _, p95, p99, above_500 = row

    assert age_exceeded_ms(0.05, loss, mean_burst) == pytest.approx(p95, abs=0.06)
    assert age_exceeded_ms(0.01, loss, mean_burst) == pytest.approx(p99, abs=0.06)
    exceedance = age_exceedance(500.0, loss, mean_burst, delay_ms=4.0)
    assert float(exceedance) == pytest.approx(above_500, rel=0.015, abs=5e-7)


@pytest.mark.parametrize("row", AGE_TABLE[1:])
def test_the_integral_of_the_exceedance_is_the_mean_age(row):
    loss, mean_burst, mean, *_ = row
    ages_ms = np.arange(0.5, 30_000.0)  # middles of 1 ms

    total_ms = age_exceedance(ages_ms, loss, mean_burst, delay_ms=4.0).sum()

    assert total_ms == pytest.approx(mean, abs=0.1)


def test_no_age_is_below_the_delay():
    assert age_exceedance(np.array([0.0, 3.9]), 0.2, 2.0, delay_ms=4.0).tolist() == [1.0, 1.0]


def test_independent_losses_give_the_closed_form_of_a_geometric_gap():
    # E[Y^2] / (2 E[Y]) of geometric gaps of success 1 - q: T (1 + q) / (2 (1 - q)), at q = .2: 75
    assert mean_age_ms(0.2, 1.25) == pytest.approx(75.0)
