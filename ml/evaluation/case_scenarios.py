"""The convoys that the cases of a protocol drive in, drawn as the generator of datasets draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ml.errors import ScenarioError
from ml.provenance import REPOSITORY_ROOT
from ml.scenarios.base_settings import BaseSettings, LeaderProfileRanges, read_base_settings
from ml.scenarios.convoy_placement import ego_finds_its_place, path_position_m, put_on_path
from ml.scenarios.road_path import RoadPath, read_road_path, read_route_edges
from ml.scenarios.scenario_draws import AugmentationRanges, draw_scenario, place_convoy
from ml.scenarios.scenario_files import NETWORK_FILE, ROUTE_FILE, PlacedVehicle, route_file_text
from ml.seeding import indexed_generator

TEST_TRACK = "base_test_track"
WARM_UP_S = 2.0
ROUTE_END_MARGIN_M = 60.0
"""An episode ends when a car comes nearer to the end of its road than this [m]."""

_SCENARIO_STREAM = 3_000
_SPREAD = AugmentationRanges(
    speedFactor=(1.0, 1.0),
    spawn_jitter_s=(0.0, 0.0),
    traffic_density_multiplier=(1.0, 1.0),
    slow_share=0.0,
)
"""Peers at their own equilibrium gaps, of the generator's range of drivers."""
_EXACT = replace(_SPREAD, sigma=(0.0, 0.0))
"""Peers that keep their speed exactly."""


@dataclass(frozen=True)
class ScenarioPlan:
    """One convoy.

    Attributes:
        scenario_id: Its name, unique in the protocol.
        place: Its place in the seed tree, as (family, index).
        num_peers: Cars ahead of the ego.
        speed_mps: Speed of every car at the start.
        base: Name of the road.
        is_exact: Whether the peers keep their speed exactly.
        has_profile: Whether the leader stops and goes.
    """

    scenario_id: str
    place: tuple[int, int]
    num_peers: int
    speed_mps: float
    base: str = TEST_TRACK
    is_exact: bool = False
    has_profile: bool = False


@dataclass(frozen=True)
class CaseRoad:
    """A packaged base road.

    Attributes:
        name: Name of the base.
    """

    name: str

    @property
    def network(self) -> Path:
        """Its network file."""
        return REPOSITORY_ROOT / "ml" / "scenarios" / self.name / NETWORK_FILE

    @cached_property
    def path(self) -> RoadPath:
        """The lanes that the convoy drives on."""
        return read_road_path(self.network, read_route_edges(self.network.with_name(ROUTE_FILE)))

    @cached_property
    def settings(self) -> BaseSettings:
        """What the base says about itself."""
        return read_base_settings(self.network.parent)


def route_text(plan: ScenarioPlan, seed: int, road: CaseRoad, longest_s: float) -> str:
    """Return the route file of a convoy.

    Args:
        plan: The convoy.
        seed: The protocol's.
        road: The plan's road.
        longest_s: Length of the longest episode that is played with it.

    Raises:
        ScenarioError: The road is too short for it.
    """
    cars = _placed_cars(plan, seed, road)
    reach_m = ROUTE_END_MARGIN_M + plan.speed_mps * (longest_s + WARM_UP_S)
    is_short = cars is None or path_position_m(cars[-1], road.path) + reach_m > road.path.length_m
    if cars is None or is_short or not ego_finds_its_place(cars, road.path):
        raise ScenarioError(
            f"scenario {plan.scenario_id} must fit the road {plan.base} of "
            f"{road.path.length_m:g} m: {plan.num_peers} peers, {plan.speed_mps:g} m/s and "
            f"{longest_s:g} s. Shorten the episodes or lower the speeds of the protocol."
        )
    return route_file_text(cars, *road.path.edges)


def _placed_cars(plan: ScenarioPlan, seed: int, road: CaseRoad) -> list[PlacedVehicle] | None:
    """Draw a convoy and put it on its road; None where the road is too short."""
    profile = road.settings.leader_profile or LeaderProfileRanges()
    settings: Mapping[str, BaseSettings] = {
        plan.base: replace(
            road.settings,
            convoy_speed_mps=(plan.speed_mps, plan.speed_mps),
            leader_profile=profile if plan.has_profile else None,
        )
    }
    family, index = plan.place
    generator = indexed_generator(seed, _SCENARIO_STREAM + family, index)
    ranges = _EXACT if plan.is_exact else _SPREAD
    return put_on_path(
        place_convoy(draw_scenario(generator, plan.num_peers, settings, ranges)), road.path
    )
