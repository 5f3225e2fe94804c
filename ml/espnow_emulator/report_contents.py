"""Everything on one page of the radio report: samples, numbers, figures and notes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator import report_figures as figures
from ml.espnow_emulator.airtime import offered_load
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_expectations import (
    PERIOD_MS,
    LinkClosedForm,
    expected_collisions,
    expected_latency_ms,
    expected_link,
    expected_reception,
    frame_airtime_us,
    reach_m,
)
from ml.espnow_emulator.radio_samples import (
    ChannelSample,
    LinkSamples,
    ReceptionSample,
    sample_channel,
    sample_link,
    sample_reception,
)
from ml.espnow_emulator.report_metadata import LinkMetadata
from ml.espnow_emulator.report_rows import (
    SHOWN_LEVEL,
    Row,
    age_rows,
    age_share,
    burst_rows,
    burst_share,
    channel_rows,
    judged,
    reception_rows,
)
from ml.espnow_emulator.sampling_intervals import clopper_pearson
from ml.types import FloatArray

_NUM_DISTANCES = 16
_BEYOND_REACH = 1.1
_FRAMES_PER_DISTANCE_DIVISOR = 10
_DEFAULT_DISTANCE_M = 20.0
_SENDERS = (2, 3, 6, 10, 15, 20, 25, 30, 40, 50)
_LONGEST_WARM_UP_FRAMES = 5000
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


@dataclass(frozen=True)
class RadioReport:
    """What one page says.

    Attributes:
        link_distance_m: Of the link in figures 2 and 3 [m].
        rows: All numbers, with their verdicts.
        figures: Figures 1 to 4.
        notes: What the closed forms or the samples leave out.
    """

    link_distance_m: float
    rows: list[Row]
    figures: list[ReportFigure]
    notes: list[str]


@dataclass(frozen=True)
class _Samples:
    """What the emulator gave for one page."""

    reception: list[ReceptionSample]
    link: LinkSamples
    channel: list[ChannelSample]


def work_units(parameters: RadioParameters, num_frames: int) -> int:
    """Return how many frames or periods a page samples, about."""
    num_channel = len(_SENDERS) if parameters.is_physical else 0
    per_distance = num_frames // _FRAMES_PER_DISTANCE_DIVISOR
    return num_frames * (1 + num_channel) + per_distance * (_NUM_DISTANCES + 1)


def make_report(
    parameters: RadioParameters,
    metadata: LinkMetadata,
    num_frames: int,
    *,
    seed: int,
    tick: Callable[[int], None],
) -> RadioReport:
    """Sample the emulator and compare it with the closed forms.

    Args:
        parameters: The radio.
        metadata: What its file says of itself.
        num_frames: Frames on the link; a tenth of it at each distance.
        seed: Of all samples.
        tick: Called with the frames emulated, for progress.
    """
    distance_m = link_distance_m(parameters, metadata)
    form = expected_link(parameters, distance_m)
    samples = _Samples(
        reception=[
            sample_reception(
                parameters,
                place_m,
                max(1, num_frames // _FRAMES_PER_DISTANCE_DIVISOR),
                seed=seed,
                tick=tick,
            )
            for place_m in _distances_m(parameters, metadata, distance_m)
        ],
        link=sample_link(
            parameters,
            distance_m,
            num_frames,
            warm_up_frames=_warm_up_frames(form),
            seed=seed,
            tick=tick,
        ),
        channel=[
            sample_channel(parameters, count, num_frames, seed=seed, tick=tick)
            for count in _SENDERS
            if parameters.is_physical
        ],
    )
    rows = judged(
        [
            *reception_rows(parameters, samples.reception),
            *burst_rows(samples.link, form),
            *age_rows(parameters, samples.link, form),
            *channel_rows(parameters, _SENDERS, samples.channel),
        ]
    )
    drawn = [
        _reception(parameters, metadata, samples.reception),
        _bursts(samples.link, form),
        _ages(parameters, samples.link, form),
        _channel(parameters, samples.channel),
    ]
    return RadioReport(distance_m, rows, drawn, _notes(parameters, samples.link, form))


def link_distance_m(parameters: RadioParameters, metadata: LinkMetadata) -> float:
    """Return the distance of figures 2 and 3: the file's own, or 20 m if that is in reach."""
    if metadata.distance_m is not None:
        return metadata.distance_m
    counted = [point for point in metadata.points if point.num_frames]
    if counted:
        return max(counted, key=lambda point: point.num_frames or 0).distance_m
    return min(_DEFAULT_DISTANCE_M, 0.5 * reach_m(parameters))


