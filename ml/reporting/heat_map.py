"""Collision probability over headway and deceleration: family H, the direct predecessor brakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ml.evaluation.kinematic_reference import minimum_headway_s, regulation_minimum_headway_s
from ml.evaluation.verdict import collision_rate, has_collided, is_counted
from ml.reporting.drawing import BOTTOM, LEFT, RIGHT, TOP, Drawing, Place, Scale, legend
from ml.reporting.evaluation_folder import EvaluationFolder, Json, Row
from ml.reporting.markup import (
    figure,
    figures,
    interval_text,
    paragraph,
    section,
    share_text,
    table,
)
from ml.types import FloatArray

_SIZE = (360.0, 312.0)
_HEADWAYS_S, _DECELERATIONS_MPS2 = (0.4, 2.0), (3.0, 9.8)
_EPISODES_PER_BIN = 7
_SPEEDS_MPS = (8.0, 30.0)
_NUM_SPEEDS, _NUM_LEADS = 23, 18
_BESIDE = ("eebl", "driver")
_WITHOUT_RADIO = "driver"
"""Drawn under the first preset only, since every radio is the same to it."""


@dataclass(frozen=True)
class Bin:
    """One cell: its limits, shape (2,) each, and what happened there."""

    headway_s: tuple[float, float]
    deceleration_mps2: tuple[float, float]
    rate: Json


def heat_map_section(folder: EvaluationFolder) -> str:
    """Return a map for each judged policy and radio preset of the gates, two baselines beside."""
    drawings = [
        _map_figure(folder, policy, preset)
        for preset in folder.gate_presets
        for policy in dict.fromkeys([*folder.judged, *_BESIDE])
        if policy != _WITHOUT_RADIO or preset == folder.gate_presets[0]
        if map_rows(folder, policy, preset)
    ]
    title = "Where it collides: headway and deceleration"
    if not drawings:
        return section("heat-map", title, paragraph("No episode of family H, rank 1."))
    keys = legend([
        ("line", "limit-r157", "UN R157 driver, kinematic limit"),
        ("line", "limit-aeb", "AEB without radio, where half of its episodes collide"),
        ("line", "limit-oracle", "oracle, kinematic limit"),
    ])  # fmt: skip
    note = (
        "Left of a kinematic limit, more than half of the speeds from 8 to 30 m/s end in contact "
        "by the braking alone. The AEB's limit comes from its own episodes: in each band of "
        "deceleration the headway that best parts its collisions from the rest; a band without "
        "collisions has none. Headways below 0.4 s are in no episode."
    )
    return section("heat-map", title, keys, figures(drawings, "maps"), paragraph(note, "notes"))


def map_rows(folder: EvaluationFolder, policy: str, preset: str) -> list[Row]:
    """Return the counted rows of H in which the direct predecessor brakes."""
    return [
        row
        for row in folder.rows(policy, preset, "H")
        if row.get("case_source_rank") == 1
        and row.get("case_headway_s") is not None
        and row.get("case_deceleration_mps2") is not None
        and is_counted(row)
    ]


def bins_of(rows: Sequence[Row]) -> list[Bin]:
    """Return the cells of a map, fewer and larger ones where there are few episodes."""
    across = int(np.clip(np.sqrt(len(rows) / _EPISODES_PER_BIN * 1.5), 2, 8))
    upward = int(np.clip(round(across * 0.75), 2, 6))
    headways = np.linspace(*_HEADWAYS_S, across + 1).round(3).tolist()
    decelerations = np.linspace(*_DECELERATIONS_MPS2, upward + 1).round(3).tolist()
    cells = []
    for column in range(across):
        for line in range(upward):
            inside = [
                row
                for row in rows
                if _place(row["case_headway_s"], headways) == column
                and _place(row["case_deceleration_mps2"], decelerations) == line
            ]
            cells.append(
                Bin(
                    (headways[column], headways[column + 1]),
                    (decelerations[line], decelerations[line + 1]),
                    collision_rate(inside),
                )
            )
    return cells


def _place(value: float, edges: Sequence[float]) -> int:
    """Return the number of the interval that holds a value, the outer ones open."""
    return int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))


def _map_figure(folder: EvaluationFolder, policy: str, preset: str) -> str:
    """Return one map."""
    rows = map_rows(folder, policy, preset)
    cells = bins_of(rows)
    lines = [
        [
            f"{cell.headway_s[0]:.2f} to {cell.headway_s[1]:.2f}",
            f"{cell.deceleration_mps2[0]:.1f} to {cell.deceleration_mps2[1]:.1f}",
            f"{cell.rate['collisions']} of {cell.rate['episodes']}",
            share_text(cell.rate["collision_rate"]),
            interval_text(cell.rate["interval_95"]),
        ]
        for cell in cells
    ]
    total = collision_rate(rows)
    caption = (
        f"n = {len(rows):,} episodes, {total['collisions']} collisions "
        f"({share_text(total['collision_rate'])}, 95 % {interval_text(total['interval_95'])}). "
        "Each cell: collisions / episodes."
    )
    columns = ["headway [s]", "deceleration [m/s²]", "collisions", "share", "95 % interval"]
    return figure(
        f"{policy}, {preset}",
        _map_drawing(folder, policy, preset, cells),
        caption,
        table(f"Cells of {policy}, radio preset {preset}", columns, lines),
    )


def _map_drawing(folder: EvaluationFolder, policy: str, preset: str, cells: Sequence[Bin]) -> str:
    """Return the drawing of one map."""
    name = f"map-{folder.radio_presets.index(preset)}-{list(folder.rows_by_policy).index(policy)}"
    worst = max(cells, key=lambda cell: cell.rate["collision_rate"] or 0.0)
    drawing = Drawing(
        name,
        _SIZE,
        f"Collision probability of {policy}, radio preset {preset}",
        f"Headway across, deceleration upward. Worst at a headway of {worst.headway_s[0]:.2f} to "
        f"{worst.headway_s[1]:.2f} s and {worst.deceleration_mps2[0]:.1f} to "
        f"{worst.deceleration_mps2[1]:.1f} m/s²: {share_text(worst.rate['collision_rate'])}.",
    )
    x = Scale(0.0, _HEADWAYS_S[1], LEFT, _SIZE[0] - RIGHT)
    y = Scale(*_DECELERATIONS_MPS2, _SIZE[1] - BOTTOM, TOP)
    for cell in cells:
        _draw_cell(drawing, x, y, cell)
    drawing.x_axis(x, [(v, f"{v:g}") for v in (0.0, 0.4, 0.8, 1.2, 1.6, 2.0)], "headway [s]")
    ticks = [(v, f"{v:g}") for v in (3.0, 5.0, 7.0, 9.0)]
    drawing.y_axis(y, ticks, "deceleration of the car ahead [m/s²]")
    for kind, limit in _limits(folder, preset).items():
        places = [(x(headway), y(lead)) for headway, lead in limit]
        drawing.line(places, f"halo limit-{kind}")
        drawing.line(places, f"limit-{kind}")
    for cell in cells:
        _write_counts(drawing, x, y, cell)
    return drawing.svg()


def _draw_cell(drawing: Drawing, x: Scale, y: Scale, cell: Bin) -> None:
    """Draw one cell, shaded by its rate."""
    left, right = (x(value) for value in cell.headway_s)
    bottom, top = (y(value) for value in cell.deceleration_mps2)
    rate = cell.rate["collision_rate"]
    tip = (
        f"headway {cell.headway_s[0]:.2f} to {cell.headway_s[1]:.2f} s, "
        f"{cell.deceleration_mps2[0]:.1f} to {cell.deceleration_mps2[1]:.1f} m/s²: "
        f"{share_text(rate)}, 95 % {interval_text(cell.rate['interval_95'])}"
    )
    kind = "cell" if rate is not None else "cell unseen"
    shade = f"--share:{100.0 * (rate or 0.0):.0f}%"
    drawing.box((left + 0.8, top + 0.8), (right - left - 1.6, bottom - top - 1.6), kind, shade, tip)


def _write_counts(drawing: Drawing, x: Scale, y: Scale, cell: Bin) -> None:
    """Write collisions / episodes into a cell."""
    episodes, rate = cell.rate["episodes"], cell.rate["collision_rate"]
    middle = (
        0.5 * sum(x(value) for value in cell.headway_s),
        0.5 * sum(y(value) for value in cell.deceleration_mps2) + 4.0,
    )
    counts = f"{cell.rate['collisions']}/{episodes}" if episodes else "0"
    drawing.text(middle, counts, f"count middle{' on-dark' if (rate or 0.0) > 0.5 else ''}")


# --- Limits -------------------------------------------------------------------------------------


def _limits(folder: EvaluationFolder, preset: str) -> dict[str, list[Place]]:
    """Return the lines (headway [s], deceleration [m/s^2]) of the three references."""
    speeds = np.linspace(*_SPEEDS_MPS, _NUM_SPEEDS)[:, None]
    leads = np.linspace(*_DECELERATIONS_MPS2, _NUM_LEADS)[None, :]
    kinematic: dict[str, FloatArray] = {
        "r157": regulation_minimum_headway_s(speeds, leads),
        "oracle": minimum_headway_s(speeds, leads, 0.0),
    }
    lines = {
        name: list(zip(np.median(headways, axis=0).tolist(), leads[0].tolist(), strict=True))
        for name, headways in kinematic.items()
    }
    return {**lines, "aeb": half_line(map_rows(folder, "aeb", preset))}


def half_line(rows: Sequence[Row]) -> list[Place]:
    """Return where a policy's collisions pass 50 %, by deceleration.

    In each of four bands of deceleration the headway is the one that parts collisions from the rest
    with the fewest on the wrong side; a band without a collision has none.

    Returns:
        Places (headway [s], middle of the band [m/s^2]).
    """
    edges = np.linspace(*_DECELERATIONS_MPS2, 5)
    places = []
    for low, high in pairwise(edges):
        band = sorted(
            (row["case_headway_s"], has_collided(row))
            for row in rows
            if low <= row["case_deceleration_mps2"] < high
        )
        if any(collided for _, collided in band):
            places.append((_parting_headway(band), float(0.5 * (low + high))))
    return places


def _parting_headway(band: Sequence[tuple[float, bool]]) -> float:
    """Return the headway below which collisions prevail; ``band`` is sorted by headway."""
    collided = np.array([has for _, has in band], dtype=np.int64)
    # Wrong are those spared below the cut and those that collide above it.
    wrong = np.concatenate(([0], np.cumsum(1 - collided))) + np.concatenate(
        (np.cumsum(collided[::-1])[::-1], [0])
    )
    cut = int(np.argmin(wrong))
    headways = [_HEADWAYS_S[0], *(headway for headway, _ in band), _HEADWAYS_S[1]]
    return 0.5 * (headways[cut] + headways[cut + 1])
