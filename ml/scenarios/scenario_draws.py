"""What is drawn for one scenario, and the convoy that the draws put on the road.

Pure: a generator goes in, frozen values come out. Every draw is uniform. Speeds and driver values
are rounded to 6 decimals and positions to 3, as they stand in the route file, so that the manifest
and the file agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ml.scenarios.base_settings import BaseSettings
from ml.scenarios.leader_profile import draw_speed_profile
from ml.scenarios.scenario_files import (
    CAR_LENGTH_M,
    PEER_ACCEL_MPS2,
    PEER_EMERGENCY_DECEL_MPS2,
    PEER_MIN_GAP_M,
    PlacedVehicle,
    SpeedProfile,
    VehicleType,
    ego_type,
    vehicle_id_of_rank,
)
from ml.seeding import indexed_generator

Range = tuple[float, float]

REAR_MARGIN_M = 20.0
"""Road kept free behind the rearmost place the ego can start from [m]."""
EGO_GAP_M = 2.0
"""Gap of the ego at standstill [m]."""
EGO_HEADWAY_S = 1.0
"""Headway of the ego in the route file [s]."""
EGO_LONGEST_HEADWAY_S = 2.0
"""Longest headway at which the ego must still find its place on the road [s]."""
PARKED_MAX_SPEED_MPS = 0.01
"""Stands for a maxSpeed of 0, which SUMO refuses: half a metre in 50 s [m/s]."""

_FIRST_BLOCK_STREAM = 1_000
_DECIMALS = 6


@dataclass(frozen=True)
class AugmentationRanges:
    """The range of every drawn value, under SUMO's names where SUMO has one.

    Attributes:
        speedFactor: The leader's; one for each scenario.
        sigma: Driver imperfection of each peer.
        decel: Deceleration each peer's model counts on [m/s^2].
        tau: Desired headway of each peer [s].
        spawn_jitter_s: Delay of each peer, turned into distance to the car ahead [s].
        traffic_density_multiplier: All gaps are divided by it; one for each scenario.
        convoy_speed_mps: Speed of the convoy before speedFactor, on a base without one of its
            own [m/s].
        slow_convoy_speed_mps: The same in the share of slow scenarios [m/s].
        slow_share: Probability that a scenario is slow.
        parked_below_mps: A slow convoy with peers stands still below this speed [m/s].
        follower_max_speed_factor: Followers' maxSpeed as a multiple of the leader's.
        num_peers: Fewest and most peers, both included; every number is equally frequent.
    """

    speedFactor: Range = (0.8, 1.2)  # noqa: N815 - SUMO's own name
    sigma: Range = (0.0, 0.5)
    decel: Range = (3.5, 5.5)
    tau: Range = (0.5, 1.5)
    spawn_jitter_s: Range = (0.0, 2.0)
    traffic_density_multiplier: Range = (0.7, 1.3)
    convoy_speed_mps: Range = (6.0, 30.0)
    slow_convoy_speed_mps: Range = (0.0, 6.0)
    slow_share: float = 0.1
    parked_below_mps: float = 0.5
    follower_max_speed_factor: Range = (1.1, 1.3)
    num_peers: tuple[int, int] = (0, 8)

    def on_base(self, settings: BaseSettings) -> AugmentationRanges:
        """Return the ranges with the base's own convoy speeds."""
        return replace(self, convoy_speed_mps=settings.convoy_speed_mps)

    def top_speed_mps(self) -> float:
        """Return the highest speed a convoy can have [m/s].

        >>> AugmentationRanges().top_speed_mps()
        36.0
        """
        fastest_mps = max(self.convoy_speed_mps[1], self.slow_convoy_speed_mps[1])
        return fastest_mps * self.speedFactor[1]


@dataclass(frozen=True)
class PeerDraw:
    """What is drawn for one peer; names, units and ranges as in ``AugmentationRanges``."""

    sigma: float
    decel: float
    tau: float
    spawn_jitter_s: float
    follower_max_speed_factor: float


@dataclass(frozen=True)
class ScenarioDraw:
    """What is drawn for one scenario.

    Attributes:
        base: Name of the base scenario.
        convoy_speed_mps: Speed before speedFactor [m/s].
        speedFactor: The leader's.
        traffic_density_multiplier: Divides all gaps.
        peers: The peers' draws, from the one ahead of the ego to the leader.
        speed_profile: What a scripted leader drives; empty for a constant speed.
    """

    base: str
    convoy_speed_mps: float
    speedFactor: float  # noqa: N815 - SUMO's own name
    traffic_density_multiplier: float
    peers: tuple[PeerDraw, ...]
    speed_profile: SpeedProfile = ()

    @property
    def depart_speed_mps(self) -> float:
        """Speed of every car at departure: the convoy's times the leader's speedFactor [m/s]."""
        return round(self.convoy_speed_mps * self.speedFactor, _DECIMALS)

    def record(self) -> dict[str, Any]:
        """Return the draws as the manifest lists them, the peers by vehicle id."""
        values = asdict(self)
        peers = values.pop("peers")
        values["speed_profile"] = [list(point) for point in self.speed_profile] or None
        by_id = {vehicle_id_of_rank(rank): peer for rank, peer in enumerate(peers, start=1)}
        return {**values, "num_peers": len(peers), "peers": by_id}


