"""Why a reset loads the scenario again instead of putting the cars back on the loaded road."""

from __future__ import annotations

import pytest

from ml.envs.sumo_connection import SumoConnection, read_scenario_files
from ml.tests.road_worlds import build_network, convoy_body, write_scenario

POSITIONS_M = [100.0, 140.0, 180.0]
SPEED_MPS = 20.0
CARS = ("V001", "V002", "V003")
TYPES = {"V001": "ego", "V002": "peer", "V003": "peer"}
SUMO_SEED = 3


@pytest.fixture
def files(tmp_path):
    build_network(tmp_path, {"a": (0, 0), "b": (2000, 0)}, ["a b 1"])
    return read_scenario_files(write_scenario(tmp_path, convoy_body("a_b", POSITIONS_M, SPEED_MPS)))


@pytest.fixture
def connection(files):
    connection = SumoConnection()
    connection.load(files, SUMO_SEED)
    yield connection
    connection.close()


def drive(connection):
    """Drive for 10 s and return every car's position and speed at every step."""
    states = []
    for _ in range(100):
        connection.step()
        vehicle = connection.vehicle
        states.append([(vehicle.getPosition(car), vehicle.getSpeed(car)) for car in CARS])
    return states


def put_back(connection):
    """Take every car off the road and let it depart again as its file says."""
    for car in CARS:
        connection.vehicle.remove(car)
    for car, position_m in zip(CARS, POSITIONS_M, strict=True):
        connection.vehicle.add(
            car, "convoy", TYPES[car], depart="now", departLane="0",
            departPos=str(position_m), departSpeed=str(SPEED_MPS),
        )  # fmt: skip


def set_imperfection(connection, share):
    connection._sumo.vehicletype.setImperfection("peer", share)


def test_a_scenario_loaded_again_drives_the_same(files, connection):
    first = drive(connection)
    connection.load(files, SUMO_SEED)

    assert drive(connection) == first


def test_cars_put_back_drive_the_same_where_nothing_is_random(connection):
    set_imperfection(connection, 0.0)
    first = drive(connection)
    put_back(connection)

    assert drive(connection) == first


def test_cars_put_back_meet_other_random_numbers_than_after_a_load(connection):
    first = drive(connection)
    put_back(connection)

    assert drive(connection) != first
