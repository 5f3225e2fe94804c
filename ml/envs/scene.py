"""What a picture of the convoy shows at one instant, whether it is played or comes from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml.envs.sumo_connection import Lane
from ml.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Scene:
    """The convoy at the end of a step.

    Attributes:
        time_s: Time since the start of the episode.
        lanes: The road around the convoy.
        cars: Ground truth, shape (num_cars, NUM_CAR_FIELDS); row 0 is the ego.
        widths_m: The cars' widths, shape (num_cars,).
        is_fresh: Whether the ego's board holds fresh news of each car, shape (num_cars,).
        arrivals: Cars whose frames reached the ego in the last step, as (row, number of relays).
        gap_m: Between the ego and the car ahead, infinite if there is none.
        demand_mps2: The policy's braking demand, >= 0.
        driver_command_mps2: The acceleration that the ego's driver commands.
    """

    time_s: float
    lanes: Sequence[Lane]
    cars: FloatArray
    widths_m: FloatArray
    is_fresh: BoolArray
    arrivals: Sequence[tuple[int, int]]
    gap_m: float
    demand_mps2: float
    driver_command_mps2: float
