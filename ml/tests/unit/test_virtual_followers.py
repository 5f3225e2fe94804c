"""Virtual followers against bounds in closed form and against a second implementation."""

from __future__ import annotations

import numpy as np
import pytest

from ml.envs.follower_kernels import NO_CONTACT
from ml.envs.virtual_followers import follower_impacts_mps, follower_record
from ml.types import (
    NUM_TRACE_FIELDS,
    TRACE_ACCELERATION,
    TRACE_DISTANCE,
    TRACE_SPEED,
)

DRY_MPS2 = 9.8


def braking_ego(speed, deceleration, brakes_s=1.0, lasts_s=100.0, num_steps=250):
    """A trace whose ego brakes constantly from ``brakes_s`` on, at most to a standstill."""
    times = 0.1 * np.arange(num_steps)
    lost = deceleration * np.clip(times - brakes_s, 0.0, lasts_s)
    speeds = np.maximum(0.0, speed - lost)
    trace = np.zeros((num_steps, NUM_TRACE_FIELDS))
    trace[:, TRACE_SPEED] = speeds
    trace[1:, TRACE_ACCELERATION] = np.diff(speeds) / 0.1
    trace[1:, TRACE_DISTANCE] = np.cumsum(0.5 * (speeds[1:] + speeds[:-1]) * 0.1)
    return trace


def second_implementation(trace, headway, delay, friction):
    """The same follower in words of its documentation; the actuator by 200 small steps."""
    speed, gap = trace[0, TRACE_SPEED], 2.0 + headway * trace[0, TRACE_SPEED]
    free_speed = 1.5 * max(5.0, trace[:, TRACE_SPEED].max())
    acceleration, held, emergency_at, ramp = 0.0, 0.0, None, None
    for step in range(len(trace) - 1):
        ego_speed, ego_acceleration = trace[step, [TRACE_SPEED, TRACE_ACCELERATION]]
        closing = max(0.0, speed - ego_speed)
        needed = closing**2 / (2.0 * max(gap, 0.1))
        wish = min(
            2.0,
            0.5 * (free_speed - speed),
            0.4 * (gap - 2.0 - headway * speed) + 1.5 * (ego_speed - speed),
        )
        wish = max(-3.0, wish)
        is_over = ego_acceleration > -1.0 and needed < 2.0
        now = 0.1 * step
        if emergency_at is None and (ego_acceleration < -2.5 or needed > 3.0):
            emergency_at = now + delay
        if emergency_at is not None and ramp is None and now > emergency_at - 1e-6:
            ramp = max(0.0, -wish)
            if is_over:
                emergency_at = ramp = None
        if ramp is not None and (is_over or speed <= 0.0):
            emergency_at = ramp = None
        elif ramp is not None:
            ramp = min(7.59, ramp + 1.265)
            wish = min(wish, -ramp)
        before = speed
        for _ in range(200):
            rate = (max(held, -friction) - acceleration) / 0.2
            acceleration += max(-25.0, min(25.0, rate)) * 5e-4
            speed = max(0.0, speed + acceleration * 5e-4)
        if speed == 0.0:
            acceleration = max(acceleration, 0.0)
        held = wish
        driven = 0.5 * (before + speed) * 0.1
        ahead = trace[step + 1, TRACE_DISTANCE] - trace[step, TRACE_DISTANCE]
        if gap + ahead - driven <= 0.0:
            part = gap / (driven - ahead)
            last = speed - trace[step + 1, TRACE_SPEED]
            return (before - ego_speed) * (1.0 - part) + last * part
        gap += ahead - driven
    return None


