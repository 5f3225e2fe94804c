"""Two curves: collisions against the age at the onset, and against false alarms per hour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.evaluation.kinematic_reference import collision_probability
from ml.evaluation.verdict import collision_rate, is_counted
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
from ml.reporting.evaluation_folder import EvaluationFolder, Json, Row
from ml.reporting.markup import (
    figure,
    figures,
    interval_text,
    number_text,
    paragraph,
    section,
    share_text,
    table,
)

_SIZE = (440.0, 312.0)
_AGE_EDGES_S = (0.0, 0.06, 0.11, 0.21, 0.41, 0.71, 1.01, 1.61)
_OLDEST_S = 1.6
_CONTROL_DELAY_S = 0.05
_MIN_EPISODES = 5
_OFFSETS = (-3.0, 3.0, 0.0, -6.0, 6.0)
_LEAST_RATE, _MOST_RATE = 0.1, 1000.0
_RATE_TICKS = tuple((rate, f"{rate:g}") for rate in (0.1, 1.0, 10.0, 100.0, 1000.0))
_GATE_RATES = (1.0, 10.0)


@dataclass(frozen=True)
class AgeBin:
    """Episodes with one range of ages.

    Attributes:
        low_s: Least age.
        high_s: All are below it.
        mean_s: Mean age of its episodes.
        rate: Collisions of them.
    """

    low_s: float
    high_s: float
    mean_s: float
    rate: Json


# --- Age at the onset ---------------------------------------------------------------------------


def age_section(folder: EvaluationFolder) -> str:
    """Return the collisions against the age of the braking car's state at its onset."""
    title = "Collisions against the age of the state at the onset"
    policies = [*folder.judged, *(["eebl"] if "eebl" in folder.rows_by_policy else [])]
    bins = {policy: age_bins(age_rows(folder, policy)) for policy in dict.fromkeys(policies)}
    bins = {policy: found for policy, found in bins.items() if found}
    if not bins:
        return section("age", title, paragraph("No episode of family H, rank 1, with an age."))
    entries = [
        ("circle" if policy in folder.judged else "square", _kind(folder, policy), policy)
        for policy in bins
    ]
    keys = legend([
        *entries,
        ("line", "reference", "kinematics alone"),
        ("line", "no-radio", "driver alone"),
    ])  # fmt: skip
    lines = [
        [
            policy,
            f"{cell.low_s:.2f} to {cell.high_s:.2f}",
            f"{cell.mean_s:.3f}",
            f"{cell.rate['collisions']} of {cell.rate['episodes']}",
            share_text(cell.rate["collision_rate"]),
            interval_text(cell.rate["interval_95"]),
            share_text(collision_probability(cell.mean_s + _CONTROL_DELAY_S)),
        ]
        for policy, found in bins.items()
        for cell in found
    ]
    columns = [
        "policy", "age [s]", "mean age [s]", "collisions", "share", "95 % interval", "kinematics",
    ]  # fmt: skip
    counts = ", ".join(
        f"{policy} {sum(cell.rate['episodes'] for cell in found):,}"
        for policy, found in bins.items()
    )
    caption = (
        f"Family H, rank 1, all radio presets together. n: {counts}. Points stand at the mean age "
        f"of their bin, bars are exact 95 % intervals; bins below {_MIN_EPISODES} episodes are in "
        f"the table only. The line is a full brake {_CONTROL_DELAY_S:g} s after the age, for a car "
        "that keeps its speed until then; a driver who brakes too keeps a policy below it."
    )
    drawn = _age_drawing(folder, bins)
    data = table("Collisions by age at the onset", columns, lines)
    return section("age", title, keys, figures([figure("Age at onset", drawn, caption, data)]))


def age_rows(folder: EvaluationFolder, policy: str) -> list[Row]:
    """Return the counted rows of H, rank 1, under every preset, that have an age."""
    return [
        row
        for preset in folder.radio_presets
        for row in folder.rows(policy, preset, "H")
        if row.get("case_source_rank") == 1
        and row.get("age_at_onset_s") is not None
        and is_counted(row)
    ]


