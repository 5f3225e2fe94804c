"""What the closed forms say of a parameter file: reception, loss, bursts, ages, latency, load.

A link loses frames by a two-state process (p, r) and, in physical mode, by fading, with a chance q
that is the same for all frames at one shadowing. A received frame leaves the process in its good
state, so receptions are a renewal process: with L = [[(1 - p) q, p], [r q, 1 - r]] the chance that
k frames in a row are lost after a received one is s_k = e L^k 1, e = (1, 0). From s_k follow

    bursts:  P(length >= k) = s_k / s_1
    age:     P(age > delay + a) = integral of s_[u / T] over u > a, over T sum(s_k)
    peak:    delay + T sum(s_k)

which for q = 0 are the forms of ``closed_forms``. Shadowings are averaged by quadrature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.airtime import airtime_us
from ml.espnow_emulator.closed_forms import aligned_collision_rate, reception_probability
from ml.espnow_emulator.episode_values import (
    LATENCY_FLOOR_MS,
    gilbert_transitions,
    nominal_values,
)
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_layout import BACKOFF_SLOTS, DIFS_S, FRAME_PERIOD_S, SLOT_S
from ml.types import FloatArray

PERIOD_MS = 1000.0 * FRAME_PERIOD_S
SIMPLE_PAYLOAD_BYTES = 90
"""Of the message whose airtime bounds the latency in simple mode."""
_NUM_SHADOWINGS = 40
_LARGEST_LOSS = 1.0 - 1e-9
_LONGEST_WAIT_FRAMES = 500.0
_RARE, _MUCH = 0.003, 0.005
"""Shadows met in 3 of 1000 worlds, and what they may make up of the mean age."""
_SMALLEST_RECEPTION = 0.02
_FARTHEST_M = 20_000.0


@dataclass(frozen=True)
class LinkClosedForm:
    """Loss, bursts and ages on a link, averaged over shadowings.

    Attributes:
        weights: Of the shadowings, summing to 1, (num_shadowings,).
        steps: L of each shadowing, (num_shadowings, 2, 2).
        frames_between: Mean frames from one reception to the next, sum(s_k), (num_shadowings,).
        fading_loss: q of each shadowing, (num_shadowings,).
    """

    weights: FloatArray
    steps: FloatArray
    frames_between: FloatArray
    fading_loss: FloatArray

    @property
    def loss(self) -> float:
        """Return the share of frames that are lost."""
        return float(1.0 - (self.weights / self.frames_between).sum())

    def survival(self, longest: int) -> FloatArray:
        """Return s_0 .. s_longest of each shadowing, (num_shadowings, longest + 1)."""
        state = np.zeros((len(self.weights), 2))
        state[:, 0] = 1.0
        chances = []
        for _ in range(longest + 1):
            chances.append(state.sum(axis=1))
            state = np.einsum("ni,nij->nj", state, self.steps)
        return np.stack(chances, axis=1)

    def burst_exceedance(self, longest: int) -> FloatArray:
        """Return P(burst >= k) for k = 1 .. longest; zeros without losses."""
        chances = self.survival(longest)
        per_frame = ((self.weights / self.frames_between)[:, np.newaxis] * chances).sum(axis=0)
        if longest < 1 or per_frame[1] <= 0.0:
            return np.zeros(max(longest, 0))
        return np.asarray(per_frame[1:] / per_frame[1])

    @property
    def mean_burst(self) -> float:
        """Return the mean number of frames lost in a row [frames]; 0 without losses."""
        frequency = self.weights / self.frames_between
        begins = (frequency * self.survival(1)[:, 1]).sum()
        return float((frequency * (self.frames_between - 1.0)).sum() / begins) if begins else 0.0

    @property
    def is_governed_by_rare_shadows(self) -> bool:
        """Return whether shadows that a sample hardly meets make up much of the mean age.

        Those are too deep to be drawn, or so deep that hardly a frame arrives.
        """
        deepest_first = np.argsort(self.frames_between)[::-1]
        weights = self.weights[deepest_first]
        share = weights * self.frames_between[deepest_first]
        is_unmet = np.cumsum(weights) <= _RARE
        is_unmet |= self.frames_between[deepest_first] > _LONGEST_WAIT_FRAMES
        return bool(share[is_unmet].sum() > _MUCH * share.sum())

    def mean_age_ms(self, delay_ms: float) -> float:
        """Return the mean age at a random instant [ms]: delay + T E[Y^2] / (2 E[Y])."""
        # E[Y^2] = sum (2 k + 1) s_k; sum k s_k = e L (1 - L)^-2 1.
        inverse = np.linalg.inv(np.eye(2) - self.steps)
        later = np.einsum("nij,njk,nkl->nil", self.steps, inverse, inverse)[:, 0, :].sum(axis=1)
        growth = (2.0 * later + self.frames_between) / (2.0 * self.frames_between)
        return float(delay_ms + PERIOD_MS * (self.weights * growth).sum())

    def peak_age_ms(self, delay_ms: float) -> float:
        """Return the mean age just before a reception [ms]."""
        return delay_ms + PERIOD_MS / float((self.weights / self.frames_between).sum())

    def age_exceedance(self, ages_ms: FloatArray, delay_ms: float) -> FloatArray:
        """Return P(age > a) at a random instant for each age, (num_ages,)."""
        since = np.maximum((np.asarray(ages_ms, dtype=np.float64) - delay_ms) / PERIOD_MS, 0.0)
        whole = np.floor(since).astype(np.int64)
        chances = self.survival(int(whole.max(initial=0)))
        before = np.cumsum(chances, axis=1) - chances
        passed = before[:, whole] + (since - whole) * chances[:, whole]
        rest = 1.0 - passed / self.frames_between[:, np.newaxis]
        return np.asarray(np.clip((self.weights[:, np.newaxis] * rest).sum(axis=0), 0.0, 1.0))

    def age_quantile_ms(self, share: float, delay_ms: float) -> float:
        """Return the age that a share of the time is not exceeded [ms], by bisection."""
        low_ms, high_ms = 0.0, delay_ms + PERIOD_MS
        while self.age_exceedance(np.array([high_ms]), delay_ms)[0] > 1.0 - share:
            low_ms, high_ms = high_ms, 2.0 * high_ms
            if high_ms > 1e7:
                return math.inf
        for _ in range(40):
            middle_ms = 0.5 * (low_ms + high_ms)
            is_above = self.age_exceedance(np.array([middle_ms]), delay_ms)[0] > 1.0 - share
            low_ms, high_ms = (middle_ms, high_ms) if is_above else (low_ms, middle_ms)
        return 0.5 * (low_ms + high_ms)


def expected_reception(parameters: RadioParameters, distances_m: FloatArray) -> FloatArray:
    """Return the share of frames that reach the ego's radio from each distance."""
    distance = np.asarray(distances_m, dtype=np.float64)
    if parameters.is_physical:
        physical = parameters.physical
        std_db = physical.shadowing_std_db
        propagated = _propagated(parameters, distance, shift_db=0.0, std_db=std_db)
        return np.asarray(propagated * (1.0 - physical.interference_loss))
    section = parameters.packet_loss
    limits_m = (section.distance_threshold_1, section.distance_threshold_2)
    loss = np.array(section.tier_rates)[np.searchsorted(limits_m, distance, side="left")]
    return np.where(distance <= section.max_range_m, 1.0 - loss, 0.0)


