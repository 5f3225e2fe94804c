"""The environment ``RoadSense-Convoy-v0`` and what it is made of; importing registers it."""

from __future__ import annotations

import gymnasium as gym

ENVIRONMENT_ID = "RoadSense-Convoy-v0"

if ENVIRONMENT_ID not in gym.registry:
    gym.register(
        id=ENVIRONMENT_ID,
        entry_point="ml.envs.convoy_env:ConvoyEnv",
        vector_entry_point="ml.envs.convoy_vector_env:ConvoyVectorEnv",
    )

__all__ = ["ENVIRONMENT_ID"]
