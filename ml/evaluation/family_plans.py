"""What a protocol fixes of each family of cases."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml.evaluation.table_fields import grid, number, numbers, pair, reads, texts, whole

MOST_EPISODES = 100_000
_EPISODES = whole(1, MOST_EPISODES)
_SPEED = pair(5.0, 36.0)
_HEADWAY = pair(0.2, 5.0)
_DECELERATION = pair(0.4, 9.8)
_SCENARIOS = whole(1, 1000)


@dataclass(frozen=True)
class HazardMatrixPlan:
    """Family H: convoys of 1 to 8 cars ahead, each of which in turn brakes to a standstill.

    Attributes:
        episodes: Number of cases, dealt evenly to the 36 cells of size and rank.
        speed_mps: Speed of the convoy.
        headway_s: Time gap of the ego's driver.
        deceleration_mps2: Of the car that brakes.
        scenarios_per_size: Scenarios of each size of convoy, their speeds spread evenly.
    """

    episodes: int = field(metadata=reads(_EPISODES))
    speed_mps: tuple[float, float] = field(metadata=reads(_SPEED))
    headway_s: tuple[float, float] = field(metadata=reads(_HEADWAY))
    deceleration_mps2: tuple[float, float] = field(metadata=reads(_DECELERATION))
    scenarios_per_size: int = field(metadata=reads(_SCENARIOS))


@dataclass(frozen=True)
class DecelerationGridPlan:
    """Family D: one case for each speed and deceleration of a grid.

    Attributes:
        speed_kmh: Speeds of both cars.
        deceleration_g: Decelerations of the car ahead, in units of 9.81 m/s^2.
        tail_s: How long an episode lasts after the car ahead has stopped.
    """

    speed_kmh: tuple[float, ...] = field(metadata=reads(grid(10.0, 128.0)))
    deceleration_g: tuple[float, ...] = field(metadata=reads(grid(0.05, 0.95)))
    tail_s: float = field(metadata=reads(number(1.0, 60.0)))


@dataclass(frozen=True)
class CarToCarPlan:
    """Family N: car-to-car braking as in consumer tests.

    Attributes:
        episodes: Number of cases, dealt evenly to the configurations.
        gap_speed_kmh: Speed of the configurations with a fixed gap.
        gap_m: Their gaps.
        gap_deceleration_mps2: Their decelerations.
        headway_speed_kmh: Speeds of the configurations with a fixed time gap.
        headway_s: Their time gap, bumper to bumper.
        headway_deceleration_mps2: Their deceleration.
    """

    episodes: int = field(metadata=reads(_EPISODES))
    gap_speed_kmh: float = field(metadata=reads(number(20.0, 128.0)))
    gap_m: tuple[float, ...] = field(metadata=reads(numbers(5.0, 45.0)))
    gap_deceleration_mps2: tuple[float, ...] = field(metadata=reads(numbers(0.5, 9.8)))
    headway_speed_kmh: tuple[float, ...] = field(metadata=reads(numbers(20.0, 128.0)))
    headway_s: float = field(metadata=reads(number(0.5, 2.0)))
    headway_deceleration_mps2: float = field(metadata=reads(number(0.5, 9.8)))


@dataclass(frozen=True)
class MultiHopPlan:
    """Family M: a car further ahead brakes hard, and those between react late.

    Attributes:
        episodes: Number of cases, dealt evenly to the cells of size and rank.
        ranks: Ranks of the car that brakes.
        speed_mps: Speed of the convoy.
        headway_s: Time gap of the ego's driver.
        deceleration_mps2: Of the car that brakes.
        scenarios_per_size: Scenarios of each size of convoy, their speeds spread evenly.
    """

    episodes: int = field(metadata=reads(_EPISODES))
    ranks: tuple[float, ...] = field(metadata=reads(numbers(2, 8)))
    speed_mps: tuple[float, float] = field(metadata=reads(_SPEED))
    headway_s: tuple[float, float] = field(metadata=reads(_HEADWAY))
    deceleration_mps2: tuple[float, float] = field(metadata=reads(_DECELERATION))
    scenarios_per_size: int = field(metadata=reads(_SCENARIOS))


@dataclass(frozen=True)
class CalmPlan:
    """Family C: nothing calls for braking beyond the driver's own, so every alarm is false.

    Attributes:
        episodes: Number of cases, dealt evenly to the variants.
        variants: What happens.
        speed_mps: Speed of the convoys on the test track.
        headway_s: Time gap of the ego's driver.
        scenarios_per_variant: Scenarios of each variant with a road or traffic of its own.
    """

    episodes: int = field(metadata=reads(_EPISODES))
    variants: tuple[str, ...] = field(metadata=reads(texts))
    speed_mps: tuple[float, float] = field(metadata=reads(_SPEED))
    headway_s: tuple[float, float] = field(metadata=reads(_HEADWAY))
    scenarios_per_variant: int = field(metadata=reads(_SCENARIOS))


@dataclass(frozen=True)
class RadioStressPlan:
    """Family R: hard braking while something is wrong with the radio.

    Attributes:
        episodes: Number of cases, dealt evenly to the variants.
        variants: What is wrong.
        speed_mps: Speed of the convoy.
        headway_s: Time gap of the ego's driver.
        deceleration_mps2: Of the car that brakes.
        scenarios_per_size: Scenarios of each size of convoy, their speeds spread evenly.
    """

    episodes: int = field(metadata=reads(_EPISODES))
    variants: tuple[str, ...] = field(metadata=reads(texts))
    speed_mps: tuple[float, float] = field(metadata=reads(_SPEED))
    headway_s: tuple[float, float] = field(metadata=reads(_HEADWAY))
    deceleration_mps2: tuple[float, float] = field(metadata=reads(_DECELERATION))
    scenarios_per_size: int = field(metadata=reads(_SCENARIOS))


FamilyPlan = (
    HazardMatrixPlan
    | DecelerationGridPlan
    | CarToCarPlan
    | MultiHopPlan
    | CalmPlan
    | RadioStressPlan
)

FAMILY_PLANS: dict[str, type[FamilyPlan]] = {
    "H": HazardMatrixPlan,
    "D": DecelerationGridPlan,
    "N": CarToCarPlan,
    "M": MultiHopPlan,
    "C": CalmPlan,
    "R": RadioStressPlan,
}
