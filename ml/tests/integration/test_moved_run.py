"""A run whose folder was moved after training, and its dataset too."""

import shutil

import pytest

from ml.errors import RoadSenseError
from ml.evaluation.compare import main as compare
from ml.evaluation.run import main as evaluate
from ml.reporting.report import main as report
from ml.tests.contract.bad_input_cases import check_line
from ml.tests.evaluation_folders import write_evaluation
from ml.tests.faulty_convoy import ask_for_fault
from ml.tests.faulty_trainings import check_failed, run_main, run_training
from ml.tests.saved_runs import content_of, differences

pytestmark = [pytest.mark.integration]

SHORT = ["--episodes=2", "--quiet", "--skip_baselines"]


@pytest.fixture(scope="module")
def trained(dataset_dir, tmp_path_factory):
    """A place with the dataset and a run on it."""
    place = tmp_path_factory.mktemp("before")
    shutil.copytree(dataset_dir, place / "data")
    flags = (f"--dataset_dir={place / 'data'}", "--n_envs=1", "--skip_baselines",
             "--eval_episodes=2")  # fmt: skip
    assert run_training(place / "run", *flags, more=()) == (0, "")
    return place


@pytest.fixture
def moved(trained, tmp_path):
    """The same at another place; at the one before there is nothing."""
    away = trained.with_name("away")
    shutil.copytree(trained, tmp_path / "after")
    trained.rename(away)
    yield tmp_path / "after"
    away.rename(trained)


def test_evaluation_says_which_dataset_is_missing_and_takes_another(moved, trained, capsys):
    with pytest.raises(RoadSenseError, match=str(trained / "data")) as caught:
        evaluate(["--model", str(moved / "run"), *SHORT])
    check_line(str(caught.value))

    evaluate(["--model", str(moved / "run"), *SHORT, "--dataset_dir", str(moved / "data"),
              "--output_dir", str(moved / "evaluation")])  # fmt: skip
    assert (moved / "evaluation" / "episodes.jsonl").read_text() == (
        moved / "run" / "episodes.jsonl"
    ).read_text()


def test_dataset_that_is_in_its_place_is_found(moved, trained, capsys):
    shutil.copytree(moved / "data", trained / "data")
    evaluate(["--model", str(moved / "run"), *SHORT])
    shutil.rmtree(trained)
    assert "2 episodes, split eval" in capsys.readouterr().out


def test_run_that_failed_goes_on_at_another_place_and_ends_the_same(tmp_path, monkeypatch):
    flags = ("--n_envs=1", "--checkpoint_interval=16", "--run_id=r")
    assert run_training(tmp_path / "whole", *flags) == (0, "")
    with monkeypatch.context() as faulty:
        ask_for_fault(faulty, "reward", environment=0, step=20)
        check_failed(tmp_path / "before", run_training(tmp_path / "before", *flags))
    (tmp_path / "before").rename(tmp_path / "after")

    assert run_main(f"--resume={tmp_path / 'after'}", "--quiet") == (0, "")
    assert differences(content_of(tmp_path / "whole"), content_of(tmp_path / "after")) == []
    assert not (tmp_path / "before").exists()


def test_comparison_needs_nothing_but_the_folder(moved, capsys):
    compare([str(moved / "run"), str(moved / "run" / "episodes.jsonl")])
    assert "2 episodes" in capsys.readouterr().out


def test_report_needs_nothing_but_the_folder_of_its_evaluation(tmp_path, capsys):
    write_evaluation(tmp_path / "before", episodes=1, recordings=1)
    (tmp_path / "before").rename(tmp_path / "after")
    report([str(tmp_path / "after")])
    assert (tmp_path / "after" / "report.html").is_file()
