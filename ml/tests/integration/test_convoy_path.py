"""Convoys on curves, over junctions and behind a script, against the network's own geometry."""

from __future__ import annotations

import math
import re
import shutil
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from ml.envs.conditions import Conditions
from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.envs.traffic import Traffic
from ml.errors import ScenarioError
from ml.tests.road_worlds import build_network, convoy_body, write_scenario
from ml.types import CAR_ACCELERATION, CAR_PATH_POSITION, CAR_SPEED, CAR_X, CAR_Y

NO_DEMAND = np.array([-1.0], dtype=np.float32)
CAR_LENGTH_M = 4.5


@pytest.fixture
def bases(base_cfg):
    return base_cfg.parent.parent


# --- The second implementation: places on the centre line that the network file draws -----------


class CentreLine:
    """The polyline of a chain of lanes, read from the network file without SUMO's help."""

    def __init__(self, network, edges, lane_index=0):
        root = ElementTree.parse(network).getroot()  # noqa: S314 - our own network
        shapes = {lane.get("id"): lane.get("shape") for lane in root.iter("lane")}
        links = {
            (link.get("from"), link.get("to"), link.get("fromLane")): link
            for link in root.iter("connection")
        }
        lanes = [f"{edges[0]}_{lane_index}"]
        for edge, next_edge in pairwise(edges):
            link = links[edge, next_edge, str(lane_index)]
            while via := link.get("via"):
                lanes.append(via)
                internal_edge, _, index = via.rpartition("_")
                link = links[internal_edge, next_edge, index]
            lanes.append(f"{next_edge}_{lane_index}")
        points = [
            [float(number) for number in point.split(",")[:2]]
            for lane in lanes
            for point in shapes[lane].split()
        ]
        corners = np.array([points[0]] + [b for a, b in pairwise(points) if math.dist(a, b) > 1e-9])
        self._starts, self._steps = corners[:-1], np.diff(corners, axis=0)
        self._lengths_m = np.linalg.norm(self._steps, axis=1)
        self._at_m = np.concatenate([[0.0], np.cumsum(self._lengths_m)])[:-1]

    def positions_m(self, cars):
        """Return how far along the line each car's front bumper is."""
        found = []
        for place in cars[:, [CAR_X, CAR_Y]]:
            from_start = place - self._starts
            share = (from_start * self._steps).sum(axis=1) / self._lengths_m**2
            share = share.clip(0.0, 1.0)
            off = np.linalg.norm(from_start - share[:, None] * self._steps, axis=1)
            nearest = off.argmin()
            assert off[nearest] < 0.2, "a car is off the lane"
            found.append(self._at_m[nearest] + share[nearest] * self._lengths_m[nearest])
        return np.array(found)

    def gaps_m(self, cars):
        return np.diff(self.positions_m(cars)) - CAR_LENGTH_M


def centre_line(cfg):
    text = (cfg.parent / "vehicles.rou.xml").read_text(encoding="utf-8")
    edges = re.search(r'<route id="convoy[^"]*" edges="([^"]+)"', text).group(1).split()
    return CentreLine(cfg.parent / "network.net.xml", edges)


def steps_of(env, max_steps, **options):
    """Run an episode and yield (terminated, info) after each step."""
    env.reset(seed=2, options=options)
    for _ in range(max_steps):
        _, _, terminated, truncated, info = env.step(NO_DEMAND)
        yield terminated, info
        if terminated or truncated:
            return


# SUMO keeps one length for all lanes of an edge, the mean over its two here: 0.15 % off on a lane
# 1.6 m beside the middle of a curve of 1,100 m, and a joint without length counts as 0.1 m.
@pytest.mark.parametrize(
    ("base", "tolerance_m"), [("base_curve", 0.05), ("base_urban", 0.05), ("base_highway", 0.25)]
)
def test_gaps_are_the_arcs_along_the_centre_line(bases, make_env, base, tolerance_m):
    cfg = bases / base / "scenario.sumocfg"
    line = centre_line(cfg)
    env = make_env(sumo_cfg=cfg, hazard_injection=False)

    largest_m, driven_m = 0.0, 0.0
    for _ in steps_of(env, 500, headway_s=1.5):
        error_m = env._traffic.convoy.gaps_m - line.gaps_m(env.cars)
        largest_m = max(largest_m, float(np.abs(error_m).max()))
        driven_m = max(driven_m, float(env.cars[-1, CAR_PATH_POSITION]))

    assert driven_m > 300.0  # round bends or over junctions, by the design of these roads
    assert largest_m < tolerance_m