def age_bins(rows: Sequence[Row]) -> list[AgeBin]:
    """Return the bins that hold an episode."""
    bins = []
    for low, high in zip(_AGE_EDGES_S, (*_AGE_EDGES_S[1:], math.inf), strict=True):
        inside = [row for row in rows if low <= row["age_at_onset_s"] < high]
        if inside:
            mean_s = float(np.mean([row["age_at_onset_s"] for row in inside]))
            bins.append(AgeBin(low, high, mean_s, collision_rate(inside)))
    return bins


def _kind(folder: EvaluationFolder, policy: str) -> str:
    """Return the class of a policy's marks."""
    return f"judged judged-{folder.judged.index(policy) % 3}" if policy in folder.judged else "rule"


def _age_drawing(folder: EvaluationFolder, bins: dict[str, list[AgeBin]]) -> str:
    """Return the drawing."""
    first, *_ = bins.items()
    words = "; ".join(
        f"age {cell.mean_s:.2f} s: {share_text(cell.rate['collision_rate'])}" for cell in first[1]
    )
    drawing = Drawing("age-curve", _SIZE, "Collisions against the age at the onset",
                      f"{first[0]}: {words}")  # fmt: skip
    driver = collision_rate(
        [
            row
            for preset in folder.radio_presets
            for row in folder.rows("driver", preset, "H")
            if row.get("case_source_rank") == 1 and is_counted(row)
        ]
    )
    highest = max(
        0.05,
        driver["collision_rate"] or 0.0,
        *(c.rate["interval_95"][1] for b in bins.values() for c in b if _is_drawn(c)),
    )
    ticks = percent_ticks(min(highest, 1.0))
    x, y = Scale(0.0, _OLDEST_S, LEFT, _SIZE[0] - RIGHT), _share_scale(ticks)
    drawing.x_axis(x, [(v, f"{v:g}") for v in (0.0, 0.4, 0.8, 1.2, 1.6)], "age at the onset [s]")
    drawing.y_axis(y, ticks, "collisions")
    if driver["collision_rate"] is not None:
        level = y(driver["collision_rate"])
        drawing.line([(x.start, level), (x.end, level)], "no-radio")
    ages = np.linspace(0.0, _OLDEST_S, 81).tolist()
    inside = [age for age in ages if collision_probability(age + _CONTROL_DELAY_S) <= y.high]
    drawing.line(
        [(x(age), y(collision_probability(age + _CONTROL_DELAY_S))) for age in inside], "reference"
    )
    for number, (policy, found) in enumerate(bins.items()):
        shift = _OFFSETS[number % len(_OFFSETS)]
        for cell in filter(_is_drawn, found):
            low, high = cell.rate["interval_95"]
            place = x(cell.mean_s) + shift
            kind = _kind(folder, policy)
            drawing.interval((place, y(low)), (place, y(high)), kind)
            counts = f"{cell.rate['collisions']} of {cell.rate['episodes']}"
            tip = f"{policy}, mean age {cell.mean_s:.3f} s: {counts}"
            shape = "circle" if policy in folder.judged else "square"
            drawing.mark(shape, (place, y(cell.rate["collision_rate"])), kind, tip)
    return drawing.svg()


def _share_scale(ticks: Sequence[tuple[float, str]]) -> Scale:
    """Return the upright scale of shares that ends with the last tick."""
    return Scale(0.0, ticks[-1][0], _SIZE[1] - BOTTOM, TOP)


def _is_drawn(cell: AgeBin) -> bool:
    return bool(cell.rate["episodes"] >= _MIN_EPISODES)


# --- Operating curve ----------------------------------------------------------------------------


def operating_section(folder: EvaluationFolder) -> str:
    """Return collisions against false alarms, for each radio preset of the gates."""
    title = "Operating curve: collisions against false alarms"
    curves = folder.evaluation.get("operating_curves", {})
    drawn = []
    for preset in folder.gate_presets:
        shown = {
            policy: found
            for policy, points in curves.items()
            if (found := [point for point in points if _is_measured(point, preset)])
        }
        if shown:
            drawn.append(_operating_figure(folder, preset, shown))
    if not drawn:
        return section("operating", title, paragraph("No operating curve was evaluated."))
    names = [policy for policy, points in curves.items() if points]
    keys = legend(
        ("circle" if name in folder.judged else "square", _kind(folder, name), name)
        for name in names
    )
    return section("operating", title, keys, figures(drawn))


