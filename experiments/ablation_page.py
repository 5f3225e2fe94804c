"""The page of the ablations, from the counts alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from experiments.ablation_numbers import FAMILIES, Json, by_seed, difference_of, summary_of
from experiments.ablation_plan import (
    BASE,
    CROWDED,
    DATASETS,
    FULL,
    MANY_PEERS,
    ORDINARY,
    RADIOS,
    RECIPE,
    THRESHOLDS_MPS2,
    VARIANTS,
    Condition,
    Variant,
)
from ml.reporting.markup import interval_text, number_text, share_text

COMMAND = "python -m experiments.ablations --seeds {seeds} --work_dir DIR"
_FIGURE = """\
![Collisions in H and M and false alarms in C of every variant and seed.](images/ablations.svg)

Pale: one seed each. Axes are square roots, so that small rates can be told apart.
"""


class _Section(NamedTuple):
    """A table of the page.

    Attributes:
        title: Its heading.
        condition: Under which it was judged.
        threshold_mps2: Demands up to it are no intervention.
    """

    title: str
    condition: Condition
    threshold_mps2: float


def page_markdown(results: Json, template: str) -> str:
    """Return the page.

    Args:
        results: The content of ``results/ablations.json``.
        template: The page's text, with {command}, {dataset}, {recipe}, {variants} and {tables}
            where each shall be.
    """
    seeds = sorted({record["seed"] for record in results["records"]}) or [1, 2, 3]
    return template.format(
        command=COMMAND.format(seeds=" ".join(map(str, seeds))),
        dataset=" ".join(DATASETS[FULL]),
        recipe=" ".join(RECIPE),
        variants=_variants_table(),
        tables=_tables(results),
    )


def _tables(results: Json) -> str:
    """Return figure and tables, or that there are none."""
    records = results["records"]
    if not by_seed(records, BASE, THRESHOLDS_MPS2[0], ORDINARY):
        return "Nothing has been measured yet."
    titles = {ORDINARY: "", CROWDED: f"{MANY_PEERS} cars ahead, "}
    titles |= {condition: f"Radio preset `{condition.preset}`, " for condition in RADIOS}
    parts = [_counts_text(results), _FIGURE]
    for condition, title in titles.items():
        for threshold_mps2 in THRESHOLDS_MPS2:
            words = _as_text(threshold_mps2)
            name = f"{title}{words}" if title else f"{words[0].upper()}{words[1:]}"
            parts.append(_section(records, _Section(name, condition, threshold_mps2)))
    return "\n".join(filter(None, parts)).rstrip("\n")


def _as_text(threshold_mps2: float) -> str:
    """Return how a threshold is called."""
    return f"demands above {threshold_mps2:g} m/s² alone" if threshold_mps2 else "as trained"


def _variants_table() -> str:
    """Return the table of what each variant changes."""
    lines = [["variant", "flags", "what it changes"], ["---"] * 3]
    for variant in VARIANTS:
        flags = " ".join(variant.flags)
        if variant.dataset != FULL:
            flags = f"`{' '.join(DATASETS[variant.dataset][-2:])}` of `gen_scenarios`"
        elif flags:
            flags = f"`{flags}`"
        lines.append([variant.title, flags, variant.change])
    return _table(lines).rstrip("\n")


def _counts_text(results: Json) -> str:
    """Return how many cases each policy met, and what made the numbers."""
    (record, *_) = by_seed(results["records"], BASE, THRESHOLDS_MPS2[0], ORDINARY).values()
    crowded = by_seed(results["records"], BASE, THRESHOLDS_MPS2[0], CROWDED)
    text = f"Cases of each policy: {_cases_text(record)}"
    if crowded:
        text += f"; with {MANY_PEERS} cars ahead {_cases_text(next(iter(crowded.values())))}"
    codes = sorted({record["code_sha256"][:12] for record in results["records"]})
    return (
        f"{text}. Cases whose hazard did not happen as asked are left out. Protocol "
        f"`{results['protocol_sha256'][:12]}`, code {', '.join(f'`{code}`' for code in codes)}.\n"
    )


def _cases_text(record: Json) -> str:
    """Return the cases behind a record."""
    return (
        f"H {record['H']['cases']}, M {record['M']['cases']}, C {record['C']['cases']} "
        f"({record['C']['hours']:.1f} h)"
    )


def _section(records: Sequence[Json], asked: _Section) -> str:
    """Return two tables, the values and how far they are from the base; empty without records."""
    shown = [
        variant
        for variant in VARIANTS
        if by_seed(records, variant.name, asked.threshold_mps2, asked.condition)
    ]
    if not shown:
        return ""
    head = ["variant", "seeds", "H", "worst", "M", "worst", "C per hour", "worst"]
    lines = [head, ["---"] * len(head)]
    lines += [_value_cells(records, variant, asked) for variant in shown]
    text = f"## {asked.title}\n\n{_table(lines)}"
    others = [variant for variant in shown if variant.name != BASE]
    cells = [found for other in others if (found := _difference_cells(records, other, asked))]
    if not cells:
        return text
    head = ["minus base", "H [points]", "by seed", "M [points]", "by seed", "C per hour", "by seed"]
    return f"{text}\n{_table([head, ['---'] * len(head), *cells])}"


def _value_cells(records: Sequence[Json], variant: Variant, asked: _Section) -> list[str]:
    """Return a variant's row."""
    seeds = by_seed(records, variant.name, asked.threshold_mps2, asked.condition)
    cells = [variant.title, " ".join(map(str, seeds))]
    for family in FAMILIES:
        summary = summary_of(seeds, family)
        value, interval = summary["mean"], summary["interval_95"]
        most = math.inf if family == "C" else 1.0
        limits = None if interval is None else [min(max(limit, 0.0), most) for limit in interval]
        if family == "C":
            said = "none" if limits is None else " to ".join(map(number_text, limits))
            cells += [f"{number_text(value)} ({said})", number_text(summary["worst"])]
        else:
            cells += [
                f"{share_text(value)} ({interval_text(limits)})",
                share_text(summary["worst"]),
            ]
        cells[-1] += f", seed {summary['worst_seed']}"
    return cells


def _difference_cells(records: Sequence[Json], variant: Variant, asked: _Section) -> list[str]:
    """Return a variant's row of differences, empty where it has no seed in common with the base."""
    cells = [variant.title]
    for family in FAMILIES:
        found = difference_of(records, variant.name, asked.threshold_mps2, asked.condition, family)
        if found is None:
            return []
        signed = _signed_rate if family == "C" else _signed_points
        interval = found["interval_95"]
        said = "none" if interval is None else " to ".join(map(signed, interval))
        cells.append(f"{signed(found['mean'])} ({said})")
        cells.append(", ".join(map(signed, found["values"])))
    return cells


_signed_rate: Callable[[float], str] = "{:+.1f}".format


def _signed_points(share: float) -> str:
    """Return a difference of shares in percentage points."""
    return f"{100.0 * share:+.1f}"


def _table(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
