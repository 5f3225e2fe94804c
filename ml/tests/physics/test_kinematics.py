"""Braking kinematics of the actuator and of the car ahead, against independent references.

The expected values were computed by two independent programs from the same definitions: both cars
start at equal speed, the gap is headway times speed, contact is gap <= 0 at any time, and the car
ahead brakes to a standstill with a build-up of 20 m/s^3.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from ml.envs.actuator_kernels import advance_actuator
from ml.envs.control_kernels import braking_speed_change_mps

FINE_STEP_S = 0.01
DEAD_TIME_S = 0.1
TARGET_MPS2 = 8.0
NO_FRICTION_LIMIT_MPS2 = 100.0


@njit
def _lead_step(speed, deceleration, target, step_s):
    lost = braking_speed_change_mps(deceleration, target, step_s)
    return max(0.0, speed - lost), min(target, deceleration + 20.0 * step_s)


@njit
def collides(speed, headway, lead_deceleration, delay_s):
    """Full braking, commanded ``delay_s`` after the onset, through dead time and actuator."""
    gap = headway * speed
    ego, acceleration = speed, 0.0
    lead, lead_braking = speed, 0.0
    start_step = round((delay_s + DEAD_TIME_S) / FINE_STEP_S)
    for step in range(4000):
        command = -TARGET_MPS2 if step >= start_step else 0.0
        acceleration, ego_next = advance_actuator(
            acceleration, command, ego, NO_FRICTION_LIMIT_MPS2, FINE_STEP_S
        )
        lead_next, lead_braking = _lead_step(lead, lead_braking, lead_deceleration, FINE_STEP_S)
        gap += 0.5 * (lead + lead_next - ego - ego_next) * FINE_STEP_S
        ego, lead = ego_next, lead_next
        if gap <= 0.0:
            return True
        if ego <= 0.0:
            return False
    return False


@njit
def regulation_driver_collides(speed, headway, lead_deceleration):
    """The UN R157 driver: 1.15 s, then a ramp of 12.65 m/s^3 to 7.59 m/s^2."""
    gap = headway * speed
    ego, braking = speed, 0.0
    lead, lead_braking = speed, 0.0
    for step in range(4000):
        if step >= round(1.15 / FINE_STEP_S):
            braking = min(7.59, braking + 12.65 * FINE_STEP_S)
        ego_next = max(0.0, ego - braking * FINE_STEP_S)
        lead_next, lead_braking = _lead_step(lead, lead_braking, lead_deceleration, FINE_STEP_S)
        gap += 0.5 * (lead + lead_next - ego - ego_next) * FINE_STEP_S
        ego, lead = ego_next, lead_next
        if gap <= 0.0:
            return True
    return False


@njit
def collision_share(speeds, headways, decelerations, delay_s):
    count = 0
    for i in range(speeds.size):
        if collides(speeds[i], headways[i], decelerations[i], delay_s):
            count += 1
    return count / speeds.size


def smallest_safe_headway_s(is_collision):
    headways = np.arange(0.05, 2.0, 0.001)
    return float(next(headway for headway in headways if not is_collision(headway)))


@pytest.mark.parametrize(
    ("delay_s", "expected_percent"),
    [(0.0, 0.0), (0.16, 0.3), (0.36, 3.05), (0.66, 12.3), (0.75, 15.8), (1.16, 34.95)],
)
def test_collision_probability_grows_with_the_delay_as_in_the_reference(delay_s, expected_percent):
    generator = np.random.default_rng(1)
    speeds = generator.uniform(8.0, 30.0, 40_000)
    headways = generator.uniform(0.4, 2.0, 40_000)
    decelerations = generator.uniform(3.0, 9.8, 40_000)

    share = collision_share(speeds, headways, decelerations, delay_s)

    assert 100.0 * share == pytest.approx(expected_percent, abs=0.5)


@pytest.mark.parametrize(
    ("age_s", "expected_s"), [(0.0, 0.17), (0.06, 0.23), (0.26, 0.43), (0.56, 0.73), (1.06, 1.23)]
)
def test_smallest_safe_headway_grows_by_the_age_of_the_message(age_s, expected_s):
    control_step_s = 0.05

    headway_s = smallest_safe_headway_s(
        lambda headway: collides(20.0, headway, 8.0, age_s + control_step_s)
    )

    assert headway_s == pytest.approx(expected_s, abs=0.011)


def test_regulation_driver_needs_1_31_s_of_headway():
    headway_s = smallest_safe_headway_s(
        lambda headway: regulation_driver_collides(20.0, headway, 8.0)
    )

    assert headway_s == pytest.approx(1.31, abs=0.011)


def test_actuator_follows_its_differential_equation():
    acceleration, speed = 1.5, 20.0
    reference_a, reference_v = 1.5, 20.0
    fine_s = 1e-5
    for _ in range(round(0.1 / fine_s)):
        rate = np.clip((-8.0 - reference_a) / 0.2, -25.0, 25.0)
        reference_v += (reference_a + 0.5 * rate * fine_s) * fine_s
        reference_a += rate * fine_s

    acceleration, speed = advance_actuator(acceleration, -8.0, speed, 9.8, 0.1)

    assert acceleration == pytest.approx(reference_a, abs=1e-3)
    assert speed == pytest.approx(reference_v, abs=1e-4)


def test_actuator_in_ten_steps_equals_actuator_in_one():
    in_ten = (0.0, 20.0)
    for _ in range(10):
        in_ten = advance_actuator(in_ten[0], -8.0, in_ten[1], 9.8, 0.01)

    in_one = advance_actuator(0.0, -8.0, 20.0, 9.8, 0.1)

    assert in_ten == pytest.approx(in_one, abs=1e-12)


def test_actuator_never_brakes_harder_than_the_road_allows():
    acceleration, speed = 0.0, 30.0
    for _ in range(50):
        acceleration, speed = advance_actuator(acceleration, -8.0, speed, 5.0, 0.1)

    assert acceleration == pytest.approx(-5.0, abs=1e-6)


def test_actuator_holds_a_stopped_car():
    acceleration, speed = advance_actuator(-8.0, -8.0, 0.1, 9.8, 0.1)

    assert (acceleration, speed) == (0.0, 0.0)


def test_braking_builds_up_at_20_mps3_and_then_holds():
    # 8 m/s^2 is reached after 0.4 s, having lost 0.5 * 8 * 0.4 = 1.6 m/s; 0.6 s more lose 4.8 m/s.
    assert braking_speed_change_mps(0.0, 8.0, 1.0) == pytest.approx(6.4)


def test_stop_from_25_mps_takes_what_ballistic_integration_says():
    # v^2 / (2 b) = 625 / 16 = 39.0625 m.
    position, speed = 0.0, 25.0
    while speed > 0.0:
        following = max(0.0, speed - braking_speed_change_mps(8.0, 8.0, 0.1))
        position += 0.5 * (speed + following) * 0.1
        speed = following

    assert position == pytest.approx(39.0625, abs=0.02)
    assert math.isfinite(position)