def _distances_m(parameters: RadioParameters, metadata: LinkMetadata, own_m: float) -> list[float]:
    """Return the distances of figure 1: evenly spread beyond the reach, and the link's own."""
    measured_m = [point.distance_m for point in metadata.points]
    farthest_m = _BEYOND_REACH * max(reach_m(parameters), own_m, *measured_m)
    spread_m = np.linspace(0.0, farthest_m, _NUM_DISTANCES + 1)[1:].round(1).tolist()
    return sorted({*spread_m, own_m})


def _warm_up_frames(form: LinkClosedForm | None) -> int:
    """Return after how many frames the link has forgotten how it began."""
    if form is None:
        return 0
    typical = float((form.weights * np.minimum(form.frames_between, 1000.0)).sum())
    longest = max(typical, form.mean_burst)
    return min(_LONGEST_WARM_UP_FRAMES, 20 + math.ceil(10.0 * longest))


def _reception(
    parameters: RadioParameters, metadata: LinkMetadata, samples: list[ReceptionSample]
) -> ReportFigure:
    """Return figure 1."""
    farthest_m = max(sample.distance_m for sample in samples)
    line_m = np.linspace(0.0, 1.02 * farthest_m, 800)
    measured = []
    for point in metadata.points:
        low = high = point.reception
        if point.num_frames:
            received = point.reception * point.num_frames
            low, high = clopper_pearson(received, point.num_frames, SHOWN_LEVEL)
        measured.append((point.distance_m, point.reception, low, high))
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
        figures.Points.of(measured),
        title=title,
    )
    return ReportFigure(title, svg, caption)


def _measured_text(metadata: LinkMetadata) -> str:
    """Return what the diamonds of figure 1 are."""
    if not metadata.points:
        return "The file names no measured point."
    counts = [point.num_frames for point in metadata.points]
    if all(counts):
        return f"Diamonds: measured, {min(filter(None, counts)):,} frames or more each, 95 % bars."
    return "Diamonds: measured; numbers of frames are not given, so there are no bars."


def _bursts(link: LinkSamples, form: LinkClosedForm | None) -> ReportFigure:
    """Return figure 2."""
    title = f"Frames lost in a row, at {link.distance_m:.4g} m"
    lengths = np.concatenate(link.bursts)
    if form is None or len(lengths) == 0:
        return ReportFigure(title, "", f"No burst in {int(link.num_sent.sum()):,} frames.")
    longest = int(lengths.max())
    sampled = []
    for length in figures.thinned(range(1, longest + 1)):
        share = burst_share(link, length)
        sampled.append((float(length), share.value, *share.interval(SHOWN_LEVEL)))
    line_k = np.arange(1, longest + 2)
    caption = (
        f"Points: {len(lengths):,} bursts in {int(link.num_sent.sum()):,} frames of "
        f"{len(link.bursts)} worlds, the longest of {longest}; bars are 95 % intervals. Line: "
        f"{_burst_form(form)}."
    )
    line = figures.Line(line_k.astype(np.float64), form.burst_exceedance(longest + 1))
    svg = figures.burst_figure(figures.Points.of(sampled), line, title=title)
    return ReportFigure(title, svg, caption)


def _burst_form(form: LinkClosedForm) -> str:
    """Return what the line of figure 2 is."""
    if len(form.weights) == 1:
        return f"geometric, mean {form.mean_burst:.4g} frames"
    return f"interference and fading over all shadowings, mean {form.mean_burst:.4g} frames"


def _ages(
    parameters: RadioParameters, link: LinkSamples, form: LinkClosedForm | None
) -> ReportFigure:
    """Return figure 3."""
    title = f"Age of what the ego holds, at {link.distance_m:.4g} m"
    latencies_ms = np.concatenate(link.latencies_ms)
    if form is None or len(latencies_ms) == 0:
        return ReportFigure(title, "", "Nothing was heard, so there is no age.")
    delay_ms = float(latencies_ms.mean())
    farthest_ms = form.age_quantile_ms(1.0 - _LEAST_SHOWN_SHARE, delay_ms)
    farthest_ms = min(farthest_ms, _LONGEST_SHOWN_AGE_MS)
    line_ms = np.linspace(0.0, farthest_ms, 600)
    sampled = []
    for age_ms in _ages_ms(farthest_ms):
        share = age_share(link, age_ms)
        sampled.append((age_ms, share.value, *share.interval(SHOWN_LEVEL)))
    num_samples = sum(map(len, link.ages_ms))
    caption = (
        f"Thick line: {num_samples:,} samples every 10 ms, {len(latencies_ms):,} frames received "
        f"in {len(link.ages_ms)} worlds; the band is the 95 % interval. Dashed: closed form for a "
        f"delay of {delay_ms:.3g} ms, the mean latency. Dotted: what the board calls stale, "
        f"{parameters.observation.staleness_threshold_ms:g} ms since reception."
    )
    svg = figures.age_figure(
        figures.Points.of(sampled),
        figures.Line(line_ms, form.age_exceedance(line_ms, delay_ms)),
        stale_ms=parameters.observation.staleness_threshold_ms,
        title=title,
    )
    return ReportFigure(title, svg, caption)


