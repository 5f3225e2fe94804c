"""From the rows of an evaluation by a protocol to what ``evaluation.json`` says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.evaluation.age_curve import age_curve
from ml.evaluation.comparisons import compare_policies
from ml.evaluation.coverage import summarise_coverage
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.family_summary import summarise
from ml.evaluation.gate_verdict import gates_verdict
from ml.evaluation.gates import NETWORK_THRESHOLD_MPS2, judge_gates
from ml.evaluation.matched_rows import RowsByPolicy, rows_of
from ml.evaluation.operating_curve import operating_curve
from ml.evaluation.players import Player
from ml.evaluation.preventability import collisions_by_label, label_cases
from ml.evaluation.protocol_run import EvaluationPlan
from ml.evaluation.verdict import Json, grouped

RowsOfAll = Mapping[str, Sequence[EpisodeRecord]]

_COMPARED_WITH = ("driver", "aeb", "r157", "eebl", "rss")
"""What could drive instead; the other baselines show limits."""


def build_evaluation(plan: EvaluationPlan, rows_by_policy: RowsOfAll) -> Json:
    """Return everything that follows from the plan and the rows.

    Args:
        plan: What was to be played.
        rows_by_policy: Rows of every policy, by radio preset and case.

    Returns:
        What ``evaluation.json`` holds, but for time and provenance.
    """
    protocol = plan.protocol
    judged = [player.policy_id for player in plan.judged]
    coverage = summarise_coverage(plan.plays(), rows_by_policy)
    presets = protocol.radio_presets
    gates = {
        name: judge_gates(rows_by_policy, protocol.gates, name, radio_presets=presets)
        for name in judged
    }
    verdicts = {
        name: gates_verdict(rows_by_policy, gates[name], name, radio_presets=presets)
        for name in judged
    }
    return {
        "protocol": {
            "name": protocol.name,
            "sha256": protocol.sha256,
            "seed": protocol.seed,
            "radio_presets": list(presets),
            "stress_presets": sorted(protocol.stress_presets),
            "num_cases": len(plan.cases),
        },
        "policies": [_policy_entry(player, judged) for player in plan.players],
        "coverage": coverage,
        "summaries": {name: _summaries(rows) for name, rows in rows_by_policy.items()},
        "comparisons": _comparisons(rows_by_policy, judged),
        "operating_curves": _operating_curves(plan, rows_by_policy, judged),
        "age_curve": {
            name: {preset: _age_curve(rows_by_policy, name, preset) for preset in presets}
            for name in judged
        },
        "preventability": _preventability(rows_by_policy, judged),
        "gates": gates,
        "verdict": verdicts,
        "result": _result(coverage, verdicts),
    }


def _preventability(rows_by_policy: RowsByPolicy, judged: Sequence[str]) -> Json:
    """Return who could have prevented a collision in each case, and where the judged ones did."""
    labels = label_cases(rows_by_policy)
    collisions = {name: collisions_by_label(labels, rows_by_policy[name]) for name in judged}
    return {"cases": labels, "collisions": collisions}


def _policy_entry(player: Player, judged: Sequence[str]) -> Json:
    """Return what is said of a policy."""
    role = "baseline"
    if player.is_variant:
        role = "variant"
    elif player.policy_id in judged:
        role = "judged"
    return {
        "id": player.policy_id,
        "role": role,
        "is_scripted": isinstance(player.source, str),
        "min_demand_mps2": player.min_demand_mps2,
        "sha256": player.sha256,
        "model": player.model,
    }


def _summaries(rows: Sequence[EpisodeRecord]) -> Json:
    """Return a policy's summaries by family and radio preset."""
    groups = grouped(rows, lambda row: (str(row["family"]), str(row["radio_preset"])))
    table: Json = {}
    for family, preset in sorted(groups):
        table.setdefault(family, {})[preset] = summarise(groups[family, preset])
    return table


def _comparisons(rows_by_policy: RowsByPolicy, judged: Sequence[str]) -> list[Json]:
    """Return the paired comparisons of each judged policy with the rules and with each other."""
    return [
        {
            "policy": policy,
            "minus": other,
            "families": compare_policies(rows_by_policy[policy], rows_by_policy[other], other),
        }
        for policy in judged
        for other in dict.fromkeys((*_COMPARED_WITH, *judged))
        if other != policy
    ]


def _age_curve(rows_by_policy: RowsByPolicy, policy: str, preset: str) -> Json:
    """Return a policy's collisions by the age at the onset under one radio preset."""
    rows, driver_rows = (
        rows_of(rows_by_policy, name, preset, ("H",)) for name in (policy, "driver")
    )
    return age_curve(rows, driver_rows)


def _operating_curves(
    plan: EvaluationPlan, rows_by_policy: RowsByPolicy, judged: Sequence[str]
) -> Json:
    """Return the points of each judged policy's operating curve, and of eebl's."""
    bare_thresholds = {name: NETWORK_THRESHOLD_MPS2 for name in judged if name != "eebl"}
    return {
        name: [
            point
            for preset in plan.protocol.radio_presets
            for point in operating_curve(
                rows_by_policy, name, preset, bare_mps2=bare_thresholds.get(name)
            )
        ]
        for name in (*bare_thresholds, "eebl")
    }


def _result(coverage: Json, verdicts: Mapping[str, Json]) -> str:
    """Return the result of the whole: a cell with too few episodes fails it too."""
    results = {verdict["result"] for verdict in verdicts.values()}
    if coverage["shortfalls"] or "FAIL" in results:
        return "FAIL"
    return "INCONCLUSIVE" if "INCONCLUSIVE" in results else "PASS"
