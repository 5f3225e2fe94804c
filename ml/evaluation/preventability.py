"""Who could have prevented a collision: a label for each case, from what the references did there.

A case is preventable if the oracle avoids it. What the careful driver of UN R157 or the emergency
brake without a radio avoids, a policy must avoid too: the safety floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml.errors import RecordError

Row = Mapping[str, Any]

REFERENCES = ("oracle", "r157", "aeb")

UNAVOIDABLE = "unavoidable"
BOTH_AVOID = "r157 and aeb avoid"
R157_AVOIDS = "r157 avoids"
AEB_AVOIDS = "aeb avoids"
ORACLE_ALONE_AVOIDS = "only the oracle avoids"
LABELS = (UNAVOIDABLE, ORACLE_ALONE_AVOIDS, R157_AVOIDS, AEB_AVOIDS, BOTH_AVOID)

_LABEL_OF = {
    (True, True): BOTH_AVOID,
    (True, False): R157_AVOIDS,
    (False, True): AEB_AVOIDS,
    (False, False): ORACLE_ALONE_AVOIDS,
}
_IDENTITY = ("case_id", "radio_preset")


@dataclass(frozen=True)
class Preventability:
    """What the references make of a case.

    Attributes:
        label: One of LABELS; ``unavoidable`` if the oracle crashes, whatever the others do.
        is_preventable: Whether the oracle avoids it.
        is_on_safety_floor: Whether ``r157`` or ``aeb`` avoids it, whatever the oracle does.
    """

    label: str
    is_preventable: bool
    is_on_safety_floor: bool


def preventability(rows: Mapping[str, Row]) -> Preventability:
    """Return what the references make of a case.

    Args:
        rows: The record of ``oracle``, ``r157`` and ``aeb`` on one case under one radio preset, by
            the policy's name; other policies' are not looked at.

    Raises:
        RecordError: A reference is missing or says not whether it crashed, or the records are not
            of one case.
    """
    references = {name: _row_of(rows, name) for name in REFERENCES}
    for key in _IDENTITY:
        values = {name: row.get(key) for name, row in references.items()}
        if len(set(values.values())) > 1:
            raise RecordError(
                f"{key} of the references must be one. Got {values}. Give the records of one case."
            )
    avoids = {name: not row["collision"] for name, row in references.items()}
    label = _LABEL_OF[avoids["r157"], avoids["aeb"]] if avoids["oracle"] else UNAVOIDABLE
    return Preventability(label, avoids["oracle"], avoids["r157"] or avoids["aeb"])


def label_cases(rows_by_policy: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, str]]:
    """Return the label of each case that every reference played, by radio preset and case id.

    Args:
        rows_by_policy: The rows of every policy, by its name.
    """
    places: dict[tuple[str, str], dict[str, Row]] = {}
    for name in REFERENCES:
        for row in rows_by_policy.get(name, ()):
            places.setdefault((row["radio_preset"], row["case_id"]), {})[name] = row
    labels: dict[str, dict[str, str]] = {}
    for (preset, case_id), rows in sorted(places.items()):
        if len(rows) == len(REFERENCES):
            labels.setdefault(preset, {})[case_id] = preventability(rows).label
    return labels


def collisions_by_label(
    labels: Mapping[str, Mapping[str, str]], rows: Sequence[Row]
) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Return a policy's cases and collisions by family, radio preset and label.

    Args:
        labels: What ``label_cases`` returned.
        rows: The policy's rows.
    """
    cases: Counter[tuple[str, str, str]] = Counter()
    collisions: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        label = labels.get(row["radio_preset"], {}).get(row["case_id"])
        if label is not None:
            place = (row["family"], row["radio_preset"], label)
            cases[place] += 1
            collisions[place] += bool(row["collision"])
    table: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for family, preset, label in sorted(cases):
        place = (family, preset, label)
        counts = {"cases": cases[place], "collisions": collisions[place]}
        table.setdefault(family, {}).setdefault(preset, {})[label] = counts
    return table


def _row_of(rows: Mapping[str, Row], name: str) -> Row:
    """Return a reference's record, or raise RecordError."""
    row = rows.get(name)
    if row is None or not isinstance(row.get("collision"), bool):
        found = "no record" if row is None else f"collision {row.get('collision')!r}"
        raise RecordError(
            f"the case's record of {name} must say whether it crashed. Got {found}. Evaluate "
            f"{', '.join(REFERENCES)} on it."
        )
    return row
