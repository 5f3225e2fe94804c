"""Reads files that others wrote: never without end, and never more than their kind may hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MIB = 1 << 20
LARGEST_SETTINGS_BYTES = MIB
"""A base's settings, a protocol or an emulator parameter file; the project's take 20 kB at most."""
LARGEST_DOCUMENT_BYTES = 64 * MIB
"""A manifest, an evaluation, a recording or an XML file, unpacked."""
LARGEST_RECORDS_BYTES = 512 * MIB
"""A file of records, which take 3 kB an episode."""


class UnusableFileError(ValueError):
    """A file's content cannot be used; the message says why, for the caller's own sentence."""


def check_regular(path: str | Path) -> None:
    """Check that ``path`` is a file on the disk, or a link to one, which has an end.

    Raises:
        UnusableFileError: It is a folder, a device, a pipe or a socket.
        OSError: Nothing is there, or it cannot be looked up.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - Path's own takes five times as long
        raise UnusableFileError("a directory, device or pipe")


def read_bounded(path: str | Path, largest_bytes: int) -> bytes:
    """Return the content of a regular file of at most ``largest_bytes``.

    Raises:
        UnusableFileError: It is no such file, or cannot be read.
    """
    try:
        check_regular(path)
        with Path(path).open("rb") as stream:
            content = stream.read(largest_bytes + 1)
    except OSError as error:
        raise UnusableFileError(error.strerror or str(error)) from error
    if len(content) > largest_bytes:
        raise UnusableFileError(f"more than {size_text(largest_bytes)}")
    return content


def read_bounded_text(path: str | Path, largest_bytes: int) -> str:
    """Return a file's text in UTF-8, without the byte order mark that it may begin with.

    Raises:
        UnusableFileError: As ``read_bounded``, or the bytes are no UTF-8.
    """
    try:
        return read_bounded(path, largest_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableFileError(f"no UTF-8: {error.reason} at byte {error.start}") from error


def size_text(num_bytes: int) -> str:
    """Return a bound for a message.

    >>> size_text(64 * MIB)
    '64 MiB'
    """
    return f"{num_bytes / MIB:g} MiB"
