import json
import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ScenarioError
from ml.scenarios.alignment import RoadElement, centre_line, height_m, split_at
from ml.scenarios.base_roads import BASES
from ml.scenarios.base_settings import BaseSettings, LeaderProfileRanges, read_base_settings
from ml.scenarios.convoy_placement import ego_finds_its_place, put_on_path
from ml.scenarios.leader_profile import draw_speed_profile
from ml.scenarios.road_path import PathLane, RoadPath, read_road_path
from ml.scenarios.scenario_draws import (
    AugmentationRanges,
    PeerDraw,
    ScenarioDraw,
    draw_scenario,
    peer_counts,
    place_convoy,
)
from ml.scenarios.scenario_files import (
    PlacedVehicle,
    configuration_text,
    ego_type,
    route_file_text,
)
from ml.scripts import gen_scenarios
from ml.scripts.base_scenario import check_road, find_input, load_bases
from ml.scripts.scenario_check import fault_of_positions

RANGES = AugmentationRanges()


def parse(text):
    return ElementTree.fromstring(text)  # noqa: S314 - our own text


def peer(tau=1.0, jitter=0.0, sigma=0.2, decel=4.0, factor=1.2):
    return PeerDraw(sigma, decel, tau, jitter, factor)


def scenario(speed, peers, speed_factor=1.0, density=1.0):
    return ScenarioDraw("base", speed, speed_factor, density, tuple(peers))


def positions(draw):
    return [car.position_m for car in place_convoy(draw)]


# --- Where the cars stand ---------------------------------------------------------------------


def test_lone_ego_stands_20_m_up_the_road():
    assert positions(scenario(15.0, [])) == [20.0]


def test_gaps_are_equilibrium_gaps_at_multiplier_one():
    # v = 10. The ego's rear room: longest headway 2 s needs 2 + 20 = 22, its gap is 2 + 10 = 12,
    # so it stands at 20 + 22 - 12 = 30. V002: 30 + 12 + 4.5 = 46.5.
    # V002's gap: 2.5 + 1.5 x 10 = 17.5, so V003: 46.5 + 17.5 + 4.5 = 68.5.
    assert positions(scenario(10.0, [peer(tau=1.5), peer(tau=0.5)])) == [30.0, 46.5, 68.5]


def test_jitter_adds_distance_to_the_car_ahead():
    # As above with 0.7 s of jitter at 10 m/s: 7 m more in front of V002.
    draw = scenario(10.0, [peer(tau=1.5, jitter=0.7), peer(tau=0.5)])
    assert positions(draw) == [30.0, 46.5, 75.5]


def test_jitter_of_the_leader_moves_nobody():
    draw = scenario(10.0, [peer(tau=1.5), peer(tau=0.5, jitter=2.0)])
    assert positions(draw) == [30.0, 46.5, 68.5]


def test_double_density_halves_every_gap():
    # Ego's gap 12 / 2 = 6, so it stands at 20 + 22 - 6 = 36; V002 at 36 + 6 + 4.5 = 46.5.
    # V002's gap 17.5 / 2 = 8.75: V003 at 46.5 + 8.75 + 4.5 = 59.75.
    draw = scenario(10.0, [peer(tau=1.5), peer(tau=0.5)], density=2.0)
    assert positions(draw) == [36.0, 46.5, 59.75]


def test_ego_fits_behind_its_neighbour_at_a_headway_of_two_seconds():
    # At 36 m/s: V002's rear at 20 + 2 + 2 x 36 = 94, its front at 98.5.
    draw = scenario(30.0, [peer()], speed_factor=1.2, density=1.3)
    assert positions(draw)[1] == pytest.approx(98.5, abs=0.001)


def test_every_car_departs_at_the_convoys_speed_times_the_leaders_factor():
    cars = place_convoy(scenario(20.0, [peer(), peer()], speed_factor=0.9))
    assert [car.speed_mps for car in cars] == [18.0, 18.0, 18.0]


