"""Labels of cases from hand-made records of the references."""

from __future__ import annotations

import pytest

from ml.errors import RecordError
from ml.evaluation.preventability import (
    LABELS,
    collisions_by_label,
    label_cases,
    preventability,
)

CASE = {"case_id": "H-n3-r2-0007", "radio_preset": "nominal"}


def rows(oracle, r157, aeb):
    """Records from whether each reference crashes."""
    crashes = {"oracle": oracle, "r157": r157, "aeb": aeb}
    return {name: {**CASE, "collision": crash} for name, crash in crashes.items()}


@pytest.mark.parametrize(
    ("oracle", "r157", "aeb", "label", "is_preventable", "is_on_floor"),
    [
        (False, False, False, "r157 and aeb avoid", True, True),
        (False, False, True, "r157 avoids", True, True),
        (False, True, False, "aeb avoids", True, True),
        (False, True, True, "only the oracle avoids", True, False),
        (True, True, True, "unavoidable", False, False),
        (True, False, True, "unavoidable", False, True),
        (True, True, False, "unavoidable", False, True),
        (True, False, False, "unavoidable", False, True),
    ],
)
def test_label_follows_from_who_crashes(oracle, r157, aeb, label, is_preventable, is_on_floor):
    result = preventability(rows(oracle, r157, aeb))

    assert (result.label, result.is_preventable, result.is_on_safety_floor) == (
        label, is_preventable, is_on_floor,
    )  # fmt: skip
    assert label in LABELS


def test_other_policies_are_not_looked_at():
    given = {**rows(False, False, False), "demo": {"case_id": "another", "collision": True}}

    assert preventability(given).label == "r157 and aeb avoid"


@pytest.mark.parametrize("missing", ["oracle", "r157", "aeb"])
def test_a_missing_reference_is_named(missing):
    given = rows(False, False, False)
    del given[missing]

    with pytest.raises(RecordError, match=f"record of {missing} must .* Got no record"):
        preventability(given)


@pytest.mark.parametrize("value", [None, 1, "false"])
def test_a_record_that_says_not_whether_it_crashed_is_refused(value):
    given = rows(False, False, False)
    given["aeb"]["collision"] = value

    with pytest.raises(RecordError, match="record of aeb must say whether it crashed"):
        preventability(given)


@pytest.mark.parametrize("key", ["case_id", "radio_preset"])
def test_records_of_two_cases_are_refused(key):
    given = rows(False, False, False)
    given["r157"][key] = "another"

    with pytest.raises(RecordError, match=f"{key} of the references must be one"):
        preventability(given)


def row_of(case_id, collision, preset="nominal", family="H"):
    return {
        "case_id": case_id, "radio_preset": preset, "family": family, "collision": collision,
    }  # fmt: skip


REFERENCE_ROWS = {
    "oracle": [row_of("H-1", False), row_of("H-2", True), row_of("H-1", False, "roof")],
    "r157": [row_of("H-1", True), row_of("H-2", True), row_of("H-1", True, "roof")],
    "aeb": [row_of("H-1", False), row_of("H-2", True), row_of("H-3", False)],
}


def test_cases_that_every_reference_played_are_labelled():
    assert label_cases(REFERENCE_ROWS) == {"nominal": {"H-1": "aeb avoids", "H-2": "unavoidable"}}


def test_collisions_are_counted_by_label_and_others_left_out():
    rows = [
        row_of("H-1", True),
        row_of("H-2", True),
        row_of("H-3", True),
        row_of("H-1", True, "roof"),
    ]

    assert collisions_by_label(label_cases(REFERENCE_ROWS), rows) == {
        "H": {
            "nominal": {
                "aeb avoids": {"cases": 1, "collisions": 1},
                "unavoidable": {"cases": 1, "collisions": 1},
            }
        }
    }
