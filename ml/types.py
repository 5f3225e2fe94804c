"""Array layouts that cross the border between two stages.

Rows are cars: row 0 is the ego (`V001`), row r is the car r places ahead of it (`V00{r+1}`), so a
row number is the car's *rank*. Columns are the constants below. All values are SI; headings are
anticlockwise from east. Positions are those of the front bumper's centre, SUMO's reference point.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
UnsignedArray = npt.NDArray[np.uint64]

CONTROL_PERIOD_S = 0.1
"""Length of one control step and of one SUMO step [s]."""

MAX_PEERS = 8
"""Slots for peers in the observation."""

MAX_ENVIRONMENTS = 64
"""Environments side by side, each in a process of its own."""

MAX_DEMAND_MPS2 = 8.0
"""Braking demand of action 1 [m/s^2]."""

# --- Ground truth: ``cars``, float64 (num_cars, NUM_CAR_FIELDS) ------------------------------
CAR_X, CAR_Y = 0, 1  # [m] in the map's frame
CAR_SPEED = 2  # [m/s]
CAR_ACCELERATION = 3  # [m/s^2], realised over the last step
CAR_HEADING = 4  # [rad]
CAR_PATH_POSITION = 5  # [m] along the convoy's route
CAR_LENGTH = 6  # [m]
CAR_BRAKE_TARGET = 7  # [m/s^2] >= 0, the deceleration its driver is building up to, 0 if none known
CAR_SLOPE = 8  # [rad] of the road under it, uphill positive
NUM_CAR_FIELDS = 9

# --- A car's own sensors: ``sensed``, float64 (NUM_SENSED_FIELDS,) ---------------------------
SENSED_X, SENSED_Y = 0, 1  # [m]
SENSED_SPEED = 2  # [m/s]
SENSED_ACCELERATION = 3  # [m/s^2]
SENSED_HEADING = 4  # [rad]
NUM_SENSED_FIELDS = 5

# --- What the ego's board holds of each peer: ``heard``, float64 (num_cars, NUM_HEARD_FIELDS) -
# The first five columns are the SENSED_* ones, as the sender measured them at transmission.
HEARD_LOWEST_ACCELERATION = 5  # [m/s^2], lowest received within the last second
HEARD_TIME_SINCE_RECEPTION = 6  # [s]
HEARD_STATE_AGE = 7  # [s], age of the state at transmission, as the sender declared it
HEARD_SEQUENCE_GAP = 8  # frames missing between the newest frame and the one received before it
HEARD_HOP_COUNT = 9  # relays between sender and ego
HEARD_IS_FRESH = 10  # 1 while the newest frame is younger than the staleness threshold, else 0
NUM_HEARD_FIELDS = 11

NEVER_HEARD_S = 1000.0
"""Time since reception and age of a peer that was never heard [s]."""

# --- What the policy sees: ``ego``, float32 (NUM_EGO_FEATURES,) -------------------------------
# The tables of ml/envs/observation.py have units, bounds and meanings.
NUM_HISTORY_SAMPLES = 6  # of the ego's speed and acceleration, newest first: now to one second ago
HISTORY_STRIDE = 2  # control steps between two samples
EGO_SPEED = 0  # the newest of the speeds
EGO_ACCELERATION = NUM_HISTORY_SAMPLES  # the newest of the accelerations
EGO_NUM_FRESH_PEERS = 2 * NUM_HISTORY_SAMPLES
NUM_EGO_FEATURES = 2 * NUM_HISTORY_SAMPLES + 1

# --- and ``peers``, float32 (MAX_PEERS, NUM_PEER_FEATURES), of which ``peer_mask`` marks the heard
PEER_FORWARD, PEER_LEFT = 0, 1
PEER_RELATIVE_SPEED, PEER_RELATIVE_HEADING = 2, 3
PEER_ACCELERATION, PEER_LOWEST_ACCELERATION = 4, 5
PEER_TIME_SINCE_RECEPTION, PEER_STATE_AGE = 6, 7
PEER_SEQUENCE_GAP = 8
PEER_HOP_COUNT = 9
NUM_PEER_FEATURES = 10

# --- What happened in an episode: ``trace``, float64 (num_steps, NUM_TRACE_FIELDS) -----------
# One row per control step, the state after the step and the decision that led to it.
TRACE_TIME = 0  # [s] since the start of the episode
TRACE_SPEED = 1  # [m/s] of the ego
TRACE_ACCELERATION = 2  # [m/s^2] of the ego, realised
TRACE_GAP = 3  # [m] to the car ahead, infinite if there is none
TRACE_LEAD_SPEED = 4  # [m/s]
TRACE_LEAD_ACCELERATION = 5  # [m/s^2]
TRACE_DEMAND = 6  # [m/s^2] >= 0, the policy's braking demand
TRACE_DRIVER_COMMAND = 7  # [m/s^2], the driver's own commanded acceleration
TRACE_ORACLE_DEMAND = 8  # [m/s^2] >= 0, what full knowledge would have demanded at the decision
TRACE_DISTANCE = 9  # [m] driven by the ego since the start of the episode
NUM_TRACE_FIELDS = 10

TRACE_STEPS_PER_UNIT = 65536.0
"""The hash of an episode's steps rounds each number to this part of its unit.

Last bits, which processors round differently, do not count; 15 um, 15 um/s and 15 us do.
"""

# --- Where an environment's time goes: ``stage_seconds``, (NUM_STAGES,), [s] ------------------
STAGE_SIMULATOR = 0  # SUMO, drivers, hazards, contacts; resets
STAGE_RADIO = 1  # sensors, air, receiver
STAGE_OBSERVATION = 2  # observation, reward, record
STAGE_INFERENCE = 3  # a policy that acts in the environment's own process
NUM_STAGES = 4
