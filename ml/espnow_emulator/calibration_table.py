"""What a calibration prints: a table for each link, and what went into the file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.espnow_emulator.calibration import Calibration
from ml.espnow_emulator.calibration_file import file_notes
from ml.espnow_emulator.distance_fit import DistanceFit, modelled_reception
from ml.espnow_emulator.holdout_check import Distance
from ml.espnow_emulator.link_calibration import HoldoutCheck, Latency, LinkCalibration
from ml.espnow_emulator.link_fit import Estimate
from ml.espnow_emulator.link_sessions import LinkRecord

Row = tuple[str, str, str]


def table_text(result: Calibration) -> str:
    """Return everything that was found, as lines of plain text."""
    lines: list[str] = []
    for link in result.links:
        lines += [*_link_lines(link, is_two_way=result.is_two_way), ""]
    for record, reason in result.refused:
        lines += [f"{_title(record)}: not fitted: {reason}", ""]
    return "\n".join([*lines, *_file_lines(result)]) + "\n"


def _link_lines(link: LinkCalibration, *, is_two_way: bool) -> list[str]:
    """Return the lines of one link."""
    record, losses = link.record, link.losses
    sessions = "1 session" if len(record.sessions) == 1 else f"{len(record.sessions)} sessions"
    kind = "echoes" if is_two_way else "frames"
    held_out = 0 if link.check is None else link.check.num_frames
    rows = [
        ("two-way loss" if is_two_way else "loss", *_percent(losses.loss)),
        ("good to bad, p", *_number(losses.to_bad, 4)),
        ("bad to good, r", *_number(losses.to_good, 4)),
        ("mean burst [frames]", *_number(losses.mean_burst, 2)),
        ("longest burst [frames]", str(losses.longest_burst), ""),
    ]
    if is_two_way:
        rows += [
            ("one-way loss", *_percent(link.one_way.loss)),
            ("one-way mean burst [frames]", *_number(link.one_way.mean_burst, 2)),
        ]
    rows += _latency_rows(link.latency)
    return [
        f"{_title(record)}: {record.num_sent} {kind} in {sessions}, {record.num_received} "
        f"received; {losses.num_frames} fitted, {held_out} held out",
        f"  {record.num_duplicates} duplicates, {record.num_reordered} out of order, "
        f"{record.num_restarts} restarts, {record.num_jumps} jumps of the sender's clock",
        *_table(rows),
        *_check_lines(link.check),
        *(f"  note: {note}" for note in link.notes),
    ]


def _title(record: LinkRecord) -> str:
    return f"{record.sender} -> {record.receiver}"


def _latency_rows(latency: Latency | None) -> list[Row]:
    """Return the rows of the delays."""
    if latency is None:
        return []
    name = "one-way, over the smallest" if latency.round_trip_ms is None else "round trip"
    middle, high, higher, largest = latency.quantiles_ms
    rows = [
        (
            f"{name} [ms]",
            f"{middle:.2f}",
            f"95 %: {high:.2f}, 99 %: {higher:.2f}, largest: {largest:.2f}",
        ),
        ("its jitter [ms]", *_number(latency.jitter_ms, 2)),
    ]
    if latency.drift_ppm:
        shown = ", ".join(f"{drift:+.1f}" for drift in latency.drift_ppm)
        rows.append(("receiver's clock drift [ppm]", shown, ""))
    return rows


def _check_lines(check: HoldoutCheck | None) -> list[str]:
    """Return how well the fit reproduces what was held out."""
    if check is None:
        return ["  held out: too little to check the fit"]
    bursts = "no burst in it" if check.bursts is None else _distance(check.bursts)
    return [
        f"  held out: loss {check.loss:.2%}; KS distance of age {_distance(check.age)}; "
        f"of burst lengths: {bursts}"
    ]


def _distance(distance: Distance) -> str:
    """Return a distance beside what chance gives."""
    verdict = "within chance" if distance.value <= distance.expected else "more than chance"
    return f"{distance.value:.3f} ({verdict}: 95 % below {distance.expected:.3f})"


def _file_lines(result: Calibration) -> list[str]:
    """Return what goes into the file."""
    rows: list[Row] = []
    if result.mode == "simple":
        rows += _loss_rows(result)
        base, jitter = result.base_latency_ms, result.jitter_ms
        rows.append(("base latency [ms]", *_number(base, 2, missing="nominal, not measured")))
        rows.append(("jitter [ms]", *_number(jitter, 2, missing="nominal, not measured")))
    if result.distance is not None:
        rows += _distance_rows(result.distance)
    lines = [f"file, one-way, mode {result.mode}, for {result.use}", *_table(rows)]
    if result.distance is not None:
        lines += [*_point_lines(result, result.distance), _distance_check_line(result)]
    return [*lines, *(f"  note: {note}" for note in file_notes(result))]


def _distance_check_line(result: Calibration) -> str:
    """Return how well the fit of distance reproduces what was held out."""
    check = result.distance_check
    if check is None:
        return "  held out: too little to check the fit"
    return f"  held out: {check.num_frames} frames; KS distance of age {_distance(check.age)}"


def _loss_rows(result: Calibration) -> list[Row]:
    """Return the rows of loss and bursts."""
    if result.tiers is None:
        rows: list[Row] = [("loss, all tiers", *_percent(result.one_way.loss))]
    else:
        names = ("loss, tier 1", "loss, tier 2", "loss, tier 3")
        pairs = zip(names, result.tiers, strict=True)
        rows = [(name, *_percent(tier)) for name, tier in pairs]
    burst = result.one_way.mean_burst
    rows.append(("mean burst [frames]", *_number(burst, 2, missing="nominal, not measured")))
    return rows


def _distance_rows(fit: DistanceFit) -> list[Row]:
    """Return the rows of the fit of distance."""
    rows: list[Row] = [
        ("margin at 1 m [dB]", *_number(fit.margin_at_1m_db, 2)),
        ("floor loss", *_percent(fit.floor_loss)),
    ]
    if fit.mean_burst is not None:
        rows.append(("  as interference, burst", f"{fit.mean_burst:.2f}", ""))
    return rows


def _point_lines(result: Calibration, fit: DistanceFit) -> list[str]:
    """Return measured and fitted reception by distance."""
    places_m = np.array([point["distance_m"] for point in result.points])
    model = modelled_reception(places_m, fit.margin_at_1m_db.value, fit.floor_loss.value)
    lines = [f"  {'distance [m]':>12}  {'frames':>8}  {'reception':>9}  {'fitted':>8}"]
    for point, fitted in zip(result.points, model.tolist(), strict=True):
        lines.append(
            f"  {point['distance_m']:>12.1f}  {point['n']:>8}  {point['reception']:>9.3f}  "
            f"{fitted:>8.3f}"
        )
    return lines


def _percent(estimate: Estimate) -> tuple[str, str]:
    return f"{estimate.value:.2%}", f"[{estimate.low:.2%}, {estimate.high:.2%}]"


def _number(estimate: Estimate | None, digits: int, missing: str = "unknown") -> tuple[str, str]:
    if estimate is None:
        return missing, ""
    return (
        f"{estimate.value:.{digits}f}",
        f"[{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]",
    )


def _table(rows: Sequence[Row]) -> list[str]:
    """Return rows with their columns under one another."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    header = ("", "value", "95 % interval")
    widths = [max(widths[0], 0), max(widths[1], len("value"))]
    return [
        f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {interval}".rstrip()
        for name, value, interval in (header, *rows)
    ]
