"""What braking kinematics alone allow: the reference line of collisions against the delay.

    python -m ml.evaluation.kinematic_reference --output_file ml/evaluation/kinematic_reference.json

Two cars drive at the same speed. The one ahead brakes to a standstill, its deceleration building up
at 20 m/s^3. The ego keeps its speed until a command of 8 m/s^2, given ``delay_s`` after the onset,
takes hold through the actuator of the environment: a dead time of 0.1 s, then
``da/dt = clip((u - a) / 0.2, -25, 25)``. No friction limits it, and no driver brakes before. The
speeds are closed forms of the time; only the distance between the cars is summed up.

A message of age A that is acted upon within a control period of mean length 0.05 s is a delay of
A + 0.05 s.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ml.command_line import OneLineArgumentParser, add_debug_flag, path_text, run_command
from ml.errors import ConfigError
from ml.provenance import write_json_atomically
from ml.types import MAX_DEMAND_MPS2, FloatArray

SPEEDS_MPS = (8.0, 30.0)
HEADWAYS_S = (0.4, 2.0)
LEAD_DECELERATIONS_MPS2 = (3.0, 9.8)
"""Ranges of the hazard matrix, drawn uniformly."""

REGULATION_DELAY_S = 1.15
TABLE_FILE = Path(__file__).with_name("kinematic_reference.json")
_TABLE_STEP_S, _TABLE_END_S = 0.05, 5.0
_GRID_SIZE = 100
_TIME_STEP_S = 0.01
_DEAD_TIME_S, _LAG_S, _JERK_MPS3 = 0.1, 0.2, 25.0
_BUILD_UP_MPS3 = 20.0
_REGULATION_RAMP_MPS3, _REGULATION_MPS2 = 12.65, 7.59
_SLOWEST_STOP_MPS2 = 3.0

_SpeedLost = Callable[[FloatArray], FloatArray]


def _actuator_loss_mps(since_s: FloatArray) -> FloatArray:
    """Return the speed lost since full braking took hold.

    A ramp at the jerk limit until the error is jerk * lag, then an exponential.
    """
    linear_mps2 = _JERK_MPS3 * _LAG_S
    ramp_s = (MAX_DEMAND_MPS2 - linear_mps2) / _JERK_MPS3
    on_ramp = np.clip(since_s, 0.0, ramp_s)
    after = np.maximum(since_s - ramp_s, 0.0)
    decayed: FloatArray = linear_mps2 * _LAG_S * -np.expm1(-after / _LAG_S)
    return 0.5 * _JERK_MPS3 * on_ramp**2 + MAX_DEMAND_MPS2 * after - decayed


def _ramp_loss_mps(since_s: FloatArray, ramp_mps3: float, target_mps2: FloatArray) -> FloatArray:
    """Return the speed lost since a ramp to a constant deceleration began."""
    ramp_s = target_mps2 / ramp_mps3
    on_ramp = np.minimum(np.maximum(since_s, 0.0), ramp_s)
    loss: FloatArray = 0.5 * ramp_mps3 * on_ramp**2 + target_mps2 * np.maximum(
        since_s - ramp_s, 0.0
    )
    return loss


def _regulation_loss_mps(since_s: FloatArray) -> FloatArray:
    """Return the speed lost by the driver of UN R157 since its braking began."""
    return _ramp_loss_mps(since_s, _REGULATION_RAMP_MPS3, np.array(_REGULATION_MPS2))


def _closed_m(
    speeds_mps: FloatArray, lead_mps2: FloatArray, begins_s: float, loss_mps: _SpeedLost
) -> FloatArray:
    """Return the most by which the gap ever shrinks, shape of the broadcast arguments [m]."""
    speeds, braking = np.broadcast_arrays(speeds_mps, lead_mps2)
    fastest = float(speeds.max())
    end_s = begins_s + fastest / _SLOWEST_STOP_MPS2 + 1.0
    closed, largest = np.zeros(speeds.shape), np.zeros(speeds.shape)
    # The middle of each step, which is exact where the speeds are linear in it.
    for time_s in np.arange(0.5 * _TIME_STEP_S, end_s, _TIME_STEP_S):
        now = np.array(time_s)
        ego = np.maximum(0.0, speeds - loss_mps(now - begins_s))
        lead = np.maximum(0.0, speeds - _ramp_loss_mps(now, _BUILD_UP_MPS3, braking))
        closed = closed + (ego - lead) * _TIME_STEP_S
        largest = np.maximum(largest, closed)
    return largest


def minimum_headway_s(
    speeds_mps: FloatArray | float, lead_mps2: FloatArray | float, delay_s: float
) -> FloatArray:
    """Return the smallest gap, divided by the speed, at which full braking avoids contact.

    Args:
        speeds_mps: Of both cars at the onset; broadcast with the next.
        lead_mps2: Deceleration of the car ahead.
        delay_s: From the onset to the command.
    """
    speeds = np.asarray(speeds_mps, dtype=np.float64)
    lead = np.asarray(lead_mps2, dtype=np.float64)
    return _closed_m(speeds, lead, delay_s + _DEAD_TIME_S, _actuator_loss_mps) / speeds


def regulation_minimum_headway_s(
    speeds_mps: FloatArray | float, lead_mps2: FloatArray | float
) -> FloatArray:
    """Return the same for the competent and careful driver of UN R157, Annex 4, Appendix 3.

    It brakes 1.15 s after the onset, by a ramp of 12.65 m/s^3 to 0.774 g of its own.

    Args:
        speeds_mps: Of both cars at the onset; broadcast with the next.
        lead_mps2: Deceleration of the car ahead.
    """
    speeds = np.asarray(speeds_mps, dtype=np.float64)
    lead = np.asarray(lead_mps2, dtype=np.float64)
    return _closed_m(speeds, lead, REGULATION_DELAY_S, _regulation_loss_mps) / speeds


def computed_probability(delay_s: float) -> float:
    """Return the collision probability over the hazard matrix, computed anew.

    Speeds and decelerations are the middles of a grid of cells; over the headway the share is
    exact, since contact comes below a smallest headway.

    Args:
        delay_s: From the onset to the command.
    """
    middles = (np.arange(_GRID_SIZE) + 0.5) / _GRID_SIZE
    speeds = SPEEDS_MPS[0] + (SPEEDS_MPS[1] - SPEEDS_MPS[0]) * middles[:, None]
    low, high = LEAD_DECELERATIONS_MPS2
    needed = minimum_headway_s(speeds, low + (high - low) * middles[None, :], delay_s)
    share = (needed - HEADWAYS_S[0]) / (HEADWAYS_S[1] - HEADWAYS_S[0])
    return float(np.clip(share, 0.0, 1.0).mean())


def collision_probability(delay_s: float) -> float:
    """Return the collision probability of the hazard matrix at rank 1, from the kept table.

    Args:
        delay_s: From the onset to the command, >= 0; linear between the table's delays, and beyond
            the last one that one's.

    >>> round(collision_probability(1.16), 2)
    0.35

    Raises:
        ConfigError: The delay is negative or no number.
    """
    if not delay_s >= 0.0:
        raise ConfigError(f"delay_s must be >= 0. Got {delay_s}. Count it from the onset.")
    delays_s, probabilities = _table()
    return float(np.interp(delay_s, delays_s, probabilities))


@cache
def _table() -> tuple[FloatArray, FloatArray]:
    """Return the kept table's delays and probabilities."""
    table = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return np.array(table["delays_s"]), np.array(table["collision_probabilities"])


def make_table() -> dict[str, Any]:
    """Return the table and what it was made of, for the file."""
    delays_s = [
        round(step * _TABLE_STEP_S, 3) for step in range(round(_TABLE_END_S / _TABLE_STEP_S) + 1)
    ]
    return {
        "speeds_mps": SPEEDS_MPS,
        "headways_s": HEADWAYS_S,
        "lead_decelerations_mps2": LEAD_DECELERATIONS_MPS2,
        "grid_size": _GRID_SIZE,
        "time_step_s": _TIME_STEP_S,
        "delays_s": delays_s,
        "collision_probabilities": [round(computed_probability(delay), 6) for delay in delays_s],
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(
        prog="kinematic_reference", description="Make the table of collisions against the delay."
    )
    parser.add_argument(
        "--output_file", required=True, type=path_text, metavar="FILE", help="JSON file to write."
    )
    add_debug_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the table and write it."""
    args = parse_args(argv)
    write_json_atomically(args.output_file, make_table())


if __name__ == "__main__":
    run_command(main)
