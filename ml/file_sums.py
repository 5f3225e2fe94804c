"""The last file of a run or an evaluation: the SHA-256 of each of the others.

It has the form of ``sha256sum``, so ``sha256sum -c SHA256SUMS`` checks a folder without this
project. Its own hash stands for the whole folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError, read_bounded_text
from ml.errors import RecordError
from ml.provenance import sha256_of_file, write_text_atomically

SUMS_FILE = "SHA256SUMS"

_HEX_DIGITS = frozenset("0123456789abcdef")
_BETWEEN = "  "


def is_sha256(value: object) -> bool:
    """Return whether a value is a SHA-256 as records hold it: 64 hexadecimal digits."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX_DIGITS


def write_sums(folder: str | Path, files: Iterable[Path]) -> None:
    """Write the hash of each file, once all of them are written; without a file write nothing.

    Args:
        folder: The folder.
        files: Files in it or below; its own hashes are left out.

    Raises:
        RecordError: A file cannot be read, or the hashes cannot be written.
    """
    root = Path(folder)
    names = {path.relative_to(root).as_posix() for path in files} - {SUMS_FILE}
    if names:
        _write(root, {name: sha256_of_file(root / name) for name in names})


def read_sums(folder: str | Path) -> dict[str, str]:
    """Return the recorded hash of each file by its name.

    Raises:
        RecordError: There are none, or they are damaged.
    """
    path = Path(folder) / SUMS_FILE
    try:
        lines = read_bounded_text(path, LARGEST_DOCUMENT_BYTES).split("\n")
    except UnusableFileError as error:
        raise RecordError(f"{path} must be readable text. Got: {error}. Restore it.") from error
    sums = {}
    for number, line in enumerate(lines[:-1], start=1):
        sha256, between, name = line.partition(_BETWEEN)
        if not (is_sha256(sha256) and between and name and name not in sums):
            raise RecordError(
                f"line {number} of {path} must be a SHA-256, two spaces and a file, each once. Got "
                f"{line!r:.100}. Restore it."
            )
        sums[name] = sha256
    if lines[-1] or not sums:
        raise RecordError(f"{path} must hold whole lines. Got {lines[-1]!r:.100}. Restore it.")
    return sums


def renew_sum(folder: str | Path, name: str) -> None:
    """Record a file anew that was written again, where the folder has hashes.

    Raises:
        RecordError: The hashes are damaged, or cannot be written.
    """
    root = Path(folder)
    if (root / SUMS_FILE).is_file():
        _write(root, {**read_sums(root), name: sha256_of_file(root / name)})


def _write(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the file, in the order of the names."""
    lines = [f"{sums[name]}{_BETWEEN}{name}\n" for name in sorted(sums)]
    write_text_atomically(folder / SUMS_FILE, "".join(lines))
