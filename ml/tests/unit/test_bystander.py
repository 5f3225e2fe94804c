"""A bystander keeps its place beside the ego, then brakes on its own; only the radio knows it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.envs.bystander import (
    Bystander,
    BystanderPlan,
    checked_bystander,
    checked_share,
    draw_bystander,
)
from ml.errors import ConfigError
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    CONTROL_PERIOD_S,
    NUM_CAR_FIELDS,
)

REQUEST = {"ahead_m": 20.0, "left_m": 3.0, "onset_s": 1.0, "deceleration_mps2": 8.0}


def ego_at(x_m, y_m, speed_mps=20.0, heading_rad=0.0):
    cars = np.zeros((1, NUM_CAR_FIELDS))
    cars[0, [CAR_X, CAR_Y, CAR_SPEED, CAR_HEADING]] = x_m, y_m, speed_mps, heading_rad
    return cars


def test_without_a_plan_the_cars_are_handed_on_as_they_are():
    cars = ego_at(0.0, 0.0)

    assert Bystander().joined(cars, 0.0) is cars


@pytest.mark.parametrize(
    ("heading_rad", "x_m", "y_m"),
    [(0.0, 120.0, 53.0), (math.pi / 2, 97.0, 70.0)],  # east: ahead is +x; north: left is -x
)
def test_it_keeps_its_offset_from_the_ego_until_its_onset(heading_rad, x_m, y_m):
    bystander = Bystander()
    bystander.reset(BystanderPlan(**REQUEST))

    row = bystander.joined(ego_at(100.0, 50.0, heading_rad=heading_rad), 1.0)[1]

    assert row[CAR_X] == pytest.approx(x_m)
    assert row[CAR_Y] == pytest.approx(y_m)
    assert row[CAR_SPEED] == 20.0


def test_it_brakes_to_a_standstill_whatever_the_ego_does():
    bystander = Bystander()
    bystander.reset(BystanderPlan(**REQUEST))
    cars = ego_at(100.0, 50.0)
    bystander.joined(cars, 1.0)
    steps = [bystander.joined(cars, 1.0 + CONTROL_PERIOD_S * k)[1].copy() for k in range(1, 41)]

    # The build-up at 20 m/s^3 takes 0.4 s and costs 0.5 * 8 * 0.4 = 1.6 m/s; then 8 m/s^2.
    assert steps[3][CAR_SPEED] == pytest.approx(18.4)
    assert steps[13][CAR_SPEED] == pytest.approx(10.4)
    assert min(row[CAR_ACCELERATION] for row in steps) == pytest.approx(-8.0)
    assert steps[-1][CAR_SPEED] == 0.0
    # It stops in 0.4 + 18.4 / 8 = 2.7 s after 20 * .4 - 8 * .4^2 / 6 + 18.4^2 / 16 = 28.95 m.
    assert steps[-1][CAR_X] - 120.0 == pytest.approx(28.95, abs=0.02)
    assert steps[-1][CAR_Y] == pytest.approx(53.0)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (3, "bystander must be a dict. Got 3"),
        ({**REQUEST, "rigth_m": 1.0}, "'rigth_m' is unknown"),
        ({"ahead_m": 20.0}, "bystander left_m must be a number"),
        (
            {**REQUEST, "left_m": True},
            r"bystander left_m must be a number in \[-50, 50\]. Got True",
        ),
        ({**REQUEST, "onset_s": -0.1}, r"bystander onset_s must be a number in \[0, inf\]"),
        ({**REQUEST, "ahead_m": math.nan}, "bystander ahead_m must be a number"),
        ({**REQUEST, "deceleration_mps2": 13.0}, "bystander deceleration_mps2 must be a number"),
    ],
)
def test_what_is_asked_for_is_checked(request_, message):
    with pytest.raises(ConfigError, match=message):
        checked_bystander(request_)


def test_no_bystander_is_asked_for_by_none():
    assert checked_bystander(None) is None
    assert checked_bystander(REQUEST) == BystanderPlan(20.0, 3.0, 1.0, 8.0)


def drawn(share, count=2000):
    generator = np.random.default_rng(1)
    return [draw_bystander(generator, share, 25.0) for _ in range(count)]


def test_bystanders_are_as_frequent_as_asked_for():
    # The standard deviation of a share of 0.2 in 2,000 is 0.009.
    assert np.mean([plan is not None for plan in drawn(0.2)]) == pytest.approx(0.2, abs=0.036)
    assert all(plan is None for plan in drawn(0.0))


def test_a_drawn_bystander_is_behind_the_ego_or_in_a_lane_beside_it():
    plans = drawn(1.0)
    behind = [plan for plan in plans if plan.left_m == 0.0]
    beside = [plan for plan in plans if plan.left_m != 0.0]

    assert all(-80.0 <= plan.ahead_m <= -6.0 for plan in behind)
    assert all(3.0 <= abs(plan.left_m) <= 4.0 and plan.ahead_m >= -10.0 for plan in beside)
    assert len(behind) == pytest.approx(1000, abs=90)  # four standard deviations of 22
    assert sum(plan.left_m > 0.0 for plan in beside) == pytest.approx(500, abs=90)


def test_the_share_leaves_the_draws_as_they_are():
    wanted = [plan for plan in drawn(0.5, 20) if plan is not None]

    assert set(wanted) <= set(drawn(1.0, 20))
    assert 0 < len(wanted) < 20


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, "0.5", True, None])
def test_a_share_that_is_no_probability_is_refused(share):
    with pytest.raises(ConfigError, match=r"bystander_share must be a number in \[0, 1\]"):
        checked_share(share)
