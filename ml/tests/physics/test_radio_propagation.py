"""Reception on a link: path loss, cars in the way, shadowing, fading.

PL = 20 log10 d up to 73 m, 40 dB a decade beyond (Sommer et al.); margin = M0 - PL - obstruction;
reception = (1 - floor) Q(m, m 10^(-margin / 10)), the share of a Nakagami-m power of mean 1 above
what decoding needs, m = 1.5 up to 80 m and 0.75 beyond, averaged over N(0, 3 dB) of shadowing.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit
from scipy import integrate, special, stats

from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.espnow_emulator.propagation_kernels import (
    count_obstructing,
    decoding_probability,
    is_in_the_way,
    mean_margin_db,
    update_shadowing,
    upper_gamma_share,
)
from ml.espnow_emulator.radio_layout import LINK_SHADOWING
from ml.tests.physical_worlds import (
    cars_at,
    mean_reception,
    physical_mode,
    ring_of_cars,
)
from ml.tests.radio_worlds import kernel_values
from ml.types import CAR_HEADING, CAR_LENGTH, CAR_X, CAR_Y, NUM_CAR_FIELDS

IN_CAR = {"margin_at_1m_db": 38.6, "floor_loss": 0.04, "shadowing_std_db": 3.0}
ROOF = {"margin_at_1m_db": 66.0, "shadowing_std_db": 3.0}
ROOF_LONG_RANGE = {"margin_at_1m_db": 81.7, "shadowing_std_db": 3.0}
PUBLISHED_POINTS = [
    (IN_CAR, 10.0, 0.956),
    (IN_CAR, 20.0, 0.934),
    (IN_CAR, 30.0, 0.883),
    (IN_CAR, 50.0, 0.713),
    (IN_CAR, 60.0, 0.614),
    (ROOF, 150.0, 0.940),
    (ROOF, 300.0, 0.60),
    (ROOF_LONG_RANGE, 450.0, 0.894),
    (ROOF_LONG_RANGE, 900.0, 0.40),
]


def share_delivered(parameters, cars, num_episodes=300, seconds=3.0):
    """Share of each peer's frames that the ego's radio decodes, over episodes of cars at rest."""
    emulator = RadioEmulator(parameters)
    num_sent, num_delivered = np.zeros((2, cars.shape[0]))
    for radio_key in range(num_episodes):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(seconds, cars)
        num_sent += emulator.statistics().frames_sent
        num_delivered += emulator.statistics().frames_delivered
    return num_delivered[1:] / num_sent[1:]


# --- Reception against distance ----------------------------------------------------------------
@pytest.mark.parametrize(("link", "distance_m", "reception"), PUBLISHED_POINTS)
def test_the_kernels_reception_is_that_of_the_published_points(link, distance_m, reception):
    values = kernel_values(physical_mode(**link))

    assert mean_reception(values, distance_m) == pytest.approx(reception, abs=0.005)


@pytest.mark.parametrize(("link", "distance_m", "reception"), PUBLISHED_POINTS)
def test_so_many_frames_are_decoded_at_each_of_the_published_points(link, distance_m, reception):
    # 2400 links with a shadowing each, 30 frames on each: .004 is one standard error at most.
    parameters = physical_mode(**link, carrier_sense_range_m=10_000.0)  # no hidden stations

    shares = share_delivered(parameters, ring_of_cars(8, distance_m))

    assert shares.mean() == pytest.approx(reception, abs=0.02)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("in_car_long_range", [(10.0, 0.956), (20.0, 0.934), (30.0, 0.883), (60.0, 0.614)]),
        ("roof", [(150.0, 0.940), (300.0, 0.60)]),
        ("roof_long_range", [(450.0, 0.894), (900.0, 0.40)]),
    ],
)
def test_an_installations_preset_passes_through_its_published_points(name, points):
    values = kernel_values(load_radio_parameters(name))

    receptions = [mean_reception(values, distance_m) for distance_m, _ in points]

    assert receptions == pytest.approx([reception for _, reception in points], abs=0.02)


def test_the_slow_rate_in_the_cabin_lies_between_the_ends_of_its_margin():
    # In-car at 1 Mbit/s: a margin of 20 to 26 dB, that is, between the in-car long-range link
    # (38.6 dB) at 10^(18.6 / 20) = 8.5 and 10^(12.6 / 20) = 4.27 times the distance.
    long_range = kernel_values(physical_mode(**IN_CAR))
    values = kernel_values(load_radio_parameters("in_car"))

    reception = mean_reception(values, 6.0)

    assert mean_reception(long_range, 6.0 * 8.51) < reception
    assert reception < mean_reception(long_range, 6.0 * 4.27)


@pytest.mark.parametrize(
    ("distance_m", "margin_db"),
    [
        (0.2, 66.0),  # below 1 m counts as 1 m
        (10.0, 46.0),
        (73.0, 28.734),
        (146.0, 16.692),  # 28.734 - 40 log10 2
        (730.0, -11.266),
    ],
)
def test_the_margin_falls_by_20_db_a_decade_and_by_40_beyond_the_break_point(distance_m, margin_db):
    values = kernel_values(physical_mode(margin_at_1m_db=66.0))

    assert mean_margin_db(values, distance_m, 0) == pytest.approx(margin_db, abs=5e-4)


@pytest.mark.parametrize("link", [IN_CAR, ROOF, ROOF_LONG_RANGE])
def test_reception_falls_with_distance_but_for_a_small_step_where_the_fading_changes(link):
    values = kernel_values(physical_mode(**link))

    near = [mean_reception(values, distance_m) for distance_m in np.arange(1.0, 80.1, 1.0)]
    far = [mean_reception(values, distance_m) for distance_m in np.arange(80.01, 1500.0, 10.0)]

    assert np.diff(near).max() < 1e-9
    assert np.diff(far).max() < 1e-9
    assert far[0] - near[-1] <= 0.015


def test_the_fading_changes_beyond_its_distance_and_not_at_it():
    values = kernel_values(physical_mode(margin_at_1m_db=38.6))

    # Margin 0 dB. Q(1.5, 1.5) = erfc(sqrt 1.5) + 2 sqrt(1.5 / pi) exp(-1.5) = .0833 + .3084
    assert decoding_probability(values, 0.0, 80.0) == pytest.approx(0.3916, abs=2e-4)
    assert decoding_probability(values, 0.0, 80.001) == pytest.approx(
        special.gammaincc(0.75, 0.75), abs=1e-9
    )


# --- Fading ------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [0.5, 0.75, 1.0, 1.5, 3.0, 7.3, 20.0])
@pytest.mark.parametrize("least_power", [0.02, 0.3, 0.98, 1.02, 3.0, 6.0])
def test_the_share_of_nakagami_powers_above_a_threshold_is_the_integral_of_their_density(
    shape, least_power
):
    density = stats.gamma(shape, scale=1.0 / shape).pdf
    expected, _ = integrate.quad(density, least_power, np.inf, epsabs=1e-12, limit=200)

    share = upper_gamma_share(shape, shape * least_power)

    assert share == pytest.approx(expected, abs=1e-8)


def test_rayleigh_fading_is_the_exponential_distribution():
    shares = [upper_gamma_share(1.0, x) for x in (0.0, 0.1, 1.0, 1.99, 2.01, 10.0, 700.0)]

    expected = np.exp([0.0, -0.1, -1.0, -1.99, -2.01, -10.0, -700.0])
    np.testing.assert_allclose(shares, expected, rtol=1e-9)


def test_the_incomplete_gamma_function_agrees_with_scipys_everywhere():
    shapes, xs = np.meshgrid(np.linspace(0.5, 20.0, 40), np.geomspace(1e-9, 1e6, 120))

    shares = [upper_gamma_share(*pair) for pair in zip(shapes.flat, xs.flat, strict=True)]

    np.testing.assert_allclose(shares, special.gammaincc(shapes, xs).ravel(), atol=1e-9)


def test_no_margin_decodes_nothing_and_a_huge_one_all_but_the_floor():
    values = kernel_values(physical_mode(floor_loss=0.04))

    assert decoding_probability(values, -200.0, 50.0) == 0.0
    assert decoding_probability(values, 200.0, 50.0) == pytest.approx(0.96, rel=1e-12)


def test_fading_is_independent_from_frame_to_frame():
    # One frame in each step. Margin 38.6 - 20 log10 30 = 9.058 dB, 1.5 * 10^-.9058 = .1863
    parameters = physical_mode(margin_at_1m_db=38.6, floor_loss=0.04, aligned_phases=True)
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(1, 30.0)
    emulator.reset(radio_key=5, cars=cars, time_s=0.0)
    emulator.advance(5.0, cars)
    num_before = emulator.statistics().frames_delivered[1]
    delivered = []
    for step in range(1, 30_001):
        emulator.advance(5.0 + 0.1 * step, cars)
        num_now = emulator.statistics().frames_delivered[1]
        delivered.append(num_now - num_before)
        num_before = num_now

    # 30,000 frames: 4 standard errors are .023
    assert np.corrcoef(delivered[:-1], delivered[1:])[0, 1] == pytest.approx(0.0, abs=0.03)
    assert np.mean(delivered) == pytest.approx(0.96 * special.gammaincc(1.5, 0.1863), abs=0.01)


# --- Cars in the way ---------------------------------------------------------------------------
def one_car(x_m, y_m, heading_deg, length_m=4.0):
    """A car with its middle at a place."""
    car = np.zeros(NUM_CAR_FIELDS)
    car[CAR_HEADING], car[CAR_LENGTH] = math.radians(heading_deg), length_m
    car[CAR_X] = x_m + 0.5 * length_m * math.cos(car[CAR_HEADING])
    car[CAR_Y] = y_m + 0.5 * length_m * math.sin(car[CAR_HEADING])
    return car


@pytest.mark.parametrize(
    ("car", "is_hit"),
    [
        # The line goes from (0, 0) to (20, 0). A car is 4 m long and 1.8 m wide.
        (one_car(10.0, 0.0, 0.0), True),
        (one_car(10.0, 0.89, 0.0), True),
        (one_car(10.0, 0.91, 0.0), False),
        (one_car(10.0, -0.91, 180.0), False),
        (one_car(10.0, 1.9, 90.0), True),  # across the road: half its length counts
        (one_car(10.0, 2.1, 90.0), False),
        (one_car(10.0, 2.0, 45.0), True),  # corner at 2 sin 45 + .9 cos 45 = 2.05 m
        (one_car(10.0, 2.1, 45.0), False),
        (one_car(21.9, 0.0, 0.0), True),  # its rear reaches 19.9 m
        (one_car(22.1, 0.0, 0.0), False),
        (one_car(-2.1, 0.0, 0.0), False),
    ],
)
def test_a_car_is_in_the_way_if_its_outline_crosses_the_line(car, is_hit):
    assert is_in_the_way(0.0, 0.0, 20.0, 0.0, car) is is_hit
    assert is_in_the_way(20.0, 0.0, 0.0, 0.0, car) is is_hit


def cars_on_an_arc(num_cars, spacing_m, radius_m):
    """Cars along a left turn, each heading along it, the middle of each on the arc."""
    angles_rad = spacing_m / radius_m * np.arange(num_cars)
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_HEADING], cars[:, CAR_LENGTH] = angles_rad, 4.5
    cars[:, CAR_X] = radius_m * np.sin(angles_rad) + 2.25 * np.cos(angles_rad)
    cars[:, CAR_Y] = radius_m * (1.0 - np.cos(angles_rad)) + 2.25 * np.sin(angles_rad)
    return cars


@pytest.mark.parametrize(
    ("radius_m", "num_obstructing"),
    [
        # The line over one car passes it at R (1 - cos(20 / R)): 3.95, 1.99, .50, .20 m; a car is
        # .9 m wide on either side, and its ends reach 2.25^2 / 2 R nearer to the line.
        (50.0, 0),
        (100.0, 0),
        (400.0, 1),
        (1000.0, 1),
    ],
)
def test_on_a_curve_the_car_between_is_out_of_the_way(radius_m, num_obstructing):
    cars = cars_on_an_arc(3, 20.0, radius_m)

    assert count_obstructing(cars, 2, 0, 2) == num_obstructing
    assert count_obstructing(cars, 0, 2, 2) == num_obstructing
    assert count_obstructing(cars, 1, 0, 2) == 0


@pytest.mark.parametrize(
    ("sender", "most", "counted"),
    [(1, 2, 0), (2, 2, 1), (3, 2, 2), (5, 2, 2), (5, 8, 4), (5, 0, 0)],
)
def test_at_most_so_many_cars_in_the_way_count(sender, most, counted):
    cars = cars_at(*[(10.0 * place, 0.0) for place in range(6)])

    assert count_obstructing(cars, sender, 0, most) == counted


def test_each_car_in_the_way_costs_the_obstruction():
    values = kernel_values(physical_mode(margin_at_1m_db=66.0, obstruction_db=7.0))

    # 66 - 20 log10 20 = 39.979
    margins_db = [mean_margin_db(values, 20.0, number) for number in (0, 1, 2)]
    assert margins_db == pytest.approx([39.979, 32.979, 25.979], abs=5e-4)


@pytest.mark.parametrize("distance_m", [5.0, 10.0, 15.0, 20.0, 23.0])
def test_a_blocking_car_of_10_db_is_3162_times_the_distance(distance_m):
    values = kernel_values(physical_mode(**IN_CAR, obstruction_db=10.0))

    blocked = mean_reception(values, distance_m, num_obstructing=1)

    assert blocked == pytest.approx(mean_reception(values, 3.162 * distance_m), abs=1e-4)


@pytest.mark.parametrize(
    ("places_m", "reception"),
    [
        # One car in the way at 19 m is as far as 60.1 m without: .614
        ([(0.0, 0.0), (9.5, 0.0), (19.0, 0.0)], 0.614),
        # The car between stands in the next lane, 3.5 m to the side: .934 at 20 m
        ([(0.0, 0.0), (10.0, 3.5), (20.0, 0.0)], 0.934),
    ],
)
def test_so_many_frames_pass_a_car_between_ego_and_sender(places_m, reception):
    parameters = physical_mode(**IN_CAR, obstruction_db=10.0)

    shares = share_delivered(parameters, cars_at(*places_m), num_episodes=2500)

    assert shares[1] == pytest.approx(reception, abs=0.02)


def test_two_cars_of_10_db_in_the_way_are_ten_times_the_distance_and_a_third_costs_nothing():
    # 20 log10 10 = 20 dB: a margin of 58.6 at 60 m over two cars is 38.6 at 60 m: .614
    parameters = physical_mode(**{**IN_CAR, "margin_at_1m_db": 58.6}, obstruction_db=10.0)
    two = cars_at(*[(20.0 * place, 0.0) for place in range(4)])
    three = cars_at(*[(15.0 * place, 0.0) for place in range(5)])

    shares_two = share_delivered(parameters, two, num_episodes=2500)
    shares_three = share_delivered(parameters, three, num_episodes=2500)

    assert shares_two[2] == pytest.approx(0.614, abs=0.02)
    assert shares_three[3] == pytest.approx(0.614, abs=0.02)


# --- Shadowing ---------------------------------------------------------------------------------
@njit
def drive_away(radio, steps_m, shadowing):
    """A sender that moves away from the ego by the steps: its link's shadowing after each."""
    link = radio.links[0, 1]
    update_shadowing(radio, link, 1, 0, 0)
    for counter in range(shadowing.size):
        radio.cars[1, CAR_X] += steps_m[counter % steps_m.size]
        update_shadowing(radio, link, 1, 0, counter + 1)
        shadowing[counter] = link[LINK_SHADOWING]


