"""Responsibility-sensitive safety on what the ego's board hears, with the age in its reaction time.

Source: Shalev-Shwartz, Shammah and Shashua 2017, "On a formal model of safe and scalable
self-driving cars", arXiv:1708.06374, definition 1 (safe longitudinal distance) and its proper
response.
"""

from __future__ import annotations

from collections.abc import Mapping

from ml.policies.rss_kernels import (
    RSS_ACCELERATION_MPS2,
    RSS_LEAD_BRAKING_MPS2,
    is_unsafe,
    safe_distance_m,
)
from ml.types import MAX_DEMAND_MPS2, Float32Array


def rss_distance_m(speed_mps: float, lead_speed_mps: float, reaction_s: float) -> float:
    """Return the safe distance of RSS behind a car ahead [m].

    ``v rho + a rho^2 / 2 + (v + rho a)^2 / (2 b) - v_l^2 / (2 b_l)``, at least 0: the follower
    accelerates by ``a`` for ``rho`` and brakes by ``b`` from then on, the car ahead by ``b_l`` at
    once.

    Args:
        speed_mps: ``v``, the follower's.
        lead_speed_mps: ``v_l``.
        reaction_s: ``rho``.
    """
    return safe_distance_m(
        speed_mps, lead_speed_mps, reaction_s,
        RSS_ACCELERATION_MPS2, MAX_DEMAND_MPS2, RSS_LEAD_BRAKING_MPS2,
    )  # fmt: skip


def rss_demand_mps2(observation: Mapping[str, Float32Array]) -> float:
    """Return full braking while the distance to a peer ahead is unsafe by RSS, else 0.

    The distance is that of the instant at which the peer measured its state: the peer's motion
    since, which the observation adds, is taken off again, and so is the ego's. The age is then part
    of the reaction time, ``rho = age + control period + actuator delay``, and counts once.

    The peers ahead are taken in their order; between the ego and the k-th heard one lie the lengths
    of k - 1 cars, which can close up. Simplified: a car that stands demands nothing, since noise of
    the positions would move it.

    Args:
        observation: The environment's observation.
    """
    must_brake = is_unsafe(observation["ego"], observation["peers"], observation["peer_mask"])
    return MAX_DEMAND_MPS2 if must_brake else 0.0
