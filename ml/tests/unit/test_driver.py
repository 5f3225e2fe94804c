"""The human driver model, one decision at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.envs.conditions import draw_conditions
from ml.envs.driver_kernels import (
    DRIVER_LAPSE_DURATION,
    DRIVER_LAPSE_OFFSET,
    DRIVER_LAPSE_PERIOD,
    NUM_DRIVER_STATES,
    driver_command,
)
from ml.errors import ConfigError


def make_driver(time_gap_s=1.0, reaction_s=1.0):
    options = {"headway_s": time_gap_s, "reaction_delay_s": reaction_s}
    conditions = draw_conditions(
        np.random.default_rng(0), ego_driver="human", peer_driver="sumo", options=options
    )
    return conditions.driver_parameters(20.0, has_lead=True), np.zeros(NUM_DRIVER_STATES)


def braking_onset_s(parameters, state, lead_acceleration, duration_s=4.0):
    """Time at which the driver first brakes harder than following allows."""
    for step in range(round(duration_s / 0.1)):
        command = driver_command(
            parameters, state, step * 0.1, 40.0, 20.0, 20.0, lead_acceleration, 0.1
        )
        if command < -3.0 - 1e-9:
            return step * 0.1
    return math.inf


def test_at_the_equilibrium_gap_the_driver_does_nothing():
    parameters, state = make_driver(time_gap_s=1.5)

    # 2 m + 1.5 s * 20 m/s = 32 m
    assert driver_command(parameters, state, 0.0, 32.0, 20.0, 20.0, 0.0, 0.1) == pytest.approx(0.0)


def test_following_brakes_at_most_3_mps2():
    parameters, state = make_driver(time_gap_s=2.0)

    assert driver_command(parameters, state, 0.0, 15.0, 20.0, 15.0, 0.0, 0.1) == -3.0


@pytest.mark.parametrize("reaction_s", [0.75, 1.0, 1.5])
def test_the_emergency_brake_comes_after_the_reaction_delay(reaction_s):
    parameters, state = make_driver(reaction_s=reaction_s)

    # The ramp needs 3 / 12.65 = 0.24 s to pass what following would do.
    onset_s = braking_onset_s(parameters, state, lead_acceleration=-6.0)

    assert reaction_s <= onset_s <= reaction_s + 0.4


def test_benign_braking_ahead_calls_no_emergency():
    parameters, state = make_driver()

    assert braking_onset_s(parameters, state, lead_acceleration=-2.4) == math.inf


def test_a_lapse_of_attention_delays_the_response_to_at_most_1_5_s():
    parameters, state = make_driver(reaction_s=1.0)
    parameters[[DRIVER_LAPSE_PERIOD, DRIVER_LAPSE_OFFSET, DRIVER_LAPSE_DURATION]] = 30.0, 0.0, 0.75

    onset_s = braking_onset_s(parameters, state, lead_acceleration=-6.0)

    assert 1.5 <= onset_s <= 1.9


def test_the_ramp_reaches_0_774_g_after_0_6_s():
    parameters, state = make_driver(reaction_s=0.0)
    commands = [
        driver_command(parameters, state, 0.1 * step, 500.0, 20.0, 20.0, -6.0, 0.1)
        for step in range(7)
    ]

    assert commands[0] == pytest.approx(-1.265)
    assert commands[-1] == pytest.approx(-7.59)


def test_when_the_danger_is_over_the_driver_follows_again():
    parameters, state = make_driver(reaction_s=0.0)
    for step in range(8):
        driver_command(parameters, state, 0.1 * step, 40.0, 20.0, 20.0, -6.0, 0.1)

    assert driver_command(parameters, state, 0.8, 60.0, 15.0, 18.0, 0.0, 0.1) > 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"headway_s": 0.0}, "headway_s must be in"),
        ({"friction_mps2": True}, "friction_mps2 must be a number"),
        ({"ego_driver": "robot"}, "ego_driver must be one of"),
    ],
)
def test_conditions_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        draw_conditions(
            np.random.default_rng(0), ego_driver="human", peer_driver="sumo", options=options
        )
