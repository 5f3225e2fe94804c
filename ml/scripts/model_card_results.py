"""The results of an evaluation by a protocol, as Markdown for a model card."""

from __future__ import annotations

from typing import Any

from ml.evaluation.verdict import FALSE_ALARM_LEVEL_MPS2

Json = dict[str, Any]

FAMILIES = ("H", "D", "N", "M", "C", "R")
REFERENCES = ("driver", "eebl", "oracle")
_CALM = "C"
_SHOWN_AS = "packaged"


def result_lines(evaluation: Json, policy_id: str) -> list[str]:
    """Return the lines about collisions, false alarms and gates.

    Args:
        evaluation: What ``evaluation.json`` of a protocol holds.
        policy_id: The policy's id in it.
    """
    verdict = evaluation["verdict"][policy_id]
    lines = [f"**{verdict['result']}** by the protocol `{evaluation['protocol']['name']}`."]
    if policy_id != _SHOWN_AS:
        lines.append(f"In the texts of verdict and gates it bears the name `{policy_id}`.")
    lines += ["", verdict["text"], "", "Collisions, with 95 % intervals of the rate:", ""]
    lines += _table(evaluation, policy_id, _collisions, FAMILIES)
    lines += [
        "",
        f"False alarms per hour at {FALSE_ALARM_LEVEL_MPS2} m/s² in calm traffic, with 95 % "
        "intervals:",
        "",
        *_table(evaluation, policy_id, _false_alarms, (_CALM,)),
        "",
        "Gates:",
        "",
    ]
    lines += [
        f"- **{gate['name']}: {gate['status']}.** {gate['text']}"
        for gate in evaluation["gates"][policy_id]
    ]
    return lines


def _table(evaluation: Json, policy_id: str, cell: Any, families: tuple[str, ...]) -> list[str]:  # noqa: ANN401 - one of the two functions below
    """Return a table: a row for each family and radio preset, a column for each policy."""
    summaries = evaluation["summaries"]
    gated = evaluation["protocol"]["radio_presets"]
    lines = [
        f"| family | radio preset | {_SHOWN_AS} | {' | '.join(REFERENCES)} |",
        "|---|---|" + "---|" * (1 + len(REFERENCES)),
    ]
    for family in families:
        own = summaries[policy_id].get(family, {})
        for preset in sorted(own, key=lambda name: (name not in gated, name)):
            cells = [
                cell(summaries.get(name, {}).get(family, {}).get(preset))
                for name in (policy_id, *REFERENCES)
            ]
            lines.append(f"| {family} | {preset} | {' | '.join(cells)} |")
    return lines


def _collisions(summary: Json | None) -> str:
    """Return collisions of episodes, and the interval of their rate."""
    rate = None if summary is None else summary["collisions"]
    if rate is None or rate["interval_95"] is None:
        return "-"
    low, high = (100.0 * limit for limit in rate["interval_95"])
    return f"{rate['collisions']} of {rate['episodes']:,} ({low:.2f} to {high:.2f} %)"


def _false_alarms(summary: Json | None) -> str:
    """Return the rate of false alarms with its interval, and the hours."""
    alarms = None if summary is None else summary["false_alarms"]
    rate = {} if alarms is None else alarms[f"{FALSE_ALARM_LEVEL_MPS2}mps2"]
    if alarms is None or rate["per_hour"] is None:
        return "-"
    low, high = rate["per_hour_interval_95"]
    return f"{rate['per_hour']:.2f} ({low:.2f} to {high:.2f}; {alarms['hours']:.2f} h)"
