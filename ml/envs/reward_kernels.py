"""The reward's terms: costs of what really happened, from ground truth and realised motion."""

from __future__ import annotations

from ml.kernels import kernel
from ml.metrics.safety_kernels import convoy_required_deceleration_mps2
from ml.types import (
    CAR_ACCELERATION,
    CAR_SPEED,
    MAX_DEMAND_MPS2,
    FloatArray,
)

TERM_COLLISION, TERM_DANGER, TERM_NEEDLESS, TERM_JERK, TERM_LOST_SPEED = 0, 1, 2, 3, 4
NUM_TERMS = 5

COMFORTABLE_DECELERATION_MPS2 = 3.0
COLLISION_SPEED_SCALE_MPS = 10.0
JERK_SCALE_MPS3 = 10.0
_LARGEST_JERK_RATIO = 2.5  # the actuator's jerk limit
LOST_SPEED_SCALE_MPS = 20.0
REQUIRED_REACTION_S = 0.3  # dead time plus lag of the actuator: braking this early is not needless
MARGIN_M = 1.0


@kernel
def write_reward_terms(
    cars: FloatArray,
    previous_acceleration_mps2: float,
    driver_command_mps2: float,
    free_speed_mps: float,
    impact_speed_mps: float,
    duration_s: float,
    weights: FloatArray,
    terms: FloatArray,
) -> float:
    """Write the weighted terms of one step and return their sum; unweighted, each is >= 0.

    Args:
        cars: Ground truth after the step, shape (num_cars, NUM_CAR_FIELDS).
        previous_acceleration_mps2: The ego's acceleration one step before.
        driver_command_mps2: What the driver alone commanded.
        free_speed_mps: The speed to keep where no car is ahead.
        impact_speed_mps: Closing speed at contact in this step, negative if there was none.
        duration_s: Length of the step.
        weights: Shape (NUM_TERMS,).
        terms: Shape (NUM_TERMS,); overwritten.
    """
    speed = cars[0, CAR_SPEED]
    acceleration = cars[0, CAR_ACCELERATION]
    reference_speed = free_speed_mps
    if cars.shape[0] > 1:
        reference_speed = cars[1, CAR_SPEED]
    called_for = convoy_required_deceleration_mps2(cars, REQUIRED_REACTION_S, MARGIN_M, True)
    terms[TERM_COLLISION] = 0.0
    if impact_speed_mps >= 0.0:
        terms[TERM_COLLISION] = 1.0 + impact_speed_mps / COLLISION_SPEED_SCALE_MPS
    unmet = called_for - max(COMFORTABLE_DECELERATION_MPS2, -acceleration)
    terms[TERM_DANGER] = min(1.0, max(0.0, unmet) / MAX_DEMAND_MPS2)
    justified = max(called_for, 0.0, -driver_command_mps2)
    excess = max(0.0, -acceleration - justified) / MAX_DEMAND_MPS2
    terms[TERM_NEEDLESS] = excess * excess
    jerk = abs(acceleration - previous_acceleration_mps2) / duration_s
    ratio = min(jerk / JERK_SCALE_MPS3, _LARGEST_JERK_RATIO)
    terms[TERM_JERK] = ratio * ratio
    terms[TERM_LOST_SPEED] = max(0.0, reference_speed - speed) / LOST_SPEED_SCALE_MPS
    reward = 0.0
    for term in range(NUM_TERMS):
        terms[term] *= weights[term]
        reward += terms[term]
    return reward
