"""The parameter file that a calibration writes: its values, and where they come from."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ml.espnow_emulator.calibration import Calibration
from ml.espnow_emulator.distance_fit import DistanceFit
from ml.espnow_emulator.link_calibration import NOMINAL_BURST, LinkCalibration
from ml.espnow_emulator.link_fit import Estimate
from ml.espnow_emulator.parameter_sections import (
    LARGEST_RANDOM_LOSS,
    DomainRandomizationParameters,
    LatencyParameters,
    ObservationParameters,
    PacketLossParameters,
    RelayParameters,
    SensorNoiseParameters,
)
from ml.espnow_emulator.parameters import feasible_mean_burst
from ml.espnow_emulator.physical_sections import (
    PhysicalParameters,
    PhysicalRandomizationParameters,
)

LARGEST_RANGE_M = 1000.0
_DIGITS = 6
_WITHOUT_EFFECT_IN_PHYSICAL = ("latency_range_ms", "loss_rate_range", "jitter_std_range_ms")
_TWO_WAY_ASSUMPTION = (
    "Both ways are alike and independent: loss = 1 - sqrt(1 - two-way loss), latency = half the "
    "median round trip, jitter = the round trip's / sqrt(2)."
)


def parameter_content(result: Calibration, provenance: dict[str, Any]) -> dict[str, Any]:
    """Return the parameter file's JSON object.

    Args:
        result: What was found.
        provenance: Name, files, date, command, versions: the metadata's first entries.
    """
    make_sections = _physical_sections if result.mode == "physical" else _simple_sections
    return {
        "mode": result.mode,
        **make_sections(result),
        "sensor_noise": asdict(SensorNoiseParameters()),
        "observation": asdict(ObservationParameters()),
        "relay": asdict(RelayParameters()),
        "_metadata": {**provenance, **_findings(result)},
    }


def _simple_sections(result: Calibration) -> dict[str, Any]:
    """Return the sections of mode simple that hold measured values, and their ranges."""
    nominal_latency, nominal_loss = LatencyParameters(), PacketLossParameters()
    base, jitter = result.base_latency_ms, result.jitter_ms
    base_ms = nominal_latency.base_ms if base is None else base.value
    jitter_ms = nominal_latency.jitter_std_ms if jitter is None else jitter.value
    loss = result.one_way.loss
    tiers = [_rounded(tier.value) for tier in result.tiers or (loss, loss, loss)]
    has_bursts = result.losses.has_bursts or result.losses.num_lost == 0
    return {
        "latency": {
            "base_ms": _rounded(base_ms),
            "distance_factor": nominal_latency.distance_factor,
            "jitter_std_ms": _rounded(jitter_ms),
        },
        "packet_loss": {
            "base_rate": min(tiers),
            "distance_threshold_1": nominal_loss.distance_threshold_1,
            "distance_threshold_2": nominal_loss.distance_threshold_2,
            "rate_tier_1": tiers[0],
            "rate_tier_2": tiers[1],
            "rate_tier_3": tiers[2],
            "max_range_m": _range_m(result),
        },
        "burst_loss": {"enabled": has_bursts, "mean_burst_length": _rounded(result.mean_burst)},
        "domain_randomization": _simple_ranges(
            result, base_ms=base_ms, jitter_ms=jitter_ms, base_rate=min(tiers)
        ),
    }


def _simple_ranges(
    result: Calibration, *, base_ms: float, jitter_ms: float, base_rate: float
) -> dict[str, Any]:
    """Return the ranges of mode simple: one point for a test, else wide enough for the fit."""
    ranges: dict[str, Any] = asdict(DomainRandomizationParameters())
    if result.use == "test":
        points = {
            "latency_range_ms": base_ms,
            "loss_rate_range": min(base_rate, LARGEST_RANDOM_LOSS),
            "jitter_std_range_ms": jitter_ms,
            "gps_noise_range_m": SensorNoiseParameters().gps_std_m,
            "mean_burst_range": result.mean_burst,
        }
        return {**ranges, **{name: [_rounded(value)] * 2 for name, value in points.items()}}
    loss = min(result.tiers or (result.one_way.loss,))
    burst = result.one_way.mean_burst
    for name, estimate in (
        ("latency_range_ms", result.base_latency_ms),
        ("loss_rate_range", loss),
        ("jitter_std_range_ms", result.jitter_ms),
        ("mean_burst_range", burst),
    ):
        ranges[name] = _widened(ranges[name], estimate)
    ranges["loss_rate_range"][1] = min(ranges["loss_rate_range"][1], LARGEST_RANDOM_LOSS)
    needed = feasible_mean_burst(ranges["loss_rate_range"][1])
    low, high = ranges["mean_burst_range"]
    ranges["mean_burst_range"] = [low, min(max(high, math.ceil(needed)), 1000.0)]
    return ranges


def _physical_sections(result: Calibration) -> dict[str, Any]:
    """Return the sections of mode physical that hold measured values, and their ranges."""
    fit = result.distance
    if fit is None:
        raise ValueError("mode physical must have a fit of distance")
    # The floor is one loss: independent, or in bursts.
    floor = 0.0 if fit.interference_loss else fit.floor_loss.value
    mean_burst = NOMINAL_BURST if fit.mean_burst is None else fit.mean_burst
    physical = {
        "margin_at_1m_db": _rounded(fit.margin_at_1m_db.value),
        "floor_loss": _rounded(floor),
        "interference_loss": _rounded(fit.interference_loss),
    }
    return {
        "physical": {**asdict(PhysicalParameters()), **physical},
        "burst_loss": {"enabled": True, "mean_burst_length": _rounded(mean_burst)},
        **_physical_ranges(result, fit, physical, mean_burst=mean_burst),
    }


def _physical_ranges(
    result: Calibration, fit: DistanceFit, physical: dict[str, float], *, mean_burst: float
) -> dict[str, Any]:
    """Return the ranges of mode physical: one point for a test, else wide enough for the fit."""
    ranges: dict[str, Any] = asdict(PhysicalRandomizationParameters())
    shared: dict[str, Any] = {
        name: value
        for name, value in asdict(DomainRandomizationParameters()).items()
        if name not in _WITHOUT_EFFECT_IN_PHYSICAL
    }
    if result.use == "test":
        nominal = PhysicalParameters()
        ranges = {
            "margin_range_db": [physical["margin_at_1m_db"]] * 2,
            "shadowing_std_range_db": [nominal.shadowing_std_db] * 2,
            "fading_m_range": [nominal.fading_m] * 2,
            "floor_loss_range": [physical["floor_loss"]] * 2,
            "interference_loss_range": [physical["interference_loss"]] * 2,
            "blackouts_range": [nominal.blackouts] * 2,
            "obstruction_range_db": [nominal.obstruction_db] * 2,
            "background_senders_range": [nominal.background_senders] * 2,
            "payload_range_bytes": [nominal.payload_bytes] * 2,
            "rates_mbps": [nominal.rate_mbps],
            "gps_rates_hz": [],
        }
        shared["gps_noise_range_m"] = [SensorNoiseParameters().gps_std_m] * 2
        shared["mean_burst_range"] = [_rounded(mean_burst)] * 2
    else:
        ranges["margin_range_db"] = _widened(ranges["margin_range_db"], fit.margin_at_1m_db)
        name = "interference_loss_range" if fit.interference_loss else "floor_loss_range"
        ranges[name] = _widened(ranges[name], fit.floor_loss)
        longest = max(shared["mean_burst_range"][1], mean_burst)
        shared["mean_burst_range"] = [shared["mean_burst_range"][0], _rounded(longest)]
    return {"physical_randomization": ranges, "domain_randomization": shared}


def _widened(nominal: tuple[float, float], estimate: Estimate | None) -> list[float]:
    """Return the nominal range, as much wider as an estimate's interval needs."""
    if estimate is None:
        return list(nominal)
    return [
        _rounded(min(nominal[0], estimate.low)),
        _rounded(max(nominal[1], estimate.high)),
    ]