@pytest.mark.parametrize("base", ["base_curve", "base_urban"])
@pytest.mark.parametrize("onset_s", [5.0, 6.5])
@pytest.mark.parametrize("headway_s", [0.6, 1.6])
def test_contact_comes_in_the_step_in_which_the_bumpers_meet(
    bases, make_env, base, onset_s, headway_s
):
    cfg = bases / base / "scenario.sumocfg"
    line = centre_line(cfg)
    env = make_env(sumo_cfg=cfg, ego_driver="none")
    hazard = {"kind": "hard_stop", "source_rank": 1, "deceleration_mps2": 7.0, "onset_s": onset_s}

    seen = [
        (terminated, float(line.gaps_m(env.cars)[0]))
        for terminated, _ in steps_of(env, 400, hazard=hazard, headway_s=headway_s)
    ]

    assert seen[-1][0]
    assert [gap_m <= 0.0 for _, gap_m in seen] == [terminated for terminated, _ in seen]


@pytest.mark.parametrize("base", ["base_curve", "base_urban"])
@pytest.mark.parametrize("time_gap_s", [0.4, 2.0])
def test_the_ego_starts_at_its_drivers_gap(bases, base, time_gap_s):
    cfg = bases / base / "scenario.sumocfg"

    gap_m, speed_mps = gap_at_start(cfg, time_gap_s)

    assert gap_m == pytest.approx(2.0 + time_gap_s * speed_mps, abs=0.02)


def test_the_ego_starts_at_its_drivers_gap_behind_a_car_beyond_a_junction(tmp_path):
    # Arms of 100 m meet in a crossing with a turn to the right between the ego and its predecessor.
    nodes = {"a": (0.0, 0.0), "x": (100.0, 0.0), "b": (100.0, -300.0), "c": (200.0, 0.0)}
    build_network(tmp_path, nodes, ["a x 1", "x b 1", "x c 1", "c x 1"])
    body = convoy_body("a_x x_b", [60.0], 10.0)
    body += (
        '<route id="rest" edges="x_b"/>'
        '<vehicle id="V002" type="peer" route="rest" depart="0" departPos="8" departSpeed="10"/>'
    )
    cfg = write_scenario(tmp_path, body)

    gap_m, speed_mps = gap_at_start(cfg, 2.0)

    assert speed_mps == 10.0
    assert gap_m == pytest.approx(22.0, abs=0.02)


def gap_at_start(cfg, time_gap_s):
    """Return the geometric gap before the ego at the start, and its speed there.

    SUMO draws a car that was moved at its old place until the next step, so the gap is taken after
    one step, less what the two cars drove in it at their mean speeds.
    """
    files = read_scenario_files(cfg)
    line = centre_line(cfg)
    connection = SumoConnection()
    traffic = Traffic(connection)
    try:
        traffic.load(files, 1)
        traffic.begin(Conditions(time_gap_s, 1.0, 0.0, 0.0, 9.0), np.random.default_rng(0))
        cars = traffic.convoy.cars
        before_mps = cars[:, CAR_SPEED].copy()
        traffic.advance(-2.0, 0.0, np.zeros(len(cars)))
        driven_m = 0.1 * 0.5 * (before_mps + cars[:, CAR_SPEED])
        return line.gaps_m(cars)[0] - (driven_m[1] - driven_m[0]), before_mps[0]
    finally:
        connection.close()


def test_cars_keep_their_lane_index_on_a_road_with_two_lanes(bases, make_env):
    env = make_env(sumo_cfg=bases / "base_highway" / "scenario.sumocfg", hazard_injection=False)
    vehicle = env._connection.vehicle

    seen = set()
    for _ in steps_of(env, 400):
        seen |= {vehicle.getLaneIndex(car_id) for car_id in env._traffic.convoy.ids}

    assert seen == {0}


