"""What the gates say of every seed, in Markdown: status, reasons, the operating curve's table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml.reporting.evaluation_folder import Json
from ml.reporting.markup import number_text
from ml.reporting.results_folder import Collisions, SeedResults, counted_alarms, pooled
from ml.reporting.results_numbers import (
    NONE,
    alarms_text,
    code_text,
    collisions_text,
    markdown_table,
    plain,
)

STATUS_WORDS = {"pass": "pass", "fail": "**FAIL**", "open": "open"}
_CURVE_GATE = "operating curve"


def gates_of(results: SeedResults, seed: str) -> dict[str, Json]:
    """Return a seed's gates by their names, in their order."""
    return {gate["name"]: gate for gate in results.of_policy("gates", seed)}


def gate_names(results: SeedResults) -> list[str]:
    """Return the names of all gates, in their order."""
    return list(dict.fromkeys(name for seed in results.seeds for name in gates_of(results, seed)))


def num_passed(results: SeedResults, name: str) -> int:
    """Return how many seeds pass a gate."""
    return sum(
        gates_of(results, seed).get(name, {}).get("status") == "pass" for seed in results.seeds
    )


def passes_all(results: SeedResults, seed: str) -> bool:
    """Return whether a seed passes every gate."""
    gates = gates_of(results, seed).values()
    return bool(gates) and all(gate["status"] == "pass" for gate in gates)


def gates_section(results: SeedResults) -> list[str]:
    """Return a row for each gate and a column for each seed, then what did not pass."""
    columns = ["gate", *map(plain, results.seeds), "passed"]
    rows = [
        [
            plain(name),
            *(_status_word(results, seed, name) for seed in results.seeds),
            f"{num_passed(results, name)} of {len(results.seeds)}",
        ]
        for name in gate_names(results)
    ]
    reasons = _reasons(results)
    told = ["Every check passed."] if not reasons else ["What did not pass:", "", *reasons]
    return ["## Gates", "", *markdown_table(columns, rows), "", *told, ""]


def _status_word(results: SeedResults, seed: str, name: str) -> str:
    """Return a gate's status for a seed."""
    gate = gates_of(results, seed).get(name)
    return NONE if gate is None else STATUS_WORDS[gate["status"]]


def _reasons(results: SeedResults) -> list[str]:
    """Return a line for each check that did not pass, seeds of which it says the same together."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for name in gate_names(results):
        for seed in results.seeds:
            for text in _checks_not_passed(gates_of(results, seed).get(name)):
                seeds.setdefault((name, text), []).append(plain(seed))
    return [
        f"- {plain(name)}, {'every seed' if len(of) == len(results.seeds) else ', '.join(of)}, "
        f"{text}"
        for (name, text), of in seeds.items()
    ]


def _checks_not_passed(gate: Json | None) -> Iterator[str]:
    """Give in words each check of a gate that did not pass."""
    if gate is None:
        return
    if gate["status"] != "pass" and not gate["checks"]:
        yield f"{gate['status']}: {plain(gate['text'])}"
    for check in gate["checks"]:
        if check["status"] != "pass":
            number = len(check.get("case_ids", ()))
            cases = f" (cases listed in the evaluation: {number:,})" if number else ""
            preset, text = code_text(check["radio_preset"]), plain(check["text"])
            yield f"radio {preset}, {check['status']}: {text}{cases}"


# --- Operating curve ------------------------------------------------------------------------------


def curve_table(results: SeedResults) -> list[str]:
    """Return what the operating curves are at each rate of false alarms, seed by seed."""
    columns = [
        "radio", "at most, per hour", "seed", "its threshold [m/s²]", "collisions in H and M",
        "false alarms per hour", "eebl's threshold [m/s²]", "eebl's collisions",
        "eebl's false alarms per hour", "paired p (Holm's)", "check",
    ]  # fmt: skip
    found = [
        (check["radio_preset"], check["alarms_per_hour"], seed, check)
        for seed in results.seeds
        for check in gates_of(results, seed).get(_CURVE_GATE, {}).get("checks", ())
        if "alarms_per_hour" in check
    ]
    presets, seeds = results.gate_presets, results.seeds
    found = [entry for entry in found if entry[0] in presets]
    found.sort(key=lambda entry: (presets.index(entry[0]), entry[1], seeds.index(entry[2])))
    rows = [
        [code_text(preset), f"{rate:g}", plain(seed), *_curve_cells(check)]
        for preset, rate, seed, check in found
    ]
    return markdown_table(columns, rows)


def _curve_cells(check: Json) -> Sequence[str]:
    """Return the cells of one comparison at one rate of false alarms."""
    comparison = check.get("comparison") or {"pairs": 0}
    pairs = comparison["pairs"]
    cells = []
    for place, name in (("point", "policy_collisions"), ("rival_point", "baseline_collisions")):
        point = check.get(place)
        cells += [
            "no threshold keeps to it" if point is None else number_text(point["threshold_mps2"]),
            collisions_text(Collisions(comparison[name], pairs) if pairs else _all_of(point)),
            alarms_text(None if point is None else counted_alarms(point["false_alarms"])),
        ]
    p = f"{comparison['mcnemar_p']:.2g} ({check.get('holm_p', 1.0):.2g})" if pairs else NONE
    return [*cells, p, STATUS_WORDS[check["status"]]]


def _all_of(point: Json | None) -> Collisions | None:
    """Return all collisions of a point, which is not compared with another."""
    return None if point is None else pooled([point["all"]])
