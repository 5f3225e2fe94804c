"""Compiled kernels: numba with a disk cache that never serves stale code.

numba's own cache looks only at the file of the function itself, so a kernel that calls another one
in a changed file would keep running the old code. Here the cache folder is named by a hash of every
``*_kernels.py`` and ``*_layout.py``, of ``types.py``, ``units.py`` and this file, so any change
gives a fresh one.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numba
import numpy as np
from numba.core import cgutils
from numba.core.registry import CPUDispatcher
from numba.core.types import unliteral as _unliteral
from numba.extending import intrinsic
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Array = TypeVar("_Array")
_number: Callable[[Any], Any] = _unliteral  # the kind of a constant as that of a number


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


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # set at import


class _Kernel(CPUDispatcher):
    """numba's dispatcher, made to compile as little as possible."""

    _is_compiling: ClassVar[bool] = False
    _cache: Any
    py_func: Any

    def get_call_template(self, args: Any, kws: Any) -> Any:  # noqa: ANN401 - numba's own form
        """Give a calling kernel the code for numbers, where numba has one for each constant."""
        numbers = {name: _number(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(_number(kind) for kind in args), numbers)

    def compile(self, sig: Any) -> Any:  # noqa: ANN401 - numba's own form
        """Compile what is not on the disk: one process, while others wait for what it finds."""
        if _Kernel._is_compiling:  # for the kernel that calls this one
            return super().compile(sig)
        _Kernel._is_compiling = True
        try:
            with _collecting_nothing(), _alone(self._cache.cache_path, self.py_func.__qualname__):
                return super().compile(sig)
        finally:
            _Kernel._is_compiling = False


class _InlinedKernel(_Kernel):
    """A dispatcher whose function has no entry from Python."""

    def __call__(self, *_args: Any, **_names: Any) -> None:  # noqa: ANN401 - whatever came
        """Refuse: numba would jump to address 0."""
        raise TypeError(
            f"{self.py_func.__qualname__} must be called by a kernel. Got a call from Python. "
            "Mark it @kernel."
        )


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Switch the collector of cyclic garbage off: it takes a tenth of a compilation."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _alone(folder: str | None, name: str) -> Iterator[None]:
    """Let one process at a time go on with a kernel that is kept in a folder.

    The lock ends with the process that holds it. Where files cannot be locked, all go on.
    """
    if folder is None:
        yield
        return
    with Path(folder, f"{name}.lock").open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _dispatcher(kind: type[_Kernel], function: _Function, **options: bool | str) -> _Function:
    """Return the dispatcher of a function, without an entry from C; kept on disk if callable."""
    options = {"nopython": True, "no_cfunc_wrapper": True, **options}
    dispatcher = kind(function, targetoptions=options)
    if kind is _Kernel:
        dispatcher.enable_caching()
    return cast(_Function, dispatcher)


def kernel(function: _Function) -> _Function:
    """Compile ``function`` on its first call and keep the machine code on disk."""
    return _dispatcher(_Kernel, function)


def is_kept(function: Callable[..., Any]) -> bool:
    """Return whether a kernel's machine code is on the disk, for any kind of arguments."""
    dispatcher = cast(_Kernel, function)
    name = dispatcher.py_func.__name__
    return any(Path(dispatcher._cache.cache_path).glob(f"*.{name}-*.nbi"))


def array_kernel(function: _Function) -> _Function:
    """Compile ``function`` for loops over long arrays, on which the processor's vector unit works.

    A division by zero gives infinity, since a check in each turn would keep a loop from becoming
    vector instructions. The interpreter is let go while it runs.
    """
    return _dispatcher(_Kernel, function, nogil=True, error_model="numpy")


def inlined_kernel(function: _Function) -> _Function:
    """Compile ``function`` into the kernels that call it: for those that hand many arrays on."""
    return _dispatcher(_InlinedKernel, function, forceinline=True, no_cpython_wrapper=True)


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
