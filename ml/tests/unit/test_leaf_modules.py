"""Seeds, atomic files, and the command line's own rules."""

from __future__ import annotations

import argparse
import json
import os

import numpy as np
import pytest

from ml.command_line import OneLineArgumentParser, integer_in, number_in, run_command
from ml.errors import ConfigError, RecordError, ScenarioError
from ml.provenance import (
    atomic_path,
    code_sha256,
    git_state,
    sha256_of_file,
    software_versions,
    write_json_atomically,
)
from ml.seeding import check_master_seed, episode_streams, indexed_generator


def draws(master=1, split="train", environment=0, episode=0):
    streams = episode_streams(
        master, split=split, environment_index=environment, episode_index=episode
    )
    generators = (streams.hazard, streams.driver, streams.peers, streams.slots)
    return (*(g.random() for g in generators), streams.sumo_seed, streams.radio_key)


def test_the_same_place_in_the_seed_tree_gives_the_same_streams():
    assert draws() == draws()


@pytest.mark.parametrize(
    "change", [{"master": 2}, {"split": "eval"}, {"environment": 1}, {"episode": 1}]
)
def test_another_place_gives_other_streams(change):
    assert not set(draws()) & set(draws(**change))


def test_the_streams_of_an_episode_differ_from_one_another():
    assert len(set(draws())) == 6


def test_indexed_draws_do_not_depend_on_each_other():
    assert indexed_generator(1, 5).random() == indexed_generator(1, 5).random()
    assert indexed_generator(1, 5).random() != indexed_generator(1, 6).random()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True, "1", None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ConfigError, match="seed must be"):
        check_master_seed(seed)


def test_numpy_integers_are_seeds():
    assert check_master_seed(np.int64(7)) == 7


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "metrics.json"
    write_json_atomically(target, {"a": 1})

    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError

    assert json.loads(target.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json_atomically(tmp_path / "a.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())


def test_writing_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(RecordError, match="cannot be written"):
        write_json_atomically(tmp_path / "missing" / "a.json", {})


def test_hash_of_a_known_content(tmp_path):
    # SHA-256 of "abc", FIPS 180-4, example B.1.
    (tmp_path / "a").write_bytes(b"abc")

    assert sha256_of_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_the_record_names_commit_and_versions():
    assert set(git_state()) == {"commit", "is_dirty", "diff_sha256"}
    assert software_versions()["libsumo"] == "1.28.0"


@pytest.mark.parametrize("text", ["1.5", "x", "", "nan", "11", "-1"])
def test_integers_out_of_range_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be"):
        integer_in(0, 10)(text)


@pytest.mark.parametrize("text", ["x", "", "nan", "inf", "1.1"])
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be"):
        number_in(0.0, 1.0)(text)


def test_a_mistyped_flag_is_answered_with_the_nearest(capsys):
    parser = OneLineArgumentParser(prog="command")
    parser.add_argument("--dataset_dir")

    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--dataset_dri", "x"])

    errors = capsys.readouterr().err
    assert caught.value.code == 2
    assert "Did you mean '--dataset_dir'?" in errors
    assert errors.count("\n") == 1


def raise_scenario_error():
    raise ScenarioError("the scenario\nis broken")


def raise_keyboard_interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("main", "status", "text"),
    [
        (raise_scenario_error, 1, "error: the scenario is broken\n"),
        (raise_keyboard_interrupt, 130, "interrupted\n"),
        (lambda: None, 0, ""),
    ],
)
def test_a_command_ends_with_one_line_and_its_status(capsys, main, status, text):
    with pytest.raises(SystemExit) as caught:
        run_command(main)

    assert caught.value.code == status
    assert capsys.readouterr().err == text


def test_hash_of_the_code_changes_with_a_module_and_its_name_but_not_with_a_test(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    hashes = [code_sha256(tmp_path)]
    (tmp_path / "tests" / "test_a.py").write_text("assert True\n")
    (tmp_path / "notes.md").write_text("notes\n")
    hashes.append(code_sha256(tmp_path))
    (tmp_path / "a.py").write_text("x = 2\n")
    hashes.append(code_sha256(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    hashes.append(code_sha256(tmp_path))

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_no_file_takes_the_place_of_what_is_no_file(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/null")
    before = os.lstat(tmp_path / kind).st_ino

    with pytest.raises(RecordError, match="it is a directory, device or pipe"):
        write_json_atomically(tmp_path / kind, {})

    assert os.lstat(tmp_path / kind).st_ino == before
    assert len(list(tmp_path.iterdir())) == 3
