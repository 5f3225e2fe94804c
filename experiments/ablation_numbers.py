"""From counts of each variant, seed, threshold and condition to means over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.ablation_plan import BASE, Condition
from ml.evaluation.seed_statistics import interquartile_mean
from ml.evaluation.verdict import has_collided, is_counted

Json = dict[str, Any]
FAMILIES = ("H", "M", "C")
_ALARMS = "false_alarms_3mps2"


def counts_of(rows: Sequence[Json]) -> Json:
    """Return what a policy did, by family.

    Args:
        rows: Of one policy, threshold and condition.

    Returns:
        `cases` and `collisions` of H and M; of C also `hours` and `false_alarms`.
    """
    counts: Json = {}
    for family in FAMILIES:
        group = [row for row in rows if row["family"] == family and is_counted(row)]
        counts[family] = {"cases": len(group), "collisions": sum(map(has_collided, group))}
    calm = [row for row in rows if row["family"] == "C" and is_counted(row)]
    counts["C"]["hours"] = sum(row["duration_s"] for row in calm) / 3600.0
    counts["C"]["false_alarms"] = sum(row[_ALARMS] for row in calm)
    return counts


def value_of(record: Json, family: str) -> float:
    """Return the share that collided in H or M, or the false alarms per hour in C."""
    counts = record[family]
    if family == "C":
        return float(counts["false_alarms"] / counts["hours"])
    return float(counts["collisions"] / counts["cases"])


def by_seed(
    records: Sequence[Json], variant: str, threshold_mps2: float, condition: Condition
) -> dict[int, Json]:
    """Return a variant's records under one condition, in the order of the seeds."""
    found = {
        record["seed"]: record
        for record in records
        if record["variant"] == variant
        and record["threshold_mps2"] == threshold_mps2
        and Condition(record["radio_preset"], record["num_peers"]) == condition
    }
    return dict(sorted(found.items()))


def summary_of(seeds: Mapping[int, Json], family: str) -> Json:
    """Return the mean over the seeds with its interval, and the worst seed by its number.

    Args:
        seeds: Records by seed, at least one.
        family: H, M or C.
    """
    return _summarised({seed: value_of(record, family) for seed, record in seeds.items()})


def difference_of(
    records: Sequence[Json],
    variant: str,
    threshold_mps2: float,
    condition: Condition,
    family: str,
) -> Json | None:
    """Return a variant minus the base, seed by seed, summarised; None without a common seed."""
    mine = by_seed(records, variant, threshold_mps2, condition)
    base = by_seed(records, BASE, threshold_mps2, condition)
    differences = {
        seed: value_of(mine[seed], family) - value_of(base[seed], family)
        for seed in mine
        if seed in base
    }
    return _summarised(differences) if differences else None


def _summarised(values: Mapping[int, float]) -> Json:
    """Return mean, 95 % t interval and worst seed of one value a seed.

    Nothing is trimmed: of three seeds the interquartile mean would keep all three, and its interval
    be twice as wide.
    """
    mean = interquartile_mean(list(values.values()), trim=0.0)
    worst_seed = max(values, key=lambda seed: values[seed])
    return {
        "mean": mean.value,
        "interval_95": None if mean.interval is None else list(mean.interval),
        "worst": values[worst_seed],
        "worst_seed": worst_seed,
        "values": list(values.values()),
        "seeds": list(values),
    }
