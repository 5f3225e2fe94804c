"""The checks that gates are made of: one statement each, judged from counts and bounds.

A check passes or fails only where the counts decide it; otherwise it is open. What counts as an
episode is what ``ml.evaluation.verdict`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.gate_limits import GateLimits
from ml.evaluation.matched_rows import RowsByPolicy, case_ids, matched, rows_of
from ml.evaluation.statistics import lower_bound, paired_difference_interval, upper_bound
from ml.evaluation.verdict import (
    MIN_HARD_HALF_EPISODES,
    Json,
    Status,
    compare_collisions,
    grouped,
    has_collided,
    is_counted,
    is_realised,
)

RADIO_OFF_PRESET = "radio_off"
"""Name of the radio preset under which nothing is ever received."""

HAZARD_FAMILIES = ("H", "D", "N", "M")
"""Where a car ahead brakes and nothing else is wrong; calm traffic would only dilute a rate."""

FLOOR_FAMILIES = ("D", "N", "H")
FLOOR_REFERENCES = ("aeb", "r157")
SAVED_OVER = {"driver": ("H", "M"), "eebl": ("H", "M"), "aeb": ("M",)}
"""Whom the policy must beat, and in which families; a perfect-sight AEB leaves nothing in H."""


@dataclass(frozen=True)
class Check:
    """One statement of a gate.

    Attributes:
        name: What is judged.
        radio_preset: The radio preset that it was judged under.
        status: pass, fail, or open where there are too few episodes to say.
        text: The reason in words, with counts and bounds.
        numbers: Those counts and bounds.
        case_ids: The cases behind a failure.
    """

    name: str
    radio_preset: str
    status: Status
    text: str
    numbers: Mapping[str, object] = field(default_factory=dict)
    case_ids: Sequence[str] = ()

    def as_json(self) -> Json:
        """Return the check as it is saved."""
        return {
            "name": self.name, "radio_preset": self.radio_preset, "status": self.status,
            "text": self.text, **self.numbers, "case_ids": list(self.case_ids),
        }  # fmt: skip


def worst_status(statuses: Iterable[Status]) -> Status:
    """Return fail if any failed, else open if any is open or there is none, else pass."""
    found = set(statuses)
    if "fail" in found:
        return "fail"
    return "pass" if found == {"pass"} else "open"


def null_check(rows_by_policy: RowsByPolicy, preset: str, limits: GateLimits) -> Check:
    """Judge that the ego that never brakes crashes: the simulator and the metric are alive."""
    rows = [row for row in _hard_half(rows_by_policy, "null", preset, limits) if is_realised(row)]
    limit = limits.min_null_collision_rate
    collisions = sum(map(has_collided, rows))
    text = (
        f"an ego that never brakes crashed in {collisions} of {len(rows)} hard stops "
        f"(at least {limit:.0%} must)"
    )
    is_kept = bool(rows) and collisions / len(rows) >= limit
    is_broken = bool(rows) and upper_bound(collisions, len(rows), limits.confidence) < limit
    unhurt = case_ids([row for row in rows if not has_collided(row)])
    return _canary("null", preset, text, rows, (is_kept, is_broken), unhurt)


def oracle_check(rows_by_policy: RowsByPolicy, preset: str, limits: GateLimits) -> Check:
    """Judge that full information avoids nearly every crash: the hazards can be survived."""
    rows = [row for row in _hard_half(rows_by_policy, "oracle", preset, limits) if is_counted(row)]
    limit = limits.max_oracle_collision_rate
    collisions = sum(map(has_collided, rows))
    text = f"the oracle crashed in {collisions} of {len(rows)} hard stops (at most {limit:.0%} may)"
    is_kept = bool(rows) and collisions / len(rows) <= limit
    is_broken = bool(rows) and lower_bound(collisions, len(rows), limits.confidence) > limit
    crashed = case_ids([row for row in rows if has_collided(row)])
    return _canary("oracle", preset, text, rows, (is_kept, is_broken), crashed)


def _hard_half(
    rows_by_policy: RowsByPolicy, policy: str, preset: str, limits: GateLimits
) -> list[EpisodeRecord]:
    """Return a policy's rows in the hard half of H."""
    least = limits.hard_half_deceleration_mps2
    return [
        row
        for row in rows_of(rows_by_policy, policy, preset, ("H",))
        if row.get("hazard_kind") == "hard_stop"
        and (row.get("hazard_requested_deceleration_mps2") or 0.0) >= least
    ]


def _canary(
    name: str,
    preset: str,
    text: str,
    rows: Sequence[EpisodeRecord],
    outcome: tuple[bool, bool],
    offenders: Sequence[str],
) -> Check:
    """Judge by the observed rate from 50 episodes on; fewer can only fail, by their bound."""
    is_kept, is_broken = outcome
    is_enough = len(rows) >= MIN_HARD_HALF_EPISODES
    status: Status = "open"
    if is_enough:
        status = "pass" if is_kept else "fail"
    elif is_broken:
        status = "fail"
    if status == "open":
        text = f"{text}; too few episodes, {MIN_HARD_HALF_EPISODES} are needed"
    numbers = {"episodes": len(rows), "collisions": sum(map(has_collided, rows))}
    return Check(name, preset, status, text, numbers, offenders if status == "fail" else ())


