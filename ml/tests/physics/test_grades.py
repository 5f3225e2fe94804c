"""Braking on a grade: hand arithmetic, closed forms, and a flat road that stays what it was."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.envs.control_kernels import largest_braking_mps2
from ml.envs.convoy_path import steepest_grade_rad
from ml.tests.road_worlds import build_network, convoy_body, write_scenario
from ml.types import CAR_PATH_POSITION, CAR_SLOPE, CAR_SPEED

NO_DEMAND = np.array([-1.0], dtype=np.float32)
FULL_DEMAND = np.array([1.0], dtype=np.float32)
SLOPE_RAD = math.atan(0.08)
WET_MPS2 = 5.0
SPEED_MPS = 20.0
LAG_S = 0.2
JERK_MPS3 = 25.0


def straight_road(folder, end_height_m, positions_m=(60.0,)):
    """Write a scenario on 3 km of straight road that ends at a height; None: without heights."""
    heights = ((), ()) if end_height_m is None else ((0.0,), (end_height_m,))
    nodes = {"a": (0.0, 0.0, *heights[0]), "b": (3000.0, 0.0, *heights[1])}
    build_network(folder, nodes, ["a b 1"])
    return write_scenario(folder, convoy_body("a_b", list(positions_m), SPEED_MPS))


@pytest.mark.parametrize(
    ("friction_mps2", "grade", "expected_mps2"),
    [
        # cos(atan 0.08) = 0.996815, sin = 0.0797452; 9.81 * 0.0797452 = 0.782300
        (5.0, 0.08, 5.766376),  # 4.984076 + 0.782300
        (5.0, -0.08, 4.201775),  # 4.984076 - 0.782300
        (9.0, 0.08, 9.753638),  # 8.971338 + 0.782300
        (5.0, 0.0, 5.0),
        # 45 degrees down: 0.707107 * (5 - 9.81) < 0, so the floor of 1 m/s^2 holds
        (5.0, -1.0, 1.0),
    ],
)
def test_the_largest_braking_is_what_tyres_and_gravity_give(friction_mps2, grade, expected_mps2):
    braking = largest_braking_mps2(friction_mps2, math.atan(grade))

    assert braking == pytest.approx(expected_mps2, abs=2e-6)


def stopping_distance_m(deceleration_mps2):
    """Distance from the demand to the standstill: dead time, jerk limit, first-order lag.

    Dead time of one step at constant speed; while command and deceleration differ by more than
    jerk * lag a straight ramp; then v(t) = v1 - a t + (a - b) lag (1 - exp(-t / lag)), in which b
    is the deceleration after the ramp. The exponential has died out long before the standstill.
    """
    a = deceleration_mps2
    ramp_s = max(0.0, (a - JERK_MPS3 * LAG_S) / JERK_MPS3)
    b = JERK_MPS3 * ramp_s
    v1 = SPEED_MPS - 0.5 * JERK_MPS3 * ramp_s**2
    first_m = 0.1 * SPEED_MPS + SPEED_MPS * ramp_s - JERK_MPS3 * ramp_s**3 / 6.0
    lead_mps = (a - b) * LAG_S
    stop_s = (v1 + lead_mps) / a
    return first_m + (v1 + lead_mps) * stop_s - a * stop_s**2 / 2.0 - lead_mps * LAG_S


@pytest.mark.parametrize("grade", [0.08, -0.08, 0.0])
def test_a_full_demand_stops_the_ego_in_the_closed_forms_distance(tmp_path, make_env, grade):
    env = make_env(sumo_cfg=straight_road(tmp_path, 3000.0 * grade), ego_driver="none")
    env.reset(seed=0, options={"friction_mps2": WET_MPS2})
    start_m, start_mps = env.cars[0, [CAR_PATH_POSITION, CAR_SPEED]]
    while env.cars[0, CAR_SPEED] > 0.0:
        env.step(FULL_DEMAND)

    slope_rad = math.atan(grade)
    braking_mps2 = WET_MPS2 * math.cos(slope_rad) + 9.81 * math.sin(slope_rad)
    assert start_mps == SPEED_MPS
    # SUMO moves the car by its mean speed even over the step in which it stops: at most
    # 0.5 * 0.58 m/s * 0.1 s = 0.03 m too far.
    assert env.cars[0, CAR_PATH_POSITION] - start_m == pytest.approx(
        stopping_distance_m(braking_mps2), abs=0.05
    )


@pytest.mark.parametrize("grade", [0.08, -0.08])
def test_the_slope_under_every_car_is_the_roads_uphill_positive(tmp_path, make_env, grade):
    env = make_env(sumo_cfg=straight_road(tmp_path, 3000.0 * grade, (60.0, 90.0, 120.0)))
    env.reset(seed=0)
    env.step(NO_DEMAND)

    expected = math.copysign(SLOPE_RAD, grade)
    assert env.cars[:, CAR_SLOPE] == pytest.approx([expected] * 3, abs=1e-4)
    assert steepest_grade_rad(tmp_path / "network.net.xml") == pytest.approx(SLOPE_RAD, abs=1e-6)


def test_a_road_at_height_0_is_the_road_without_heights_bit_for_bit(tmp_path, make_env):
    traces = []
    for name, height_m in (("without", None), ("at_0", 0.0)):
        folder = tmp_path / name
        folder.mkdir()
        env = make_env(sumo_cfg=straight_road(folder, height_m, (60.0, 90.0, 120.0)))
        env.reset(seed=4, options={"hazard": {"kind": "hard_resolve", "source_rank": 1}})
        for _ in range(300):
            _, _, terminated, _, _ = env.step(NO_DEMAND)
            if terminated:
                break
        traces.append((env.trace.tobytes(), env.cars.tobytes(), env.cars[:, CAR_SLOPE].any()))
        env.close()

    assert traces[0] == traces[1]
    assert not traces[0][2]


@pytest.mark.parametrize("friction_mps2", [9.0, 5.0])
@pytest.mark.parametrize("asked_mps2", [2.0, 4.0, 7.5])
@pytest.mark.parametrize("grade", [0.08, -0.08])
def test_hazards_on_a_grade_happen_as_planned(tmp_path, make_env, grade, asked_mps2, friction_mps2):
    env = make_env(sumo_cfg=straight_road(tmp_path, 3000.0 * grade, (60.0, 90.0, 120.0)))
    _, info = env.reset(
        seed=1,
        options={
            "hazard": {
                "kind": "hard_stop" if asked_mps2 > 2.5 else "benign",
                "source_rank": 2, "onset_s": 5.0, "deceleration_mps2": asked_mps2, "hold_s": 1.0,
            },
            "friction_mps2": friction_mps2, "headway_s": 2.0,
        },
    )  # fmt: skip
    terminated = truncated = False
    while not (terminated or truncated):
        _, _, terminated, truncated, info = env.step(NO_DEMAND)

    record = info["episode_record"]
    # No hazard asks for more than every car can do downhill: cos * friction - 9.81 * sin.
    downhill_mps2 = math.cos(SLOPE_RAD) * friction_mps2 - 9.81 * math.sin(SLOPE_RAD)
    expected_mps2 = min(asked_mps2, downhill_mps2)
    assert record["hazard_is_realised"], record["hazard_failure"]
    assert record["hazard_requested_deceleration_mps2"] == pytest.approx(expected_mps2, abs=1e-4)
    assert record["hazard_measured_deceleration_mps2"] == pytest.approx(expected_mps2, rel=0.05)
