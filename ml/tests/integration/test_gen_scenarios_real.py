"""The generator and the bases with the real SUMO and netconvert."""

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ml.envs.scenario_manager import ScenarioManager, scenario_content_hash
from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.errors import RecordError, ScenarioError
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scenarios.build_bases import BASES, build_base
from ml.scenarios.scenario_files import PlacedVehicle, configuration_text, ego_type, route_file_text
from ml.scripts import dataset_builder, gen_scenarios
from ml.scripts.base_scenario import load_bases
from ml.scripts.scenario_check import CONTACT, MISPLACED, MISSING, find_fault
from ml.scripts.scenario_draws import PeerDraw, ScenarioDraw, place_convoy

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


def lane_shape(name):
    network = parse(SCENARIOS / name / "network.net.xml")
    lane = network.find("./edge[@id='forward']/lane")
    shape = [tuple(map(float, point.split(","))) for point in lane.get("shape").split()]
    return lane, shape


@pytest.mark.parametrize("name", sorted(BASES))
def test_lane_is_as_long_as_its_shape_and_its_alignment(name):
    lane, shape = lane_shape(name)
    length_m = sum(map(math.dist, shape[:-1], shape[1:]))
    assert float(lane.get("length")) == pytest.approx(length_m, rel=1e-3)
    # The lane runs 1.6 m beside the centre line: at most 1.6 m more or less for a radian turned.
    assert length_m == pytest.approx(sum(part.length_m for part in BASES[name]), rel=1e-3)


def circumradius(a, b, c):
    # R = product of the sides over four times the area, the area from the cross product.
    cross = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    sides = math.dist(a, b) * math.dist(b, c) * math.dist(c, a)
    return math.inf if cross == 0.0 else sides / (2.0 * abs(cross))


def test_built_curves_have_radii_of_at_least_400_m():
    # The tightest curve turns right at 410 m; its lane runs 1.6 m inside, at 408.4 m. Points 20 m
    # apart lie 20^2 / 408.4 / 2 = 0.49 m off a straight; 1 mm of rounding is 0.2 % of that, 0.9 m.
    _, shape = lane_shape("base")
    radii = map(circumradius, shape[:-2], shape[1:-1], shape[2:])
    assert min(radii) == pytest.approx(408.4, abs=0.9)


@pytest.mark.parametrize("name", sorted(BASES))
def test_base_is_a_scenario_of_its_own(name, connection):
    (base,) = load_bases([SCENARIOS / name], 46.8)
    root = parse(base.files.routes[0]).getroot()
    cars = [
        PlacedVehicle(
            car.get("id"), ego_type(), float(car.get("departPos")), float(car.get("departSpeed"))
        )
        for car in root.findall("vehicle")
    ]
    assert [car.vehicle_id for car in cars] == ["V001", "V002", "V003", "V004", "V005"]
    assert {car.speed_mps for car in cars} == {20.0}
    assert find_fault(connection, base.files, cars, base.lane_id) is None


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
    assert base["sumocfg_hash"] == sha256_of_file(SCENARIOS / "base" / "scenario.sumocfg")
    assert manifest["emulator_params"] == {
        "path": PARAMS,
        "hash": sha256_of_file(REPOSITORY_ROOT / PARAMS),
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


def test_several_bases_are_all_used_and_each_network_is_stored_once(tmp_path):
    flags = [part for name in sorted(BASES) for part in ("--base_dir", str(SCENARIOS / name))]
    manifest = generate(tmp_path / "v1", "--train_count", "12", "--eval_count", "2", *flags)
    assert [base["path"] for base in manifest["base_scenarios"]] == [
        "ml/scenarios/base",
        "ml/scenarios/base_test_track",
    ]
    assert manifest["base_scenario"] == manifest["base_scenarios"][0]
    drawn = {entry["draws"]["base"] for entry in manifest["scenarios"].values()}
    assert drawn == set(BASES)
    for name in BASES:
        stored = (tmp_path / "v1" / "networks" / f"{name}.net.xml").read_bytes()
        assert stored == (SCENARIOS / name / "network.net.xml").read_bytes()


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
    def draw(generator, num_peers, base_names, ranges):
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


def two_cars(speed=10.0):
    peer = PeerDraw(0.0, 4.0, 1.0, 0.0, 1.2)
    return place_convoy(ScenarioDraw("base", speed, 1.0, 1.0, (peer,)))


def test_car_that_is_not_where_its_file_says_is_found(tmp_path, connection):
    cars = two_cars()
    files = write_scenario(tmp_path, cars, [30.0, 46.52])
    assert find_fault(connection, files, cars, "forward_0") == MISPLACED


def test_overlapping_cars_are_found(tmp_path, connection):
    files = write_scenario(tmp_path, two_cars(), [30.0, 34.4])
    assert find_fault(connection, files, two_cars(), "forward_0") == CONTACT


def test_missing_car_is_found(tmp_path, connection):
    files = write_scenario(tmp_path, two_cars()[:1], [30.0])
    assert find_fault(connection, files, two_cars(), "forward_0") == MISSING


def test_parked_convoy_stays_where_it_is(tmp_path, connection):
    # The leader's maxSpeed is 0.01 m/s: 5 cm in 5 s.
    cars = two_cars(speed=0.0)
    files = write_scenario(tmp_path, cars, [car.position_m for car in cars])
    assert find_fault(connection, files, cars, "forward_0") is None
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
