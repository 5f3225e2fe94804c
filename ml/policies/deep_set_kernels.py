"""The Deep Sets network of ``deep_set_policy`` on plain arrays: forward, and its gradient.

Only peers that are there are computed: the rows of all observations' peers lie one after the other,
``counts`` of them for each observation. All values are float32, as in torch.

``sizes`` describes a network: SIZE_EGO, SIZE_FEATURES, SIZE_HIDDEN, SIZE_EMBED, SIZE_ACTIVATION,
then the width of each layer of the head, the last one of which is the output and has no activation.
``weights`` holds its parameters one after the other, each layer's matrix (out, in) by rows and then
its bias: the embedding's two layers, then the head's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ml.kernels import array_kernel
from ml.types import Float32Array, IntArray

SIZE_EGO, SIZE_FEATURES, SIZE_HIDDEN, SIZE_EMBED, SIZE_ACTIVATION = range(5)
FIRST_WIDTH = 5
TANH, RELU = 0, 1

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_TANH_LIMIT = np.float32(10.0)  # tanh(10) is 1 in float32
_LOG2_E = np.float32(1.4426950408889634)
# ln 2 in two parts: the first has few digits, so that its product with a small integer is exact.
_LN_2_HIGH, _LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
_ROUND_BITS, _EXPONENT_BIAS, _EXPONENT_SHIFT = np.int32(0x4B400000), np.int32(127), np.int32(23)
_INVERSE_FACTORIALS = tuple(np.float32(1.0 / f) for f in (2, 6, 24, 120, 720, 5040))
_C2, _C3, _C4, _C5, _C6, _C7 = _INVERSE_FACTORIALS


class NetworkArrays(NamedTuple):
    """A network: ``weights`` (num_weights,) and ``sizes``, see above."""

    weights: Float32Array
    sizes: IntArray


class ForwardScratch(NamedTuple):
    """What a forward pass over at most ``rows`` observations reads and leaves.

    Attributes:
        counts: Number of peers of each observation, shape (rows,).
        peers: The scaled peers, shape (rows * slots, F).
        features: Pooled embedding and scaled ego, shape (rows, D + E).
        hidden: First layer of the embedding, shape (rows * slots, H).
        embedded: Second layer of the embedding, shape (rows * slots, D).
        layers: Each layer of the head, (rows, width) by rows, one after the other.
    """

    counts: IntArray
    peers: Float32Array
    features: Float32Array
    hidden: Float32Array
    embedded: Float32Array
    layers: Float32Array


def forward_scratch(sizes: IntArray, num_rows: int, num_slots: int) -> ForwardScratch:
    """Return memory for forward passes of a network over at most ``num_rows`` observations."""
    ego, features, hidden, embed, _ = sizes[:FIRST_WIDTH]
    num_peers = num_rows * num_slots
    return ForwardScratch(
        counts=np.zeros(num_rows, np.int64),
        peers=np.zeros((num_peers, features), np.float32),
        features=np.zeros((num_rows, embed + ego), np.float32),
        hidden=np.zeros((num_peers, hidden), np.float32),
        embedded=np.zeros((num_peers, embed), np.float32),
        layers=np.zeros(num_rows * sizes[FIRST_WIDTH:].sum(), np.float32),
    )


class BackwardScratch(NamedTuple):
    """Gradients with respect to what a forward pass left.

    Attributes:
        layer: Of one layer of the head, flat, (rows, width) by rows.
        layer_below: Of the one below it, or of the features.
        hidden: Shape (rows * slots, H).
        embedded: Shape (rows * slots, D).
        ties: Peers that share a maximum, shape (D,).
    """

    layer: Float32Array
    layer_below: Float32Array
    hidden: Float32Array
    embedded: Float32Array
    ties: Float32Array


@array_kernel
def tanh_in_place(values: Float32Array) -> None:
    """Replace each value x by tanh(x) = d / (d + 2), d = exp(2 x) - 1, to 2e-7 of itself.

    2 x = k ln 2 + r with an integer k and |r| <= ln(2) / 2; exp(r) - 1 is its Taylor series to the
    seventh power, and exp(2 x) - 1 = 2^k (exp(r) - 1) + (2^k - 1). NaN stays NaN.
    """
    for i in range(values.size):
        x = values[i]
        x = -_TANH_LIMIT if x < -_TANH_LIMIT else (_TANH_LIMIT if x > _TANH_LIMIT else x)
        shifted = (x + x) * _LOG2_E + _ROUND
        k = shifted - _ROUND
        r = ((x + x) - k * _LN_2_HIGH) - k * _LN_2_LOW
        series = r + r * r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7)))))
        exponent = np.float32(shifted).view(np.int32) - _ROUND_BITS + _EXPONENT_BIAS
        power = np.int32(exponent << _EXPONENT_SHIFT).view(np.float32)
        d = power * series + (power - _ONE)
        values[i] = d / (d + _TWO)


@array_kernel
def relu_in_place(values: Float32Array) -> None:
    """Replace each value below 0 by 0; NaN stays."""
    for i in range(values.size):
        values[i] = _ZERO if values[i] < _ZERO else values[i]


@array_kernel
def _apply_layer(inputs: Float32Array, weight: Float32Array, bias: Float32Array,
                 out: Float32Array) -> None:  # fmt: skip
    """Write ``inputs @ weight.T + bias``."""
    np.dot(inputs, weight.T, out)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] += bias[column]


@array_kernel
def _pool_maximum(counts: IntArray, embedded: Float32Array, features: Float32Array) -> None:
    """Write the maximum over each observation's peers, 0 without any; NaN wins."""
    embed = embedded.shape[1]
    start = 0
    for row in range(counts.size):
        for column in range(embed):
            features[row, column] = _ZERO
        for peer in range(start, start + counts[row]):
            for column in range(embed):
                value, best = embedded[peer, column], features[row, column]
                features[row, column] = value if value > best or value != value else best  # noqa: PLR0124 - NaN
        start += counts[row]