def _is_measured(point: Json, preset: str) -> bool:
    """Return whether a point belongs to a preset and has both its rates."""
    return (
        point["radio_preset"] == preset
        and point["all"].get("collision_rate") is not None
        and point["false_alarms"].get("per_hour") is not None
    )


def _operating_figure(folder: EvaluationFolder, preset: str, curves: dict[str, list[Json]]) -> str:
    """Return the figure of one radio preset."""
    lines = [
        [
            policy,
            number_text(point["threshold_mps2"]),
            f"{point['all']['collisions']} of {point['all']['episodes']}",
            share_text(point["all"]["collision_rate"]),
            interval_text(point["all"]["interval_95"]),
            number_text(point["false_alarms"]["per_hour"]),
            " to ".join(map(number_text, point["false_alarms"]["interval_95"])),
        ]
        for policy, points in curves.items()
        for point in points
    ]
    columns = [
        "policy", "threshold [m/s²]", "collisions in H and M", "share", "95 % interval",
        "false alarms per hour", "95 % interval",
    ]  # fmt: skip
    most = max(point["all"]["episodes"] for points in curves.values() for point in points)
    hours = max(point["false_alarms"]["hours"] for points in curves.values() for point in points)
    caption = (
        f"Each point is one threshold, in m/s² beside it. n = {most:,.0f} episodes of H and M and "
        f"{hours:.2f} h of calm traffic a point; bars are exact 95 % intervals. Lower left is "
        "better. Gates compare at 1 and 10 alarms per hour (dotted)."
    )
    return figure(
        f"Radio preset {preset}",
        _operating_drawing(folder, preset, curves),
        caption,
        table(f"Operating curve, radio preset {preset}", columns, lines),
    )


def _operating_drawing(folder: EvaluationFolder, preset: str, curves: dict[str, list[Json]]) -> str:
    """Return the drawing of one radio preset."""
    number = folder.gate_presets.index(preset)
    words = "; ".join(
        f"{policy} at {number_text(points[0]['threshold_mps2'])} m/s²: "
        f"{share_text(points[0]['all']['collision_rate'])} collisions, "
        f"{number_text(points[0]['false_alarms']['per_hour'])} alarms per hour"
        for policy, points in curves.items()
    )
    drawing = Drawing(f"operating-{number}", _SIZE,
                      f"Operating curve, radio preset {preset}", words)  # fmt: skip
    highest = max(p["all"]["interval_95"][1] for points in curves.values() for p in points)
    ticks = percent_ticks(min(max(highest, 0.01), 1.0))
    x = Scale(_LEAST_RATE, _MOST_RATE, LEFT, _SIZE[0] - RIGHT, is_log=True)
    y = _share_scale(ticks)
    drawing.x_axis(x, _RATE_TICKS, "false alarms per hour")
    drawing.y_axis(y, ticks, "collisions in H and M")
    for rate in _GATE_RATES:
        drawing.line([(x(rate), y.end), (x(rate), y.start)], "gate-rate")
    for policy, points in curves.items():
        _draw_curve(drawing, x, y, (policy, _kind(folder, policy), points))
    return drawing.svg()


def _draw_curve(
    drawing: Drawing, x: Scale, y: Scale, curve: tuple[str, str, Sequence[Json]]
) -> None:
    """Draw one policy's points with their intervals, joined in the order of the threshold."""
    policy, kind, points = curve
    places = [(x(p["false_alarms"]["per_hour"]), y(p["all"]["collision_rate"])) for p in points]
    drawing.line(places, f"curve {kind}")
    for point, (across, up) in zip(points, places, strict=True):
        low, high = point["all"]["interval_95"]
        drawing.interval((across, y(low)), (across, y(high)), kind)
        low, high = point["false_alarms"]["interval_95"]
        drawing.interval((x(low), up), (x(high), up), kind)
        shape = "square" if kind == "rule" else "circle"
        drawing.mark(shape, (across, up), kind, f"{policy} at {point['threshold_mps2']} m/s²")
        if point["threshold_mps2"] is not None:
            drawing.text((across + 7.0, up - 6.0), f"{point['threshold_mps2']:g}", f"tick {kind}")
