"""From episode records to rates with intervals, paired comparisons and a verdict.

Everything here is a pure function of the saved records, so an old run can be judged again.

What counts: a calm episode always; an episode with a hazard if the hazard happened as asked, or
if the ego collided all the same (a collision that ended the episode before its hazard must not
vanish). The others are reported as not realised and enter no rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.statistics import (
    clopper_pearson,
    lower_bound,
    mcnemar_exact,
    paired_difference_interval,
    poisson_rate_interval,
    upper_bound,
)
from ml.types import MAX_PEERS

Json = dict[str, Any]
Status = Literal["pass", "fail", "open"]
Key = TypeVar("Key")

HAZARD_KINDS = ("hard_stop", "hard_resolve", "benign")
HARD_KINDS = ("hard_stop", "hard_resolve")
COMPARED_BASELINES = ("driver", "eebl")
"""Those that a policy's collisions are compared with, pair by pair."""
HARD_HALF_DECELERATION_MPS2 = 6.4
"""The hard half: stops with at least this deceleration, the middle of U(3, 9.8)."""

MIN_NULL_COLLISION_RATE = 0.95
MAX_ORACLE_COLLISION_RATE = 0.02
MIN_HARD_HALF_EPISODES = 50
"""One collision in fewer episodes than these is already more than 2 %."""

MAX_FALSE_ALARMS_PER_HOUR = 10.0
FALSE_ALARM_LEVEL_MPS2 = 3
ALARM_LEVELS_MPS2 = (1, 3, 5)
NO_DIFFERENCE = "no difference shown"
SIGNIFICANCE = 0.05
_NAMED_BUCKETS = 6
_SECONDS_PER_HOUR = 3600.0


class Finding(NamedTuple):
    """One reason for a verdict.

    Attributes:
        status: Whether it speaks for the policy, against it, or leaves the matter open.
        text: The reason in words.
    """

    status: Status
    text: str


def has_collided(record: EpisodeRecord) -> bool:
    """Return whether the ego touched another car."""
    return bool(record.get("collision", record.get("terminated", False)))


def has_realised_hazard(record: EpisodeRecord) -> bool:
    """Return whether there was a hazard and it happened as asked."""
    return record.get("hazard_kind") in HAZARD_KINDS and bool(record.get("hazard_is_realised"))


def is_realised(record: EpisodeRecord) -> bool:
    """Return whether the episode went as planned: no hazard, or one that happened as asked."""
    return record.get("hazard_kind") not in HAZARD_KINDS or bool(record.get("hazard_is_realised"))


def is_counted(record: EpisodeRecord) -> bool:
    """Return whether the episode enters the rates."""
    return is_realised(record) or has_collided(record)


def is_in_hard_half(record: EpisodeRecord) -> bool:
    """Return whether the episode asked for a hard stop at 6.4 m/s^2 or more."""
    deceleration_mps2 = record.get("hazard_requested_deceleration_mps2") or 0.0
    return bool(
        record.get("hazard_kind") == "hard_stop"
        and deceleration_mps2 >= HARD_HALF_DECELERATION_MPS2
    )


def summarise_collisions(records: Sequence[EpisodeRecord]) -> Json:
    """Return collision rates with exact 95 % intervals: overall, by kind, by (peers, rank)."""
    counted = [record for record in records if is_counted(record)]
    by_kind = grouped(counted, lambda record: str(record.get("hazard_kind", "unknown")))
    by_bucket = grouped([record for record in counted if _rank(record) > 0], _bucket)
    return {
        "num_episodes": len(records),
        "num_not_realised": len(records) - len(counted),
        "all": collision_rate(counted),
        "by_hazard_kind": {kind: collision_rate(by_kind[kind]) for kind in sorted(by_kind)},
        "by_num_peers_and_rank": [
            {
                "num_peers": bucket[0],
                "hazard_source_rank": bucket[1],
                **collision_rate(by_bucket[bucket]),
            }
            for bucket in sorted(by_bucket)
        ],
    }


def collision_rate(records: Sequence[EpisodeRecord]) -> Json:
    """Return episodes, collisions, their rate and its exact 95 % interval (null if no episode)."""
    collisions = sum(map(has_collided, records))
    entry: Json = {"episodes": len(records), "collisions": collisions}
    if not records:
        return {**entry, "collision_rate": None, "interval_95": None}
    interval = clopper_pearson(collisions, len(records))
    return {
        **entry,
        "collision_rate": collisions / len(records),
        "interval_95": list(interval),
    }


def summarise_alarms(records: Sequence[EpisodeRecord]) -> Json:
    """Return false alarms per hour at each level, over all episodes and over those without danger.

    Calm traffic and benign braking need no intervention, so every alarm there is false.
    """
    quiet = [record for record in records if record.get("hazard_kind") not in HARD_KINDS]
    return {"all": _alarm_rates(records), "calm_and_benign": _alarm_rates(quiet)}