def _ages_ms(farthest_ms: float) -> list[float]:
    """Return the ages at which the emulator's curve is drawn [ms]."""
    ages: FloatArray = np.linspace(0.0, farthest_ms, _NUM_AGES)
    return [float(age_ms) for age_ms in ages]


def _channel(parameters: RadioParameters, samples: list[ChannelSample]) -> ReportFigure:
    """Return figure 4."""
    airtime_us = frame_airtime_us(parameters)
    counts = np.arange(1, max(_SENDERS) + 1)
    load = np.array([offered_load(int(count), airtime_us) for count in counts])
    rows = channel_rows(parameters, (), samples)
    collided = None
    exact = figures.Line(np.empty(0), np.empty(0))
    airtime = f"{airtime_us / 1000.0:.4g} ms on the air a frame"
    if parameters.is_physical:
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
            f"more each, in {len(samples[0].num_on_air)} draws of the senders' phases; bars are "
            "95 % intervals. "
            + ("Line: exact, aligned phases." if has_form else "No closed form for free phases.")
        )
    else:
        caption = (
            f"Above: senders times {airtime} (90 bytes at 1 Mbit/s), over 100 ms. In simple mode "
            "there is no shared medium: no frame collides, whatever the load."
        )
    title = "Load of the channel, and collisions"
    line = figures.Line(counts.astype(np.float64), load)
    return ReportFigure(title, figures.channel_figure(line, collided, exact, title=title), caption)


def _notes(
    parameters: RadioParameters, link: LinkSamples, form: LinkClosedForm | None
) -> list[str]:
    """Return what a reader must know of the samples and the closed forms."""
    notes = [
        "Sampled with one peer that stands still, without relays, position fixes and the "
        "plausibility gate: an age is that of the frame."
    ]
    if parameters.gps.rate_hz > 0.0:
        low_ms, high_ms = parameters.gps.lag_range_ms
        extra_ms = 0.5 * (low_ms + high_ms) + 500.0 / parameters.gps.rate_hz
        notes.append(
            f"The state in a frame is older than the frame by {extra_ms:.4g} ms in the mean: half "
            f"a period of the fixes ({parameters.gps.rate_hz:g} Hz) and their lag "
            f"({low_ms:g} to {high_ms:g} ms)."
        )
    if parameters.is_physical:
        notes += _physical_notes(parameters, form)
    else:
        notes.append("Simple mode: no waiting for the medium, no collisions, no cars in the way.")
        jitter_ms = parameters.latency.jitter_std_ms
        latest_ms = expected_latency_ms(parameters, link.distance_m) + 4.0 * jitter_ms
        if jitter_ms > 0.15 * PERIOD_MS or latest_ms > 1900.0:
            notes.append(
                "Frames overtake one another at this jitter, or are cut at 2 s: the closed forms "
                "of age and bursts assume that they come in order."
            )
    if link.num_unheard:
        seconds = link.num_unheard * 0.01
        notes.append(
            f"For {seconds:.4g} s of the samples nothing had been heard yet: above every age, and "
            "in no mean."
        )
    if link.num_hidden:
        notes.append(
            f"{link.num_hidden} frames were handled within 10 ms of the next one; their gaps and "
            "latencies are not in the samples."
        )
    return notes


def _physical_notes(parameters: RadioParameters, form: LinkClosedForm | None) -> list[str]:
    """Return what the closed forms leave out in physical mode."""
    physical = parameters.physical
    notes = ["Reception averages over shadowing; nothing is in the way."]
    left_out = []
    if physical.background_senders:
        left_out.append(f"collisions with the {physical.background_senders} background senders")
        left_out.append("waiting for the medium beyond first order in its load")
    if physical.aligned_phases:
        left_out.append("waiting and collisions of aligned phases on the link")
    if physical.stalls_per_minute > 0.0:
        left_out.append("stalls of the boards' software")
    if physical.blackouts:
        left_out.append("black-outs")
    if left_out:
        notes.append(f"The closed forms of figures 1 to 3 leave out {', '.join(left_out)}.")
    if form is not None and form.is_governed_by_rare_shadows:
        notes.append(
            "No mean age: shadows too deep to be met in the samples govern it. The shares of time "
            "hold."
        )
    return notes
