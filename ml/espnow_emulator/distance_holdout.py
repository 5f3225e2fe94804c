"""How well a fit of reception against distance reproduces the part of a log that it has not seen.

Logs of the fitted model are drawn along the distances of the frames held out, with shadowing that
lasts for metres, fading, floor and interference, and with margin and floor scattered by their own
errors. The age in them is compared with that in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, ndtri

from ml.espnow_emulator.closed_forms import path_loss_db
from ml.espnow_emulator.distance_fit import DistanceFit
from ml.espnow_emulator.holdout_check import Distance, age_grid_ms
from ml.espnow_emulator.link_fit import CONFIDENCE, Estimate
from ml.espnow_emulator.link_sessions import FrameOutcomes, Session, frame_outcomes
from ml.espnow_emulator.physical_sections import PhysicalParameters
from ml.types import BoolArray, FloatArray, IntArray

FEWEST_FRAMES = 50
MOST_FRAMES = 20_000
"""More are not drawn: the first ones stand for them."""

_NUM_DRAWS = 100
_NOMINAL = PhysicalParameters()
_LARGEST_FLOOR = 0.95


class DistanceCheck(NamedTuple):
    """The fitted model against what was held out.

    Attributes:
        num_frames: Frames compared.
        age: Distance of the distributions of age, and what 95 % of drawn logs stay below.
    """

    num_frames: int
    age: Distance


def check_distance_fit(
    fit: DistanceFit, held_out: Sequence[Session], *, ways: int, rng: np.random.Generator
) -> DistanceCheck | None:
    """Compare the age in the sessions held out with that in logs drawn from the fit.

    The age is counted from reception to reception, in periods, so latency has no part in it.

    Args:
        fit: The fit.
        held_out: Sessions with distances.
        ways: 2 where a reception takes both ways.
        rng: Generator of the draws.

    Returns:
        The check, None where fewer than 50 frames were held out.
    """
    outcomes = frame_outcomes(held_out)
    num_frames = min(len(outcomes.is_received), MOST_FRAMES)
    if num_frames < FEWEST_FRAMES:
        return None
    first = FrameOutcomes(*(values[:num_frames] for values in vars(outcomes).values()))
    drawn = _draw(fit, first, ways, rng)
    cycles = [_cycles(received, first.session) for received in (first.is_received, *drawn)]
    ages = age_grid_ms(1.0, float(max(lengths.max(initial=1) for lengths in cycles)))
    shares = np.stack([_age_shares(ages, lengths) for lengths in cycles])
    model = shares[1:].mean(axis=0)
    distances = np.abs(shares - model).max(axis=1)
    age = Distance(float(distances[0]), float(np.quantile(distances[1:], CONFIDENCE)))
    return DistanceCheck(num_frames, age)


def _draw(
    fit: DistanceFit, outcomes: FrameOutcomes, ways: int, rng: np.random.Generator
) -> BoolArray:
    """Return drawn fates of the frames, (num_draws, num_frames)."""
    distance_m = np.maximum(outcomes.distance_m, 1.0)
    margin_db = _scattered(fit.margin_at_1m_db, rng)
    floor = np.clip(_scattered(fit.floor_loss, rng), 0.0, _LARGEST_FLOOR)
    if fit.interference_loss:
        floor = np.zeros(_NUM_DRAWS)
    mean_db = margin_db[:, np.newaxis] - path_loss_db(distance_m, _NOMINAL.break_point_m)
    shape = np.where(distance_m <= _NOMINAL.fading_far_m, _NOMINAL.fading_m, _NOMINAL.fading_m_far)
    received = np.ones(mean_db.shape, dtype=np.bool_)
    for _ in range(ways):
        power_db = mean_db + _shadowing_db(distance_m, outcomes.session, rng)
        chance = gammaincc(shape, shape * 10.0 ** (-power_db / 10.0))
        received &= rng.random(chance.shape) < (1.0 - floor[:, np.newaxis]) * chance
    if fit.interference_loss and fit.mean_burst is not None:
        received &= ~_is_in_burst(fit.interference_loss, fit.mean_burst, outcomes.session, rng)
    return received


def _scattered(estimate: Estimate, rng: np.random.Generator) -> FloatArray:
    """Return an estimate with its error, a normal one, for each draw."""
    error = (estimate.high - estimate.low) / (2.0 * float(ndtri(0.5 + 0.5 * CONFIDENCE)))
    return np.asarray(estimate.value + error * rng.standard_normal(_NUM_DRAWS))


def _shadowing_db(
    distance_m: FloatArray, session: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Return shadowing along the way, anew in each session, (num_draws, num_frames) [dB]."""
    moved_m = np.abs(np.diff(distance_m, prepend=np.inf))
    moved_m[np.diff(session, prepend=-1) != 0] = np.inf
    kept = np.exp(-moved_m / _NOMINAL.shadowing_decorrelation_m)
    values = rng.standard_normal((len(distance_m), _NUM_DRAWS))
    values *= np.sqrt(1.0 - kept**2)[:, np.newaxis]
    for frame in range(1, len(values)):
        values[frame] += kept[frame] * values[frame - 1]
    return np.asarray(_NOMINAL.shadowing_std_db * values.T)


def _is_in_burst(
    loss: float, mean_burst: float, session: IntArray, rng: np.random.Generator
) -> BoolArray:
    """Return where a two-state process is bad, anew in each session, (num_draws, num_frames)."""
    to_good = 1.0 / mean_burst
    to_bad = loss * to_good / (1.0 - loss)
    draws = rng.random((len(session), _NUM_DRAWS))
    is_bad = np.zeros(draws.shape, dtype=np.bool_)
    begins = np.diff(session, prepend=-1) != 0
    for frame, draw in enumerate(draws):
        if begins[frame]:
            is_bad[frame] = draw < loss
        else:
            is_bad[frame] = draw < np.where(is_bad[frame - 1], 1.0 - to_good, to_bad)
    return is_bad.T


def _cycles(is_received: BoolArray, session: IntArray) -> IntArray:
    """Return the periods from each reception to the next; each session begins with one."""
    begins = np.flatnonzero(np.diff(session, prepend=-1))
    parts = [
        np.diff(np.flatnonzero(part), prepend=-1) for part in np.split(is_received, begins[1:])
    ]
    return np.concatenate(parts)


def _age_shares(ages: FloatArray, lengths: IntArray) -> FloatArray:
    """Return the share of time with an age of at most ``ages`` [periods], (num_ages,).

    After a reception the age runs from 0 to the length of the cycle.
    """
    if not len(lengths):
        return np.zeros(len(ages))
    counts = np.bincount(lengths)
    times = np.minimum(ages[:, np.newaxis], np.arange(len(counts)))
    return np.asarray((times @ counts) / lengths.sum())
