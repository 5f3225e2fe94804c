"""What a link's losses and delays say: estimates with 95 % intervals.

Pure functions of gaps (frames lost between two received in a row) and of times. A two-state
process is back in its good state at every reception, so gaps are independent of one another, and
all its likelihood is in their counts.

Sources:
    Gilbert, "Capacity of a burst-noise channel", Bell System Technical Journal 39 (1960).
    Clopper and Pearson, Biometrika 26 (1934): exact limits of a proportion.
    Moon, Skelly and Towsley, "Estimation and removal of clock skew from network delay
    measurements", INFOCOM 1999: the line below all points that is nearest to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, ndtri, stdtrit

from ml.espnow_emulator.sampling_intervals import clopper_pearson
from ml.types import FloatArray, IntArray

CONFIDENCE = 0.95
AVOIDANCE_LEVEL = 0.001
"""Losses that follow a loss more rarely than this by chance are no fading."""

_TAIL = (1.0 - CONFIDENCE) / 2.0
QUANTILE = float(ndtri(1.0 - _TAIL))
"""Of the normal law: half an interval in standard errors."""
_NUM_RESAMPLES = 2000


class Estimate(NamedTuple):
    """A value and its 95 % interval.

    Attributes:
        value: The estimate.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LossFit:
    """The two-state process that fits a link's losses best.

    Attributes:
        num_frames: Frames whose fate follows one that is known; each is a transition.
        num_lost: Of these, lost.
        num_bursts: Runs of losses.
        longest_burst: Frames in the longest of them.
        effective_frames: Independent frames that would tell the loss as well.
        loss: Share of frames lost, to_bad / (to_bad + to_good).
        to_bad: Probability p, good to bad.
        to_good: Probability r, bad to good; None without a loss.
        mean_burst: 1 / r [frames]; None without a loss.
        correlation: Of one frame's fate with the next one's, 1 - p - r; 0 without a loss.
        avoidance_probability: That independent losses follow a loss as rarely as here.
    """

    num_frames: int
    num_lost: int
    num_bursts: int
    longest_burst: int
    effective_frames: float
    loss: Estimate
    to_bad: Estimate
    to_good: Estimate | None
    mean_burst: Estimate | None
    correlation: float
    avoidance_probability: float

    @property
    def has_bursts(self) -> bool:
        """Return whether losses follow a loss more often than they would by chance."""
        return self.num_lost > 0 and self.correlation > 0.0

    @property
    def process(self) -> tuple[float, float]:
        """Return (p, r) of the model: independent losses where there are no bursts."""
        if self.to_good is None:
            return 0.0, 1.0
        if not self.has_bursts:
            return self.loss.value, 1.0 - self.loss.value
        return self.to_bad.value, self.to_good.value


@dataclass(frozen=True)
class OneWayLoss:
    """Loss and mean burst of one way.

    Attributes:
        loss: Share of frames lost.
        mean_burst: Mean number of consecutive losses [frames]; None without a loss.
    """

    loss: Estimate
    mean_burst: Estimate | None


def proportion(successes: float, trials: float) -> Estimate:
    """Return a proportion with its Clopper-Pearson interval; counts may be effective ones.

    >>> [round(limit, 4) for limit in proportion(0, 10)]
    [0.0, 0.0, 0.3085]
    """
    return Estimate(successes / trials, *clopper_pearson(successes, trials, CONFIDENCE))