def test_leader_is_capped_at_the_convoys_speed_and_followers_above_it():
    cars = place_convoy(scenario(20.0, [peer(factor=1.25), peer(factor=1.3)], speed_factor=0.9))
    assert cars[1].vehicle_type.max_speed_mps == pytest.approx(22.5)  # 18 x 1.25
    assert cars[2].vehicle_type.max_speed_mps == pytest.approx(18.0)
    assert [car.vehicle_type.speed_factor for car in cars] == [1.0, 1.0, 0.9]


def test_parked_leader_has_a_max_speed_that_sumo_accepts():
    leader = place_convoy(scenario(0.0, [peer()]))[1]
    assert leader.speed_mps == 0.0
    assert leader.vehicle_type.max_speed_mps == 0.01


def test_ego_type_is_fixed_and_peers_have_their_own():
    cars = place_convoy(scenario(20.0, [peer(sigma=0.1, decel=3.5), peer(sigma=0.4, decel=5.5)]))
    ego, second, third = (car.vehicle_type for car in cars)
    assert (ego.type_id, ego.decel_mps2, ego.accel_mps2, ego.sigma) == ("ego", 10.0, 3.0, 0.0)
    assert (ego.emergency_decel_mps2, ego.min_gap_m) == (10.0, 0.0)
    assert (second.sigma, second.decel_mps2) == (0.1, 3.5)
    assert (third.sigma, third.decel_mps2) == (0.4, 5.5)
    assert len({ego.type_id, second.type_id, third.type_id}) == 3


# --- The draws --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), num_peers=st.integers(0, 8))
def test_every_draw_lies_in_its_range_and_no_cars_overlap(seed, num_peers):
    draw = draw_scenario(np.random.default_rng(seed), num_peers, {"base": BaseSettings()}, RANGES)
    assert 0.8 <= draw.speedFactor <= 1.2
    assert 0.7 <= draw.traffic_density_multiplier <= 1.3
    assert draw.convoy_speed_mps == 0.0 or 0.5 <= draw.convoy_speed_mps <= 30.0
    assert len(draw.peers) == num_peers
    for drawn in draw.peers:
        assert 0.0 <= drawn.sigma <= 0.5
        assert 3.5 <= drawn.decel <= 5.5
        assert 0.5 <= drawn.tau <= 1.5
        assert 0.0 <= drawn.spawn_jitter_s <= 2.0
        assert 1.1 <= drawn.follower_max_speed_factor <= 1.3
    assert fault_of_positions(positions(draw)) is None


def test_a_tenth_of_the_scenarios_is_slow():
    # 4,000 draws at 0.1: mean 400, standard deviation sqrt(4000 x 0.1 x 0.9) = 19; five of them.
    generator = np.random.default_rng(3)
    speeds = [
        draw_scenario(generator, 1, {"b": BaseSettings()}, RANGES).convoy_speed_mps
        for _ in range(4_000)
    ]
    assert abs(sum(speed < 6.0 for speed in speeds) - 400) < 95


def test_slow_draws_below_the_parking_speed_stand_still_unless_the_ego_is_alone():
    generator = np.random.default_rng(3)
    ranges = replace(RANGES, slow_share=1.0, slow_convoy_speed_mps=(0.0, 0.6))
    with_peer = {
        draw_scenario(generator, 1, {"b": BaseSettings()}, ranges).convoy_speed_mps
        for _ in range(40)
    }
    alone = {
        draw_scenario(generator, 0, {"b": BaseSettings()}, ranges).convoy_speed_mps
        for _ in range(40)
    }
    assert 0.0 in with_peer
    assert min(with_peer - {0.0}) >= 0.5
    assert min(alone) >= 0.5


def test_scenarios_spread_over_all_bases():
    generator = np.random.default_rng(3)
    bases = {
        draw_scenario(generator, 0, dict.fromkeys("abc", BaseSettings()), RANGES).base
        for _ in range(60)
    }
    assert bases == {"a", "b", "c"}


