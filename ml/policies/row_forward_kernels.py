"""The Deep Sets network on one observation at a time, where a matrix product is not worth its call.

``weights`` are those of ``deep_set_kernels`` with each layer's matrix the other way round, (in,
out) by rows: see ``transposed``. Each output is then a sum in one fixed order, and the vector unit
works on many outputs at once, so a result depends neither on the processor nor on a library.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ml.kernels import array_kernel
from ml.policies.deep_set_kernels import (
    FIRST_WIDTH,
    SIZE_ACTIVATION,
    SIZE_EGO,
    SIZE_EMBED,
    SIZE_FEATURES,
    SIZE_HIDDEN,
    TANH,
    NetworkArrays,
    pack_observations,
    relu_in_place,
    tanh_in_place,
)
from ml.types import Float32Array, IntArray

_ZERO = np.float32(0.0)


def transposed(network: NetworkArrays) -> NetworkArrays:
    """Return a copy of a network whose matrices are the other way round."""
    sizes = network.sizes
    first = (sizes[SIZE_FEATURES], sizes[SIZE_HIDDEN], sizes[SIZE_EMBED])
    head = (sizes[SIZE_EMBED] + sizes[SIZE_EGO], *sizes[FIRST_WIDTH:])
    weights = network.weights.copy()
    begin = 0
    for widths in (first, head):
        for num_inputs, width in pairwise(widths):
            end = begin + num_inputs * width
            matrix = network.weights[begin:end].reshape(width, num_inputs)
            weights[begin:end] = matrix.T.reshape(-1)
            begin = end + width
    return NetworkArrays(weights, sizes)


@array_kernel
def _apply_row(inputs: Float32Array, weights: Float32Array, begin: int, out: Float32Array) -> int:
    """Write a layer's output; return where the next layer's weights begin."""
    width = out.size
    bias = begin + inputs.size * width
    for column in range(width):
        out[column] = weights[bias + column]
    for index in range(inputs.size):
        value = inputs[index]
        row = weights[begin + index * width : begin + (index + 1) * width]
        for column in range(width):
            out[column] += value * row[column]
    return bias + width


def row_memory_size(sizes: IntArray) -> int:
    """Return the length of the memory that ``forward_row`` needs."""
    return int(sizes[SIZE_HIDDEN] + sizes[SIZE_EMBED] + sizes[FIRST_WIDTH:].sum())


@array_kernel
def forward_row(weights: Float32Array, sizes: IntArray, peers: Float32Array,
                features: Float32Array, memory: Float32Array) -> Float32Array:  # fmt: skip
    """Run a network over one observation.

    Args:
        weights: The network's, ``transposed``.
        sizes: The network's.
        peers: The scaled peers that are there, shape (number of peers, F).
        features: Its last E items are the scaled ego, shape (D + E,); the others are written.
        memory: Shape (``row_memory_size(sizes)``,) or longer; written.

    Returns:
        The output, a view of the memory, shape (width of the last layer,).
    """
    first, written = sizes[SIZE_HIDDEN], sizes[SIZE_HIDDEN] + sizes[SIZE_EMBED]
    hidden, embed = memory[:first], memory[first:written]
    for column in range(embed.size):
        features[column] = _ZERO
    for peer in range(peers.shape[0]):
        second = _apply_row(peers[peer], weights, 0, hidden)
        relu_in_place(hidden)
        _apply_row(hidden, weights, second, embed)
        for column in range(embed.size):
            value, best = embed[column], features[column]
            features[column] = value if value > best or value != value else best  # noqa: PLR0124 - NaN

    inputs = features
    begin = first * (sizes[SIZE_FEATURES] + 1) + sizes[SIZE_EMBED] * (first + 1)
    for layer in range(FIRST_WIDTH, sizes.size):
        out = memory[written : written + sizes[layer]]
        begin = _apply_row(inputs, weights, begin, out)
        if layer < sizes.size - 1:
            if sizes[SIZE_ACTIVATION] == TANH:
                tanh_in_place(out)
            else:
                relu_in_place(out)
        written += out.size
        inputs = out
    return inputs


@array_kernel
def forward_observation(weights: Float32Array, sizes: IntArray, scales: Float32Array,
                        ego: Float32Array, peers: Float32Array, mask: Float32Array,
                        counts: IntArray, packed: Float32Array, features: Float32Array,
                        memory: Float32Array) -> Float32Array:  # fmt: skip
    """Scale and pack one observation, and run a network over it.

    Args:
        weights: The network's, ``transposed``.
        sizes: The network's.
        scales: What to divide by: the ego's features, then a peer's, shape (E + F,).
        ego: Shape (E,).
        peers: Shape (slots, F).
        mask: Shape (slots,).
        counts: Becomes the number of peers, shape (1,).
        packed: Its first rows become the scaled peers, shape (slots or more, F).
        features: Written, shape (1, D + E).
        memory: As ``forward_row``'s.

    Returns:
        As ``forward_row``.
    """
    num_peers = pack_observations(
        ego.reshape(1, ego.size),
        peers.reshape(1, peers.shape[0], peers.shape[1]),
        mask.reshape(1, mask.size),
        scales[: ego.size],
        scales[ego.size :],
        counts,
        packed,
        features,
    )
    return forward_row(weights, sizes, packed[:num_peers], features[0], memory)


@array_kernel
def act_best(weights: Float32Array, sizes: IntArray, scales: Float32Array, bounds: Float32Array,
             ego: Float32Array, peers: Float32Array, mask: Float32Array, counts: IntArray,
             packed: Float32Array, features: Float32Array, memory: Float32Array,
             action: Float32Array) -> None:  # fmt: skip
    """Write a policy's deterministic action for one observation.

    Args:
        weights: The actor's, ``transposed``.
        sizes: The actor's.
        scales: As ``forward_observation``'s, like all but the following.
        bounds: Lowest and highest action, shape (2, A).
        ego: See there.
        peers: See there.
        mask: See there.
        counts: See there.
        packed: See there.
        features: See there.
        memory: See there.
        action: Written, shape (A,).
    """
    mean = forward_observation(
        weights, sizes, scales, ego, peers, mask, counts, packed, features, memory
    )
    for column in range(action.size):
        action[column] = min(max(mean[column], bounds[0, column]), bounds[1, column])
