"""The checks without which no result counts: a dead metric or a rigged reward fails the build."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.evaluation.arguments import parse_table_args
from ml.evaluation.scripted_table import main, run_all
from ml.evaluation.verdict import HARD_HALF_DECELERATION_MPS2
from ml.policies.baselines import make_scripted_policy
from ml.provenance import REPOSITORY_ROOT
from ml.scripts.gen_scenarios import main as generate

NUM_HARD_EPISODES = 150


@pytest.fixture(scope="module")
def track_dataset_dir(tmp_path_factory):
    """Scenarios on a copy of the straight test track that may be in a training split, too."""
    folder = tmp_path_factory.mktemp("datasets") / "track"
    track = REPOSITORY_ROOT / "ml" / "scenarios" / "base_test_track"
    base = shutil.copytree(
        track, folder.parent / "base", ignore=shutil.ignore_patterns("base.json")
    )
    generate(
        ["--base_dir", str(base), "--output_dir", str(folder), "--seed", "11", "--train_count",
         "9", "--eval_count", "90", "--quiet"]
    )  # fmt: skip
    return folder


def hard_half_collisions(dataset_dir, name):
    """Collisions and episodes of one policy under stops of at least 6.4 m/s^2 at every rank."""
    policy = make_scripted_policy(name)
    env = ConvoyEnv(
        dataset_dir=dataset_dir,
        scenario_mode="eval",
        scenario_seed=17,
        **policy.environment_options,
    )
    policy.attach(env)
    severities = np.random.default_rng(0).uniform(HARD_HALF_DECELERATION_MPS2, 9.8, 10_000)
    records = []
    for episode in range(NUM_HARD_EPISODES * 2):
        _, info = env.reset(options={"episode_index": episode})
        if info["num_peers"] == 0 or info["convoy_speed_mps"] < 6.0:
            continue
        hazard = {"kind": "hard_stop", "deceleration_mps2": float(severities[episode])}
        observation, _ = env.reset(
            options={"episode_index": episode, "hazard": hazard, "friction_mps2": 9.8}
        )
        terminated = truncated = False
        while not (terminated or truncated):
            action, _ = policy.predict(observation)
            observation, _, terminated, truncated, info = env.step(action)
        records.append(info["episode_record"])
        if len(records) == NUM_HARD_EPISODES:
            break
    env.close()
    return records


@pytest.mark.slow
def test_an_ego_that_never_brakes_crashes_in_95_percent_of_hard_stops(track_dataset_dir):
    records = hard_half_collisions(track_dataset_dir, "null")

    assert len(records) == NUM_HARD_EPISODES
    assert sum(record["collision"] for record in records) >= 0.95 * NUM_HARD_EPISODES


@pytest.mark.slow
def test_the_oracle_crashes_in_at_most_2_percent_of_hard_stops(track_dataset_dir):
    records = hard_half_collisions(track_dataset_dir, "oracle")

    assert len(records) == NUM_HARD_EPISODES
    assert sum(record["collision"] for record in records) <= 0.02 * NUM_HARD_EPISODES
    assert all(record["hazard_is_realised"] for record in records)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "eval"])
def test_scripted_policies_rank_as_they_must(large_dataset_dir, split):
    arguments = ["--dataset_dir", str(large_dataset_dir), "--split", split, "--episodes", "135"]

    results = run_all(parse_table_args(arguments), ("null", "driver", "always", "eebl", "oracle"))

    returns = {
        name: float(np.mean([record["return"] for record in records]))
        for name, records in results.items()
    }
    assert sorted(returns, key=returns.__getitem__, reverse=True) == [
        "oracle",
        "eebl",
        "driver",
        "always",
        "null",
    ]


def test_the_table_is_printed_and_written(dataset_dir, tmp_path, capsys):
    page = tmp_path / "table.md"

    main(["--dataset_dir", str(dataset_dir), "--episodes", "9", "--output_page", str(page)])

    text = page.read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert text.count("| oracle |") == 1
    assert "| 8 |" in text
