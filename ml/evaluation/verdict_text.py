"""The verdict in words and a table, for the terminal."""

from __future__ import annotations

import textwrap

from ml.evaluation.verdict import FALSE_ALARM_LEVEL_MPS2, Json

STATUS_MARKS = {"pass": "ok  ", "fail": "FAIL", "open": "open"}
_TEXT_WIDTH = 100


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
    rows = {"policy": report, **report["baselines"]}
    lines += ["", f"  {'':8}{'episodes':>9}{'collisions':>12}  {'95 % interval':<20}false alarms/h"]
    lines += [_format_row(name, summary) for name, summary in rows.items()]
    not_realised = report["episodes"]["num_not_realised"]
    if not_realised:
        lines.append(f"  {not_realised} episodes whose hazard did not happen as asked: not counted")
    for name, comparison in verdict["comparisons"].items():
        lines += wrapped(
            "  ",
            f"policy against {name}: {comparison['conclusion']} (crashed alone: policy "
            f"{comparison['policy_only']}, {name} {comparison['baseline_only']}; "
            f"p = {comparison['mcnemar_p']:.2g})",
        )
    return "\n".join(lines)


def wrapped(indent: str, text: str) -> list[str]:
    """Return the text as lines, all but the first indented by eight spaces."""
    return textwrap.wrap(text, _TEXT_WIDTH, initial_indent=indent, subsequent_indent=" " * 8)


def _format_row(name: str, summary: Json) -> str:
    """Return one policy's row of the table."""
    rate = summary["episodes"]["all"]
    interval = "-"
    if rate["interval_95"] is not None:
        low, high = rate["interval_95"]
        interval = f"{low:.1%} to {high:.1%}"
    alarms = summary["alarms"]["calm_and_benign"][f"false_alarms_{FALSE_ALARM_LEVEL_MPS2}mps2"]
    per_hour = "-" if alarms["per_hour"] is None else f"{alarms['per_hour']:.1f}"
    return f"  {name:8}{rate['episodes']:>9}{rate['collisions']:>12}  {interval:<20}{per_hour:>14}"
