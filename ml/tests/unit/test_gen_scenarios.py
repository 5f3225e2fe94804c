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
from ml.scenarios.build_bases import BASES, RoadElement, centre_line
from ml.scenarios.scenario_files import configuration_text, route_file_text
from ml.scripts import gen_scenarios
from ml.scripts.base_scenario import find_input, load_bases
from ml.scripts.scenario_check import fault_of_positions
from ml.scripts.scenario_draws import (
    AugmentationRanges,
    PeerDraw,
    ScenarioDraw,
    draw_scenario,
    peer_counts,
    place_convoy,
)

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


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_peers=st.integers(0, 8))
def test_every_draw_lies_in_its_range_and_no_cars_overlap(seed, num_peers):
    draw = draw_scenario(np.random.default_rng(seed), num_peers, ["base"], RANGES)
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
    speeds = [draw_scenario(generator, 1, ["b"], RANGES).convoy_speed_mps for _ in range(4_000)]
    assert abs(sum(speed < 6.0 for speed in speeds) - 400) < 95


def test_slow_draws_below_the_parking_speed_stand_still_unless_the_ego_is_alone():
    generator = np.random.default_rng(3)
    ranges = replace(RANGES, slow_share=1.0, slow_convoy_speed_mps=(0.0, 0.6))
    with_peer = {draw_scenario(generator, 1, ["b"], ranges).convoy_speed_mps for _ in range(40)}
    alone = {draw_scenario(generator, 0, ["b"], ranges).convoy_speed_mps for _ in range(40)}
    assert 0.0 in with_peer
    assert min(with_peer - {0.0}) >= 0.5
    assert min(alone) >= 0.5


def test_scenarios_spread_over_all_bases():
    generator = np.random.default_rng(3)
    bases = {draw_scenario(generator, 0, ["a", "b", "c"], RANGES).base for _ in range(60)}
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


@pytest.mark.parametrize("name", sorted(BASES))
def test_bases_are_at_least_5_km_long_with_radii_of_at_least_400_m(name):
    assert sum(element.length_m for element in BASES[name]) >= 5_000.0
    assert min(abs(element.radius_m) for element in BASES[name]) >= 400.0


def test_test_track_is_straight():
    assert all(math.isinf(element.radius_m) for element in BASES["base_test_track"])


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
    '<net><edge id="main"><lane id="main_0" index="0" speed="{speed}" length="6000.0" '
    'shape="0,0 6000,0"/></edge></net>'
)
ROUTES = '<routes><vehicle id="V001" depart="0"><route edges="{edges}"/></vehicle></routes>'


def make_base(folder: Path, speed="50", edges="main", network=NETWORK, routes=ROUTES) -> Path:
    folder.mkdir()
    (folder / "network.net.xml").write_text(network.replace("{speed}", speed))
    (folder / "vehicles.rou.xml").write_text(routes.replace("{edges}", edges))
    (folder / "scenario.sumocfg").write_text(configuration_text("network.net.xml"))
    return folder


def test_base_is_read_with_its_edge_and_length(tmp_path):
    (base,) = load_bases([make_base(tmp_path / "road")], 46.8)
    assert (base.name, base.edge_id, base.lane_id) == ("road", "main", "main_0")
    assert (base.lane_length_m, base.lane_speed_mps) == (6000.0, 50.0)


@pytest.mark.parametrize("name", ["scenario.sumocfg", "network.net.xml", "vehicles.rou.xml"])
def test_base_without_one_of_its_files_is_refused(tmp_path, name):
    folder = make_base(tmp_path / "road")
    (folder / name).unlink()
    with pytest.raises(ScenarioError, match=f"Got no {name}"):
        load_bases([folder], 46.8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": "13.9"}, "at least 46.8 m/s.*Got 13.9"),
        ({"edges": "main other"}, "must be one edge. Got 'main other'"),
        ({"edges": "elsewhere"}, "edge 'elsewhere' .* must exist and have one lane. Got 0"),
        ({"routes": "<routes/>"}, "must hold a vehicle 'V001'"),
        ({"routes": "<routes"}, "vehicles.rou.xml must be well-formed XML"),
        ({"network": "<net"}, "network.net.xml must be well-formed XML"),
        ({"speed": "fast"}, "must have a length and a speed"),
    ],
)
def test_unsuitable_base_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        load_bases([make_base(tmp_path / "road", **change)], 46.8)
    assert "\n" not in str(caught.value)


def test_two_bases_with_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    folders = [make_base(tmp_path / "road"), make_base(tmp_path / "other" / "road")]
    with pytest.raises(ScenarioError, match=r"different names. Got 'road' 2 times"):
        load_bases(folders, 46.8)


def test_base_whose_name_would_break_a_path_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"only letters, digits.*Got 'a & b'"):
        load_bases([make_base(tmp_path / "a & b")], 46.8)


def test_relative_input_falls_back_to_the_repository_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_input("ml/scenarios/base", "--base_dir").is_dir()


def test_input_that_is_nowhere_is_refused():
    with pytest.raises(ScenarioError, match=r"--base_dir must exist. Got 'no/such'"):
        find_input("no/such", "--base_dir")


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