def test_each_block_of_nine_holds_every_number_of_peers_once():
    counts = peer_counts(42, 0, 27, RANGES)
    blocks = [counts[:9], counts[9:18], counts[18:]]
    assert [sorted(block) for block in blocks] == [list(range(9))] * 3
    assert blocks[0] != blocks[1]


def test_a_longer_split_begins_like_a_shorter_one():
    assert peer_counts(42, 0, 100, RANGES)[:13] == peer_counts(42, 0, 13, RANGES)


def test_splits_have_their_own_order_of_peer_numbers():
    assert peer_counts(42, 0, 18, RANGES) != peer_counts(42, 1, 18, RANGES)


def test_record_lists_peers_by_vehicle_id():
    record = scenario(20.0, [peer(tau=1.1), peer(tau=0.6)]).record()
    assert record["num_peers"] == 2
    assert list(record["peers"]) == ["V002", "V003"]
    assert record["peers"]["V003"]["tau"] == 0.6
    assert json.loads(json.dumps(record)) == record


# --- The files --------------------------------------------------------------------------------


def test_route_file_puts_every_car_on_lane_0_at_time_0():
    draw = scenario(10.0, [peer(tau=1.5), peer(tau=0.5)])
    root = parse(route_file_text(place_convoy(draw), "main"))
    cars = root.findall("vehicle")
    assert [car.get("id") for car in cars] == ["V001", "V002", "V003"]
    assert {(car.get("depart"), car.get("departLane")) for car in cars} == {("0", "0")}
    assert [car.get("departPos") for car in cars] == ["30.000", "46.500", "68.500"]
    assert {car.get("departSpeed") for car in cars} == {"10.0"}
    assert [route.get("edges") for route in root.findall("route")] == ["main"]


def test_route_file_gives_each_car_a_type_of_its_own_with_the_drawn_values():
    draw = scenario(10.0, [peer(sigma=0.3, decel=4.2, tau=1.5)], speed_factor=1.1)
    root = parse(route_file_text(place_convoy(draw), "main"))
    ego, leader = root.findall("vType")
    assert {"decel": "10.0", "accel": "3.0", "minGap": "0.0"}.items() <= ego.attrib.items()
    expected = {
        "sigma": "0.3",
        "decel": "4.2",
        "tau": "1.5",
        "accel": "2.6",
        "minGap": "2.5",
        "length": "4.5",
        "emergencyDecel": "9.0",
        "maxSpeed": "11.0",
        "speedFactor": "1.1",
        "speedDev": "0.0",
    }
    assert expected.items() <= leader.attrib.items()


def test_configuration_asks_for_no_output():
    root = parse(configuration_text("../../networks/base.net.xml"))
    assert [section.tag for section in root] == ["input", "time"]
    assert root.find("input/net-file").get("value") == "../../networks/base.net.xml"
    assert root.find("input/route-files").get("value") == "vehicles.rou.xml"
    assert root.find("time/step-length").get("value") == "0.1"


# --- The roads --------------------------------------------------------------------------------


def test_quarter_circle_ends_a_radius_ahead_and_a_radius_aside():
    points = centre_line([RoadElement(400.0 * math.pi / 2.0, 400.0)])
    assert points[-1] == pytest.approx((400.0, 400.0))
    distances = [math.dist(point, (0.0, 400.0)) for point in points]
    assert distances == pytest.approx([400.0] * len(points))


def test_right_hand_arc_turns_right():
    assert centre_line([RoadElement(400.0 * math.pi / 2.0, -400.0)])[-1] == pytest.approx(
        (400.0, -400.0)
    )


def test_arcs_are_cut_into_chords_of_20_m_at_most():
    points = centre_line([RoadElement(500.0, 800.0)])
    assert len(points) == 26
    assert max(map(math.dist, points, points[1:] + points[-1:])) <= 20.0