def _alarm_rates(records: Sequence[EpisodeRecord]) -> Json:
    """Return hours of traffic and, per level, count, rate and exact 95 % interval."""
    duration_s = sum(float(record.get("duration_s") or 0.0) for record in records)
    hours = duration_s / _SECONDS_PER_HOUR
    rates: Json = {"hours": hours}
    for level in ALARM_LEVELS_MPS2:
        name = f"false_alarms_{level}mps2"
        count = sum(int(record.get(name) or 0) for record in records)
        is_known = hours > 0.0 and all(name in record for record in records)
        rates[name] = {
            "count": count,
            "per_hour": count / hours if is_known else None,
            "interval_95": list(poisson_rate_interval(count, hours)) if is_known else None,
        }
    return rates


def compare_collisions(
    records: Sequence[EpisodeRecord], baseline: Sequence[EpisodeRecord], name: str
) -> Json:
    """Compare two policies on the same episodes, pair by pair.

    A difference is called shown if the exact McNemar test and Tango's interval both show it.

    Args:
        records: Records of the policy.
        baseline: Records of the baseline, in the same order.
        name: What the conclusion calls the baseline.

    Returns:
        Counts, difference (policy minus baseline), its interval, p and the conclusion in words.
    """
    pairs = [
        (has_collided(mine), has_collided(other))
        for mine, other in zip(records, baseline, strict=True)
        if (is_realised(mine) and is_realised(other)) or has_collided(mine) or has_collided(other)
    ]
    policy_only = sum(mine and not other for mine, other in pairs)
    baseline_only = sum(other and not mine for mine, other in pairs)
    entry: Json = {
        "pairs": len(pairs),
        "policy_collisions": sum(mine for mine, _ in pairs),
        "baseline_collisions": sum(other for _, other in pairs),
        "policy_only": policy_only,
        "baseline_only": baseline_only,
        "mcnemar_p": mcnemar_exact(policy_only, baseline_only),
    }
    if not pairs:
        return {
            **entry,
            "difference": None,
            "interval_95": None,
            "conclusion": NO_DIFFERENCE,
        }
    interval = paired_difference_interval(policy_only, baseline_only, len(pairs))
    is_shown = entry["mcnemar_p"] <= SIGNIFICANCE and not interval.low <= 0.0 <= interval.high
    direction = "fewer" if policy_only < baseline_only else "more"
    return {
        **entry,
        "difference": (policy_only - baseline_only) / len(pairs),
        "interval_95": list(interval),
        "conclusion": f"{direction} collisions than {name}" if is_shown else NO_DIFFERENCE,
    }


def build_report(
    records: Sequence[EpisodeRecord], baselines: Mapping[str, Sequence[EpisodeRecord]]
) -> Json:
    """Return what the evaluation adds to metrics.json.

    Args:
        records: Records of the policy.
        baselines: Records of each baseline on the same episodes; may be empty.

    Returns:
        The objects `episodes`, `alarms`, `baselines` and `verdict`.
    """
    return {
        "episodes": summarise_collisions(records),
        "alarms": summarise_alarms(records),
        "baselines": summarise_policies(baselines),
        "verdict": judge(records, baselines),
    }


def summarise_policies(records: Mapping[str, Sequence[EpisodeRecord]]) -> Json:
    """Return each policy's `episodes` and `alarms`, by its name."""
    return {
        name: {"episodes": summarise_collisions(rows), "alarms": summarise_alarms(rows)}
        for name, rows in records.items()
    }


def judge(
    records: Sequence[EpisodeRecord], baselines: Mapping[str, Sequence[EpisodeRecord]]
) -> Json:
    """Return the verdict: FAIL if any finding is against the policy, PASS if none is open."""
    canary = {
        "null": _canary(baselines.get("null", ()), is_realised, MIN_NULL_COLLISION_RATE),
        "oracle": _canary(baselines.get("oracle", ()), is_counted, MAX_ORACLE_COLLISION_RATE),
    }
    comparisons = {
        name: compare_collisions(records, baselines[name], f"the {name}")
        for name in COMPARED_BASELINES
        if name in baselines
    }
    uncovered = uncovered_buckets(records)
    findings = [
        _null_finding(canary["null"]),
        _oracle_finding(canary["oracle"]),
        _coverage_finding(uncovered),
        _driver_finding(comparisons.get("driver")),
        _alarm_finding(summarise_alarms(records)["calm_and_benign"]),
    ]
    statuses = {finding.status for finding in findings}
    result = "FAIL" if "fail" in statuses else "INCONCLUSIVE" if "open" in statuses else "PASS"
    return {
        "result": result,
        "reasons": [f"{finding.status}: {finding.text}" for finding in findings],
        "canary": canary,
        "comparisons": comparisons,
        "uncovered_buckets": [list(bucket) for bucket in uncovered],
    }


