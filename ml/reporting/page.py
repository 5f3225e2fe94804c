"""The report's page: every section in its order, one file that needs nothing else."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ml.html_page import page_html
from ml.reporting.curves import age_section, operating_section
from ml.reporting.episodes_section import episodes_section
from ml.reporting.evaluation_folder import EvaluationFolder
from ml.reporting.heat_map import heat_map_section
from ml.reporting.markup import status_badge
from ml.reporting.notes_section import coverage_section, limits_section
from ml.reporting.rates_section import alarms_section, rates_section
from ml.reporting.verdict_section import (
    STATUS_OF_RESULT,
    gates_section,
    provenance_section,
    verdict_section,
)

_STYLE_FILE = Path(__file__).resolve().parent / "report.css"
_LINKS = (
    ("verdict", "Verdict"),
    ("gates", "Gates"),
    ("rates", "Collisions"),
    ("heat-map", "Heat map"),
    ("age", "Age"),
    ("operating", "Operating curve"),
    ("alarms", "False alarms"),
    ("episodes", "Episodes"),
    ("coverage", "Coverage"),
    ("limits", "Limits"),
    ("provenance", "Provenance"),
)


def _overall(folder: EvaluationFolder) -> str:
    """Return the result of the whole evaluation, which a shortfall of episodes fails too."""
    result = folder.evaluation.get("result")
    if result not in STATUS_OF_RESULT:
        return ""
    status = STATUS_OF_RESULT[result]
    return f'<p class="overall {status}">Evaluation: {status_badge(status, result)}</p>'


def report_html(folder: EvaluationFolder) -> str:
    """Return the page of an evaluation."""
    name = str(folder.protocol.get("name", folder.path.name))
    judged = ", ".join(folder.judged) or "no policy judged"
    sections = [
        verdict_section(folder),
        gates_section(folder),
        rates_section(folder),
        heat_map_section(folder),
        age_section(folder),
        operating_section(folder),
        alarms_section(folder),
        episodes_section(folder),
        coverage_section(folder),
        limits_section(),
        provenance_section(folder),
    ]
    number = sum(map(len, folder.rows_by_policy.values()))
    about = f"{judged} · {number:,} episodes · radio {', '.join(folder.gate_presets)}"
    links = "".join(
        f'<li><a href="#{target}">{text}</a></li>'
        for target, text in _LINKS
        if any(part.startswith(f'<section id="{target}"') for part in sections)
    )
    body = (
        '<a class="skip" href="#verdict">Skip to the verdict</a>'
        f"<header><h1>Evaluation report: {escape(name)}</h1>"
        f'<p class="kind">{escape(about)}</p>{_overall(folder)}'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n'
        f"<main>\n{chr(10).join(sections)}\n</main>"
    )
    page = page_html(
        f"Evaluation report: {name}", body, style=_STYLE_FILE.read_text(encoding="utf-8")
    )
    return page.encode("utf-8", "replace").decode("utf-8")
