"""Which episodes are the worst."""

from __future__ import annotations

import pytest

from ml.errors import RecordError
from ml.evaluation.worst_episodes import check_is_same
from ml.evaluation.worst_rows import recording_name, worst_rows


def row(case_id, *, impact_mps=None, ttc_s=None):
    return {
        "policy": "net", "radio_preset": "roof", "case_id": case_id,
        "collision": impact_mps is not None, "impact_speed_mps": impact_mps, "min_ttc_s": ttc_s,
    }  # fmt: skip


def test_collisions_come_first_by_impact_speed_then_the_smallest_time_to_collision():
    rows = [
        row("a", ttc_s=0.4), row("b", impact_mps=2.0, ttc_s=0.1), row("c"), row("d", ttc_s=0.2),
        row("e", impact_mps=9.0, ttc_s=0.1), row("f", impact_mps=0.0, ttc_s=0.0),
    ]  # fmt: skip

    assert [each["case_id"] for each in worst_rows(rows)] == ["e", "b", "f", "d", "a", "c"]
    assert [each["case_id"] for each in worst_rows(rows, 2)] == ["e", "b"]


def test_ties_are_broken_by_name_and_not_by_the_order_of_the_rows():
    rows = [row("b", ttc_s=1.0), row("a", ttc_s=1.0)]

    assert worst_rows(rows) == worst_rows(rows[::-1])


def test_a_recording_is_named_by_policy_preset_and_case():
    assert recording_name(row("H-n3-r2-0007")) == "net--roof--H-n3-r2-0007.json"


def test_an_episode_that_was_another_one_when_played_again_is_refused():
    with pytest.raises(RecordError, match=r"min_ttc_s of a with net must be 0\.4 again"):
        check_is_same({"record": {"min_ttc_s": 0.5}}, row("a", ttc_s=0.4))