def shadowing_over(steps_m, num_steps=400_000, decorrelation_m=20.0, radio_key=3):
    parameters = physical_mode(shadowing_std_db=3.0, shadowing_decorrelation_m=decorrelation_m)
    emulator = RadioEmulator(parameters)
    emulator.reset(radio_key=radio_key, cars=ring_of_cars(2, 10.0), time_s=0.0)
    shadowing = np.zeros(num_steps)
    drive_away(emulator._arrays, np.array(steps_m), shadowing)
    return shadowing


@pytest.mark.parametrize("step_m", [2.0, 5.0, 30.0])
def test_shadowing_has_variance_one_and_decorrelates_with_displacement(step_m):
    shadowing = shadowing_over([step_m])

    # 400,000 steps of 2 m are 20,000 independent values: 4 standard errors of .04
    correlations = [np.corrcoef(shadowing[:-lag], shadowing[lag:])[0, 1] for lag in (1, 4, 10)]
    expected = np.exp(-step_m * np.array([1.0, 4.0, 10.0]) / 20.0)
    assert shadowing.std() == pytest.approx(1.0, abs=0.02)
    assert shadowing.mean() == pytest.approx(0.0, abs=0.04)
    assert correlations == pytest.approx(expected, abs=0.03)
    assert stats.kstest(shadowing[::100], "norm").pvalue > 0.001


