"""The robustness curves as one page and as Markdown, from what ``robustness.json`` holds.

A panel for each axis: collisions of every policy with exact 95 % intervals. Policies stand side by
side at a level, so that those that crash equally often can be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from ml.html_page import page_html
from ml.reporting.drawing import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Drawing,
    Scale,
    legend,
    percent_ticks,
)
from ml.reporting.markup import (
    details,
    facts,
    figure,
    figures,
    interval_text,
    number_text,
    paragraph,
    section,
    share_text,
    table,
)
from ml.reporting.series import series_kind, series_mark, series_shape, series_style

Json = Mapping[str, Any]
Scales = tuple[Scale, Scale]
Series = tuple[str, Sequence[Json]]
"""A policy and its points."""

_STYLE_FILE = Path(__file__).resolve().parent / "report.css"
_SIZE = (520.0, 340.0)
_POLICY_GAP = 4.0
"""Between the marks of two policies at one level [px]."""
_TITLES: Mapping[str, tuple[str, str, str]] = {
    "loss": ("Frame loss", "frame loss probability", "losses independent of each other"),
    "burst": ("Bursts of loss", "mean burst [frames]", "half of all frames lost"),
    "delay": ("Delay", "delay added to every frame [ms]", "nominal loss"),
    "peers": ("Cars ahead", "number of peers", "nominal radio, every rank braking equally often"),
}
_FAMILIES = {
    "H": "one car ahead brakes to a standstill",
    "M": "the 2nd or 3rd car ahead brakes hard, those between react late",
}


def robustness_html(curves: Json) -> str:
    """Return the page, one file that needs nothing else.

    Args:
        curves: The content of ``robustness.json``.
    """
    names = _names(curves)
    settings = curves["settings"]
    keys = legend(
        (series_shape(number), series_mark(number), name) for number, name in enumerate(names)
    )
    panels = [_panel(axis, found, names) for axis, found in curves["axes"].items()]
    about = (
        f"Hazards of family {settings['family']}: {_FAMILIES[settings['family']]}. "
        f"{settings['episodes']:,} cases for each policy at each level, the same ones with the "
        "same draws; one thing varies along an axis, all else is nominal."
    )
    radio = table("Levels as asked and as measured", _LEVEL_COLUMNS, _level_lines(curves))
    body = (
        f'<header><h1>Robustness curves</h1><p class="kind">{escape(about)}</p>'
        f"{_warning(curves)}</header>\n<main>\n"
        + section("curves", "Collisions", keys, figures(panels))
        + section("levels", "What each level was", paragraph(_LEVELS_NOTE, "notes"), radio)
        + section("provenance", "Provenance", details("Hashes", facts(curves["provenance"])))
        + "\n</main>"
    )
    style = _STYLE_FILE.read_text(encoding="utf-8") + series_style(len(names))
    return page_html("Robustness curves", body, style=style)


def robustness_markdown(curves: Json) -> str:
    """Return every axis as a Markdown table.

    Args:
        curves: The content of ``robustness.json``.
    """
    names = _names(curves)
    parts = []
    for axis, found in curves["axes"].items():
        _, label, held = _TITLES[axis]
        parts.append(f"Collisions against {label}; {held}; {_count_text(found)}.\n")
        lines = [[label, *names], ["---"] * (1 + len(names))]
        for number, level in enumerate(found["levels"]):
            points = [found["points"][name][number] for name in names]
            lines.append([f"{level['value']:g}", *map(_point_text, points)])
        lines.append(["trend z", *(_trend_text(found["trends"][name]) for name in names)])
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts) + "\n"


def _names(curves: Json) -> list[str]:
    """Return the policies in the order of the page."""
    return [policy["id"] for policy in curves["policies"]]


def _point_text(point: Json) -> str:
    """Return a share with its interval."""
    if point["collision_rate"] is None:
        return "none"
    return f"{share_text(point['collision_rate'])} ({interval_text(point['interval_95'])})"


def _trend_text(trend: Json | None) -> str:
    """Return a trend's z, which is above 0 where collisions rise."""
    return "none" if trend is None else f"{trend['z']:+.1f}"


def _count_text(found: Json) -> str:
    """Return how many episodes each point has."""
    counts = [point["episodes"] for points in found["points"].values() for point in points]
    low, high = min(counts), max(counts)
    return f"n = {low:,} a point" if low == high else f"n = {low:,} to {high:,} a point"


def _warning(curves: Json) -> str:
    """Return what is wrong with the levels, if anything."""
    names = ", ".join(curves["not_realised"])
    return paragraph(f"Not realised as asked: {names}.", "verdict differs") if names else ""


# --- A panel ------------------------------------------------------------------------------------


def _panel(axis: str, found: Json, names: Sequence[str]) -> str:
    """Return the figure of an axis with its numbers."""
    title, _, held = _TITLES[axis]
    caption = f"{_count_text(found)}; {held}. Bars are exact 95 % intervals (Clopper and Pearson)."
    return figure(
        title,
        _drawing(axis, found, names),
        caption,
        table(f"Collisions, {title.lower()}", _POINT_COLUMNS, _point_lines(found, names)),
    )


