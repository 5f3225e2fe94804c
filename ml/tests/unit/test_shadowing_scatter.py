"""The scatter of a fit by shared shadowing: by hand, and against a plain double sum."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml.espnow_emulator.link_sessions import FrameOutcomes
from ml.espnow_emulator.shadowing_scatter import shadowing_scatter


def outcomes_at(distance_m, session):
    is_received = np.ones(len(distance_m), dtype=bool)
    return FrameOutcomes(is_received, np.array(distance_m, dtype=float), np.array(session))


def test_frames_at_one_place_share_all_and_20_m_on_a_share_of_1_in_e():
    # 3 dB squared times: one pair at one place, two pairs 20 m apart, each counted both ways.
    found = shadowing_scatter(np.ones((3, 1)), outcomes_at([10.0, 10.0, 30.0], [0, 0, 0]))

    assert found == pytest.approx(np.array([[9.0 * (2.0 + 4.0 / math.e)]]))


def test_sessions_share_nothing():
    found = shadowing_scatter(np.ones((3, 1)), outcomes_at([10.0, 10.0, 10.0], [0, 0, 1]))

    assert found == pytest.approx(np.array([[9.0 * 2.0]]))


def test_a_distance_that_trembles_by_less_than_5_m_has_not_moved():
    found = shadowing_scatter(np.ones((4, 1)), outcomes_at([10.0, 13.0, 8.0, 14.9], [0] * 4))

    assert found == pytest.approx(np.array([[9.0 * 12.0]]))


def test_a_way_back_is_a_move_too():
    # Out by 10 m and back: the first and the last frame are 20 m of driving apart.
    near, far = math.exp(-0.5), math.exp(-1.0)

    found = shadowing_scatter(np.ones((3, 1)), outcomes_at([10.0, 20.0, 10.0], [0] * 3))

    assert found == pytest.approx(np.array([[9.0 * 2.0 * (2.0 * near + far)]]))


def test_the_scatter_is_the_double_sum_over_pairs():
    rng = np.random.default_rng(4)
    distance_m = np.cumsum(rng.choice([-7.0, 6.0, 30.0], 60))
    session = np.repeat([0, 1], 30)
    response = rng.standard_normal((60, 2))
    walked_m = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(distance_m)))])
    correlation = np.exp(-np.abs(walked_m[:, None] - walked_m) / 20.0)
    correlation *= (session[:, None] == session) & ~np.eye(60, dtype=bool)

    found = shadowing_scatter(response, outcomes_at(distance_m, session))

    assert found == pytest.approx(9.0 * response.T @ correlation @ response)