@array_kernel
def pack_observations(ego: Float32Array, peers: Float32Array, mask: Float32Array,
                      ego_scale: Float32Array, peer_scale: Float32Array,
                      counts: IntArray, packed: Float32Array,
                      features: Float32Array) -> int:  # fmt: skip
    """Scale observations and write them without empty slots.

    An input with an infinite scale is hidden; a peer of which nothing is shown is left out.

    Args:
        ego: Shape (rows, E).
        peers: Shape (rows, slots, F).
        mask: Above 0.5 where a slot holds a peer, shape (rows, slots).
        ego_scale: What to divide by, shape (E,).
        peer_scale: The same of a peer, shape (F,).
        counts: Number of peers of each observation, shape (rows,); written.
        packed: The scaled peers, shape (rows * slots, F); written.
        features: Its last E columns become the scaled ego, shape (rows, at least E).

    Returns:
        The number of peers of all observations.
    """
    offset = features.shape[1] - ego_scale.size
    num_peers = 0
    num_shown = 0
    for column in range(peer_scale.size):
        num_shown += peer_scale[column] < np.inf
    num_slots = mask.shape[1] if num_shown > 0 else 0
    for row in range(ego.shape[0]):
        for column in range(ego_scale.size):
            features[row, offset + column] = ego[row, column] / ego_scale[column]
        first = num_peers
        for slot in range(num_slots):
            if mask[row, slot] > 0.5:
                for column in range(peer_scale.size):
                    packed[num_peers, column] = peers[row, slot, column] / peer_scale[column]
                num_peers += 1
        counts[row] = num_peers - first
    return num_peers


@array_kernel
def forward_network(network: NetworkArrays, num_rows: int, num_peers: int,
                    scratch: ForwardScratch) -> Float32Array:  # fmt: skip
    """Run a network over packed observations.

    Args:
        network: The network.
        num_rows: Number of observations.
        num_peers: Number of their peers.
        scratch: Holds the packed observations; everything else in it is written.

    Returns:
        The output, a view of the scratch, shape (num_rows, width of the last layer).
    """
    weights, sizes = network
    hidden_size, embed = sizes[SIZE_HIDDEN], sizes[SIZE_EMBED]
    num_features = sizes[SIZE_FEATURES]
    end = hidden_size * num_features
    matrix, bias = weights[:end], weights[end : end + hidden_size]
    position = end + hidden_size
    hidden, embedded = scratch.hidden[:num_peers], scratch.embedded[:num_peers]
    if num_peers > 0:
        matrix_1 = matrix.reshape(hidden_size, num_features)
        _apply_layer(scratch.peers[:num_peers], matrix_1, bias, hidden)
        relu_in_place(hidden.reshape(hidden.size))
    end = position + embed * hidden_size
    matrix, bias = weights[position:end], weights[end : end + embed]
    position = end + embed
    if num_peers > 0:
        _apply_layer(hidden, matrix.reshape(embed, hidden_size), bias, embedded)
        relu_in_place(embedded.reshape(embedded.size))
    _pool_maximum(scratch.counts[:num_rows], embedded, scratch.features)

    inputs = scratch.features[:num_rows]
    written = 0
    for layer in range(FIRST_WIDTH, sizes.size):
        width, num_inputs = sizes[layer], inputs.shape[1]
        end = position + width * num_inputs
        matrix, bias = weights[position:end], weights[end : end + width]
        position = end + width
        flat = scratch.layers[written : written + num_rows * width]
        out = flat.reshape(num_rows, width)
        _apply_layer(inputs, matrix.reshape(width, num_inputs), bias, out)
        if layer < sizes.size - 1:
            if sizes[SIZE_ACTIVATION] == TANH:
                tanh_in_place(flat)
            else:
                relu_in_place(flat)
        written += num_rows * width
        inputs = out
    return inputs


@array_kernel
def _layer_gradient(outer: Float32Array, inputs: Float32Array, matrix_out: Float32Array,
                    bias_out: Float32Array) -> None:  # fmt: skip
    """Write a layer's gradient: ``outer.T @ inputs``, and the sum of ``outer`` over its rows."""
    np.dot(outer.T, inputs, matrix_out)
    bias_out[:] = _ZERO
    for row in range(outer.shape[0]):
        for column in range(outer.shape[1]):
            bias_out[column] += outer[row, column]


