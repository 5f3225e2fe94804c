"""The table policy x family, and the false alarms: counts, rates and exact intervals."""

from __future__ import annotations

from html import escape

from ml.evaluation.verdict import ALARM_LEVELS_MPS2, collision_rate, is_counted, summarise_alarms
from ml.reporting.drawing import RIGHT, Drawing, Scale, legend
from ml.reporting.evaluation_folder import FAMILIES, EvaluationFolder, Json, Row
from ml.reporting.markup import (
    details,
    figure,
    figures,
    html_table,
    interval_text,
    number_text,
    paragraph,
    section,
    share_text,
    table,
)

_SHAPES = {1: "circle", 3: "square", 5: "triangle"}
_BAR = 100.0
_LEAST_RATE, _MOST_RATE = 0.1, 3000.0
_RATE_TICKS = tuple((rate, f"{rate:g}") for rate in (0.1, 1.0, 10.0, 100.0, 1000.0))


def rates_section(folder: EvaluationFolder) -> str:
    """Return the collisions of every policy in every family, a table for each radio preset."""
    shown = [preset for preset in folder.radio_presets if preset in folder.gate_presets]
    others = [preset for preset in folder.radio_presets if preset not in shown]
    note = (
        "Collisions of the ego with the car ahead: share, count of episodes, exact 95 % interval "
        "(Clopper and Pearson). The line under a share is its interval from 0 to 100 %. An episode "
        "whose hazard did not happen as asked is not counted, unless the ego collided; Coverage "
        "says how many are."
    )
    return section(
        "rates",
        "Collisions by policy and family",
        paragraph(note, "notes"),
        *(_rates_table(folder, preset) for preset in shown),
        *(details(f"Radio preset {name}", _rates_table(folder, name)) for name in others),
    )


def _rates_table(folder: EvaluationFolder, preset: str) -> str:
    """Return the table of one radio preset."""
    policies = folder.plain_policies()
    found = {row["family"] for rows in folder.rows_by_policy.values() for row in rows
             if row["radio_preset"] == preset}  # fmt: skip
    families = [family for family in FAMILIES if family in found]
    columns = ["policy", *(f"{family}<small>{FAMILIES[family]}</small>" for family in families)]
    rows = []
    for policy in policies:
        mark = ' <span class="tag">judged</span>' if policy in folder.judged else ""
        cells = [_rate_cell(folder.rows(policy, preset, family)) for family in families]
        rows.append([f"{escape(policy)}{mark}", *cells])
    return html_table(f"Radio preset {preset}", columns, rows, kind="rates")


def _rate_cell(rows: list[Row]) -> str:
    """Return a cell: share, interval as a line, counts."""
    counted = [row for row in rows if is_counted(row)]
    rate = collision_rate(counted)
    if rate["collision_rate"] is None:
        return '<span class="none">none</span>'
    low, high = (_BAR * limit for limit in rate["interval_95"])
    place = _BAR * rate["collision_rate"]
    return (
        f"<b>{share_text(rate['collision_rate'])}</b>"
        f'<svg class="bar" viewBox="0 0 104 8" aria-hidden="true"><path class="rail" d="M2 4h100"/>'
        f'<path class="range" d="M{2 + low:.1f} 4H{2 + max(high, low + 1):.1f}"/>'
        f'<circle class="dot" cx="{2 + place:.1f}" cy="4" r="2.6"/></svg>'
        f"<small>{rate['collisions']} / {rate['episodes']}</small>"
        f"<small>{interval_text(rate['interval_95'])}</small>"
    )


# --- False alarms -------------------------------------------------------------------------------


def alarms_section(folder: EvaluationFolder) -> str:
    """Return the false alarms per hour of calm traffic."""
    presets = [name for name in folder.gate_presets if _has_calm(folder, name)]
    if not presets:
        return section("alarms", "False alarms", paragraph("No calm traffic was evaluated."))
    keys = legend(
        (_SHAPES[level], "plain", f"demand above the driver's by {level} m/s²")
        for level in ALARM_LEVELS_MPS2
    )
    return section(
        "alarms", "False alarms", keys, figures(_alarm_figure(folder, name) for name in presets)
    )


def _has_calm(folder: EvaluationFolder, preset: str) -> bool:
    return any(folder.rows(policy, preset, "C") for policy in folder.plain_policies())


def _alarm_figure(folder: EvaluationFolder, preset: str) -> str:
    """Return the false alarms of every policy under one radio preset."""
    rates = {
        policy: summarise_alarms(rows)["all"]
        for policy in folder.plain_policies()
        if (rows := [row for row in folder.rows(policy, preset, "C") if is_counted(row)])
    }
    hours = max(rate["hours"] for rate in rates.values())
    episodes = max(len(folder.rows(policy, preset, "C")) for policy in rates)
    lines = [
        [policy, f"{rate['hours']:.2f}", *(_alarm_text(rate, level) for level in ALARM_LEVELS_MPS2)]
        for policy, rate in rates.items()
    ]
    columns = ["policy", "hours", *(f"above {level} m/s², per hour" for level in ALARM_LEVELS_MPS2)]
    caption = (
        f"False alarms per hour of calm traffic, with exact 95 % intervals (Garwood). "
        f"n = {episodes:,} episodes, {hours:.2f} h for each policy. A rate below 0.1 stands at the "
        "left edge."
    )
    return figure(
        f"Radio preset {preset}",
        _alarm_drawing(folder, preset, rates),
        caption,
        table(f"False alarms, radio preset {preset}", columns, lines),
    )


def _alarm_text(rate: Json, level: int) -> str:
    """Return one rate with count and interval."""
    entry = rate[f"false_alarms_{level}mps2"]
    if entry["per_hour"] is None:
        return "not recorded"
    low, high = entry["interval_95"]
    return (
        f"{number_text(entry['per_hour'])} ({entry['count']}; "
        f"{number_text(low)} to {number_text(high)})"
    )


def _alarm_drawing(folder: EvaluationFolder, preset: str, rates: dict[str, Json]) -> str:
    """Return the rates as points with intervals, a line for each policy."""
    height = 52.0 + 34.0 * len(rates)
    drawing = Drawing(
        f"alarms-{folder.radio_presets.index(preset)}",
        (440.0, height),
        f"False alarms per hour, radio preset {preset}",
        "; ".join(
            f"{policy}: {_alarm_text(rate, 3)} above 3 m/s²" for policy, rate in rates.items()
        ),
    )
    x = Scale(_LEAST_RATE, _MOST_RATE, 96.0, 440.0 - RIGHT, is_log=True)
    drawing.x_axis(x, _RATE_TICKS, "false alarms per hour")
    for number, (policy, rate) in enumerate(rates.items()):
        middle = 26.0 + 34.0 * number
        kind = "judged" if policy in folder.judged else "baseline"
        drawing.text((88.0, middle + 4.0), policy[:12], f"name end {kind}")
        for offset, level in zip((-9.0, 0.0, 9.0), ALARM_LEVELS_MPS2, strict=True):
            entry = rate[f"false_alarms_{level}mps2"]
            if entry["per_hour"] is None:
                continue
            low, high = entry["interval_95"]
            y = middle + offset
            drawing.interval((x(low), y), (x(high), y), kind)
            tip = f"{policy}, above {level} m/s²: {_alarm_text(rate, level)} per hour"
            drawing.mark(_SHAPES[level], (x(entry["per_hour"]), y), kind, tip)
    return drawing.svg()
