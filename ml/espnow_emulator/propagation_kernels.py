"""Propagation on a directed link: path loss, cars in the way, shadowing and fading.

reception = (1 - floor) Q(m, m 10^(-margin / 10)), margin = margin at 1 m - path loss - obstruction
* cars in the way + shadowing; Q the regularised upper incomplete gamma function, the probability
that a Nakagami-m fading power of mean 1 exceeds the share of it that decoding needs.

Sources: break point and path loss, Sommer et al. (Veins); obstruction, Abbas et al. 2015;
correlated shadowing, Gudmundson 1991.
"""

from __future__ import annotations

import math

from ml.espnow_emulator.radio_layout import (
    LINK_SHADOWING,
    LINK_SHADOWING_X,
    STREAM_FADING,
    STREAM_SHADOWING,
    VALUE_BREAK_POINT,
    VALUE_FADING,
    VALUE_FADING_FAR,
    VALUE_FADING_FAR_FROM,
    VALUE_FLOOR_LOSS,
    VALUE_MARGIN,
    VALUE_MAX_OBSTRUCTING,
    VALUE_OBSTRUCTION,
    VALUE_SHADOWING_DECORRELATION,
    VALUE_SHADOWING_STD,
    RadioArrays,
)
from ml.espnow_emulator.random_kernels import normal_pair_at, stream_start, uniform_at
from ml.kernels import inlined_kernel, kernel
from ml.types import CAR_HEADING, CAR_LENGTH, CAR_X, CAR_Y, FloatArray

HALF_CAR_WIDTH_M = 0.9
_LARGEST_NUM_TERMS = 300
_SMALLEST_TERM = 1e-12
_TINY = 1e-300


@kernel
def upper_gamma_share(shape: float, x: float) -> float:
    """Return Q(shape, x) = Gamma(shape, x) / Gamma(shape), for shape > 0 and x >= 0.

    The power series of P = 1 - Q below shape + 1, Lentz's continued fraction above.
    Source: NIST Digital Library of Mathematical Functions, 8.11.4 and 8.9.2.
    """
    if x <= 0.0:
        return 1.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        for n in range(1, _LARGEST_NUM_TERMS):
            term *= x / (shape + n)
            total += term
            if term < _SMALLEST_TERM * total:
                break
        return max(0.0, 1.0 - scale * total)
    b = x + 1.0 - shape
    c = 1.0 / _TINY
    d = 1.0 / b
    fraction = d
    for n in range(1, _LARGEST_NUM_TERMS):
        a = -n * (n - shape)
        b += 2.0
        d = a * d + b
        d = 1.0 / (d if abs(d) > _TINY else _TINY)
        c = b + a / c
        c = c if abs(c) > _TINY else _TINY
        fraction *= c * d
        if abs(c * d - 1.0) < _SMALLEST_TERM:
            break
    return min(1.0, scale * fraction)


@kernel
def is_in_the_way(from_x: float, from_y: float, to_x: float, to_y: float, car: FloatArray) -> bool:
    """Return whether the straight line between two antennas crosses a car's outline."""
    cosine, sine = math.cos(car[CAR_HEADING]), math.sin(car[CAR_HEADING])
    half_length_m = 0.5 * car[CAR_LENGTH]
    middle_x = car[CAR_X] - half_length_m * cosine
    middle_y = car[CAR_Y] - half_length_m * sine
    begin_along = (from_x - middle_x) * cosine + (from_y - middle_y) * sine
    begin_left = (from_y - middle_y) * cosine - (from_x - middle_x) * sine
    step_along = (to_x - from_x) * cosine + (to_y - from_y) * sine
    step_left = (to_y - from_y) * cosine - (to_x - from_x) * sine
    enters, leaves = 0.0, 1.0
    for axis in range(2):
        begin, step, half = begin_along, step_along, half_length_m
        if axis == 1:
            begin, step, half = begin_left, step_left, HALF_CAR_WIDTH_M
        if step == 0.0:
            if abs(begin) > half:
                return False
            continue
        first, second = (-half - begin) / step, (half - begin) / step
        enters = max(enters, min(first, second))
        leaves = min(leaves, max(first, second))
    return bool(enters < leaves)


