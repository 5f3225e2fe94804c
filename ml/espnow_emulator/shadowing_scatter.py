"""How much a shadowing that lasts for metres scatters a fit of reception against distance.

Frames near one another share their shadowing, so a drive holds only as many shadowings as it has
decorrelation distances, however many frames it has.

Source: Gudmundson, "Correlation model for shadow fading in mobile radio systems", Electronics
Letters 27 (1991): the correlation ``exp(-moved / decorrelation)``.
"""

from __future__ import annotations

import math

import numpy as np

from ml.espnow_emulator.link_sessions import FrameOutcomes
from ml.espnow_emulator.physical_sections import PhysicalParameters
from ml.types import FloatArray, IntArray

SHORTEST_MOVE_M = 5.0
"""A distance that changes by less has not moved: it may be the noise of its measurement."""
_NOMINAL = PhysicalParameters()


def shadowing_scatter(response: FloatArray, outcomes: FrameOutcomes) -> FloatArray:
    """Return the covariance of the summed scores that pairs of frames get from shadowing.

    With g_i the change of a frame's score per dB of shadowing, it is ``std^2`` times the sum over
    i != j of ``g_i g_j^T exp(-moved_ij / decorrelation)``, with the nominal values and moves taken
    from the distances of one session. Sessions have shadowings of their own. The frames' own
    variances, i = j, are in the Fisher information already.

    Args:
        response: g, (num_frames, num_parameters) [1/dB].
        outcomes: The frames.

    Returns:
        (num_parameters, num_parameters).
    """
    place, moved_m = _places(outcomes)
    sums = np.stack([np.bincount(place, weights=column) for column in response.T], axis=1)
    decay = np.exp(-moved_m / _NOMINAL.shadowing_decorrelation_m)
    earlier = np.zeros(response.shape[1])
    pairs = sums.T @ sums - response.T @ response
    for share, here in zip(decay, sums, strict=True):
        earlier = earlier * share
        pairs += np.outer(earlier, here) + np.outer(here, earlier)
        earlier += here
    return np.asarray(_NOMINAL.shadowing_std_db**2 * pairs)


def _places(outcomes: FrameOutcomes) -> tuple[IntArray, FloatArray]:
    """Return each frame's place, (num_frames,), and the move to each, (num_places,) [m].

    A session begins at a place of its own, infinitely far from the one before.
    """
    place = np.empty(len(outcomes.session), dtype=np.int64)
    moves_m: list[float] = []
    here, session = math.nan, -1
    frames = zip(outcomes.distance_m.tolist(), outcomes.session.tolist(), strict=True)
    for frame, (distance_m, its_session) in enumerate(frames):
        if its_session != session:
            moves_m.append(math.inf)
            here, session = distance_m, its_session
        elif abs(distance_m - here) >= SHORTEST_MOVE_M:
            moves_m.append(abs(distance_m - here))
            here = distance_m
        place[frame] = len(moves_m) - 1
    return place, np.array(moves_m)