def test_test_track_is_straight():
    assert all(math.isinf(element.radius_m) for element in BASES["base_test_track"].elements)


def test_tight_arcs_turn_by_at_most_5_degrees_from_point_to_point():
    # 45 m x 180 degrees: 36 parts of 5 degrees.
    assert len(centre_line([RoadElement(45.0 * math.pi, -45.0)])) == 37


def test_cut_road_keeps_its_radii_and_its_length():
    parts = split_at([RoadElement(100.0), RoadElement(50.0, 60.0)], [40.0, 120.0])
    assert [[(e.length_m, e.radius_m) for e in part] for part in parts] == [
        [(40.0, math.inf)],
        [(60.0, math.inf), (20.0, 60.0)],
        [(30.0, 60.0)],
    ]


def test_height_is_the_integral_of_the_grade():
    # From 0 to 4 % over 100 m: 2 m; 50 m at 4 %: 2 m; from 4 to -4 % over 80 m: 0.
    grades = [(0.0, 0.0), (100.0, 0.04), (150.0, 0.04), (230.0, -0.04)]
    heights = [height_m(grades, station_m) for station_m in (50.0, 100.0, 150.0, 190.0, 230.0)]
    assert heights == pytest.approx([0.5, 2.0, 4.0, 4.8, 4.0])


# --- Faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positions_m", "fault"),
    [
        ([20.0], None),
        ([20.0, 24.6], None),
        ([20.0, 24.5], "contact"),
        ([20.0, 21.0], "contact"),
        ([20.0, 20.0], "out_of_order"),
        ([20.0, 40.0, 30.0], "out_of_order"),
    ],
)
def test_fault_of_a_row_of_cars(positions_m, fault):
    assert fault_of_positions(positions_m) == fault


# --- Base folders -----------------------------------------------------------------------------

NETWORK = (
    '<net><edge id="main"><lane id="main_0" index="0" speed="{speed}" length="{length}" '
    'shape="0,0 6000,0"/></edge></net>'
)
ROUTES = '<routes><vehicle id="V001" depart="0"><route edges="{edges}"/></vehicle></routes>'


def make_base(
    folder: Path, *, speed="50", length="6000.0", edges="main", network=NETWORK, routes=ROUTES
) -> Path:
    folder.mkdir()
    text = network.replace("{speed}", speed).replace("{length}", length)
    (folder / "network.net.xml").write_text(text)
    (folder / "vehicles.rou.xml").write_text(routes.replace("{edges}", edges))
    (folder / "scenario.sumocfg").write_text(configuration_text("network.net.xml"))
    return folder


def test_base_is_read_with_its_edge_and_length(tmp_path):
    (base,) = load_bases([make_base(tmp_path / "road")])
    assert (base.name, base.path.edges) == ("road", ("main",))
    (lane,) = base.path.lanes
    assert (lane.lane_id, lane.length_m, lane.speed_mps) == ("main_0", 6000.0, 50.0)
    assert base.settings == BaseSettings()


@pytest.mark.parametrize("name", ["scenario.sumocfg", "network.net.xml", "vehicles.rou.xml"])
def test_base_without_one_of_its_files_is_refused(tmp_path, name):
    folder = make_base(tmp_path / "road")
    (folder / name).unlink()
    with pytest.raises(ScenarioError, match=f"Got no {name}"):
        load_bases([folder])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": "13.9"}, "lane main_0 .* at least 46.8 m/s.*Got 13.9"),
        ({"length": "93"}, "lane main_0 .* at least 94 m, .*Got 93. Make"),
        ({"edges": "main other"}, "lane 0 of edge 'main' .* must lead to lane 0 of 'other'"),
        ({"edges": "main main"}, "must pass each edge once. Got 'main main'"),
        ({"edges": ""}, "must be one edge or more. Got ''"),
        ({"edges": "elsewhere"}, "edge 'elsewhere' .* must exist and have a lane 'elsewhere_0'"),
        ({"routes": "<routes/>"}, "must hold a vehicle 'V001'"),
        ({"routes": "<routes"}, "vehicles.rou.xml must be well-formed XML"),
        ({"network": "<net"}, "network.net.xml must be well-formed XML"),
        ({"speed": "fast"}, "must have a length, a speed"),
    ],
)
def test_unsuitable_base_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        check_road(load_bases([make_base(tmp_path / "road", **change)])[0], RANGES)
    assert "\n" not in str(caught.value)


