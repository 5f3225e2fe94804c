"""Figures as inline SVG: scales, axes and marks that take their colours from the page's classes.

Text stays text, and every drawing has a title and a description for those who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

Place = tuple[float, float]
LEFT, RIGHT, TOP, BOTTOM = 64.0, 22.0, 12.0, 40.0
"""Room around what the axes enclose."""

_TICK_GAP = 7.0
_LABEL_GAP = 17.0


@dataclass(frozen=True)
class Scale:
    """Maps values to places of a drawing.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: Place of the lowest value.
        end: Place of the highest.
        is_log: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, kept inside the scale."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


class Drawing:
    """Collects the elements of one SVG."""

    def __init__(self, name: str, size: tuple[float, float], title: str, description: str) -> None:
        """Begin a drawing.

        Args:
            name: Unique in the page.
            size: Width and height.
            title: What it is.
            description: What it shows, for those who cannot see it.
        """
        self.name, self.size = name, size
        self._parts = [
            f'<title id="{name}-t">{escape(title)}</title>',
            f'<desc id="{name}-d">{escape(description)}</desc>',
        ]

    def line(self, places: Iterable[Place], kind: str) -> None:
        """Add a line through places."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        self._parts.append(f'<polyline class="{kind}" points="{points}"/>')

    def box(self, corner: Place, size: Place, kind: str, style: str = "", tip: str = "") -> None:
        """Add a rectangle, with a text that pointing at it shows."""
        (x, y), (width, height) = corner, size
        css = f' style="{style}"' if style else ""
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(
            f'<rect class="{kind}"{css} x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.0):.1f}" '
            f'height="{max(height, 0.0):.1f}">{inner}</rect>'
        )

    def text(self, place: Place, text: str, kind: str = "", turn: float = 0.0) -> None:
        """Add a text."""
        x, y = place
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        self._parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{turned}>{escape(text)}</text>'
        )

    def mark(self, shape: str, place: Place, kind: str, tip: str = "") -> None:
        """Add a mark: circle, square, triangle, diamond, or cross."""
        x, y = place
        inner = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(f'<path class="mark {kind}" d="{outline(shape, x, y)}">{inner}</path>')

    def interval(self, low: Place, high: Place, kind: str) -> None:
        """Add the line of an interval, with bars at its ends."""
        (x1, y1), (x2, y2) = low, high
        bar = (0.0, 3.5) if y1 == y2 else (3.5, 0.0)
        ends = "".join(
            f"M{x - bar[0]:.1f} {y - bar[1]:.1f}L{x + bar[0]:.1f} {y + bar[1]:.1f}"
            for x, y in (low, high)
        )
        self._parts.append(
            f'<path class="interval {kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}{ends}"/>'
        )

    def x_axis(self, scale: Scale, ticks: Sequence[tuple[float, str]], label: str) -> None:
        """Add the axis below, with the grid's upright lines."""
        bottom, top = self.size[1] - BOTTOM, TOP
        for value, text in ticks:
            x = scale(value)
            self.line([(x, top), (x, bottom)], "grid")
            self.text((x, bottom + _LABEL_GAP), text, "tick middle")
        self.line([(scale.start, bottom), (scale.end, bottom)], "axis")
        self.text((0.5 * (scale.start + scale.end), self.size[1] - 6.0), label, "label middle")

    def y_axis(self, scale: Scale, ticks: Sequence[tuple[float, str]], label: str) -> None:
        """Add the axis on the left, with the grid's level lines."""
        for value, text in ticks:
            y = scale(value)
            self.line([(LEFT, y), (self.size[0] - RIGHT, y)], "grid")
            self.text((LEFT - _TICK_GAP, y + 4.0), text, "tick end")
        self.text((14.0, 0.5 * (scale.start + scale.end)), label, "label middle", turn=-90.0)

    def panel(self, corner: Place) -> str:
        """Return the drawing as a part of another SVG, whose units it shares."""
        (x, y), (width, height) = corner, self.size
        return (
            f'<svg x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}">{"".join(self._parts)}</svg>'
        )

    def svg(self) -> str:
        """Return the drawing."""
        width, height = self.size
        return (
            f'<svg class="drawing" viewBox="0 0 {width:g} {height:g}" role="img" '
            f'aria-labelledby="{self.name}-t {self.name}-d">{"".join(self._parts)}</svg>'
        )


def outline(shape: str, x: float, y: float, r: float = 4.6) -> str:
    """Return the path of a mark's shape around a place: the value of ``d``."""
    outlines: dict[str, Callable[[], str]] = {
        "circle": lambda: f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        "square": lambda: f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        "triangle": lambda: f"M{x:.1f} {y - 5.4:.1f}l5.2 9.2h-10.4z",
        "diamond": lambda: f"M{x:.1f} {y - 5.8:.1f}l5.8 5.8-5.8 5.8-5.8-5.8z",
        "cross": lambda: f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8",
    }
    return outlines[shape]()


def legend(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return a legend as HTML: (shape or "line", class, text) each."""
    items = []
    for shape, kind, text in entries:
        inner = (
            f'<polyline class="{kind}" points="1,8 23,8"/>'
            if shape == "line"
            else f'<path class="mark {kind}" d="{outline(shape, 12.0, 8.0)}"/>'
        )
        items.append(
            f'<li><svg class="key" viewBox="0 0 24 16" aria-hidden="true">{inner}</svg>'
            f"{escape(text)}</li>"
        )
    return f'<ul class="legend">{"".join(items)}</ul>'


def percent_ticks(high: float) -> list[tuple[float, str]]:
    """Return ticks of a share's axis from 0 to at least ``high``.

    >>> percent_ticks(0.11)[-1]
    (0.12, '12 %')
    """
    steps = (0.002, 0.005, 0.01, 0.02, 0.04, 0.1, 0.2)
    step = next((step for step in steps if high <= 4.0 * step), 0.25)
    count = min(max(1, math.ceil(high / step - 1e-9)), round(1.0 / step))
    return [(round(step * index, 6), f"{100.0 * step * index:g} %") for index in range(count + 1)]
