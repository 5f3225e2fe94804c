"""The short version of the results, between two marks of the README."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError, read_bounded_text
from ml.errors import ConfigError
from ml.reporting.markup import interval_text, number_text, share_text
from ml.reporting.results_commands import (
    PagePlan,
    evaluation_command,
    results_command,
    training_command,
)
from ml.reporting.results_finding import gates_sentence, rules_sentence
from ml.reporting.results_folder import Alarms, Collisions, SeedResults
from ml.reporting.results_numbers import (
    NONE,
    OverSeeds,
    markdown_table,
    number_over_seeds_text,
    plain,
    rates_over_seeds,
    share_over_seeds_text,
)
from ml.reporting.results_tables import alarms_over_seeds, of_all_seeds

BEGIN, END = "<!-- results -->", "<!-- /results -->"
_BESIDE = ("driver", "eebl", "oracle")


def readme_with_results(results: SeedResults, plan: PagePlan) -> str:
    """Return the README with the short version in the place of what is between the marks.

    Args:
        results: What is told.
        plan: The page, and the README, which must be named.

    Raises:
        ConfigError: It cannot be read, or has not both marks once each, in their order.
    """
    try:
        text = read_bounded_text(str(plan.readme), LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise ConfigError(
            f"--readme must be readable text in UTF-8. Got {str(plan.readme)!r}: {error}. Name a "
            "Markdown page."
        ) from error
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    if text != "".join((before, BEGIN, rest)) or rest.count(END) != 1 or END in before:
        raise ConfigError(
            f"--readme must have the marks {BEGIN} and {END}, once each. Got {str(plan.readme)!r}. "
            "Put them where the results shall be."
        )
    return "\n".join([before + BEGIN, *short_version(results, plan), END + after])


def short_version(results: SeedResults, plan: PagePlan) -> list[str]:
    """Return the lines of the short version, 16 at most."""
    link = os.path.relpath(plan.page, None if plan.readme is None else plan.readme.parent)
    trained = [command for seed in results.seeds if (command := training_command(results, seed))]
    others = f" # and so for each of {', '.join(results.seeds)}"
    return [
        f"**{rules_sentence(results)}** {gates_sentence(results)}",
        "",
        *_table(results),
        "",
        "Share of collisions, H where the car directly ahead brakes, and false alarms per hour in "
        "C, with 95 % intervals: exact ones of a rule's, t intervals over seeds. Every number with "
        f"its n, gates and figures: [{plain(plan.page.name)}]({link}).",
        "",
        "```bash",
        *([min(trained, key=_is_of_a_script) + others] if trained else []),
        evaluation_command(results.evaluations[0]),
        results_command(plan),
        "```",
    ]


def _is_of_a_script(command: str) -> bool:
    """Return whether a training was started by a script of its own, and not by the package."""
    return command.startswith("python ") and not command.startswith("python -m ")


def _table(results: SeedResults) -> list[str]:
    """Return a row for each rule beside the recipe's, a column for each target and preset."""
    presets = results.gate_presets
    columns = [
        "policy",
        *(
            f"{what}, {plain(preset)}"
            for what in ("H rank 1", "M", "C, alarms/h")
            for preset in presets
        ),
    ]
    rows: list[Sequence[str]] = [
        [
            f"`{policy}`",
            *(_share_text(results.collisions_at_rank(policy, 1, preset)) for preset in presets),
            *(_share_text(results.collisions(policy, "M", preset)) for preset in presets),
            *(_rate_text(results.alarms(policy, preset)) for preset in presets),
        ]
        for policy in _BESIDE
    ]
    return markdown_table(columns, [*rows, _recipe_row(results)])


def _recipe_row(results: SeedResults) -> list[str]:
    """Return the recipe's row: interquartile mean, interval and worst seed."""
    cells = []
    seeds, presets = results.seeds, results.gate_presets
    for preset in presets:
        counts = of_all_seeds({seed: results.collisions_at_rank(seed, 1, preset) for seed in seeds})
        cells.append(_share_cell(rates_over_seeds(counts)))
    for preset in presets:
        counts = of_all_seeds({seed: results.collisions(seed, "M", preset) for seed in seeds})
        cells.append(_share_cell(rates_over_seeds(counts)))
    for preset in presets:
        mean = alarms_over_seeds(of_all_seeds({seed: results.alarms(seed, preset)
                                               for seed in seeds}))  # fmt: skip
        worst = "" if mean is None else f", worst {number_text(mean.worst)}"
        cells.append(f"{number_over_seeds_text(mean)}{worst}")
    return [f"{len(seeds)} seeds, interquartile mean", *cells]


def _share_cell(mean: OverSeeds | None) -> str:
    """Return a share over seeds with the worst one."""
    worst = "" if mean is None else f", worst {share_text(mean.worst)}"
    return f"{share_over_seeds_text(mean)}{worst}"


def _share_text(count: Collisions | None) -> str:
    """Return a share with its exact interval and n."""
    if count is None:
        return NONE
    return f"{share_text(count.rate)} ({interval_text(count.interval)}) of {count.episodes:,}"


def _rate_text(alarms: Alarms | None) -> str:
    """Return a rate per hour with its exact interval and hours."""
    if alarms is None:
        return NONE
    low, high = map(number_text, alarms.interval)
    return f"{number_text(alarms.rate)} ({low} to {high}) in {alarms.hours:.1f} h"
