"""Counts the collisions of three published driver models on the deceleration grid of UN R157.

    python examples/deceleration_grid.py
    python examples/deceleration_grid.py --headway r157

The car ahead brakes at a constant 0.05 to 0.95 g from 12 to 128 km/h: 19 x 59 = 1,121 cases. The
models are the competent and careful driver (CC) of UN Regulation No. 157, responsibility-sensitive
safety (RSS) and the fuzzy safety model (FSM), as the Joint Research Centre's study of FSM runs them
(Mattas et al. 2022, "Driver models for the definition of safety requirements of automated vehicles
in international regulations", Accident Analysis & Prevention 174), in steps of 0.1 s. This script
needs nothing but numpy, so that it can be checked by itself; RoadSense takes nothing from it.

``--headway own`` starts each model at the distance that it calls safe, ``r157`` all of them at the
time gaps of R157, 5.2.3.3, held at 1.6 s above 60 km/h.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DECELERATIONS_G = np.arange(1, 20) * 0.05
SPEEDS_KMH = np.arange(12, 129, 2)
GRAVITY_MPS2 = 9.81
STEP_S = 0.1
NUM_STEPS = 349
NUM_REACTION_STEPS = 8
RAMP_MPS2_PER_STEP = 1.265  # 12.65 m/s^3
HARDEST_MPS2 = 7.59294  # 0.774 g
REACTION_S = 0.75
CC_EASING_OFF_MPS2 = 0.4
# UN R157, 5.2.3.3: speed [km/h] and time gap [s]
R157_SPEEDS_KMH = np.array([7.2, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0])
R157_TIME_GAPS_S = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])


@dataclass(frozen=True)
class Situation:
    """What a model decides from: gap [m], speeds [m/s], and its own acceleration [m/s^2]."""

    gap_m: float
    speed_mps: float
    lead_speed_mps: float
    acceleration_mps2: float


@dataclass(frozen=True)
class Crash:
    """One case that ends in contact."""

    deceleration_g: float
    speed_kmh: int
    impact_mps: float


# A model's hardest deceleration wanted now [m/s^2], 0 where it finds nothing unsafe.
Model = Callable[[Situation], float]


def cc_limit_mps2(now: Situation) -> float:
    """Return the braking of the competent and careful driver, to whom every case is unsafe."""
    del now
    return HARDEST_MPS2


def rss_limit_mps2(now: Situation) -> float:
    """Return full braking below the safe distance of RSS: rho 0.75 s, a 3 and b 6 m/s^2."""
    safe_m = 0.75 * now.speed_mps + 0.84375 + (now.speed_mps + 2.25) ** 2 / 12.0
    safe_m -= now.lead_speed_mps**2 / 12.0
    return HARDEST_MPS2 if now.gap_m < safe_m else 0.0


def _fuzzy(distance_m: float, safe_m: float, unsafe_m: float) -> float:
    """Return 0 beyond the safe distance, 1 within the unsafe one, linear between."""
    if distance_m > safe_m:
        return 0.0
    if distance_m < unsafe_m:
        return 1.0
    return (safe_m - distance_m) / (safe_m - unsafe_m)


def proactive_surrogate(now: Situation) -> float:
    """Return FSM's proactive fuzzy surrogate, were the car ahead to brake hard."""
    reacting_m = REACTION_S * now.speed_mps
    lead_stop_m = now.lead_speed_mps**2 / 14.0
    safe_m = reacting_m + now.speed_mps**2 / 8.0 - lead_stop_m + 2.0
    unsafe_m = reacting_m + now.speed_mps**2 / 12.0 - lead_stop_m
    return _fuzzy(now.gap_m - 2.0, safe_m, unsafe_m)


def critical_surrogate(now: Situation) -> float:
    """Return FSM's critical fuzzy surrogate, with the car ahead as fast as it is."""
    speed, lead_speed = now.speed_mps, now.lead_speed_mps
    if speed <= lead_speed:
        return 0.0
    acceleration = max(now.acceleration_mps2, -4.0)
    reacted_mps = speed + REACTION_S * acceleration
    if reacted_mps < lead_speed:
        closed_m = (speed - lead_speed) ** 2 / abs(2.0 * now.acceleration_mps2)
        return 1.0 if now.gap_m < closed_m else 0.0
    reaction_m = (speed + 0.5 * REACTION_S * acceleration - lead_speed) * REACTION_S
    excess = (reacted_mps - lead_speed) ** 2
    return _fuzzy(now.gap_m, reaction_m + excess / 8.0, reaction_m + excess / 12.0)


def fsm_limit_mps2(now: Situation) -> float:
    """Return the deceleration that the two surrogates of FSM call for."""
    critical = critical_surrogate(now)
    wanted = 4.0 + 2.0 * critical if critical > 0.0 else 4.0 * proactive_surrogate(now)
    return min(wanted, HARDEST_MPS2)


