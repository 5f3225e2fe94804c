"""Surrogate safety measures against hand arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.metrics.safety_kernels import (
    convoy_required_deceleration_mps2,
    modified_time_to_collision_s,
    oracle_demand_mps2,
    required_deceleration_mps2,
    time_to_collision_s,
)
from ml.types import (
    CAR_ACCELERATION,
    CAR_BRAKE_TARGET,
    CAR_LENGTH,
    CAR_PATH_POSITION,
    CAR_SPEED,
    NUM_CAR_FIELDS,
)


def make_cars(*rows):
    """Cars from (front position, speed, acceleration), each 5 m long, the ego first."""
    cars = np.zeros((len(rows), NUM_CAR_FIELDS))
    for car, (position, speed, acceleration) in zip(cars, rows, strict=True):
        car[CAR_PATH_POSITION], car[CAR_SPEED], car[CAR_ACCELERATION] = (
            position,
            speed,
            acceleration,
        )
        car[CAR_LENGTH] = 5.0
    return cars


@pytest.mark.parametrize(
    ("gap", "speed", "lead_speed", "lead_acceleration", "expected"),
    [
        (20.0, 20.0, 20.0, -8.0, 4.444),  # 400 / (40 + 400 / 8)
        (30.0, 20.0, 15.0, -6.0, 4.103),  # 400 / (60 + 225 / 6)
        (20.0, 20.0, 25.0, -8.0, 3.386),  # 400 / (40 + 625 / 8)
        (5.0, 25.0, 20.0, -8.0, 10.5),  # 25 / 10 + 8
        (20.0, 20.0, 10.0, 1.0, 1.5),  # 100 / 40 - 1
        (25.0, 10.0, 0.0, 0.0, 2.0),  # 100 / 50
        (10.0, 10.0, 12.0, 0.0, 0.0),  # opening
    ],
)
def test_required_deceleration(gap, speed, lead_speed, lead_acceleration, expected):
    required = required_deceleration_mps2(gap, speed, lead_speed, lead_acceleration)

    assert required == pytest.approx(expected, abs=5e-4)


@given(
    gap=st.floats(10.0, 100.0),
    speed=st.floats(1.0, 40.0),
    lead_speed=st.floats(0.0, 40.0),
    lead_braking=st.floats(0.0, 9.8),
)
def test_required_deceleration_is_just_enough(gap, speed, lead_speed, lead_braking):
    required = required_deceleration_mps2(gap, speed, lead_speed, -lead_braking)

    with_more = modified_time_to_collision_s(
        gap, speed, -required * 1.01 - 0.01, lead_speed, -lead_braking
    )
    assert with_more == math.inf


@given(
    gap=st.floats(10.0, 100.0), speed=st.floats(1.0, 40.0), lead_speed=st.floats(0.0, 40.0),
    lead_braking=st.floats(0.0, 9.8),
)  # fmt: skip
def test_less_than_the_required_deceleration_makes_contact(gap, speed, lead_speed, lead_braking):
    required = required_deceleration_mps2(gap, speed, lead_speed, -lead_braking)
    if required < 0.1:
        return

    with_less = modified_time_to_collision_s(
        gap, speed, -required * 0.98, lead_speed, -lead_braking
    )
    assert with_less < math.inf


def test_time_to_collision():
    assert time_to_collision_s(20.0, 15.0, 10.0) == pytest.approx(4.0)
    assert time_to_collision_s(20.0, 10.0, 15.0) == math.inf


def test_modified_time_to_collision_holds_a_stopped_lead_in_place():
    # The lead stops after 10 / 8 s and 6.25 m; 56.25 m at 10 m/s take 5.625 s.
    assert modified_time_to_collision_s(50.0, 10.0, 0.0, 10.0, -8.0) == pytest.approx(5.625)


def test_modified_time_to_collision_is_infinite_when_the_ego_stops_shorter():
    assert modified_time_to_collision_s(20.0, 20.0, -9.0, 20.0, -8.0) == math.inf


def test_a_car_two_ahead_counts_with_the_length_of_the_one_between():
    # Rank 2 stands with its rear 45 m ahead; 5 m of that are the car between: 400 / (2 * 40) = 5.
    cars = make_cars((0.0, 20.0, 0.0), (25.0, 20.0, 0.0), (50.0, 0.0, 0.0))

    required = convoy_required_deceleration_mps2(cars, 0.0, 0.0, False)

    assert required == pytest.approx(5.0)


def test_the_deceleration_being_built_up_counts_at_once_when_known():
    # Gap 20 m, both at 20 m/s, lead aims at 8: 400 / (40 + 50) = 4.444.
    cars = make_cars((0.0, 20.0, 0.0), (25.0, 20.0, 0.0))
    cars[1, CAR_BRAKE_TARGET] = 8.0

    assert convoy_required_deceleration_mps2(cars, 0.0, 0.0, False) == 0.0
    assert convoy_required_deceleration_mps2(cars, 0.0, 0.0, True) == pytest.approx(400 / 90)


def test_oracle_demands_nothing_behind_a_steady_car_and_much_behind_a_braking_one():
    steady = make_cars((0.0, 20.0, 0.0), (25.0, 20.0, 0.0))
    braking = make_cars((0.0, 20.0, 0.0), (25.0, 18.0, -8.0))

    assert oracle_demand_mps2(steady) == 0.0
    assert oracle_demand_mps2(braking) > 5.0