@kernel
def count_obstructing(cars: FloatArray, sender: int, receiver: int, most: int) -> int:
    """Return how many other cars' outlines cross the line between two cars' middles, at most."""
    from_x, from_y = _antenna_m(cars[sender])
    to_x, to_y = _antenna_m(cars[receiver])
    count = 0
    for other in range(cars.shape[0]):
        if other in (sender, receiver) or count >= most:
            continue
        if is_in_the_way(from_x, from_y, to_x, to_y, cars[other]):
            count += 1
    return count


@kernel
def _antenna_m(car: FloatArray) -> tuple[float, float]:
    """Return where a car's antenna is: in its middle."""
    half_length_m = 0.5 * car[CAR_LENGTH]
    x = car[CAR_X] - half_length_m * math.cos(car[CAR_HEADING])
    y = car[CAR_Y] - half_length_m * math.sin(car[CAR_HEADING])
    return x, y


@inlined_kernel
def update_shadowing(
    radio: RadioArrays, link: FloatArray, sender: int, receiver: int, counter: int
) -> None:
    """Carry a link's shadowing on to the cars' present places; counter 0 begins it.

    s' = rho s + sqrt(1 - rho^2) N(0, 1), rho = exp(-displacement / decorrelation distance), the
    displacement that of one car relative to the other.
    """
    x = radio.cars[sender, CAR_X] - radio.cars[receiver, CAR_X]
    y = radio.cars[sender, CAR_Y] - radio.cars[receiver, CAR_Y]
    memory = 0.0
    if counter > 0:
        moved_m = math.hypot(x - link[LINK_SHADOWING_X], y - link[LINK_SHADOWING_X + 1])
        if moved_m == 0.0:
            return
        memory = math.exp(-moved_m / radio.values[VALUE_SHADOWING_DECORRELATION])
    start = stream_start(radio.radio_key[0], STREAM_SHADOWING, sender, receiver)
    normal, _ = normal_pair_at(start, counter)
    link[LINK_SHADOWING] = memory * link[LINK_SHADOWING] + math.sqrt(1.0 - memory**2) * normal
    link[LINK_SHADOWING_X], link[LINK_SHADOWING_X + 1] = x, y


@kernel
def mean_margin_db(values: FloatArray, distance_m: float, num_obstructing: int) -> float:
    """Return the margin without shadowing [dB]; a distance below 1 m counts as 1 m."""
    distance_m = max(distance_m, 1.0)
    loss_db = 20.0 * math.log10(distance_m)
    if distance_m > values[VALUE_BREAK_POINT]:
        loss_db += 20.0 * math.log10(distance_m / values[VALUE_BREAK_POINT])
    return float(values[VALUE_MARGIN] - loss_db - values[VALUE_OBSTRUCTION] * num_obstructing)


@kernel
def decoding_probability(values: FloatArray, margin_db: float, distance_m: float) -> float:
    """Return the probability that fading lets a frame through at a margin, floor included."""
    is_far = distance_m > values[VALUE_FADING_FAR_FROM]
    shape = values[VALUE_FADING_FAR] if is_far else values[VALUE_FADING]
    decoded = upper_gamma_share(shape, shape * 10.0 ** (-0.1 * margin_db))
    return float((1.0 - values[VALUE_FLOOR_LOSS]) * decoded)


@inlined_kernel
def is_decoded(
    radio: RadioArrays, sender: int, receiver: int, counter: int, distance_m: float
) -> bool:
    """Return whether propagation lets a transmission through on a link; one draw for each."""
    values, cars = radio.values, radio.cars
    most = int(values[VALUE_MAX_OBSTRUCTING])
    num_obstructing = count_obstructing(cars, sender, receiver, most)
    margin_db = mean_margin_db(values, distance_m, num_obstructing)
    shadowing = radio.links[receiver, sender, LINK_SHADOWING]
    margin_db += values[VALUE_SHADOWING_STD] * shadowing
    start = stream_start(radio.radio_key[0], STREAM_FADING, sender, receiver)
    return bool(uniform_at(start, counter) < decoding_probability(values, margin_db, distance_m))
