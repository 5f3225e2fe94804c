"""Reception against distance: the physical mode's margin and floor by maximum likelihood.

Pure functions. The model is ``closed_forms.reception_probability`` with the nominal shadowing and
fading, nothing in the way; with two-way data it is squared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ml.errors import RadioParameterError
from ml.espnow_emulator.closed_forms import reception_probability
from ml.espnow_emulator.link_fit import QUANTILE, Estimate, clustered_margin, proportion
from ml.espnow_emulator.link_sessions import FrameOutcomes
from ml.espnow_emulator.physical_sections import PhysicalParameters
from ml.espnow_emulator.shadowing_scatter import shadowing_scatter
from ml.types import FloatArray, IntArray

FEWEST_FRAMES = 500
FEWEST_FRAMES_IN_TIER = 200
POINT_WIDTH_M = 10.0
SMALLEST_SPAN = 2.0
LARGEST_MARGIN_ERROR_DB = 10.0

_NOMINAL = PhysicalParameters()
_MARGIN_BOUNDS_DB = (0.0, 120.0)
_FLOOR_BOUNDS = (0.0, 0.95)
_FIRST_FLOORS = (0.01, 0.05, 0.15, 0.4)
_DISTANCE_RATIO = 0.02
_NUM_BLOCKS = 20
_SMALLEST_BLOCK = 20
_LARGEST_CONDITION = 1e12
_MARGIN_STEP_DB = 0.01
_SMALLEST_PROBABILITY = 1e-9
_NUM_SHADOWING_NODES = 24
_DEMANDED_ERRORS = 3.0
_CLEAR_SHARE = 0.1
_FEWEST_CLEAR_PAIRS = 300
_SMALLEST_INTERFERENCE = 0.005
_LARGEST_CORRELATION = 0.98


@dataclass(frozen=True)
class DistanceFit:
    """The physical mode's values that fit best.

    Attributes:
        margin_at_1m_db: Mean received power over the sensitivity at 1 m [dB].
        floor_loss: Loss at any distance, independent from frame to frame.
        interference_loss: Loss at any distance that comes in bursts; takes the floor's place.
        mean_burst: Of the interference [frames]; None without.
        correlation: Of neighbouring frames' deviations from the model, where shadowing has little
            say if enough frames are there.
        shadowing_correlation: The most of it that shadowing can give.
        correlation_error: Standard error of the correlation.
        num_frames: Frames fitted.
        nearest_m: Shortest distance [m].
        farthest_m: Longest distance [m].
    """

    margin_at_1m_db: Estimate
    floor_loss: Estimate
    interference_loss: float
    mean_burst: float | None
    correlation: float
    shadowing_correlation: float
    correlation_error: float
    num_frames: int
    nearest_m: float
    farthest_m: float


def modelled_reception(
    distance_m: FloatArray, margin_db: float, floor_loss: float, *, ways: int = 1
) -> FloatArray:
    """Return the model's reception, or of both ways, (num_distances,)."""
    one_way = reception_probability(
        distance_m,
        margin_db,
        floor_loss=floor_loss,
        shadowing_std_db=_NOMINAL.shadowing_std_db,
        fading_m=_NOMINAL.fading_m,
        fading_m_far=_NOMINAL.fading_m_far,
        fading_far_m=_NOMINAL.fading_far_m,
        break_point_m=_NOMINAL.break_point_m,
    )
    return np.asarray(one_way**ways)