def _drawing(axis: str, found: Json, names: Sequence[str]) -> str:
    """Return the drawing of an axis."""
    _, label, _ = _TITLES[axis]
    drawn = {name: _shown(found["points"][name]) for name in names}
    values = [level["value"] for level in found["levels"]]
    drawing = Drawing(f"robustness-{axis}", _SIZE, f"Collisions against {label}", _words(drawn))
    highs = [point["interval_95"][1] for points in drawn.values() for point in points]
    ticks = percent_ticks(max(0.05, *highs, 0.0))
    x = _level_scale(axis, values)
    y = Scale(0.0, ticks[-1][0], _SIZE[1] - BOTTOM, TOP)
    drawing.x_axis(x, [(value, f"{value:g}") for value in values], label)
    drawing.y_axis(y, ticks, "collisions")
    for number, name in enumerate(names):
        offset = _POLICY_GAP * (number - 0.5 * (len(names) - 1))
        _draw_series(drawing, (_moved(x, offset), y), number, (name, drawn[name]))
    return drawing.svg()


def _draw_series(drawing: Drawing, scales: Scales, number: int, series: Series) -> None:
    """Draw a policy's points with their intervals, joined."""
    (x, y), (name, points) = scales, series
    kind = series_kind(number)
    places = [(x(point["value"]), y(point["collision_rate"])) for point in points]
    drawing.line(places, f"curve {kind}")
    for point, place in zip(points, places, strict=True):
        low, high = point["interval_95"]
        drawing.interval((place[0], y(low)), (place[0], y(high)), kind)
        tip = f"{name} at {point['value']:g}: {point['collisions']} of {point['episodes']}"
        drawing.mark(
            series_shape(number), place, series_mark(number), f"{tip}, {_point_text(point)}"
        )


def _level_scale(axis: str, values: Sequence[float]) -> Scale:
    """Return the level scale, with room beside the first and the last value."""
    low, high = min(values), max(values)
    start, end = LEFT + 18.0, _SIZE[0] - RIGHT - 14.0
    is_log = axis == "burst" and low > 0.0
    return Scale(low, high if high > low else low + 1.0, start, end, is_log=is_log)


def _moved(scale: Scale, offset: float) -> Scale:
    """Return a scale moved sideways."""
    return replace(scale, start=scale.start + offset, end=scale.end + offset)


def _shown(points: Sequence[Json]) -> list[Json]:
    """Return the points with an episode."""
    return [point for point in points if point["collision_rate"] is not None]


def _words(drawn: Mapping[str, Sequence[Json]]) -> str:
    """Return what a panel shows, for those who cannot see it."""
    return "; ".join(
        f"{name}: {share_text(points[0]['collision_rate'])} at {points[0]['value']:g}, "
        f"{share_text(points[-1]['collision_rate'])} at {points[-1]['value']:g}"
        for name, points in drawn.items()
        if points
    )


# --- Numbers ------------------------------------------------------------------------------------

_POINT_COLUMNS = (
    "policy", "level", "collisions", "share", "95 % interval", "minus eebl", "95 % interval",
    "p", "false alarms per hour",
)  # fmt: skip
_LEVEL_COLUMNS = (
    "level", "frames", "loss asked", "measured", "mean burst asked", "measured",
    "mean age expected [ms]", "measured", "as asked",
)  # fmt: skip
_LEVELS_NOTE = (
    "Measured on the links whose sender was in range all through the episode. Where nothing is "
    "asked, the loss is the nominal file's, which grows with distance. The expected age is that of "
    "an endless run; an episode begins 2 s after its first frame."
)


def _point_lines(found: Json, names: Sequence[str]) -> list[list[str]]:
    """Return the lines of an axis' table."""
    return [
        [
            name,
            f"{point['value']:g}",
            f"{point['collisions']} of {point['episodes']}",
            share_text(point["collision_rate"]),
            interval_text(point["interval_95"]),
            *_difference_cells(point["minus_eebl"]),
            _alarm_text(point["false_alarms"]),
        ]
        for name in names
        for point in found["points"][name]
    ]


def _difference_cells(compared: Json | None) -> list[str]:
    """Return difference, interval and p of a paired comparison [percentage points]."""
    if compared is None or compared["difference"] is None:
        return ["none", "none", "none"]
    low, high = (100.0 * limit for limit in compared["interval_95"])
    return [
        f"{100.0 * compared['difference']:+.1f} points",
        f"{low:+.1f} to {high:+.1f}",
        f"{compared['mcnemar_p']:.2g}",
    ]


def _alarm_text(alarms: Json | None) -> str:
    """Return false alarms per hour with their interval."""
    if alarms is None or alarms["per_hour"] is None:
        return "not played"
    low, high = map(number_text, alarms["interval_95"])
    return f"{number_text(alarms['per_hour'])} ({low} to {high})"


def _level_lines(curves: Json) -> list[list[str]]:
    """Return the lines of the table of levels."""
    return [
        [
            level["name"],
            f"{level['measured']['frames']:,}",
            number_text(level["asked"]["loss"]),
            number_text(level["measured"]["loss"]),
            number_text(level["asked"]["mean_burst"]),
            number_text(level["measured"]["mean_burst"]),
            number_text(level["asked"]["mean_age_ms"]),
            number_text(level["measured"]["mean_age_ms"]),
            "yes" if level["is_realised"] else "NO",
        ]
        for found in curves["axes"].values()
        for level in found["levels"]
    ]