def floor_check(
    rows_by_policy: RowsByPolicy, policy: str, preset: str, limits: GateLimits
) -> Check:
    """Judge that the policy crashes in next to none of the cases that can be avoided without it.

    Those are the cases of D, N and H with fresh state of the braking car at its onset that the
    no-radio AEB or the R157 driver avoids.
    """
    preventable = _avoided_cases(rows_by_policy, preset)
    rows = [
        row
        for row in rows_of(rows_by_policy, policy, preset, FLOOR_FAMILIES)
        if row["case_id"] in preventable and is_counted(row) and _is_fresh(row, limits)
    ]
    limit, confidence = limits.max_floor_crash_rate, limits.confidence
    crashes = [row for row in rows if has_collided(row)]
    condition = f"age at the onset at most {1000.0 * limits.max_floor_age_s:.0f} ms"
    if not rows:
        text = f"no case of D, N or H that aeb or r157 avoids, {condition}, was run"
        return Check("preventable", preset, "open", text, {"episodes": 0, "collisions": 0})
    bound = upper_bound(len(crashes), len(rows), confidence)
    least = lower_bound(len(crashes), len(rows), confidence)
    status: Status = "pass" if bound <= limit else "fail" if least > limit else "open"
    text = (
        f"{len(crashes)} crashes in {len(rows)} cases of D, N and H that aeb or r157 avoids, "
        f"{condition}: at most {bound:.2%} with {confidence:.0%} confidence (limit {limit:.1%})"
        + ("; too few episodes to say" if status == "open" else "")
    )
    families = grouped(rows, lambda row: str(row["family"]))
    numbers = {
        "episodes": len(rows),
        "collisions": len(crashes),
        "lower_bound": least,
        "upper_bound": bound,
        "by_family": {
            family: {"episodes": len(group), "collisions": sum(map(has_collided, group))}
            for family, group in sorted(families.items())
        },
    }
    return Check("preventable", preset, status, text, numbers, case_ids(crashes))


def _avoided_cases(rows_by_policy: RowsByPolicy, preset: str) -> set[str]:
    """Return the cases that a reference without radio met as planned, and without a collision."""
    return {
        row["case_id"]
        for reference in FLOOR_REFERENCES
        for row in rows_of(rows_by_policy, reference, preset, FLOOR_FAMILIES)
        if is_realised(row) and not has_collided(row)
    }


def _is_fresh(row: EpisodeRecord, limits: GateLimits) -> bool:
    """Return whether the ego's board held fresh state of the braking car at the onset."""
    age_s = row.get("age_at_onset_s")
    return age_s is not None and age_s <= limits.max_floor_age_s


def radio_off_check(rows_by_policy: RowsByPolicy, policy: str, limits: GateLimits) -> Check:
    """Judge that the policy without any reception is hardly worse than the driver alone.

    The bound of the paired difference is the upper limit of Tango's interval whose tails hold
    ``1 - confidence`` each.
    """
    rows, others = matched(
        *(
            rows_of(rows_by_policy, name, RADIO_OFF_PRESET, HAZARD_FAMILIES)
            for name in (policy, "driver")
        )
    )
    comparison = compare_collisions(rows, others, "the driver")
    limit, pairs = limits.max_radio_off_excess, comparison["pairs"]
    if pairs == 0:
        text = "no hazard with the radio off was run by both the policy and the driver alone"
        return Check("radio off", RADIO_OFF_PRESET, "open", text, comparison)
    alone = comparison["policy_only"], comparison["baseline_only"]
    least, most = paired_difference_interval(*alone, pairs, 2.0 * limits.confidence - 1.0)
    status: Status = "pass" if most <= limit else "fail" if least > limit else "open"
    text = (
        f"radio off: policy {comparison['policy_collisions']}, driver alone "
        f"{comparison['baseline_collisions']} crashes in {pairs} episodes, at most "
        f"{100.0 * most:.2f} points more with {limits.confidence:.0%} confidence "
        f"(limit {100.0 * limit:g})" + ("; too few episodes to say" if status == "open" else "")
    )
    numbers = {**comparison, "lower_bound": least, "upper_bound": most}
    crashed = crashed_alone(rows, others) if status == "fail" else []
    return Check("radio off", RADIO_OFF_PRESET, status, text, numbers, crashed)


def crashed_alone(rows: Sequence[EpisodeRecord], others: Sequence[EpisodeRecord]) -> list[str]:
    """Return the cases in which the first of two policies crashed and the second did not."""
    pairs = zip(rows, others, strict=True)
    return case_ids(
        [mine for mine, other in pairs if has_collided(mine) and not has_collided(other)]
    )
