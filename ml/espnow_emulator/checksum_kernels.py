"""A checksum of floating-point numbers, quick enough for every step of an episode.

It tells whether two episodes are the same; it is no protection against someone who looks for
another episode with the same sum.
"""

from __future__ import annotations

import numpy as np

from ml.kernels import kernel
from ml.types import TRACE_STEPS_PER_UNIT, FloatArray, UnsignedArray

NUM_LANES = 4
"""Numbers of 64 bits that a checksum has."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@kernel
def _mixed(lane: np.uint64, value: float) -> np.uint64:
    """Return a lane after one more number, rounded: of either one alone it is a bijection."""
    rounded = np.float64(np.rint(value * TRACE_STEPS_PER_UNIT) + 0.0)  # -0.0 counts as 0.0
    lane = (lane ^ rounded.view(np.uint64)) * _FACTOR
    return lane ^ (lane >> _HALF)


@kernel
def add_to_checksum(checksum: UnsignedArray, rows: FloatArray) -> None:
    """Add some numbers, rounded to TRACE_STEPS_PER_UNIT, to a checksum in their order.

    They go to the lanes in turn, and a lane is a chain of bijections: one rounded number that
    changes changes the sum for certain, several cancel out once in 2^64.

    Args:
        checksum: Shape (NUM_LANES,); overwritten.
        rows: Shape (num_rows, num_columns).
    """
    first, second, third, fourth = checksum[0], checksum[1], checksum[2], checksum[3]
    num_rows, num_columns = rows.shape
    for row in range(num_rows):
        for column in range(num_columns):
            mixed = _mixed(first, rows[row, column])
            first, second, third, fourth = second, third, fourth, mixed
    checksum[0], checksum[1], checksum[2], checksum[3] = first, second, third, fourth
