"""Compiled kernels: numba with a disk cache that never serves stale code.

numba's own cache looks only at the file of the function itself, so a kernel that calls another one
in a changed file would keep running the old code. Here the cache folder is named by a hash of every
``*_kernels.py`` and ``*_layout.py``, ``types.py`` and ``units.py``, so any change gives a fresh one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _kernel_sources_hash() -> str:
    """Return a hash of every file that a kernel's machine code depends on."""
    digest = hashlib.sha256(numba.__version__.encode())
    package = Path(__file__).resolve().parent
    constants = (package / "types.py", package / "units.py")
    sources = (*package.glob("*/*_kernels.py"), *package.glob("*/*_layout.py"))
    for path in (*constants, *sorted(sources)):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return where compiled kernels are kept: XDG_CACHE_HOME, or ~/.cache, under roadsense."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "roadsense" / "kernels" / _kernel_sources_hash()


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # set at import


def kernel(function: _Function) -> _Function:
    """Compile ``function`` on its first call and keep the machine code on disk."""
    return cast(_Function, numba.njit(cache=True)(function))
