"""Metrics of an episode from hand-made traces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.metrics.episode import (
    alarm_counts,
    alarm_events,
    comfort_metrics,
    reaction_metrics,
    safety_metrics,
)
from ml.types import (
    NUM_TRACE_FIELDS,
    TRACE_ACCELERATION,
    TRACE_DEMAND,
    TRACE_DISTANCE,
    TRACE_DRIVER_COMMAND,
    TRACE_GAP,
    TRACE_LEAD_SPEED,
    TRACE_ORACLE_DEMAND,
    TRACE_SPEED,
    TRACE_TIME,
)


def make_trace(num_steps=100, gap=30.0, speed=20.0, lead_speed=20.0):
    trace = np.zeros((num_steps, NUM_TRACE_FIELDS))
    trace[:, TRACE_GAP], trace[:, TRACE_SPEED], trace[:, TRACE_LEAD_SPEED] = gap, speed, lead_speed
    trace[:, TRACE_TIME] = 0.1 * np.arange(1, num_steps + 1)
    trace[:, TRACE_DISTANCE] = 0.1 * speed * np.arange(1, num_steps + 1)
    return trace


def test_alarms_less_than_a_second_apart_are_one():
    excess = np.zeros(60)
    excess[[5, 6, 14]] = 4.0  # 0.8 s apart
    excess[40] = 4.0

    assert alarm_events(excess, 3.0) == [(5, 15), (40, 41)]


def test_an_alarm_is_what_the_demand_adds_to_the_driver():
    trace = make_trace()
    trace[10:20, TRACE_DEMAND] = 4.0
    trace[10:20, TRACE_DRIVER_COMMAND] = -2.5

    counts = alarm_counts(trace)

    assert counts["alarms_1mps2"] == 1  # 1.5 m/s^2 more than the driver
    assert counts["alarms_3mps2"] == 0


def test_an_alarm_is_false_where_the_oracle_demands_nothing():
    trace = make_trace()
    trace[10:12, TRACE_DEMAND] = 8.0
    trace[50:60, TRACE_DEMAND] = 8.0
    trace[55:60, TRACE_ORACLE_DEMAND] = 5.0

    counts = alarm_counts(trace)

    assert counts["alarms_5mps2"] == 2
    assert counts["false_alarms_5mps2"] == 1


def test_an_alarm_before_the_danger_is_false():
    trace = make_trace()
    trace[10:20, TRACE_DEMAND] = 8.0
    trace[40:60, TRACE_ORACLE_DEMAND] = 5.0

    assert alarm_counts(trace)["false_alarms_3mps2"] == 1


def test_safety_metrics_of_a_closing_episode():
    trace = make_trace(num_steps=10)
    trace[4, TRACE_GAP], trace[4, TRACE_LEAD_SPEED] = 10.0, 10.0

    metrics = safety_metrics(trace)

    assert metrics["min_gap_m"] == 10.0
    assert metrics["min_ttc_s"] == pytest.approx(1.0)
    assert metrics["max_required_deceleration_mps2"] == pytest.approx(5.0)  # 100 / 20
    assert metrics["time_below_ttc_1.5s_s"] == pytest.approx(0.1)


def test_without_a_car_ahead_there_is_nothing_to_measure():
    assert set(safety_metrics(make_trace(gap=math.inf)).values()) == {None}


def test_a_steady_episode_has_no_finite_time_to_collision():
    assert safety_metrics(make_trace())["min_ttc_s"] is None


def test_speeds_that_differ_by_rounding_have_no_time_to_collision():
    trace = make_trace(num_steps=10)
    trace[4, TRACE_GAP], trace[4, TRACE_LEAD_SPEED] = 10.0, trace[4, TRACE_SPEED] - 6e-15

    assert safety_metrics(trace)["min_ttc_s"] is None


def test_comfort_metrics():
    trace = make_trace(num_steps=101)
    trace[50:, TRACE_ACCELERATION] = -1.0

    metrics = comfort_metrics(trace)

    assert metrics["mean_headway_s"] == pytest.approx(1.5)
    assert metrics["distance_m"] == pytest.approx(202.0)
    assert metrics["mean_speed_mps"] == 20.0


def test_reaction_is_timed_from_the_onset_to_the_end_of_the_first_braking_step():
    trace = make_trace()
    trace[53:, TRACE_DEMAND] = 8.0  # decided at 5.3 s, in the row of 5.4 s
    trace[51:, TRACE_ORACLE_DEMAND] = 6.0
    trace[54, TRACE_ACCELERATION] = -0.9
    trace[55:, TRACE_ACCELERATION] = -2.0  # the row of 5.6 s

    metrics = reaction_metrics(trace, 5.0)

    assert metrics["time_to_braking_s"] == pytest.approx(0.6)
    assert metrics["margin_to_oracle_s"] == pytest.approx(-0.2)


def test_what_came_before_the_onset_is_no_reaction():
    trace = make_trace()
    trace[10:40, TRACE_DEMAND] = 8.0
    trace[10:40, TRACE_ACCELERATION] = -8.0
    trace[10:, TRACE_ORACLE_DEMAND] = 6.0

    assert reaction_metrics(trace, 5.0) == {"time_to_braking_s": None, "margin_to_oracle_s": None}


def test_the_step_that_ends_at_the_onset_is_before_it():
    trace = make_trace()
    trace[49, [TRACE_DEMAND, TRACE_ORACLE_DEMAND]] = 8.0  # the row of 5.0 s
    trace[49, TRACE_ACCELERATION] = -8.0

    assert reaction_metrics(trace, 5.0) == {"time_to_braking_s": None, "margin_to_oracle_s": None}
    assert reaction_metrics(trace, 4.9)["time_to_braking_s"] == pytest.approx(0.1)


def test_a_driver_whose_own_braking_fades_is_no_policy():
    trace = make_trace()
    trace[40:55, TRACE_DRIVER_COMMAND] = -7.5
    trace[41:58, TRACE_ACCELERATION] = -7.5  # three steps longer than commanded

    assert reaction_metrics(trace, 5.0)["time_to_braking_s"] is None


def test_braking_is_the_policys_where_it_exceeds_the_drivers_by_1_mps2():
    trace = make_trace()
    trace[:, TRACE_DRIVER_COMMAND] = -3.0
    trace[:, TRACE_ACCELERATION] = -3.9
    trace[60:, TRACE_ACCELERATION] = -4.1  # the row of 6.1 s
    trace[52, TRACE_DEMAND] = 3.9
    trace[58, TRACE_DEMAND] = 4.1
    trace[60, TRACE_ORACLE_DEMAND] = 5.0

    metrics = reaction_metrics(trace, 5.0)

    assert metrics["time_to_braking_s"] == pytest.approx(1.1)
    assert metrics["margin_to_oracle_s"] == pytest.approx(0.2)  # earlier than the oracle


def test_without_a_hazard_there_is_no_reaction():
    trace = make_trace()
    trace[10:, TRACE_DEMAND] = 8.0

    assert reaction_metrics(trace, None) == {"time_to_braking_s": None, "margin_to_oracle_s": None}


@pytest.mark.parametrize("silent", [TRACE_DEMAND, TRACE_ORACLE_DEMAND])
def test_no_margin_where_one_of_the_two_never_demands(silent):
    trace = make_trace()
    trace[55:, [TRACE_DEMAND, TRACE_ORACLE_DEMAND]] = 8.0
    trace[:, silent] = 0.0

    assert reaction_metrics(trace, 5.0)["margin_to_oracle_s"] is None
