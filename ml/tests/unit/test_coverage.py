"""Planned cases held against rows, and the proof that all policies met the same episodes."""

from __future__ import annotations

import pytest

from ml.errors import RecordError
from ml.evaluation.cases import Case
from ml.evaluation.coverage import check_pairing, summarise_coverage
from ml.evaluation.players import Play, Player


def case(number, peers=2, rank=1):
    return Case(
        f"H-n{peers}-r{rank}-{number}", "H", "s", {"episode_index": number},
        {"num_peers": peers, "source_rank": rank}, 10,
    )  # fmt: skip


def row(of_case, policy="net", preset="nominal", **fields):
    return {
        "policy": policy, "radio_preset": preset, "family": of_case.family,
        "case_id": of_case.case_id, "case_num_peers": of_case.design["num_peers"],
        "case_source_rank": of_case.design["source_rank"], "case_variant": None,
        "hazard_kind": "hard_stop", "hazard_is_realised": True, "collision": False, **fields,
    }  # fmt: skip


CASES = [case(0), case(1), case(2, rank=2)]
NET = Player("net", "net", "0")
PLAYS = {"nominal": [Play(NET, one) for one in CASES]}


def test_all_rows_leave_no_shortfall():
    coverage = summarise_coverage(PLAYS, {"net": [row(one) for one in CASES]})

    assert coverage["shortfalls"] == coverage["not_realised"] == []
    assert (coverage["planned"], coverage["played"], coverage["counted"]) == (3, 3, 3)
    assert coverage["num_cells"] == 2
    assert coverage["by_family"] == {"H": {"nominal": {"planned": 3, "counted": 3}}}


def test_a_row_that_is_missing_is_a_shortfall_of_its_cell():
    coverage = summarise_coverage(PLAYS, {"net": [row(CASES[0]), row(CASES[2])]})

    assert coverage["shortfalls"] == [
        {"policy": "net", "radio_preset": "nominal", "family": "H", "num_peers": 2,
         "source_rank": 1, "variant": None, "planned": 2, "counted": 1}
    ]  # fmt: skip


def test_a_hazard_that_did_not_happen_is_reported_and_not_counted():
    failed = row(CASES[2], hazard_is_realised=False, hazard_failure="too slow")

    coverage = summarise_coverage(PLAYS, {"net": [row(CASES[0]), row(CASES[1]), failed]})

    assert coverage["not_realised"] == [
        {"policy": "net", "radio_preset": "nominal", "case_id": "H-n2-r2-2",
         "hazard_failure": "too slow", "is_counted": False}
    ]  # fmt: skip
    assert [entry["source_rank"] for entry in coverage["shortfalls"]] == [2]


def test_a_collision_before_the_hazard_is_reported_and_counted():
    early = row(CASES[2], hazard_is_realised=False, hazard_failure="ended", collision=True)

    coverage = summarise_coverage(PLAYS, {"net": [row(CASES[0]), row(CASES[1]), early]})

    assert [entry["is_counted"] for entry in coverage["not_realised"]] == [True]
    assert coverage["shortfalls"] == []


def test_the_same_case_of_another_policy_must_be_the_same_episode():
    rows = {"net": [row(CASES[0], hazard_onset_s=5.0)],
            "aeb": [row(CASES[0], "aeb", hazard_onset_s=5.1)]}  # fmt: skip

    with pytest.raises(RecordError, match="hazard_onset_s of aeb"):
        check_pairing(rows)


def test_another_preset_and_a_part_of_the_cases_need_no_partner():
    rows = {
        "net": [row(one, hazard_onset_s=5.0) for one in CASES],
        "net@2.0": [row(CASES[1], "net@2.0", hazard_onset_s=5.0)],
        "aeb": [row(CASES[0], "aeb", "roof", hazard_onset_s=7.0)],
    }

    check_pairing(rows)