def _range_m(result: Calibration) -> float:
    """Return the range: the nominal one, or as far as frames were recorded [m]."""
    farthest = max(PacketLossParameters().max_range_m, float(math.ceil(result.farthest_m)))
    return min(farthest, LARGEST_RANGE_M)


# --- Metadata ------------------------------------------------------------------------------------


def _findings(result: Calibration) -> dict[str, Any]:
    """Return what was measured, what was assumed, and the limits."""
    findings: dict[str, Any] = {
        "direction": "one-way, sender to receiver"
        + (", from round trips" if result.is_two_way else ""),
        "fitted": {
            "num_frames": result.losses.num_frames,
            "num_lost": result.losses.num_lost,
            "loss": _shown(result.one_way.loss),
            "mean_burst": _shown(result.one_way.mean_burst),
            "base_latency_ms": _shown(result.base_latency_ms),
            "jitter_ms": _shown(result.jitter_ms),
            "tier_losses": [_shown(tier) for tier in result.tiers] if result.tiers else None,
        },
        "interval": "95 %",
        "links": [_link_findings(link) for link in result.links],
        "links_not_fitted": [
            {"sender": record.sender, "receiver": record.receiver, "reason": reason}
            for record, reason in result.refused
        ],
        "assumed": _assumed(result),
        "notes": file_notes(result),
        "limits": [
            "The two-state process has lighter tails than most recordings.",
            "Losses before the first and after the last frame received are not seen.",
            "Sensor noise, staleness and relays are the nominal file's.",
        ],
    }
    if result.distance is not None:
        findings["fitted"]["physical"] = _distance_findings(result.distance)
        check = result.distance_check
        findings["held_out_physical"] = (
            None
            if check is None
            else {
                "num_frames": check.num_frames,
                "age_distance": _rounded(check.age.value),
                "age_distance_expected": _rounded(check.age.expected),
            }
        )
    if result.mode == "simple" and result.tiers is None:
        findings["extrapolated"] = dict.fromkeys(
            ("rate_tier_1", "rate_tier_2", "rate_tier_3"),
            "one loss at all distances; the logs do not have 200 frames in each tier",
        )
    if result.points:
        findings["measured_points"] = result.points
    return findings


