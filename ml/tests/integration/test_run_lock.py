"""Two commands in one folder: the second is refused, whatever it is told to do with it."""

import shutil
from contextlib import contextmanager

import pytest

from ml.errors import ConfigError
from ml.evaluation.run import main as evaluate
from ml.folder_lock import locked_folder
from ml.tests.contract.bad_input_cases import contents, least_command
from ml.tests.processes import another_holder
from ml.training.arguments import parse_args
from ml.training.train_convoy import main as train
from ml.training.train_convoy import train as train_only

pytestmark = [pytest.mark.integration]


def least_training(folder, *more):
    flags = least_command("train", folder.parent) | {"--output_dir": str(folder)}
    return [*(f"{flag}={value}" for flag, value in flags.items()), "--skip_eval", "--quiet", *more]


EVALUATION = ["--model", "driver", "--episodes", "1", "--skip_baselines", "--quiet"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(least_training(folder))
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A run that can be replaced, and completed."""
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "metrics.json").unlink()
    return folder


@pytest.mark.parametrize("way", [(), ("--overwrite",), "resume"])
def test_second_training_is_refused_and_changes_nothing(run, way):
    command = ["--resume", str(run)] if way == "resume" else least_training(run, *way)
    said = "must not hold a run already" if way == () else "on .* is at work"
    with another_holder(run):
        before = contents(run)
        with pytest.raises(ConfigError, match=said):
            train(command)
        assert contents(run) == before


@pytest.mark.parametrize("way", ["--overwrite", "--resume"])
def test_killed_process_keeps_nobody_out(run, way):
    with another_holder(run):
        pass
    train(["--resume", str(run)] if way == "--resume" else least_training(run, way))
    assert (run / "metrics.json").exists()


def test_folder_is_locked_until_the_command_ends_and_then_free(tmp_path):
    folder = tmp_path / "run"
    _, result = train_only(parse_args(least_training(folder)))
    with pytest.raises(ConfigError, match="is at work"), locked_folder(folder):
        pass
    result.lock.close()
    with locked_folder(folder):
        pass


def test_training_that_fails_lets_others_in(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConfigError("no")

    monkeypatch.setattr("stable_baselines3.PPO.learn", fail)
    with pytest.raises(ConfigError, match=r"^no"):
        train(least_training(tmp_path / "run"))
    with locked_folder(tmp_path / "run"):
        pass


def test_run_that_came_while_another_was_checked_is_kept(tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def come(args):
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")

    monkeypatch.setattr("ml.training.train_convoy.open_development", come)
    with pytest.raises(ConfigError, match="must not hold a run already"):
        train(least_training(folder))
    assert (folder / "manifest.json").read_text() == "{}"


def test_second_evaluation_is_refused_before_it_plays(tmp_path):
    folder = tmp_path / "evaluation"
    with another_holder(folder) as holder:
        with pytest.raises(ConfigError, match=rf"process {holder.pid} on .* is at work"):
            evaluate([*EVALUATION, "--overwrite", "--output_dir", str(folder)])
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_evaluation_that_came_while_another_was_checked_is_kept(tmp_path, monkeypatch):
    folder = tmp_path / "evaluation"

    @contextmanager
    def come(path):
        with locked_folder(path):
            (folder / "evaluation.json").write_text("{}")
            yield

    monkeypatch.setattr("ml.evaluation.run.locked_folder", come)
    with pytest.raises(ConfigError, match="must not hold an evaluation already"):
        evaluate([*EVALUATION, "--output_dir", str(folder)])
    assert (folder / "evaluation.json").read_text() == "{}"
