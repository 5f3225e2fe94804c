"""Numbers that stop being numbers end a training with one line, and the state is kept."""

import json
import shutil

import pytest
from safetensors.numpy import load_file

from ml.errors import RecordError, SimulatorError
from ml.evaluation.run import main as evaluate
from ml.tests.contract.bad_input_cases import check_line
from ml.tests.faulty_convoy import ask_for_fault
from ml.tests.faulty_trainings import check_failed, run_main, run_training
from ml.tests.saved_runs import content_of, differences
from ml.training import failure_state, recipe

pytestmark = [pytest.mark.integration]

SAID = {
    "sensor": "observation must be finite. Got NaN or infinity from the ego's own sensors.",
    "frame": "observation must be finite. Got NaN or infinity from the frames it heard.",
    "reward": "reward must be finite. Got nan with collision.",
}
slow = pytest.mark.slow_suite


def state_of(folder):
    """Return the only state of a failure, and the path that the failure's line names."""
    (path,) = (folder / "failure").iterdir()
    return json.loads((path / "state.json").read_text()), f"The state before it is in {path}."


@pytest.mark.parametrize(
    ("learner", "num_envs", "kind"),
    [("fast", 1, "reward"), ("fast", 2, "sensor"), ("sb3", 1, "frame"),
     *(pytest.param(learner, num_envs, kind, marks=slow)
       for learner, num_envs, kind in (
           ("fast", 1, "sensor"), ("fast", 1, "frame"), ("fast", 2, "frame"),
           ("fast", 2, "reward"), ("sb3", 1, "reward"), ("sb3", 2, "sensor"),
           ("sb3", 2, "reward")))],
)  # fmt: skip
def test_environment_that_gives_no_number_ends_the_training(
    learner, num_envs, kind, tmp_path, monkeypatch
):
    place = num_envs - 1
    ask_for_fault(monkeypatch, kind, environment=place, step=20)
    flags = (f"--n_envs={num_envs}", f"--learner={learner}", "--total_timesteps=64")
    line = check_failed(tmp_path / "r", run_training(tmp_path / "r", *flags))

    content, where = state_of(tmp_path / "r")
    assert f"environment {place}, seed 42, episode 0, scenario base, step 20: {SAID[kind]}" in line
    assert line.endswith(where)
    assert content["num_steps"] == 16 * num_envs


def test_kept_state_leads_to_the_failure_again_and_beyond_it_where_its_cause_is_gone(
    tmp_path, monkeypatch
):
    whole, failed = tmp_path / "whole", tmp_path / "failed"
    flags = ("--n_envs=1", "--total_timesteps=48", "--run_id=r")
    assert run_training(whole, *flags) == (0, "")
    with monkeypatch.context() as faulty:
        ask_for_fault(faulty, "reward", environment=0, step=20)
        line = check_failed(failed, run_training(failed, *flags))
        shutil.copytree(failed / "failure" / "state_16", failed / "checkpoints" / "state_16")
        again = check_failed(failed, run_main(f"--resume={failed}", "--quiet"))
    assert again == line

    assert run_main(f"--resume={failed}", "--quiet") == (0, "")
    assert differences(content_of(whole), content_of(failed)) == []


def test_earlier_states_of_a_failed_run_stay_and_it_goes_on_from_them(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    flags = ("--n_envs=1", "--total_timesteps=64", "--checkpoint_interval=16")
    ask_for_fault(monkeypatch, "sensor", environment=0, step=40, marker=tmp_path / "once")
    check_failed(folder, run_training(folder, *flags))
    names = {path.name for path in (folder / "checkpoints").glob("state_*")}
    assert names == {"state_16", "state_32"}

    assert run_main(f"--resume={folder}", "--quiet") == (0, "")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "complete"


# --- The update ----------------------------------------------------------------------------------


@pytest.fixture
def diverging(monkeypatch):
    """Let a training take steps that are too large for any number."""
    settings = recipe.learner_settings
    monkeypatch.setattr(
        recipe, "learner_settings", lambda args: {**settings(args), "learning_rate": 1e30}
    )


TWO_BATCHES = ("--n_envs=1", "--batch_size=8", "--n_epochs=2")


@pytest.mark.usefixtures("diverging")
def test_update_that_loses_its_loss_is_told_with_the_minibatch_and_can_be_repeated(tmp_path):
    folder = tmp_path / "r"
    line = check_failed(folder, run_training(folder, *TWO_BATCHES))

    # The first minibatch still has the weights of the beginning; its step loses them.
    assert " of minibatch 2 in pass 1 of the update after 16 steps must be finite. Got " in line
    content, where = state_of(folder)
    assert line.endswith(where)
    assert content["num_steps"] == 0
    rollout = load_file(folder / "failure" / "state_0" / "rollout.safetensors")
    assert rollout["actions"].shape == (16, 1, 1)
    assert rollout["observation/peers"].shape == (16, 1, 8, 10)

    shutil.copytree(folder / "failure" / "state_0", folder / "checkpoints" / "state_0")
    assert check_failed(folder, run_main(f"--resume={folder}", "--quiet")) == line


@pytest.mark.usefixtures("diverging")
def test_update_of_the_plain_learner_that_loses_its_weights_is_told(tmp_path):
    folder = tmp_path / "r"
    line = check_failed(folder, run_training(folder, *TWO_BATCHES, "--learner=sb3"))
    assert "the policy's action must stay finite. Got NaN or infinity after 16 steps." in line
    assert line.endswith(state_of(folder)[1])


@pytest.mark.usefixtures("diverging")
def test_state_that_cannot_be_written_is_said_and_the_cause_stays(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RecordError("no room.")

    monkeypatch.setattr(failure_state, "write_state", fail)
    line = check_failed(tmp_path / "r", run_training(tmp_path / "r", *TWO_BATCHES))
    assert "must be finite. Got" in line
    assert line.endswith("The state before it is lost: no room.")


def test_state_goes_with_its_run_when_that_is_replaced(tmp_path, diverging, monkeypatch):
    run_training(tmp_path / "r", *TWO_BATCHES)
    assert (tmp_path / "r" / "failure").is_dir()
    monkeypatch.undo()
    assert run_training(tmp_path / "r", *TWO_BATCHES, "--overwrite") == (0, "")
    assert not (tmp_path / "r" / "failure").exists()


# --- Evaluation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sensor", pytest.param("reward", marks=slow)])
def test_number_that_is_none_ends_an_evaluation(kind, base_cfg, monkeypatch):
    ask_for_fault(monkeypatch, kind, environment=0, step=20)
    with pytest.raises(SimulatorError) as caught:
        evaluate(["--model=driver", "--episodes=1", "--quiet", "--skip_baselines",
                  f"--sumo_cfg={base_cfg}"])  # fmt: skip
    assert SAID[kind] in str(caught.value)
    check_line(str(caught.value))
