"""The observation: what the board knows, in the ego's frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.envs.observation import EGO_FEATURES, PEER_FEATURES, Observer, observation_space
from ml.errors import SimulatorError
from ml.types import (
    EGO_ACCELERATION,
    EGO_NUM_FRESH_PEERS,
    EGO_SPEED,
    HEARD_IS_FRESH,
    HEARD_TIME_SINCE_RECEPTION,
    NUM_EGO_FEATURES,
    NUM_HEARD_FIELDS,
    NUM_HISTORY_SAMPLES,
    NUM_PEER_FEATURES,
    NUM_SENSED_FIELDS,
    PEER_ACCELERATION,
    PEER_FORWARD,
    PEER_HOP_COUNT,
    PEER_LEFT,
    PEER_LOWEST_ACCELERATION,
    PEER_RELATIVE_HEADING,
    PEER_RELATIVE_SPEED,
    PEER_SEQUENCE_GAP,
    PEER_STATE_AGE,
    PEER_TIME_SINCE_RECEPTION,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
    SENSED_Y,
)


def make_ego(x=0.0, y=0.0, speed=20.0, heading=0.0, acceleration=0.0):
    ego = np.zeros(NUM_SENSED_FIELDS)
    ego[[SENSED_X, SENSED_Y, SENSED_SPEED, SENSED_HEADING, SENSED_ACCELERATION]] = (
        x, y, speed, heading, acceleration,
    )  # fmt: skip
    return ego


def make_heard(*peers):
    """Rows from (x, y, speed, heading, acceleration, time since reception); row 0 is the ego's."""
    heard = np.zeros((len(peers) + 1, NUM_HEARD_FIELDS))
    for row, (x, y, speed, heading, acceleration, since) in zip(heard[1:], peers, strict=True):
        row[:NUM_SENSED_FIELDS] = make_ego(x, y, speed, heading, acceleration)
        row[HEARD_TIME_SINCE_RECEPTION] = since
        row[HEARD_IS_FRESH] = 1.0
    return heard


def observe(ego, heard, slot_seed=0):
    observer = Observer()
    observer.reset(ego, np.random.default_rng(slot_seed))
    return observer.observation(ego, heard)


def shown(observation):
    """The rows of peers that the mask marks, in a fixed order."""
    rows = observation["peers"][observation["peer_mask"] > 0.0]
    return rows[np.lexsort(rows.T[::-1])]


def rotate(ego, heard, angle):
    cosine, sine = math.cos(angle), math.sin(angle)
    turned_ego, turned_heard = ego.copy(), heard.copy()
    for row in (turned_ego, *turned_heard[1:]):
        x, y = row[SENSED_X], row[SENSED_Y]
        row[SENSED_X], row[SENSED_Y] = cosine * x - sine * y, sine * x + cosine * y
        row[SENSED_HEADING] += angle
    return turned_ego, turned_heard


def test_a_peer_ahead_is_dead_reckoned_to_now():
    # 30 m ahead 0.2 s ago at 10 m/s: 32 m now.
    observation = observe(make_ego(), make_heard((30.0, 0.0, 10.0, 0.0, 0.0, 0.2)))

    peer = shown(observation)[0]
    assert peer[PEER_FORWARD] == pytest.approx(32.0)
    assert peer[PEER_LEFT] == pytest.approx(0.0, abs=1e-6)
    assert peer[PEER_RELATIVE_SPEED] == pytest.approx(-10.0)


def test_dead_reckoning_stops_with_the_car():
    # 2 m/s at -8 m/s^2 stands after 0.25 s and 0.25 m.
    observation = observe(make_ego(), make_heard((30.0, 0.0, 2.0, 0.0, -8.0, 0.4)))

    assert shown(observation)[0][PEER_FORWARD] == pytest.approx(30.25)


def test_left_is_positive_to_the_left_of_the_ego_heading_north():
    ego = make_ego(heading=math.pi / 2)
    observation = observe(ego, make_heard((-4.0, 10.0, 0.0, math.pi / 2, 0.0, 0.0)))

    peer = shown(observation)[0]
    assert peer[PEER_FORWARD] == pytest.approx(10.0, abs=1e-5)
    assert peer[PEER_LEFT] == pytest.approx(4.0, abs=1e-5)


@given(
    angle=st.floats(-7.0, 7.0),
    peers=st.lists(
        st.tuples(
            st.floats(-200.0, 200.0), st.floats(-80.0, 80.0), st.floats(0.0, 40.0),
            st.floats(-0.5, 0.5), st.floats(-9.0, 3.0), st.floats(0.0, 0.5),
        ),
        max_size=8,
    ),
)  # fmt: skip
def test_rotating_the_map_changes_nothing(angle, peers):
    ego, heard = make_ego(3.0, -2.0, heading=0.2), make_heard(*peers)

    before = observe(ego, heard)
    after = observe(*rotate(ego, heard, angle))

    assert after["ego"] == pytest.approx(before["ego"], abs=1e-5)
    assert after["peers"] == pytest.approx(before["peers"], abs=1e-4, rel=1e-5)
    assert after["peer_mask"].tolist() == before["peer_mask"].tolist()


def test_the_order_of_the_peers_changes_slots_only():
    peers = [(20.0 * k, 0.0, 20.0, 0.0, -k, 0.1) for k in range(1, 6)]

    forwards = observe(make_ego(), make_heard(*peers))
    backwards = observe(make_ego(), make_heard(*peers[::-1]))

    assert shown(forwards) == pytest.approx(shown(backwards))


