"""The page of a recipe's results, in Markdown: finding, tables, figures, commands."""

from __future__ import annotations

from pathlib import Path

from ml.reporting.results_commands import PagePlan, commands_section
from ml.reporting.results_figures import age_figure, age_table, operating_figure
from ml.reporting.results_finding import finding_text
from ml.reporting.results_folder import SeedResults
from ml.reporting.results_gates import curve_table, gates_section
from ml.reporting.results_numbers import plain
from ml.reporting.results_readme import readme_with_results
from ml.reporting.results_tables import families_section, rank_one_section

IMAGES_FOLDER = "images"
_OPERATING, _AGE = "operating_curve", "age"
"""What the figures are about."""

_FEW_SEEDS = 5
_METHODS = (
    "The seed is the unit of replication: of several seeds the interquartile mean stands with its "
    "95 % t interval, cut at 0 and 100 %, and the worst seed beside it. All else in brackets is an "
    "exact 95 % interval, Clopper and Pearson's for collisions and Garwood's for false alarms. All "
    "policies met the same episodes; one whose hazard did not happen as asked counts only if the "
    "ego collided. *None* stands where nothing was run. This page is written by the last command "
    "below and not by hand."
)
_CURVE_NOTE = (
    "Lower left is better. A point is a threshold below which a demand is ignored, or, for `eebl`, "
    "of the deceleration that counts as hard braking; `driver` and `oracle` have none. Rates below "
    "an axis stand at its edge. In the table, each curve's smallest threshold that keeps to the "
    "rate; the p is McNemar's over the same episodes, and Holm's over the rates."
)
_AGE_NOTE = (
    "Family H, the car directly ahead brakes. The seeds met the same cases, so the exact interval "
    "of all of them together is too narrow for a claim about a seed to come; the t interval over "
    "seeds stands beside it. *Kinematics alone* is a full brake half a control period after the "
    "age, by a car that keeps its speed until then."
)
_CURVE_WORDS = (
    "Collisions in H and M against false alarms per hour in C, both on scales of powers of ten, a "
    "panel for each radio preset"
)
_AGE_WORDS = (
    "Collisions against the age of the braking car's state at its onset, a panel for each radio "
    "preset"
)


def results_files(results: SeedResults, plan: PagePlan) -> dict[Path, str]:
    """Return the content of every file to write, by its path, figures first.

    Args:
        results: What is told.
        plan: Where to.

    Raises:
        ConfigError: The README cannot take the short version.
    """
    page = plan.page
    files = {
        page.parent / _figure_name(page, _OPERATING): operating_figure(results),
        page.parent / _figure_name(page, _AGE): age_figure(results),
        page: results_markdown(results, plan),
    }
    if plan.readme is not None:
        files[plan.readme] = readme_with_results(results, plan)
    return files


def _figure_name(page: Path, subject: str) -> str:
    """Return where a figure of a page is, from the page's folder."""
    return f"{IMAGES_FOLDER}/{page.stem}_{subject}.svg"


def results_markdown(results: SeedResults, plan: PagePlan) -> str:
    """Return the page.

    Args:
        results: What is told.
        plan: How it was asked for.
    """
    few = f" {len(results.seeds)} seeds are few: at least {_FEW_SEEDS} are asked for."
    lines = [
        f"# Results by the protocol {plain(results.first['protocol']['name'])}",
        "",
        finding_text(results),
        "",
        _METHODS + (few if len(results.seeds) < _FEW_SEEDS else ""),
        "",
        *families_section(results),
        *rank_one_section(results),
        *gates_section(results),
        "## Operating curve",
        "",
        f"![{_CURVE_WORDS}]({_figure_name(plan.page, _OPERATING)})",
        "",
        _CURVE_NOTE,
        "",
        *curve_table(results),
        "",
        "## Age at the onset",
        "",
        f"![{_AGE_WORDS}]({_figure_name(plan.page, _AGE)})",
        "",
        _AGE_NOTE,
        "",
        *age_table(results),
        "",
        *commands_section(results, plan),
    ]
    return "\n".join(lines)