def uncovered_buckets(records: Sequence[EpisodeRecord]) -> list[tuple[int, int]]:
    """Return the (peers, rank of the braking car) without any counted hard hazard."""
    covered = {
        _bucket(record)
        for record in records
        if record.get("hazard_kind") in HARD_KINDS and is_counted(record)
    }
    planned = [(n, rank) for n in range(1, MAX_PEERS + 1) for rank in range(1, n + 1)]
    return [bucket for bucket in planned if bucket not in covered]


def _canary(
    records: Sequence[EpisodeRecord], counts: Callable[[EpisodeRecord], bool], limit: float
) -> Json:
    """Return the collision rate on the hard half, and the limit it must keep."""
    hard_half = [record for record in records if is_in_hard_half(record) and counts(record)]
    return {**collision_rate(hard_half), "limit": limit}


def _null_finding(canary: Json) -> Finding:
    """Judge that the ego that never brakes crashes: the simulator and the metric are alive."""
    episodes, collisions = canary["episodes"], canary["collisions"]
    text = (
        f"an ego that never brakes crashed in {collisions} of {episodes} hard stops "
        f"(at least {MIN_NULL_COLLISION_RATE:.0%} must)"
    )
    if episodes >= MIN_HARD_HALF_EPISODES:
        return Finding("pass" if collisions / episodes >= MIN_NULL_COLLISION_RATE else "fail", text)
    if episodes and upper_bound(collisions, episodes) < MIN_NULL_COLLISION_RATE:
        return Finding("fail", text)
    return Finding("open", f"{text}; too few episodes, {MIN_HARD_HALF_EPISODES} are needed")


def _oracle_finding(canary: Json) -> Finding:
    """Judge that full information avoids nearly every crash: the hazards can be survived."""
    episodes, collisions = canary["episodes"], canary["collisions"]
    text = (
        f"the oracle crashed in {collisions} of {episodes} hard stops "
        f"(at most {MAX_ORACLE_COLLISION_RATE:.0%} may)"
    )
    if episodes >= MIN_HARD_HALF_EPISODES:
        is_kept = collisions / episodes <= MAX_ORACLE_COLLISION_RATE
        return Finding("pass" if is_kept else "fail", text)
    if episodes and lower_bound(collisions, episodes) > MAX_ORACLE_COLLISION_RATE:
        return Finding("fail", text)
    return Finding("open", f"{text}; too few episodes, {MIN_HARD_HALF_EPISODES} are needed")


def _coverage_finding(uncovered: Sequence[tuple[int, int]]) -> Finding:
    """Judge that every number of peers met a hard hazard at every rank."""
    if not uncovered:
        return Finding("pass", "hard hazards cover every (peers, rank)")
    names = ", ".join(f"({n}, {rank})" for n, rank in uncovered[:_NAMED_BUCKETS])
    more = len(uncovered) - _NAMED_BUCKETS
    rest = f" and {more} more" if more > 0 else ""
    return Finding("open", f"no hard hazard happened at (peers, rank) {names}{rest}")


def _driver_finding(comparison: Json | None) -> Finding:
    """Judge the policy against the human driver alone."""
    if comparison is None:
        return Finding("open", "the driver alone was not run, so there is nothing to compare with")
    text = (
        f"{comparison['conclusion']}: policy {comparison['policy_collisions']}, driver alone "
        f"{comparison['baseline_collisions']} of {comparison['pairs']} episodes "
        f"(exact McNemar p = {comparison['mcnemar_p']:.2g})"
    )
    if comparison["conclusion"] == NO_DIFFERENCE:
        return Finding("open", text)
    is_better = comparison["policy_only"] < comparison["baseline_only"]
    return Finding("pass" if is_better else "fail", text)


def _alarm_finding(rates: Json) -> Finding:
    """Judge that safety was not bought by braking for nothing."""
    rate = rates[f"false_alarms_{FALSE_ALARM_LEVEL_MPS2}mps2"]
    limit = f"at most {MAX_FALSE_ALARMS_PER_HOUR:g} per hour may be"
    if rate["per_hour"] is None:
        return Finding("open", f"no calm traffic was recorded to count false alarms in ({limit})")
    low, high = rate["interval_95"]
    text = (
        f"{rate['per_hour']:.1f} false alarms per hour (95 % interval {low:.1f} to {high:.1f}, "
        f"{rates['hours']:.2f} h of calm traffic; {limit})"
    )
    if low > MAX_FALSE_ALARMS_PER_HOUR:
        return Finding("fail", text)
    return Finding("pass" if high <= MAX_FALSE_ALARMS_PER_HOUR else "open", text)


def _rank(record: EpisodeRecord) -> int:
    """Return the rank of the braking car, 0 where there is none."""
    return int(record.get("hazard_source_rank") or 0)


def _bucket(record: EpisodeRecord) -> tuple[int, int]:
    """Return (number of peers, rank of the braking car)."""
    return int(record.get("num_peers") or 0), _rank(record)


def grouped(
    records: Sequence[EpisodeRecord], key: Callable[[EpisodeRecord], Key]
) -> dict[Key, list[EpisodeRecord]]:
    """Return the records by key."""
    groups: dict[Key, list[EpisodeRecord]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups
