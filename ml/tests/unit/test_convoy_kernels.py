"""The cars' state, gaps and impact out of SUMO's readings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.envs.convoy_kernels import (
    AT_ROUTE_END,
    HAS_PASSED,
    HAS_TOUCHED,
    NO_IMPACT,
    NUM_READING_FIELDS,
    update_cars,
)
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SLOPE,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    CONTROL_PERIOD_S,
    NUM_CAR_FIELDS,
)


def update(readings, *, speeds_before_mps, gaps_before_m=(), route_end_m=1000.0, length_m=4.0):
    """Update cars that started at 100 m; return cars, gaps, findings and impact speed."""
    num_cars = len(readings)
    cars = np.zeros((num_cars, NUM_CAR_FIELDS))
    cars[:, CAR_LENGTH] = length_m
    cars[:, CAR_SPEED] = speeds_before_mps
    gaps_m = np.array(gaps_before_m, dtype=np.float64)
    findings, impact_mps = update_cars(
        np.array(readings, dtype=np.float64), np.full(num_cars, 100.0),
        np.full(num_cars, route_end_m), CONTROL_PERIOD_S, cars, gaps_m,
    )  # fmt: skip
    return cars, gaps_m, findings, impact_mps


def at(odometer_m, speed_mps=0.0):
    return (0.0, 0.0, speed_mps, 90.0, odometer_m, 0.0)


def test_a_car_alone_is_where_and_as_fast_as_sumo_says():
    # North is a heading of 90 degrees; 1 m/s gained in 0.1 s is 10 m/s^2.
    cars, gaps_m, findings, impact_mps = update(
        [(7.0, -3.0, 21.0, 0.0, 5.0, 30.0)], speeds_before_mps=[20.0]
    )

    assert cars[0, [CAR_X, CAR_Y, CAR_SPEED]].tolist() == [7.0, -3.0, 21.0]
    assert cars[0, CAR_ACCELERATION] == pytest.approx(10.0)
    assert cars[0, CAR_HEADING] == pytest.approx(math.pi / 2)
    assert cars[0, CAR_SLOPE] == pytest.approx(math.pi / 6)
    assert cars[0, CAR_PATH_POSITION] == 105.0
    assert (gaps_m.size, findings, impact_mps) == (0, 0, NO_IMPACT)


def test_a_gap_is_from_bumper_to_bumper():
    # 30 - 6 - 10: the length of the car ahead counts.
    _, gaps_m, findings, impact_mps = update(
        [at(10.0), at(30.0)],
        speeds_before_mps=[0.0, 0.0],
        gaps_before_m=[14.0],
        length_m=[4.0, 6.0],
    )

    assert (gaps_m.tolist(), findings, impact_mps) == ([14.0], 0, NO_IMPACT)


def test_bumpers_that_meet_have_touched():
    *_, findings, _ = update(
        [at(0.0), at(50.0), at(54.0)], speeds_before_mps=[0.0] * 3, gaps_before_m=[46.0, 0.5]
    )

    assert findings == HAS_TOUCHED


def test_the_impact_speed_is_linear_in_the_gap_between_two_steps():
    # The gap falls from 3 m to -1 m: contact after 3/4 of it, closing 10 -> 6: 10 - 4 * 3/4 = 7.
    *_, findings, impact_mps = update(
        [at(10.0, 16.0), at(13.0, 10.0)], speeds_before_mps=[20.0, 10.0], gaps_before_m=[3.0]
    )

    assert findings == HAS_TOUCHED
    assert impact_mps == pytest.approx(7.0)


def test_the_impact_of_cars_that_no_longer_close_is_not_negative():
    *_, impact_mps = update(
        [at(10.0, 0.0), at(14.0, 5.0)], speeds_before_mps=[0.0, 5.0], gaps_before_m=[0.1]
    )

    assert impact_mps == 0.0


def test_peers_that_touch_are_no_impact_of_the_ego():
    *_, impact_mps = update(
        [at(0.0), at(50.0), at(53.0)], speeds_before_mps=[0.0] * 3, gaps_before_m=[46.0, 0.5]
    )

    assert impact_mps == NO_IMPACT


@pytest.mark.parametrize(
    ("ahead_m", "expected"),
    [(10.0, HAS_TOUCHED | HAS_PASSED), (9.9, HAS_TOUCHED | HAS_PASSED), (10.1, HAS_TOUCHED)],
)
def test_a_car_has_passed_when_its_bumper_is_not_behind_the_next_ones(ahead_m, expected):
    *_, findings, _ = update(
        [at(10.0), at(ahead_m)], speeds_before_mps=[0.0, 0.0], gaps_before_m=[1.0]
    )

    assert findings == expected


@pytest.mark.parametrize(("route_end_m", "expected"), [(130.0, 0), (129.9, AT_ROUTE_END)])
def test_any_car_beyond_its_route_end_ends_the_road(route_end_m, expected):
    *_, findings, _ = update(
        [at(10.0), at(30.0)],
        speeds_before_mps=[0.0, 0.0],
        gaps_before_m=[16.0],
        route_end_m=route_end_m,
    )

    assert findings == expected


@st.composite
def convoys(draw):
    """Draw readings of some cars, and their speeds and gaps before."""
    num_cars = draw(st.integers(1, 9))
    reading = st.tuples(*[st.floats(-1e4, 1e4)] * 2, st.floats(0.0, 60.0), st.floats(0.0, 360.0),
                        st.floats(0.0, 1e4), st.floats(-30.0, 30.0))  # fmt: skip
    readings = draw(st.lists(reading, min_size=num_cars, max_size=num_cars))
    speeds = draw(st.lists(st.floats(0.0, 60.0), min_size=num_cars, max_size=num_cars))
    gaps = draw(st.lists(st.floats(0.001, 100.0), min_size=num_cars - 1, max_size=num_cars - 1))
    return np.array(readings).reshape(num_cars, NUM_READING_FIELDS), np.array(speeds), gaps


@given(convoys())
def test_kernel_equals_a_plain_implementation_bit_for_bit(convoy):
    readings, speeds_before, gaps_before = convoy

    cars, gaps_m, findings, _ = update(
        readings, speeds_before_mps=speeds_before, gaps_before_m=gaps_before
    )

    positions_m = 100.0 + readings[:, 4]
    plain_gaps_m = positions_m[1:] - 4.0 - positions_m[:-1]
    assert np.array_equal(cars[:, CAR_ACCELERATION], (readings[:, 2] - speeds_before) / 0.1)
    assert cars[:, CAR_HEADING].tolist() == [math.radians(90.0 - a) for a in readings[:, 3]]
    assert cars[:, CAR_SLOPE].tolist() == [math.radians(slope) for slope in readings[:, 5]]
    assert np.array_equal(gaps_m, plain_gaps_m)
    assert bool(findings & HAS_TOUCHED) == bool((plain_gaps_m <= 0.0).any())
    assert bool(findings & HAS_PASSED) == bool((np.diff(positions_m) <= 0.0).any())
    assert bool(findings & AT_ROUTE_END) == bool((positions_m > 1000.0).any())
