"""Plays one episode and keeps everything that a replay shows.

``record_episode`` returns the Recording, a JSON object, which ``docs/replay.md`` describes:
positions, speeds and headings of all cars, the ego's demands and what it heard, the road, and the
fate of every frame. The episode is the one that ``run_episode`` plays, to the last bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.sumo_connection import Lane
from ml.errors import ConfigError
from ml.evaluation.episodes import PredictingPolicy, run_episode
from ml.records import json_ready
from ml.types import (
    CAR_ACCELERATION,
    CAR_HEADING,
    CAR_LENGTH,
    CAR_SPEED,
    CAR_X,
    CAR_Y,
    CONTROL_PERIOD_S,
    HEARD_IS_FRESH,
    NEVER_HEARD_S,
    TRACE_DEMAND,
    TRACE_DRIVER_COMMAND,
    TRACE_GAP,
    TRACE_ORACLE_DEMAND,
    FloatArray,
)

FORMAT = 1
ROAD_MARGIN_M = 60.0
"""The road is kept up to this far from where a car drove."""

Recording = dict[str, Any]

_DIGITS = 3


class _Watcher(gym.Wrapper[Any, Any, Any, Any]):
    """Looks at the convoy after every step of the one episode that is played."""

    def __init__(self, env: gym.Env[Any, Any], convoy: ConvoyEnv) -> None:
        """Watch ``convoy``, which is ``env`` without its wrappers."""
        super().__init__(env)
        self._convoy = convoy
        self.episode_index = 0
        self.cars: list[FloatArray] = []
        self.ages_s: list[FloatArray] = []
        self.is_fresh: list[FloatArray] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.episode_index = info["episode_index"]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Take a step and look."""
        result = self.env.step(action)
        self.cars.append(self._convoy.cars.copy())
        self.ages_s.append(self._convoy.radio.true_age_s.copy())
        self.is_fresh.append(self._convoy.heard[:, HEARD_IS_FRESH].copy())
        return result


def record_episode(
    policy: PredictingPolicy,
    env: gym.Env[Any, Any],
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, str | None] | None = None,
) -> Recording:
    """Play one episode with deterministic actions and record it.

    Args:
        policy: What acts.
        env: The environment; left open, and from now on with a log of frames.
        options: Options of the reset, None for the environment's own next episode.
        labels: The recording's ``policy``, ``radio_preset`` and ``case_id``, where they are known.

    Returns:
        The recording, whose ``record`` is that of ``run_episode``.
    """
    convoy = env.unwrapped
    if not isinstance(convoy, ConvoyEnv):
        raise ConfigError(f"env must be a ConvoyEnv. Got {type(convoy).__name__}.")
    convoy.keep_frames()
    watcher = _Watcher(env, convoy)
    record = run_episode(policy, watcher, 0, None if options is None else dict(options))
    record["episode_index"] = watcher.episode_index
    cars = np.array(watcher.cars)
    return {
        "format": FORMAT,
        **{name: (labels or {}).get(name) for name in ("policy", "radio_preset", "case_id")},
        "record": json_ready(record),
        "step_s": CONTROL_PERIOD_S,
        "start_s": 0.0,
        "onset_s": record.get("hazard_onset_s"),
        "road": {"lanes": lanes_near(convoy.road(), cars[..., CAR_X : CAR_Y + 1].reshape(-1, 2))},
        "cars": _cars(convoy, cars),
        "ego": _ego(convoy.trace),
        "heard": _heard(np.array(watcher.ages_s), np.array(watcher.is_fresh)),
        "messages": _messages(convoy),
    }


def _cars(convoy: ConvoyEnv, cars: FloatArray) -> list[dict[str, Any]]:
    """Return every car's series; ``cars`` has the shape (num_steps, num_cars, NUM_CAR_FIELDS)."""
    return [
        {
            "rank": rank,
            "id": convoy.convoy.ids[rank],
            "length_m": round(float(cars[0, rank, CAR_LENGTH]), _DIGITS),
            "width_m": round(float(convoy.convoy.widths_m[rank]), _DIGITS),
            "x_m": _series(cars[:, rank, CAR_X]),
            "y_m": _series(cars[:, rank, CAR_Y]),
            "heading_rad": _series(cars[:, rank, CAR_HEADING]),
            "speed_mps": _series(cars[:, rank, CAR_SPEED]),
            "acceleration_mps2": _series(cars[:, rank, CAR_ACCELERATION]),
        }
        for rank in range(cars.shape[1])
    ]