def test_shadowing_depends_on_the_way_and_not_on_the_number_of_steps():
    shadowing = shadowing_over([1.0, 9.0])

    # Over two steps 10 m: exp(-.5) = .6065
    correlation = np.corrcoef(shadowing[:-2:2], shadowing[2::2])[0, 1]
    assert correlation == pytest.approx(0.6065, abs=0.02)


def test_a_shorter_decorrelation_forgets_sooner():
    shadowing = shadowing_over([5.0], decorrelation_m=5.0)

    correlation = np.corrcoef(shadowing[:-1], shadowing[1:])[0, 1]
    assert correlation == pytest.approx(math.exp(-1.0), abs=0.01)


def test_cars_that_keep_their_gap_keep_their_shadowing():
    emulator = RadioEmulator(physical_mode(shadowing_std_db=3.0))
    cars = ring_of_cars(6, 30.0)
    emulator.reset(radio_key=7, cars=cars, time_s=0.0)
    before = emulator._arrays.links[0, :, LINK_SHADOWING].copy()

    for step in range(1, 101):
        cars[:, CAR_X] += 2.0
        emulator.advance(0.1 * step, cars)

    after = emulator._arrays.links[0, :, LINK_SHADOWING]
    np.testing.assert_allclose(after[1:], before[1:], atol=1e-6)


