"""The ablations as one drawing: a row for each variant, a panel for each family of cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from experiments.ablation_numbers import FAMILIES, Json, by_seed, summary_of
from experiments.ablation_plan import ORDINARY, THRESHOLDS_MPS2, VARIANTS, Variant
from ml.reporting.drawing import BOTTOM, RIGHT, TOP, Drawing, Scale
from ml.reporting.markup import number_text, share_text

_NAMES_END, _PANEL, _GAP = 126.0, 252.0, 34.0
_ROW, _KEYS = 34.0, 26.0
_TICKS = {
    "share": (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0),
    "rate": (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0),
}
_LABELS = {
    "H": "H, collisions [%]",
    "M": "M, collisions [%]",
    "C": "C, false alarms per hour",
}
_STYLE = """<style>
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .tick { font-size: 12px; fill: #59636e; } .middle { text-anchor: middle; }
  .end { text-anchor: end; }
  .paper { fill: #ffffff; } .grid { stroke: #dde2e8; fill: none; }
  .axis { stroke: #6e7781; fill: none; }
  .interval { fill: none; stroke-width: 2; }
  .as-trained { fill: #0b62a8; stroke: #0b62a8; } .above { fill: #b4530a; stroke: #b4530a; }
  .mark { stroke: none; } .seed { fill-opacity: .4; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .tick { fill: #9aa4af; }
    .paper { fill: #0d1117; } .grid { stroke: #2c323a; } .axis { stroke: #8b949e; }
    .as-trained { fill: #6cb6ff; stroke: #6cb6ff; } .above { fill: #ffa657; stroke: #ffa657; }
  }
</style>"""
_KINDS = dict(zip(THRESHOLDS_MPS2, ("as-trained", "above"), strict=True))
_SHAPES = dict(zip(THRESHOLDS_MPS2, ("circle", "square"), strict=True))


class _Panel(NamedTuple):
    """One family's part of the drawing.

    Attributes:
        family: H, M or C.
        scale: From the square root of a value to a place.
        rows: Upright place of each variant.
    """

    family: str
    scale: Scale
    rows: dict[str, float]


def figure_svg(records: Sequence[Json]) -> str:
    """Return the drawing, a file that needs nothing else.

    Args:
        records: Counts, see ``ablation_numbers``; the base's under ORDINARY among them.
    """
    shown = [variant for variant in VARIANTS if _seeds(records, variant.name)]
    width = _NAMES_END + 3 * _PANEL + 2 * _GAP + RIGHT
    height = TOP + _KEYS + _ROW * len(shown) + BOTTOM
    drawing = Drawing("ablations", (width, height), "Ablations of the recipe", _words(records))
    drawing.box((0.0, 0.0), (width, height), "paper")
    rows = {variant.name: TOP + _KEYS + _ROW * (index + 0.5) for index, variant in enumerate(shown)}
    for variant in shown:
        drawing.text((_NAMES_END - 10.0, rows[variant.name] + 4.0), variant.title, "end")
    for number, family in enumerate(FAMILIES):
        start = _NAMES_END + number * (_PANEL + _GAP)
        ticks = _ticks(records, family)
        scale = Scale(0.0, ticks[-1][0], start, start + _PANEL)
        drawing.x_axis(scale, ticks, _LABELS[family])
        _draw_panel(drawing, records, _Panel(family, scale, rows))
    drawing.box((0.0, 0.0), (width, TOP + _KEYS - 8.0), "paper")
    _draw_keys(drawing)
    return _as_file(drawing.svg())


def _seeds(records: Sequence[Json], variant: str) -> dict[int, Json]:
    """Return a variant's records as trained, by seed."""
    return by_seed(records, variant, THRESHOLDS_MPS2[0], ORDINARY)


def _draw_keys(drawing: Drawing) -> None:
    """Say what the marks are."""
    x, y = _NAMES_END + 8.0, TOP + 9.0
    for threshold_mps2, kind in _KINDS.items():
        drawing.interval((x, y), (x + 26.0, y), kind)
        drawing.mark(_SHAPES[threshold_mps2], (x + 13.0, y), kind)
        text = f"demands above {threshold_mps2:g} m/s² alone" if threshold_mps2 else "as trained"
        drawing.text((x + 34.0, y + 4.0), text)
        x += 130.0
    drawing.text((x + 110.0, y + 4.0), "pale: one seed each; line: 95 % interval", "tick")


def _draw_panel(drawing: Drawing, records: Sequence[Json], panel: _Panel) -> None:
    """Draw every variant's seeds, mean and interval."""
    for variant, middle in panel.rows.items():
        for threshold_mps2, offset in zip(THRESHOLDS_MPS2, (-6.0, 6.0), strict=True):
            seeds = by_seed(records, variant, threshold_mps2, ORDINARY)
            if not seeds:
                continue
            summary, kind = summary_of(seeds, panel.family), _KINDS[threshold_mps2]
            shape, y = _SHAPES[threshold_mps2], middle + offset
            for seed, value in zip(summary["seeds"], summary["values"], strict=True):
                place = (_place(panel.scale, value), y)
                tip = f"seed {seed}: {_value_text(panel.family, value)}"
                drawing.mark(shape, place, f"{kind} seed", tip)
            if summary["interval_95"] is not None:
                low, high = (_place(panel.scale, limit) for limit in summary["interval_95"])
                drawing.interval((low, y), (high, y), kind)
            mean = summary["mean"]
            tip = f"mean {_value_text(panel.family, mean)}"
            drawing.mark(shape, (_place(panel.scale, mean), y), kind, tip)


def _place(scale: Scale, value: float) -> float:
    """Return the place of a value; what is below 0 is drawn at 0."""
    return scale(math.sqrt(max(value, 0.0)))


def _ticks(records: Sequence[Json], family: str) -> list[tuple[float, str]]:
    """Return the ticks of a family's axis, at square roots, up to its largest seed or interval."""
    summaries = [
        summary_of(seeds, family)
        for variant in VARIANTS
        for threshold_mps2 in THRESHOLDS_MPS2
        if (seeds := by_seed(records, variant.name, threshold_mps2, ORDINARY))
    ]
    values = [value for one in summaries for value in (*one["values"], *(one["interval_95"] or ()))]
    known = _TICKS["rate" if family == "C" else "share"]
    last = next((tick for tick in known[1:] if tick >= max(values)), known[-1])
    return [(math.sqrt(tick), _tick_text(family, tick)) for tick in known if tick <= last]


def _tick_text(family: str, tick: float) -> str:
    """Return a tick's text."""
    return f"{tick:g}" if family == "C" else f"{100.0 * tick:g}"


def _value_text(family: str, value: float) -> str:
    """Return a value with its unit."""
    return f"{number_text(value)} per hour" if family == "C" else share_text(value)


def _words(records: Sequence[Json]) -> str:
    """Return what the drawing shows, for those who cannot see it."""
    return "; ".join(_variant_words(variant, seeds) for variant in VARIANTS
                     if (seeds := _seeds(records, variant.name)))  # fmt: skip


def _variant_words(variant: Variant, seeds: dict[int, Json]) -> str:
    """Return a variant's means as trained."""
    means = [
        f"{family} {_value_text(family, summary_of(seeds, family)['mean'])}" for family in FAMILIES
    ]
    return f"{variant.title}: {', '.join(means)}"


def _as_file(svg: str) -> str:
    """Return a page's drawing as a file of its own."""
    head, _, rest = svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{_STYLE}{rest}\n'
