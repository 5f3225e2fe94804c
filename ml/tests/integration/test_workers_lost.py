"""Whole trainings and evaluations whose processes die, hang or abort."""

import json

import libsumo
import pytest
from stable_baselines3 import PPO

from ml.envs.supervision import Supervision
from ml.evaluation.run import main as evaluate
from ml.tests.faulty_convoy import ask_for_fault
from ml.tests.faulty_trainings import check_failed, run_training

pytestmark = [pytest.mark.integration]

FLAGS = ("--n_envs=2", "--n_steps=64", "--total_timesteps=128", "--dev_interval=64",
         "--dev_episodes=2")  # fmt: skip


def weights_of(folder):
    policy = PPO.load(folder / "model_final.zip", device="cpu").policy
    return {name: tensor.numpy().tobytes() for name, tensor in policy.state_dict().items()}


def workers_of(folder):
    return json.loads((folder / "metrics.json").read_text())["workers"]["training"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "r"
    assert run_training(folder, *FLAGS) == (0, "")
    return folder


@pytest.fixture
def short_limits(monkeypatch):
    """Let a process that does not answer be replaced after 3 s for a step, 30 s for a rollout."""
    monkeypatch.setattr(Supervision.__init__, "__defaults__", (3.0, 3, 256.0))


@pytest.mark.slow_suite
@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize(
    ("kind", "counts"), [("SIGKILL", (1, 0)), ("SIGABRT", (1, 0)), ("SIGSTOP", (0, 1))]
)
def test_training_is_the_same_where_a_process_is_lost(
    kind, counts, undisturbed, tmp_path, monkeypatch
):
    ask_for_fault(monkeypatch, kind, environment=1, step=40, marker=tmp_path / "once")
    assert run_training(tmp_path / "r", *FLAGS) == (0, "")

    assert (tmp_path / "once").exists()
    assert weights_of(tmp_path / "r") == weights_of(undisturbed)
    found = workers_of(tmp_path / "r")
    assert (found["lost"], found["hung"]) == counts
    assert workers_of(undisturbed) == {"lost": 0, "hung": 0, "recycled": 0, "replayed_steps": 0}


@pytest.mark.slow_suite
@pytest.mark.usefixtures("short_limits")
@pytest.mark.parametrize(("kind", "counts"), [("SIGKILL", (1, 0)), ("SIGSTOP", (0, 1))])
def test_plain_learner_s_training_is_the_same_too(kind, counts, tmp_path, monkeypatch):
    assert run_training(tmp_path / "plain", *FLAGS, "--learner=sb3") == (0, "")
    ask_for_fault(monkeypatch, kind, environment=1, step=40, marker=tmp_path / "once")
    assert run_training(tmp_path / "r", *FLAGS, "--learner=sb3") == (0, "")

    assert weights_of(tmp_path / "r") == weights_of(tmp_path / "plain")
    found = workers_of(tmp_path / "r")
    assert (found["lost"], found["hung"], found["replayed_steps"]) == (*counts, 40)


@pytest.mark.slow_suite
def test_simulator_that_aborts_again_and_again_ends_the_training(tmp_path, monkeypatch):
    ask_for_fault(monkeypatch, "SIGABRT", environment=1, step=5)
    line = check_failed(tmp_path / "r", run_training(tmp_path / "r", "--n_envs=2"))

    assert "worker 1 of 2, environment 1, seed 42" in line
    assert "Got exit code -6 (SIGABRT), also after 3 restarts." in line
    assert "The state before it is in " in line


@pytest.mark.parametrize("num_envs", [1, pytest.param(2, marks=pytest.mark.slow_suite)])
def test_fatal_error_of_the_simulator_ends_the_training(num_envs, tmp_path, monkeypatch):
    monkeypatch.setattr(libsumo, "simulationStep", libsumo.simulationStep)
    ask_for_fault(monkeypatch, "fatal", environment=num_envs - 1, step=5)
    line = check_failed(tmp_path / "r", run_training(tmp_path / "r", f"--n_envs={num_envs}"))

    assert "SUMO failed while stepping: connection closed by SUMO" in line


@pytest.mark.slow_suite
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGABRT"])
def test_evaluation_is_the_same_where_a_process_is_lost(kind, base_cfg, tmp_path, monkeypatch):
    flags = ["--model=driver", "--episodes=2", "--workers=2", "--quiet", "--skip_baselines",
             f"--sumo_cfg={base_cfg}"]  # fmt: skip
    evaluate([*flags, f"--output_dir={tmp_path / 'plain'}"])
    ask_for_fault(monkeypatch, kind, environment=0, episode=1, step=40, marker=tmp_path / "once")
    evaluate([*flags, f"--output_dir={tmp_path / 'disturbed'}"])

    assert (tmp_path / "once").exists()
    rows = [(tmp_path / name / "episodes.jsonl").read_bytes() for name in ("plain", "disturbed")]
    assert rows[0] == rows[1]