def expected_link(parameters: RadioParameters, distance_m: float) -> LinkClosedForm | None:
    """Return the closed form of a link; None where nothing is heard."""
    values = nominal_values(parameters)
    section = parameters.packet_loss
    tier = int(
        np.searchsorted((section.distance_threshold_1, section.distance_threshold_2), distance_m)
    )
    to_bad, to_good = gilbert_transitions(values.loss_rates[tier], values.mean_burst_lengths[tier])
    weights, fading_loss = np.ones(1), np.zeros(1)
    if parameters.is_physical:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NUM_SHADOWINGS)
        weights = weights / weights.sum()
        std_db = parameters.physical.shadowing_std_db
        here_m = np.array(distance_m)
        fading_loss = np.array(
            [
                1.0 - float(_propagated(parameters, here_m, shift_db=shift_db, std_db=0.0))
                for shift_db in (std_db * nodes).tolist()
            ]
        )
        fading_loss = np.minimum(fading_loss, _LARGEST_LOSS)
    elif distance_m > section.max_range_m:
        return None
    if to_good == 0.0:
        return None
    steps = np.empty((len(weights), 2, 2))
    steps[:, 0, 0], steps[:, 0, 1] = (1.0 - to_bad) * fading_loss, to_bad
    steps[:, 1, 0], steps[:, 1, 1] = to_good * fading_loss, 1.0 - to_good
    frames_between = np.linalg.inv(np.eye(2) - steps)[:, 0, :].sum(axis=1)
    return LinkClosedForm(weights, steps, frames_between, fading_loss)


