"""The table of the radio report: every number beside its interval and closed form."""

from __future__ import annotations

from html import escape

from ml.espnow_emulator.report_contents import RadioReport
from ml.espnow_emulator.report_rows import (
    CHANCE_OF_FALSE_ALARM,
    DIFFERS,
    SHOWN_LEVEL,
    Row,
    RowEstimate,
)

_LARGE, _SMALL = 1000.0, 1.0


def table_html(report: RadioReport) -> str:
    """Return the table with the note that says what its verdicts mean."""
    has_measured = any(row.measured is not None for row in report.rows)
    columns = ["quantity", "emulator", "95 % interval", "closed form", "difference"]
    columns += ["measured"] if has_measured else []
    columns += ["n", "verdict"]
    head = "".join(f'<th scope="col">{text}</th>' for text in columns)
    lines = []
    number = 0
    for row in report.rows:
        if row.figure != number:
            number = row.figure
            group = f'<th colspan="{len(columns)}" scope="colgroup">Figure {number}</th>'
            lines.append(f'<tr class="group">{group}</tr>')
        lines.append(_table_row(row, has_measured=has_measured))
    level = f"{CHANCE_OF_FALSE_ALARM:.0%}".replace("%", " %")
    note = (
        "A row differs when its closed form is outside the interval at the level at which a page "
        f"without any difference would show one with a chance of {level} at most; the intervals "
        "shown are narrower."
    )
    return (
        f'<p class="notes">{note}</p><div class="wide" tabindex="0" role="region" '
        f'aria-label="All numbers"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _table_row(row: Row, *, has_measured: bool) -> str:
    """Return one line of the table."""
    estimate, unit = row.estimate, row.unit
    apart = difference(row)
    sign = "+" if apart is not None and apart > 0.0 else ""
    cells = [
        "" if estimate is None else value_text(estimate.value, unit),
        "" if estimate is None else _interval_text(estimate, unit),
        "" if row.closed_form is None else value_text(row.closed_form, unit),
        "" if apart is None else sign + value_text(apart, unit, is_difference=True),
    ]
    if has_measured:
        cells.append("" if row.measured is None else value_text(row.measured, unit))
    cells.append("" if estimate is None else f"{estimate.num_samples:,} {row.counted}")
    cells.append("" if estimate is None else row.verdict)
    mark = ' class="differs"' if row.verdict == DIFFERS else ""
    name = escape(row.quantity)
    return (
        f'<tr{mark}><th scope="row">{name}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
    )


def _interval_text(estimate: RowEstimate, unit: str) -> str:
    """Return the limits, the unit once."""
    low, high = shown_interval(estimate)
    number, _, _ = value_text(low, unit).rpartition(" ")
    return f"{number} to {value_text(high, unit)}"


def shown_interval(estimate: RowEstimate) -> tuple[float, float]:
    """Return the interval at the level that is shown."""
    return estimate.interval(SHOWN_LEVEL)


def difference(row: Row) -> float | None:
    """Return emulator less closed form, or None where one is missing."""
    if row.estimate is None or row.closed_form is None:
        return None
    return row.estimate.value - row.closed_form


def value_text(value: float, unit: str, *, is_difference: bool = False) -> str:
    """Return a value with its unit; shares as percentages, small ones with more places.

    >>> value_text(0.0712, "share"), value_text(0.00003, "share"), value_text(1234.5, "ms")
    ('7.12 %', '0.003 %', '1,234 ms')
    """
    shown = 100.0 * value if unit == "share" else value
    label = unit if unit != "share" else "points" if is_difference else "%"
    size = abs(shown)
    if size >= _LARGE:
        text = f"{shown:,.0f}"
    elif size >= _SMALL or size == 0.0 or is_difference or unit != "share":
        text = f"{shown:.1f}" if size >= 100.0 else f"{shown:.2f}"
    else:
        text = f"{shown:.3f}" if size >= 0.0005 else f"{shown:.1g}"
    is_zero = not text.strip("-0.")
    return f"{text.lstrip('-') if is_zero else text} {label}"
