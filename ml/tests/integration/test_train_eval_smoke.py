"""The whole command on the real simulator: train a little, evaluate, read everything back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from stable_baselines3 import PPO

from ml.policies.model_file import load_model
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.training import run_folder

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SCHEMA_PATH = Path(run_folder.__file__).with_name("metrics.schema.json")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "smoke"
    run_module(
        "ml.scripts.gen_scenarios",
        *("--output_dir", str(folder), "--train_count", "9", "--eval_count", "9", "--quiet"),
    )
    return folder


def run_module(module, *arguments, cwd=REPOSITORY_ROOT, expected=0):
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=cwd,
        env=ENVIRONMENT,
        check=False,
    )
    assert result.returncode == expected, result.stderr
    return result


def train(*arguments, **options):
    return run_module("ml.training.train_convoy", *arguments, **options)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_train_eval_smoke(dataset_dir, tmp_path):
    result = train(
        *("--dataset_dir", str(dataset_dir), "--total_timesteps", "100"),
        *("--eval_episodes", "1", "--output_dir", str(tmp_path)),
    )
    assert (tmp_path / "model_final.zip").exists()
    assert (tmp_path / "metrics.json").exists()
    assert "Warning" not in result.stderr


@pytest.fixture(scope="module")
def run(dataset_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r1"
    result = train(
        *("--dataset_dir", str(dataset_dir), "--total_timesteps", "600", "--n_steps", "300"),
        *("--eval_episodes", "3", "--output_dir", str(folder), "--run_id", "r1"),
        *("--dev_interval", "300", "--dev_episodes", "3"),
    )
    return folder, result


def test_run_folder_holds_what_is_documented_and_no_temporary_file(run):
    folder, _ = run
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "SHA256SUMS",
        "baseline_episodes.jsonl",
        "checkpoints",
        "development.jsonl",
        "episodes.jsonl",
        "manifest.json",
        "metrics.json",
        "model_best.json",
        "model_best.safetensors",
        "model_best.zip",
        "model_final.json",
        "model_final.safetensors",
        "model_final.zip",
        "progress.jsonl",
        "tensorboard",
    ]
    assert list((folder / "tensorboard" / "PPO_1").glob("events.out.tfevents.*"))


def test_metrics_follow_their_schema(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    jsonschema.validate(metrics, json.loads(SCHEMA_PATH.read_text()))
    assert metrics["evaluation"]["scenarios_evaluated"] == ["eval_000", "eval_001", "eval_002"]
    assert set(metrics["baselines"]) == {"null", "driver", "oracle", "eebl"}
    assert metrics["learner"] == {"asked": "fast", "used": "fast", "reason": None}


def test_manifest_names_every_input_and_output_by_its_hash(run, dataset_dir):
    folder, _ = run
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["learning"]["learner"] == "fast"
    assert manifest["learner"] == {"asked": "fast", "used": "fast", "reason": None}
    assert manifest["num_steps"] == 600
    assert manifest["num_peers_distribution"]["train"] == {str(n): 1 for n in range(9)}
    recorded = manifest["inputs"]["dataset_manifest"]["sha256"]
    assert recorded == sha256_of_file(dataset_dir / "manifest.json")
    assert manifest["outputs"] == {
        name: sha256_of_file(folder / name)
        for name in (
            "model_final.zip", "model_final.safetensors", "model_final.json",
            "model_best.zip", "model_best.safetensors", "model_best.json",
            "progress.jsonl", "development.jsonl", "episodes.jsonl", "baseline_episodes.jsonl",
        )
    }  # fmt: skip


def test_every_episode_of_policy_and_baselines_is_recorded(run):
    folder, _ = run
    assert [row["episode_index"] for row in rows_of(folder / "episodes.jsonl")] == [0, 1, 2]
    assert len(rows_of(folder / "baseline_episodes.jsonl")) == 4 * 3


def test_results_go_to_standard_output_and_progress_to_standard_error(run):
    _, result = run
    assert "Evaluation Summary:" in result.stdout
    assert "Verdict: " in result.stdout
    assert "Run complete: r1" in result.stdout
    assert "training: 600/600 steps" in result.stderr


def test_model_loads_with_plain_stable_baselines(run):
    folder, _ = run
    model = PPO.load(folder / "model_final.zip", device="cpu")
    action, _ = model.predict(model.observation_space.sample(), deterministic=True)
    assert action.shape == (1,)


@pytest.mark.parametrize("name", ["model_final", "model_best"])
def test_each_model_has_its_safe_pair_of_the_same_weights(run, name):
    folder, _ = run
    loaded = load_model(folder / f"{name}.zip")
    plain = PPO.load(folder / f"{name}.zip", device="cpu")
    assert (loaded.is_safe, loaded.num_timesteps) == (True, plain.num_timesteps)
    found = loaded.policy.state_dict()
    assert found.keys() == plain.policy.state_dict().keys()
    for key, weights in plain.policy.state_dict().items():
        np.testing.assert_array_equal(found[key], weights)


def test_policies_are_judged_on_the_development_split_and_the_best_is_kept(run):
    folder, _ = run
    metrics = json.loads((folder / "metrics.json").read_text())
    development, best = metrics["development"], metrics["models"]["best"]
    assert [row["steps"] for row in development["evaluations"]] == [300, 600]
    assert rows_of(folder / "development.jsonl") == development["evaluations"]
    assert (development["episodes"], development["is_disjoint"]) == (3, True)
    returns = {row["steps"]: row["mean_return"] for row in development["evaluations"]}
    assert best["steps"] == (600 if returns[600] > returns[300] else 300)
    assert best["sha256"] == sha256_of_file(folder / "model_best.zip")
    assert PPO.load(folder / "model_best.zip", device="cpu").num_timesteps == best["steps"]


def weights_of(folder):
    policy = PPO.load(folder / "model_final.zip", device="cpu").policy
    return {name: tensor.numpy() for name, tensor in policy.state_dict().items()}


def test_same_seed_and_environments_give_the_same_weights_judged_on_the_way_or_not(
    run, dataset_dir, tmp_path
):
    folder, _ = run
    train(
        *("--dataset_dir", str(dataset_dir), "--total_timesteps", "600", "--n_steps", "300"),
        *("--eval_episodes", "3", "--output_dir", str(tmp_path), "--skip_baselines"),
        *("--n_envs", "4"),  # the default of a rollout of 300
    )
    expected, found = weights_of(folder), weights_of(tmp_path)
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []
    assert rows_of(tmp_path / "episodes.jsonl") == rows_of(folder / "episodes.jsonl")


def test_one_environment_trains_in_this_process_and_another_run_can_take_its_folder(tmp_path):
    flags = ("--total_timesteps", "50", "--skip_eval", "--output_dir", str(tmp_path))
    train(*flags, "--n_envs", "1", "--dev_episodes", "0")
    assert not (tmp_path / "model_best.zip").exists()
    assert json.loads((tmp_path / "metrics.json").read_text())["models"]["best"] is None
    (tmp_path / "notes.txt").write_text("precious")
    before = sha256_of_file(tmp_path / "model_final.zip")
    train(*flags, "--seed", "7", "--overwrite")
    assert sha256_of_file(tmp_path / "model_final.zip") != before
    assert (tmp_path / "model_best.zip").exists()
    assert (tmp_path / "notes.txt").read_text() == "precious"
    assert len(rows_of(tmp_path / "progress.jsonl")) == 1


def test_second_run_into_the_same_folder_is_refused_on_one_line(run, dataset_dir):
    folder, _ = run
    before = sha256_of_file(folder / "manifest.json")
    result = train("--output_dir", str(folder), expected=1)
    assert len(result.stderr.splitlines()) == 1
    assert sha256_of_file(folder / "manifest.json") == before


def test_default_scenario_works_from_another_folder(tmp_path):
    train("--total_timesteps", "50", "--skip_eval", "--output_dir", "run", cwd=tmp_path)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["evaluation"] is None


def test_interrupt_ends_with_130_and_leaves_no_half_written_file(tmp_path, start_interruptible):
    process = start_interruptible(
        [
            sys.executable,
            "-m",
            "ml.training.train_convoy",
            "--output_dir",
            str(tmp_path / "r"),
            "--n_envs",
            "2",
            "--imitation_episodes",
            "0",
        ],
        cwd=REPOSITORY_ROOT,
        env=ENVIRONMENT,
    )
    progress = tmp_path / "r" / "progress.jsonl"
    for _ in range(600):
        if progress.exists() or process.poll() is not None:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert not (tmp_path / "r" / "model_final.zip").exists()
    assert [path.name for path in (tmp_path / "r").rglob(".*")] == [".lock"]


def test_a_scenario_without_the_ego_is_refused_before_anything_is_created(tmp_path):
    base = REPOSITORY_ROOT / "ml" / "scenarios" / "base"
    folder = tmp_path / "scenario"
    shutil.copytree(base, folder)
    routes = folder / "vehicles.rou.xml"
    routes.write_text(routes.read_text().replace('"V001"', '"X001"'))

    result = subprocess.run(
        [sys.executable, "-m", "ml.training.train_convoy", "--sumo_cfg",
         str(folder / "scenario.sumocfg"), "--output_dir", str(tmp_path / "run")],
        cwd=REPOSITORY_ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip

    assert result.returncode == 1
    assert "must hold a vehicle V001" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("hidden_inputs", ["radio", "history"])
def test_a_network_that_never_sees_an_input_is_trained_saved_and_evaluated(tmp_path, hidden_inputs):
    train(
        *("--total_timesteps", "100", "--eval_episodes", "1", "--skip_baselines"),
        *("--dev_episodes", "0", "--output_dir", str(tmp_path), "--hide_inputs", hidden_inputs),
    )

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["config"]["hide_inputs"] == hidden_inputs
    assert manifest["learner"]["used"] == "fast"
    weights = weights_of(tmp_path)
    hidden = ~np.isfinite(weights["pi_features_extractor.peer_scale"])
    assert (
        np.flatnonzero(hidden).tolist() == {"radio": list(range(10)), "history": [5]}[hidden_inputs]
    )


def test_a_network_that_pools_in_another_way_is_trained_saved_and_evaluated(tmp_path):
    result = train(
        *("--total_timesteps", "20", "--eval_episodes", "1", "--skip_baselines", "--n_envs", "1"),
        *("--dev_episodes", "0", "--output_dir", str(tmp_path), "--pooling", "attention"),
    )

    reason = "peers are pooled by attention"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["learner"] == {"asked": "fast", "used": "sb3", "reason": reason}
    assert f"--learner fast is not used: {reason}" in result.stderr
    assert load_model(tmp_path).is_safe
