"""The radio report as a page, one file that needs nothing else, and as a record of its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.report_contents import RadioReport
from ml.espnow_emulator.report_metadata import LinkMetadata
from ml.espnow_emulator.report_panels import ReportFigure
from ml.espnow_emulator.report_rows import (
    CHANCE_OF_FALSE_ALARM,
    DIFFERS,
    NO_CLOSED_FORM,
    SHOWN_LEVEL,
    Row,
)
from ml.espnow_emulator.report_table import difference, shown_interval, table_html, value_text
from ml.html_page import page_html

_FIRST_KEYS = ("link", "purpose", "direction", "source", "fit")
_MOST_NAMED = 3
"""Of the comparisons that differ, in the sentence above the figures."""
_USES = {
    "test": "a test set, never trained on",
    "training": "may be trained on",
}
_STYLE = """
:root { --emulator: #0b62a8; --closed-form: #c2410c; --measured: #0f766e; }
@media (prefers-color-scheme: dark) { :root { --emulator: #6cb6ff; --closed-form: #ffa657;
  --measured: #5eead4; } }
.verdict { border-color: var(--measured); }
.facts, .figures { display: grid; gap: 1rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(9.5rem, 45%), 1fr)); }
.figures { gap: 1.6rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); }
.fact { padding: .5rem .8rem; background: var(--panel); border-radius: .4rem; }
.fact b { display: block; font-size: 1.45rem; line-height: 1.3; }
.fact span { color: var(--muted); font-size: .88rem; }
th:first-child { min-width: 9.5rem; }
tr.differs > * { color: var(--alarm); font-weight: 600; }
tr.group th { padding-top: .9rem; color: var(--muted); font-weight: 600; }
"""


@dataclass(frozen=True)
class PageSource:
    """What a page was made from.

    Attributes:
        name: Of the page, the parameter file's stem.
        file: The parameter file or preset, as it was named.
        file_sha256: Of its bytes.
        seed: Of all samples.
        num_frames: Frames asked for.
    """

    name: str
    file: str
    file_sha256: str
    seed: int
    num_frames: int


def record_of(
    report: RadioReport,
    parameters: RadioParameters,
    metadata: LinkMetadata,
    source: PageSource,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the page's numbers and what they were made from, for JSON."""
    return {
        "name": source.name,
        "parameters": {
            "file": source.file,
            "sha256": source.file_sha256,
            "mode": parameters.mode,
            "use": parameters.use,
        },
        "metadata": metadata.content,
        "seed": source.seed,
        "frames": source.num_frames,
        "link_distance_m": report.link_distance_m,
        "interval_level": SHOWN_LEVEL,
        "chance_of_a_false_alarm_on_the_page": CHANCE_OF_FALSE_ALARM,
        "num_compared": len(_compared(report)),
        "num_differing": len(_differing(report)),
        "rows": [_row_record(row) for row in report.rows],
        "measured_points": [
            {"distance_m": point.distance_m, "reception": point.reception, "n": point.num_frames}
            for point in metadata.points
        ],
        "notes": report.notes,
        "versions": dict(versions),
    }


def _row_record(row: Row) -> dict[str, Any]:
    """Return a row for JSON."""
    estimate = row.estimate
    low, high = (None, None) if estimate is None else shown_interval(estimate)
    return {
        "figure": row.figure,
        "quantity": row.quantity,
        "unit": row.unit,
        "distance_m": row.distance_m,
        "num_senders": row.num_senders,
        "value": None if estimate is None else estimate.value,
        "low": low,
        "high": high,
        "closed_form": row.closed_form,
        "difference": difference(row),
        "measured": row.measured,
        "n": None if estimate is None else estimate.num_samples,
        "n_counts": row.counted or None,
        "num_worlds": None if estimate is None else estimate.num_worlds,
        "verdict": row.verdict,
    }


