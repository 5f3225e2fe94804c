"""What `roadsense doctor` looks at before it measures: one finding for each thing.

Nothing here raises: what is wrong with an installation becomes a finding that says what to do.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ml.envs.sumo_connection import SumoConnection
from ml.envs.sumo_window import check_display
from ml.errors import RoadSenseError
from ml.kernels import cache_folder
from ml.processors import usable_cores
from ml.provenance import installed_version, processor_name, software_versions

OLDEST_PYTHON = (3, 11)
SUMO_PACKAGES = ("eclipse-sumo", "libsumo", "sumolib", "traci")
LEAST_MEMORY_BYTES = 2 * 2**30
"""A training with four environments holds 0.4 GiB itself and 0.2 GiB in each worker."""
LEAST_DISK_BYTES = 2**30
_BUSY_SHARE = 0.25
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GIB = 2.0**30
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


class State(StrEnum):
    """How a finding stands."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        state: How it stands.
        text: What was found and, unless it is fine, what to do.
    """

    subject: str
    state: State
    text: str


def all_findings() -> list[Finding]:
    """Return every finding, in the order in which a newcomer would have to mend them."""
    checks: tuple[Callable[[], Finding], ...] = (
        python_finding,
        packages_finding,
        sumo_finding,
        cores_finding,
        threads_finding,
        memory_finding,
        kernels_finding,
        disk_finding,
        display_finding,
    )
    return [check() for check in checks]


def python_finding(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Look at the interpreter's version."""
    text = ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Finding("python", State.OK, text)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("python", State.FAILED, f"must be {oldest} or newer. Got {text}.")


def packages_finding(version_of: Callable[[str], str] = installed_version) -> Finding:
    """Look whether everything is there, and SUMO's packages are of one version.

    Args:
        version_of: Returns a package's version, or "not installed".
    """
    names = [name for name in software_versions() if name != "python"]
    versions = {name: version_of(name) for name in dict.fromkeys([*names, *SUMO_PACKAGES])}
    absent = [name for name, version in versions.items() if version == "not installed"]
    if absent:
        return Finding(
            "packages", State.FAILED, f"{', '.join(absent)} must be installed. Run 'make setup'."
        )
    sumo = {versions[name] for name in SUMO_PACKAGES}
    if len(sumo) > 1:
        found = ", ".join(f"{name} {versions[name]}" for name in SUMO_PACKAGES)
        return Finding(
            "packages",
            State.FAILED,
            f"SUMO's packages must be of one version. Got {found}. Run 'make setup'.",
        )
    return Finding("packages", State.OK, ", ".join(f"{name} {versions[name]}" for name in names))


def sumo_finding() -> Finding:
    """Load the simulator."""
    try:
        SumoConnection().close()
    except RoadSenseError as error:
        return Finding("SUMO", State.FAILED, str(error))
    return Finding("SUMO", State.OK, f"libsumo {installed_version('libsumo')} loads")


def cores_finding(
    cores: int | None = None, load: Callable[[], tuple[float, float, float]] = os.getloadavg
) -> Finding:
    """Look at the cores that may be used, and whether others use them.

    Args:
        cores: Their number; this process's own when None.
        load: Returns the load averages over 1, 5 and 15 minutes.
    """
    cores = usable_cores() if cores is None else cores
    busy = load()[0]
    text = f"{cores} usable, {processor_name()}; load {busy:.1f}"
    if busy <= _BUSY_SHARE * cores:
        return Finding("cores", State.OK, text)
    return Finding(
        "cores", State.WARNING, f"{text}: others use them, so what is measured here is too slow"
    )


def threads_finding(environment: dict[str, str] | None = None) -> Finding:
    """Look at the variables that set the threads of mathematical libraries.

    Args:
        environment: The variables; the process's own when None.
    """
    variables = dict(os.environ) if environment is None else environment
    given = {name: variables[name] for name in _THREAD_VARIABLES if name in variables}
    shown = ", ".join(f"{name}={value}" for name, value in given.items())
    if any(value != "1" for value in given.values()):
        return Finding(
            "threads",
            State.WARNING,
            f"{shown}: more than one thread slows small networks down and changes the weights; "
            "unset it. Training sets its own with --threads",
        )
    return Finding("threads", State.OK, shown or "one for each process, unless --threads says more")


def memory_finding(available_bytes: int | None = None) -> Finding:
    """Look at the free memory.

    Args:
        available_bytes: What is free; the machine's own when None.
    """
    free = available_memory_bytes() if available_bytes is None else available_bytes
    if free is None:
        return Finding("memory", State.OK, "not known on this system")
    if free < LEAST_MEMORY_BYTES:
        return Finding(
            "memory",
            State.WARNING,
            f"{free / _GIB:.1f} GiB free; four environments take 1.2 GiB. Use --n_envs 1",
        )
    return Finding("memory", State.OK, f"{free / _GIB:.1f} GiB free")


def kernels_finding(folder: Path | None = None) -> Finding:
    """Look whether compiled kernels can be kept, and are there.

    Args:
        folder: Where they are kept; the process's own place when None.
    """
    folder = cache_folder() if folder is None else folder
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return Finding(
            "kernels",
            State.WARNING,
            f"{folder} cannot be written: every process compiles them anew, about a minute. Set "
            "XDG_CACHE_HOME to a folder that can",
        )
    is_there = any(folder.rglob("*.nbc"))
    text = "compiled" if is_there else "not compiled yet: the first use takes about a minute longer"
    return Finding("kernels", State.OK, f"{text}, kept in {folder}")


def disk_finding(free_bytes: int | None = None) -> Finding:
    """Look at the room for temporary files.

    Args:
        free_bytes: What is free; that of the folder for temporary files when None.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free if free_bytes is None else free_bytes
    text = f"{free / _GIB:.1f} GiB free in {folder}"
    if free < LEAST_DISK_BYTES:
        return Finding("disk", State.WARNING, f"{text}; a run takes up to 0.1 GiB")
    return Finding("disk", State.OK, text)


def display_finding() -> Finding:
    """Look whether SUMO's window could open."""
    try:
        check_display()
    except RoadSenseError:
        return Finding("display", State.OK, "none, so --gui is not available")
    return Finding("display", State.OK, "there, so --gui is available")


def available_memory_bytes(proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Return how much memory a process can have without swapping, None where nothing tells.

    ``MemAvailable`` of /proc/meminfo, or less where a control group's ``memory.max`` leaves less
    beyond its ``memory.current``.

    Args:
        proc: Folder of the kernel's files.
        cgroup: Folder of the control group.
    """
    lines = _text(proc / "meminfo").splitlines()
    limits = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    most, used = _text(cgroup / "memory.max").strip(), _text(cgroup / "memory.current").strip()
    if most.isdigit() and used.isdigit():
        limits.append(max(int(most) - int(used), 0))
    return min(limits) if limits else None


def _text(path: Path) -> str:
    """Return a file's text, '' if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
