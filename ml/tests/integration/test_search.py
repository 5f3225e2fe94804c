"""The search from end to end, with few episodes and a protocol of a few cases."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import replace

import pytest

from experiments import search
from experiments.search_fits import SeedOfFits
from ml.errors import ConfigError
from ml.policies.model_file import tensors_of
from ml.scripts.gen_scenarios import main as generate
from ml.tests.few_cases import few_hard_cases
from ml.training import recipe
from ml.training.arguments import parse_args
from ml.training.callbacks import actor_critic_of
from ml.training.learning import make_model, open_environments
from ml.training.urgent_imitation import UrgentImitation, imitate_urgently

pytestmark = [pytest.mark.integration, pytest.mark.slow]

NUM_EPISODES = 12


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "dataset"
    flags = ["--seed", "42", "--train_count", "2", "--eval_count", "9", "--quiet"]
    generate([*flags, "--output_dir", str(folder)])
    return folder


def small_search(folder, dataset_dir, num_trials):
    """Return a search over one seed, with cases: H 8, M 13, C 9."""
    return search.Search(
        fits=(SeedOfFits(4, dataset_dir, NUM_EPISODES, folder / "work"),),
        num_trials=num_trials,
        workers=2,
        protocol=replace(few_hard_cases(1), seed=search.CASE_SEED),
        results_file=folder / "results" / "search.json",
    )


def test_settings_of_the_recipe_give_the_weights_of_its_imitation(tmp_path, dataset_dir):
    fits = SeedOfFits(4, dataset_dir, NUM_EPISODES, tmp_path)
    fits.collect()
    found = fits.fitted(UrgentImitation(), "found")
    args = parse_args(
        ["--preset", "urgent", "--seed", "4", "--n_envs", "1", "--dev_episodes", "0",
         "--dataset_dir", str(dataset_dir), "--output_dir", str(tmp_path / "run")]
    )  # fmt: skip
    with closing(open_environments(args)) as vector:
        policy = actor_critic_of(make_model(args, vector)[0])
    kwargs = recipe.environment_kwargs(args, "train")
    imitate_urgently(policy, kwargs, NUM_EPISODES, 4)

    assert found.sha256 == hashlib.sha256(tensors_of(policy)).hexdigest()
    other = fits.fitted(replace(UrgentImitation(), demand_gain=1.2), "other")
    assert other.sha256 != found.sha256


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    tmp_path, dataset_dir, monkeypatch
):
    monkeypatch.setattr(search, "_NUM_RANDOM", 1)  # the second one looks back
    whole, parts, said = tmp_path / "whole", tmp_path / "parts", []
    search.run_search(small_search(whole, dataset_dir, 2), said.append)
    for num_trials in (1, 2):
        search.run_search(small_search(parts, dataset_dir, num_trials), said.append)

    names = [line.partition(":")[0] for line in said]
    assert names == ["trial 1/2", "trial 2/2", "trial 1/1", "trial 2/2"]
    first, second = (
        json.loads((folder / "results" / "search.json").read_text()) for folder in (whole, parts)
    )
    assert first == second
    trials = first["trials"]
    assert trials[0]["params"] != trials[1]["params"]
    assert [one["threshold_mps2"] for one in trials[0]["curves"]["4"]][:2] == [0.0, 3.0]
    page = tmp_path / "page.md"
    search.write_page(whole / "results" / "search.json", page)
    assert "| 2 | " in page.read_text() or "| 2, best | " in page.read_text()


def test_results_of_another_search_are_refused(tmp_path, dataset_dir):
    asked = small_search(tmp_path, dataset_dir, 1)
    asked.results_file.parent.mkdir()
    asked.results_file.write_text(json.dumps({**asked.identity, "seeds": [5], "trials": []}))

    with pytest.raises(
        ConfigError, match=r"search.json must hold a search of .*Got one of .*\[5\]"
    ):
        search.run_search(asked, lambda line: None)