def fit_losses(gaps: IntArray, *, assumed_burst: float) -> LossFit:
    """Fit the two-state process by maximum likelihood.

    ``p = bursts / receptions``, ``r = bursts / losses``, both with Clopper-Pearson limits. The loss
    is ``1 - 1 / mean(gap + 1)``. Gaps are independent, so by the delta method its variance is
    ``var(gap) / (m mean(gap + 1)^4)`` for m gaps; for a two-state process that is
    ``loss (1 - loss) (2 - p - r) / (n (p + r))``, and for longer tails it is larger. The interval
    is Clopper-Pearson's for the number of independent frames with this variance, at most n.

    Args:
        gaps: Frames lost between each two received in a row, (num_gaps,), at least one.
        assumed_burst: Mean burst with which losses that were not seen would come [frames].

    Returns:
        The fit. Without a loss the interval's upper limit is that of ``n / (2 assumed_burst - 1)``
        frames.
    """
    num_received, num_lost = len(gaps), int(gaps.sum())
    num_bursts = int(np.count_nonzero(gaps))
    num_frames = num_received + num_lost
    to_bad = proportion(num_bursts, num_received)
    if num_lost == 0:
        effective = num_frames / (2.0 * assumed_burst - 1.0)
        return LossFit(
            num_frames, 0, 0, 0, effective, proportion(0, effective), to_bad, None, None, 0.0, 1.0
        )
    loss = num_lost / num_frames
    to_good = proportion(num_bursts, num_lost)
    variance = float(gaps.var()) / num_received * (1.0 - loss) ** 4
    effective = min(float(num_frames), loss * (1.0 - loss) / variance) if variance else 1.0
    interval = proportion(loss * effective, effective)
    return LossFit(
        num_frames=num_frames,
        num_lost=num_lost,
        num_bursts=num_bursts,
        longest_burst=int(gaps.max()),
        effective_frames=effective,
        loss=Estimate(loss, interval.low, interval.high),
        to_bad=to_bad,
        to_good=to_good,
        mean_burst=Estimate(1.0 / to_good.value, 1.0 / to_good.high, 1.0 / to_good.low),
        correlation=1.0 - to_bad.value - to_good.value,
        avoidance_probability=float(bdtr(num_lost - num_bursts, num_lost, loss)),
    )


def one_way_of_two_way(fit: LossFit, gaps: IntArray, rng: np.random.Generator) -> OneWayLoss:
    """Return each way's loss and bursts, both ways being alike and independent of each other.

    An echo comes when both ways are good: ``1 - loss2 = (1 - loss)^2``, and after an echo the next
    one comes with ``1 - p2 = (1 - p)^2``. So ``r = p (1 - loss) / loss``. The mean burst's interval
    is the bootstrap's, by drawing gaps anew.

    Args:
        fit: Of the echoes.
        gaps: The echoes' own, as given to :func:`fit_losses`.
        rng: Generator of the bootstrap.
    """
    loss = Estimate(*(1.0 - math.sqrt(1.0 - limit) for limit in fit.loss))
    if fit.num_lost == 0:
        return OneWayLoss(loss, None)
    counts = np.bincount(gaps)
    draws = rng.multinomial(len(gaps), counts / len(gaps), size=_NUM_RESAMPLES)
    lengths = np.arange(len(counts))
    num_lost = np.maximum(draws @ lengths, 1)
    bursts = _one_way_burst(num_lost, len(gaps) - draws[:, 0], len(gaps))
    low, high = np.quantile(bursts, [_TAIL, 1.0 - _TAIL])
    value = _one_way_burst(np.array(fit.num_lost), np.array(fit.num_bursts), len(gaps))
    return OneWayLoss(loss, Estimate(float(value), float(low), float(high)))


def _one_way_burst(num_lost: IntArray, num_bursts: IntArray, num_received: int) -> FloatArray:
    """Return the mean burst of one way, loss / (p (1 - loss)), at least 1 frame."""
    good = np.sqrt(num_received / (num_received + num_lost))
    to_bad = 1.0 - np.sqrt(1.0 - np.minimum(np.maximum(num_bursts, 1) / num_received, 1.0))
    return np.asarray(np.maximum((1.0 - good) / (to_bad * good), 1.0))


def longest_burst_probability(longest: int, num_bursts: int, to_good: float) -> float:
    """Return how probable a burst at least as long as the longest one is under the model.

    1 - (1 - (1 - r)^(longest - 1))^num_bursts.

    >>> round(longest_burst_probability(2, 3, 0.5), 3)
    0.875
    """
    within = 1.0 - (1.0 - to_good) ** (longest - 1)
    return float(1.0 - within**num_bursts)


