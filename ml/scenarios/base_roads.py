"""The alignment, the lanes and the settings of every base road."""

from __future__ import annotations

from dataclasses import dataclass

from ml.scenarios.alignment import Grade, RoadElement, bend
from ml.scenarios.base_settings import BaseSettings, LeaderProfileRanges
from ml.scenarios.scenario_files import SpeedProfile


@dataclass(frozen=True)
class BaseRoad:
    """How one base is built.

    Attributes:
        elements: Its centre line.
        settings: What its ``base.json`` says; None for a base without one.
        num_lanes: Lanes in each direction.
        joints_m: Stations at which one edge ends and the next begins [m].
        cross_street_m: Length of the side streets, to the left and right of each joint; 0 for
            joints without [m].
        grades: Stations and grades; empty for a level road.
        speed_mps: Speed of the default convoy [m/s].
        speed_profile: What the default convoy's leader drives; empty for a constant speed.
    """

    elements: tuple[RoadElement, ...]
    settings: BaseSettings | None = None
    num_lanes: int = 1
    joints_m: tuple[float, ...] = ()
    cross_street_m: float = 0.0
    grades: tuple[Grade, ...] = ()
    speed_mps: float = 20.0
    speed_profile: SpeedProfile = ()

    @property
    def length_m(self) -> float:
        """Length of the centre line [m]."""
        return sum(element.length_m for element in self.elements)


_BASE = BaseRoad(
    (
        RoadElement(400.0),
        RoadElement(500.0, 800.0),
        RoadElement(300.0),
        RoadElement(600.0, -600.0),
        RoadElement(400.0),
        RoadElement(800.0, 1000.0),
        RoadElement(200.0),
        RoadElement(360.0, -410.0),
        RoadElement(500.0),
        RoadElement(600.0, 700.0),
        RoadElement(300.0),
        RoadElement(900.0, -1200.0),
        RoadElement(640.0),
    )
)

_TEST_TRACK = BaseRoad(
    (RoadElement(6000.0),), BaseSettings("Straight road of the protocols; held out", held_out=True)
)

_HIGHWAY = BaseRoad(
    (
        RoadElement(600.0),
        RoadElement(900.0, 1500.0),
        RoadElement(500.0),
        RoadElement(1000.0, -1200.0),
        RoadElement(800.0),
        RoadElement(1400.0, 2000.0),
        RoadElement(400.0),
        RoadElement(800.0, -1100.0),
        RoadElement(900.0),
        RoadElement(900.0, 1400.0),
        RoadElement(200.0),
    ),
    BaseSettings("Highway with two lanes each way; the convoy keeps right", (20.0, 30.0)),
    num_lanes=2,
    joints_m=(700.0, 1600.0, 2500.0, 3300.0, 4200.0, 5200.0, 6100.0, 7100.0),
    speed_mps=25.0,
)

_URBAN = BaseRoad(
    (
        RoadElement(330.0),
        bend(60.0, 90.0),
        RoadElement(300.0),
        bend(-60.0, 90.0),
        RoadElement(420.0),
        bend(-60.0, 90.0),
        RoadElement(260.0),
        bend(60.0, 90.0),
        RoadElement(350.0),
        bend(60.0, 90.0),
        RoadElement(450.0),
    ),
    BaseSettings(
        "Town with crossings, corners and a leader that stops and goes",
        (6.0, 14.0),
        leader_profile=LeaderProfileRanges(low_speed_share=(0.0, 0.4)),
    ),
    # The 2nd, 5th, 8th, 10th and 13th crossings stand in the middle of a corner.
    joints_m=(
        *(150.0, 377.1, 500.0, 620.0, 771.4, 900.0, 1100.0, 1285.6),
        *(1430.0, 1639.9, 1800.0, 1950.0, 2084.1, 2250.0, 2400.0),
    ),
    cross_street_m=60.0,
    speed_mps=10.0,
    speed_profile=((0.0, 10.0), (8.0, 10.0), (16.0, 0.0), (22.0, 0.0), (30.0, 9.0)),
)

_CURVE = BaseRoad(
    (
        RoadElement(80.0),
        bend(50.0, 90.0),
        RoadElement(40.0),
        bend(-45.0, 180.0),
        RoadElement(50.0),
        bend(45.0, 180.0),
        RoadElement(40.0),
        bend(-50.0, 120.0),
        RoadElement(20.0),
        bend(60.0, 90.0),
        RoadElement(20.0),
        bend(-55.0, 120.0),
        RoadElement(20.0),
        bend(45.0, 150.0),
        RoadElement(30.0),
        bend(-45.0, 180.0),
        RoadElement(40.0),
        bend(50.0, 120.0),
        RoadElement(20.0),
        bend(-80.0, 90.0),
        RoadElement(20.0),
        bend(90.0, 60.0),
        RoadElement(80.0),
    ),
    BaseSettings("Tight bends in which the car ahead leaves a forward cone", (6.0, 10.2)),
    speed_mps=9.0,
)

_HILLS = BaseRoad(
    (
        RoadElement(300.0),
        RoadElement(400.0, 400.0),
        RoadElement(200.0),
        RoadElement(500.0, -350.0),
        RoadElement(250.0),
        RoadElement(700.0, 600.0),
        RoadElement(200.0),
        RoadElement(350.0, -310.0),
        RoadElement(400.0),
        RoadElement(600.0, 500.0),
        RoadElement(300.0),
        RoadElement(800.0, -800.0),
        RoadElement(300.0),
    ),
    BaseSettings("Rolling road with curves; held out", (15.0, 25.0), held_out=True),
    grades=(
        *((0.0, 0.0), (200.0, 0.0), (380.0, 0.079), (600.0, 0.079)),
        *((940.0, -0.079), (1150.0, -0.079), (1420.0, 0.04), (1600.0, 0.04)),
        *((1800.0, -0.05), (2100.0, -0.05), (2400.0, 0.07), (2700.0, 0.07)),
        *((3000.0, -0.06), (3250.0, -0.06), (3500.0, 0.05), (3800.0, 0.05)),
        *((4000.0, -0.03), (4300.0, -0.03), (4500.0, 0.0)),
    ),
)

BASES: dict[str, BaseRoad] = {
    "base": _BASE,
    "base_test_track": _TEST_TRACK,
    "base_highway": _HIGHWAY,
    "base_urban": _URBAN,
    "base_curve": _CURVE,
    "base_hills": _HILLS,
}
"""Every base by the name of its folder."""
