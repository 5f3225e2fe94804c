"""Keeps a second process out of a folder while one is at work in it.

The lock is the kernel's (``flock``), so it ends with the process, however that ends. Between the
machines of a network file system it holds as far as that passes locks on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import ConfigError, RecordError
from ml.records import time_stamp

LOCK_FILE = ".lock"
_LONGEST_NOTE_BYTES = 1000
_NO_LOCKS_HERE = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What a file system answers that has no locks."""


@contextmanager
def locked_folder(folder: str | Path) -> Iterator[None]:
    """Make a folder and keep other processes out of it during the block.

    Its ``.lock`` holds the process's `pid`, its `host` and the time, `since`. The file stays, and
    means nothing by itself.

    Raises:
        ConfigError: Another process is at work in it.
        RecordError: It cannot be made, written to or locked.
    """
    path = Path(folder) / LOCK_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _cannot_use(path, error) from error
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Lock an open file until it is closed, and note whose it is."""
    note = {"pid": os.getpid(), "host": os.uname().nodename, "since": time_stamp()}
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{json.dumps(note)}\n".encode())
    except BlockingIOError as error:
        raise ConfigError(
            f"--output_dir must not be in use. Got {str(path.parent)!r}, in which "
            f"{_holder(descriptor)} is at work. Wait for its end, or choose another folder."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise _cannot_use(path, error) from error
        sys.stderr.write(
            f"{path} cannot be locked ({error.strerror}), so nothing keeps another process out of "
            "its folder\n"
        )


def _holder(descriptor: int) -> str:
    """Return in words who holds a lock, as its file says."""
    try:
        note = json.loads(os.pread(descriptor, _LONGEST_NOTE_BYTES, 0))
        return f"process {note['pid']} on {note['host']}, since {note['since']},"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"


def _cannot_use(path: Path, error: OSError) -> RecordError:
    """Return the error for a folder that cannot be written to or locked."""
    return RecordError(
        f"{path.parent} must be a folder in which files can be made and locked. Got: "
        f"{error.strerror}. Make room, or choose another --output_dir."
    )
