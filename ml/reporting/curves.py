"""Two curves: collisions against the age at the onset, and against false alarms per hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from ml.evaluation.age_curve import COMMAND_DELAY_S, age_curve, kinematic_collision_rate
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
_OLDEST_S = 1.6
_MIN_EPISODES = 5
_AGE_COLUMNS = (
    "policy", "age [s]", "mean age [s]", "collisions", "share", "95 % interval", "kinematics",
)  # fmt: skip
_OFFSETS = (-3.0, 3.0, 0.0, -6.0, 6.0)
_LEAST_RATE, _MOST_RATE = 0.1, 1000.0
RATE_TICKS = tuple((rate, f"{rate:g}") for rate in (0.1, 1.0, 10.0, 100.0, 1000.0))
GATE_RATES = (1.0, 10.0)


# --- Age at the onset ---------------------------------------------------------------------------


def age_section(folder: EvaluationFolder) -> str:
    """Return the collisions against the age of the braking car's state at its onset."""
    title = "Collisions against the age of the state at the onset"
    driver_rows = _hard_rows(folder, "driver")
    curves = {
        policy: age_curve(_hard_rows(folder, policy), driver_rows)
        for policy in dict.fromkeys([*folder.judged, "eebl"])
    }
    bins = {
        policy: [cell for cell in curve["bins"] if cell["episodes"]]
        for policy, curve in curves.items()
    }
    if not any(bins.values()):
        return section("age", title, paragraph("No stop of the car ahead in family H."))
    no_radio = next(iter(curves.values()))["no_radio"]
    data = table("Collisions by age at the onset", _AGE_COLUMNS, _age_lines(bins))
    looks = {policy: (_shape(folder, policy), _kind(folder, policy)) for policy in bins}
    drawn = age_drawing("age-curve", bins, no_radio, looks).svg()
    return section(
        "age",
        title,
        _age_legend(folder, bins),
        figures([figure("Age at onset", drawn, _age_caption(bins, no_radio), data)]),
    )


def _hard_rows(folder: EvaluationFolder, policy: str) -> list[Row]:
    """Return a policy's rows of H under the presets of the gates."""
    return [row for preset in folder.gate_presets for row in folder.rows(policy, preset, "H")]


def _age_lines(bins: Mapping[str, Sequence[Json]]) -> list[list[str]]:
    """Return the lines of the table."""
    return [
        [
            policy,
            age_range_text(cell),
            number_text(cell["mean_age_s"]),
            f"{cell['collisions']} of {cell['episodes']}",
            share_text(cell["collision_rate"]),
            interval_text(cell["interval_95"]),
            "none"
            if cell["is_never_heard"]
            else share_text(kinematic_collision_rate(cell["mean_age_s"])),
        ]
        for policy, found in bins.items()
        for cell in found
    ]


def age_range_text(cell: Mapping[str, Any]) -> str:
    """Return the range of ages of a bin [s]."""
    if cell["is_never_heard"]:
        return "never heard"
    end = "on" if cell["to_s"] is None else f"to {cell['to_s']:g}"
    return f"{cell['from_s']:g} {end}"


def _age_legend(folder: EvaluationFolder, bins: Mapping[str, Sequence[Json]]) -> str:
    """Return what is drawn how."""
    policies = [(_shape(folder, policy), _kind(folder, policy), policy) for policy in bins]
    lines = [("line", "reference", "kinematics alone"), ("line", "no-radio", "driver alone")]
    return legend([*policies, *lines])


def _age_caption(bins: Mapping[str, Sequence[Json]], no_radio: Json) -> str:
    """Return the caption with the numbers of episodes."""
    counts = ", ".join(
        f"{policy} {sum(cell['episodes'] for cell in found):,}" for policy, found in bins.items()
    )
    return (
        "Family H, the car ahead brakes, all radio presets of the gates together. Points stand at "
        f"the mean age of their bin, with exact 95 % intervals; n: {counts}; driver alone "
        f"{no_radio['episodes']:,}. Bins below {_MIN_EPISODES} episodes are in the table only. The "
        f"full line is a full brake {COMMAND_DELAY_S:g} s after the age by a car that keeps its "
        "speed until then; a driver who brakes too keeps a policy below it."
    )


def _shape(folder: EvaluationFolder, policy: str) -> str:
    """Return the shape of a policy's marks."""
    return "circle" if policy in folder.judged else "square"


def _kind(folder: EvaluationFolder, policy: str) -> str:
    """Return the class of a policy's marks."""
    return f"judged judged-{folder.judged.index(policy) % 3}" if policy in folder.judged else "rule"


