"""The event queue: a binary heap over two arrays, item 1 the earliest.

``queue_codes[0]`` holds its size. An event is a time and a code, which also breaks ties.
"""

from __future__ import annotations

from ml.espnow_emulator.radio_layout import CAR_BITS, COUNT_BITS
from ml.kernels import kernel
from ml.types import FloatArray, IntArray


@kernel
def _is_earlier(queue_times: FloatArray, queue_codes: IntArray, first: int, second: int) -> bool:
    if queue_times[first] != queue_times[second]:
        return bool(queue_times[first] < queue_times[second])
    return bool(queue_codes[first] < queue_codes[second])


@kernel
def _swap(queue_times: FloatArray, queue_codes: IntArray, first: int, second: int) -> None:
    time_s, code = queue_times[first], queue_codes[first]
    queue_times[first], queue_codes[first] = queue_times[second], queue_codes[second]
    queue_times[second], queue_codes[second] = time_s, code


@kernel
def push_event(queue_times: FloatArray, queue_codes: IntArray, time_s: float, code: int) -> None:
    """Put an event into the queue."""
    item = queue_codes[0] + 1
    queue_codes[0] = item
    queue_times[item], queue_codes[item] = time_s, code
    while item > 1 and _is_earlier(queue_times, queue_codes, item, item // 2):
        _swap(queue_times, queue_codes, item, item // 2)
        item //= 2


@kernel
def pop_event(queue_times: FloatArray, queue_codes: IntArray) -> tuple[float, int]:
    """Take the earliest event out of the queue; among equal times, the smallest code."""
    time_s, code = queue_times[1], queue_codes[1]
    size = queue_codes[0]
    queue_times[1], queue_codes[1] = queue_times[size], queue_codes[size]
    size -= 1
    queue_codes[0] = size
    item = 1
    while 2 * item <= size:
        child = 2 * item
        if child < size and _is_earlier(queue_times, queue_codes, child + 1, child):
            child += 1
        if _is_earlier(queue_times, queue_codes, item, child):
            break
        _swap(queue_times, queue_codes, item, child)
        item = child
    return time_s, code


@kernel
def event_code(kind: int, count: int, sender: int, receiver: int) -> int:
    """Return an event's code: kind, transmission number, sender and receiver in one integer."""
    code = (kind << COUNT_BITS) | count
    return (((code << CAR_BITS) | sender) << CAR_BITS) | receiver