def fit_distance(outcomes: FrameOutcomes, *, is_two_way: bool, source: str) -> DistanceFit:
    """Fit margin and floor to the frames' fates.

    Frames are taken as independent for the estimate. The interval is the wider one of two: the
    sandwich's over about 20 blocks in a row, and that of the nominal shadowing on this drive, which
    blocks shorter than it cannot see. What shadowing cannot explain of the neighbours' correlation
    makes the floor a loss in bursts, if it is more than 3 standard errors.

    Args:
        outcomes: Every frame's fate and distance.
        is_two_way: Reception takes both ways.
        source: The logs' names, for messages.

    Raises:
        RadioParameterError: The frames do not tell the values.
    """
    _check_outcomes(outcomes, source)
    ways = 2 if is_two_way else 1
    # Distances within 1 %, 0.09 dB, share a place, which spares most of the quadratures.
    logarithm = np.log(np.maximum(outcomes.distance_m, 1.0))
    step, place = np.unique(np.round(logarithm / _DISTANCE_RATIO), return_inverse=True)
    places_m = np.exp(step * _DISTANCE_RATIO)
    margin_db, floor = _most_likely(places_m, place, outcomes, ways)
    derivatives, chance = _derivatives(places_m, margin_db, floor, ways)
    # d log L / d theta of one frame = (x - R) / (R (1 - R)) dR / d theta.
    deviation = outcomes.is_received - chance[place]
    weight = 1.0 / (chance * (1.0 - chance))
    scores = (deviation * weight[place])[:, np.newaxis] * derivatives[place]
    num_at = np.bincount(place)
    information = (derivatives * (num_at * weight)[:, np.newaxis]).T @ derivatives
    response = (weight * derivatives[:, 0])[place, np.newaxis] * derivatives[place]
    scatter = information + shadowing_scatter(response, outcomes) / ways
    half_widths = _half_widths(scores, information, scatter)
    _check_margin(margin_db, half_widths[0], source)
    margin_error, floor_error = half_widths.tolist()
    floor_estimate = Estimate(
        floor, max(floor - floor_error, 0.0), min(floor + floor_error, _FLOOR_BOUNDS[1])
    )
    spread = _shadowing_variance(places_m, margin_db, floor, ways)[place]
    pairs = _neighbours(outcomes, chance[place], spread, floor)
    interference: tuple[float, float | None] = (0.0, None)
    is_demanded = pairs.covariance - pairs.from_shadowing > _DEMANDED_ERRORS * pairs.error
    if is_demanded and not is_two_way:
        interference = _interference(pairs, chance[place] / (1.0 - floor), floor)
    return DistanceFit(
        margin_at_1m_db=Estimate(margin_db, margin_db - margin_error, margin_db + margin_error),
        floor_loss=floor_estimate,
        interference_loss=interference[0],
        mean_burst=interference[1],
        correlation=pairs.covariance / pairs.scale,
        shadowing_correlation=pairs.from_shadowing / pairs.scale,
        correlation_error=pairs.error / pairs.scale,
        num_frames=len(place),
        nearest_m=float(outcomes.distance_m.min()),
        farthest_m=float(outcomes.distance_m.max()),
    )


def _check_outcomes(outcomes: FrameOutcomes, source: str) -> None:
    """Refuse frames that cannot tell how reception falls with distance."""
    num_frames = len(outcomes.is_received)
    if num_frames < FEWEST_FRAMES:
        raise RadioParameterError(
            f"{source} must have at least {FEWEST_FRAMES} frames to fit for --mode physical. "
            f"Got {num_frames}. Record for longer, or use --mode simple."
        )
    nearest_m = max(float(outcomes.distance_m.min()), 1.0)
    farthest_m = max(float(outcomes.distance_m.max()), 1.0)
    if farthest_m < SMALLEST_SPAN * nearest_m:
        raise RadioParameterError(
            f"distance_m in {source} must span a factor of {SMALLEST_SPAN:g} for --mode physical, "
            f"because the margin shows only in how reception falls. Got {nearest_m:g} to "
            f"{farthest_m:g} m. Record at more distances, or use --mode simple."
        )
    num_received = int(outcomes.is_received.sum())
    if num_received in {0, num_frames}:
        kind = "all" if num_received else "none"
        raise RadioParameterError(
            f"{source} must have frames received and frames lost for --mode physical. Got "
            f"{num_frames} frames, {kind} of them received. Record farther out or nearer, or use "
            "--mode simple."
        )


