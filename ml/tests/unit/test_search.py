"""The space, the value and the page of the search, from counts written by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from experiments.search import PAGE_FILE, RESULTS_FILE, TEXT_FILE
from experiments.search_page import best_trials, page_markdown
from experiments.search_space import (
    DISTRIBUTIONS,
    least_alarms_per_hour,
    params_of,
    settings_at,
    value_of,
)
from ml.training.urgent_imitation import UrgentImitation

RECIPE = params_of(UrgentImitation())


def counts(collisions, alarms, threshold_mps2=0.0):
    """Return collisions of 100 in H and one more in M, and alarms in 4 h of C."""
    return {
        "threshold_mps2": threshold_mps2,
        "H": {"cases": 100, "collisions": collisions}, "M": {"cases": 50, "collisions": 1},
        "C": {"cases": 30, "collisions": 0, "hours": 4.0, "false_alarms": alarms},
    }  # fmt: skip


EEBL = counts(9, 40)
STEADY = [counts(2, 80), counts(9, 16, 4.0), counts(20, 2, 6.0)]
LATE = [counts(12, 24), counts(30, 4, 4.0), counts(40, 0, 6.0)]


def trial(*curves, **params):
    seeds = ("5", "7")
    return {"params": {**RECIPE, **params}, "curves": dict(zip(seeds, curves, strict=True))}


def results(*trials):
    return {"seeds": [5, 7], "num_episodes": 30, "case_seed": 3, "eebl": EEBL,
            "trials": list(trials)}  # fmt: skip


def test_recipe_lies_within_the_space_and_is_found_there_again():
    for name, distribution in DISTRIBUTIONS.items():
        assert distribution.low < RECIPE[name] < distribution.high
    assert settings_at(RECIPE) == UrgentImitation()


def test_a_point_of_the_space_changes_what_it_names():
    recipe = UrgentImitation()
    found = settings_at({**RECIPE, "demand_gain": 1.2, "learning_rate": 1e-3, "num_epochs": 11})

    assert found.demand_gain == 1.2
    assert [plan.learning_rate for plan in found.fits] == [1e-3, 1e-3]
    assert [plan.num_epochs for plan in found.fits] == [recipe.fits[0].num_epochs, 11]
    assert replace(found, demand_gain=recipe.demand_gain, fits=recipe.fits) == recipe


def test_value_is_read_where_a_policy_collides_as_often_as_eebl():
    # eebl: 10 collisions. STEADY has 3, 10, 21: the second threshold, 16 alarms in 4 h.
    assert least_alarms_per_hour(STEADY, 10) == 4.0
    # 13 already without a threshold: what it does without one, 24 in 4 h.
    assert least_alarms_per_hour(LATE, 10) == 6.0


def test_constraint_is_that_of_the_worst_seed():
    assert value_of(trial(STEADY, STEADY), 10) == (4.0, -7)
    assert value_of(trial(STEADY, LATE), 10) == (5.0, 3)


def test_best_trial_keeps_to_the_constraint():
    calm = [counts(9, 8), counts(11, 0, 4.0)]  # 2 per hour
    found = results(trial(STEADY, LATE), trial(STEADY, STEADY), trial(calm, calm))

    assert best_trials(found) == [2, 1]


def test_page_tells_what_was_found():
    found = results(trial(STEADY, LATE), trial(STEADY, STEADY, demand_gain=1.25))
    page = page_markdown(found, "{command}\n{cases}\n{space}\n{found}\n{trials}")

    assert "--seeds 5 7 --trials 2 --imitation_episodes 30" in page
    assert "`eebl` collides in 9 of H and 1 of M, at 10.0 false alarms per hour" in page
    assert "| `demand_gain` | 1 | 2 | 1.5 |" in page
    assert "1 of 2 trials keep to the constraint; the best of them is trial 2 with 4.0" in page
    assert "The recipe, trial 1, breaks it by 3 and has 5.0." in page
    assert "| 3, 13 | 20.0, 6.0 | 4.0, 6.0 | 5.0 | +3 |" in page
    assert "| 2, best | " in page


def test_page_without_a_trial_that_keeps_to_the_constraint_says_so():
    page = page_markdown(results(trial(LATE, LATE)), "{found}\n{trials}")

    assert page.startswith("0 of 1 trials keep to the constraint.\n")
    assert "best" not in page


def test_page_of_the_documentation_is_what_the_trials_make_now():
    found = json.loads(RESULTS_FILE.read_text(encoding="utf-8"))
    text = TEXT_FILE.read_text(encoding="utf-8")

    assert PAGE_FILE.read_text(encoding="utf-8") == page_markdown(found, text), (
        "run python -m experiments.search --only_page"
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_each_setting_that_is_searched_changes_the_settings(name):
    distribution = DISTRIBUTIONS[name]
    assert settings_at({**RECIPE, name: distribution.high}) != UrgentImitation()
