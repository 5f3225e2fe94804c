"""A reset takes SUMO back to an empty road: what follows depends on scenario and seed alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.sumo_connection import SIMULATION_OPTIONS, SumoConnection, read_scenario_files
from ml.tests.road_worlds import build_network, convoy_body, write_scenario

POSITIONS_M = [100.0, 140.0, 180.0]
SPEED_MPS = 20.0
CARS = ("V001", "V002", "V003")
SUMO_SEED = 3
BASES = Path(__file__).resolve().parents[2] / "scenarios"
PLAIN = convoy_body("a_b b_c", POSITIONS_M, SPEED_MPS)
CAREFUL = PLAIN.replace('sigma="0.2"', 'sigma="0"').replace("<vType", '<vType speedDev="0"')


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    folder = tmp_path_factory.mktemp("road")
    build_network(folder, {"a": (0, 0), "b": (400, 0), "c": (2000, 300)}, ["a b 1", "b c 1"])
    return folder


@pytest.fixture
def connection():
    connection = SumoConnection()
    yield connection
    connection.close()


@pytest.fixture
def loads(connection, monkeypatch):
    """Every list of options with which SUMO was made to read a network."""
    seen = []
    load = connection._load
    monkeypatch.setattr(
        connection,
        "_load",
        lambda options, road_hash: (seen.append(options), load(options, road_hash)),
    )
    return seen


def scenario(road, body, *, name="one", further_input=""):
    """Return the files of a scenario on the road, in a folder of its own."""
    folder = road / name
    folder.mkdir(exist_ok=True)
    (folder / "network.net.xml").write_bytes((road / "network.net.xml").read_bytes())
    return read_scenario_files(write_scenario(folder, body, further_input=further_input))


def drive(connection, cars=CARS, num_steps=150):
    """Drive on and return every car's position and speed at every step."""
    states = []
    for _ in range(num_steps):
        connection.step()
        vehicle = connection.vehicle
        states.append([(vehicle.getPosition(car), vehicle.getSpeed(car)) for car in cars])
    return states


def driven_afresh(files, seed=SUMO_SEED):
    """Return what a simulation that has never held anything else does."""
    connection = SumoConnection()
    try:
        connection.load(files, seed)
        return drive(connection)
    finally:
        connection.close()


def test_a_scenario_drives_the_same_after_itself_and_after_another(road):
    files = scenario(road, PLAIN)
    other = scenario(road, convoy_body("a_b b_c", [60.0, 330.0], 30.0), name="other")
    first = driven_afresh(files)
    connection = SumoConnection()
    connection.load(other, 8)
    drive(connection, ("V001", "V002"), 90)  # one of them beyond the junction, none stopped
    connection.load(files, SUMO_SEED)
    second = drive(connection)
    connection.load(files, SUMO_SEED)
    third = drive(connection)
    connection.close()

    assert second == first
    assert third == first


def test_another_seed_gives_other_imperfections(road):
    files = scenario(road, PLAIN)

    assert driven_afresh(files, 4) != driven_afresh(files, 3)


def test_without_imperfection_the_cars_drive_as_after_a_load_by_sumo_itself(road, connection):
    files = scenario(road, CAREFUL, name="careful")
    connection.load(files, SUMO_SEED)
    drive(connection, num_steps=7)
    connection.load(files, SUMO_SEED)
    on_road = drive(connection)
    connection._sumo.load([*files.options(), *SIMULATION_OPTIONS])

    assert on_road == drive(connection)


def test_the_network_is_read_once_for_scenarios_with_the_same(road, connection, loads):
    for name in ("one", "two", "one"):
        connection.load(scenario(road, PLAIN, name=name), SUMO_SEED)

    assert len(loads) == 1


def test_a_network_that_changed_is_read_again(road, connection, loads):
    files = scenario(road, PLAIN, name="changing")
    connection.load(files, SUMO_SEED)
    network = files.network.read_text()
    files.network.write_text(network.replace('speed="50.000"', 'speed="49.000"'))
    connection.load(files, SUMO_SEED)

    assert len(loads) == 2


