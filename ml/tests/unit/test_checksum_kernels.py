"""The checksum of an episode's steps."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.espnow_emulator.checksum_kernels import NUM_LANES, add_to_checksum

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def checksum_of(*parts):
    checksum = np.zeros(NUM_LANES, dtype=np.uint64)
    for part in parts:
        add_to_checksum(checksum, np.array([part], dtype=float))
    return checksum.tolist()


def second_checksum(numbers):
    """The same with Python's whole numbers: round, xor, multiply, fold; the lanes as a queue."""
    lanes = [0, 0, 0, 0]
    for number in numbers:
        (bits,) = struct.unpack("<Q", struct.pack("<d", float(round(number * 65536))))
        lane = (lanes.pop(0) ^ bits) * 0x9E3779B97F4A7C15 % 2**64
        lanes.append(lane ^ (lane >> 32))
    return lanes


@given(numbers=NUMBERS)
def test_it_is_that_of_a_second_implementation(numbers):
    assert checksum_of(numbers) == second_checksum(numbers)


@given(numbers=NUMBERS, data=st.data())
def test_any_number_that_is_two_steps_further_changes_it(numbers, data):
    changed = list(numbers)
    # One step, 2^-16, can be less than one once it is added to 10^6, and rounded away.
    changed[data.draw(st.integers(0, len(numbers) - 1))] += data.draw(st.integers(2, 9)) / 65536

    assert checksum_of(changed) != checksum_of(numbers)


def test_last_bits_do_not_change_it():
    assert checksum_of([20.0, np.nextafter(1.0, 2.0)]) == checksum_of([20.0, 1.0])


def test_it_depends_on_the_order_of_the_numbers():
    assert checksum_of([1.0, 2.0]) != checksum_of([2.0, 1.0])


def test_rows_after_each_other_are_one_row():
    assert checksum_of([1.0, 2.0, 3.0], [4.0, 5.0]) == checksum_of([1.0, 2.0, 3.0, 4.0, 5.0])


def test_minus_zero_is_zero():
    assert checksum_of([-0.0, 1.0]) == checksum_of([0.0, 1.0])
