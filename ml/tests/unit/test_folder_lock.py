"""Tests of ml.folder_lock: one process at a time, no lock without a holder."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from ml.errors import ConfigError, RecordError
from ml.folder_lock import LOCK_FILE, locked_folder
from ml.tests.processes import another_holder


def take(folder):
    with locked_folder(folder):
        return json.loads((folder / LOCK_FILE).read_text())


def test_second_process_is_told_who_is_at_work_and_leaves_the_note(tmp_path):
    folder = tmp_path / "new"
    with another_holder(folder) as holder:
        text = (folder / LOCK_FILE).read_text()
        note = json.loads(text)
        with pytest.raises(ConfigError) as caught:
            take(folder)
        assert (folder / LOCK_FILE).read_text() == text
    assert (note["pid"], note["host"]) == (holder.pid, os.uname().nodename)
    assert f"in which process {holder.pid} on {note['host']}, since {note['since']}, is at" in str(
        caught.value
    )
    assert repr(str(folder)) in str(caught.value)


def test_killed_holder_leaves_no_lock(tmp_path):
    with another_holder(tmp_path):
        pass
    assert take(tmp_path)["pid"] == os.getpid()


def test_lock_ends_with_its_block_also_where_that_fails(tmp_path):
    with pytest.raises(KeyError), locked_folder(tmp_path):
        raise KeyError
    take(tmp_path)


def test_lock_is_not_inherited_by_a_child(tmp_path):
    with locked_folder(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        )
    take(tmp_path)
    assert child.poll() is None
    child.communicate()


@pytest.mark.parametrize("content", [b"", b"[", b"[1]", b"{}", b"\xff", b"[" * 1000])
def test_unreadable_note_is_another_process(tmp_path, content):
    with locked_folder(tmp_path):  # a lock is of an open file, so this process is refused too
        (tmp_path / LOCK_FILE).write_bytes(content)
        with pytest.raises(ConfigError, match="in which another process is at work"):
            take(tmp_path)


def test_file_system_without_locks_is_a_line_and_no_more(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked_folder(tmp_path):
        pass
    assert capsys.readouterr().err == (
        f"{tmp_path / LOCK_FILE} cannot be locked (No locks available), so nothing keeps another "
        "process out of its folder\n"
    )


@pytest.mark.parametrize("name", ["ftruncate", "write"])
def test_lock_that_cannot_be_written_is_one_line_and_not_held(tmp_path, monkeypatch, name):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(RecordError, match="No space left on device"):
            take(tmp_path)
    take(tmp_path)


def test_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(RecordError, match="must be a folder in which files can be made"):
        take(tmp_path / "f")
