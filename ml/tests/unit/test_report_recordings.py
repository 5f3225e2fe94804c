"""Recordings as the player reads them: thousandths, shared roads, refusals."""

from __future__ import annotations

import copy

import pytest

from ml.reporting.recordings import pack_recordings
from ml.tests.evaluation_folders import JUDGED, made_recording

ROW = {
    "policy": JUDGED, "radio_preset": "nominal", "case_id": "H-n2-r1-0001", "num_peers": 2,
    "hazard_source_rank": 1, "hazard_onset_s": 6.0, "case_speed_mps": 20.0, "case_headway_s": 1.0,
    "case_deceleration_mps2": 7.0, "age_at_onset_s": 0.05, "collision": True,
}  # fmt: skip


@pytest.fixture
def recording():
    return made_recording(ROW, seed=1, steps=20)


def changed(recording, place, value):
    """Return a recording with one value changed; ``place`` is keys and indices."""
    new = copy.deepcopy(recording)
    holder = new
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return new


def test_series_are_whole_thousandths_and_nulls_stay(recording):
    recording["ego"]["gap_m"][:3] = [12.3456, None, -0.0004]

    (episode,) = pack_recordings([(ROW, recording)])["episodes"]

    assert episode["ego"]["gap_m"][:3] == [12346, None, 0]


def test_a_road_that_two_episodes_share_stands_once(recording):
    other = changed(recording, ("road", "lanes", 0, "width_m"), 3.0)

    packed = pack_recordings([(ROW, recording), (ROW, recording), (ROW, other)])

    assert len(packed["roads"]) == 2
    assert [episode["road"] for episode in packed["episodes"]] == [0, 0, 1]


def test_messages_are_in_the_order_sent_with_fates_by_number(recording):
    recording["messages"] = [
        {"sender": 2, "receiver": 0, "sent_s": 0.2, "received_s": None, "fate": "lost", "hops": 0},
        {"sender": 1, "receiver": 0, "sent_s": 0.1, "received_s": 0.132, "fate": "relayed",
         "hops": 1},
    ]  # fmt: skip

    packed = pack_recordings([(ROW, recording)])

    # Fates are delivered, lost, relayed, stale.
    assert packed["fates"] == ("delivered", "lost", "relayed", "stale")
    assert packed["episodes"][0]["messages"] == [
        [1, 0, 100, 132, 2, 1], [2, 0, 200, None, 1, 0],
    ]  # fmt: skip


@pytest.mark.parametrize(("rank", "source"), [(1, 1), (2, 2), (9, None), (0, None), (None, None)])
def test_a_source_that_is_no_car_of_the_recording_is_none(recording, rank, source):
    (episode,) = pack_recordings([({**ROW, "hazard_source_rank": rank}, recording)])["episodes"]

    assert episode["source"] == source
