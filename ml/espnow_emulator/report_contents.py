"""Everything on one page of the radio report: samples, numbers, figures and notes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_expectations import (
    PERIOD_MS,
    LinkClosedForm,
    expected_link,
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
from ml.espnow_emulator.report_figures import MOST_SENDERS
from ml.espnow_emulator.report_metadata import LinkMetadata
from ml.espnow_emulator.report_notes import report_notes
from ml.espnow_emulator.report_panels import (
    ReportFigure,
    age_panel,
    burst_panel,
    channel_panel,
    farthest_age_ms,
    reception_panel,
)
from ml.espnow_emulator.report_rows import (
    Row,
    age_rows,
    burst_rows,
    channel_rows,
    judged,
    reception_rows,
)

_NUM_DISTANCES = 16
_BEYOND_REACH = 1.1
_FRAMES_PER_DISTANCE_DIVISOR = 10
_DEFAULT_DISTANCE_M = 20.0
_SENDERS = (2, 3, 6, 10, 15, 20, 25, 30, 40, MOST_SENDERS)
_LONGEST_WARM_UP_FRAMES = 5000


@dataclass(frozen=True)
class SamplePlan:
    """How much of what is sampled.

    Attributes:
        num_frames: Frames on the link; a tenth of it at each distance.
        seed: Of all samples.
        distance_m: Of the link in figures 2 and 3; chosen from the file if None [m].
    """

    num_frames: int
    seed: int
    distance_m: float | None = None


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


def work_units(parameters: RadioParameters, plan: SamplePlan) -> int:
    """Return how many frames or periods a page samples, about."""
    num_channel = len(_SENDERS) if parameters.is_physical else 0
    per_distance = plan.num_frames // _FRAMES_PER_DISTANCE_DIVISOR
    return plan.num_frames * (1 + num_channel) + per_distance * (_NUM_DISTANCES + 1)


def make_report(
    parameters: RadioParameters,
    metadata: LinkMetadata,
    plan: SamplePlan,
    *,
    tick: Callable[[int], None],
) -> RadioReport:
    """Sample the emulator and compare it with the closed forms.

    Args:
        parameters: The radio.
        metadata: What its file says of itself.
        plan: How much is sampled.
        tick: Called with the frames emulated, for progress.
    """
    distance_m = plan.distance_m
    if distance_m is None:
        distance_m = link_distance_m(parameters, metadata)
    form = expected_link(parameters, distance_m)
    samples = _sample(parameters, metadata, plan, distance_m, tick)
    here = metadata.at(distance_m)
    rows = judged(
        [
            *reception_rows(parameters, metadata, samples.reception),
            *burst_rows(here, samples.link, form),
            *age_rows(parameters, samples.link, form),
            *channel_rows(parameters, _SENDERS, samples.channel),
        ]
    )
    panels = [
        reception_panel(parameters, metadata, samples.reception),
        burst_panel(here, samples.link, form),
        age_panel(parameters, samples.link, form),
        channel_panel(parameters, samples.channel),
    ]
    return RadioReport(distance_m, rows, panels, report_notes(parameters, here, samples.link, form))


def _sample(
    parameters: RadioParameters,
    metadata: LinkMetadata,
    plan: SamplePlan,
    distance_m: float,
    tick: Callable[[int], None],
) -> _Samples:
    """Return what the emulator does, for all figures."""
    per_distance = max(1, plan.num_frames // _FRAMES_PER_DISTANCE_DIVISOR)
    reception = [
        sample_reception(parameters, place_m, per_distance, seed=plan.seed, tick=tick)
        for place_m in _distances_m(parameters, metadata, distance_m)
    ]
    link = sample_link(
        parameters,
        distance_m,
        plan.num_frames,
        warm_up_frames=_warm_up_frames(expected_link(parameters, distance_m)),
        seed=plan.seed,
        tick=tick,
    )
    channel = [
        sample_channel(parameters, count, plan.num_frames, seed=plan.seed, tick=tick)
        for count in _SENDERS
        if parameters.is_physical
    ]
    return _Samples(reception, link, channel)


def link_distance_m(parameters: RadioParameters, metadata: LinkMetadata) -> float:
    """Return the distance of figures 2 and 3 [m].

    A measured link's own; or of the measured points the one with most frames; or, if the file does
    not say of how many, the nearest that is 20 m away or more; or 20 m, if that is in reach.
    """
    if metadata.distance_m is not None:
        return metadata.distance_m
    counted = [point for point in metadata.points if point.num_frames]
    if counted:
        return max(counted, key=lambda point: point.num_frames or 0).distance_m
    far_m = [p.distance_m for p in metadata.points if p.distance_m >= _DEFAULT_DISTANCE_M]
    return min(far_m, default=min(_DEFAULT_DISTANCE_M, 0.5 * reach_m(parameters)))


def _distances_m(parameters: RadioParameters, metadata: LinkMetadata, own_m: float) -> list[float]:
    """Return the distances of figure 1: evenly spread beyond the reach, measured, the link's own.

    Of many measured points only their diamonds are drawn, without a sample at each.
    """
    measured_m = [point.distance_m for point in metadata.points]
    farthest_m = _BEYOND_REACH * max(reach_m(parameters), own_m, *measured_m)
    spread_m = np.linspace(0.0, farthest_m, _NUM_DISTANCES + 1)[1:].round(1).tolist()
    sampled_m = measured_m if len(measured_m) <= _NUM_DISTANCES else []
    return sorted({*spread_m, *sampled_m, own_m} - {0.0})


def _warm_up_frames(form: LinkClosedForm | None) -> int:
    """Return after how many frames the link has forgotten how it began.

    Longer than the oldest state that is drawn: what was never heard is older than that.
    """
    if form is None:
        return 0
    typical = float((form.weights * np.minimum(form.frames_between, 1000.0)).sum())
    longest = 20.0 + 10.0 * max(typical, form.mean_burst)
    return min(_LONGEST_WARM_UP_FRAMES, math.ceil(max(longest, farthest_age_ms(form) / PERIOD_MS)))