def page_text(
    report: RadioReport,
    parameters: RadioParameters,
    metadata: LinkMetadata,
    source: PageSource,
) -> str:
    """Return the page as HTML."""
    title = str(metadata.content.get("name") or source.name)
    body = [
        f"<h1>Radio report: {escape(title)}</h1>",
        f'<p class="kind">{escape(_kind(parameters, metadata))}</p>',
        _verdict(report),
        _facts(report),
        '<div class="figures">',
        *(_figure(number, figure) for number, figure in enumerate(report.figures, start=1)),
        "</div>",
        "<h2>What these numbers are</h2>",
        f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in report.notes)}</ul>',
        "<h2>All numbers</h2>",
        table_html(report),
        "<h2>Where the parameters come from</h2>",
        _origin(metadata, source),
    ]
    return page_html(f"Radio report: {title}", "\n".join(body), style=_STYLE)


def _kind(parameters: RadioParameters, metadata: LinkMetadata) -> str:
    """Return what the page is about, in a line under its title."""
    link = metadata.content.get("link")
    about = f"{link} \u00b7 " if isinstance(link, str) else ""
    return f"{about}{parameters.mode} mode \u00b7 {_USES.get(parameters.use, parameters.use)}"


def _compared(report: RadioReport) -> list[Row]:
    """Return the rows that have a closed form and a sample."""
    return [row for row in report.rows if row.verdict != NO_CLOSED_FORM]


def _differing(report: RadioReport) -> list[Row]:
    """Return the rows whose closed form is not what was sampled."""
    return [row for row in report.rows if row.verdict == DIFFERS]


def summary_text(report: RadioReport) -> str:
    """Return how emulator and closed forms compare, in one sentence."""
    differing, num_compared = _differing(report), len(_compared(report))
    if not differing:
        return f"Emulator and closed form agree in all {num_compared} comparisons."
    names = "; ".join(row.quantity for row in differing[:_MOST_NAMED])
    if len(differing) > _MOST_NAMED:
        names += f"; and {len(differing) - _MOST_NAMED} more"
    return (
        f"Emulator and closed form differ by more than sampling error in {len(differing)} of "
        f"{num_compared} comparisons: {names}."
    )


def _verdict(report: RadioReport) -> str:
    """Return the box that says whether emulator and closed forms agree."""
    is_differing = bool(_differing(report))
    hint = " See the notes below the figures for what the closed forms leave out."
    text = summary_text(report) + (hint if is_differing else "")
    return f'<p class="verdict{" differs" if is_differing else ""}">{escape(text)}</p>'


def _facts(report: RadioReport) -> str:
    """Return the few numbers that say most, large."""
    here = f"at {report.link_distance_m:.4g} m"
    wanted = {
        f"lost {here}": f"of the frames are lost {here}",
        "mean burst": "mean burst of losses",
        "median age": f"median age {here}",
        "age not exceeded 95 % of the time": "age not exceeded 95 % of the time",
        "time with an age above 500 ms": "of the time the state is older than 500 ms",
    }
    boxes = [
        f'<div class="fact"><b>{value_text(row.estimate.value, row.unit)}</b>'
        f"<span>{escape(wanted[row.quantity])}</span></div>"
        for row in report.rows
        if row.quantity in wanted and row.estimate is not None
    ]
    return f'<div class="facts">{"".join(boxes)}</div>'


def _figure(number: int, figure: ReportFigure) -> str:
    """Return a figure with its title and caption."""
    drawing = figure.svg or '<div class="empty">Nothing to draw.</div>'
    return (
        f"<figure>\n<h2>{number}. {escape(figure.title)}</h2>\n{drawing}\n"
        f"<figcaption>{escape(figure.caption)}</figcaption>\n</figure>"
    )


def _origin(metadata: LinkMetadata, source: PageSource) -> str:
    """Return what the parameter file says of itself."""
    content = metadata.content
    entries = [("parameters", source.file), ("SHA-256", source.file_sha256)]
    entries += [(key, _plain(content[key])) for key in _FIRST_KEYS if key in content]
    limits = content.get("limits", "The file states no limits.")
    entries.append(("limits", _plain(limits)))
    entries.append(("sampled with", f"seed {source.seed}, {source.num_frames:,} frames"))
    items = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in entries)
    everything = escape(json.dumps(content, indent=2, ensure_ascii=False))
    details = f"<details><summary>All of the metadata</summary><pre>{everything}</pre></details>"
    return f"<dl>{items}</dl>{details}"


def _plain(value: object) -> str:
    """Return a metadata value as a sentence or so."""
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
