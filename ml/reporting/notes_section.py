"""What a reader must know to judge the numbers: coverage, assumptions and limits."""

from __future__ import annotations

from collections.abc import Mapping

from ml.evaluation.verdict import is_counted
from ml.reporting.evaluation_folder import FAMILIES, EvaluationFolder
from ml.reporting.markup import facts, object_table, paragraph, section, table

ASSUMPTIONS = (
    "Every car, its sensors and the radio are simulated: SUMO moves the cars, and an emulator "
    "fitted to published measurements of ESP-NOW boards decides the fate of each frame. No figure "
    "is a test on a road.",
    "Collisions and alarms are counted on ground truth, apart from the reward that a policy was "
    "trained with. A collision is contact of the ego with the car ahead.",
    "All policies face the same episodes: the same traffic, and the same fate of each frame.",
    "The ego assists a simulated human driver; demands reach at most 8 m/s², through an actuator "
    "with a dead time of 0.1 s, a lag of 0.2 s and a jerk limit of 25 m/s³.",
    "The AEB sees the car ahead perfectly, 0.2 s late; the oracle knows the true state of all "
    "cars. Both bound what a real car could do.",
    "False alarms count where the oracle demands nothing. Calm traffic is as the protocol fixes "
    "it; its rate per hour is not that of real driving.",
    "Family R is reported and decides no gate.",
    "An interval covers the chance of these episodes alone, not that of another training run or "
    "another simulator.",
)


def coverage_section(folder: EvaluationFolder) -> str:
    """Return how many episodes were planned, run and counted."""
    policies = folder.plain_policies()
    lines = []
    for preset in folder.radio_presets:
        for family in FAMILIES:
            rows = {policy: folder.rows(policy, preset, family) for policy in policies}
            numbers = [len(found) for found in rows.values()]
            counted = [sum(map(is_counted, found)) for found in rows.values()]
            if max(numbers, default=0):
                lines.append(
                    [f"{family}, {FAMILIES[family]}", preset, _span(numbers), _span(counted)]
                )
    columns = ["family", "radio", "episodes a policy", "counted"]
    return section(
        "coverage",
        "Coverage",
        table("Episodes by family and radio preset", columns, lines, kind="texts"),
        _stated(folder.evaluation.get("coverage")),
    )


def _stated(coverage: object) -> str:
    """Return what the evaluation says of its coverage: numbers, then lists on demand."""
    if not isinstance(coverage, Mapping):
        return ""
    numbers = {
        key: value for key, value in coverage.items() if not isinstance(value, list | Mapping)
    }
    lists = "".join(
        object_table(str(key), value) for key, value in coverage.items() if isinstance(value, list)
    )
    return facts(numbers) + lists


def _span(numbers: list[int]) -> str:
    """Return one number, or the least and the largest."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def limits_section() -> str:
    """Return the assumptions and limits."""
    items = "".join(f"<li>{text}</li>" for text in ASSUMPTIONS)
    return section(
        "limits", "Assumptions and limits", f'<ul class="notes">{items}</ul>',
        paragraph("Statistics: exact intervals of Clopper and Pearson for shares and of Garwood "
                  "for rates, 95 % two-sided.", "notes"),
    )  # fmt: skip