def test_two_bases_with_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    folders = [make_base(tmp_path / "road"), make_base(tmp_path / "other" / "road")]
    with pytest.raises(ScenarioError, match=r"different names. Got 'road' 2 times"):
        load_bases(folders)


def test_base_whose_name_would_break_a_path_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"only letters, digits.*Got 'a & b'"):
        load_bases([make_base(tmp_path / "a & b")])


def test_relative_input_falls_back_to_the_repository_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_input("ml/scenarios/base", "--base_dir").is_dir()


def test_input_that_is_nowhere_is_refused():
    with pytest.raises(ScenarioError, match=r"--base_dir must exist. Got 'no/such'"):
        find_input("no/such", "--base_dir")


# --- Roads of several edges -------------------------------------------------------------------

# Edge a is 100 m, the junction 10 m, edge b 50 m, the next junction 4 m, edge c 200 m: the edges
# begin at path positions 0, 110 and 164, and the path is 364 m long.
CHAIN = RoadPath(
    ("a", "b", "c"),
    (
        PathLane("a_0", 0, 100.0, 50.0),
        PathLane(":j_0_0", None, 10.0, 50.0),
        PathLane("b_0", 1, 50.0, 50.0),
        PathLane(":k_0_0", None, 4.0, 50.0),
        PathLane("c_0", 2, 200.0, 50.0),
    ),
)


def car(rank, position_m, speed_mps=10.0):
    return PlacedVehicle(f"V{rank:03d}", ego_type(), position_m, speed_mps)


def places(positions_m, path=CHAIN):
    cars = [car(rank, position_m) for rank, position_m in enumerate(positions_m, start=1)]
    placed = put_on_path(cars, path)
    return placed and [(vehicle.edge_index, vehicle.position_m) for vehicle in placed]


def test_path_position_counts_edges_and_junctions():
    assert CHAIN.length_m == 364.0
    assert CHAIN.path_position_m("c_0", 5.0) == 169.0
    assert CHAIN.path_position_m(":j_0_0", 2.5) == 102.5
    assert CHAIN.path_position_m("side_0", 1.0) is None


def test_car_clear_of_junctions_stands_where_it_was_put():
    # 130 is 20 m up edge b, 200 is 36 m up edge c.
    assert places([30.0, 100.0, 130.0, 200.0]) == [(0, 30.0), (0, 100.0), (1, 20.0), (2, 36.0)]


def test_car_in_a_junction_moves_beyond_it_and_those_ahead_with_it():
    # 104 lies in the junction: to 110 + 4.6 = 114.6, 10.6 m on. 130 becomes 140.6, 30.6 m up b.
    assert places([30.0, 104.0, 130.0]) == [(0, 30.0), (1, 4.6), (1, 30.6)]


def test_car_within_its_length_beyond_a_junction_moves_on():
    # 112 becomes 114.6. 158 + 2.6 = 160.6 lies in the second junction: to 168.6, 4.6 m up c.
    # The next one, at 180, has moved by 10.6 m in all: 190.6, 26.6 m up c.
    assert places([30.0, 112.0, 158.0, 180.0]) == [(0, 30.0), (1, 4.6), (2, 4.6), (2, 26.6)]


def test_car_skips_an_edge_that_is_shorter_than_itself():
    lanes = (*CHAIN.lanes[:2], PathLane("b_0", 1, 4.0, 50.0), *CHAIN.lanes[3:])
    # Edge c begins at 100 + 10 + 4 + 4 = 118.
    assert places([30.0, 104.0], RoadPath(CHAIN.edges, lanes)) == [(0, 30.0), (2, 4.6)]


