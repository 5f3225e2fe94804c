"""What a route file says of the convoy: who is in it, the leader's script, other traffic."""

from __future__ import annotations

import pytest

from ml.envs.departures import SpeedProfile, read_departures
from ml.envs.sumo_connection import ScenarioFiles
from ml.errors import ScenarioError

EGO = '<vehicle id="V001" depart="0" departPos="40.5"/>'


@pytest.fixture
def read(tmp_path):
    """Return a function that reads one route file per text."""

    def read(*bodies):
        paths = []
        for index, body in enumerate(bodies):
            path = tmp_path / f"{index}.rou.xml"
            path.write_text(f"<routes>{body}</routes>", encoding="utf-8")
            paths.append(path)
        return read_departures(ScenarioFiles(tmp_path / "a.sumocfg", paths[0], tuple(paths)))

    return read


def leader(script):
    return (
        f'<vehicle id="V002" depart="0"><param key="roadsense.speed_profile" value="{script}"/>'
        "</vehicle>"
    )


def test_cars_come_in_the_files_order_with_their_positions(read):
    departures = read('<vehicle id="V003" depart="0.00" departPos="base"/>', EGO)

    assert [car.car_id for car in departures.cars] == ["V003", "V001"]
    assert [car.position_m for car in departures.cars] == [None, 40.5]
    assert not departures.has_other_traffic


def test_a_trip_is_a_car_too(read):
    assert len(read('<trip id="V001" depart="0" from="a" to="b"/>').cars) == 1


@pytest.mark.parametrize(
    "other",
    [
        '<vehicle id="truck_7" depart="3"/>',
        '<trip id="bus" depart="0"/>',
        '<flow id="flow_a" begin="0" end="9" number="3"/>',
        '<vehicle id="V12" depart="0"/>',  # two digits: no convoy car
        '<vehicle id="V001x" depart="0"/>',
        '<person id="p" depart="0"/>',
    ],
)
def test_what_is_no_convoy_car_is_other_traffic(read, other):
    departures = read(EGO + other)

    assert departures.has_other_traffic
    assert [car.car_id for car in departures.cars] == ["V001"]


def test_types_and_routes_are_no_traffic(read):
    assert not read(f'<vType id="ego"/><route id="r" edges="a"/>{EGO}').has_other_traffic


@pytest.mark.parametrize(
    ("bodies", "message"),
    [
        (['<vehicle id="V002" depart="0"/>'], r"must hold a vehicle V001.*Got \['V002'\]"),
        ([""], "must hold a vehicle V001.*Got none"),
        ([EGO, EGO], "lists a convoy car twice"),
        (['<vehicle id="V001" depart="5"/>'], "depart of V001 in .* must be 0.*Got '5'"),
        (['<vehicle id="V001"/>'], "depart of V001 in .* must be 0.*Got ''"),
        (['<vehicle id="V001" depart="triggered"/>'], "must be 0.*Got 'triggered'"),
        ([EGO + "<vehicle"], "well-formed XML"),
    ],
)
def test_a_route_file_without_a_usable_convoy_is_refused_in_one_line(read, bodies, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        read(*bodies)
    assert "\n" not in str(caught.value)


def test_a_file_that_changed_is_read_again(read):
    assert len(read(EGO).cars) == 1
    assert len(read(EGO + '<vehicle id="V002" depart="0"/>').cars) == 2


def test_a_script_is_linear_between_its_points_and_holds_the_last(read):
    profile = read(EGO + leader("0:12 8:12  14:0 20:0 26:9")).cars[1].profile

    assert profile == SpeedProfile((0.0, 8.0, 14.0, 20.0, 26.0), (12.0, 12.0, 0.0, 0.0, 9.0))
    # 12 m/s lost in 6 s: 2 m/s per second; 9 m/s won in 6 s: 1.5 m/s per second
    speeds = [profile.speed_mps(time_s) for time_s in (0.0, 8.0, 9.0, 11.5, 17.0, 22.0, 26.0, 99.0)]
    assert speeds == [12.0, 12.0, 10.0, 5.0, 0.0, 3.0, 9.0, 9.0]


def test_one_point_is_a_constant_speed(read):
    profile = read(EGO + leader("0:9.5")).cars[1].profile

    assert [profile.speed_mps(time_s) for time_s in (0.0, 7.0)] == [9.5, 9.5]


def test_another_parameter_is_no_script(read):
    departures = read(
        '<vehicle id="V001" depart="0"><param key="has.ssm.device" value="true"/></vehicle>'
    )

    assert departures.cars[0].profile is None


@pytest.mark.parametrize(
    "script",
    [
        "", "   ", "0", "0:", ":5", "a:5", "0:b", "1:5", "-1:5 0:5", "0:5 0:6", "0:5 4:5 4:6",
        "0:5 9:5 8:5", "0:-1", "0:50.1", "0:nan", "nan:5", "0:inf", "0:5 inf:5", "0:5 1:nan",
        "0:5,1:6", "0:5:6", "0;5", "0 : 5",
    ],
)  # fmt: skip
def test_a_script_in_any_other_form_is_refused_in_one_line(read, script):
    rule = r"speed_profile of V002 in .* must be time:speed points, .*as in '0:13\.9.*Got "
    with pytest.raises(ScenarioError, match=rule) as caught:
        read(EGO + leader(script))
    assert "\n" not in str(caught.value)


def test_the_largest_speed_of_a_script_is_50_mps(read):
    assert read(EGO + leader("0:0 60:50")).cars[1].profile.speed_mps(30.0) == 25.0


def test_a_script_among_other_traffic_is_refused(read):
    rule = "speed_profile of V002 in .* needs a road without other traffic"
    with pytest.raises(ScenarioError, match=rule):
        read(EGO + leader("0:9"), '<vehicle id="truck" depart="0"/>')