def _link_findings(link: LinkCalibration) -> dict[str, Any]:
    """Return one link's counts and estimates, as observed."""
    record, losses, latency, check = link.record, link.losses, link.latency, link.check
    return {
        "sender": record.sender,
        "receiver": record.receiver,
        "num_sent": record.num_sent,
        "num_received": record.num_received,
        "num_sessions": len(record.sessions),
        "num_duplicates": record.num_duplicates,
        "num_reordered": record.num_reordered,
        "num_restarts": record.num_restarts,
        "num_jumps": record.num_jumps,
        "num_fitted": losses.num_frames,
        "observed_loss": _shown(losses.loss),
        "p_good_to_bad": _shown(losses.to_bad),
        "r_bad_to_good": _shown(losses.to_good),
        "observed_mean_burst": _shown(losses.mean_burst),
        "longest_burst_frames": losses.longest_burst,
        "one_way_loss": _shown(link.one_way.loss),
        "one_way_mean_burst": _shown(link.one_way.mean_burst),
        "latency": None
        if latency is None
        else {
            "of": "the round trip" if latency.round_trip_ms else "the time over the smallest",
            "median_p95_p99_largest_ms": [_rounded(value) for value in latency.quantiles_ms],
            "jitter_ms": _shown(latency.jitter_ms),
            "clock_drift_ppm": [_rounded(value) for value in latency.drift_ppm],
        },
        "held_out": None
        if check is None
        else {
            "num_frames": check.num_frames,
            "loss": _rounded(check.loss),
            "age_distance": _rounded(check.age.value),
            "age_distance_expected": _rounded(check.age.expected),
            "burst_distance": None if check.bursts is None else _rounded(check.bursts.value),
            "burst_distance_expected": None
            if check.bursts is None
            else _rounded(check.bursts.expected),
        },
        "notes": list(link.notes),
    }


def _distance_findings(fit: DistanceFit) -> dict[str, Any]:
    """Return the fit of reception against distance."""
    return {
        "num_frames": fit.num_frames,
        "nearest_m": _rounded(fit.nearest_m),
        "farthest_m": _rounded(fit.farthest_m),
        "margin_at_1m_db": _shown(fit.margin_at_1m_db),
        "floor_loss": _shown(fit.floor_loss),
        "interference_loss": _rounded(fit.interference_loss),
        "mean_burst": None if fit.mean_burst is None else _rounded(fit.mean_burst),
        "neighbours_correlation": _rounded(fit.correlation),
        "most_from_shadowing": _rounded(fit.shadowing_correlation),
        "correlation_error": _rounded(fit.correlation_error),
    }


def _assumed(result: Calibration) -> dict[str, str]:
    """Return what was not measured, and what stands in for it."""
    assumed = {}
    if result.is_two_way:
        assumed["two_way"] = _TWO_WAY_ASSUMPTION
    if result.mode == "physical":
        assumed["physical"] = (
            "nominal shadowing and fading, nothing in the way, no other senders; latency comes "
            "from the medium"
        )
        return assumed
    if result.base_latency_ms is None:
        assumed["base_ms"] = (
            "nominal: with two clocks only differences of one-way latency can be measured"
        )
    if result.jitter_ms is None:
        assumed["jitter_std_ms"] = "nominal: too few frames in a row"
    if result.one_way.mean_burst is None:
        assumed["mean_burst_length"] = "nominal: no loss was seen"
    assumed["max_range_m"] = "nominal, or the farthest frame where that is farther"
    return assumed


def file_notes(result: Calibration) -> list[str]:
    """Return what a reader has to know of the file as a whole."""
    notes = []
    lows = [link.one_way.loss.low for link in result.links]
    highs = [link.one_way.loss.high for link in result.links]
    if max(lows) > min(highs):
        notes.append(
            "the links' losses differ by more than their intervals: the file is their mean, and "
            "none of them; calibrate them apart"
        )
    burst = result.one_way.mean_burst
    if result.mode == "simple" and burst is not None and result.mean_burst > burst.value:
        notes.append(
            f"the mean burst of {burst.value:.3g} frames is too short for the tier with the "
            f"highest loss and was raised to {result.mean_burst:.3g}"
        )
    if result.distance is not None:
        notes.append(_interference_note(result.distance, is_two_way=result.is_two_way))
    return notes


def _interference_note(fit: DistanceFit, *, is_two_way: bool) -> str:
    """Return why interference was fitted, or was not."""
    found = (
        f"neighbouring frames have a correlation of {fit.correlation:.3f} +- "
        f"{fit.correlation_error:.3f}, of which shadowing can give {fit.shadowing_correlation:.3f}"
    )
    if is_two_way:
        return f"{found}; interference is left at 0, because round trips do not tell it apart"
    if fit.interference_loss:
        return f"{found}: the floor is written as interference_loss, in bursts"
    return f"{found}: interference_loss is left at 0"


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def _shown(estimate: Estimate | None) -> dict[str, float] | None:
    """Return an estimate for the metadata."""
    if estimate is None:
        return None
    return {name: _rounded(value) for name, value in estimate._asdict().items()}
