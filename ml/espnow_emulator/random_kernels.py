"""Counter-based random numbers: a draw is a hash of its stream and number, never of what was drawn.

Draw number ``counter`` of a stream is a hash of (radio key, stream, sender, receiver, counter), so
neither the order of events, nor the number of cars, nor what any car does can change a draw. The
hash is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014), started at a mixed key.
"""

from __future__ import annotations

import math

import numpy as np

from ml.kernels import kernel
from ml.types import FloatArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = (np.uint64(n) for n in (30, 27, 31, 11))
_SHIFT_STREAM, _SHIFT_SENDER = np.uint64(32), np.uint64(16)
_ONE = np.uint64(1)


@kernel
def mix_bits(bits: np.uint64) -> np.uint64:
    """Return SplitMix64's finaliser of 64 bits: a bijection in which every input bit matters."""
    bits = (bits ^ (bits >> _SHIFT_30)) * _MIX_1
    bits = (bits ^ (bits >> _SHIFT_27)) * _MIX_2
    return bits ^ (bits >> _SHIFT_31)


@kernel
def stream_start(radio_key: np.uint64, stream: int, sender: int, receiver: int) -> np.uint64:
    """Return where the SplitMix64 sequence of (key, stream, sender, receiver) starts."""
    name = (np.uint64(stream) << _SHIFT_STREAM) | (np.uint64(sender) << _SHIFT_SENDER)
    name = (name | np.uint64(receiver)) + _ONE
    return mix_bits(mix_bits(radio_key + _GOLDEN) ^ mix_bits(name * _GOLDEN))


@kernel
def uniform_at(start: np.uint64, counter: int) -> float:
    """Return draw number ``counter`` of a stream, uniform in [0, 1) with 53 bits."""
    bits = mix_bits(start + (np.uint64(counter) + _ONE) * _GOLDEN)
    return float(bits >> _SHIFT_11) * 1.1102230246251565e-16


@kernel
def normal_pair_at(start: np.uint64, pair: int) -> tuple[float, float]:
    """Return draws 2 pair and 2 pair + 1 of a stream as two N(0, 1) numbers (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform_at(start, 2 * pair)))
    angle = 2.0 * math.pi * uniform_at(start, 2 * pair + 1)
    return radius * math.cos(angle), radius * math.sin(angle)


@kernel
def fill_uniform(radio_key: np.uint64, stream: int, draws: FloatArray) -> None:
    """Fill ``draws`` with the first uniform numbers of a stream that belongs to no link."""
    start = stream_start(radio_key, stream, 0, 0)
    for counter in range(draws.shape[0]):
        draws[counter] = uniform_at(start, counter)
