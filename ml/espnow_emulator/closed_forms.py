"""Closed forms of the radio: collisions, reception against distance, bursts and age.

Pure functions, against which the emulator is tested and the fits and reports are drawn. One-way
throughout. The emulator itself uses none of them.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from ml.types import FloatArray

BACKOFF_SLOTS = 32
_NUM_QUADRATURE_POINTS = 64


def aligned_collision_rate(num_senders: int) -> float:
    """Return the share of frames that collide when all are handed over at the same instant.

    (N - 1) / N (1 - (31/32)^(N - 2)): the first finds the medium idle, the others draw one of 32
    backoff slots.

    >>> round(aligned_collision_rate(10), 4)
    0.2019
    """
    if num_senders < 2:
        return 0.0
    alone = (1.0 - 1.0 / BACKOFF_SLOTS) ** (num_senders - 2)
    return (num_senders - 1) / num_senders * (1.0 - alone)


def path_loss_db(distance_m: FloatArray | float, break_point_m: float = 73.0) -> FloatArray:
    """Return the path loss relative to 1 m [dB]: 20 dB a decade to the break point, then 40.

    Args:
        distance_m: Distances, any shape [m]; below 1 m counts as 1 m.
        break_point_m: Where the ground reflection begins to cancel the direct ray [m].
    """
    distance = np.maximum(np.asarray(distance_m, dtype=np.float64), 1.0)
    beyond = np.maximum(distance / break_point_m, 1.0)
    return np.asarray(20.0 * np.log10(distance) + 20.0 * np.log10(beyond))


def reception_probability(  # noqa: PLR0913 - one argument for each symbol of the formula
    distance_m: FloatArray | float,
    margin_at_1m_db: float,
    *,
    floor_loss: float = 0.0,
    shadowing_std_db: float = 3.0,
    fading_m: float = 1.5,
    fading_m_far: float = 0.75,
    fading_far_m: float = 80.0,
    break_point_m: float = 73.0,
    obstruction_db: float = 0.0,
) -> FloatArray:
    """Return the probability that a frame is decoded, averaged over shadowing.

    (1 - floor_loss) E[Q(m, m 10^(-margin / 10))], margin = margin_at_1m - path loss - obstruction +
    N(0, shadowing_std), Q the regularised upper incomplete gamma function: the probability that
    Nakagami-m fading leaves more than the sensitivity. m is ``fading_m`` up to ``fading_far_m``,
    ``fading_m_far`` beyond. The mean over shadowing is a Gauss-Hermite quadrature.

    Args:
        distance_m: Distances, any shape [m].
        margin_at_1m_db: Mean received power over the sensitivity at 1 m [dB].
        floor_loss: Loss at any distance.
        shadowing_std_db: Standard deviation of the shadowing [dB].
        fading_m: Shape of the fading near the sender.
        fading_m_far: Shape of the fading beyond ``fading_far_m``.
        fading_far_m: See ``fading_m`` [m].
        break_point_m: See :func:`path_loss_db` [m].
        obstruction_db: Loss to the cars in the way, all together [dB].

    Returns:
        Probabilities, the shape of ``distance_m``.

    >>> round(float(reception_probability(30.0, 38.6, floor_loss=0.04)), 3)
    0.883
    """
    distance = np.asarray(distance_m, dtype=np.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NUM_QUADRATURE_POINTS)
    mean_db = margin_at_1m_db - path_loss_db(distance, break_point_m) - obstruction_db
    margin_db = mean_db[..., np.newaxis] + shadowing_std_db * nodes
    shape = np.where(distance <= fading_far_m, fading_m, fading_m_far)[..., np.newaxis]
    decoded = special.gammaincc(shape, shape * 10.0 ** (-margin_db / 10.0))
    mean = (decoded * weights).sum(axis=-1) / weights.sum()
    return np.asarray((1.0 - floor_loss) * mean)


def mean_age_ms(
    loss: float, mean_burst: float, *, delay_ms: float = 0.0, period_ms: float = 100.0
) -> float:
    """Return the mean age of the newest state held, sampled at a random instant [ms].

    delay + period (1 + p (2 + r) / r^2) / (2 (1 + p / r)) for a two-state process with
    r = 1 / mean_burst, p = loss r / (1 - loss).

    >>> round(mean_age_ms(0.12, 5.0, delay_ms=4.0), 1)
    114.0
    """
    to_good = 1.0 / mean_burst
    to_bad = loss * to_good / (1.0 - loss)
    growth = 1.0 + to_bad * (2.0 + to_good) / to_good**2
    return delay_ms + period_ms * growth / (2.0 * (1.0 + to_bad / to_good))


def peak_age_ms(loss: float, *, delay_ms: float = 0.0, period_ms: float = 100.0) -> float:
    """Return the mean age just before a reception [ms], the same for all bursts of one loss.

    >>> round(peak_age_ms(0.12, delay_ms=4.0), 1)
    117.6
    """
    return delay_ms + period_ms / (1.0 - loss)


def age_exceedance(
    age_ms: FloatArray | float,
    loss: float,
    mean_burst: float,
    *,
    delay_ms: float = 0.0,
    period_ms: float = 100.0,
) -> FloatArray:
    """Return P(age > ``age_ms``) at a random instant, for a constant delay.

    For a = age - delay >= T, k = floor(a / T): p (1-r)^(k-1) [T (1+k) - a + T (1-r) / r] /
    (T (1 + p/r)); for 0 <= a < T: 1 - a / (T (1 + p/r)); below, 1.

    Args:
        age_ms: Ages, any shape [ms].
        loss: Loss of the two-state process.
        mean_burst: Its mean number of consecutive losses.
        delay_ms: Time from transmission to reception [ms].
        period_ms: Time between transmissions, T [ms].

    >>> round(float(age_exceedance(500.0, 0.12, 5.0, delay_ms=4.0)), 4)
    0.0496
    """
    to_good = 1.0 / mean_burst
    to_bad = loss * to_good / (1.0 - loss)
    since = np.asarray(age_ms, dtype=np.float64) - delay_ms
    cycle_ms = period_ms * (1.0 + to_bad / to_good)
    num_periods = np.maximum(np.floor(since / period_ms), 1.0)
    rest_ms = period_ms * (1.0 + num_periods) - since + period_ms * (1.0 - to_good) / to_good
    in_burst = to_bad * (1.0 - to_good) ** (num_periods - 1.0) * rest_ms / cycle_ms
    exceedance = np.where(since < period_ms, 1.0 - since / cycle_ms, in_burst)
    return np.where(since < 0.0, 1.0, exceedance)