def test_convoy_longer_than_the_road_is_not_placed():
    assert places([30.0, 365.0]) is None


@pytest.mark.parametrize(
    ("front_m", "speed_mps", "fits"),
    [
        # The ego's front is 4.5 + 2 + T v behind: at 10 m/s 26.5 m (T = 2) and 10.5 m (T = 0.4).
        (31.5, 10.0, True),
        (31.4, 10.0, False),
        (110.6, 10.0, False),
        (116.0, 30.0, True),  # 116 - 6.5 - 12 = 97.5, on edge a
        (120.0, 30.0, False),  # 101.5, in the junction
    ],
)
def test_ego_needs_its_place_on_the_first_edge(front_m, speed_mps, fits):
    cars = put_on_path([car(1, 20.0, speed_mps), car(2, front_m, speed_mps)], CHAIN)
    assert ego_finds_its_place(cars, CHAIN) is fits


def test_routes_begin_at_each_cars_own_edge():
    cars = put_on_path([car(1, 30.0), car(2, 104.0), car(3, 200.0)], CHAIN)
    root = parse(route_file_text(cars, *CHAIN.edges))
    routes = {route.get("id"): route.get("edges") for route in root.findall("route")}
    assert routes == {"convoy": "a b c", "convoy_1": "b c", "convoy_2": "c"}
    assert [element.get("route") for element in root.findall("vehicle")] == [
        "convoy",
        "convoy_1",
        "convoy_2",
    ]


JUNCTION_NETWORK = """<net>
<edge id=":j_0"><lane id=":j_0_0" speed="50" length="7" shape="100,0 107,0"/></edge>
<edge id=":j_1"><lane id=":j_1_0" speed="20" length="3" shape="107,0 110,0,1"/></edge>
<edge id="a"><lane id="a_0" speed="50" length="100" shape="0,0 100,0"/><lane id="a_1"/></edge>
<edge id="b"><lane id="b_0" speed="50" length="50" shape="110,0,1 160,0,1"/></edge>
<connection from="a" to="b" fromLane="1" toLane="0" via=":x_0_0"/>
<connection from="a" to="b" fromLane="0" toLane="0" via=":j_0_0"/>
<connection from=":j_0" to="b" fromLane="0" toLane="0" via=":j_1_0"/>
<connection from=":j_1" to="b" fromLane="0" toLane="0"/>
</net>"""


def test_path_is_read_through_every_lane_of_a_junction(tmp_path):
    network = tmp_path / "network.net.xml"
    network.write_text(JUNCTION_NETWORK)
    path = read_road_path(network, ["a", "b"])
    assert [lane.lane_id for lane in path.lanes] == ["a_0", ":j_0_0", ":j_1_0", "b_0"]
    assert [lane.edge_index for lane in path.lanes] == [0, None, None, 1]
    assert path.length_m == 160.0
    assert path.points() == [(0, 0, 0), (100, 0, 0), (107, 0, 0), (110, 0, 1), (160, 0, 1)]


def test_slow_lane_in_a_junction_is_refused(tmp_path):
    folder = make_base(tmp_path / "road", network=JUNCTION_NETWORK, edges="a b")
    with pytest.raises(ScenarioError, match=r"lane :j_1_0 .* at least 46.8 m/s.* Got 20"):
        check_road(load_bases([folder])[0], RANGES)


# --- base.json --------------------------------------------------------------------------------


def write_settings(folder, content):
    (folder / "base.json").write_text(json.dumps(content))
    return folder


def test_base_without_settings_has_the_speeds_of_base_and_may_be_trained_on(tmp_path):
    settings = read_base_settings(tmp_path)
    assert settings.convoy_speed_mps == RANGES.convoy_speed_mps == (6.0, 30.0)
    assert (settings.held_out, settings.leader_profile) == (False, None)
    assert settings.settings_hash is None


