"""Keeps an episode's trace of ground truth and turns it into the episode's record."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.envs.hazards import CALM
from ml.envs.trace_kernels import write_trace_row
from ml.envs.traffic import Traffic
from ml.envs.virtual_followers import follower_record
from ml.metrics.episode import alarm_counts, comfort_metrics, reaction_metrics, safety_metrics
from ml.types import (
    CAR_PATH_POSITION,
    CONTROL_PERIOD_S,
    NUM_TRACE_FIELDS,
    TRACE_STEPS_PER_UNIT,
    FloatArray,
    UnsignedArray,
)

TRACE_SHA256 = "trace_sha256"
"""Field of a record that stands for every step of its episode."""


class EpisodeRecorder:
    """One row of the trace per step, one record per episode."""

    def __init__(self, max_steps: int) -> None:
        """Allocate the trace of an episode of at most ``max_steps`` steps."""
        self._trace: FloatArray = np.zeros((max_steps, NUM_TRACE_FIELDS))
        self.num_steps = 0
        self._return = 0.0
        self._start_position_m = 0.0

    @property
    def trace(self) -> FloatArray:
        """What happened so far, shape (num_steps, NUM_TRACE_FIELDS)."""
        return self._trace[: self.num_steps]

    def reset(self, cars: FloatArray) -> None:
        """Start an episode with the cars, shape (num_cars, NUM_CAR_FIELDS), as they are now."""
        self.num_steps = 0
        self._return = 0.0
        self._start_position_m = float(cars[0, CAR_PATH_POSITION])

    def add_step(
        self, traffic: Traffic, *, demand_mps2: float, oracle_mps2: float, reward: float
    ) -> None:
        """Add what a step led to.

        Args:
            traffic: The convoy after the step.
            demand_mps2: The policy's braking demand.
            oracle_mps2: What full knowledge would have demanded at the decision.
            reward: The step's reward.
        """
        step, convoy = self.num_steps, traffic.convoy
        write_trace_row(
            self._trace, step, (step + 1) * CONTROL_PERIOD_S, convoy.cars, convoy.gaps_m,
            demand_mps2, traffic.ego_driver_command_mps2, oracle_mps2, self._start_position_m,
        )  # fmt: skip
        self.num_steps += 1
        self._return += reward

    def record(
        self, identity: Mapping[str, Any], traffic: Traffic, *, impact_speed_mps: float | None
    ) -> dict[str, Any]:
        """Return the episode's record: one flat row, all from ground truth.

        Args:
            identity: What the episode was: scenario, seed, conditions.
            traffic: The convoy at the end.
            impact_speed_mps: Closing speed of the collision that ended it, None if none did.
        """
        has_collided = impact_speed_mps is not None
        return {
            **identity,
            "steps": self.num_steps,
            "duration_s": self.num_steps * CONTROL_PERIOD_S,
            "return": self._return,
            "terminated": has_collided,
            "truncated": not has_collided,
            "collision": has_collided,
            "impact_speed_mps": impact_speed_mps,
            "peer_contacts": traffic.num_peer_contacts,
            **hazard_record(traffic),
            **safety_metrics(self.trace),
            **reaction_metrics(self.trace, _hazard_began_s(traffic)),
            **alarm_counts(self.trace),
            **comfort_metrics(self.trace),
            **follower_record(self.trace, identity["friction_mps2"]),
        }


def trace_sha256(trace: FloatArray, checksum: UnsignedArray) -> str:
    """Return the SHA-256 of a rounded trace, and of a checksum of what it leaves out.

    Args:
        trace: Ground truth, shape (num_steps, NUM_TRACE_FIELDS).
        checksum: The radio's, of all cars and all that the ego's board held in every step.
    """
    rounded = np.rint(trace * TRACE_STEPS_PER_UNIT) + 0.0  # -0.0 counts as 0.0
    return hashlib.sha256(rounded.tobytes() + checksum.tobytes()).hexdigest()


def _hazard_began_s(traffic: Traffic) -> float | None:
    """Return when the source began to brake, at the start of a control step, None if it did not."""
    if not traffic.outcome.is_started:
        return None
    return math.ceil(traffic.plan.onset_s / CONTROL_PERIOD_S - 1e-6) * CONTROL_PERIOD_S


def hazard_record(traffic: Traffic) -> dict[str, Any]:
    """Return what hazard was asked for and what really happened."""
    plan, outcome = traffic.plan, traffic.outcome
    is_realised, failure = outcome.verdict(plan)
    is_calm = plan.kind == CALM
    measured = outcome.measured_deceleration_mps2 if outcome.is_started else None
    return {
        "hazard_kind": plan.kind,
        "hazard_is_realised": is_realised,
        "hazard_failure": failure,
        "hazard_source": None if is_calm else traffic.convoy.ids[plan.source_rank],
        "hazard_source_rank": None if is_calm else plan.source_rank,
        "hazard_onset_s": None if is_calm else plan.onset_s,
        "hazard_requested_deceleration_mps2": None if is_calm else plan.deceleration_mps2,
        "hazard_measured_deceleration_mps2": measured,
        "headway_at_onset_s": outcome.headway_at_onset_s,
        "age_at_onset_s": outcome.age_at_onset_s,
    }
