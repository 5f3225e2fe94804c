"""The five gates that a policy has to pass, in their order.

1. canary: the simulator is alive, the hazards can be survived.
2. safety floor: what a car without radio avoids, the policy avoids.
3. extra saves: fewer collisions than the driver alone, than the V2V rule, and than the AEB in M.
4. operating curve: fewer collisions than the V2V rule at the same false alarms per hour.
5. radio off: not worse than the driver alone when nothing is received.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ml.evaluation.gate_checks import (
    SAVED_OVER,
    Check,
    crashed_alone,
    floor_check,
    null_check,
    oracle_check,
    radio_off_check,
    worst_status,
)
from ml.evaluation.gate_limits import GateLimits
from ml.evaluation.matched_rows import RowsByPolicy, matched, rows_of
from ml.evaluation.operating_curve import (
    COLLISION_FAMILIES,
    compare_at_alarm_rate,
    is_measured,
    operating_curve,
)
from ml.evaluation.seed_statistics import holm
from ml.evaluation.verdict import (
    NO_DIFFERENCE,
    SIGNIFICANCE,
    Json,
    Status,
    compare_collisions,
)

NETWORK_THRESHOLD_MPS2 = 0.0
"""A network without a threshold in its id acts on every demand."""

_FINDINGS: dict[Status, str] = {
    "pass": "fewer collisions than",
    "fail": "more collisions than",
    "open": f"{NO_DIFFERENCE} to",
}


class Gate(NamedTuple):
    """One gate's result.

    Attributes:
        name: Its name.
        checks: What it was judged by.
    """

    name: str
    checks: Sequence[Check]

    def as_json(self) -> Json:
        """Return the gate as it is saved: name, status, text, checks and case ids."""
        checks = self.checks
        status = worst_status(check.status for check in checks)
        deciding = [check for check in checks if check.status == status]
        text = "; ".join(f"{check.radio_preset}: {check.text}" for check in deciding)
        return {
            "name": self.name,
            "status": status,
            "text": text or "nothing was run that it could be judged by",
            "checks": [check.as_json() for check in checks],
            "case_ids": sorted({case for check in checks for case in check.case_ids}),
        }


def judge_gates(
    rows_by_policy: RowsByPolicy,
    limits: GateLimits,
    policy: str,
    *,
    radio_presets: Sequence[str] = ("nominal", "roof"),
) -> list[Json]:
    """Judge one policy by the five gates.

    Args:
        rows_by_policy: The rows of every policy, baselines and variants with another threshold
            (``<policy>@<threshold>``) included.
        limits: The protocol's thresholds.
        policy: The id of the policy to judge.
        radio_presets: The presets of the gates; each must hold under every one of them.

    Returns:
        For each gate: name, status (pass, fail, open), text, checks with their counts and bounds,
        and the case ids behind a failure. Crashes against the safety floor are always listed.
    """
    gates = [
        Gate(
            "canary",
            [
                check(rows_by_policy, preset, limits)
                for preset in radio_presets
                for check in (null_check, oracle_check)
            ],
        ),
        Gate("safety floor", _floor_checks(rows_by_policy, policy, radio_presets, limits)),
        Gate(
            "extra saves",
            [
                check
                for preset in radio_presets
                for check in saves_checks(rows_by_policy, policy, preset)
            ],
        ),
        Gate(
            "operating curve",
            [
                check
                for preset in radio_presets
                for check in _curve_checks(rows_by_policy, policy, preset, limits)
            ],
        ),
        Gate("radio off", [radio_off_check(rows_by_policy, policy, limits)]),
    ]
    return [gate.as_json() for gate in gates]


def _floor_checks(
    rows_by_policy: RowsByPolicy, policy: str, presets: Sequence[str], limits: GateLimits
) -> list[Check]:
    """Judge the safety floor where it applies.

    A board whose sensors are slow has no state as fresh as the floor asks for; where another preset
    has such cases, such a preset is named and does not hold the gate open.
    """
    checks = [floor_check(rows_by_policy, policy, preset, limits) for preset in presets]
    judged = [check for check in checks if check.numbers["episodes"]]
    left_out = [check.radio_preset for check in checks if not check.numbers["episodes"]]
    if not judged or not left_out:
        return checks
    note = f"; no case as fresh under {', '.join(left_out)}"
    return [replace(judged[0], text=judged[0].text + note), *judged[1:]]


def saves_checks(rows_by_policy: RowsByPolicy, policy: str, preset: str) -> list[Check]:
    """Judge that the policy collides less often than each baseline, Holm's p over its families."""
    checks = []
    for baseline, families in SAVED_OVER.items():
        pairs = [
            matched(*(rows_of(rows_by_policy, name, preset, family) for name in (policy, baseline)))
            for family in families
        ]
        comparisons = [compare_collisions(*pair, baseline) for pair in pairs]
        adjusted = holm([comparison["mcnemar_p"] for comparison in comparisons])
        for family, pair, comparison, p in zip(families, pairs, comparisons, adjusted, strict=True):
            name = f"fewer collisions than {baseline} in {family}"
            checks.append(_saves_check(name, preset, {**comparison, "holm_p": p}, pair))
    return checks