def _most_likely(
    places_m: FloatArray, place: IntArray, outcomes: FrameOutcomes, ways: int
) -> tuple[float, float]:
    """Return the margin [dB] and floor of the greatest likelihood."""
    num_at = np.bincount(place)
    num_received = np.bincount(place, weights=outcomes.is_received)

    def misfit(clear: FloatArray, floor: float) -> float:
        chance = clear * (1.0 - floor) ** ways
        chance = np.clip(chance, _SMALLEST_PROBABILITY, 1.0 - _SMALLEST_PROBABILITY)
        lost = (num_at - num_received) * np.log1p(-chance)
        return -float((num_received * np.log(chance) + lost).sum()) / len(place)

    def clear_at(margin_db: float) -> FloatArray:
        return modelled_reception(places_m, margin_db, 0.0, ways=ways)

    def misfit_of(values: FloatArray) -> float:
        return misfit(clear_at(float(values[0])), float(values[1]))

    starts = [
        (misfit(clear, floor), margin_db, floor)
        for margin_db in np.arange(4.0, 117.0, 4.0).tolist()
        for clear in [clear_at(margin_db)]
        for floor in _FIRST_FLOORS
    ]
    start = min(starts)[1:]
    settings: Any = {
        "x0": np.array(start),
        "method": "Nelder-Mead",
        "bounds": (_MARGIN_BOUNDS_DB, _FLOOR_BOUNDS),
        "options": {"xatol": 1e-4, "fatol": 1e-9, "initial_simplex": _simplex(*start)},
    }
    best = minimize(misfit_of, **settings)
    return float(best.x[0]), float(best.x[1])


def _simplex(margin_db: float, floor: float) -> FloatArray:
    """Return the optimiser's first triangle, (3, 2)."""
    return np.array([[margin_db, floor], [margin_db + 2.0, floor], [margin_db, floor + 0.02]])


def _derivatives(
    places_m: FloatArray, margin_db: float, floor: float, ways: int
) -> tuple[FloatArray, FloatArray]:
    """Return reception's derivatives by margin and floor, (num_places, 2), and reception."""
    higher = modelled_reception(places_m, margin_db + _MARGIN_STEP_DB, floor, ways=ways)
    lower = modelled_reception(places_m, margin_db - _MARGIN_STEP_DB, floor, ways=ways)
    chance = modelled_reception(places_m, margin_db, floor, ways=ways)
    by_margin = (higher - lower) / (2.0 * _MARGIN_STEP_DB)
    by_floor = -ways * chance / (1.0 - floor)
    chance = np.clip(chance, _SMALLEST_PROBABILITY, 1.0 - _SMALLEST_PROBABILITY)
    return np.stack([by_margin, by_floor], axis=1), chance


def _half_widths(scores: FloatArray, information: FloatArray, scatter: FloatArray) -> FloatArray:
    """Return half the intervals of margin and floor, infinite if the frames do not tell them.

    Args:
        scores: Derivatives of each frame's log-likelihood, (num_frames, 2).
        information: Fisher information, (2, 2).
        scatter: Covariance of the summed scores under the nominal shadowing, (2, 2).
    """
    if np.linalg.cond(information) >= _LARGEST_CONDITION:
        return np.full(2, np.inf)
    num_frames = len(scores)
    block = np.arange(num_frames) // max(_SMALLEST_BLOCK, -(-num_frames // _NUM_BLOCKS))
    inverse = np.linalg.inv(information)
    modelled = QUANTILE * np.sqrt(np.diag(inverse @ scatter @ inverse))
    return np.asarray(np.maximum(clustered_margin(scores, information, block), modelled))


def _check_margin(margin_db: float, half_width_db: float, source: str) -> None:
    """Refuse a margin that the frames do not tell."""
    if half_width_db > LARGEST_MARGIN_ERROR_DB or margin_db in _MARGIN_BOUNDS_DB:
        raise RadioParameterError(
            f"{source} must hold distances at which reception falls, for --mode physical. Got a "
            f"margin of {margin_db:.1f} dB with an error of more than "
            f"{LARGEST_MARGIN_ERROR_DB:g} dB. Record farther out, or use --mode simple."
        )


@dataclass(frozen=True)
class _Neighbours:
    """Pairs of neighbouring frames, and how their deviations from the model go together.

    Attributes:
        first: Index of the first frame of each pair, (num_pairs,).
        covariance: Mean product of the two deviations.
        from_shadowing: The most of it that shadowing can give.
        error: Standard error of the covariance.
        scale: Mean product of the two standard deviations.
    """

    first: IntArray
    covariance: float
    from_shadowing: float
    error: float
    scale: float


