"""The generator and the bases with the real SUMO and netconvert."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from ml.envs.scenario_manager import ScenarioManager, scenario_content_hash
from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.errors import RecordError, ScenarioError
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scenarios.base_pictures import write_picture
from ml.scenarios.base_roads import BASES
from ml.scenarios.build_bases import build_base
from ml.scenarios.road_path import read_road_path
from ml.scenarios.scenario_draws import AugmentationRanges, PeerDraw, ScenarioDraw, place_convoy
from ml.scenarios.scenario_files import PlacedVehicle, configuration_text, ego_type, route_file_text
from ml.scripts import dataset_builder, gen_scenarios
from ml.scripts.base_scenario import check_road, load_bases
from ml.scripts.scenario_check import CONTACT, MISPLACED, MISSING, find_fault

pytestmark = pytest.mark.integration

SCENARIOS = REPOSITORY_ROOT / "ml" / "scenarios"
PARAMS = "ml/espnow_emulator/emulator_params_5m.json"
SPLIT_KEYS = ("train_scenarios", "eval_scenarios")


def parse(path):
    return ElementTree.parse(path)  # noqa: S314 - our own file


def generate(out, *flags):
    gen_scenarios.main(["--output_dir", str(out), "--quiet", *flags])
    return json.loads((out / "manifest.json").read_text())


def contents(folder, *, without=("manifest.json",)):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in without
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("datasets") / "v1"
    generate(out, "--train_count", "18", "--eval_count", "9", "--seed", "5")
    return out


@pytest.fixture(scope="module")
def manifest(dataset):
    return json.loads((dataset / "manifest.json").read_text())


@pytest.fixture
def connection():
    connection = SumoConnection()
    yield connection
    connection.close()


# --- Bases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BASES))
def test_bases_in_the_repository_are_what_the_builder_makes(name, tmp_path):
    build_base(name, tmp_path / name)
    assert contents(tmp_path / name) == contents(SCENARIOS / name)


def base_named(name):
    return load_bases([SCENARIOS / name])[0]


def plan(points):
    return [point[:2] for point in points]


@pytest.mark.parametrize("name", sorted(BASES))
def test_path_is_as_long_as_its_line_and_its_alignment(name):
    path = base_named(name).path
    points = path.points()
    length_m = sum(map(math.dist, points[:-1], points[1:]))
    assert path.length_m == pytest.approx(length_m, rel=1e-3)
    # Lane 0 runs 1.6 m (4.8 m on two lanes) beside the centre line: as much more or less for each
    # radian turned. A grade of 8 % adds 0.3 %.
    assert length_m == pytest.approx(BASES[name].length_m, rel=4e-3)


@pytest.mark.parametrize("name", sorted(BASES))
def test_bases_suit_their_convoys_and_never_slow_them(name):
    base = base_named(name)
    check_road(base, AugmentationRanges())
    assert {lane.speed_mps for lane in base.path.lanes} == {50.0}


def circumradius(a, b, c):
    # R = product of the sides over four times the area, the area from the cross product.
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    sides = math.dist(a, b) * math.dist(b, c) * math.dist(c, a)
    return math.inf if cross == 0.0 else sides / (2.0 * abs(cross))


def smallest_radius(points):
    return min(map(circumradius, points[:-2], points[1:-1], points[2:]))


def test_built_curves_have_radii_of_at_least_400_m():
    # The tightest curve turns right at 410 m; its lane runs 1.6 m inside, at 408.4 m. Points 20 m
    # apart lie 20^2 / 408.4 / 2 = 0.49 m off a straight; 1 mm of rounding is 0.2 % of that, 0.9 m.
    assert smallest_radius(base_named("base").path.points()) == pytest.approx(408.4, abs=0.9)


def test_highway_is_8_km_of_two_lanes_with_gentle_curves_in_a_chain_of_edges():
    base = base_named("base_highway")
    edges = parse(base.files.network).findall("./edge")
    lanes = {edge.get("id"): len(edge.findall("lane")) for edge in edges}
    assert base.path.edges == tuple(f"forward_{index}" for index in range(9))
    assert {lanes[edge] for edge in base.path.edges} == {2}
    assert base.path.length_m >= 8_000.0
    assert min(abs(part.radius_m) for part in BASES["base_highway"].elements) >= 1_000.0
    assert base.settings.convoy_speed_mps == (20.0, 30.0)


def test_convoys_stay_on_the_right_lane_of_the_highway():
    path = base_named("base_highway").path
    assert {lane.lane_id[-2:] for lane in path.lanes} == {"_0"}


def test_urban_road_crosses_streets_that_give_way():
    base = base_named("base_urban")
    network = parse(base.files.network)
    blocks_m = [lane.length_m for lane in base.path.lanes if lane.edge_index is not None]
    assert len(blocks_m) == 16
    # A block is measured from the middle of one crossing to the middle of the next.
    joints_m = BASES["base_urban"].joints_m
    lengths_m = [end - start for start, end in zip((0.0, *joints_m), joints_m, strict=False)]
    assert min(lengths_m) >= 100.0
    assert max(lengths_m) <= 250.0
    assert min(lane.length_m for lane in base.path.lanes if lane.edge_index is None) >= 10.0
    streets = [edge.get("id") for edge in network.findall("./edge")]
    assert sum(name.startswith("side_") for name in streets) == 15 * 4
    states = {
        link.get("state")
        for link in network.findall("./connection")
        if (link.get("from"), link.get("to")) in itertools.pairwise(base.path.edges)
    }
    assert states == {"M"}
    assert network.findall("./tlLogic") == []


def test_urban_corners_keep_a_radius_of_about_60_m_through_the_junctions():
    # Right turns run 1.6 m inside: 58.4 m. Three points 10 m apart show a junction's kink, if any.
    points = resampled(base_named("base_urban").path.points(), 10.0)
    assert 50.0 <= smallest_radius(points) <= 61.6


def resampled(points, spacing_m):
    plane = plan(points)
    stations_m = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(plane, axis=0).T))])
    wanted_m = np.arange(0.0, stations_m[-1], spacing_m)
    return list(
        zip(*(np.interp(wanted_m, stations_m, axis) for axis in np.array(plane).T), strict=True)
    )


def test_car_ahead_leaves_a_forward_cone_on_a_third_of_the_tight_bends():
    # A gap of 30 m and a car's 4.5 m between the front bumpers; one point a half metre.
    points = np.array(resampled(base_named("base_curve").path.points(), 0.5))
    headings_rad = np.arctan2(*np.diff(points, axis=0).T[::-1])[:-69]
    to_ahead = points[69:] - points[:-69]
    bearings_rad = np.arctan2(to_ahead[:, 1], to_ahead[:, 0])[: len(headings_rad)] - headings_rad
    bearings_deg = np.abs(np.degrees(np.angle(np.exp(1j * bearings_rad))))
    assert np.mean(bearings_deg > 15.0) >= 1.0 / 3.0


def test_fastest_convoy_takes_the_tight_bends_at_no_more_than_3_5_mps2():
    # Right-hand bends run 1.6 m inside their radius.
    base = base_named("base_curve")
    radii_m = [part.radius_m for part in BASES["base_curve"].elements]
    bends_m = [abs(radius_m) for radius_m in radii_m if math.isfinite(radius_m)]
    assert 45.0 <= min(bends_m) <= max(bends_m) <= 90.0
    assert min(radii_m) < 0.0 < min(radius_m for radius_m in radii_m if radius_m > 0.0)
    top_speed_mps = base.settings.convoy_speed_mps[1] * 1.2
    assert top_speed_mps**2 / (min(bends_m) - 1.6) <= 3.5


def test_tight_bends_never_meet_themselves():
    points = np.array(resampled(base_named("base_curve").path.points(), 5.0))
    apart = np.abs(np.subtract.outer(np.arange(len(points)), np.arange(len(points)))) * 5.0 > 60.0
    distances_m = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    assert distances_m[apart].min() >= 20.0


def test_hills_rise_and_fall_by_8_percent_without_kinks():
    base = base_named("base_hills")
    points = base.path.points()
    runs_m = np.hypot(*np.diff(plan(points), axis=0).T)
    grades = np.diff([point[2] for point in points]) / runs_m
    assert 0.07 <= grades.max() <= 0.08
    assert -0.08 <= grades.min() <= -0.07
    kinks_per_m = np.abs(np.diff(grades)) / ((runs_m[1:] + runs_m[:-1]) / 2.0)
    assert kinks_per_m.max() * 20.0 <= 0.01
    assert min(abs(part.radius_m) for part in BASES["base_hills"].elements) >= 300.0


def test_hills_and_test_track_are_held_out_and_the_other_bases_are_not():
    held_out = {name for name in BASES if base_named(name).settings.held_out}
    assert held_out == {"base_hills", "base_test_track"}


@pytest.mark.parametrize("name", sorted(BASES))
def test_pictures_in_the_documentation_are_what_the_builder_draws(name, tmp_path):
    write_picture(SCENARIOS / name, tmp_path / "road.svg")
    drawn = (tmp_path / "road.svg").read_bytes()
    assert drawn == (REPOSITORY_ROOT / "docs" / "images" / f"{name}.svg").read_bytes()
    assert len(drawn) < 30_000
    assert parse(tmp_path / "road.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", sorted(BASES))
def test_documentation_states_the_facts_of_each_base(name):
    page = (REPOSITORY_ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    base, road = base_named(name), BASES[name]
    low_mps, high_mps = base.settings.convoy_speed_mps
    radii_m = [abs(part.radius_m) for part in road.elements if math.isfinite(part.radius_m)]
    assert f"| {base.path.length_m / 1000.0:.1f} km | {road.num_lanes} |" in row
    assert f"| {len(base.path.edges)} | {min(radii_m, default=math.inf):g} m |" in row.replace(
        "straight", "inf m"
    )
    assert f"| {low_mps:g} to {high_mps:g} m/s |" in row
    assert ("never trained on" in row) == base.settings.held_out
    assert f"![{name}" in page.replace("\n", " ")
    assert f"(images/{name}.svg)" in page


@pytest.mark.parametrize("name", sorted(BASES))
def test_base_is_a_scenario_of_its_own(name, connection):
    base = base_named(name)
    root = parse(base.files.routes[0]).getroot()
    cars = [
        PlacedVehicle(
            car.get("id"), ego_type(), float(car.get("departPos")), float(car.get("departSpeed"))
        )
        for car in root.findall("vehicle")
    ]
    assert [car.vehicle_id for car in cars] == ["V001", "V002", "V003", "V004", "V005"]
    assert {car.speed_mps for car in cars} == {BASES[name].speed_mps}
    assert find_fault(connection, base.files, cars, base.path) is None


# --- Datasets ---------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_and_another_seed_others(dataset, manifest, tmp_path):
    flags = ("--train_count", "18", "--eval_count", "9")
    again = generate(tmp_path / "v1", *flags, "--seed", "5")
    generate(tmp_path / "v2", *flags, "--seed", "6")
    assert contents(tmp_path / "v1") == contents(dataset)
    assert contents(tmp_path / "v2") != contents(dataset)
    changing = {"created_at", "environment"}
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in manifest.items() if k not in changing
    }


def test_more_scenarios_leave_the_earlier_ones_as_they_were(dataset, tmp_path):
    generate(tmp_path / "v1", "--train_count", "22", "--eval_count", "10", "--seed", "5")
    assert contents(dataset).items() <= contents(tmp_path / "v1").items()


def test_manifest_has_the_keys_of_the_contract(manifest):
    assert {
        "dataset_id",
        "created_at",
        "seed",
        "base_scenario",
        "base_scenarios",
        "augmentation_ranges",
        *SPLIT_KEYS,
        "emulator_params",
        "environment",
        "generator_version",
    } <= manifest.keys()
    assert set(manifest["base_scenario"]) == {
        "path",
        "sumocfg_hash",
        "network_hash",
        "routes_hash",
        "settings_hash",
        "settings",
    }
    assert set(manifest["environment"]) == {"sumo_version", "git_commit", "container_image"}
    assert manifest["dataset_id"] == "v1"
    assert manifest["seed"] == 5
    assert manifest["environment"]["sumo_version"] == "1.28.0"
    assert manifest["train_scenarios"] == [f"train_{index:03d}" for index in range(18)]
    assert manifest["eval_scenarios"] == [f"eval_{index:03d}" for index in range(9)]


def test_manifest_records_the_base_and_the_radio_parameters(manifest):
    base = manifest["base_scenario"]
    assert manifest["base_scenarios"] == [base]
    assert base["path"] == "ml/scenarios/base"
    assert base["network_hash"] == sha256_of_file(SCENARIOS / "base" / "network.net.xml")
    assert base["routes_hash"] == sha256_of_file(SCENARIOS / "base" / "vehicles.rou.xml")
    assert base["settings_hash"] is None
    assert base["sumocfg_hash"] == sha256_of_file(SCENARIOS / "base" / "scenario.sumocfg")
    assert manifest["emulator_params"] == {
        "path": PARAMS,
        "hash": sha256_of_file(REPOSITORY_ROOT / PARAMS),
    }


def test_training_alone_can_be_kept_to_few_peers(tmp_path):
    flags = ("--train_count", "6", "--eval_count", "9", "--train_max_peers", "2")

    manifest = generate(tmp_path / "few", *flags)

    assert manifest["num_peers_distribution"] == {
        "train": {str(number): 2 if number <= 2 else 0 for number in range(9)},
        "eval": {str(number): 1 for number in range(9)},
    }


def test_every_number_of_peers_is_covered_evenly(manifest):
    twice = {str(number): 2 for number in range(9)}
    once = {str(number): 1 for number in range(9)}
    assert manifest["num_peers_distribution"] == {"train": twice, "eval": once}


def test_no_scenario_is_in_both_splits(manifest):
    hashes = [entry["hash"] for entry in manifest["scenarios"].values()]
    assert len(set(hashes)) == len(hashes) == 27


def test_container_image_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ROADSENSE_CONTAINER_IMAGE", "roadsense:1")
    manifest = generate(tmp_path / "v1", "--train_count", "1", "--eval_count", "1")
    assert manifest["environment"]["container_image"] == "roadsense:1"


def test_every_scenario_starts_as_written_and_its_convoy_stays_in_order(dataset, manifest):
    connection = SumoConnection()
    try:
        for split in SPLIT_KEYS:
            for name in manifest[split]:
                sumocfg = dataset / manifest["scenarios"][name]["path"]
                assert scenario_content_hash(sumocfg) == manifest["scenarios"][name]["hash"]
                connection.load(read_scenario_files(sumocfg), 99)
                connection.step()
                routes = parse(sumocfg.parent / "vehicles.rou.xml")
                cars = routes.findall("vehicle")
                assert len(cars) == manifest["scenarios"][name]["draws"]["num_peers"] + 1
                for car in cars:
                    position_m = connection.vehicle.getLanePosition(car.get("id"))
                    assert position_m == pytest.approx(float(car.get("departPos")), abs=0.01)
                for _ in range(520):
                    connection.step()
                assert len(connection.vehicle_ids()) == len(cars)
                ids = [car.get("id") for car in cars]
                ends_m = list(map(connection.vehicle.getLanePosition, ids))
                assert ends_m == sorted(ends_m)
    finally:
        connection.close()


def test_manager_serves_the_generated_dataset(dataset):
    manager = ScenarioManager(dataset, 42, "eval")
    ids = [manager.select_scenario()[1] for _ in range(10)]
    assert ids == [*(f"eval_{index:03d}" for index in range(9)), "eval_000"]
    assert manager.emulator_params_path == REPOSITORY_ROOT / PARAMS


ALL_BASES = ("base", "base_highway", "base_urban", "base_curve", "base_hills")


@pytest.fixture(scope="module")
def mixed_dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("datasets") / "mixed"
    flags = [part for name in ALL_BASES for part in ("--base_dir", str(SCENARIOS / name))]
    generate(out, "--train_count", "36", "--eval_count", "27", *flags)
    return out


@pytest.fixture(scope="module")
def mixed_manifest(mixed_dataset):
    return json.loads((mixed_dataset / "manifest.json").read_text())


def test_several_bases_are_all_used_and_each_network_is_stored_once(mixed_dataset, mixed_manifest):
    paths = [base["path"] for base in mixed_manifest["base_scenarios"]]
    assert paths == [f"ml/scenarios/{name}" for name in ALL_BASES]
    assert mixed_manifest["base_scenario"] == mixed_manifest["base_scenarios"][0]
    for name in ALL_BASES:
        stored = (mixed_dataset / "networks" / f"{name}.net.xml").read_bytes()
        assert stored == (SCENARIOS / name / "network.net.xml").read_bytes()


def test_held_out_base_is_in_the_evaluation_split_only(mixed_manifest):
    drawn = {
        split: {
            mixed_manifest["scenarios"][name]["draws"]["base"] for name in mixed_manifest[split]
        }
        for split in SPLIT_KEYS
    }
    assert drawn["train_scenarios"] == set(ALL_BASES) - {"base_hills"}
    assert drawn["eval_scenarios"] == set(ALL_BASES)


def test_manifest_holds_the_settings_of_each_base(mixed_manifest):
    for name, record in zip(ALL_BASES[1:], mixed_manifest["base_scenarios"][1:], strict=True):
        settings_file = SCENARIOS / name / "base.json"
        assert record["settings_hash"] == sha256_of_file(settings_file)
        assert record["settings"] == json.loads(settings_file.read_text())


def test_convoys_have_the_speeds_of_their_base(mixed_manifest):
    ranges = {
        Path(base["path"]).name: base["settings"]["convoy_speed_mps"]
        for base in mixed_manifest["base_scenarios"]
    }
    for entry in mixed_manifest["scenarios"].values():
        speed_mps = entry["draws"]["convoy_speed_mps"]
        low_mps, high_mps = ranges[entry["draws"]["base"]]
        assert low_mps <= speed_mps <= high_mps or speed_mps <= 6.0


def test_only_urban_convoys_follow_a_script(mixed_manifest):
    for entry in mixed_manifest["scenarios"].values():
        draws = entry["draws"]
        is_slow = draws["convoy_speed_mps"] < 6.0
        is_scripted = draws["base"] == "base_urban" and draws["num_peers"] > 0 and not is_slow
        assert (draws["speed_profile"] is not None) == is_scripted


def test_every_car_of_every_base_starts_on_the_edge_and_place_that_is_written(
    mixed_dataset, mixed_manifest
):
    connection = SumoConnection()
    try:
        edges_used = set()
        for entry in mixed_manifest["scenarios"].values():
            sumocfg = mixed_dataset / entry["path"]
            routes = parse(sumocfg.parent / "vehicles.rou.xml")
            first_edges = {
                route.get("id"): route.get("edges").split()[0] for route in routes.findall("route")
            }
            connection.load(read_scenario_files(sumocfg), 99)
            connection.step()
            cars = routes.findall("vehicle")
            assert len(connection.vehicle_ids()) == len(cars) == entry["draws"]["num_peers"] + 1
            for car in cars:
                edge = first_edges[car.get("route")]
                assert connection.vehicle.getLaneID(car.get("id")) == f"{edge}_0"
                position_m = connection.vehicle.getLanePosition(car.get("id"))
                assert position_m == pytest.approx(float(car.get("departPos")), abs=0.01)
                edges_used.add((entry["draws"]["base"], edge))
                assert edge in {"forward", "forward_0"} or position_m >= 4.59
        assert ("base_urban", "forward_1") in edges_used
    finally:
        connection.close()


# The seed, the base and the SHA-256 of scenarios made before roads could have several edges.
FORMER_HASHES = {
    "train_000": "7916da588ee7fcd44eef360364126763d3f51a49c55cfed42dd698fed98a518b",
    "train_001": "e455812722ee2af42c01200229b9b8eb9e3c814073ddfe2c3cac65a79d0e216a",
    "train_002": "9199d9565577358ab308ed5badb11f53fe1216aca24bb8b35967f0f82a923c14",
    "eval_000": "d5d3a2adca1b05a278bd421374e4e124a666a800fe59d359dcdf48585a2a373f",
    "eval_001": "be761cf54685bf7033e205046fd25ae5a8f728b87e3cae5ee736a5ff097b1c68",
}


def test_scenarios_of_the_base_are_what_they_always_were(tmp_path):
    manifest = generate(tmp_path / "v1", "--train_count", "3", "--eval_count", "2", "--seed", "42")
    hashes = {name: entry["hash"] for name, entry in manifest["scenarios"].items()}
    assert hashes == FORMER_HASHES


def test_nothing_but_the_dataset_is_left_beside_it(dataset):
    assert [path.name for path in dataset.parent.iterdir()] == ["v1"]


def test_an_empty_output_dir_is_filled(tmp_path):
    (tmp_path / "v1").mkdir()
    generate(tmp_path / "v1", "--train_count", "1", "--eval_count", "1")
    assert (tmp_path / "v1" / "manifest.json").is_file()


# --- Rejections -------------------------------------------------------------------------------


def make_short_base(folder: Path) -> Path:
    folder.mkdir()
    text = (SCENARIOS / "base_test_track" / "network.net.xml").read_text()
    (folder / "network.net.xml").write_text(text.replace("6000.000", "1800.000"))
    (folder / "vehicles.rou.xml").write_text(
        route_file_text([], "forward").replace(
            "</routes>", '<vehicle id="V001" route="convoy" depart="0"/></routes>'
        )
    )
    (folder / "scenario.sumocfg").write_text(configuration_text("network.net.xml"))
    return folder


def test_road_that_is_too_short_is_reported_and_leaves_nothing(tmp_path):
    # 20 m and 52 s at 36 m/s need 1,892 m; the road has 1,800 m.
    base = make_short_base(tmp_path / "short")
    out = tmp_path / "out" / "v1"
    with pytest.raises(ScenarioError, match=r"within 20 attempts.*'does_not_fit_the_road': 20"):
        generate(out, "--base_dir", str(base))
    assert list(out.parent.iterdir()) == []


def test_rejected_attempts_are_counted_and_drawn_again(tmp_path, monkeypatch):
    faults = iter([CONTACT, CONTACT, None, MISSING, None])
    monkeypatch.setattr(dataset_builder, "find_fault", lambda *_: next(faults))
    manifest = generate(tmp_path / "v1", "--train_count", "1", "--eval_count", "1")
    assert manifest["rejected"]["train"]["contact"] == 2
    assert manifest["rejected"]["eval"]["vehicle_missing"] == 1
    assert manifest["scenarios"]["train_000"]["attempt"] == 2
    assert manifest["scenarios"]["eval_000"]["attempt"] == 1


def test_duplicate_is_drawn_again(tmp_path, monkeypatch):
    def draw(generator, num_peers, bases, ranges):
        return ScenarioDraw("base", float(next(speeds)), 1.0, 1.0, ())

    speeds = iter([10, 10, 11])
    monkeypatch.setattr(dataset_builder, "draw_scenario", draw)
    manifest = generate(tmp_path / "v1", "--train_count", "1", "--eval_count", "1")
    assert manifest["rejected"]["eval"]["duplicate"] == 1
    assert manifest["scenarios"]["eval_000"]["draws"]["convoy_speed_mps"] == 11.0


def test_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset_builder, "find_fault", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "v1")
    assert list(tmp_path.iterdir()) == []


def test_output_dir_below_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"--output_dir .* must be a folder that can be written"):
        generate(tmp_path / "file" / "v1")


def write_scenario(folder, cars, written_positions):
    text = route_file_text(cars, "forward")
    for car, position_m in zip(cars, written_positions, strict=True):
        text = text.replace(f'departPos="{car.position_m:.3f}"', f'departPos="{position_m:.3f}"')
    (folder / "vehicles.rou.xml").write_text(text)
    network = SCENARIOS / "base_test_track" / "network.net.xml"
    (folder / "network.net.xml").write_bytes(network.read_bytes())
    (folder / "scenario.sumocfg").write_text(configuration_text("network.net.xml"))
    return read_scenario_files(folder / "scenario.sumocfg")


TRACK = read_road_path(SCENARIOS / "base_test_track" / "network.net.xml", ["forward"])


def two_cars(speed=10.0):
    peer = PeerDraw(0.0, 4.0, 1.0, 0.0, 1.2)
    return place_convoy(ScenarioDraw("base", speed, 1.0, 1.0, (peer,)))


def test_car_that_is_not_where_its_file_says_is_found(tmp_path, connection):
    cars = two_cars()
    files = write_scenario(tmp_path, cars, [30.0, 46.52])
    assert find_fault(connection, files, cars, TRACK) == MISPLACED


def test_overlapping_cars_are_found(tmp_path, connection):
    files = write_scenario(tmp_path, two_cars(), [30.0, 34.4])
    assert find_fault(connection, files, two_cars(), TRACK) == CONTACT


def test_missing_car_is_found(tmp_path, connection):
    files = write_scenario(tmp_path, two_cars()[:1], [30.0])
    assert find_fault(connection, files, two_cars(), TRACK) == MISSING


def test_parked_convoy_stays_where_it_is(tmp_path, connection):
    # The leader's maxSpeed is 0.01 m/s: 5 cm in 5 s.
    cars = two_cars(speed=0.0)
    files = write_scenario(tmp_path, cars, [car.position_m for car in cars])
    assert find_fault(connection, files, cars, TRACK) is None
    moved_m = connection.vehicle.getLanePosition("V002") - cars[1].position_m
    assert 0.0 <= moved_m <= 0.05


# --- The command ------------------------------------------------------------------------------


def run_command_line(*flags, cwd):
    return subprocess.run(
        [sys.executable, "-m", "ml.scripts.gen_scenarios", *flags],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_prints_its_summary_on_stdout_and_its_progress_on_stderr(tmp_path):
    flags = ("--output_dir", str(tmp_path / "v1"), "--train_count", "3", "--eval_count", "2")
    result = run_command_line(*flags, cwd=REPOSITORY_ROOT)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Dataset v1 in ")
    assert "5/5 scenarios, last eval_001" in result.stderr


def test_command_fails_in_one_line(tmp_path):
    flags = ("--output_dir", str(tmp_path / "v1"), "--base_dir", "no/such")
    result = run_command_line(*flags, cwd=REPOSITORY_ROOT)
    assert result.returncode == 1
    assert result.stderr == "error: --base_dir must exist. Got 'no/such'. Check the path.\n"
    assert result.stdout == ""
