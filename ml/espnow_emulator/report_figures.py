"""The radio report's figures: data in, an inline SVG out, the same bytes for the same data.

Colours are names of CSS variables, so that the page chooses them for a light or dark screen; text
stays text. What the emulator gave are blue points, closed forms are a line, measurements diamonds:
shape tells them apart without colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ml.types import FloatArray

_INK, _MUTED, _GRID, _EMULATOR, _CLOSED, _MEASURED, _PAGE = (
    f"#00000{number}" for number in range(1, 8)
)
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _GRID: "--grid",
    _EMULATOR: "--emulator",
    _CLOSED: "--closed-form",
    _MEASURED: "--measured",
    _PAGE: "--surface",
}
_SIZE_IN = (4.7, 3.3)
_STYLE: dict[Any, Any] = {  # matplotlib lists every key it knows in a type of its own
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "text.color": _INK,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_EMULATOR_STYLE: dict[str, Any] = {
    "fmt": "o",
    "color": _EMULATOR,
    "markersize": 4.5,
    "elinewidth": 1.4,
    "capsize": 2.5,
    "zorder": 3,
}
_DOTTED: dict[str, Any] = {"color": _MUTED, "linewidth": 1.2, "linestyle": ":"}
_LEAST_SHARE = 1e-9
MOST_SENDERS = 50
"""On the channel's axis."""


@dataclass(frozen=True)
class Points:
    """Values with intervals, all (num_points,).

    Attributes:
        x: Places.
        value: Values.
        low: Lower limits; the value itself where there is no interval.
        high: Upper limits.
    """

    x: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray

    @staticmethod
    def of(rows: Iterable[tuple[float, float, float, float]]) -> Points:
        """Return the points of rows (x, value, low, high)."""
        table = np.array(list(rows), dtype=np.float64).reshape(-1, 4)
        return Points(table[:, 0], table[:, 1], table[:, 2], table[:, 3])


@dataclass(frozen=True)
class Line:
    """A closed form, both (num_points,)."""

    x: FloatArray
    y: FloatArray


NO_LINE = Line(np.empty(0), np.empty(0))