def _neighbours(
    outcomes: FrameOutcomes, chance: FloatArray, spread: FloatArray, floor: float
) -> _Neighbours:
    """Return the pairs in which shadowing has little say, or all if these are too few.

    Args:
        outcomes: Every frame's fate.
        chance: Every frame's modelled reception, (num_frames,).
        spread: Its variance over shadowing, (num_frames,).
        floor: The floor's loss.
    """
    is_pair = np.diff(outcomes.session) == 0
    is_clear = spread < _CLEAR_SHARE * floor * (1.0 - floor)
    is_clear_pair = is_pair & is_clear[1:] & is_clear[:-1]
    if is_clear_pair.sum() >= _FEWEST_CLEAR_PAIRS:
        is_pair = is_clear_pair
    first = np.flatnonzero(is_pair)
    deviation = outcomes.is_received - chance
    products = deviation[first] * deviation[first + 1]
    variance = chance * (1.0 - chance)
    return _Neighbours(
        first=first,
        covariance=float(products.mean()),
        from_shadowing=float(np.sqrt(spread[first] * spread[first + 1]).mean()),
        error=float(np.sqrt((products**2).mean() / len(first))),
        scale=float(np.sqrt(variance[first] * variance[first + 1]).mean()),
    )


def _shadowing_variance(
    places_m: FloatArray, margin_db: float, floor: float, ways: int
) -> FloatArray:
    """Return the variance of the chance of reception over shadowing, (num_places,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NUM_SHADOWING_NODES)
    chances = np.stack(
        [
            reception_probability(
                places_m,
                margin_db + _NOMINAL.shadowing_std_db * float(node),
                floor_loss=floor,
                shadowing_std_db=0.0,
                fading_m=_NOMINAL.fading_m,
                fading_m_far=_NOMINAL.fading_m_far,
                fading_far_m=_NOMINAL.fading_far_m,
                break_point_m=_NOMINAL.break_point_m,
            )
            ** ways
            for node in nodes
        ]
    )
    shares = weights / weights.sum()
    mean = shares @ chances
    return np.asarray(np.maximum(shares @ chances**2 - mean**2, 0.0))


def _interference(
    pairs: _Neighbours, clear: FloatArray, floor: float
) -> tuple[float, float | None]:
    """Return the floor as a loss in bursts that has the neighbours' covariance: loss, mean burst.

    Two neighbours that propagation lets through with q and q' have the covariance
    ``q q' loss (1 - loss) c``, where ``c = 1 - p - r`` and ``r = (1 - c) (1 - loss)``.
    """
    if floor < _SMALLEST_INTERFERENCE:
        return 0.0, None
    through = float((clear[pairs.first] * clear[pairs.first + 1]).mean())
    excess = pairs.covariance - pairs.from_shadowing
    correlation = min(excess / (through * floor * (1.0 - floor)), _LARGEST_CORRELATION)
    return floor, 1.0 / ((1.0 - correlation) * (1.0 - floor))


def tier_losses(
    outcomes: FrameOutcomes, limits_m: tuple[float, float], *, effective_share: float
) -> tuple[Estimate, ...] | None:
    """Return the loss up to each limit and beyond, or None if a tier has fewer than 200 frames.

    Args:
        outcomes: Every frame's fate and distance.
        limits_m: Farthest distances of the first two tiers [m].
        effective_share: Independent frames that tell as much as one frame, for the intervals.
    """
    tier = np.searchsorted(limits_m, outcomes.distance_m, side="left")
    num_frames = np.bincount(tier, minlength=3)
    if num_frames.min() < FEWEST_FRAMES_IN_TIER:
        return None
    num_lost = np.bincount(tier, weights=~outcomes.is_received, minlength=3)
    return tuple(
        proportion(lost * effective_share, frames * effective_share)
        for lost, frames in zip(num_lost.tolist(), num_frames.tolist(), strict=True)
    )


def measured_points(outcomes: FrameOutcomes, *, is_two_way: bool) -> list[dict[str, float | int]]:
    """Return mean distance [m], one-way reception and frames of every 10 m that hold frames."""
    place = (outcomes.distance_m // POINT_WIDTH_M).astype(np.int64)
    points: list[dict[str, float | int]] = []
    for index in np.unique(place).tolist():
        is_here = place == index
        reception = float(outcomes.is_received[is_here].mean())
        points.append(
            {
                "distance_m": round(float(outcomes.distance_m[is_here].mean()), 2),
                "reception": round(reception**0.5 if is_two_way else reception, 6),
                "n": int(is_here.sum()),
            }
        )
    return points
