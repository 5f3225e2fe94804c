"""The two figures of the page of results, as SVG files, and the table of ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.evaluation.age_curve import kinematic_collision_rate
from ml.reporting.curves import GATE_RATES, RATE_TICKS, age_drawing, age_range_text, draw_curve
from ml.reporting.drawing import BOTTOM, LEFT, RIGHT, TOP, Drawing, Scale
from ml.reporting.evaluation_folder import Json
from ml.reporting.figure_file import Key, Panel, figure_file
from ml.reporting.markup import number_text, share_text
from ml.reporting.results_folder import Collisions, SeedResults, counted_alarms, pooled
from ml.reporting.results_numbers import (
    NONE,
    code_text,
    collisions_text,
    markdown_table,
    rates_over_seeds,
    share_over_seeds_text,
)
from ml.reporting.series import series_mark, series_shape

_SIZE = (440.0, 330.0)
_LEAST_SHARE = 1e-4
_SHARE_TICKS = (
    (1e-4, "0.01 %"), (1e-3, "0.1 %"), (1e-2, "1 %"), (0.1, "10 %"), (1.0, "100 %"),
)  # fmt: skip
_SINGLE = ("driver", "oracle")
"""Baselines that are one point of the operating curve."""

_POOLED = "seeds, pooled"


# --- Operating curve ------------------------------------------------------------------------------


def operating_figure(results: SeedResults) -> str:
    """Return the figure of collisions in H and M against false alarms per hour in C."""
    names = [*results.seeds, "eebl", *_SINGLE]
    panels = [
        Panel(f"radio {preset}", _operating_drawing(results, preset, names))
        for preset in results.gate_presets
    ]
    keys = [
        Key(series_shape(number), series_mark(number), name) for number, name in enumerate(names)
    ]
    keys.append(Key("line", "gate-rate", "rates of the gate"))
    words = "; ".join(
        f"{preset}, {name}: {share_text(points[0]['all']['collision_rate'])} collisions at "
        f"{number_text(points[0]['false_alarms']['per_hour'])} false alarms per hour"
        for preset in results.gate_presets
        for name in names
        if (points := _points(results, name, preset))
    )
    title = "Collisions in H and M against false alarms per hour in C"
    return figure_file(title, words, panels, keys, num_series=len(names))


def _points(results: SeedResults, policy: str, preset: str) -> list[Json]:
    """Return a policy's points that are measured, with intervals."""
    if policy in _SINGLE:
        found = [(None, results.collisions(policy, "HM", preset), results.alarms(policy, preset))]
    else:
        found = [
            (point["threshold_mps2"], pooled([point["all"]]), counted_alarms(point["false_alarms"]))
            for point in results.of_policy("operating_curves", policy) or ()
            if point["radio_preset"] == preset
        ]
    return [
        {
            "threshold_mps2": threshold,
            "all": {"collision_rate": count.rate, "interval_95": count.interval},
            "false_alarms": {"per_hour": alarms.rate, "interval_95": alarms.interval},
        }
        for threshold, count, alarms in found
        if count is not None and alarms is not None
    ]


def _operating_drawing(results: SeedResults, preset: str, names: Sequence[str]) -> Drawing:
    """Return the drawing of one radio preset."""
    drawing = Drawing(f"operating-{preset}", _SIZE, preset, "")
    x = Scale(RATE_TICKS[0][0], RATE_TICKS[-1][0], LEFT, _SIZE[0] - RIGHT, is_log=True)
    y = Scale(_LEAST_SHARE, 1.0, _SIZE[1] - BOTTOM, TOP, is_log=True)
    drawing.x_axis(x, RATE_TICKS, "false alarms per hour")
    drawing.y_axis(y, _SHARE_TICKS, "collisions in H and M")
    for rate in GATE_RATES:
        drawing.line([(x(rate), y.end), (x(rate), y.start)], "gate-rate")
    for number, name in enumerate(names):
        points = _points(results, name, preset)
        look = (name, series_shape(number), series_mark(number))
        draw_curve(drawing, (x, y), look, points, is_bare=name in results.seeds)
    return drawing


# --- Age at the onset -----------------------------------------------------------------------------


