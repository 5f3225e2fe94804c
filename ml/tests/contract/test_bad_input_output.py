"""A command writes everything or nothing, and never over what it was not told to replace."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from ml.command_line import run_command
from ml.envs import ENVIRONMENT_ID
from ml.errors import PolicyError, RecordError, RoadSenseError, ScenarioError
from ml.evaluation.run import main as evaluate
from ml.provenance import write_text_atomically
from ml.scripts.gen_scenarios import main as generate
from ml.tests.contract.bad_input_cases import (
    BASES,
    check_line,
    contents,
    least_command,
    run,
    stop_where_work_begins,
)
from ml.training.train_convoy import main as train


@pytest.fixture
def stopped(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stop_where_work_begins(monkeypatch)
    return tmp_path


def command(folder, *more):
    return ["--output_dir", str(folder), "--train_count", "1", "--eval_count", "1", "--quiet",
            *more]  # fmt: skip


def test_a_dataset_is_replaced_only_with_overwrite_and_only_as_a_whole(tmp_path, monkeypatch):
    folder = tmp_path / "dataset"
    generate(command(folder, "--seed", "1"))
    first = contents(folder)

    with pytest.raises(ScenarioError, match="--overwrite"):
        generate(command(folder, "--seed", "2"))
    assert contents(folder) == first

    with monkeypatch.context() as patch:
        patch.setattr("ml.scripts.dataset_builder.find_fault", lambda *_: "contact")
        with pytest.raises(ScenarioError, match="must hold within"):
            generate(command(folder, "--seed", "2", "--overwrite"))
    assert contents(folder) == first

    generate(command(folder, "--seed", "2", "--overwrite"))
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


@pytest.mark.parametrize("names", [["notes.txt"], ["manifest.json", "notes.txt"], ["train"]])
def test_overwrite_replaces_nothing_but_a_dataset(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    before = contents(tmp_path)

    with pytest.raises(ScenarioError, match="--overwrite must replace a dataset"):
        generate(command(tmp_path, "--overwrite"))

    assert contents(tmp_path) == before


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_folder_that_cannot_be_written_is_one_line(verb, stopped, monkeypatch):
    # Root ignores permission bits, so the question itself is answered with no.
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    ending, text = run(verb, {**least_command(verb, stopped), "--output_dir": stopped / "out"})

    assert ending == "refused"
    check_line(text)
    assert "--output_dir" in text
    assert list(stopped.iterdir()) == []


def test_a_page_that_cannot_be_written_is_refused_before_any_episode(stopped, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    ending, text = run("table", {**least_command("table", stopped), "--output_page": "page.md"})

    assert ending == "usage"
    check_line(text)
    assert "--output_page must be in a folder that can be written" in text


def test_a_full_disk_leaves_no_dataset_and_no_temporary_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", fail)

    with pytest.raises(RoadSenseError, match="No space left") as caught:
        generate(command(tmp_path / "dataset"))

    check_line(str(caught.value))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(RecordError, match="No space left"):
            write_text_atomically(path, "new")

    assert contents(tmp_path) == {Path("a.json"): b"old"}


def test_a_second_run_or_evaluation_in_a_folder_is_refused(stopped):
    for name in ("manifest.json", "evaluation.json"):
        (stopped / name).write_text("{}")

    for verb in ("train", "evaluate"):
        ending, text = run(verb, {**least_command(verb, stopped), "--output_dir": stopped})

        assert ending == "refused"
        assert "--overwrite" in text
    assert len(contents(stopped)) == 2


@pytest.mark.parametrize(
    ("failure", "status"),
    [(KeyboardInterrupt(), "interrupted"), (OSError(errno.ENOSPC, "No space left"), "failed")],
)
def test_a_run_that_ends_early_says_so_in_its_manifest(tmp_path, monkeypatch, failure, status):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("stable_baselines3.PPO.learn", fail)
    flags = least_command("train", tmp_path)

    with pytest.raises((KeyboardInterrupt, OSError, RecordError)):
        train([*(f"{flag}={value}" for flag, value in flags.items()), "--quiet"])

    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == status
    assert not (tmp_path / "out" / "model_final.zip").exists()
    assert [path.name for path in tmp_path.rglob(".*")] == [".lock"]


def test_a_learning_rate_at_which_the_weights_diverge_is_one_line(tmp_path, monkeypatch):
    def diverge(model, **_):
        torch.nn.init.constant_(model.policy.action_net.weight, float("nan"))
        raise ValueError("Expected parameter loc to satisfy the constraint Real()")

    monkeypatch.setattr("stable_baselines3.PPO.learn", diverge)
    flags = least_command("train", tmp_path)

    ending, text = run("train", flags)

    assert ending == "refused"
    check_line(text)
    assert "--learning_rate" in text
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["status"] == "failed"
    assert not (tmp_path / "out" / "model_final.zip").exists()


def test_a_saved_model_without_finite_weights_is_one_line(tmp_path):
    env = gym.make(ENVIRONMENT_ID, sumo_cfg=str(BASES / "base" / "scenario.sumocfg"))
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, device="cpu")
    torch.nn.init.constant_(model.policy.action_net.weight, float("nan"))
    model.save(tmp_path / "lost.zip")

    with pytest.raises(PolicyError, match=r"weights of .*lost\.zip must be finite"):
        evaluate(["--model", str(tmp_path / "lost.zip"), "--trust", "--quiet"])


def test_a_full_disk_anywhere_else_is_one_line_without_a_traceback(capsys):
    def fail():
        raise OSError(errno.ENOSPC, "No space left on device", "events.out")

    with pytest.raises(SystemExit) as caught:
        run_command(fail)

    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "No space left on device: 'events.out'" in error


def test_a_lack_of_memory_is_one_line_without_a_traceback(capsys):
    def fail():
        np.zeros(1 << 62, np.uint8)

    with pytest.raises(SystemExit) as caught:
        run_command(fail)

    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: memory must suffice. Got: Unable to allocate 4.00 EiB")
