"""Checks what SUMO is about to read, and keeps what SUMO complains about.

libsumo runs in this process, and a network that lacks a connection inside a junction, among other
faults, ends it with a segmentation fault. So each network is first loaded once by the program
``sumo``, in a process of its own.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from ml.errors import ScenarioError, one_line
from ml.provenance import sha256_of_file
from ml.xml_files import check_network_file, read_xml

_TRIAL_LIMIT_S = 60.0
_TRIAL_OPTIONS = ("--end", "0", "--xml-validation", "never", "--no-step-log", "--no-warnings")
_STDERR = 2
_ERROR_START = "Error:"


def check_input(network: Path, others: Sequence[Path]) -> str:
    """Check a network by trial, and that the other files are plain XML; each content once.

    Returns:
        Hash of the network's content.

    Raises:
        ScenarioError: A file cannot be read, or SUMO cannot load the network.
    """
    content_hash = _check_network(network, _stamp_of(network))
    for path in others:
        _check_other(path, _stamp_of(path))
    return content_hash


def _stamp_of(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written to or replaced, far faster than its hash."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path's own takes five times as long
    except OSError as error:
        raise ScenarioError(
            f"{path} must be a readable file. Got: {error.strerror}. Restore it."
        ) from error
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=4096)
def _check_other(path: Path, stamp: tuple[int, ...]) -> None:
    """Check a route or additional file; ``stamp`` keeps the cache honest."""
    del stamp
    read_xml(path)


_networks_that_load: set[str] = set()


@lru_cache(maxsize=4096)
def _check_network(network: Path, stamp: tuple[int, ...]) -> str:
    """Check a network, unless one with the same content was loaded before; return its hash."""
    del stamp
    content_hash = sha256_of_file(network)
    if content_hash in _networks_that_load:
        return content_hash
    check_network_file(network)
    complaint = _complaint_of_trial(network)
    if complaint is not None:
        raise ScenarioError(
            f"{network} must be a network that SUMO can load. Got: {complaint.rstrip('.')}. "
            "Make it again with netconvert."
        )
    _networks_that_load.add(content_hash)
    return content_hash


def _complaint_of_trial(network: Path) -> str | None:
    """Load a network in a process of its own and return what is wrong, None where nothing is."""
    command = [str(_sumo_binary()), "-n", str(network), *_TRIAL_OPTIONS]
    try:
        result = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=_TRIAL_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end within {_TRIAL_LIMIT_S:g} s"
    except OSError:  # no program to try it with, which libsumo does not need
        return None
    if result.returncode == 0:
        return None
    return first_error(result.stderr) or f"SUMO ended with status {result.returncode}"


def _sumo_binary() -> Path:
    """Return the path of the program in the installed wheel."""
    sumo = importlib.import_module("sumo")
    return Path(sumo.SUMO_HOME) / "bin" / ("sumo.exe" if os.name == "nt" else "sumo")


def first_error(text: str) -> str:
    r"""Return the first error among SUMO's complaints, '' where there is none.

    >>> first_error("Warning: a\nError: Unknown edge 'b'.\nError: c")
    "Unknown edge 'b'."
    """
    errors = [line for line in text.splitlines() if line.startswith(_ERROR_START)]
    return errors[0].removeprefix(_ERROR_START).strip() if errors else ""


class Complaints:
    """What SUMO wrote to standard error.

    Attributes:
        text: Everything, once the block has ended.
    """

    text = ""


@contextmanager
def complaints_kept(complaints: Complaints) -> Iterator[None]:
    """Keep what SUMO's own code writes to standard error; without a failure it is passed on."""
    sys.stderr.flush()
    saved = os.dup(_STDERR)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
            kept.seek(0)
            complaints.text = kept.read().decode(errors="replace")
    sys.stderr.write("".join(f"{one_line(line)}\n" for line in complaints.text.splitlines()))