@pytest.mark.parametrize(
    ("speed", "deceleration", "headway", "delay", "friction"),
    [
        (20.0, 8.0, 0.6, 0.75, DRY_MPS2),
        (20.0, 8.0, 1.0, 1.5, DRY_MPS2),
        (20.0, 6.0, 0.6, 1.5, DRY_MPS2),
        (30.0, 9.0, 1.0, 0.75, DRY_MPS2),
        (25.0, 5.0, 0.6, 1.5, 5.0),
    ],
)
def test_impact_is_that_of_a_second_implementation(speed, deceleration, headway, delay, friction):
    trace = braking_ego(speed, deceleration)

    impact = follower_impacts_mps(trace, friction, [headway], [delay])[0, 0]

    expected = second_implementation(trace, headway, delay, friction)
    assert impact == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("headway", "delay"), [(1.0, 0.75), (2.0, 1.5), (0.6, 0.75)]
)  # fmt: skip
def test_no_contact_where_the_second_implementation_finds_none(headway, delay):
    trace = braking_ego(20.0, 7.0, lasts_s=1.0)  # brakes for a second, then goes on at 13 m/s

    assert second_implementation(trace, headway, delay, DRY_MPS2) is None
    assert follower_impacts_mps(trace, DRY_MPS2, [headway], [delay])[0, 0] == NO_CONTACT


# Ego: 20^2 / (2 * 6) = 33.33 m. A follower that brakes by 3 m/s^2 at once, and by 7.59 m/s^2 at
# once after 1.5 s: 20 * 1.5 - 1.5 * 1.5^2 + 15.5^2 / 15.18 = 30 - 3.375 + 15.83 = 42.45 m. No
# follower is better, so below 9.12 m contact is certain: headway 0.35 is 2 + 7 = 9 m.
def test_contact_is_certain_below_the_gap_of_the_best_follower():
    assert follower_impacts_mps(braking_ego(20.0, 6.0), DRY_MPS2, [0.35], [1.5])[0, 0] > 0.0


# One that does nothing for 1.5 s and for the 0.1 s of noticing, 0.1 s to the next decision, 0.1 s
# of dead time, 0.2 s of lag and half the ramp of 0.6 s: 20 * 2.3 + 400 / 15.18 - 33.33 = 39.02 m.
# No follower is worse, so above it none makes contact: headway 1.9 is 2 + 38 = 40 m.
def test_no_contact_above_the_gap_of_the_worst_follower():
    assert follower_impacts_mps(braking_ego(20.0, 6.0), DRY_MPS2, [1.9], [1.5])[0, 0] == NO_CONTACT


def test_a_follower_does_not_hit_an_ego_that_brakes_as_people_do():
    record = follower_record(braking_ego(30.0, 2.4), DRY_MPS2)

    assert record == {
        "num_followers": 6, "num_follower_collisions": 0, "follower_max_impact_mps": None,
    }  # fmt: skip


def test_an_ego_that_stands_is_not_hit():
    assert follower_record(braking_ego(0.0, 0.0), DRY_MPS2)["num_follower_collisions"] == 0


def test_the_record_counts_contacts_and_has_the_worst():
    trace = braking_ego(20.0, 8.0)
    impacts = follower_impacts_mps(trace, DRY_MPS2)

    record = follower_record(trace, DRY_MPS2)

    assert impacts.shape == (3, 2)
    assert record["num_follower_collisions"] == np.count_nonzero(impacts != NO_CONTACT) > 0
    assert record["follower_max_impact_mps"] == impacts.max()


def test_lateness_and_nearness_only_make_it_worse():
    impacts = follower_impacts_mps(
        braking_ego(25.0, 8.0), DRY_MPS2, [0.4, 0.8, 1.2, 1.6], [0.5, 1.0, 1.5]
    )

    assert (np.diff(impacts, axis=1) >= 0.0).all()
    assert (np.diff(impacts[1:], axis=0) <= 0.0).all()
    assert len(np.unique(impacts)) > 4


def test_a_trace_of_one_step_has_nobody_hit():
    assert follower_record(braking_ego(20.0, 8.0)[:1], DRY_MPS2)["num_follower_collisions"] == 0


def test_the_trace_is_left_as_it_was():
    trace = braking_ego(20.0, 8.0)
    before = trace.copy()

    follower_record(trace, DRY_MPS2)

    np.testing.assert_array_equal(trace, before)


def test_the_record_counts_the_followers_that_are_asked_for():
    trace = braking_ego(20.0, 8.0)

    record = follower_record(trace, DRY_MPS2, headways_s=(0.6, 5.0), delays_s=(1.5,))

    # 0.6 s ahead of a follower that reacts after 1.5 s; 5 s are 100 m, more than it needs to stop.
    assert (record["num_followers"], record["num_follower_collisions"]) == (2, 1)
