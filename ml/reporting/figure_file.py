"""A figure as a file: panels side by side with a heading each, and a legend, in one SVG.

It needs nothing else, follows the screen's light or dark colours, and says in words what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from ml.reporting.drawing import Drawing, outline
from ml.reporting.series import literal_series_style

_STYLE_FILE = Path(__file__).with_name("figure_file.css")
_LIGHT = {"surface": "#ffffff", "ink": "#1b1f24", "muted": "#5b6470", "grid": "#e2e5e9"}
_DARK = {"surface": "#14171b", "ink": "#e6e8eb", "muted": "#9aa4af", "grid": "#2c323a"}
_COLUMNS = 2
_EDGE, _HEADING, _LINE, _LETTER = 12.0, 24.0, 22.0, 7.2


class Key(NamedTuple):
    """An entry of the legend.

    Attributes:
        shape: Of a mark, or ``line``.
        kind: Class of the mark or line.
        text: What it stands for.
    """

    shape: str
    kind: str
    text: str


class Panel(NamedTuple):
    """A part of a figure.

    Attributes:
        heading: What stands above it.
        drawing: The drawing; all of a figure are of one size.
    """

    heading: str
    drawing: Drawing


def figure_file(
    title: str, description: str, panels: Sequence[Panel], keys: Sequence[Key], *, num_series: int
) -> str:
    """Return the content of an SVG file.

    Args:
        title: What it is.
        description: What it shows, for those who cannot see it.
        panels: At least one.
        keys: The legend.
        num_series: How many series have a look of ``ml.reporting.series``.
    """
    width, height = panels[0].drawing.size
    columns = min(_COLUMNS, len(panels))
    full_width = columns * width
    legend, below = _legend(keys, full_width)
    rows = -(-len(panels) // columns)
    full_height = below + rows * (height + _HEADING)
    parts = []
    for number, (heading, drawing) in enumerate(panels):
        corner = (number % columns * width, below + number // columns * (height + _HEADING))
        parts.append(
            f'<text class="heading middle" x="{corner[0] + 0.5 * width:g}" '
            f'y="{corner[1] + 16.0:g}">{escape(heading)}</text>'
            + drawing.panel((corner[0], corner[1] + _HEADING))
        )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full_width:g} {full_height:g}" '
        'role="img" aria-labelledby="title summary">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="summary">{escape(description)}</desc>',
        f"<style>\n{_style(num_series)}\n</style>",
        f'<rect class="paper" width="{full_width:g}" height="{full_height:g}"/>',
        *legend,
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style(num_series: int) -> str:
    """Return the rules of light screens, then those of dark ones, each with literal colours."""
    rules = []
    for colours in (_LIGHT, _DARK):
        text = _STYLE_FILE.read_text(encoding="utf-8")
        for name, colour in colours.items():
            text = text.replace(f"var(--{name})", colour)
        rules.append(text + literal_series_style(num_series, is_dark=colours is _DARK))
    return f"{rules[0]}\n@media screen and (prefers-color-scheme: dark) {{\n{rules[1]}\n}}"


def _legend(keys: Sequence[Key], width: float) -> tuple[list[str], float]:
    """Return the legend's elements in lines that fit, and where it ends."""
    parts, x, y = [], _EDGE, _EDGE
    for shape, kind, text in keys:
        needed = 30.0 + _LETTER * len(text) + 12.0
        if x > _EDGE and x + needed > width - _EDGE:
            x, y = _EDGE, y + _LINE
        if shape == "line":
            sign = f'<path class="{kind}" d="M{x:.1f} {y + 4.0:.1f}h22"/>'
        else:
            sign = f'<path class="mark {kind}" d="{outline(shape, x + 11.0, y + 4.0)}"/>'
        parts.append(f'{sign}<text x="{x + 28.0:.1f}" y="{y + 8.5:.1f}">{escape(text)}</text>')
        x += needed
    return parts, y + _LINE
