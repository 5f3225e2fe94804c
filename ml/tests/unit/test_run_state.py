"""Tests of ml.training.run_state: states are whole, checked, and few."""

import json

import numpy as np
import pytest

from ml.errors import RecordError
from ml.training import run_state
from ml.training.run_state import (
    RunState,
    newest_state,
    read_state,
    remove_leftovers,
    state_folders,
    write_state,
)

IDENTITY = {"run_id": "r", "settings_sha256": "0" * 64}


def state_of(num_steps):
    arrays = {
        "step": np.array(3.0, np.float32),
        "weights": np.array([[1.5, np.nan], [-0.0, np.inf]]),
        "flags": np.array([True, False]),
        "generator": np.array([2**32 - 1, 0], np.uint32),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    return RunState(num_steps, arrays, {"rate": 0.1, "text": "ä"})


def write(folder, *numbers, num_kept=9):
    for number in numbers:
        write_state(folder, state_of(number), IDENTITY, num_kept)


def test_state_comes_back_bit_for_bit(tmp_path):
    write(tmp_path, 7)
    state, expected = newest_state(tmp_path, IDENTITY), state_of(7)
    assert (state.num_steps, state.content) == (7, expected.content)
    assert state.arrays.keys() == expected.arrays.keys()
    found = {name: (one.dtype, one.shape, one.tobytes()) for name, one in state.arrays.items()}
    assert found == {
        name: (one.dtype, one.shape, one.tobytes()) for name, one in expected.arrays.items()
    }


def test_newest_state_is_the_one_of_most_steps(tmp_path):
    write(tmp_path, 900, 10_000)
    assert newest_state(tmp_path, IDENTITY).num_steps == 10_000


def test_oldest_states_are_removed(tmp_path):
    write(tmp_path, 1, 2, 3, num_kept=2)
    assert list(state_folders(tmp_path)) == [2, 3]


def test_damaged_states_beyond_do_not_push_out_a_new_one(tmp_path):
    write(tmp_path, 1, 8, 9)
    for number in (8, 9):
        (tmp_path / f"state_{number}" / "state.json").write_text("")
    write(tmp_path, 2, num_kept=1)
    assert newest_state(tmp_path, IDENTITY).num_steps == 2


def test_state_takes_the_place_of_a_damaged_one(tmp_path):
    write(tmp_path, 1)
    (tmp_path / "state_1" / "state.json").write_text("")
    write(tmp_path, 1)
    assert newest_state(tmp_path, IDENTITY).num_steps == 1


def flipped(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "arrays.safetensors").unlink(),
        lambda folder: (folder / "state.json").unlink(),
        lambda folder: (folder / "arrays.safetensors").write_bytes(b""),
        lambda folder: (folder / "state.json").write_text("[]"),
        lambda folder: (folder / "state.json").write_text("[" * 100_000),
        lambda folder: (folder / "state.json").write_bytes(b"\xff"),
        lambda folder: flipped(folder / "arrays.safetensors", -1),
        lambda folder: (folder / "state.json").write_text(
            (folder / "state.json").read_text().replace("0.1", "0.2")
        ),
    ],
)
def test_damaged_state_is_named_and_an_older_one_taken(tmp_path, capsys, damage):
    write(tmp_path, 1, 2)
    damage(tmp_path / "state_2")
    assert newest_state(tmp_path, IDENTITY).num_steps == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"skipped: {tmp_path / 'state_2'} must be a whole state of this run")


def test_state_of_another_run_is_refused(tmp_path):
    write(tmp_path, 1)
    with pytest.raises(RecordError, match="a state of another run"):
        read_state(tmp_path / "state_1", {**IDENTITY, "run_id": "other"})


def test_folder_without_states_has_no_newest(tmp_path):
    (tmp_path / "state_x").mkdir()
    assert newest_state(tmp_path, IDENTITY) is None


def test_state_says_the_size_and_hash_of_its_arrays(tmp_path):
    write(tmp_path, 1)
    arrays = tmp_path / "state_1" / "arrays.safetensors"
    entry = json.loads((tmp_path / "state_1" / "state.json").read_text())["files"][arrays.name]
    assert entry["num_bytes"] == arrays.stat().st_size


def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_state.os, "fsync", refuse)
    with pytest.raises(RecordError, match="state_1 cannot be written: No space left"):
        write(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_unfinished_states_are_removed_and_others_are_not(tmp_path):
    write(tmp_path, 1)
    (tmp_path / ".state_2.abc").mkdir()
    (tmp_path / "notes").mkdir()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes", "state_1"]
