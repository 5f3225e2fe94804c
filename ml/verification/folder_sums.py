"""Checks a folder against the hashes of all its files, which were written last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml.file_sums import SUMS_FILE, read_sums
from ml.provenance import sha256_of_file
from ml.verification.records import Line, NamedFile, files_below


def files_of_sums(folder: Path) -> list[NamedFile]:
    """Return every file that the hashes of a folder name, none where there are no hashes.

    Raises:
        RecordError: The hashes are damaged, or a name leaves the folder.
    """
    if not (folder / SUMS_FILE).is_file():
        return []
    return files_below(folder, read_sums(folder), str(folder / SUMS_FILE))


def check_sums(
    folder: Path, record: Mapping[str, Any], files: Iterable[Path], record_name: str
) -> Iterator[Line]:
    """Give the lines about the hashes themselves.

    Args:
        folder: The folder of a run or of an evaluation.
        record: What names the hashes' file as ``sums_file``, unless it is older than they are.
        files: The files of the folder, as they are now.
        record_name: The file that nothing else holds the hash of.
    """
    if not (folder / SUMS_FILE).is_file():
        if record.get("sums_file") is not None:
            yield "missing", SUMS_FILE
        else:
            yield "skipped", f"{record_name}: an older record, without {SUMS_FILE}"
        return
    named = read_sums(folder)
    names = (path.relative_to(folder).as_posix() for path in files)
    unnamed = [name for name in names if name not in named and name != SUMS_FILE]
    for name in unnamed:
        yield "changed", f"{SUMS_FILE}: no line for {name}"
    if not unnamed:
        sha256 = sha256_of_file(folder / SUMS_FILE)
        yield "ok", f"{SUMS_FILE}: {len(named)} files; its own SHA-256 is {sha256}"