# --- Latency -------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A straight line.

    Attributes:
        offset: Value at 0.
        slope: Growth.
    """

    offset: float
    slope: float


def line_below(places: FloatArray, values: FloatArray) -> Line:
    """Return the line below all points with the least sum of distances to them.

    It runs along the edge of the points' lower convex hull that spans their mean place.

    Args:
        places: Rising, (num_points,), at least two.
        values: (num_points,).
    """
    hull: list[tuple[float, float]] = []
    for x, y in zip(places.tolist(), values.tolist(), strict=True):
        while len(hull) >= 2 and _is_above(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    middle = float(places.mean())
    right = next((i for i, (x, _) in enumerate(hull) if x >= middle), len(hull) - 1)
    (x0, y0), (x1, y1) = hull[max(right, 1) - 1], hull[max(right, 1)]
    slope = (y1 - y0) / (x1 - x0)
    return Line(y0 - slope * x0, slope)


def _is_above(
    first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]
) -> bool:
    """Return whether the middle point lies on or above the line through the outer ones."""
    turn = (middle[0] - first[0]) * (last[1] - first[1])
    return turn <= (middle[1] - first[1]) * (last[0] - first[0])


def without_trend(places: FloatArray, values: FloatArray) -> FloatArray:
    """Return values less their least-squares line, (num_points,), with n - 2 degrees of freedom.

    They are scaled by sqrt(n / (n - 2)), so that their mean square is the unbiased variance.
    """
    centred = places - places.mean()
    slope = float(centred @ values) / float(centred @ centred)
    num_points = len(places)
    rest = values - values.mean() - slope * centred
    return np.asarray(rest * math.sqrt(num_points / (num_points - 2)))


def standard_deviation(deviations: FloatArray) -> Estimate:
    """Return the standard deviation of values of mean 0, the interval by their fourth moment.

    The variance of the mean square is ``(m4 - m2^2) / n`` for independent values of any law.
    """
    squares = deviations**2
    variance = float(squares.mean())
    if variance == 0.0:
        return Estimate(0.0, 0.0, 0.0)
    margin = QUANTILE * float(squares.std()) / math.sqrt(len(squares))
    low = math.sqrt(max(variance - margin, 0.0))
    return Estimate(math.sqrt(variance), low, math.sqrt(variance + margin))


def median(values: FloatArray) -> Estimate:
    """Return the median, with the order statistics that hold it with 95 % whatever the law."""
    ordered = np.sort(values)
    num_values = len(ordered)
    margin = QUANTILE * math.sqrt(num_values) / 2.0
    low = max(math.floor(num_values / 2.0 - margin), 0)
    high = min(math.ceil(num_values / 2.0 + margin), num_values - 1)
    return Estimate(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))


def clustered_margin(scores: FloatArray, information: FloatArray, block: IntArray) -> FloatArray:
    """Return half the 95 % intervals of a maximum-likelihood fit to correlated data.

    The sandwich ``I^-1 (sum of block scores' outer products) I^-1``, valid when the correlation is
    shorter than a block; Student's t with blocks - parameters degrees of freedom.

    Args:
        scores: Derivatives of each datum's log-likelihood, (num_data, num_parameters).
        information: Fisher information, (num_parameters, num_parameters).
        block: Block of each datum, from 0, (num_data,).

    Returns:
        Half widths, (num_parameters,).
    """
    num_blocks, num_parameters = int(block.max()) + 1, scores.shape[1]
    sums = np.stack(
        [np.bincount(block, weights=column, minlength=num_blocks) for column in scores.T], axis=1
    )
    inverse = np.linalg.inv(information)
    variance = inverse @ (sums.T @ sums) @ inverse * num_blocks / (num_blocks - 1)
    quantile = float(stdtrit(num_blocks - num_parameters, 1.0 - _TAIL))
    return np.asarray(quantile * np.sqrt(np.diag(variance)))
