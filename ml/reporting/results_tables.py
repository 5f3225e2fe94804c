"""The tables of the page of results, in Markdown: collisions, false alarms, H rank 1, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from ml.reporting.evaluation_folder import FAMILIES
from ml.reporting.results_folder import Alarms, Collisions, SeedResults
from ml.reporting.results_gates import gates_of
from ml.reporting.results_numbers import (
    NONE,
    OverSeeds,
    alarms_text,
    code_text,
    collisions_text,
    count_range_text,
    markdown_table,
    number_over_seeds_text,
    over_seeds,
    plain,
    rates_over_seeds,
    ratio_text,
    share_over_seeds_text,
)

TARGET_RATIO = 0.2
"""In H with rank 1 a policy shall collide at most so often, of the driver's collisions."""

MEAN_ROW, WORST_ROW = "**seeds**, interquartile mean", "worst seed"
_Found = TypeVar("_Found")


def of_all_seeds(found: Mapping[str, _Found | None]) -> dict[str, _Found]:
    """Return what was found of every seed, nothing where it is missing of one."""
    known = {seed: value for seed, value in found.items() if value is not None}
    return known if len(known) == len(found) else {}


# --- Collisions by family, false alarms -----------------------------------------------------------


def families_section(results: SeedResults) -> list[str]:
    """Return a table of collisions for each radio preset, and the false alarms in C."""
    lines = ["## Collisions by family and radio preset", ""]
    for preset in results.presets:
        families = [family for family in FAMILIES if _has_family(results, family, preset)]
        columns = ["policy", *(f"{family}, {FAMILIES[family]}" for family in families)]
        lines += [f"Radio preset {code_text(preset)}, {use_of_preset(results, preset)}:", ""]
        lines += [*markdown_table(columns, _family_rows(results, families, preset)), ""]
    presets = [
        preset
        for preset in results.presets
        if any(results.alarms(policy, preset) for policy in results.baselines())
    ]
    columns = ["policy", *(f"radio {code_text(preset)}" for preset in presets)]
    lines += ["False alarms per hour in C, demands more than 3 m/s² beyond the driver's own:", ""]
    return [*lines, *markdown_table(columns, _alarm_rows(results, presets)), ""]


def use_of_preset(results: SeedResults, preset: str) -> str:
    """Return in words which gates look at a radio preset."""
    if preset in results.gate_presets:
        return "of the gates"
    names = dict.fromkeys(
        name
        for seed in results.seeds
        for name, gate in gates_of(results, seed).items()
        if any(check["radio_preset"] == preset for check in gate["checks"])
    )
    return f"of the gate {', '.join(map(plain, names))}" if names else "reported, in no gate"


def _has_family(results: SeedResults, family: str, preset: str) -> bool:
    """Return whether anyone played a family under a radio preset."""
    policies = [*results.baselines(), *results.seeds]
    return any(results.collisions(policy, family, preset) for policy in policies)


def _family_rows(results: SeedResults, families: Sequence[str], preset: str) -> list[Sequence[str]]:
    """Return the rows of one radio preset: baselines, mean over seeds, worst seed."""
    rows: list[Sequence[str]] = [
        [
            plain(policy),
            *(collisions_text(results.collisions(policy, family, preset)) for family in families),
        ]
        for policy in results.baselines()
    ]
    means, worst = [MEAN_ROW], [WORST_ROW]
    for family in families:
        counts = of_all_seeds(
            {seed: results.collisions(seed, family, preset) for seed in results.seeds}
        )
        mean = rates_over_seeds(counts)
        means.append(_mean_cell(counts, mean))
        worst.append(
            NONE if mean is None else _worst(mean, collisions_text(counts[mean.worst_seed]))
        )
    return [*rows, means, worst]


def _mean_cell(counts: Mapping[str, Collisions], mean: OverSeeds | None) -> str:
    """Return the share over seeds and the episodes of each."""
    if mean is None:
        return NONE
    episodes = count_range_text([count.episodes for count in counts.values()])
    return f"{episodes} each<br>{share_over_seeds_text(mean)}"


def _alarm_rows(results: SeedResults, presets: Sequence[str]) -> list[Sequence[str]]:
    """Return the rows of false alarms: baselines, mean over seeds, worst seed."""
    rows: list[Sequence[str]] = [
        [plain(policy), *(alarms_text(results.alarms(policy, preset)) for preset in presets)]
        for policy in results.baselines()
    ]
    means, worst = [MEAN_ROW], [WORST_ROW]
    for preset in presets:
        alarms = of_all_seeds({seed: results.alarms(seed, preset) for seed in results.seeds})
        mean = alarms_over_seeds(alarms)
        hours = "" if mean is None else f"{_hours_text(alarms)} each<br>"
        means.append(f"{hours}{number_over_seeds_text(mean)}")
        worst.append(NONE if mean is None else _worst(mean, alarms_text(alarms[mean.worst_seed])))
    return [*rows, means, worst]


