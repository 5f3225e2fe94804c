"""The four figures of the radio report, each with its title and the caption that explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator import report_figures as figures
from ml.espnow_emulator.airtime import offered_load
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_expectations import (
    SIMPLE_PAYLOAD_BYTES,
    LinkClosedForm,
    expected_collisions,
    expected_reception,
    frame_airtime_us,
)
from ml.espnow_emulator.radio_samples import ChannelSample, LinkSamples, ReceptionSample
from ml.espnow_emulator.report_metadata import LinkMetadata, MeasuredPoint
from ml.espnow_emulator.report_rows import SHOWN_LEVEL, age_share, burst_share, channel_rows
from ml.espnow_emulator.sampling_intervals import clopper_pearson

_NUM_AGES = 160
_LEAST_SHOWN_SHARE = 3e-5
_LONGEST_SHOWN_AGE_MS = 60_000.0


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page.

    Attributes:
        title: What it shows.
        svg: The drawing; empty where there is nothing to draw.
        caption: How to read it, with the numbers of samples.
    """

    title: str
    svg: str
    caption: str


def reception_panel(
    parameters: RadioParameters, metadata: LinkMetadata, samples: Sequence[ReceptionSample]
) -> ReportFigure:
    """Return figure 1, reception against distance."""
    farthest_m = max(sample.distance_m for sample in samples)
    line_m = np.linspace(0.0, 1.04 * farthest_m, 800)
    sampled = []
    for sample in samples:
        if sample.num_sent:
            limits = clopper_pearson(sample.num_received, sample.num_sent, SHOWN_LEVEL)
            share = sample.num_received / sample.num_sent
            sampled.append((sample.distance_m, share, *limits))
    counts = sorted(sample.num_sent for sample in samples)
    basis = "propagation, floor and interference" if parameters.is_physical else "the file's tiers"
    caption = (
        f"Points: {len(samples)} distances, {counts[0]:,} to {counts[-1]:,} frames each, every "
        "frame in a world of its own; bars are 95 % Clopper-Pearson intervals. "
        f"Line: {basis}, one peer, nothing in the way. {_measured_text(metadata)}"
    )
    title = "Frames received against distance"
    svg = figures.reception_figure(
        figures.Points.of(sampled),
        figures.Line(line_m, expected_reception(parameters, line_m)),
        figures.Points.of(_measured_row(point) for point in metadata.points),
        title=title,
    )
    return ReportFigure(title, svg, caption)


def _measured_row(point: MeasuredPoint) -> tuple[float, float, float, float]:
    """Return a measured point with its interval; no interval where the file gives no number."""
    limits = (point.reception, point.reception)
    if point.num_frames is not None:
        limits = clopper_pearson(point.reception * point.num_frames, point.num_frames, SHOWN_LEVEL)
    return (point.distance_m, point.reception, *limits)


def _measured_text(metadata: LinkMetadata) -> str:
    """Return what the diamonds of figure 1 are."""
    if not metadata.points:
        return "The file names no measured point."
    counts = [point.num_frames for point in metadata.points if point.num_frames is not None]
    if len(counts) == len(metadata.points):
        return f"Diamonds: measured, {min(counts):,} frames or more each, 95 % bars."
    return "Diamonds: measured; where the file does not say of how many frames, without a bar."


def burst_panel(
    metadata: LinkMetadata, link: LinkSamples, form: LinkClosedForm | None
) -> ReportFigure:
    """Return figure 2, the lengths of bursts of losses."""
    title = f"Frames lost in a row, at {link.distance_m:.4g} m"
    lengths = np.concatenate(link.bursts)
    if form is None or len(lengths) == 0:
        return ReportFigure(title, "", f"No burst in {int(link.num_sent.sum()):,} frames.")
    longest = int(lengths.max())
    sampled = []
    for length in figures.thinned(range(1, longest + 1)):
        share = burst_share(link, length)
        sampled.append((float(length), share.value, *share.interval(SHOWN_LEVEL)))
    measured = metadata.longest_burst_frames
    caption = (
        f"Points: {len(lengths):,} bursts in {int(link.num_sent.sum()):,} frames of "
        f"{len(link.bursts):,} worlds, the longest of {longest}; bars are 95 % intervals. Line: "
        f"{_burst_form(form)}."
    )
    if measured is not None:
        caption += f" Dotted: the longest burst measured, {measured} frames."
    farthest = max(longest, measured or 0) + 1
    line_k = np.arange(1, farthest + 1, dtype=np.float64)
    line = figures.Line(line_k, form.burst_exceedance(farthest))
    svg = figures.burst_figure(
        figures.Points.of(sampled), line, longest_measured=measured, title=title
    )
    return ReportFigure(title, svg, caption)


