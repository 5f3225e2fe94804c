"""Numbers over training seeds, and how the page of results writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from ml.errors import one_line
from ml.evaluation.seed_statistics import summarise_seeds
from ml.evaluation.statistics import Interval
from ml.reporting.markup import interval_text, number_text, share_text
from ml.reporting.results_folder import Alarms, Collisions

NONE = "none"


class OverSeeds(NamedTuple):
    """A number over seeds of which a larger one is worse.

    Attributes:
        mean: Interquartile mean.
        interval: Its 95 % t interval, cut to what the number can be; None where all are equal.
        worst_seed: Where it is largest.
        worst: The largest.
    """

    mean: float
    interval: Interval | None
    worst_seed: str
    worst: float


def over_seeds(values: Mapping[str, float], most: float = float("inf")) -> OverSeeds | None:
    """Return what seeds say together, None without a seed.

    Args:
        values: One value from 0 up for each seed.
        most: The largest value that there can be; the interval is cut there, and at 0.
    """
    if not values:
        return None
    summary = summarise_seeds(list(values.values()), is_larger_worse=True)
    interval = None
    if summary["interval_95"] is not None:
        low, high = summary["interval_95"]
        interval = Interval(max(low, 0.0), min(high, most))
    worst_seed = list(values)[summary["worst_seed_index"]]
    return OverSeeds(summary["interquartile_mean"], interval, worst_seed, summary["worst"])


def rates_over_seeds(counts: Mapping[str, Collisions]) -> OverSeeds | None:
    """Return the share of collisions over seeds."""
    return over_seeds({seed: count.rate for seed, count in counts.items()}, 1.0)


# --- Texts --------------------------------------------------------------------------------------


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table; cells are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def plain(text: str) -> str:
    r"""Return a text of a file as Markdown that shows it as it is, on one line.

    >>> plain("a|b <c> [d](e)")
    'a\\|b &lt;c&gt; \\[d\\](e)'
    """
    words = escape(one_line(text), quote=False)
    return "".join(f"\\{letter}" if letter in "|[]*`\\" else letter for letter in words)


def code_text(text: str) -> str:
    """Return a name of a file in the letters of code."""
    return f"`{one_line(text).replace('`', '').replace('|', '')}`"


def ratio_text(value: float) -> str:
    """Return a ratio with two digits after the point, three where it is small."""
    return f"{value:.3f}" if 0.0 < value < 0.1 else f"{value:.2f}"


def collisions_text(count: Collisions | None) -> str:
    """Return count, episodes, share and exact interval in two lines of a cell."""
    if count is None:
        return NONE
    share = f"{share_text(count.rate)} ({interval_text(count.interval)})"
    return f"{count.events:,} of {count.episodes:,}<br>{share}"


def alarms_text(alarms: Alarms | None) -> str:
    """Return count, hours, rate and exact interval in two lines of a cell."""
    if alarms is None:
        return NONE
    low, high = map(number_text, alarms.interval)
    rate = f"{number_text(alarms.rate)} ({low} to {high})"
    return f"{alarms.events:,} in {alarms.hours:.2f} h<br>{rate}"


def share_over_seeds_text(result: OverSeeds | None) -> str:
    """Return a share's interquartile mean with its t interval."""
    return _over_seeds_text(result, share_text, interval_text)


def number_over_seeds_text(result: OverSeeds | None) -> str:
    """Return a number's interquartile mean with its t interval."""
    return _over_seeds_text(
        result, number_text, lambda limits: " to ".join(map(number_text, limits))
    )


def _over_seeds_text(
    result: OverSeeds | None,
    value_text: Callable[[float], str],
    limits_text: Callable[[Sequence[float]], str],
) -> str:
    """Return an interquartile mean with its t interval, in the words of its kind."""
    if result is None:
        return NONE
    words = "no interval, seeds are equal"
    if result.interval is not None:
        words = limits_text(result.interval)
    return f"{value_text(result.mean)} ({words})"


def count_range_text(counts: Sequence[int]) -> str:
    """Return the least and the largest of counts, one number where they are equal."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