def test_settings_are_read_as_they_are_written(tmp_path):
    content = {"convoy_speed_mps": [5, 9], "held_out": True, "leader_profile": {"hold_s": [1, 2]}}
    settings = read_base_settings(write_settings(tmp_path, content))
    assert (settings.convoy_speed_mps, settings.held_out) == ((5.0, 9.0), True)
    assert settings.leader_profile == LeaderProfileRanges(hold_s=(1.0, 2.0))
    assert len(settings.settings_hash) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must be a JSON object. Got \\[\\]"),
        ({"heldout": True}, "Got 'heldout'. Did you mean 'held_out'?"),
        ({"held_out": 1}, "held_out in .* must be true or false. Got 1"),
        ({"description": 3}, "description in .* must be a text. Got 3"),
        ({"convoy_speed_mps": 9}, "must be a pair"),
        ({"convoy_speed_mps": [9, 5]}, "low <= high"),
        ({"convoy_speed_mps": [5, 31]}, "must be a number in \\[0.5, 30\\]. Got 31"),
        ({"convoy_speed_mps": [5, True]}, "must be a number in .* Got True"),
        ({"convoy_speed_mps": [float("nan"), 9]}, "must be a number in .* Got nan"),
        ({"leader_profile": {"brake": [1, 2]}}, "Got 'brake'. Did you mean 'brake_mps2'?"),
        ({"leader_profile": {"brake_mps2": [1, 6]}}, "leader_profile.brake_mps2 .* Got 6"),
        ({"leader_profile": {"stop_share": [0, 1]}}, "leader_profile.stop_share .* a number"),
    ],
)
def test_broken_settings_are_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        read_base_settings(write_settings(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_settings_that_are_no_json_are_refused(tmp_path):
    (tmp_path / "base.json").write_text("{")
    with pytest.raises(ScenarioError, match=r"base.json must be readable JSON"):
        read_base_settings(tmp_path)


def test_road_need_only_suit_its_own_fastest_convoy(tmp_path):
    # 10 m/s x 1.2 x 1.3 = 15.6 m/s.
    folder = make_base(tmp_path / "road", speed="15.6")
    write_settings(folder, {"convoy_speed_mps": [6, 10]})
    check_road(load_bases([folder])[0], RANGES)


def test_training_on_held_out_bases_only_is_refused_and_nothing_is_written(tmp_path):
    folder = write_settings(make_base(tmp_path / "road"), {"held_out": True})
    flags = ["--output_dir", str(tmp_path / "out"), "--base_dir", str(folder)]
    with pytest.raises(ScenarioError, match=r"must name a base that is not held out.*Got road"):
        gen_scenarios.main(flags)
    assert [path.name for path in tmp_path.iterdir()] == ["road"]


# --- The leader's profile ---------------------------------------------------------------------


def draw_on_town(seed, num_peers, slow_share=0.0):
    town = BaseSettings(convoy_speed_mps=(6.0, 14.0), leader_profile=LeaderProfileRanges())
    ranges = replace(RANGES, slow_share=slow_share)
    return draw_scenario(np.random.default_rng(seed), num_peers, {"town": town}, ranges)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_profile_keeps_to_its_speeds_and_accelerations_until_the_end_of_an_episode(seed):
    draw = draw_on_town(seed, 2)
    times_s, speeds_mps = map(np.array, zip(*draw.speed_profile, strict=True))
    assert draw.speed_profile[0] == (0.0, draw.depart_speed_mps)
    assert 6.0 * 0.8 <= draw.depart_speed_mps <= 14.0 * 1.2
    assert times_s[-1] >= 52.0
    assert np.diff(times_s).min() > 0.0
    assert speeds_mps.min() >= 0.0
    assert speeds_mps.max() <= draw.depart_speed_mps
    accelerations_mps2 = np.diff(speeds_mps) / np.diff(times_s)
    # Times are rounded to 1 ms and the shortest ramp, 0.3 x 4.8 m/s at 2 m/s2, takes 0.7 s.
    assert accelerations_mps2.min() >= -2.0 * 1.002
    assert accelerations_mps2.max() <= 1.8 * 1.002


def test_half_of_the_cycles_stop():
    # A cycle has four points; its third is the end of the hold. 2,000 cycles at least: the standard
    # deviation of the share is 0.5 / sqrt(2000) = 0.011; five of them.
    ranges = LeaderProfileRanges()
    generator = np.random.default_rng(5)
    lows = [
        point[1]
        for _ in range(1_000)
        for point in draw_speed_profile(generator, 10.0, ranges)[3::4]
    ]
    assert len(lows) >= 2_000
    assert abs(np.mean(np.array(lows) == 0.0) - 0.5) < 0.056


def test_neither_a_lone_ego_nor_a_slow_convoy_has_a_profile():
    assert draw_on_town(1, 0).speed_profile == ()
    assert draw_on_town(1, 2, slow_share=1.0).speed_profile == ()


def test_only_the_leader_carries_the_profile_in_the_route_file():
    draw = replace(scenario(10.0, [peer(), peer()]), speed_profile=((0.0, 10.0), (8.5, 0.0)))
    cars = parse(route_file_text(place_convoy(draw), "main")).findall("vehicle")
    parameters = [[(p.get("key"), p.get("value")) for p in c.findall("param")] for c in cars]
    assert parameters == [[], [], [("roadsense.speed_profile", "0:10 8.5:0")]]
    assert draw.record()["speed_profile"] == [[0.0, 10.0], [8.5, 0.0]]


# --- The command line -------------------------------------------------------------------------


def test_command_line_defaults():
    arguments = gen_scenarios.parse_args(["--output_dir", "out"])
    assert arguments.base_dir == ["ml/scenarios/base"]
    assert (arguments.seed, arguments.train_count, arguments.eval_count) == (42, 100, 20)
    assert arguments.emulator_params == "ml/espnow_emulator/emulator_params_5m.json"


def test_base_dir_may_be_given_several_times():
    arguments = gen_scenarios.parse_args(
        ["--output_dir", "o", "--base_dir", "a", "--base_dir", "b"]
    )
    assert arguments.base_dir == ["a", "b"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--output_dir"),
        (["--output_dir", "o", "--train_count", "0"], "must be in [1, 1000000]. Got 0."),
        (["--output_dir", "o", "--eval_count", "-3"], "must be in [1, 1000000]. Got -3."),
        (["--output_dir", "o", "--seed", "-1"], "must be in [0, 4294967295]. Got -1."),
        (["--output_dir", "o", "--seed", "4294967296"], "Got 4294967296."),
        (["--output_dir", "o", "--train-count", "5"], "Did you mean '--train_count'?"),
    ],
)
def test_wrong_command_line_is_one_line_and_exit_2(flags, message, capsys):
    with pytest.raises(SystemExit) as caught:
        gen_scenarios.parse_args(flags)
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_output_dir_that_holds_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ScenarioError, match=r"--output_dir must be new or empty"):
        gen_scenarios.main(["--output_dir", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_output_dir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ScenarioError, match=r"--output_dir must be a folder. Got the file"):
        gen_scenarios.main(["--output_dir", str(tmp_path / "out")])


def test_missing_base_leaves_nothing_behind(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(ScenarioError, match=r"--base_dir must exist"):
        gen_scenarios.main(["--output_dir", str(out), "--base_dir", "no/such/base"])
    assert list(tmp_path.iterdir()) == []


def test_missing_emulator_params_leave_nothing_behind(tmp_path):
    flags = ["--output_dir", str(tmp_path / "out"), "--emulator_params", "no_such.json"]
    with pytest.raises(ScenarioError, match=r"--emulator_params must exist. Got 'no_such.json'"):
        gen_scenarios.main(flags)
    assert list(tmp_path.iterdir()) == []