def reception_figure(sampled: Points, closed_form: Line, measured: Points, *, title: str) -> str:
    """Return figure 1: share of frames received against distance, as inline SVG."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(1)
        axes.plot(closed_form.x, closed_form.y, color=_CLOSED, linewidth=1.8, label="closed form")
        _draw_points(axes, sampled, "emulator, 95 %", _EMULATOR_STYLE)
        if len(measured.x):
            style = {**_EMULATOR_STYLE, "fmt": "D", "color": _MEASURED, "markersize": 7.0}
            style |= {"markerfacecolor": _PAGE, "markeredgewidth": 1.8, "zorder": 4}
            _draw_points(axes, measured, "measured", style)
        axes.set_xlim(0.0, float(closed_form.x.max()))
        axes.set_ylim(0.0, 1.04)
        axes.set_xlabel("distance between the cars [m]")
        axes.set_ylabel("frames received")
        axes.yaxis.set_major_formatter(FuncFormatter(_as_share))
        _legend(figure, axes)
        return _svg(figure, "reception", title)


def burst_figure(
    sampled: Points, closed_form: Line, *, longest_measured: int | None, title: str
) -> str:
    """Return figure 2: share of bursts of so many frames or more, as inline SVG."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(1)
        axes.plot(closed_form.x, closed_form.y, color=_CLOSED, linewidth=1.8, label="closed form")
        _draw_points(axes, sampled, "emulator, 95 %", _EMULATOR_STYLE)
        longest = float(sampled.x.max(initial=1.0))
        if longest_measured is not None:
            axes.axvline(longest_measured, label="longest measured", **_DOTTED)
            longest = max(longest, float(longest_measured))
        axes.set_xlim(0.8 if longest < 20.0 else 0.0, longest + 0.5 + 0.03 * longest)
        axes.set_yscale("log")
        axes.set_ylim(0.4 * float(sampled.value[sampled.value > 0.0].min(initial=1.0)), 1.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("frames lost in a row, k")
        axes.set_ylabel("bursts of k or more")
        axes.yaxis.set_major_formatter(FuncFormatter(_as_share))
        axes.yaxis.set_minor_formatter(FuncFormatter(_nothing))
        _legend(figure, axes)
        return _svg(figure, "bursts", title)


def age_figure(sampled: Points, closed_form: Line, *, stale_ms: float, title: str) -> str:
    """Return figure 3: share of time with an age above so many ms, as inline SVG."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(1)
        is_seen = sampled.value > 0.0
        low = np.maximum(sampled.low, _LEAST_SHARE)
        axes.fill_between(
            sampled.x[is_seen],
            low[is_seen],
            sampled.high[is_seen],
            color=_EMULATOR,
            alpha=0.25,
            linewidth=0.0,
        )
        axes.plot(
            sampled.x[is_seen],
            sampled.value[is_seen],
            color=_EMULATOR,
            linewidth=2.6,
            label="emulator, 95 %",
        )
        axes.plot(
            closed_form.x,
            np.maximum(closed_form.y, _LEAST_SHARE),
            color=_CLOSED,
            linewidth=1.6,
            linestyle=(0, (4, 2)),
            label="closed form",
        )
        farthest_ms = float(closed_form.x.max())
        if stale_ms < farthest_ms:
            axes.axvline(stale_ms, label="stale", **_DOTTED)
        axes.set_xlim(0.0, farthest_ms)
        axes.set_yscale("log")
        axes.set_ylim(0.4 * float(sampled.value[is_seen].min(initial=1.0)), 1.5)
        axes.set_xlabel("age of the newest state held [ms]")
        axes.set_ylabel("time with an older state")
        axes.yaxis.set_major_formatter(FuncFormatter(_as_share))
        axes.yaxis.set_minor_formatter(FuncFormatter(_nothing))
        _legend(figure, axes)
        return _svg(figure, "age", title)


def channel_figure(load: Line, collided: Points | None, closed_form: Line, *, title: str) -> str:
    """Return figure 4: offered load and collided frames against senders, as inline SVG.

    Args:
        load: Offered load against the number of senders.
        collided: Share of collided frames; None where the mode has no collisions.
        closed_form: The same in closed form; empty where there is none.
        title: What a reader who cannot see it is told.
    """
    with mpl.rc_context(_STYLE):
        figure, panels = _figure(1 if collided is None else 2)
        panels[0].plot(load.x, load.y, color=_CLOSED, linewidth=1.8, label="closed form")
        if load.y.max() > 0.8:
            panels[0].axhline(1.0, **_DOTTED)
            panels[0].annotate("full", (load.x[0], 1.0), color=_MUTED, va="bottom", fontsize=9)
        panels[0].set_ylim(0.0, 1.15 * float(load.y.max()))
        panels[0].set_ylabel("offered load")
        if collided is not None:
            _draw_collisions(panels[1], collided, closed_form)
        panels[-1].set_xlabel("senders at 10 Hz, the ego among them")
        panels[-1].set_xlim(0.0, 1.04 * float(load.x.max()))
        for axes in panels:
            axes.yaxis.set_major_formatter(FuncFormatter(_as_share))
        _legend(figure, *panels)
        return _svg(figure, "channel", title)


def _draw_collisions(axes: Axes, collided: Points, closed_form: Line) -> None:
    """Draw the share of collided frames."""
    _draw_points(axes, collided, "emulator, 95 %", _EMULATOR_STYLE)
    if len(closed_form.x):
        axes.plot(closed_form.x, closed_form.y, color=_CLOSED, linewidth=1.8)
    highest = max(float(collided.high.max(initial=0.0)), float(closed_form.y.max(initial=0.0)))
    axes.set_ylim(0.0, max(1.15 * highest, 0.01))
    axes.set_ylabel("collided")


def _figure(num_panels: int) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, its panels one above the other with one x axis."""
    height_in = _SIZE_IN[1] * (1.0 if num_panels == 1 else 1.15)
    figure = Figure(figsize=(_SIZE_IN[0], height_in), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(num_panels, 1, sharex=True, squeeze=False)
    return figure, list(panels[:, 0])


def _draw_points(axes: Axes, points: Points, label: str, style: dict[str, Any]) -> None:
    """Draw values with their intervals."""
    reach = np.stack([points.value - points.low, points.high - points.value])
    axes.errorbar(
        points.x,
        points.value,
        yerr=np.maximum(reach, 0.0),
        label=label,
        **style,
    )


def _legend(figure: Figure, *panels: Axes) -> None:
    """Put what is drawn above the panels, each label once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside upper left",
        ncols=len(entries),
        columnspacing=1.2,
        handlelength=1.6,
        borderpad=0.1,
    )


def _as_share(value: float, _position: int | None = None) -> str:
    """Return a share as a percentage."""
    return f"{100.0 * value:.6g} %"


def _nothing(_value: float, _position: int | None = None) -> str:
    """Return no label, for the ticks between those that have one."""
    return ""


def _svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as an SVG element that takes its colours and font from the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(["Date", "Creator", "Format", "Type"])
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", "system-ui, sans-serif", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    label = escape(title, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def thinned(lengths: Sequence[int], most: int = 24) -> list[int]:
    """Return at most so many of the lengths, the short ones and then ever wider apart.

    >>> thinned(range(1, 6))
    [1, 2, 3, 4, 5]
    """
    if len(lengths) <= most:
        return list(lengths)
    chosen = np.unique(np.geomspace(1, len(lengths), most).round().astype(int)) - 1
    return [lengths[index] for index in chosen.tolist()]
