"""What is compiled, when, and by whom."""

from __future__ import annotations

import fcntl
import gc
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from ml.kernels import copy_items, inlined_kernel, is_kept, kernel


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    """Keep these kernels nowhere, so that each test compiles them."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))


def test_constants_of_a_caller_share_one_compilation():
    @kernel
    def double(number):
        return 2 * number

    @kernel
    def double_two():
        return double(3) + double(4)

    assert double_two() == 14  # 6 + 8
    assert len(double.signatures) == 1


def test_other_kinds_of_numbers_are_compiled_apart():
    @kernel
    def double(number):
        return 2 * number

    assert (double(3), double(0.25)) == (6, 0.5)
    assert len(double.signatures) == 2


def test_inlined_kernel_refuses_a_call_from_python():
    @inlined_kernel
    def double(number):
        return 2 * number

    with pytest.raises(TypeError, match="double must be called by a kernel"):
        double(3)


def test_inlined_kernel_works_inside_a_kernel():
    @inlined_kernel
    def double(number):
        return 2 * number

    @kernel
    def quadruple(number):
        return double(double(number))

    assert quadruple(3) == 12


def test_row_is_filled_with_the_first_items_of_another():
    target = np.zeros(2)
    copy_items(np.array([1.0, 2.0, 3.0]), target)
    assert target.tolist() == [1.0, 2.0]


def test_kernel_is_kept_once_it_is_compiled():
    @kernel
    def double(number):
        return 2 * number

    was_kept = is_kept(double)
    double(3)
    assert (was_kept, is_kept(double)) == (False, True)


class _Probe:
    """Stands in for numba's compilation, and notes what holds meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.could_lock: list[bool] = []
        self.was_collecting: list[bool] = []

    def __call__(self, signature: object) -> None:
        self.was_collecting.append(gc.isenabled())
        (path,) = self._folder.glob("*/*.lock")
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.could_lock.append(False)
            else:
                self.could_lock.append(True)


@pytest.fixture
def probe(tmp_path, monkeypatch):
    """Replace numba's compilation by a probe."""
    stand_in = _Probe(tmp_path)
    monkeypatch.setattr(CPUDispatcher, "compile", stand_in)
    return stand_in


def test_kernel_is_compiled_by_one_process_at_a_time(probe, tmp_path):
    @kernel
    def double(number):
        return 2 * number

    double.compile((numba.int64,))
    assert probe.could_lock == [False]
    (path,) = tmp_path.glob("*/*.lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again


def test_no_garbage_is_collected_while_a_kernel_is_compiled(probe):
    @kernel
    def double(number):
        return 2 * number

    double.compile((numba.int64,))
    assert probe.was_collecting == [False]
    assert gc.isenabled()
