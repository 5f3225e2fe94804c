"""Each term of the reward measures what its name says, and nothing else."""

from __future__ import annotations

import math

import pytest

from ml.envs.reward import REWARD_TERMS, RewardFunction
from ml.errors import SimulatorError
from ml.tests.unit.test_safety_kernels import make_cars
from ml.types import CAR_BRAKE_TARGET

WEIGHTS = {term.name: term.weight for term in REWARD_TERMS}


def terms_of(cars, previous=0.0, driver=0.0, free_speed=20.0, impact=None):
    total, terms = RewardFunction()(
        cars, previous, driver, free_speed_mps=free_speed, impact_speed_mps=impact
    )
    assert total == pytest.approx(sum(terms.values()))
    return {name: value / WEIGHTS[name] for name, value in terms.items()}


def test_steady_following_costs_nothing():
    terms = terms_of(make_cars((0.0, 20.0, 0.0), (35.0, 20.0, 0.0)))

    assert set(terms.values()) == {0.0}


def test_standing_behind_a_standing_car_costs_nothing():
    terms = terms_of(make_cars((0.0, 0.0, 0.0), (7.0, 0.0, 0.0)))

    assert set(terms.values()) == {0.0}


def test_a_collision_costs_more_the_faster_it_is():
    # 1 + 15 / 10
    terms = terms_of(make_cars((0.0, 15.0, 0.0), (4.0, 0.0, 0.0)), impact=15.0)

    assert terms["collision"] == pytest.approx(2.5)


def test_danger_is_the_required_deceleration_beyond_3_mps2():
    # Gap 47 m, less 1 m of margin and 0.3 s * 20 m/s: 400 / (2 * 40) = 5 m/s^2; (5 - 3) / 8.
    terms = terms_of(make_cars((0.0, 20.0, 0.0), (52.0, 0.0, 0.0)))

    assert terms["danger"] == pytest.approx(0.25)


def test_danger_is_met_by_braking_as_hard_as_required():
    # Required as above, 5 m/s^2.
    not_enough = terms_of(make_cars((0.0, 20.0, -4.0), (52.0, 0.0, 0.0)), previous=-4.0)
    enough = terms_of(make_cars((0.0, 20.0, -5.1), (52.0, 0.0, 0.0)), previous=-5.1)

    assert not_enough["danger"] == pytest.approx((5.0 - 4.0) / 8.0)
    assert enough["danger"] == 0.0


def test_braking_for_nothing_costs_and_braking_with_the_driver_does_not():
    cars = make_cars((0.0, 20.0, -4.0), (85.0, 20.0, 0.0))

    assert terms_of(cars, previous=-4.0)["needless_braking"] == pytest.approx(0.5**2)
    assert terms_of(cars, previous=-4.0, driver=-4.0)["needless_braking"] == 0.0


def test_braking_for_a_car_that_has_just_begun_to_brake_hard_is_not_needless():
    cars = make_cars((0.0, 20.0, -4.0), (35.0, 20.0, 0.0), (70.0, 20.0, -1.0))
    cars[2, CAR_BRAKE_TARGET] = 8.0
    without_target = make_cars((0.0, 20.0, -4.0), (35.0, 20.0, 0.0), (70.0, 20.0, -1.0))

    assert (
        terms_of(cars, previous=-4.0)["needless_braking"]
        < terms_of(without_target, previous=-4.0)["needless_braking"]
    )


def test_jerk_is_squared_and_bounded():
    # From 0 to -2 m/s^2 in 0.1 s: 20 m/s^3, (20 / 10)^2 = 4.
    cars = make_cars((0.0, 20.0, -2.0), (85.0, 20.0, 0.0))

    assert terms_of(cars, previous=0.0)["jerk"] == pytest.approx(4.0)
    assert terms_of(cars, previous=30.0)["jerk"] == pytest.approx(6.25)


def test_lost_speed_counts_against_the_car_ahead_or_the_free_speed():
    assert terms_of(make_cars((0.0, 10.0, 0.0), (85.0, 20.0, 0.0)))["lost_speed"] == 0.5
    assert terms_of(make_cars((0.0, 10.0, 0.0)), free_speed=14.0)["lost_speed"] == 0.2
    assert terms_of(make_cars((0.0, 20.0, 0.0), (85.0, 10.0, 0.0)))["lost_speed"] == 0.0


def test_reward_that_is_no_number_is_refused_with_the_term_that_is_none():
    cars = make_cars((0.0, 20.0, 0.0), (35.0, 20.0, 0.0))
    with pytest.raises(SimulatorError, match=r"^reward must be finite\. Got -inf with collision\."):
        terms_of(cars, impact=math.inf)
