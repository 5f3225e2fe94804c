"""A step's row of the trace."""

from __future__ import annotations

import math

import numpy as np

from ml.envs.trace_kernels import write_trace_row
from ml.tests.unit.test_safety_kernels import make_cars
from ml.types import NUM_TRACE_FIELDS


def trace_of(cars, gaps_m):
    trace = np.full((3, NUM_TRACE_FIELDS), np.nan)
    write_trace_row(trace, 1, 0.2, cars, np.array(gaps_m), 4.0, -1.5, 2.5, cars[0, 5] - 12.0)
    return trace


def test_a_row_holds_the_state_and_the_decision_in_the_order_of_the_columns():
    trace = trace_of(make_cars((0.0, 20.0, -1.0), (35.0, 18.0, -2.0)), [30.5])

    # In the order of the TRACE_* columns.
    assert trace[1].tolist() == [0.2, 20.0, -1.0, 30.5, 18.0, -2.0, 4.0, -1.5, 2.5, 12.0]


def test_other_rows_are_left_alone():
    trace = trace_of(make_cars((0.0, 20.0, 0.0)), np.zeros(0))

    assert np.isnan(trace[[0, 2]]).all()


def test_without_a_car_ahead_the_gap_is_infinite():
    trace = trace_of(make_cars((0.0, 20.0, -1.0)), np.zeros(0))

    assert trace[1].tolist() == [0.2, 20.0, -1.0, math.inf, 0.0, 0.0, 4.0, -1.5, 2.5, 12.0]