def _ego(trace: FloatArray) -> dict[str, list[float | None]]:
    """Return the ego's series of a trace, shape (num_steps, NUM_TRACE_FIELDS)."""
    return {
        "gap_m": _series(trace[:, TRACE_GAP]),
        "demand_mps2": _series(trace[:, TRACE_DEMAND]),
        "driver_command_mps2": _series(trace[:, TRACE_DRIVER_COMMAND]),
        "oracle_demand_mps2": _series(trace[:, TRACE_ORACLE_DEMAND]),
    }


def _heard(ages_s: FloatArray, is_fresh: FloatArray) -> list[dict[str, Any]]:
    """Return how old the state held of each peer is; both have the shape (num_steps, num_cars)."""
    known_s = np.where(ages_s < NEVER_HEARD_S, ages_s, np.nan)
    return [
        {
            "rank": rank,
            "age_s": _series(known_s[:, rank]),
            "is_fresh": is_fresh[:, rank].astype(int).tolist(),
        }
        for rank in range(1, ages_s.shape[1])
    ]


def _messages(convoy: ConvoyEnv) -> list[dict[str, Any]]:
    """Return what became of every frame on its way to the ego."""
    stale_s = convoy.staleness_threshold_s
    messages = []
    for frame in convoy.frames:
        fate = "relayed" if frame.num_hops else "delivered"
        if frame.received_s is None:
            fate = "lost"
        elif frame.received_s - frame.sent_s > stale_s:
            fate = "stale"
        received_s = None if frame.received_s is None else round(frame.received_s, _DIGITS)
        messages.append(
            {
                "sender": frame.sender,
                "receiver": 0,
                "sent_s": round(frame.sent_s, _DIGITS),
                "received_s": received_s,
                "fate": fate,
                "hops": frame.num_hops,
            }
        )
    return messages


def lanes_near(lanes: Sequence[Lane], places_m: FloatArray) -> list[dict[str, Any]]:
    """Return the pieces of lanes that come within about ROAD_MARGIN_M of a place.

    Args:
        lanes: The road.
        places_m: Where the cars were, shape (num_places, 2).
    """
    cells_m = 10.0 * np.unique(np.round(places_m / 10.0), axis=0)
    pieces = []
    for lane in lanes:
        points_m, is_needed = _with_points_between(lane.points_m)
        apart_m = np.linalg.norm(points_m[:, None] - cells_m[None], axis=2).min(axis=1)
        near = np.flatnonzero(apart_m <= ROAD_MARGIN_M)
        for run in np.split(near, np.flatnonzero(np.diff(near) > 1) + 1):
            if len(run) > 1:
                kept = [*run[:1], *(item for item in run[1:-1] if is_needed[item]), run[-1]]
                points = [_series(points_m[item]) for item in kept]
                pieces.append({"width_m": round(lane.width_m, _DIGITS), "points_m": points})
    return pieces


def _with_points_between(points_m: FloatArray) -> tuple[FloatArray, list[bool]]:
    """Return a line, shape (num_points, 2), with a point every 10 m, and which it needs."""
    points, is_needed = [points_m[0]], [True]
    for first, second in itertools.pairwise(points_m):
        num_parts = max(1, math.ceil(np.linalg.norm(second - first) / 10.0))
        points += [first + part / num_parts * (second - first) for part in range(1, num_parts + 1)]
        is_needed += [part == num_parts for part in range(1, num_parts + 1)]
    return np.array(points), is_needed


def _series(values: FloatArray) -> list[float | None]:
    """Return numbers as JSON holds them, three digits each; null where there is none."""
    return [round(value, _DIGITS) if np.isfinite(value) else None for value in values.tolist()]
