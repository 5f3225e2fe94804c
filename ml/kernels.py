"""Compiled kernels: numba with a disk cache that never serves stale code.

numba's own cache looks only at the file of the function itself, so a kernel that calls another one
in a changed file would keep running the old code. Here the cache folder is named by a hash of every
``*_kernels.py`` and ``*_layout.py``, of ``types.py``, ``units.py`` and this file, so any change
gives a fresh one.
"""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import cgutils, event
from numba.core.types import unliteral
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Array = TypeVar("_Array")


def _kernel_sources_hash() -> str:
    """Return a hash of every file that a kernel's machine code depends on."""
    digest = hashlib.sha256(numba.__version__.encode())
    package = Path(__file__).resolve().parent
    constants = (package / "types.py", package / "units.py", Path(__file__).resolve())
    sources = (*package.glob("*/*_kernels.py"), *package.glob("*/*_layout.py"))
    for path in (*constants, *sorted(sources)):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Return where compiled kernels are kept: XDG_CACHE_HOME, or ~/.cache, under roadsense."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "roadsense" / "kernels" / _kernel_sources_hash()


class _NoCollection(event.Listener):
    """Keep the collector of cyclic garbage, which finds next to nothing, from a compilation."""

    def __init__(self) -> None:
        self._depth = 0
        self._was_on = False

    def on_start(self, event: event.Event) -> None:
        """Switch the collector off at the outermost compilation."""
        if self._depth == 0:
            self._was_on = gc.isenabled()
            gc.disable()
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """Switch it on again."""
        self._depth -= 1
        if self._depth == 0 and self._was_on:
            gc.enable()


event.register("numba:compile", _NoCollection())

if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # set at import


def _compiled(function: _Function, **options: bool | str) -> _Function:
    """Return numba's dispatcher of ``function``, which compiles it once for each kind of arguments.

    numba compiles a function anew for each constant that a kernel hands on, which took a fifth of
    all compilations; here a constant is a number like any other.
    """
    dispatcher = numba.njit(no_cfunc_wrapper=True, **options)(function)
    template_for = dispatcher.get_call_template

    def template_for_numbers(arguments: Any, names: Any) -> Any:  # noqa: ANN401 - numba's own form
        return template_for(
            tuple(unliteral(kind) for kind in arguments),
            {name: unliteral(kind) for name, kind in names.items()},
        )

    dispatcher.get_call_template = template_for_numbers
    return cast(_Function, dispatcher)


def kernel(function: _Function) -> _Function:
    """Compile ``function`` on its first call and keep the machine code on disk."""
    return _compiled(function, cache=True)


def array_kernel(function: _Function) -> _Function:
    """Compile ``function`` for loops over long arrays, on which the processor's vector unit works.

    A division by zero gives infinity, since a check in each turn would keep a loop from becoming
    vector instructions. The interpreter is let go while it runs.
    """
    return _compiled(function, cache=True, nogil=True, error_model="numpy")


def inlined_kernel(function: _Function) -> _Function:
    """Compile ``function`` into the kernels that call it: for those that hand many arrays on."""
    return _compiled(function, forceinline=True, no_cpython_wrapper=True)


@kernel
def copy_items(source: NDArray[np.float64], target: NDArray[np.float64]) -> None:
    """Fill a row with the first items of another, inside a kernel.

    An assignment to a slice does the same, and compiles the words for unequal lengths: seconds.
    """
    for item in range(len(target)):
        target[item] = source[item]


def _borrowed(typing_context: Any, array: Any) -> Any:  # noqa: ANN401 - numba's own form
    """Give ``borrowed`` its type and its machine code."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:  # noqa: ANN401
        make_view: Callable[..., Any] = make_array(signature.args[0])  # type: ignore[no-untyped-call]
        view = make_view(context, builder, values[0])
        for owner in ("meminfo", "parent"):
            kind = getattr(view, owner).type
            setattr(view, owner, cgutils.get_null_value(kind))  # type: ignore[no-untyped-call]
        return view._getvalue()

    return array(array), build


borrowed = cast(Callable[[_Array], _Array], intrinsic(_borrowed))
"""Return, inside a kernel, a view of an array that owns nothing, to hand on to many others.

Every call counts the references to each array that it passes, atomically, which takes longer than
the work of a small kernel. A view without an owner is not counted. It must not outlive the call in
which it was made, whose caller owns the memory.
"""