def alarms_over_seeds(alarms: Mapping[str, Alarms]) -> OverSeeds | None:
    """Return the false alarms per hour over seeds."""
    return over_seeds({seed: entry.rate for seed, entry in alarms.items()})


def _hours_text(alarms: Mapping[str, Alarms]) -> str:
    """Return the hours of the seeds."""
    hours = [f"{entry.hours:.2f}" for entry in alarms.values()]
    return f"{' to '.join(dict.fromkeys((min(hours, key=float), max(hours, key=float))))} h"


def _worst(mean: OverSeeds, numbers: str) -> str:
    """Return the worst seed's cell."""
    return f"{plain(mean.worst_seed)}: {numbers}"


# --- H, rank 1 ------------------------------------------------------------------------------------


class RankOne(NamedTuple):
    """Collisions in H where the car directly ahead brakes, under one radio preset.

    Attributes:
        driver: Those of the driver alone.
        seeds: Those of each seed.
        share: The share of episodes over seeds.
        ratios: Each seed's share, divided by the driver's; empty where the driver has none.
        ratio: That over seeds; None where the driver has none.
    """

    driver: Collisions
    seeds: Mapping[str, Collisions]
    share: OverSeeds
    ratios: Mapping[str, float]
    ratio: OverSeeds | None

    @property
    def num_kept(self) -> int:
        """How many seeds keep to the target."""
        return sum(ratio <= TARGET_RATIO for ratio in self.ratios.values())


def rank_one(results: SeedResults, preset: str) -> RankOne | None:
    """Return the collisions at rank 1 under a radio preset, None where they were not run."""
    driver = results.collisions_at_rank("driver", 1, preset)
    seeds = of_all_seeds({seed: results.collisions_at_rank(seed, 1, preset)
                          for seed in results.seeds})  # fmt: skip
    share = rates_over_seeds(seeds)
    if driver is None or share is None:
        return None
    ratios = {
        seed: count.events * driver.episodes / (count.episodes * driver.events)
        for seed, count in seeds.items()
        if driver.events
    }
    return RankOne(driver, seeds, share, ratios, over_seeds(ratios))


def rank_one_section(results: SeedResults) -> list[str]:
    """Return each seed's collisions at rank 1 beside the driver's."""
    lines = [
        "## H, the car directly ahead brakes (rank 1)",
        "",
        f"Target: at most {TARGET_RATIO:g} of the driver's share of collisions. The ratio's "
        "interval is over seeds; the driver's share, the same for all of them, counts as known.",
        "",
    ]
    columns = ["radio", "seed", "collisions", "driver alone", "ratio to the driver", "target"]
    rows: list[Sequence[str]] = []
    for preset in results.gate_presets:
        found = rank_one(results, preset)
        if found is None:
            rows.append([code_text(preset), *[NONE] * 5])
            continue
        driver = collisions_text(found.driver)
        for seed, count in found.seeds.items():
            ratio = found.ratios.get(seed)
            rows.append([
                code_text(preset), plain(seed), collisions_text(count), driver,
                NONE if ratio is None else ratio_text(ratio),
                NONE if ratio is None else "kept" if ratio <= TARGET_RATIO else "missed",
            ])  # fmt: skip
        rows.append([
            code_text(preset), MEAN_ROW, _mean_cell(found.seeds, found.share), driver,
            ratio_over_seeds_text(found.ratio), _target_text(found),
        ])  # fmt: skip
    return [*lines, *markdown_table(columns, rows), ""]


def ratio_over_seeds_text(ratio: OverSeeds | None) -> str:
    """Return a ratio's interquartile mean with its t interval."""
    if ratio is None:
        return f"{NONE}, the driver has no collision"
    words = "no interval, seeds are equal"
    if ratio.interval is not None:
        words = " to ".join(map(ratio_text, ratio.interval))
    return f"{ratio_text(ratio.mean)} ({words})"


def _target_text(found: RankOne) -> str:
    """Return how many seeds keep to the target, and whether the interval does."""
    if found.ratio is None:
        return NONE
    words = ""
    if found.ratio.interval is not None:
        is_shown = found.ratio.interval.high <= TARGET_RATIO
        words = "<br>the interval keeps to it" if is_shown else "<br>the interval does not"
    return f"{found.num_kept} of {len(found.ratios)} seeds{words}"
