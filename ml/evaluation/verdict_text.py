"""The verdict in words and a table, for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.verdict import (
    COMPARED_BASELINES,
    FALSE_ALARM_LEVEL_MPS2,
    Json,
    compare_collisions,
    summarise_policies,
)

STATUS_MARKS = {"pass": "ok  ", "fail": "FAIL", "open": "open"}
_TEXT_WIDTH = 100
_NAME_WIDTH = 8


def format_report(report: Json) -> str:
    """Return the verdict, its reasons, and one row per policy.

    Args:
        report: What ``ml.evaluation.verdict.build_report`` returned.

    Returns:
        Lines of at most 100 characters, without a newline at the end.
    """
    verdict = report["verdict"]
    lines = [f"Verdict: {verdict['result']}"]
    for reason in verdict["reasons"]:
        status, text = reason.split(": ", 1)
        lines += wrapped(f"  {STATUS_MARKS[status]}  ", text)
    lines += ["", *_table_lines({"policy": report, **report["baselines"]})]
    not_realised = report["episodes"]["num_not_realised"]
    if not_realised:
        lines.append(f"  {not_realised} episodes whose hazard did not happen as asked: not counted")
    for name, comparison in verdict["comparisons"].items():
        lines += _comparison_lines("policy", name, comparison)
    return "\n".join(lines)


def format_side_by_side(
    records: Mapping[str, Sequence[EpisodeRecord]],
    baselines: Mapping[str, Sequence[EpisodeRecord]],
) -> str:
    """Return a table of policies, and what the first one's collisions are against the others'.

    Args:
        records: Records of each policy by its name, all of the same episodes.
        baselines: The same of each baseline; may be empty.
    """
    everyone = {**records, **baselines}
    first, *others = records
    compared = dict.fromkeys((*others, *(name for name in COMPARED_BASELINES if name in everyone)))
    compared.pop(first, None)
    lines = ["", *_table_lines(summarise_policies(everyone))]
    for name in compared:
        comparison = compare_collisions(everyone[first], everyone[name], name)
        lines += _comparison_lines(first, name, comparison)
    return "\n".join(lines)


def _table_lines(summaries: Mapping[str, Json]) -> list[str]:
    """Return a table of collisions and false alarms, one row per policy.

    Args:
        summaries: Each policy's `episodes` and `alarms`, by its name.
    """
    width = max(_NAME_WIDTH, *map(len, summaries))
    head = f"{'episodes':>9}{'collisions':>12}  {'95 % interval':<20}false alarms/h (95 %)"
    return [
        f"  {'':{width}}{head}",
        *(f"  {name:{width}}{_format_row(summary)}" for name, summary in summaries.items()),
    ]


def _comparison_lines(policy: str, other: str, comparison: Json) -> list[str]:
    """Return what ``ml.evaluation.verdict.compare_collisions`` says of two policies."""
    return wrapped(
        "  ",
        f"{policy} against {other}: {comparison['conclusion']} (crashed alone: {policy} "
        f"{comparison['policy_only']}, {other} {comparison['baseline_only']}; "
        f"p = {comparison['mcnemar_p']:.2g})",
    )


def wrapped(indent: str, text: str) -> list[str]:
    """Return the text as lines, all but the first indented by eight spaces."""
    return textwrap.wrap(text, _TEXT_WIDTH, initial_indent=indent, subsequent_indent=" " * 8)


def _format_row(summary: Json) -> str:
    """Return one policy's row of the table, without its name."""
    rate = summary["episodes"]["all"]
    interval = "-"
    if rate["interval_95"] is not None:
        low, high = rate["interval_95"]
        interval = f"{low:.1%} to {high:.1%}"
    alarms = summary["alarms"]["calm_and_benign"][f"false_alarms_{FALSE_ALARM_LEVEL_MPS2}mps2"]
    per_hour = "-"
    if alarms["per_hour"] is not None:
        low, high = alarms["interval_95"]
        per_hour = f"{alarms['per_hour']:.1f} ({low:.1f} to {high:.1f})"
    return f"{rate['episodes']:>9}{rate['collisions']:>12}  {interval:<20}{per_hour}"
