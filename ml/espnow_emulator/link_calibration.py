"""From the record of one directed link, or of several, to its loss, bursts, latency and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ml.errors import RadioParameterError
from ml.espnow_emulator.holdout_check import (
    Delays,
    Distance,
    age_distribution,
    age_grid_ms,
    burst_distance,
    expected_distances,
    modelled_ages,
)
from ml.espnow_emulator.link_fit import (
    AVOIDANCE_LEVEL,
    Estimate,
    LossFit,
    OneWayLoss,
    fit_losses,
    line_below,
    longest_burst_probability,
    median,
    one_way_of_two_way,
    standard_deviation,
    without_trend,
)
from ml.espnow_emulator.link_sessions import (
    LinkRecord,
    Session,
    gap_lengths,
    split_for_holdout,
)
from ml.espnow_emulator.parameter_sections import BurstLossParameters
from ml.types import FloatArray, IntArray

FEWEST_FRAMES = 200
FEWEST_FRAMES_FOR_LATENCY = 50
FEWEST_HELD_OUT = 50
LONG_BURST_LEVEL = 0.01
NOMINAL_BURST = BurstLossParameters().mean_burst_length
_QUANTILES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Latency:
    """Delays of the frames that were received.

    Attributes:
        relative_ms: Each frame's delay over the smallest one; with two-way data the round trip
            itself, (num_frames,) [ms].
        deviations_ms: Delays about their least-squares line in each session, (num_frames,) [ms].
        jitter_ms: Standard deviation of the delay [ms], of the round trip with two-way data.
        round_trip_ms: Median of the round trip [ms]; None from one-way data.
        drift_ppm: Rate of the receiver's clock over the sender's in each session; empty with
            two-way data.
    """

    relative_ms: FloatArray
    deviations_ms: FloatArray
    jitter_ms: Estimate
    round_trip_ms: Estimate | None
    drift_ppm: tuple[float, ...]

    @property
    def quantiles_ms(self) -> tuple[float, ...]:
        """Return median, 95 %, 99 % and largest of ``relative_ms`` [ms]."""
        return tuple(float(value) for value in np.quantile(self.relative_ms, _QUANTILES))


@dataclass(frozen=True)
class HoldoutCheck:
    """The fitted process against the part of the log that was not fitted.

    Attributes:
        num_frames: Frames held out.
        loss: Share of them lost.
        age: Distance of the distributions of age.
        bursts: Distance of the distributions of burst lengths; None without a burst held out.
    """

    num_frames: int
    loss: float
    age: Distance
    bursts: Distance | None


@dataclass(frozen=True)
class LinkCalibration:
    """What one directed link's record says.

    Attributes:
        record: All frames of the link.
        fitted: Sessions of the part that was fitted.
        held_out: Sessions of the other part.
        gaps: Frames lost between each two received in a row, in that part.
        losses: The process fitted to them; two-way for two-way data.
        one_way: One-way loss and bursts.
        latency: None where no session has enough frames.
        check: None where too little is held out.
        notes: What a reader has to know.
    """

    record: LinkRecord
    fitted: tuple[Session, ...]
    held_out: tuple[Session, ...]
    gaps: IntArray
    losses: LossFit
    one_way: OneWayLoss
    latency: Latency | None
    check: HoldoutCheck | None
    notes: tuple[str, ...]


def calibrate_link(
    record: LinkRecord,
    *,
    is_two_way: bool,
    holdout: float,
    rng: np.random.Generator,
) -> LinkCalibration:
    """Fit one directed link.

    Args:
        record: Its frames.
        is_two_way: They are echoes, and both ways are taken to be alike.
        holdout: Share of the frames, the last ones, that is kept for the check.
        rng: Generator of bootstrap and simulation.

    Raises:
        RadioParameterError: The link cannot be fitted; the message begins with the reason.
    """
    if record.num_sent < FEWEST_FRAMES:
        raise RadioParameterError(
            f"a link must have at least {FEWEST_FRAMES} frames. Got {record.num_sent}. Record for "
            "longer."
        )
    fitted, held_out = split_for_holdout(record.sessions, holdout)
    gaps = gap_lengths(fitted)
    if not len(gaps):
        raise RadioParameterError(
            "a link must have two frames received in a row of one session in the part fitted. "
            "Got none. Record for longer, or without restarts."
        )
    losses = fit_losses(gaps, assumed_burst=NOMINAL_BURST)
    _check_avoidance(losses)
    latency = fit_latency(fitted, is_two_way=is_two_way)
    return LinkCalibration(
        record=record,
        fitted=fitted,
        held_out=held_out,
        gaps=gaps,
        losses=losses,
        one_way=_one_way_loss(losses, gaps, is_two_way=is_two_way, rng=rng),
        latency=latency,
        check=_check(losses, fitted, held_out, is_two_way=is_two_way, rng=rng),
        notes=tuple(_notes(losses, latency)),
    )


def pool_links(
    links: Sequence[LinkCalibration], *, is_two_way: bool, rng: np.random.Generator
) -> tuple[LossFit, OneWayLoss, Latency | None]:
    """Return the loss and latency of all links together, each weighted by its frames."""
    gaps = np.concatenate([link.gaps for link in links])
    losses = fit_losses(gaps, assumed_burst=NOMINAL_BURST)
    one_way = _one_way_loss(losses, gaps, is_two_way=is_two_way, rng=rng)
    parts = [link.latency for link in links if link.latency is not None]
    latency = _latency_of_parts(parts, is_two_way=is_two_way) if parts else None
    return losses, one_way, latency


def _one_way_loss(
    losses: LossFit, gaps: IntArray, *, is_two_way: bool, rng: np.random.Generator
) -> OneWayLoss:
    """Return one way's loss and mean burst, that of independent losses where none show.

    The interval stays the bursts' own: a log without a burst does not prove that there are none.
    """
    one_way = OneWayLoss(losses.loss, losses.mean_burst)
    if is_two_way:
        one_way = one_way_of_two_way(losses, gaps, rng)
    burst = one_way.mean_burst
    if burst is None or losses.has_bursts:
        return one_way
    value = 1.0 / (1.0 - one_way.loss.value)
    return OneWayLoss(one_way.loss, Estimate(value, min(burst.low, value), max(burst.high, value)))


def _check_avoidance(losses: LossFit) -> None:
    """Refuse losses that follow one another more rarely than by chance."""
    if losses.num_lost and losses.avoidance_probability < AVOIDANCE_LEVEL:
        raise RadioParameterError(
            f"losses must not avoid one another. Got a correlation of {losses.correlation:.3f} "
            f"between neighbouring frames, which independent losses have with a probability of "
            f"{losses.avoidance_probability:.1e}. Look for a logger that skips frames regularly, "
            "or for frames that are sent twice under two numbers."
        )


def fit_latency(sessions: Sequence[Session], *, is_two_way: bool) -> Latency | None:
    """Return the delays, or None when no session has at least 50 received frames.

    One-way data have two clocks: in each session the line below all points of (sender's time,
    receiver's less sender's time) takes out offset and drift, and with them the smallest delay.
    """
    parts = []
    for session in sessions:
        if len(session.sequence) < FEWEST_FRAMES_FOR_LATENCY:
            continue
        relative_ms, drift_ppm = relative_delays_ms(session, is_two_way=is_two_way)
        deviations_ms = relative_ms - relative_ms.mean()
        if not is_two_way:
            deviations_ms = without_trend(session.sender_time_ms, relative_ms)
        drifts = () if is_two_way else (drift_ppm,)
        jitter = standard_deviation(deviations_ms)
        parts.append(Latency(relative_ms, deviations_ms, jitter, None, drifts))
    return _latency_of_parts(parts, is_two_way=is_two_way) if parts else None


def relative_delays_ms(session: Session, *, is_two_way: bool) -> tuple[FloatArray, float]:
    """Return each frame's delay over the line of the smallest ones [ms], and the drift [ppm].

    With two-way data the delays are the round trips themselves.
    """
    sender_ms = session.sender_time_ms - session.sender_time_ms[0]
    delays_ms = session.receive_time_ms - session.sender_time_ms
    if is_two_way or len(delays_ms) < 2 or not np.all(np.diff(sender_ms) > 0.0):
        return delays_ms if is_two_way else delays_ms - delays_ms.min(), 0.0
    line = line_below(sender_ms, delays_ms)
    return delays_ms - line.offset - line.slope * sender_ms, 1e6 * line.slope


def _latency_of_parts(parts: Sequence[Latency], *, is_two_way: bool) -> Latency:
    """Return the delays of several sessions or links together."""
    relative_ms = np.concatenate([part.relative_ms for part in parts])
    deviations_ms = np.concatenate([part.deviations_ms for part in parts])
    return Latency(
        relative_ms=relative_ms,
        deviations_ms=deviations_ms,
        jitter_ms=standard_deviation(deviations_ms),
        round_trip_ms=median(relative_ms) if is_two_way else None,
        drift_ppm=tuple(drift for part in parts for drift in part.drift_ppm),
    )


def _check(
    losses: LossFit,
    fitted: Sequence[Session],
    held_out: Sequence[Session],
    *,
    is_two_way: bool,
    rng: np.random.Generator,
) -> HoldoutCheck | None:
    """Compare the fitted process with the sessions held out."""
    gaps = gap_lengths(held_out)
    num_frames = len(gaps) + int(gaps.sum())
    if num_frames < FEWEST_HELD_OUT:
        return None
    to_bad, to_good = losses.process
    cycles = _age_cycles(held_out, is_two_way=is_two_way)
    delays = _fitted_delays(fitted, cycles, is_two_way=is_two_way)
    longest_ms = float((cycles.start_ms + cycles.length_ms).max())
    ages_ms = age_grid_ms(cycles.period_ms, longest_ms)
    model = modelled_ages(ages_ms, to_bad, to_good, delays=delays, period_ms=cycles.period_ms)
    difference = np.abs(age_distribution(ages_ms, cycles.start_ms, cycles.length_ms) - model)
    num_fitted = losses.num_frames - losses.num_lost
    age, bursts = expected_distances((to_bad, to_good), num_fitted, len(gaps), rng=rng)
    burst = burst_distance(np.bincount(gaps), to_good)
    return HoldoutCheck(
        num_frames=num_frames,
        loss=float(gaps.sum()) / num_frames,
        age=Distance(float(difference.max()), age),
        bursts=Distance(burst, bursts) if gaps.any() and losses.num_lost else None,
    )


class _AgeCycles(NamedTuple):
    """From each reception to the next.

    Attributes:
        start_ms: Age at the reception, (num_cycles,) [ms].
        length_ms: Time until the next one, (num_cycles,) [ms].
        end_ms: Age just before the next one less the periods between, (num_cycles,) [ms].
        period_ms: Mean time between transmissions [ms].
    """

    start_ms: FloatArray
    length_ms: FloatArray
    end_ms: FloatArray
    period_ms: float


def _age_cycles(sessions: Sequence[Session], *, is_two_way: bool) -> _AgeCycles:
    """Return the cycles of the age.

    A frame's age at reception is its relative delay. One that comes after a newer one is not used.
    """
    starts, lengths, periods = [], [], []
    for session in sessions:
        relative_ms, _ = relative_delays_ms(session, is_two_way=is_two_way)
        order = np.argsort(session.receive_time_ms, kind="stable")
        sequence = session.sequence[order]
        used = order[sequence >= np.maximum.accumulate(sequence)]
        starts.append(relative_ms[used[:-1]])
        lengths.append(np.diff(session.receive_time_ms[used]))
        periods.append(np.diff(session.sequence[used]))
    start_ms, length_ms = np.concatenate(starts), np.concatenate(lengths)
    num_periods = np.concatenate(periods)
    period_ms = float(length_ms.sum() / num_periods.sum())
    end_ms = start_ms + length_ms - num_periods * period_ms
    return _AgeCycles(start_ms, length_ms, end_ms, period_ms)


def _fitted_delays(fitted: Sequence[Session], held_out: _AgeCycles, *, is_two_way: bool) -> Delays:
    """Return the delays of the part fitted, from the same unknown offset as those held out."""
    cycles = _age_cycles(fitted, is_two_way=is_two_way)
    offset_ms = 0.0
    if not is_two_way:
        offset_ms = float(held_out.start_ms.mean() - cycles.start_ms.mean())
    return Delays.of(cycles.start_ms + offset_ms, cycles.end_ms + offset_ms)


def _notes(losses: LossFit, latency: Latency | None) -> list[str]:
    """Return what a reader has to know of a fit."""
    notes = []
    if losses.num_lost == 0:
        notes.append(
            f"no loss seen in {losses.num_frames} frames: the loss is at most "
            f"{losses.loss.high:.2%} (95 %, if losses come in bursts of {NOMINAL_BURST:g}); the "
            "mean burst cannot be known"
        )
    elif not losses.has_bursts:
        notes.append(
            f"no bursts: neighbouring frames have a correlation of {losses.correlation:.3f}, "
            "which is within chance of 0; losses are taken to be independent"
        )
    elif losses.to_good is not None:
        chance = longest_burst_probability(
            losses.longest_burst, losses.num_bursts, losses.to_good.value
        )
        if chance < LONG_BURST_LEVEL:
            notes.append(
                f"the longest burst, {losses.longest_burst} frames, has a probability of "
                f"{chance:.1e} under the fitted process: real bursts have a longer tail"
            )
    if latency is None:
        notes.append(
            f"no session has {FEWEST_FRAMES_FOR_LATENCY} received frames: jitter cannot be known"
        )
    return notes