def test_the_end_of_the_route_truncates_with_a_real_observation(bases, make_env, tmp_path):
    shutil.copytree(bases / "base_urban", tmp_path, dirs_exist_ok=True)
    routes = tmp_path / "vehicles.rou.xml"
    text = re.sub(r"<param [^>]*/>", "", routes.read_text(encoding="utf-8"))
    text = re.sub(r'(edges="forward_0 forward_1)[^"]*"', r'\1"', text)
    routes.write_text(text, encoding="utf-8")
    env = make_env(sumo_cfg=tmp_path / "scenario.sumocfg", hazard_injection=False, max_steps=500)
    env.reset(seed=3)
    truncated = False
    while not truncated:
        before = env.cars[-1, CAR_PATH_POSITION]
        observation, _, terminated, truncated, info = env.step(NO_DEMAND)

    # forward_0 and forward_1 and the junction between them reach to the second crossing, 377.1 m
    # from the start less half its width; a car comes no closer to the end than 60 m.
    assert not terminated
    assert info["episode_record"]["end_reason"] == "route_end"
    assert 300.0 < before < env.cars[-1, CAR_PATH_POSITION] < 377.1 - 60.0 + 1.5
    assert env.observation_space.contains(observation)
    assert observation["peer_mask"].sum() >= 1
    assert set(env._connection.vehicle_ids()) == set(env._traffic.convoy.ids)


def test_a_car_on_another_lane_or_off_the_route_is_refused(bases, make_env, tmp_path):
    shutil.copytree(bases / "base_highway", tmp_path, dirs_exist_ok=True)
    routes = tmp_path / "vehicles.rou.xml"
    text = routes.read_text(encoding="utf-8")
    head, tail = text.split('<vehicle id="V003"')
    tail = tail.replace('departLane="0"', 'departLane="1"', 1)
    routes.write_text(f'{head}<vehicle id="V003"{tail}', encoding="utf-8")
    env = make_env(sumo_cfg=tmp_path / "scenario.sumocfg")

    with pytest.raises(ScenarioError, match=r"V003 must start on V001's route, in its lane"):
        env.reset(seed=0)


# --- Scripts ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight_road(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    build_network(folder, {"a": (0.0, 0.0), "b": (3000.0, 0.0)}, ["a b 1"])
    return folder


def scripted(folder, profile, num_peers=2, speed_mps=12.0):
    """Put a convoy with a scripted leader on the road of ``folder``."""
    positions_m = [60.0 + 20.0 * index for index in range(num_peers + 1)]
    return write_scenario(folder, convoy_body("a_b", positions_m, speed_mps, profile=profile))


def test_the_leader_drives_its_script_to_the_step(straight_road, make_env):
    cfg = scripted(straight_road, "0:12 5:12 13:0 17:0 27:15")
    env = make_env(sumo_cfg=cfg, hazard_injection=False)

    speeds = [float(env.cars[-1, CAR_SPEED]) for _ in steps_of(env, 400)]

    # The script counts from the start of the scenario, 2 s of warm-up before the first step: the
    # speed after step n is the script's at 2 s + n / 10, for slopes that a leader can drive.
    times_s = 2.0 + 0.1 * np.arange(1, len(speeds) + 1)
    expected = np.interp(times_s, [0, 5, 13, 17, 27], [12, 12, 0, 0, 15])
    assert speeds == pytest.approx(expected, abs=1e-6)


def test_a_leader_brakes_and_accelerates_no_harder_than_people_do(straight_road, make_env):
    cfg = scripted(straight_road, "0:12 6:12 6.1:0 16:0 16.1:20")
    env = make_env(sumo_cfg=cfg, hazard_injection=False)

    accelerations = [float(env.cars[-1, CAR_ACCELERATION]) for _ in steps_of(env, 400)]

    assert min(accelerations) == pytest.approx(-2.4, abs=1e-6)
    assert max(accelerations) == pytest.approx(2.6, abs=1e-6)
    # 12 m/s at 2.4 m/s^2 last 5 s, 20 m/s at 2.6 m/s^2 last 7.7 s
    assert np.isclose(accelerations, -2.4).sum() == pytest.approx(50, abs=1)
    assert np.isclose(accelerations, 2.6).sum() == pytest.approx(77, abs=1)