def age_figure(results: SeedResults) -> str:
    """Return the figure of collisions against the age at the onset."""
    panels, words = [], []
    looks = {_POOLED: (series_shape(0), series_mark(0))}
    for preset in results.gate_presets:
        bins = [_drawn_bin(cells, count) for cells, count in _age_bins(results, preset)]
        driver = _driver_alone(results, preset)
        no_radio = {"collision_rate": None if driver is None else driver.rate}
        panels.append(
            Panel(
                f"radio {preset}",
                age_drawing(f"age-{preset}", {_POOLED: bins}, no_radio, looks),
            )
        )
        words += [
            f"{preset}, age {age_range_text(cell)} s: {share_text(cell['collision_rate'])}"
            for cell in bins
        ]
    keys = [
        Key(*looks[_POOLED], _POOLED),
        Key("line", "reference", "kinematics alone"),
        Key("line", "no-radio", "driver alone"),
    ]
    title = "Collisions against the age of the braking car's state at its onset"
    return figure_file(title, "; ".join(words), panels, keys, num_series=1)


def age_table(results: SeedResults) -> list[str]:
    """Return the collisions by age at the onset as a table."""
    columns = [
        "radio", "age [s]", "mean age [s]", "collisions of all seeds",
        "interquartile mean over seeds", "kinematics alone",
    ]  # fmt: skip
    rows: list[Sequence[str]] = []
    for preset in results.gate_presets:
        for cells, count in _age_bins(results, preset):
            mean_s = _mean_age_s(cells)
            each = {seed: one for seed, cell in cells.items() if (one := pooled([cell]))}
            rates = rates_over_seeds(each) if len(each) == len(cells) else None
            rows.append([
                code_text(preset),
                age_range_text(next(iter(cells.values()))),
                number_text(mean_s),
                collisions_text(count),
                share_over_seeds_text(rates),
                NONE if mean_s is None else share_text(kinematic_collision_rate(mean_s)),
            ])  # fmt: skip
        driver = collisions_text(_driver_alone(results, preset))
        rows.append([code_text(preset), "driver alone, any", "", driver, "", ""])
    return markdown_table(columns, rows)


def _age_bins(results: SeedResults, preset: str) -> list[tuple[dict[str, Json], Collisions]]:
    """Return each bin's entry of every seed, and their collisions together, empty ones left out."""
    by_range: dict[tuple[float, float], dict[str, Json]] = {}
    for seed in results.seeds:
        curve = results.of_policy("age_curve", seed).get(preset) or {"bins": []}
        for cell in curve["bins"]:
            last = float("inf")
            limits = (last if cell["from_s"] is None else cell["from_s"],
                      last if cell["to_s"] is None else cell["to_s"])  # fmt: skip
            by_range.setdefault(limits, {})[seed] = cell
    found = [(by_range[limits], pooled(list(by_range[limits].values()))) for limits in by_range]
    return [(cells, count) for cells, count in found if count is not None]


def _mean_age_s(cells: Mapping[str, Json]) -> float | None:
    """Return the mean age of all episodes of a bin, None for those never heard."""
    heard = [cell for cell in cells.values() if cell["mean_age_s"] is not None]
    episodes = sum(cell["episodes"] for cell in heard)
    total_s: float = sum(cell["mean_age_s"] * cell["episodes"] for cell in heard)
    return total_s / episodes if episodes else None


def _drawn_bin(cells: Mapping[str, Json], count: Collisions) -> Json:
    """Return a bin of all seeds as a curve's drawing takes it."""
    mean_s = _mean_age_s(cells)
    return {
        **next(iter(cells.values())),
        "is_never_heard": mean_s is None,
        "mean_age_s": mean_s,
        "episodes": count.episodes,
        "collisions": count.events,
        "collision_rate": count.rate,
        "interval_95": count.interval,
    }


def _driver_alone(results: SeedResults, preset: str) -> Collisions | None:
    """Return the driver's collisions in the same stops, whatever the age."""
    curve = results.of_policy("age_curve", results.seeds[0]).get(preset)
    return None if curve is None else pooled([curve["no_radio"]])