def test_slots_are_shuffled_between_episodes():
    heard = make_heard((20.0, 0.0, 20.0, 0.0, 0.0, 0.1))
    slots = {int(observe(make_ego(), heard, seed)["peer_mask"].argmax()) for seed in range(40)}

    assert len(slots) > 4


def test_a_stale_peer_is_not_shown():
    heard = make_heard((20.0, 0.0, 20.0, 0.0, 0.0, 0.6))
    heard[1, HEARD_IS_FRESH] = 0.0

    observation = observe(make_ego(), heard)

    assert not observation["peer_mask"].any()
    assert not observation["peers"].any()


def test_of_ten_peers_the_freshest_ahead_come_first_then_the_nearest():
    ahead = [(15.0 * k, 0.0, 20.0, 0.0, 0.0, 0.05 * k) for k in range(1, 8)]
    behind = [(-10.0 * k, 0.0, 20.0, 0.0, 0.0, 0.0) for k in range(1, 4)]

    offsets = sorted(
        shown(observe(make_ego(speed=20.0), make_heard(*behind, *ahead)))[:, PEER_FORWARD]
    )

    assert len(offsets) == 8
    assert offsets[0] == pytest.approx(-10.0)  # of the three behind only the nearest is left
    assert offsets[1] > 0.0


def test_values_beyond_the_bounds_are_clipped():
    observation = observe(make_ego(), make_heard((5000.0, 0.0, 20.0, 0.0, 0.0, 0.0)))

    assert shown(observation)[0][PEER_FORWARD] == 300.0
    assert observation_space().contains(observation)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", [SENSED_SPEED, SENSED_X, HEARD_TIME_SINCE_RECEPTION])
def test_frame_that_is_no_number_is_refused(field, value):
    heard = make_heard((30.0, 0.0, 20.0, 0.0, 0.0, 0.1))
    heard[1, field] = value
    with pytest.raises(SimulatorError, match="Got NaN or infinity from the frames it heard"):
        observe(make_ego(), heard)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["speed", "acceleration"])
def test_sensor_that_gives_no_number_is_refused_without_any_peer(name, value):
    with pytest.raises(SimulatorError, match="from the ego's own sensors"):
        observe(make_ego(**{name: value}), make_heard())


def test_frame_that_is_not_shown_may_hold_anything():
    heard = make_heard((30.0, 0.0, 20.0, 0.0, 0.0, 0.1))
    heard[1, SENSED_SPEED], heard[1, HEARD_IS_FRESH] = math.nan, 0.0
    assert shown(observe(make_ego(), heard)).shape == (0, NUM_PEER_FEATURES)


def test_history_holds_one_second_newest_first():
    observer = Observer()
    observer.reset(make_ego(speed=0.0), np.random.default_rng(0))
    for step in range(1, 12):
        observer.record(make_ego(speed=float(step)))

    ego = observer.observation(make_ego(speed=11.0), make_heard())["ego"]

    assert ego[:6].tolist() == [11.0, 9.0, 7.0, 5.0, 3.0, 1.0]


def test_the_ego_knows_how_many_it_hears():
    ego = observe(make_ego(), make_heard((20.0, 0.0, 20.0, 0.0, 0.0, 0.1)))["ego"]

    names = [feature.name for feature in EGO_FEATURES]
    assert ego[names.index("num_fresh_peers")] == 1.0


def test_the_tables_have_one_row_per_number():
    assert len(EGO_FEATURES) == NUM_EGO_FEATURES
    assert len(PEER_FEATURES) == NUM_PEER_FEATURES


def test_the_tables_name_each_number_at_its_place():
    peer_places = [
        PEER_FORWARD, PEER_LEFT, PEER_RELATIVE_SPEED, PEER_RELATIVE_HEADING, PEER_ACCELERATION,
        PEER_LOWEST_ACCELERATION, PEER_TIME_SINCE_RECEPTION, PEER_STATE_AGE, PEER_SEQUENCE_GAP,
        PEER_HOP_COUNT,
    ]  # fmt: skip
    oldest_speed = EGO_SPEED + NUM_HISTORY_SAMPLES - 1
    ego_places = [EGO_SPEED, oldest_speed, EGO_ACCELERATION, EGO_NUM_FRESH_PEERS]

    assert [PEER_FEATURES[place].name for place in peer_places] == [
        "forward_offset", "left_offset", "relative_speed", "relative_heading", "acceleration",
        "lowest_acceleration", "time_since_reception", "state_age", "sequence_gap", "hop_count",
    ]  # fmt: skip
    assert [EGO_FEATURES[place].name for place in ego_places] == [
        "speed_0.0s", "speed_1.0s", "acceleration_0.0s", "num_fresh_peers",
    ]  # fmt: skip


def test_an_observation_is_not_overwritten_by_the_next_one():
    observer = Observer()
    observer.reset(make_ego(), np.random.default_rng(0))
    first = observer.observation(make_ego(), make_heard((30.0, 0.0, 20.0, 0.0, 0.0, 0.1)))
    kept = {name: values.copy() for name, values in first.items()}

    observer.record(make_ego(speed=3.0))
    second = observer.observation(make_ego(speed=3.0), make_heard((9.0, 1.0, 5.0, 0.0, 0.0, 0.3)))

    assert not any(np.shares_memory(first[name], second[name]) for name in first)
    assert all(np.array_equal(first[name], kept[name]) for name in first)