def cc_distance_m(speed_mps: float) -> float:
    """Return two seconds' way."""
    return 2.0 * speed_mps


def rss_distance_m(speed_mps: float) -> float:
    """Return the safe distance of RSS behind a car of the same speed."""
    lead_stop_m = max(speed_mps - 4.5, 0.0) ** 2 / 12.0
    stop_m = (speed_mps + 2.25) ** 2 / 12.0
    return 0.75 * speed_mps + 0.84375 + stop_m - lead_stop_m + 1.6875


def fsm_distance_m(speed_mps: float) -> float:
    """Return the distance beyond which FSM's proactive surrogate is 0."""
    return 0.75 * speed_mps + speed_mps**2 / 8.0 - speed_mps**2 / 14.0 + 4.0


def r157_distance_m(speed_mps: float) -> float:
    """Return the following distance of R157: linear between its speeds, held above 60 km/h."""
    return speed_mps * float(np.interp(speed_mps * 3.6, R157_SPEEDS_KMH, R157_TIME_GAPS_S))


MODELS: dict[str, tuple[Model, Callable[[float], float], float]] = {
    "CC": (cc_limit_mps2, cc_distance_m, CC_EASING_OFF_MPS2),
    "RSS": (rss_limit_mps2, rss_distance_m, 0.0),
    "FSM": (fsm_limit_mps2, fsm_distance_m, 0.0),
}


def impact_speed_mps(
    model: Model, gap_m: float, speed_mps: float, lead_mps2: float, easing_off_mps2: float
) -> float | None:
    """Run one case.

    Args:
        model: What brakes.
        gap_m: Bumper to bumper at the start.
        speed_mps: Of both cars at the start.
        lead_mps2: Constant deceleration of the car ahead.
        easing_off_mps2: The model's deceleration during its reaction.

    Returns:
        The closing speed at contact, None without one.
    """
    speed, before, braking, num_unsafe = speed_mps, speed_mps, 0.0, 0
    for step in range(NUM_STEPS):
        lead_speed = max(0.0, speed_mps - STEP_S * step * lead_mps2)
        if gap_m < 0.0:
            return speed - lead_speed
        if speed == 0.0:
            return None
        limit = model(Situation(gap_m, speed, lead_speed, (speed - before) / STEP_S))
        before = speed
        if limit > 0.0:
            num_unsafe += 1
            is_reacting = num_unsafe <= NUM_REACTION_STEPS
            braking = easing_off_mps2 if is_reacting else min(braking + RAMP_MPS2_PER_STEP, limit)
            speed = max(0.0, speed - STEP_S * braking)
        lead_next = max(0.0, speed_mps - STEP_S * (step + 1) * lead_mps2)
        gap_m += STEP_S * (lead_next - speed)
    return None


def crashes(name: str, headway: str = "own", offset_m: float = 0.0) -> list[Crash]:
    """Return the cases of the grid in which a model makes contact.

    Args:
        name: CC, RSS or FSM.
        headway: ``own`` or ``r157``.
        offset_m: Added to every initial gap.
    """
    model, own_distance_m, easing_off_mps2 = MODELS[name]
    distance_m = own_distance_m if headway == "own" else r157_distance_m
    found = []
    for deceleration_g in DECELERATIONS_G:
        for speed_kmh in SPEEDS_KMH:
            speed = float(speed_kmh) / 3.6
            impact = impact_speed_mps(
                model, distance_m(speed) + offset_m, speed,
                GRAVITY_MPS2 * float(deceleration_g), easing_off_mps2,
            )  # fmt: skip
            if impact is not None:
                found.append(Crash(round(float(deceleration_g), 2), int(speed_kmh), impact))
    return found


def row(name: str, found: list[Crash]) -> str:
    """Return one model's row of the table."""
    cells = [name, str(len(found)), "", "", ""]
    if found:
        for index, values in (
            (2, [crash.deceleration_g for crash in found]),
            (3, [crash.speed_kmh for crash in found]),
            (4, [crash.impact_mps for crash in found]),
        ):
            cells[index] = f"{min(values):.4g} to {max(values):.4g}"
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table of collisions."""
    parser = argparse.ArgumentParser(description="Collisions of CC, RSS and FSM on the R157 grid.")
    parser.add_argument("--headway", choices=("own", "r157"), default="own")
    parser.add_argument(
        "--offset_m", type=float, default=0.0, help="Added to every initial gap (default: 0)."
    )
    args = parser.parse_args()
    num_cases = DECELERATIONS_G.size * SPEEDS_KMH.size
    lines = [
        f"{num_cases} cases, headway {args.headway}, offset {args.offset_m:g} m",
        "| model | collisions | deceleration [g] | speed [km/h] | impact [m/s] |",
        "|---|---|---|---|---|",
    ]
    lines += [row(name, crashes(name, args.headway, args.offset_m)) for name in MODELS]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
