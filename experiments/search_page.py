"""The page of the search, from the counts alone."""

from __future__ import annotations

from experiments.ablation_numbers import Json
from experiments.search_space import (
    DISTRIBUTIONS,
    alarms_per_hour,
    collisions_of,
    least_alarms_per_hour,
    params_of,
    value_of,
)
from ml.reporting.results_numbers import markdown_table
from ml.training.urgent_imitation import UrgentImitation

NUM_TRIALS = 24
"""Unless the command line says otherwise."""

COMMAND = (
    "python -m experiments.search --seeds {seeds} --trials {trials} "
    "--imitation_episodes {episodes} --dataset_dir DIR/datasets/full --work_dir DIR"
)


def page_markdown(results: Json, template: str) -> str:
    """Return the page.

    Args:
        results: The content of ``results/search.json``.
        template: The page's text, with {command}, {cases}, {space}, {found} and {trials} where
            each shall be.
    """
    return (
        template.format(
            command=COMMAND.format(
                seeds=" ".join(map(str, results["seeds"])),
                trials=len(results["trials"]) or NUM_TRIALS,
                episodes=results["num_episodes"],
            ),
            cases=_cases_text(results),
            space=_space_table(),
            found=_found_text(results),
            trials=_trials_table(results),
        ).rstrip("\n")
        + "\n"
    )


def _cases_text(results: Json) -> str:
    """Return how many cases there are, and what eebl does in them."""
    eebl = results.get("eebl")
    if eebl is None:
        return f"drawn with seed {results['case_seed']}"
    return (
        f"H {eebl['H']['cases']}, M {eebl['M']['cases']}, C {eebl['C']['cases']} "
        f"({eebl['C']['hours']:.1f} h), drawn with seed {results['case_seed']}. `eebl` collides in "
        f"{eebl['H']['collisions']} of H and {eebl['M']['collisions']} of M, at "
        f"{alarms_per_hour(eebl):.1f} false alarms per hour"
    )


def _space_table() -> str:
    """Return the table of what is varied."""
    rows = []
    recipe = params_of(UrgentImitation())
    for name, distribution in DISTRIBUTIONS.items():
        low, high = (f"{getattr(distribution, end):g}" for end in ("low", "high"))
        is_log = getattr(distribution, "log", False)
        rows.append([f"`{name}`", low, f"{high}{', log' if is_log else ''}", f"{recipe[name]:g}"])
    return "\n".join(markdown_table(["setting", "from", "to", "recipe"], rows))


def best_trials(results: Json) -> list[int]:
    """Return the numbers of the trials that keep to the constraint, the best first, from 0."""
    limit = collisions_of(results["eebl"])
    values = [value_of(trial, limit) for trial in results["trials"]]
    kept = [number for number, (_, excess) in enumerate(values) if excess <= 0]
    return sorted(kept, key=lambda number: values[number][0])


def _found_text(results: Json) -> str:
    """Return what came of it, in a sentence."""
    if not results["trials"]:
        return "Nothing has been searched yet."
    limit = collisions_of(results["eebl"])
    best = best_trials(results)
    count = f"{len(best)} of {len(results['trials'])} trials keep to the constraint"
    if not best:
        return f"{count}."
    value = value_of(results["trials"][best[0]], limit)[0]
    recipe, excess = value_of(results["trials"][0], limit)
    kept = "keeps to it" if excess <= 0 else f"breaks it by {excess}"
    return (
        f"{count}; the best of them is trial {best[0] + 1} with {value:.1f} false alarms per hour. "
        f"The recipe, trial 1, {kept} and has {recipe:.1f}."
    )


def _trials_table(results: Json) -> str:
    """Return the table of all trials, in their order; empty without any."""
    if not results["trials"]:
        return ""
    limit = collisions_of(results["eebl"])
    seeds = [str(seed) for seed in results["seeds"]]
    head = ["trial", *(f"`{name}`" for name in DISTRIBUTIONS), "collisions", "C per hour",
            "C at `eebl`'s collisions", "value", "excess"]  # fmt: skip
    rows = []
    best = best_trials(results)
    for number, trial in enumerate(results["trials"]):
        value, excess = value_of(trial, limit)
        curves = [trial["curves"][seed] for seed in seeds]
        name = f"{number + 1}{', best' if best[:1] == [number] else ''}"
        rows.append(
            [
                name,
                *(f"{trial['params'][setting]:.3g}" for setting in DISTRIBUTIONS),
                ", ".join([f"{collisions_of(curve[0])}" for curve in curves]),
                ", ".join([f"{alarms_per_hour(curve[0]):.1f}" for curve in curves]),
                ", ".join([f"{least_alarms_per_hour(curve, limit):.1f}" for curve in curves]),
                f"{value:.1f}",
                f"{excess:+d}",
            ]
        )
    return "\n".join(markdown_table(head, rows))