def age_drawing(
    name: str,
    bins: Mapping[str, Sequence[Json]],
    no_radio: Json,
    looks: Mapping[str, tuple[str, str]],
) -> Drawing:
    """Return the drawing of collisions against the age at the onset.

    Args:
        name: Of the drawing, unique in its page.
        bins: What is drawn, by its name: bins of an age curve.
        no_radio: The driver's collisions without a radio.
        looks: Shape and class of the marks, by the same names.
    """
    drawn = {policy: [cell for cell in found if _is_drawn(cell)] for policy, found in bins.items()}
    words = "; ".join(
        f"{policy}, age {age_range_text(cell)} s: {share_text(cell['collision_rate'])}"
        for policy, found in drawn.items()
        for cell in found
    )
    drawing = Drawing(name, _SIZE, "Collisions against the age at the onset", words)
    highs = [cell["interval_95"][1] for found in drawn.values() for cell in found]
    ticks = percent_ticks(min(max(0.05, no_radio["collision_rate"] or 0.0, *highs), 1.0))
    x, y = Scale(0.0, _OLDEST_S, LEFT, _SIZE[0] - RIGHT), _share_scale(ticks)
    drawing.x_axis(x, [(v, f"{v:g}") for v in (0.0, 0.4, 0.8, 1.2, 1.6)], "age at the onset [s]")
    drawing.y_axis(y, ticks, "collisions")
    if no_radio["collision_rate"] is not None:
        level = y(no_radio["collision_rate"])
        drawing.line([(x.start, level), (x.end, level)], "no-radio")
    rates = [(age, kinematic_collision_rate(age)) for age in np.linspace(0.0, _OLDEST_S, 81)]
    drawing.line([(x(age), y(rate)) for age, rate in rates if rate <= y.high], "reference")
    for offset, (policy, found) in zip(cycle(_OFFSETS), drawn.items(), strict=False):
        for cell in found:
            _draw_bin(drawing, (x, y), cell, (policy, *looks[policy], offset))
    return drawing


def _draw_bin(
    drawing: Drawing, scales: tuple[Scale, Scale], cell: Json, look: tuple[str, str, str, float]
) -> None:
    """Draw one bin's share with its interval, moved aside where several stand at one age."""
    (x, y), (policy, shape, kind, offset) = scales, look
    place = x(_OLDEST_S if cell["is_never_heard"] else cell["mean_age_s"]) + offset
    low, high = cell["interval_95"]
    drawing.interval((place, y(low)), (place, y(high)), kind)
    tip = f"{policy}, {age_range_text(cell)}: {cell['collisions']} of {cell['episodes']}"
    drawing.mark(shape, (place, y(cell["collision_rate"])), kind, tip)


def _share_scale(ticks: Sequence[tuple[float, str]]) -> Scale:
    """Return the upright scale of shares that ends with the last tick."""
    return Scale(0.0, ticks[-1][0], _SIZE[1] - BOTTOM, TOP)


def _is_drawn(cell: Json) -> bool:
    """Return whether a bin has enough episodes to be drawn."""
    return bool(cell["episodes"] >= _MIN_EPISODES)


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
    drawing.x_axis(x, RATE_TICKS, "false alarms per hour")
    drawing.y_axis(y, ticks, "collisions in H and M")
    for rate in GATE_RATES:
        drawing.line([(x(rate), y.end), (x(rate), y.start)], "gate-rate")
    for policy, points in curves.items():
        shape, kind = _shape(folder, policy), _kind(folder, policy)
        draw_curve(drawing, (x, y), (policy, shape, kind), points)
    return drawing.svg()


def draw_curve(
    drawing: Drawing,
    scales: tuple[Scale, Scale],
    look: tuple[str, str, str],
    points: Sequence[Json],
    *,
    is_bare: bool = False,
) -> None:
    """Draw one policy's points, joined in the order of the threshold.

    Args:
        drawing: Where to.
        scales: Of false alarms per hour, and of the share of collisions.
        look: The policy, its marks' shape, and the class of its lines.
        points: Of its operating curve, all of them measured.
        is_bare: Leave out intervals and thresholds.
    """
    (x, y), (policy, shape, kind) = scales, look
    places = [(x(p["false_alarms"]["per_hour"]), y(p["all"]["collision_rate"])) for p in points]
    drawing.line(places, f"curve {kind}")
    for point, (across, up) in zip(points, places, strict=True):
        if not is_bare:
            low, high = point["all"]["interval_95"]
            drawing.interval((across, y(low)), (across, y(high)), kind)
            low, high = point["false_alarms"]["interval_95"]
            drawing.interval((x(low), up), (x(high), up), kind)
        threshold = point["threshold_mps2"]
        tip = policy if threshold is None else f"{policy} at {threshold:g} m/s²"
        drawing.mark(shape, (across, up), kind, tip)
        if not is_bare and threshold is not None:
            drawing.text((across + 7.0, up - 6.0), f"{threshold:g}", f"tick {kind}")