def peer_counts(seed: int, split_index: int, count: int, ranges: AugmentationRanges) -> list[int]:
    """Return the number of peers of each scenario of a split.

    Every block of as many scenarios as there are numbers holds each number once, in random order,
    so that all are covered evenly and a longer split begins like a shorter one.

    Args:
        seed: The dataset's seed.
        split_index: Index of the split.
        count: Number of scenarios.
        ranges: Where the fewest and the most peers stand.

    Returns:
        ``count`` numbers of peers.
    """
    fewest, most = ranges.num_peers
    block = np.arange(fewest, most + 1)
    num_blocks = -(-count // len(block))
    stream = _FIRST_BLOCK_STREAM + split_index
    counts: list[int] = []
    for block_index in range(num_blocks):
        counts += indexed_generator(seed, stream, block_index).permutation(block).tolist()
    return counts[:count]


def draw_scenario(
    generator: np.random.Generator,
    num_peers: int,
    bases: Mapping[str, BaseSettings],
    ranges: AugmentationRanges,
) -> ScenarioDraw:
    """Draw one scenario.

    Args:
        generator: The scenario's own generator.
        num_peers: Number of peers, settled before.
        bases: The bases to choose from, by name.
        ranges: The range of every value but the speed, which is the base's.

    Returns:
        The draws, rounded as they are written.
    """
    base = list(bases)[int(generator.integers(len(bases)))]
    is_slow = generator.random() < ranges.slow_share
    draw = ScenarioDraw(
        base=base,
        convoy_speed_mps=(
            _draw_slow_speed(generator, num_peers, ranges)
            if is_slow
            else _draw(generator, ranges.on_base(bases[base]).convoy_speed_mps)
        ),
        speedFactor=_draw(generator, ranges.speedFactor),
        traffic_density_multiplier=_draw(generator, ranges.traffic_density_multiplier),
        peers=tuple(_draw_peer(generator, ranges) for _ in range(num_peers)),
    )
    profile = bases[base].leader_profile
    if profile is None or is_slow or num_peers == 0:
        return draw
    drawn = draw_speed_profile(generator, draw.depart_speed_mps, profile)
    return replace(draw, speed_profile=drawn)


def _draw(generator: np.random.Generator, bounds: Range) -> float:
    """Draw one value from its range."""
    return round(float(generator.uniform(*bounds)), _DECIMALS)


def _draw_slow_speed(
    generator: np.random.Generator, num_peers: int, ranges: AugmentationRanges
) -> float:
    """Draw a slow convoy's speed; a lone ego is never parked, since nothing could happen to it."""
    slowest, fastest = ranges.slow_convoy_speed_mps
    if num_peers == 0:
        return _draw(generator, (max(slowest, ranges.parked_below_mps), fastest))
    speed_mps = _draw(generator, (slowest, fastest))
    return speed_mps if speed_mps >= ranges.parked_below_mps else 0.0


def _draw_peer(generator: np.random.Generator, ranges: AugmentationRanges) -> PeerDraw:
    """Draw one peer."""
    return PeerDraw(
        sigma=_draw(generator, ranges.sigma),
        decel=_draw(generator, ranges.decel),
        tau=_draw(generator, ranges.tau),
        spawn_jitter_s=_draw(generator, ranges.spawn_jitter_s),
        follower_max_speed_factor=_draw(generator, ranges.follower_max_speed_factor),
    )


def place_convoy(draw: ScenarioDraw) -> list[PlacedVehicle]:
    """Put the ego and its peers on the road.

    With v the speed at departure and k the density multiplier, the gap ahead of the ego is
    (EGO_GAP_M + EGO_HEADWAY_S v) / k and the gap ahead of a following peer is its equilibrium gap
    and its jitter as distance, (min_gap + tau v + jitter v) / k. The ego's neighbour stands so far
    up the road that the ego also fits behind it at its longest headway.

    Args:
        draw: The scenario's draws.

    Returns:
        The cars from the ego to the leader, at path positions rounded to 1 mm.
    """
    speed_mps = draw.depart_speed_mps
    density = draw.traffic_density_multiplier
    gap_m = (EGO_GAP_M + EGO_HEADWAY_S * speed_mps) / density
    longest_gap_m = max(gap_m, EGO_GAP_M + EGO_LONGEST_HEADWAY_S * speed_mps)
    position_m = REAR_MARGIN_M + (longest_gap_m - gap_m if draw.peers else 0.0)
    cars = [PlacedVehicle(vehicle_id_of_rank(0), ego_type(), round(position_m, 3), speed_mps)]
    for rank, peer in enumerate(draw.peers, start=1):
        position_m += gap_m + CAR_LENGTH_M
        kind = _peer_type(draw, rank)
        cars.append(PlacedVehicle(vehicle_id_of_rank(rank), kind, round(position_m, 3), speed_mps))
        gap_m = (PEER_MIN_GAP_M + (peer.tau + peer.spawn_jitter_s) * speed_mps) / density
    if draw.peers:
        cars[-1] = replace(cars[-1], speed_profile=draw.speed_profile)
    return cars


def _peer_type(draw: ScenarioDraw, rank: int) -> VehicleType:
    """Return the type of the peer at ``rank``; the last peer leads and sets the convoy's speed."""
    peer = draw.peers[rank - 1]
    is_leader = rank == len(draw.peers)
    leader_max_speed_mps = max(draw.depart_speed_mps, PARKED_MAX_SPEED_MPS)
    return VehicleType(
        type_id=f"peer_{vehicle_id_of_rank(rank)}",
        accel_mps2=PEER_ACCEL_MPS2,
        decel_mps2=peer.decel,
        emergency_decel_mps2=PEER_EMERGENCY_DECEL_MPS2,
        sigma=peer.sigma,
        tau_s=peer.tau,
        min_gap_m=PEER_MIN_GAP_M,
        max_speed_mps=leader_max_speed_mps * (1.0 if is_leader else peer.follower_max_speed_factor),
        speed_factor=draw.speedFactor if is_leader else 1.0,
    )
