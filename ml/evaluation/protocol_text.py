"""The verdict of an evaluation by a protocol, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ml.evaluation.verdict import Json
from ml.evaluation.verdict_text import STATUS_MARKS, wrapped

_NAMED = 6


def format_evaluation(evaluation: Json) -> str:
    """Return the coverage, and each judged policy's verdict with its gates.

    Args:
        evaluation: What ``ml.evaluation.protocol_report.build_evaluation`` returned.

    Returns:
        Lines of at most 100 characters, without a newline at the end.
    """
    protocol, coverage = evaluation["protocol"], evaluation["coverage"]
    lines = [
        f"Protocol {protocol['name']} ({protocol['sha256'][:12]}): {protocol['num_cases']:,} "
        f"cases, {coverage['played']:,} episodes of {len(evaluation['policies'])} policies"
    ]
    lines += _coverage_lines(coverage)
    for policy, gates in evaluation["gates"].items():
        lines += [
            "",
            *wrapped("", f"{policy}: {evaluation['verdict'][policy]['text']}"),
        ]
        for gate in gates:
            lines += wrapped(
                f"  {STATUS_MARKS[gate['status']]}  ", f"{gate['name']}: {gate['text']}"
            )
            lines += _cases_line(gate["case_ids"])
    lines += ["", f"Result: {evaluation['result']}"]
    return "\n".join(lines)


def failures(evaluation: Json) -> list[str]:
    """Return what failed an evaluation: gates, and cells with too few episodes."""
    failed = [
        f"{policy}: {gate['name']}"
        for policy, gates in evaluation["gates"].items()
        for gate in gates
        if gate["status"] == "fail"
    ]
    if evaluation["coverage"]["shortfalls"]:
        failed.append("coverage")
    return failed


def _coverage_lines(coverage: Json) -> list[str]:
    """Return the lines that say what does not count, and which cells it leaves too small."""
    lines: list[str] = []
    missing = [entry for entry in coverage["not_realised"] if not entry["is_counted"]]
    if missing:
        lines += wrapped(
            "  ", f"{len(missing)} episodes whose hazard did not happen as asked: not counted"
        )
        reasons = [
            f"{entry['case_id']} ({entry['policy']}, {entry['radio_preset']}): "
            f"{entry['hazard_failure']}"
            for entry in missing[:_NAMED]
        ]
        lines += [line for reason in reasons for line in wrapped("    ", reason)]
    if coverage["shortfalls"]:
        lines.append(
            f"  FAIL  coverage: {len(coverage['shortfalls'])} of {coverage['num_cells']} cells "
            "have fewer counted episodes than planned"
        )
    return lines


def _cases_line(case_ids: Sequence[str]) -> list[str]:
    """Return a line that names the cases behind a gate's result."""
    if not case_ids:
        return []
    more = len(case_ids) - _NAMED
    rest = f" and {more} more" if more > 0 else ""
    return wrapped("        ", f"cases: {', '.join(case_ids[:_NAMED])}{rest}")
