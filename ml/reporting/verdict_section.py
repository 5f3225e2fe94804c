"""The top of the page: the verdict, the few numbers that say most, and the gates."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from ml.evaluation.verdict import (
    FALSE_ALARM_LEVEL_MPS2,
    collision_rate,
    is_counted,
    summarise_alarms,
)
from ml.reporting.evaluation_folder import EvaluationFolder, Json
from ml.reporting.markup import (
    details,
    facts,
    html_table,
    number_text,
    object_table,
    paragraph,
    section,
    share_text,
    status_badge,
)

STATUS_OF_RESULT = {"PASS": "pass", "FAIL": "fail", "INCONCLUSIVE": "open"}
_BESIDE = ("eebl", "driver")
"""Baselines whose collisions stand beside the policy's in large numbers."""


def verdict_section(folder: EvaluationFolder) -> str:
    """Return the verdict on each judged policy, with its most telling numbers."""
    if not folder.judged:
        return section("verdict", "Verdict", paragraph("No policy was judged by the gates."))
    return section("verdict", "Verdict", *(_banner(folder, policy) for policy in folder.judged))


def _banner(folder: EvaluationFolder, policy: str) -> str:
    """Return the box about one policy."""
    verdict = verdict_on(folder, policy)
    result = str(verdict.get("result", "INCONCLUSIVE"))
    status = STATUS_OF_RESULT.get(result, "open")
    text = verdict.get("text")
    words = paragraph(text, "lead") if isinstance(text, str) else ""
    return (
        f'<div class="verdict {status}"><h3>{status_badge(status, result)} '
        f"{escape(policy)}</h3>{words}{_large_numbers(folder, policy)}</div>"
    )


def verdict_on(folder: EvaluationFolder, policy: str) -> Mapping[str, Any]:
    """Return the verdict on a policy: its own, or the one on all."""
    verdict = folder.evaluation["verdict"]
    own = verdict.get(policy)
    return own if isinstance(own, dict) else verdict


def _large_numbers(folder: EvaluationFolder, policy: str) -> str:
    """Return collision rates in H and M beside two baselines', and the false alarms in C."""
    boxes = []
    preset = folder.gate_presets[0]
    for family, where in (("H", "hard braking"), ("M", "multi-hop")):
        rates = {
            name: collision_rate(counted)
            for name in (policy, *_BESIDE)
            if (counted := [r for r in folder.rows(name, preset, family) if is_counted(r)])
        }
        if policy not in rates:
            continue
        others = ", ".join(
            f"{name} {share_text(rates[name]['collision_rate'])}"
            for name in rates
            if name != policy
        )
        number = share_text(rates[policy]["collision_rate"])
        about = f"collisions in {where} ({rates[policy]['episodes']:,} episodes)"
        boxes.append(_box(number, about, others))
    alarms = summarise_alarms(folder.rows(policy, preset, "C"))["all"]
    level = alarms[f"false_alarms_{FALSE_ALARM_LEVEL_MPS2}mps2"]
    if level["per_hour"] is not None:
        about = f"false alarms per hour ({alarms['hours']:.1f} h of calm traffic)"
        boxes.append(_box(number_text(level["per_hour"]), about, "demand above 3 m/s²"))
    return f'<div class="facts">{"".join(boxes)}</div>{_preset_note(preset)}'


def _preset_note(preset: str) -> str:
    return paragraph(f"Radio preset {preset}; the others are in the table below.", "notes")


def _box(number: str, about: str, beside: str) -> str:
    return (
        f'<div class="fact"><b>{escape(number)}</b><span>{escape(about)}</span>'
        f"<small>{escape(beside)}</small></div>"
    )


def gates_section(folder: EvaluationFolder) -> str:
    """Return the gates of each judged policy, in their order."""
    parts = []
    for policy in folder.judged:
        cards = "".join(_gate(gate) for gate in folder.evaluation["gates"][policy])
        heading = f"<h3>{escape(policy)}</h3>" if len(folder.judged) > 1 else ""
        parts.append(f'{heading}<ol class="gates">{cards}</ol>')
    return section("gates", "Gates", *parts) if parts else ""


def _gate(gate: Json) -> str:
    """Return one gate: status, name, its checks in a line each, and the findings on demand."""
    name, checks, case_ids = gate["name"], gate.get("checks", []), gate.get("case_ids", [])
    lines = "".join(_check_line(check) for check in checks)
    rows = [
        [
            status_badge(check["status"]),
            escape(str(check.get("radio_preset", ""))),
            escape(check["name"]),
            escape(check["text"]),
        ]
        for check in checks
    ]
    columns = ["status", "radio", "check", "finding"]
    findings = html_table(f"Findings of {name}", columns, rows, kind="texts")
    cases = details(f"{len(case_ids)} cases", paragraph(", ".join(case_ids), "cases"))
    return (
        f'<li class="gate {gate["status"]}"><div class="gate-head">'
        f"{status_badge(gate['status'])} <b>{escape(name)}</b></div>"
        + (f'<ul class="checks">{lines}</ul>' if checks else paragraph(gate["text"]))
        + (details("Findings", findings) if checks else "")
        + (cases if case_ids else "")
        + "</li>"
    )


def _check_line(check: Json) -> str:
    """Return one check: status, name and preset, and the finding where it failed."""
    status = check["status"]
    finding = f"<small>{escape(check['text'])}</small>" if status == "fail" else ""
    words = escape(f"{check['name']}, {check.get('radio_preset', '')}")
    return f'<li class="{status}">{status_badge(status)}<span>{words}{finding}</span></li>'


def provenance_section(folder: EvaluationFolder) -> str:
    """Return where everything comes from, with the hashes of every file that was read."""
    policies = folder.evaluation.get("policies")
    files = "".join(
        f"<li><span>{escape(name)}</span> <code>{digest}</code></li>"
        for name, digest in folder.file_hashes.items()
    )
    return section(
        "provenance",
        "Provenance",
        facts({"protocol": folder.protocol, **folder.evaluation["provenance"]}),
        object_table("policies", policies) if isinstance(policies, list) else "",
        details(
            f"SHA-256 of the {len(folder.file_hashes)} files read",
            f'<ul class="facts hashes">{files}</ul>',
        ),
    )
