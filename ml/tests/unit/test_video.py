"""What a replay shows of a hand-made recording of three steps."""

from __future__ import annotations

import numpy as np
import pytest

from ml.evaluation.video import RecordedPictures
from ml.types import CAR_ACCELERATION, CAR_HEADING, CAR_LENGTH, CAR_SPEED, CAR_X, CAR_Y


def message(received_s, hops=0):
    return {"sender": 1, "receiver": 0, "sent_s": -0.6, "received_s": received_s,
            "fate": "delivered", "hops": hops}  # fmt: skip


def car(rank, ahead_m):
    return {
        "rank": rank, "id": f"V00{rank + 1}", "length_m": 4.5, "width_m": 1.8,
        "x_m": [ahead_m, ahead_m + 2.0, ahead_m + 4.0], "y_m": [0.0, 0.1, 0.2],
        "heading_rad": [0.0, 0.01, 0.02], "speed_mps": [20.0, 19.0, 18.0],
        "acceleration_mps2": [0.0, -1.0, -2.0],
    }  # fmt: skip


def recording(**changes):
    return {
        "policy": "eebl", "radio_preset": None, "case_id": None,
        "record": {"scenario_id": "eval_000", "hazard_kind": "hard_stop",
                   "end_reason": "max_steps"},
        "step_s": 0.1, "start_s": 0.0, "onset_s": 0.2, "road": {"lanes": []},
        "cars": [car(0, 0.0), car(1, 30.0)],
        "ego": {"gap_m": [25.5, 25.4, None], "demand_mps2": [0.0, 2.0, 4.0],
                "driver_command_mps2": [0.1, 0.2, 0.3], "oracle_demand_mps2": [0.0, 0.0, 0.0]},
        "heard": [{"rank": 1, "age_s": [None, 0.1, 0.2], "is_fresh": [0, 1, 1]}],
        "messages": [],
        **changes,
    }  # fmt: skip


def test_a_scene_is_the_recordings_step():
    scene = RecordedPictures(recording()).scene(1)

    columns = [CAR_X, CAR_Y, CAR_HEADING, CAR_SPEED, CAR_ACCELERATION, CAR_LENGTH]
    assert scene.time_s == pytest.approx(0.2)
    assert scene.cars[1, columns].tolist() == [32.0, 0.1, 0.01, 19.0, -1.0, 4.5]
    assert (scene.gap_m, scene.demand_mps2, scene.driver_command_mps2) == (25.4, 2.0, 0.2)
    assert scene.is_fresh.tolist() == [False, True]


def test_without_a_gap_there_is_no_car_ahead():
    assert RecordedPictures(recording()).scene(2).gap_m == np.inf


@pytest.mark.parametrize(
    ("received_s", "step"), [(0.001, 0), (0.1, 0), (0.101, 1), (0.2, 1), (0.3, 2)]
)
def test_a_message_is_shown_in_the_step_in_which_it_came(received_s, step):
    pictures = RecordedPictures(recording(messages=[message(received_s, hops=2)]))

    shown = [list(pictures.scene(index).arrivals) for index in range(3)]
    assert shown == [[(1, 2)] if index == step else [] for index in range(3)]


@pytest.mark.parametrize("received_s", [None, -0.4, 0.0, 0.301])
def test_a_message_lost_or_outside_the_episode_is_not_shown(received_s):
    pictures = RecordedPictures(recording(messages=[message(received_s)]))

    assert [len(pictures.scene(index).arrivals) for index in range(3)] == [0, 0, 0]


def test_the_caption_says_what_it_is_and_at_last_how_it_ended():
    pictures = RecordedPictures(recording())

    assert pictures.caption(is_last=False) == "eebl, eval 000, hard stop"
    assert pictures.caption(is_last=True) == "eebl, eval 000, hard stop, max steps"
    named = RecordedPictures(recording(policy=None, case_id="H-n3-r2-0007"))
    assert named.caption(is_last=False) == "H-n3-r2-0007, hard stop"
