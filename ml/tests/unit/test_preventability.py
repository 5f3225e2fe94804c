"""Labels of cases from hand-made records of the references."""

from __future__ import annotations

import pytest

from ml.errors import RecordError
from ml.evaluation.preventability import LABELS, preventability

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
