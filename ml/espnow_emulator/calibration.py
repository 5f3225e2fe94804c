"""A whole calibration: every link apart, all together, and reception against distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ml.errors import RadioParameterError
from ml.espnow_emulator.distance_fit import (
    DistanceFit,
    fit_distance,
    measured_points,
    tier_losses,
)
from ml.espnow_emulator.distance_holdout import DistanceCheck, check_distance_fit
from ml.espnow_emulator.link_calibration import (
    NOMINAL_BURST,
    Latency,
    LinkCalibration,
    calibrate_link,
    pool_links,
)
from ml.espnow_emulator.link_fit import Estimate, LossFit, OneWayLoss
from ml.espnow_emulator.link_sessions import (
    FrameOutcomes,
    LinkRecord,
    collect_links,
    frame_outcomes,
)
from ml.espnow_emulator.parameter_sections import PacketLossParameters
from ml.espnow_emulator.parameters import feasible_mean_burst
from ml.espnow_emulator.reception_log import ReceptionLog
from ml.seeding import indexed_generator

LARGEST_BASE_MS = 1000.0
LARGEST_JITTER_MS = 100.0
LARGEST_MEAN_BURST = 1000.0
LARGEST_NUM_FRAMES = 10_000_000
"""12 days of one link at 10 Hz, lost frames included; a fit of distance looks at each."""


@dataclass(frozen=True)
class CalibrationRequest:
    """What is asked for.

    Attributes:
        mode: "simple" or "physical".
        use: "training" or "test".
        is_two_way: The logs hold echoes, and both ways are taken to be alike.
        holdout: Share of each link, its last frames, that is kept for the check.
        seed: Master seed of bootstrap and simulation.
        source: The logs' names, for messages.
    """

    mode: str
    use: str
    is_two_way: bool
    holdout: float
    seed: int
    source: str


@dataclass(frozen=True)
class Calibration:
    """All that a calibration found.

    Attributes:
        mode: "simple" or "physical".
        use: "training" or "test".
        is_two_way: The logs hold echoes.
        links: Fitted links.
        refused: Links that could not be fitted, with the reason.
        losses: Of all fitted links together, as observed.
        one_way: The same, one-way.
        latency: The same; None where it cannot be known.
        tiers: One-way loss by distance tier; None where the logs do not tell.
        distance: Reception against distance; None in mode simple.
        distance_check: That fit against the frames held out; None without.
        points: Measured reception by distance.
        farthest_m: Longest distance of a frame [m]; 0 if unknown.
    """

    mode: str
    use: str
    is_two_way: bool
    links: tuple[LinkCalibration, ...]
    refused: tuple[tuple[LinkRecord, str], ...]
    losses: LossFit
    one_way: OneWayLoss
    latency: Latency | None
    tiers: tuple[Estimate, ...] | None
    distance: DistanceFit | None
    distance_check: DistanceCheck | None
    points: list[dict[str, float | int]]
    farthest_m: float

    @property
    def base_latency_ms(self) -> Estimate | None:
        """Return the one-way latency [ms], or None where only differences are known."""
        if self.latency is None or self.latency.round_trip_ms is None:
            return None
        return Estimate(*(limit / 2.0 for limit in self.latency.round_trip_ms))

    @property
    def jitter_ms(self) -> Estimate | None:
        """Return the one-way jitter [ms], or None where it is unknown."""
        if self.latency is None:
            return None
        ways = 2.0 if self.is_two_way else 1.0
        return Estimate(*(limit / math.sqrt(ways) for limit in self.latency.jitter_ms))

    @property
    def mean_burst(self) -> float:
        """Return the mean burst that the file gets: feasible in every tier [frames]."""
        if self.one_way.mean_burst is None:
            return NOMINAL_BURST
        rates = [tier.value for tier in self.tiers or (self.one_way.loss,)]
        needed = max(feasible_mean_burst(rate) for rate in rates)
        return max(self.one_way.mean_burst.value, needed)


def calibrate(logs: Sequence[ReceptionLog], request: CalibrationRequest) -> Calibration:
    """Fit all links of the logs, apart and together.

    Raises:
        RadioParameterError: No link can be fitted, or a value is beyond what a file may hold.
    """
    links, refused = _fit_links(collect_links(logs), request)
    is_two_way = request.is_two_way
    rng = indexed_generator(request.seed, len(links) + len(refused))
    losses, one_way, latency = pool_links(links, is_two_way=is_two_way, rng=rng)
    has_distances = all(link.record.has_distances for link in links)
    if request.mode == "physical" and not has_distances:
        raise RadioParameterError(
            f"column distance_m in {request.source} must be there for --mode physical. Got a log "
            "without it. Add it, or use --mode simple."
        )
    tiers, distance, distance_check, points, farthest_m = None, None, None, [], 0.0
    if has_distances:
        _check_size(links, request.source)
        fitted = frame_outcomes([session for link in links for session in link.fitted])
        every = frame_outcomes([session for link in links for session in link.record.sessions])
        points = measured_points(every, is_two_way=is_two_way)
        farthest_m = float(every.distance_m.max())
        if request.mode == "physical":
            distance = fit_distance(fitted, is_two_way=is_two_way, source=request.source)
            held_out = [session for link in links for session in link.held_out]
            ways = 2 if is_two_way else 1
            distance_check = check_distance_fit(distance, held_out, ways=ways, rng=rng)
        else:
            tiers = _tiers(fitted, losses, is_two_way=is_two_way)
    result = Calibration(
        mode=request.mode,
        use=request.use,
        is_two_way=is_two_way,
        links=links,
        refused=refused,
        losses=losses,
        one_way=one_way,
        latency=latency,
        tiers=tiers,
        distance=distance,
        distance_check=distance_check,
        points=points,
        farthest_m=farthest_m,
    )
    _check_values(result, request.source)
    return result


def _fit_links(
    records: Sequence[LinkRecord], request: CalibrationRequest
) -> tuple[tuple[LinkCalibration, ...], tuple[tuple[LinkRecord, str], ...]]:
    """Return the links that can be fitted, and the others with the reason."""
    links: list[LinkCalibration] = []
    refused: list[tuple[LinkRecord, str]] = []
    for index, record in enumerate(records):
        rng = indexed_generator(request.seed, index)
        try:
            link = calibrate_link(
                record, is_two_way=request.is_two_way, holdout=request.holdout, rng=rng
            )
        except RadioParameterError as error:
            refused.append((record, str(error)))
        else:
            links.append(link)
    if not links:
        record, reason = refused[0]
        others = f" {len(refused) - 1} more cannot be fitted." if len(refused) > 1 else ""
        raise RadioParameterError(
            f"link {record.sender!r} to {record.receiver!r} in {request.source} cannot be fitted: "
            f"{reason}{others}"
        )
    return tuple(links), tuple(refused)


def _check_size(links: Sequence[LinkCalibration], source: str) -> None:
    """Refuse more frames than memory is meant for; silences may hold millions on a few lines."""
    num_frames = sum(link.record.num_sent for link in links)
    if num_frames > LARGEST_NUM_FRAMES:
        raise RadioParameterError(
            f"{source} must hold at most {LARGEST_NUM_FRAMES} frames, lost ones included, where "
            f"distances are given. Got {num_frames}. Leave out column distance_m or the silences, "
            "or give fewer logs."
        )


def _tiers(
    outcomes: FrameOutcomes, losses: LossFit, *, is_two_way: bool
) -> tuple[Estimate, ...] | None:
    """Return the one-way loss in the nominal distance tiers, or None if the frames do not tell."""
    nominal = PacketLossParameters()
    limits_m = (nominal.distance_threshold_1, nominal.distance_threshold_2)
    effective_share = losses.effective_frames / losses.num_frames
    tiers = tier_losses(outcomes, limits_m, effective_share=effective_share)
    if tiers is None or not is_two_way:
        return tiers
    return tuple(Estimate(*(1.0 - math.sqrt(1.0 - limit) for limit in tier)) for tier in tiers)


def _check_values(result: Calibration, source: str) -> None:
    """Refuse values that no parameter file may hold."""
    base, jitter = result.base_latency_ms, result.jitter_ms
    for name, value, largest in (
        ("base latency [ms]", 0.0 if base is None else base.value, LARGEST_BASE_MS),
        ("jitter [ms]", 0.0 if jitter is None else jitter.value, LARGEST_JITTER_MS),
        ("mean burst [frames]", result.mean_burst, LARGEST_MEAN_BURST),
    ):
        if result.mode == "simple" and value > largest:
            raise RadioParameterError(
                f"the {name} measured in {source} must be at most {largest:g}. Got {value:.6g}. "
                "Look for a clock that jumped, or for frames that waited in a queue."
            )