def _saves_check(
    name: str, preset: str, comparison: Json, pair: tuple[Sequence[Json], Sequence[Json]]
) -> Check:
    """Judge one paired comparison: fewer passes, more fails, anything else is open."""
    baseline = name.removeprefix("fewer collisions than ")
    if comparison["pairs"] == 0:
        return Check(name, preset, "open", f"nothing to compare with {baseline}", comparison)
    status = comparison_status(comparison)
    low, high = comparison["interval_95"]
    text = (
        f"{_FINDINGS[status]} {baseline} ({comparison['policy_collisions']} against "
        f"{comparison['baseline_collisions']} in {comparison['pairs']} episodes, difference "
        f"{100.0 * low:+.2f} to {100.0 * high:+.2f} points, p = {comparison['holm_p']:.2g})"
    )
    crashed = crashed_alone(*pair) if status == "fail" else []
    return Check(name, preset, status, text, comparison, crashed)


def comparison_status(comparison: Json) -> Status:
    """Return pass for fewer collisions than the baseline, fail for more, open for neither.

    A difference is shown if the interval leaves out 0 and the p-value, Holm's where there is one,
    is at most 0.05.
    """
    p = comparison["holm_p" if "holm_p" in comparison else "mcnemar_p"]
    if comparison["interval_95"] is None or p > SIGNIFICANCE:
        return "open"
    low, high = map(float, comparison["interval_95"])
    return "pass" if high < 0.0 else "fail" if low > 0.0 else "open"


def _curve_checks(
    rows_by_policy: RowsByPolicy, policy: str, preset: str, limits: GateLimits
) -> list[Check]:
    """Judge that the policy's curve is below the V2V rule's at each rate of false alarms."""
    curves = (
        operating_curve(rows_by_policy, policy, preset, bare_mps2=NETWORK_THRESHOLD_MPS2),
        operating_curve(rows_by_policy, "eebl", preset),
    )
    compared = [
        compare_at_alarm_rate(rows_by_policy, curves, rate) for rate in limits.alarms_per_hour
    ]
    p_values = [
        1.0 if entry["comparison"] is None else entry["comparison"]["mcnemar_p"]
        for entry in compared
    ]
    entries = [{**entry, "holm_p": p} for entry, p in zip(compared, holm(p_values), strict=True)]
    return [
        _missing_point_check(curves, preset, entry) or _curve_check(rows_by_policy, preset, entry)
        for entry in entries
    ]


def _missing_point_check(
    curves: tuple[list[Json], list[Json]], preset: str, entry: Json
) -> Check | None:
    """Judge two curves of which one has no point at this rate, None if both have one."""
    name, rate = _curve_names(entry)
    status: Status = "open"
    if not all(map(is_measured, curves)):
        text = "no calm traffic was run by the policy and eebl to count false alarms in"
    elif entry["point"] is None:
        status, text = "fail", f"no threshold of the policy keeps to {rate}"
    elif entry["rival_point"] is None:
        text = f"no threshold of eebl keeps to {rate}, so there is nothing to compare with"
    elif entry["comparison"]["pairs"] == 0:
        text = "no case of H or M was run by both the policy and eebl"
    else:
        return None
    return Check(name, preset, status, text, entry)


def _curve_names(entry: Json) -> tuple[str, str]:
    """Return the name of a check of the operating curve, and its rate of alarms in words."""
    rate = f"{entry['alarms_per_hour']:g} false alarms per hour"
    return f"fewer collisions than eebl at {rate}", rate


def _curve_check(rows_by_policy: RowsByPolicy, preset: str, entry: Json) -> Check:
    """Judge two curves that both have a point at one rate of false alarms."""
    name, rate = _curve_names(entry)
    mine, rival, comparison = entry["point"], entry["rival_point"], entry["comparison"]
    status = comparison_status({**comparison, "holm_p": entry["holm_p"]})
    text = (
        f"{_FINDINGS[status]} eebl at {rate}: {comparison['policy_collisions']} "
        f"({mine['policy']}) against {comparison['baseline_collisions']} ({rival['policy']}) in "
        f"{comparison['pairs']} episodes of H and M, p = {entry['holm_p']:.2g}"
    )
    crashed: list[str] = []
    if status == "fail":
        rows = (
            rows_of(rows_by_policy, point["policy"], preset, COLLISION_FAMILIES)
            for point in (mine, rival)
        )
        crashed = crashed_alone(*matched(*rows))
    return Check(name, preset, status, text, entry, crashed)
