"""Recipes compared over their training seeds: each seed's value counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.evaluation.comparisons import METRICS, Metric, metric_value
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.matched_rows import rows_of
from ml.evaluation.seed_statistics import interquartile_difference, summarise_seeds
from ml.evaluation.verdict import NO_DIFFERENCE, Json, has_collided

SEED_METRICS = (
    Metric("collision_rate", lambda row: float(has_collided(row)), is_larger_worse=True),
    *METRICS,
)

Seeds = Mapping[str, Sequence[EpisodeRecord]]
"""The records of each seed's policy, by a name of the seed."""


def compare_recipes(recipes: Mapping[str, Seeds]) -> list[Json]:
    """Compare recipes by the interquartile means of their seeds.

    Args:
        recipes: The seeds of each recipe, all on the same cases; each but the first is compared
            with the first.

    Returns:
        One entry for each family and radio preset: per metric the ``recipes`` with interquartile
        mean, 95 % t interval and worst seed, and the ``differences`` from the first one.
    """
    first_recipe = next(iter(recipes.values()))
    rows = next(iter(first_recipe.values()))
    return [
        {
            "family": family,
            "radio_preset": preset,
            "metrics": {
                metric.name: _compared(recipes, metric, preset, family) for metric in SEED_METRICS
            },
        }
        for preset, family in sorted({(row["radio_preset"], row["family"]) for row in rows})
    ]


def _compared(
    recipes: Mapping[str, Seeds], metric: Metric, preset: str, family: str
) -> Json | None:
    """Return one metric of every recipe, None where a seed did not measure it."""
    values: dict[str, list[float]] = {}
    for name, seeds in recipes.items():
        of_seeds = [metric_value(rows_of(seeds, seed, preset, (family,)), metric) for seed in seeds]
        known = [value for value in of_seeds if value is not None]
        if len(known) < len(of_seeds):
            return None
        values[name] = known
    first, *others = recipes
    return {
        "recipes": {name: _summary(recipes[name], values[name], metric) for name in recipes},
        "differences": [_difference(values, other, first) for other in others],
    }


def _summary(seeds: Seeds, values: Sequence[float], metric: Metric) -> Json:
    """Return a recipe's summary over its seeds, the worst one by its name."""
    summary = summarise_seeds(values, is_larger_worse=metric.is_larger_worse)
    index = summary.pop("worst_seed_index")
    return {**summary, "worst_seed": None if index is None else list(seeds)[index]}


def _difference(values: Mapping[str, Sequence[float]], name: str, first: str) -> Json:
    """Return how far a recipe is from the first one."""
    difference = interquartile_difference(values[name], values[first])
    conclusion = NO_DIFFERENCE
    if difference.interval is not None and not (
        difference.interval.low <= 0.0 <= difference.interval.high
    ):
        conclusion = f"{'lower' if difference.estimate < 0.0 else 'higher'} than {first}"
    return {
        "recipe": name,
        "minus": first,
        "difference": difference.estimate,
        "interval_95": None if difference.interval is None else list(difference.interval),
        "conclusion": conclusion,
    }
