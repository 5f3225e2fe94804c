"""Tests of ml.training.run_arguments: a run goes on with the arguments it was begun with."""

import json

import pytest

from ml.training import run_arguments
from ml.training.arguments import parse_args

BEGUN = [
    "--seed",
    "7",
    "--learning_rate",
    "1e-4",
    "--skip_eval",
    "--dataset_dir",
    "data",
    "--quiet",
]


@pytest.fixture
def run(tmp_path):
    """A run begun with those flags."""
    folder = tmp_path / "r1"
    folder.mkdir()
    config = {**vars(parse_args(BEGUN)), "output_dir": str(folder), "run_id": "r1"}
    (folder / "manifest.json").write_text(json.dumps({"config": config}))
    return folder


def refuse(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_args(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    return line


def test_arguments_are_those_of_the_run(run):
    args, begun = vars(parse_args(["--resume", str(run)])), vars(parse_args(BEGUN))
    new = {"resume": str(run), "output_dir": str(run), "run_id": "r1", "quiet": False}
    assert args == {**begun, **new}


def test_run_is_found_by_its_name(run, monkeypatch):
    monkeypatch.setattr(run_arguments, "_RUNS", run.parent)
    assert parse_args(["--resume", "r1"]).output_dir == str(run)


def test_what_has_no_part_in_the_result_may_differ(run):
    args = parse_args(["--resume", str(run), "--quiet", "--keep_checkpoints", "3", "--debug"])
    assert (args.quiet, args.keep_checkpoints, args.debug) == (True, 3, True)


def test_flag_that_agrees_is_accepted(run):
    flags = ["--seed", "7", "--skip_eval", "--output_dir", f"{run}/../r1", "--n_steps", "2048"]
    assert parse_args(["--resume", str(run), *flags]).seed == 7


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--seed=8", "--seed must stay as the run was begun. Got 8 instead of 7. Leave it out."),
        ("--total_timesteps=5", "Got 5 instead of 100000."),
        ("--skip_baselines", "Got True instead of False."),
        ("--sumo_cfg=x", "Got x instead of None."),
        ("--output_dir=elsewhere", "--output_dir must stay as the run was begun. Got elsewhere."),
        ("--overwrite", "--overwrite must stay as the run was begun. Got True."),
    ],
)
def test_flag_that_would_change_the_run_is_refused(run, capsys, flag, said):
    assert said in refuse(["--resume", str(run), flag], capsys)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 1}', "[" * 100_000])
def test_manifest_that_is_none_is_refused(run, capsys, content):
    (run / "manifest.json").write_text(content)
    assert "manifest.json must be" in refuse(["--resume", str(run)], capsys)


def test_value_in_the_manifest_passes_the_rules_of_its_flag(run, capsys):
    (run / "manifest.json").write_text(json.dumps({"config": {"seed": -1}}))
    assert "--seed: must be in" in refuse(["--resume", str(run)], capsys)


def test_folder_without_a_run_is_refused(tmp_path, capsys):
    assert "--resume must be the folder of a run" in refuse(["--resume", str(tmp_path)], capsys)