def test_a_hazard_overrides_the_script_and_a_resolved_one_returns_to_it(straight_road, make_env):
    cfg = scripted(straight_road, "0:12 25:12 30:9")
    env = make_env(sumo_cfg=cfg)
    hazard = {
        "kind": "hard_resolve", "source_rank": 2, "onset_s": 6.0,
        "deceleration_mps2": 6.0, "hold_s": 0.5,
    }  # fmt: skip

    speeds, record = [], {}
    for _, info in steps_of(env, 500, hazard=hazard, headway_s=2.0, friction_mps2=9.0):
        speeds.append(float(env.cars[-1, CAR_SPEED]))
        record = info.get("episode_record", record)

    assert record["hazard_is_realised"], record["hazard_failure"]
    assert record["hazard_measured_deceleration_mps2"] == pytest.approx(6.0, rel=0.05)
    assert speeds[58] == pytest.approx(12.0)  # at 5.9 s
    assert min(speeds) < 12.0 - 6.0 * 0.5
    assert speeds[200] == pytest.approx(12.0)  # at 20.1 s, 22.1 s of the script
    assert speeds[-1] == pytest.approx(9.0)


def test_a_hard_stop_ends_the_script(straight_road, make_env):
    env = make_env(sumo_cfg=scripted(straight_road, "0:12"))
    hazard = {"kind": "hard_stop", "source_rank": 2, "onset_s": 6.0}

    for _ in steps_of(env, 500, hazard=hazard, headway_s=2.0):
        pass

    assert env.cars[-1, CAR_SPEED] == 0.0


@pytest.mark.parametrize(
    ("num_peers", "edit"),
    [
        (0, None),  # the lone ego
        (2, ('"V002"', '"V003"')),  # the frontmost car swaps its name with the one behind it
    ],
)
def test_only_a_leader_ahead_of_the_ego_may_have_a_script(straight_road, make_env, num_peers, edit):
    cfg = scripted(straight_road, "0:12", num_peers)
    if edit is not None:
        routes = straight_road / "vehicles.rou.xml"
        text = routes.read_text()
        for car in ("V002", "V003"):
            text = text.replace(f'id="{car}"', f'id="new_{car}"')
        text = text.replace('departPos="80.0"', 'departPos="x"')
        text = text.replace('departPos="100.0"', 'departPos="80.0"')
        text = text.replace('departPos="x"', 'departPos="100.0"').replace("new_", "")
        routes.write_text(text)
    env = make_env(sumo_cfg=cfg)

    with pytest.raises(ScenarioError, match="only the frontmost car, ahead of V001, may have"):
        env.reset(seed=0)


def stop_and_go(generator, end_s=50.0):
    """Draw a script: cruise, brake to a low speed or a standstill, hold, accelerate, again.

    It brakes at most 2.4 m/s^2, as calm traffic does: above 2.5 a delayed driver sees an emergency.
    """
    time_s, speed_mps, points = 0.0, 12.0, ["0:12"]
    while time_s < end_s:
        time_s += generator.uniform(2.0, 6.0)
        points.append(f"{time_s:.3f}:{speed_mps:.3f}")
        target_mps = generator.choice([0.0, 0.0, 4.0, 8.0, 12.0, 16.0])
        pace_mps2 = generator.uniform(0.8, 2.4)
        time_s += abs(target_mps - speed_mps) / pace_mps2 + 0.1
        speed_mps = target_mps
        points.append(f"{time_s:.3f}:{speed_mps:.3f}")
    return " ".join(points)


@pytest.mark.parametrize("peer_driver", ["sumo", "delayed"])
def test_the_driver_alone_never_crashes_in_calm_or_benign_stop_and_go(
    straight_road, make_env, peer_driver
):
    generator = np.random.default_rng(8)
    env = None
    crashes = []
    for episode in range(50):
        cfg = scripted(straight_road, stop_and_go(generator), num_peers=1 + episode % 3)
        env = env or make_env(sumo_cfg=cfg, scenario_seed=5, peer_driver=peer_driver)
        env.reset(options={"hazard": {"kind": ("calm", "benign")[episode % 2]}})
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step(NO_DEMAND)
        if terminated:
            crashes.append(episode)

    assert crashes == []