def test_links_begin_with_shadowings_of_their_own():
    emulator = RadioEmulator(physical_mode(shadowing_std_db=3.0, max_relay_hops=1))
    drawn = []
    for radio_key in range(4000):
        emulator.reset(radio_key=radio_key, cars=ring_of_cars(2, 30.0), time_s=0.0)
        links = emulator._arrays.links[:, :, LINK_SHADOWING]
        drawn.append([links[0, 1], links[0, 2], links[1, 2], links[2, 1]])

    correlations = np.corrcoef(np.array(drawn).T) - np.eye(4)
    assert stats.kstest(np.array(drawn)[:, 0], "norm").pvalue > 0.001
    assert np.abs(correlations).max() < 0.063  # 4 standard errors


def test_shadowing_counts_in_decibels_of_its_standard_deviation():
    # With m = 20 a frame hardly fades: it is decoded if its margin is positive, and else lost.
    parameters = physical_mode(
        margin_at_1m_db=35.54, shadowing_std_db=12.0, fading_m=20.0, shadowing_decorrelation_m=1.0
    )

    shares = share_delivered(parameters, ring_of_cars(8, 30.0), num_episodes=400, seconds=1.0)

    # margin 35.54 - 29.54 = 6 dB: P(12 N > -6) = Phi(.5) = .6915; 3200 links, .008 a standard error
    assert shares.mean() == pytest.approx(0.6915, abs=0.03)
