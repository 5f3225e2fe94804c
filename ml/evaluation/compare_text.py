"""A comparison of evaluations in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ml.evaluation.verdict import Json

_NAME_WIDTH = 34


def format_comparison(comparison: Json) -> str:
    """Return what one policy's differences from another are, family by family."""
    first, other = comparison["policy"], comparison["minus"]
    lines = [f"{first} minus {other}, on the same episodes, 95 % intervals"]
    for entry in comparison["families"]:
        lines += ["", *_family_lines(entry)]
    return "\n".join(lines)


def _family_lines(entry: Json) -> Iterator[str]:
    """Give the lines of one family under one radio preset."""
    collisions = entry["collisions"]
    yield f"{_heading(entry)}: {collisions['pairs']} episodes"
    counts = f"{collisions['policy_collisions']} against {collisions['baseline_collisions']}"
    yield _line(
        "collisions", counts, _points(collisions), collisions["conclusion"],
        f"p {collisions['holm_p']:.2g} (Holm)",
    )  # fmt: skip
    for name, metric in entry["metrics"].items():
        if metric["pairs"]:
            values = f"{metric['value']:.4g} against {metric['other_value']:.4g}"
            note = "" if metric["pairs"] == collisions["pairs"] else f"{metric['pairs']} episodes"
            yield _line(name, values, _change(metric), metric["conclusion"], note)


def format_recipes(families: Sequence[Json]) -> str:
    """Return the recipes' interquartile means over seeds and their differences."""
    lines = ["interquartile means over training seeds, 95 % t intervals"]
    for entry in families:
        lines += ["", _heading(entry)]
        for name, metric in entry["metrics"].items():
            if metric is not None:
                lines += _recipe_lines(name, metric)
    return "\n".join(lines)


def _recipe_lines(name: str, metric: Json) -> Iterator[str]:
    """Give the lines of one metric: each recipe, then the differences."""
    yield f"  {name}"
    for recipe, summary in metric["recipes"].items():
        worst = ""
        if summary["worst"] is not None:
            worst = f", worst {summary['worst']:.4g} ({summary['worst_seed']})"
        yield (
            f"    {recipe}: {summary['interquartile_mean']:.4g} {_interval(summary, '.4g')}, "
            f"{summary['num_seeds']} seeds{worst}"
        )
    for difference in metric["differences"]:
        yield (
            f"    {difference['recipe']} minus {difference['minus']}: {_change(difference)}  "
            f"{difference['conclusion']}"
        )


def _heading(entry: Json) -> str:
    """Return the family and the radio preset."""
    return f"family {entry['family']}, radio {entry['radio_preset']}"


def _line(name: str, values: str, change: str, conclusion: str, note: str) -> str:
    """Return one metric's line."""
    end = f"  [{note}]" if note else ""
    return f"  {name:<{_NAME_WIDTH}}{values}: {change}  {conclusion}{end}"


def _points(collisions: Json) -> str:
    """Return a difference of rates in percentage points."""
    if collisions["difference"] is None:
        return "-"
    low, high = (100.0 * limit for limit in collisions["interval_95"])
    return f"{100.0 * collisions['difference']:+.2f} points ({low:+.2f} to {high:+.2f})"


def _change(metric: Json) -> str:
    """Return a difference with its interval."""
    return f"{metric['difference']:+.4g} {_interval(metric, '+.4g')}"


def _interval(entry: Json, form: str) -> str:
    """Return an interval in brackets, a word where there is none."""
    if entry["interval_95"] is None:
        return "(no interval)"
    low, high = entry["interval_95"]
    return f"({low:{form}} to {high:{form}})"
