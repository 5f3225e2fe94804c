"""How many processor cores this process may use, and whether that is enough for what it starts."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")
_OLD_QUOTA_FOLDER = Path("/sys/fs/cgroup/cpu")
_DEFAULT_ENVIRONMENTS = 4
"""More environments than cores still save forward passes; so many are never called too many."""


def usable_cores() -> int:
    """Return the cores that this process may use at once, at least 1.

    A container's share of the machine counts, as its cgroup states it, and so does the set of cores
    the process is bound to.
    """
    if hasattr(os, "sched_getaffinity"):
        num_cores = len(os.sched_getaffinity(0))
    else:
        num_cores = os.cpu_count() or 1
    quota = _quota_cores()
    return num_cores if quota is None else max(1, min(num_cores, int(quota)))


def _quota_cores() -> float | None:
    """Return how many cores' time the cgroup grants, None where it sets no limit."""
    try:
        if _QUOTA_FILE.exists():
            quota, period = _QUOTA_FILE.read_text(encoding="ascii").split()
        else:
            quota, period = (
                (_OLD_QUOTA_FOLDER / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            )
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0.0 else None


def oversubscription_warning(num_environments: int, num_threads: int, cores: int) -> str | None:
    """Return one line for the user where the cores are too few, else None.

    The learner and the environments take turns, so each of them is compared with the cores alone.
    Threads beyond the cores wait for one another; environments beyond twice the cores take memory
    and gain little.

    >>> oversubscription_warning(4, 1, cores=2) is None
    True
    >>> oversubscription_warning(4, 2, cores=1)
    'warning: --threads 2 is more than the 1 usable core(s), and slows the learner. Use 1.'
    """
    if num_threads > cores:
        return (
            f"warning: --threads {num_threads} is more than the {cores} usable core(s), and slows "
            f"the learner. Use {cores}."
        )
    enough = max(_DEFAULT_ENVIRONMENTS, 2 * cores)
    if num_environments > enough:
        return (
            f"warning: --n_envs {num_environments} processes share {cores} usable core(s). More "
            f"than {enough} take memory and gain little."
        )
    return None