def _propagated(
    parameters: RadioParameters, distance_m: FloatArray, *, shift_db: float, std_db: float
) -> FloatArray:
    """Return the share that fading and floor let through, with another margin and shadowing."""
    physical = parameters.physical
    return reception_probability(
        distance_m,
        physical.margin_at_1m_db + shift_db,
        floor_loss=physical.floor_loss,
        shadowing_std_db=std_db,
        fading_m=physical.fading_m,
        fading_m_far=physical.fading_m_far,
        fading_far_m=physical.fading_far_m,
        break_point_m=physical.break_point_m,
    )


def expected_latency_ms(parameters: RadioParameters, distance_m: float) -> float:
    """Return the mean time from transmission to reception [ms].

    Simple mode: the mean of max(floor, N(base + factor * distance, jitter)). Physical mode: both
    stacks, the airtime A, and to first order in the load the wait for n other senders, n / T times
    the integral over a busy time B = A + DIFS of what is left of it and the mean backoff b:
    n B (B / 2 + b) / T.
    """
    if parameters.is_physical:
        physical = parameters.physical
        airtime_ms = 1e-3 * physical.airtime_us
        busy_ms = airtime_ms + 1e3 * DIFS_S
        backoff_ms = 1e3 * SLOT_S * 0.5 * (BACKOFF_SLOTS - 1)
        others_per_ms = (1 + physical.background_senders) / PERIOD_MS
        wait_ms = others_per_ms * busy_ms * (0.5 * busy_ms + backoff_ms)
        return sum(physical.stack_range_ms) + airtime_ms + wait_ms
    latency = parameters.latency
    mean_ms = latency.base_ms + latency.distance_factor * distance_m
    above_ms = mean_ms - LATENCY_FLOOR_MS
    if latency.jitter_std_ms == 0.0:
        return LATENCY_FLOOR_MS + max(above_ms, 0.0)
    scaled = above_ms / latency.jitter_std_ms
    density = math.exp(-0.5 * scaled**2) / math.sqrt(2.0 * math.pi)
    share = 0.5 * math.erfc(-scaled / math.sqrt(2.0))
    return LATENCY_FLOOR_MS + above_ms * share + latency.jitter_std_ms * density


def frame_airtime_us(parameters: RadioParameters) -> float:
    """Return a frame's time on the air [us]; in simple mode that of 90 bytes at 1 Mbit/s."""
    if parameters.is_physical:
        return parameters.physical.airtime_us
    return airtime_us(SIMPLE_PAYLOAD_BYTES)


def expected_collisions(parameters: RadioParameters, num_senders: int) -> float | None:
    """Return the share of the others' frames that collide; None where there is no closed form.

    There is one when all boards hand over their frames at the same instant: aligned phases, and
    the same time in each board's software. The ego is the first to be asked, so its frame finds the
    medium idle and all collisions are among the others: N / (N - 1) of the share of all N.
    """
    physical = parameters.physical
    is_aligned = physical.aligned_phases and len(set(physical.stack_range_ms)) == 1
    if not is_aligned or num_senders < 2:
        return None
    return aligned_collision_rate(num_senders) * num_senders / (num_senders - 1)


def reach_m(parameters: RadioParameters) -> float:
    """Return how far the report looks: the range, or where hardly a frame is received [m]."""
    if not parameters.is_physical:
        return max(parameters.packet_loss.max_range_m, 1.0)
    distances_m = np.geomspace(5.0, _FARTHEST_M, 400)
    is_heard = expected_reception(parameters, distances_m) > _SMALLEST_RECEPTION
    return float(distances_m[is_heard].max(initial=10.0))
