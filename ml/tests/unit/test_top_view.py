"""Pictures of hand-made scenes: what is where, and what the colours say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ml.envs.scene import Scene
from ml.envs.sumo_connection import Lane
from ml.envs.top_view import (
    EGO_AT_PX,
    LONGEST_VIEW_M,
    PICTURE_SIZE_PX,
    SHORTEST_VIEW_M,
    draw_scene,
    first_view_length_m,
    grown_view_length_m,
)
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    NUM_CAR_FIELDS,
)

EGO, HEARD, UNHEARD = (247, 196, 49), (78, 161, 243), (176, 182, 189)
BRAKE_LIGHT, DIRECT, RELAYED, DEMAND = (235, 47, 47), (0, 138, 117), (214, 112, 0), (214, 40, 57)
VIEW_M = 84.0
PX_PER_M = (960 - EGO_AT_PX) / VIEW_M  # 10
ROAD = slice(44, 250)
"""Rows of the picture with the road; below it are the bars and the legend."""


def convoy(*ahead_m, heading_rad=0.0, speed_mps=20.0):
    """Cars 5 m long on a straight road through the origin, where the ego is."""
    distances_m = np.array([0.0, *ahead_m])
    cars = np.zeros((len(distances_m), NUM_CAR_FIELDS))
    cars[:, CAR_X] = distances_m * math.cos(heading_rad)
    cars[:, CAR_Y] = distances_m * math.sin(heading_rad)
    cars[:, CAR_HEADING], cars[:, CAR_SPEED], cars[:, CAR_LENGTH] = heading_rad, speed_mps, 5.0
    return cars


def scene(cars, **changes):
    """The cars on an empty plain, all heard, with nothing going on."""
    plain = Scene(
        time_s=1.0, lanes=(), cars=cars, widths_m=np.full(len(cars), 2.0),
        is_fresh=np.full(len(cars), True), arrivals=(), gap_m=30.0,
        demand_mps2=0.0, driver_command_mps2=0.0,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def road_of(picture):
    return picture[ROAD]


def places_of(picture, colour):
    """Return the rows and columns of a colour, exact within the shades of an edge."""
    return np.nonzero((np.abs(picture.astype(int) - colour) <= 2).all(axis=2))


@pytest.mark.parametrize("heading_rad", [0.0, 0.7, math.pi / 2, 3.1, -2.0])
def test_cars_are_where_they_are_seen_from_the_ego_whatever_its_heading(heading_rad):
    picture = draw_scene(scene(convoy(40.0, heading_rad=heading_rad)), VIEW_M)

    assert picture.shape == (PICTURE_SIZE_PX[1], PICTURE_SIZE_PX[0], 3)
    assert picture.dtype == np.uint8
    rows, columns = places_of(road_of(picture), EGO)
    assert columns.max() == pytest.approx(EGO_AT_PX, abs=2)
    assert columns.min() == pytest.approx(EGO_AT_PX - 5.0 * PX_PER_M, abs=2)
    assert np.ptp(rows) == pytest.approx(2.0 * PX_PER_M, abs=3)
    _, columns = places_of(road_of(picture), HEARD)
    assert columns.max() == pytest.approx(EGO_AT_PX + 40.0 * PX_PER_M, abs=2)


def test_a_car_to_the_left_is_drawn_higher():
    cars = convoy(40.0, 60.0)
    cars[1, CAR_Y] = 4.0
    cars[2, CAR_Y] = -4.0  # the two pull the picture's direction to either side
    rows, columns = places_of(road_of(draw_scene(scene(cars), VIEW_M)), HEARD)

    assert rows[columns < 540].mean() < rows[columns > 640].mean() - 4.0 * PX_PER_M


def test_a_peer_that_is_not_heard_is_grey():
    cars = convoy(20.0, 40.0)
    picture = road_of(draw_scene(scene(cars, is_fresh=np.array([False, True, False])), VIEW_M))

    assert places_of(picture, HEARD)[1].max() < EGO_AT_PX + 21.0 * PX_PER_M
    assert places_of(picture, UNHEARD)[1].min() > EGO_AT_PX + 34.0 * PX_PER_M


def test_lights_show_a_car_that_brakes():
    cars = convoy(40.0)
    cars[1, CAR_ACCELERATION] = -3.0
    _, columns = places_of(road_of(draw_scene(scene(cars), VIEW_M)), BRAKE_LIGHT)

    assert len(places_of(road_of(draw_scene(scene(convoy(40.0)), VIEW_M)), BRAKE_LIGHT)[0]) == 0
    # from 1.12 to 0.88 car lengths behind the front bumper
    assert columns.min() == pytest.approx(EGO_AT_PX + 34.4 * PX_PER_M, abs=2)
    assert columns.max() == pytest.approx(EGO_AT_PX + 35.6 * PX_PER_M, abs=2)


def test_messages_are_arcs_from_the_sender_to_the_ego():
    arrivals = ((1, 0), (2, 1))
    picture = road_of(draw_scene(scene(convoy(30.0, 60.0), arrivals=arrivals), VIEW_M))

    _, direct = places_of(picture, DIRECT)
    _, relayed = places_of(picture, RELAYED)
    # between the cars' middles, 2.5 m behind their front bumpers
    assert direct.max() == pytest.approx(EGO_AT_PX + 27.5 * PX_PER_M, abs=6)
    assert relayed.max() == pytest.approx(EGO_AT_PX + 57.5 * PX_PER_M, abs=6)
    assert len(places_of(road_of(draw_scene(scene(convoy(30.0)), VIEW_M)), DIRECT)[0]) == 0


def test_the_bar_is_as_long_as_the_demand():
    half, full = (
        places_of(draw_scene(scene(convoy(40.0), demand_mps2=demand), VIEW_M), DEMAND)[1]
        for demand in (4.0, 8.0)
    )

    assert np.ptp(full) == pytest.approx(2 * np.ptp(half), abs=2)
    assert len(places_of(draw_scene(scene(convoy(40.0)), VIEW_M), DEMAND)[0]) == 0


def test_the_texts_follow_time_gap_and_caption():
    plain = draw_scene(scene(convoy(40.0)), VIEW_M)
    header = (slice(0, 44), slice(0, 120)), (slice(0, 44), slice(320, 480)), (slice(0, 44), -200)
    later = draw_scene(scene(convoy(40.0), time_s=2.0), VIEW_M)
    farther = draw_scene(scene(convoy(40.0), gap_m=math.inf), VIEW_M)

    assert not np.array_equal(plain[header[0]], later[header[0]])
    assert np.array_equal(plain[:, 320:480], later[:, 320:480])
    assert not np.array_equal(plain[header[1]], farther[header[1]])
    assert not np.array_equal(plain, draw_scene(scene(convoy(40.0)), VIEW_M, caption="calm"))


def test_the_road_passes_by_under_an_ego_that_stays_where_it_is():
    lane = Lane(3.2, np.array([[-200.0, 0.0], [400.0, 0.0]]))
    here = road_of(draw_scene(scene(convoy(40.0), lanes=(lane,)), VIEW_M))
    moved = convoy(40.0)
    moved[:, CAR_X] += 2.0
    there = road_of(draw_scene(scene(moved, lanes=(lane,)), VIEW_M))

    assert np.array_equal(places_of(here, EGO), places_of(there, EGO))
    post = (160, 166, 156)
    assert len(places_of(here, post)[1]) > 0
    # all posts 2 m farther back; those at the picture's ends come and go
    inner = [
        {column for column in places_of(road, post)[1].tolist() if 40 < column + shift < 920}
        for road, shift in ((here, 0), (there, round(2.0 * PX_PER_M)))
    ]
    assert {column - round(2.0 * PX_PER_M) for column in inner[0]} == inner[1]


def test_a_lone_ego_is_drawn_along_its_heading():
    picture = draw_scene(scene(convoy(heading_rad=1.0), gap_m=math.inf), VIEW_M)

    assert places_of(road_of(picture), EGO)[1].max() == pytest.approx(EGO_AT_PX, abs=2)


def test_pictures_show_the_convoy_as_it_begins_within_limits():
    assert first_view_length_m(convoy(100.0, 200.0)) == pytest.approx(220.0)
    assert first_view_length_m(convoy(10.0)) == SHORTEST_VIEW_M
    assert first_view_length_m(convoy(900.0)) == LONGEST_VIEW_M


def test_a_bend_asks_for_a_longer_view_and_a_car_that_drives_away_does_not():
    bend = convoy(50.0, 100.0)
    bend[1, CAR_Y] = 30.0

    away = convoy(50.0, 400.0)
    away[2, CAR_Y] = 100.0

    assert grown_view_length_m(110.0, bend) > 110.0
    assert grown_view_length_m(110.0, away) == 110.0
