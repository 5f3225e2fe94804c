"""The observation as one table, from which the space, the vector and the documentation are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from ml.envs.observation_kernels import NUM_HISTORY_STEPS, observe, push_history
from ml.errors import SimulatorError
from ml.types import (
    CONTROL_PERIOD_S,
    HISTORY_STRIDE,
    MAX_PEERS,
    NUM_EGO_FEATURES,
    NUM_HISTORY_SAMPLES,
    NUM_PEER_FEATURES,
    SENSED_ACCELERATION,
    SENSED_SPEED,
    Float32Array,
    FloatArray,
    IntArray,
)


@dataclass(frozen=True)
class Feature:
    """One number of the observation.

    Attributes:
        name: Its name.
        unit: Its unit, '-' for a count.
        low: Lower bound; smaller values are clipped to it.
        high: Upper bound; larger values are clipped to it.
        meaning: What it is, in a few words.
    """

    name: str
    unit: str
    low: float
    high: float
    meaning: str


def _history_features(name: str, unit: str, low: float, high: float) -> list[Feature]:
    """Return one feature per history sample, newest first."""
    features = []
    for sample in range(NUM_HISTORY_SAMPLES):
        age_s = sample * HISTORY_STRIDE * CONTROL_PERIOD_S
        meaning = f"own {name}, {age_s:.1f} s ago" if sample else f"own {name}, now"
        features.append(Feature(f"{name}_{age_s:.1f}s", unit, low, high, meaning))
    return features


EGO_FEATURES: tuple[Feature, ...] = (
    *_history_features("speed", "m/s", 0.0, 60.0),
    *_history_features("acceleration", "m/s^2", -15.0, 15.0),
    Feature("num_fresh_peers", "-", 0.0, float(MAX_PEERS), "peers shown in `peers`"),
)

PEER_FEATURES: tuple[Feature, ...] = (
    Feature("forward_offset", "m", -300.0, 300.0, "ahead of the ego, dead-reckoned to now"),
    Feature("left_offset", "m", -100.0, 100.0, "to the left of the ego, dead-reckoned to now"),
    Feature("relative_speed", "m/s", -60.0, 60.0, "its speed minus the ego's"),
    Feature("relative_heading", "rad", -math.pi, math.pi, "its heading minus the ego's"),
    Feature("acceleration", "m/s^2", -15.0, 15.0, "its acceleration"),
    Feature("lowest_acceleration", "m/s^2", -15.0, 15.0, "lowest heard in the last second"),
    Feature("time_since_reception", "s", 0.0, 1.0, "since its newest frame arrived"),
    Feature("state_age", "s", 0.0, 3.0, "age of its state when sent, as it declared"),
    Feature("sequence_gap", "-", 0.0, 20.0, "frames missing before its newest one"),
    Feature("hop_count", "-", 0.0, 4.0, "relays between it and the ego"),
)


def _bounds(features: Sequence[Feature]) -> tuple[Float32Array, Float32Array]:
    """Return the lower and upper bounds of a list of features."""
    low = np.array([feature.low for feature in features], dtype=np.float32)
    high = np.array([feature.high for feature in features], dtype=np.float32)
    return low, high


def observation_space() -> spaces.Dict:
    """Return the observation space that the tables describe."""
    ego_low, ego_high = _bounds(EGO_FEATURES)
    peer_low, peer_high = _bounds(PEER_FEATURES)
    return spaces.Dict(
        {
            "ego": spaces.Box(ego_low, ego_high, dtype=np.float32),
            "peers": spaces.Box(
                np.tile(peer_low, (MAX_PEERS, 1)),
                np.tile(peer_high, (MAX_PEERS, 1)),
                dtype=np.float32,
            ),
            "peer_mask": spaces.Box(0.0, 1.0, (MAX_PEERS,), dtype=np.float32),
        }
    )


def observation_tables() -> str:
    """Return the tables of the observation as Markdown."""
    lines = []
    for title, features in (("ego", EGO_FEATURES), ("peers", PEER_FEATURES)):
        lines += [f"`{title}`", "", "| index | name | unit | low | high | meaning |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            f"| {index} | {f.name} | {f.unit} | {f.low:g} | {f.high:g} | {f.meaning} |"
            for index, f in enumerate(features)
        ]
        lines.append("")
    return "\n".join(lines)


class Observer:
    """Keeps the ego's history and writes observations."""

    def __init__(self) -> None:
        """Allocate the history; ``reset`` fills it."""
        self._history: FloatArray = np.zeros((NUM_HISTORY_STEPS, 2))
        self._slot_order: IntArray = np.arange(MAX_PEERS)
        self._ego_bounds = np.stack(_bounds(EGO_FEATURES))
        self._peer_bounds = np.stack(_bounds(PEER_FEATURES))

    def reset(self, ego_sensed: FloatArray, slots: np.random.Generator) -> None:
        """Start an episode: a new order of the slots, and a history of the present state."""
        self._slot_order = slots.permutation(MAX_PEERS)
        self._history[:, 0] = ego_sensed[SENSED_SPEED]
        self._history[:, 1] = ego_sensed[SENSED_ACCELERATION]

    def record(self, ego_sensed: FloatArray) -> None:
        """Add the ego's newest sensed state, shape (NUM_SENSED_FIELDS,), to the history."""
        push_history(self._history, ego_sensed)

    def observation(self, ego_sensed: FloatArray, heard: FloatArray) -> dict[str, Float32Array]:
        """Return the observation, in new arrays: `ego`, `peers` and `peer_mask`, within the space.

        Args:
            ego_sensed: The ego's own sensors, shape (NUM_SENSED_FIELDS,).
            heard: What the board holds of each peer, shape (num_cars, NUM_HEARD_FIELDS).

        Raises:
            SimulatorError: A value is not finite.
        """
        ego = np.empty(NUM_EGO_FEATURES, dtype=np.float32)
        peers = np.empty((MAX_PEERS, NUM_PEER_FEATURES), dtype=np.float32)
        mask = np.empty(MAX_PEERS, dtype=np.float32)
        is_finite = observe(
            ego_sensed, heard, self._history, self._slot_order,
            self._ego_bounds, self._peer_bounds, ego, peers, mask,
        )  # fmt: skip
        if not is_finite:
            is_ours = np.isfinite(ego_sensed).all() and np.isfinite(self._history).all()
            source = "the frames it heard" if is_ours else "the ego's own sensors"
            raise SimulatorError(
                f"observation must be finite. Got NaN or infinity from {source}. Report it."
            )
        return {"ego": ego, "peers": peers, "peer_mask": mask}
