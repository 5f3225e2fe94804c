"""A training that was stopped goes on; what cannot go on is refused on one line."""

import json
import os
import shutil
import signal

import pytest
from stable_baselines3.common.callbacks import CallbackList

from ml.command_line import StoppedBySignal
from ml.errors import RecordError
from ml.provenance import sha256_of_file
from ml.tests.saved_runs import content_of, differences
from ml.training import resumption, train_convoy
from ml.training.run_state import state_folders
from ml.training.train_convoy import main

pytestmark = pytest.mark.integration


def flags_of(folder, learner="fast", num_envs=1):
    """4 rollouts of 32 steps, a state after each; evaluated in one episode."""
    return [
        "--learner", learner, "--n_envs", str(num_envs), "--total_timesteps", "128",
        "--n_steps", "32", "--checkpoint_interval", "32", "--dev_interval", "64",
        "--dev_episodes", "1", "--eval_episodes", "1", "--skip_baselines", "--quiet",
        "--run_id", "r", "--output_dir", str(folder),
    ]  # fmt: skip


def send(number, monkeypatch, owner, name, count):
    """Send this process a signal in the COUNTth call of a function, which is then done."""
    original, calls = getattr(owner, name), []

    def instead(*args, **kwargs):
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, instead)


def stop(monkeypatch, arguments, *, owner=CallbackList, name="on_step", count=1):
    """Run main, interrupted by SIGTERM, and return what it says."""
    with monkeypatch.context() as patched:
        send(signal.SIGTERM, patched, owner, name, count)
        with pytest.raises(StoppedBySignal) as stopped:
            main(arguments)
    assert stopped.value.number == signal.SIGTERM
    return str(stopped.value)


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """A run stopped in its third rollout, whose states are of 64 and 96 steps."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop(monkeypatch, flags_of(folder), count=70)
    return folder


@pytest.fixture
def run(stopped_run, tmp_path):
    """A copy of the stopped run."""
    return shutil.copytree(stopped_run, tmp_path / "run")


@pytest.mark.parametrize(
    ("learner", "num_envs", "more"),
    [("fast", 2, ["--skip_eval", "--dev_episodes", "0"]), ("sb3", 1, ["--eval_episodes", "1"])],
)
def test_training_that_was_stopped_ends_as_one_that_was_not(
    tmp_path, monkeypatch, learner, num_envs, more
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    main([*flags_of(whole, learner, num_envs), *more])
    flags = [*flags_of(stopped, learner, num_envs), *more]
    said = stop(monkeypatch, flags, count=64 // num_envs - 5)
    assert said == f"interrupted; go on with --resume {stopped}"
    assert list(state_folders(stopped / "checkpoints")) == [32, 64]
    assert manifest_of(stopped)["status"] == "interrupted"
    assert not (stopped / "model_final.zip").exists()

    main(["--resume", str(stopped), "--quiet"])

    assert differences(content_of(whole), content_of(stopped)) == []
    assert manifest_of(stopped)["status"] == "complete"
    (entry,) = manifest_of(stopped)["resumptions"]
    assert (entry["stopped_as"], entry["from_steps"]) == ("interrupted", 64)


def test_damaged_state_is_named_and_an_older_one_taken(run, capsys):
    (run / "checkpoints" / "state_96" / "arrays.safetensors").write_bytes(b"")
    main(["--resume", str(run), "--quiet"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "skipped: " in line
    assert "state_96 must be a whole state" in line
    assert manifest_of(run)["resumptions"][0]["from_steps"] == 64


def test_run_without_a_whole_state_is_refused(run, capsys):
    shutil.rmtree(run / "checkpoints" / "state_96")
    (run / "checkpoints" / "state_64" / "state.json").write_text("{}")
    with pytest.raises(RecordError, match="Got 1, none of them whole"):
        main(["--resume", str(run), "--quiet"])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_run_without_its_best_model_is_refused(run):
    (run / "model_best.zip").unlink()
    with pytest.raises(RecordError, match=r"model_best\.zip must be there"):
        main(["--resume", str(run), "--quiet"])


def test_run_whose_rows_are_missing_is_refused(run):
    (run / "progress.jsonl").write_text("")
    with pytest.raises(RecordError, match=r"progress\.jsonl must hold the"):
        main(["--resume", str(run), "--quiet"])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("code_sha256", lambda: "0" * 64, "other code than at its beginning"),
        ("software_versions", lambda: {"torch": "0.1"}, "torch 0.1 instead of"),
        ("sha256_of_file", lambda _: "0" * 64, "must stay as the run was begun. Got another"),
    ],
)
def test_run_of_other_code_packages_or_inputs_is_refused(run, monkeypatch, name, value, said):
    monkeypatch.setattr(resumption, name, value)
    with pytest.raises(RecordError, match=said):
        main(["--resume", str(run), "--quiet"])
    assert manifest_of(run)["status"] == "interrupted"


def test_environment_that_shows_something_else_is_refused(run, monkeypatch):
    monkeypatch.setattr("ml.envs.observation.Observer.observation", changed_observation())
    with pytest.raises(Exception, match="must be what it was when the state was saved"):
        main(["--resume", str(run), "--quiet"])


def changed_observation():
    from ml.envs.observation import Observer

    original = Observer.observation

    def observation(self, *args, **kwargs):
        seen = original(self, *args, **kwargs)
        return {**seen, "ego": seen["ego"] + 1e-3}

    return observation


def test_another_processor_is_told(run, monkeypatch, capsys):
    monkeypatch.setattr(resumption, "processor_name", lambda: "another")
    main(["--resume", str(run), "--quiet"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "another processor" in line


def test_evaluation_that_was_stopped_is_done_alone_and_then_nothing_is(run, monkeypatch, capsys):
    said = stop(
        monkeypatch, ["--resume", str(run), "--quiet"], owner=train_convoy, name="_summarise"
    )
    assert said == f"interrupted; go on with --resume {run}"
    assert manifest_of(run)["status"] == "interrupted"
    before = sha256_of_file(run / "model_final.zip")

    main(["--resume", str(run), "--quiet"])

    assert sha256_of_file(run / "model_final.zip") == before
    assert manifest_of(run)["status"] == "complete"
    assert json.loads((run / "metrics.json").read_text())["evaluation"]["eval_episodes"] == 1
    assert [one["from_steps"] for one in manifest_of(run)["resumptions"]] == [96, None]
    capsys.readouterr()
    files = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    main(["--resume", str(run)])
    assert capsys.readouterr().out.startswith("The run is finished, nothing is left to do")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == files


def test_training_stopped_in_its_last_rollout_ends_the_same(run, tmp_path, monkeypatch):
    again = shutil.copytree(run, tmp_path / "again")
    main(["--resume", str(run), "--quiet"])
    stop(monkeypatch, ["--resume", str(again), "--quiet"], count=5)
    assert list(state_folders(again / "checkpoints")) == [96, 128]
    main(["--resume", str(again), "--quiet"])
    assert differences(content_of(run), content_of(again)) == []


def test_finished_run_that_has_lost_its_model_makes_it_again(run):
    main(["--resume", str(run), "--quiet"])
    before = content_of(run)
    (run / "model_final.zip").unlink()
    main(["--resume", str(run), "--quiet"])
    assert differences(before, content_of(run)) == []


def test_second_signal_stops_at_once_and_the_run_can_go_on(run, monkeypatch):
    send(signal.SIGTERM, monkeypatch, CallbackList, "on_step", 2)
    said = stop(monkeypatch, ["--resume", str(run), "--quiet"], count=5)
    assert said == f"interrupted; go on with --resume {run}"
    assert list(state_folders(run / "checkpoints")) == [64, 96]


def test_signal_before_the_first_state_says_to_begin_again(tmp_path, monkeypatch):
    said = stop(monkeypatch, flags_of(tmp_path / "r"), owner=CallbackList, name="on_rollout_start")
    assert said == "interrupted before a state was saved; begin again with --overwrite"


@pytest.mark.parametrize("number", [1, 3])
def test_newest_checkpoints_and_states_are_kept(run, number):
    main(["--resume", str(run), "--quiet", "--keep_checkpoints", str(number)])
    names = {path.name for path in (run / "checkpoints").iterdir()}
    newest = [96, 64, 32][:number]
    assert {name for name in names if name.startswith("deep")} == {
        f"deep_sets_{steps + 32}_steps.{kind}"
        for steps in newest
        for kind in ("zip", "safetensors", "json")
    }
    assert max(state_folders(run / "checkpoints")) == 96


def test_overwriting_a_run_removes_its_states(run):
    main([*flags_of(run), "--overwrite", "--total_timesteps", "32", "--skip_eval"])
    assert list(state_folders(run / "checkpoints")) == []