def _burst_form(form: LinkClosedForm) -> str:
    """Return what the line of figure 2 is."""
    if len(form.weights) == 1:
        return f"geometric, mean {form.mean_burst:.4g} frames"
    return f"interference and fading over all shadowings, mean {form.mean_burst:.4g} frames"


def age_panel(
    parameters: RadioParameters, link: LinkSamples, form: LinkClosedForm | None
) -> ReportFigure:
    """Return figure 3, the age of what the ego holds."""
    title = f"Age of what the ego holds, at {link.distance_m:.4g} m"
    latencies_ms = np.concatenate(link.latencies_ms)
    if form is None or len(latencies_ms) == 0:
        return ReportFigure(title, "", "Nothing was heard, so there is no age.")
    delay_ms = float(latencies_ms.mean())
    farthest_ms = farthest_age_ms(form, delay_ms)
    line_ms = np.linspace(0.0, farthest_ms, 600)
    sampled = []
    for age_ms in np.linspace(0.0, farthest_ms, _NUM_AGES).tolist():
        share = age_share(link, age_ms)
        sampled.append((age_ms, share.value, *share.interval(SHOWN_LEVEL)))
    num_samples = sum(map(len, link.ages_ms)) + int(link.num_unheard.sum())
    stale_ms = parameters.observation.staleness_threshold_ms
    caption = (
        f"Thick line: {num_samples:,} samples every 10 ms, {len(latencies_ms):,} frames received "
        f"in {len(link.ages_ms):,} worlds; the band is the 95 % interval. Dashed: closed form for "
        f"a delay of {delay_ms:.3g} ms, the mean latency."
    )
    if stale_ms < farthest_ms:
        caption += f" Dotted: what the board calls stale, {stale_ms:g} ms since reception."
    svg = figures.age_figure(
        figures.Points.of(sampled),
        figures.Line(line_ms, form.age_exceedance(line_ms, delay_ms)),
        stale_ms=stale_ms,
        title=title,
    )
    return ReportFigure(title, svg, caption)


def farthest_age_ms(form: LinkClosedForm, delay_ms: float = 0.0) -> float:
    """Return the oldest age that figure 3 shows [ms]."""
    return min(form.age_quantile_ms(1.0 - _LEAST_SHOWN_SHARE, delay_ms), _LONGEST_SHOWN_AGE_MS)


def channel_panel(parameters: RadioParameters, samples: Sequence[ChannelSample]) -> ReportFigure:
    """Return figure 4: the channel's load and, where there is a medium, the collided frames."""
    airtime_us = frame_airtime_us(parameters)
    counts = np.arange(1, figures.MOST_SENDERS + 1)
    load_share = np.array([offered_load(int(count), airtime_us) for count in counts])
    load = figures.Line(counts.astype(np.float64), load_share)
    airtime = f"{airtime_us / 1000.0:.4g} ms on the air a frame"
    if not samples:
        title = "Load of the channel"
        caption = (
            f"Line: senders times {airtime} ({SIMPLE_PAYLOAD_BYTES} bytes at 1 Mbit/s), over "
            "100 ms. In simple mode there is no shared medium: no frame collides, whatever the "
            "load."
        )
        svg = figures.channel_figure(load, None, figures.NO_LINE, title=title)
        return ReportFigure(title, svg, caption)
    title = "Load of the channel, and collisions"
    rows = channel_rows(parameters, (), samples)
    collided = figures.Points.of(
        (row.num_senders, row.estimate.value, *row.estimate.interval(SHOWN_LEVEL))
        for row in rows
        if row.num_senders is not None and row.estimate is not None
    )
    known = [(row.num_senders, row.closed_form) for row in rows if row.closed_form is not None]
    exact = figures.Line(*np.array(known, dtype=np.float64).reshape(-1, 2).T)
    fewest = min(int(sample.num_on_air.sum()) for sample in samples)
    has_form = expected_collisions(parameters, 2) is not None
    caption = (
        f"Above: senders times {airtime}, over 100 ms. Below: points, {fewest:,} frames or "
        f"more each, the ego's left out, in {len(samples[0].num_on_air):,} draws of the senders' "
        "phases; bars are 95 % intervals. "
        + ("Line: exact, aligned phases." if has_form else "No closed form for free phases.")
    )
    svg = figures.channel_figure(load, collided, exact, title=title)
    return ReportFigure(title, svg, caption)
