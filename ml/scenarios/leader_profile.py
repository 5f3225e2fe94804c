"""The drawn speed profile of a scripted leader: ordinary stop-and-go traffic."""

from __future__ import annotations

import numpy as np

from ml.scenarios.base_settings import LeaderProfileRanges
from ml.scenarios.scenario_files import SpeedProfile

PROFILE_DURATION_S = 52.0
"""A profile lasts at least this long: 50 s of episode and 2 s of warm-up [s]."""

_TIME_DECIMALS = 3
_SPEED_DECIMALS = 6


def draw_speed_profile(
    generator: np.random.Generator, depart_speed_mps: float, ranges: LeaderProfileRanges
) -> SpeedProfile:
    """Draw cycles of cruising, braking, holding and accelerating until the end of an episode.

    Args:
        generator: The scenario's own generator.
        depart_speed_mps: Speed at the start, which the leader never exceeds [m/s].
        ranges: The range of every value.

    Returns:
        The points, times rounded to 1 ms and speeds to 6 decimals.
    """
    time_s, speed_mps = 0.0, depart_speed_mps
    points = [(time_s, speed_mps)]
    while time_s < PROFILE_DURATION_S:
        cruise_s = generator.uniform(*ranges.cruise_s)
        brake_mps2 = generator.uniform(*ranges.brake_mps2)
        is_stop = generator.random() < ranges.stop_share
        low_mps = depart_speed_mps * generator.uniform(*ranges.low_speed_share)
        low_mps = 0.0 if is_stop else round(min(low_mps, speed_mps), _SPEED_DECIMALS)
        hold_s = generator.uniform(*ranges.hold_s)
        accelerate_mps2 = generator.uniform(*ranges.accelerate_mps2)
        next_mps = depart_speed_mps * generator.uniform(*ranges.cruise_speed_share)
        next_mps = round(max(next_mps, low_mps), _SPEED_DECIMALS)
        steps = (
            (cruise_s, speed_mps),
            ((speed_mps - low_mps) / brake_mps2, low_mps),
            (hold_s, low_mps),
            ((next_mps - low_mps) / accelerate_mps2, next_mps),
        )
        for duration_s, speed_mps in steps:
            time_s += duration_s
            _append(points, time_s, speed_mps)
    return tuple(points)


def _append(points: list[tuple[float, float]], time_s: float, speed_mps: float) -> None:
    """Add a point, unless it falls on the same millisecond as the last one."""
    time_s = round(time_s, _TIME_DECIMALS)
    if time_s > points[-1][0]:
        points.append((time_s, speed_mps))
