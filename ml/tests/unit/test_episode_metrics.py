"""Metrics of an episode from hand-made traces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.metrics.episode import alarm_counts, alarm_events, comfort_metrics, safety_metrics
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
)


def make_trace(num_steps=100, gap=30.0, speed=20.0, lead_speed=20.0):
    trace = np.zeros((num_steps, NUM_TRACE_FIELDS))
    trace[:, TRACE_GAP], trace[:, TRACE_SPEED], trace[:, TRACE_LEAD_SPEED] = gap, speed, lead_speed
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


def test_comfort_metrics():
    trace = make_trace(num_steps=101)
    trace[50:, TRACE_ACCELERATION] = -1.0

    metrics = comfort_metrics(trace)

    assert metrics["mean_headway_s"] == pytest.approx(1.5)
    assert metrics["distance_m"] == pytest.approx(202.0)
    assert metrics["mean_speed_mps"] == 20.0