@array_kernel
def _through_activation(outer: Float32Array, values: Float32Array, activation: int) -> None:
    """Multiply by the derivative of an activation, from its values."""
    if activation == TANH:
        for i in range(outer.size):
            outer[i] *= _ONE - values[i] * values[i]
    else:
        for i in range(outer.size):
            outer[i] = outer[i] if values[i] > _ZERO else _ZERO


@array_kernel
def _through_maximum(counts: IntArray, forward: ForwardScratch, outer: Float32Array,
                     scratch: BackwardScratch) -> None:  # fmt: skip
    """Hand the pooled gradient to the peers that hold the maximum, in equal parts if several do.

    A maximum of 0 is the ReLU's edge, whose gradient is 0.
    """
    embedded, pooled, ties = forward.embedded, forward.features, scratch.ties
    start = 0
    for row in range(counts.size):
        end = start + counts[row]
        ties[:] = _ZERO
        for peer in range(start, end):
            for column in range(ties.size):
                holds = embedded[peer, column] == pooled[row, column]
                ties[column] += _ONE if holds else _ZERO
        for column in range(ties.size):
            is_above_edge = pooled[row, column] > _ZERO
            ties[column] = outer[row, column] / ties[column] if is_above_edge else _ZERO
        for peer in range(start, end):
            for column in range(ties.size):
                holds = embedded[peer, column] == pooled[row, column]
                scratch.embedded[peer, column] = ties[column] if holds else _ZERO
        start = end


@array_kernel
def backward_network(network: NetworkArrays, num_rows: int, num_peers: int,
                     forward: ForwardScratch, scratch: BackwardScratch,
                     gradient: Float32Array) -> None:  # fmt: skip
    """Write the gradient with respect to the weights after a forward pass of the same network.

    Args:
        network: The network.
        num_rows: Number of observations.
        num_peers: Number of their peers.
        forward: What the forward pass left.
        scratch: Its `layer` holds the gradient with respect to the output, (num_rows, width).
        gradient: Shape of the weights; written.
    """
    weights, sizes = network
    hidden_size, embed = sizes[SIZE_HIDDEN], sizes[SIZE_EMBED]
    num_features = sizes[SIZE_FEATURES]
    first_end = hidden_size * num_features
    second = first_end + hidden_size
    second_end = second + embed * hidden_size
    head = second_end + embed

    position = head
    inputs_size = forward.features.shape[1]
    written = 0
    for layer in range(FIRST_WIDTH, sizes.size):
        position += sizes[layer] * (inputs_size + 1)
        inputs_size = sizes[layer]
        written += num_rows * inputs_size
    outer_flat, below_flat = scratch.layer, scratch.layer_below
    for layer in range(sizes.size - 1, FIRST_WIDTH - 1, -1):
        width = sizes[layer]
        is_first = layer == FIRST_WIDTH
        num_inputs = forward.features.shape[1] if is_first else sizes[layer - 1]
        written -= num_rows * width
        position -= width * (num_inputs + 1)
        end = position + width * num_inputs
        outer = outer_flat[: num_rows * width].reshape(num_rows, width)
        values = forward.layers[written - num_rows * num_inputs : written] if not is_first else \
            forward.features[:num_rows].reshape(num_rows * num_inputs)  # fmt: skip
        _layer_gradient(
            outer,
            values.reshape(num_rows, num_inputs),
            gradient[position:end].reshape(width, num_inputs),
            gradient[end : end + width],
        )
        below = below_flat[: num_rows * num_inputs]
        matrix = weights[position:end].reshape(width, num_inputs)
        np.dot(outer, matrix, below.reshape(num_rows, num_inputs))
        if not is_first:
            _through_activation(below, values, sizes[SIZE_ACTIVATION])
        outer_flat, below_flat = below_flat, outer_flat

    if num_peers == 0:
        gradient[:head] = _ZERO
        return
    num_inputs = forward.features.shape[1]
    outer = outer_flat[: num_rows * num_inputs].reshape(num_rows, num_inputs)
    _through_maximum(forward.counts[:num_rows], forward, outer, scratch)
    hidden, outer_embedded = forward.hidden[:num_peers], scratch.embedded[:num_peers]
    _layer_gradient(
        outer_embedded,
        hidden,
        gradient[second:second_end].reshape(embed, hidden_size),
        gradient[second_end:head],
    )
    outer_hidden = scratch.hidden[:num_peers]
    np.dot(outer_embedded, weights[second:second_end].reshape(embed, hidden_size), outer_hidden)
    _through_activation(outer_hidden.reshape(outer_hidden.size), hidden.reshape(hidden.size), RELU)
    _layer_gradient(
        outer_hidden,
        forward.peers[:num_peers],
        gradient[:first_end].reshape(hidden_size, num_features),
        gradient[first_end:second],
    )