def test_a_route_file_that_changed_is_read_again(road, connection):
    files = scenario(road, PLAIN, name="rewritten")
    connection.load(files, SUMO_SEED)
    write_scenario(files.sumocfg.parent, PLAIN.replace('departSpeed="20.0"', 'departSpeed="11.0"'))
    connection.load(files, SUMO_SEED)
    connection.step()

    assert connection.vehicle.getSpeed("V001") == 11.0


FLOW = '<flow id="f" route="convoy" begin="5" end="50" number="3" departPos="0"/>'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(PLAIN + FLOW, id="other traffic"),
        pytest.param(PLAIN.replace('departLane="0"', 'departLane="free"'), id="lane by word"),
        pytest.param(PLAIN.replace('departLane="0"', 'departLane="0" color="red"'), id="colour"),
    ],
)
def test_sumo_reads_by_itself_what_is_more_than_placed_cars(road, connection, loads, body):
    files = scenario(road, body, name="more")
    connection.load(files, SUMO_SEED)
    connection.load(files, SUMO_SEED)

    assert len(loads) == 2
    assert "-r" in loads[1]


def test_placed_cars_follow_again_after_a_scenario_that_sumo_reads_by_itself(road):
    files = scenario(road, PLAIN)
    first = driven_afresh(files)
    connection = SumoConnection()
    connection.load(scenario(road, PLAIN + FLOW, name="traffic"), 5)
    drive(connection, num_steps=80)
    connection.load(files, SUMO_SEED)
    second = drive(connection)
    connection.close()

    assert second == first


def test_a_road_with_signals_is_read_by_sumo_itself(tmp_path, connection, loads):
    build_network(tmp_path, {"a": (0, 0), "b": (400, 0), "c": (2000, 0)}, ["a b 1", "b c 1"])
    network = tmp_path / "network.net.xml"
    logic = (
        '<tlLogic id="s" type="static" programID="0" offset="0">'
        '<phase duration="30" state="G"/></tlLogic><junction id'
    )
    network.write_text(network.read_text().replace("<junction id", logic, 1))
    files = read_scenario_files(write_scenario(tmp_path, PLAIN))
    connection.load(files, SUMO_SEED)
    connection.load(files, SUMO_SEED)

    assert len(loads) == 2


@pytest.mark.parametrize("base", ["base_urban", "base_hills"])
def test_an_episode_is_the_same_whatever_was_played_before(base):
    sumo_cfg = BASES / base / "scenario.sumocfg"
    traces = []
    for earlier in ((), (0, 1, 2)):
        env = ConvoyEnv(sumo_cfg=sumo_cfg, scenario_seed=5, max_steps=120)
        for index in (*earlier, 7):
            env.reset(options={"episode_index": index})
            for _ in range(40 + 10 * index):
                env.step([-1.0])
        traces.append(env._recorder.trace.copy())
        env.close()

    assert traces[0].shape[0] == 110
    assert traces[0].tobytes() == traces[1].tobytes()


def test_a_function_without_its_wrapper_reads_the_same(connection, road):
    connection.load(scenario(road, PLAIN), SUMO_SEED)
    drive(connection, num_steps=3)
    names = ("getPosition", "getSpeed", "getAngle", "getDistance")

    direct = [connection.vehicle_function(name) for name in names]

    wrapped = [getattr(connection.vehicle, name) for name in names]
    assert [read("V002") for read in direct] == [read("V002") for read in wrapped]
    assert not set(direct) & set(wrapped)


def test_a_simulator_without_such_functions_is_read_through_its_wrappers(connection, monkeypatch):
    monkeypatch.delattr(connection._sumo, "_libsumo")

    assert connection.vehicle_function("getSpeed") == connection.vehicle.getSpeed
