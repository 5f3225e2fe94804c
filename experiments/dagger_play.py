"""One episode to learn from, played in a worker: who acts, and what the oracle demands."""

from __future__ import annotations

from typing import Any

import numpy as np

FIRST_EPISODE = 1_000_000


def play(env: Any, index: int, actor: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the observations and the demands of an episode."""
    convoy = env.unwrapped
    convoy.max_steps = settings["steps"]
    rng = np.random.default_rng([settings["seed"], index])
    onset_s = float(rng.uniform(*settings["onset_s"]))
    options: dict[str, Any] = {
        "episode_index": FIRST_EPISODE + index,
        "hazard": {"onset_s": onset_s},
        "peer_driver": "delayed" if rng.uniform() < settings["delayed_share"] else "sumo",
    }
    low, high = settings["headway_s"]
    if high:
        options["headway_s"] = float(rng.uniform(low, high))
    if rng.uniform() < settings["stale_share"]:
        options["hazard"]["hold_s"] = float(rng.uniform(0.0, 0.5))
        options["radio_faults"] = [
            {"kind": "dead_link", "car": "source", "start_s": -10.0, "value": 0.0},
            {
                "kind": "replay",
                "car": "source",
                "start_s": -10.0,
                "value": float(rng.integers(5, 26)),
            },
        ]
    if rng.uniform() < settings["dry_share"]:
        options["friction_mps2"] = 9.8
    bias = float(rng.normal(0.0, settings["action_noise"])) if actor is not None else 0.0
    is_taught = index % 2 == 0
    observation, _ = env.reset(options=options)
    seen: dict[str, list[Any]] = {}
    demands: list[float] = []
    over = False
    while not over:
        demand = convoy.oracle_demand_mps2
        demands.append(demand)
        for name, values in observation.items():
            seen.setdefault(name, []).append(np.array(values, np.float32))
        action = -1.0
        if actor is not None:
            action = float(actor.predict(observation, deterministic=True)[0][0]) + bias
        elif is_taught and demand > 0.0:
            action = demand / 8.0
        observation, _, terminated, truncated, _ = env.step(np.array([action], np.float32))
        over = terminated or truncated
    rows = {name: np.stack(values) for name, values in seen.items()}
    return {"observations": rows, "demands": np.array(demands, np.float32)}
