"""The numbers of a radio report: what was sampled, beside what the closed forms say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.airtime import offered_load
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_expectations import (
    LinkClosedForm,
    expected_collisions,
    expected_latency_ms,
    expected_reception,
    frame_airtime_us,
)
from ml.espnow_emulator.radio_samples import ChannelSample, LinkSamples, ReceptionSample
from ml.espnow_emulator.report_metadata import LinkMetadata
from ml.espnow_emulator.sampling_intervals import (
    Estimate,
    MeanRunEstimate,
    QuantileEstimate,
    proportion,
    ratio,
)
from ml.types import FloatArray

SHOWN_LEVEL = 0.95
CHANCE_OF_FALSE_ALARM = 0.01
"""Of any disagreement on a page where there is none."""
AGREES, DIFFERS, NO_CLOSED_FORM = "agrees", "differs", "no closed form"
_BURST_LENGTHS = (2, 3, 5, 10)
_AGES_MS = (100.0, 200.0, 300.0, 500.0, 1000.0)
_AGE_SHARES = (0.5, 0.95, 0.99)
_FEW_WORLDS = 20
_ROUNDING = 1e-6

RowEstimate = Estimate | QuantileEstimate | MeanRunEstimate


@dataclass(frozen=True)
class Row:
    """One number of the report.

    Attributes:
        figure: Number of the figure that shows it.
        quantity: What it is.
        unit: "share", "ms" or "frames".
        estimate: What the emulator gave; None for a number that is only computed.
        closed_form: What the closed form says; None where there is none.
        counted: What num_samples counts.
        verdict: AGREES, DIFFERS or NO_CLOSED_FORM.
        distance_m: For a row of figure 1, else None.
        num_senders: For a row of figure 4, else None.
        measured: What was measured on the link itself; None where nothing was.
    """

    figure: int
    quantity: str
    unit: str
    estimate: RowEstimate | None
    closed_form: float | None
    counted: str
    verdict: str = NO_CLOSED_FORM
    distance_m: float | None = None
    num_senders: int | None = None
    measured: float | None = None


def judged(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with their verdicts.

    A row differs when its closed form is outside the interval at a level of which all rows of the
    page together raise a false alarm with CHANCE_OF_FALSE_ALARM at most.
    """
    num_compared = sum(1 for row in rows if row.estimate and row.closed_form is not None)
    level = 1.0 - CHANCE_OF_FALSE_ALARM / max(num_compared, 1)
    return [dataclasses.replace(row, verdict=_verdict(row, level)) for row in rows]


def _verdict(row: Row, level: float) -> str:
    """Return whether a row's closed form is within its interval at a level."""
    if row.estimate is None or row.closed_form is None:
        return NO_CLOSED_FORM
    low, high = row.estimate.interval(level)
    slack = _ROUNDING * max(1.0, abs(row.closed_form))
    return AGREES if low - slack <= row.closed_form <= high + slack else DIFFERS


def reception_rows(
    parameters: RadioParameters, metadata: LinkMetadata, samples: Sequence[ReceptionSample]
) -> list[Row]:
    """Return reception at each distance."""
    distances_m = np.array([sample.distance_m for sample in samples])
    expected = expected_reception(parameters, distances_m).tolist()
    return [
        Row(
            1,
            f"received at {sample.distance_m:.4g} m",
            "share",
            proportion(sample.num_received, sample.num_sent),
            closed_form,
            "frames",
            distance_m=sample.distance_m,
            measured=metadata.reception_at(sample.distance_m),
        )
        for sample, closed_form in zip(samples, expected, strict=True)
        if sample.num_sent > 0
    ]


def burst_rows(metadata: LinkMetadata, link: LinkSamples, form: LinkClosedForm | None) -> list[Row]:
    """Return loss and bursts on the link that was looked at for long."""
    here = f"at {link.distance_m:.4g} m"
    num_sent, num_received = link.num_sent, link.num_received
    if num_sent.sum() == 0:
        return []
    # Counted over a time, so a frame may arrive that was sent before it.
    lost = ratio(num_sent - num_received, num_sent)
    is_share = 0.0 <= lost.value <= 1.0
    lost = dataclasses.replace(lost, num_trials=lost.num_samples if is_share else 0)
    expected_loss = 1.0 if form is None else form.loss
    received = metadata.reception_at(link.distance_m)
    measured_loss = None if received is None else 1.0 - received
    rows = [Row(2, f"lost {here}", "share", lost, expected_loss, "frames", measured=measured_loss)]
    counts = np.array([len(lengths) for lengths in link.bursts])
    if form is None or counts.sum() == 0:
        return rows
    burst = MeanRunEstimate(ratio([int(lengths.sum()) for lengths in link.bursts], counts))
    rows.append(
        Row(
            2,
            "mean burst",
            "frames",
            burst,
            form.mean_burst,
            "bursts",
            measured=metadata.mean_burst,
        )
    )
    expected = form.burst_exceedance(max(_BURST_LENGTHS))
    rows += [
        Row(
            2,
            f"bursts of {length} frames or more",
            "share",
            burst_share(link, length),
            float(expected[length - 1]),
            "bursts",
        )
        for length in _BURST_LENGTHS
    ]
    return rows


def burst_share(link: LinkSamples, length: int) -> Estimate:
    """Return the share of bursts that are at least so long."""
    counts = [len(lengths) for lengths in link.bursts]
    longer = [int(np.count_nonzero(lengths >= length)) for lengths in link.bursts]
    return ratio(longer, counts, num_trials=sum(counts))


def age_rows(
    parameters: RadioParameters, link: LinkSamples, form: LinkClosedForm | None
) -> list[Row]:
    """Return latency and age on the link; none if nothing was heard."""
    num_frames = sum(len(latencies) for latencies in link.latencies_ms)
    if form is None or num_frames == 0 or not any(map(len, link.peak_ages_ms)):
        return []
    latency = _mean(link.latencies_ms)
    delay_ms = latency.value
    expected_ms = expected_latency_ms(parameters, link.distance_m)
    rows = [Row(3, "mean latency", "ms", latency, expected_ms, "frames")]
    if not form.is_governed_by_rare_shadows:
        mean_ms = form.mean_age_ms(delay_ms)
        rows.append(Row(3, "mean age", "ms", _mean(link.ages_ms), mean_ms, "samples"))
    rows.append(
        Row(
            3,
            "mean age just before a reception",
            "ms",
            _mean(link.peak_ages_ms),
            form.peak_age_ms(delay_ms),
            "frames",
        )
    )
    for share in _AGE_SHARES:
        quantile = _age_quantile(link, share)
        if quantile is not None:
            name = (
                "median age"
                if share == 0.5
                else f"age not exceeded {100.0 * share:.0f} % of the time"
            )
            expected_ms = form.age_quantile_ms(share, delay_ms)
            rows.append(Row(3, name, "ms", quantile, expected_ms, "samples"))
    expected = form.age_exceedance(np.array(_AGES_MS), delay_ms).tolist()
    for age_ms, closed_form in zip(_AGES_MS, expected, strict=True):
        name = f"time with an age above {age_ms:g} ms"
        rows.append(Row(3, name, "share", age_share(link, age_ms), closed_form, "samples"))
    return rows


def age_share(link: LinkSamples, age_ms: float) -> Estimate:
    """Return the share of time with an age above a limit; never heard counts as above.

    Samples between two receptions belong together, so receptions are the trials; where few worlds
    show such an age, their shadows may be what makes it, and worlds are the trials.
    """
    above = np.array([np.count_nonzero(ages > age_ms) for ages in link.ages_ms])
    counts = np.array([len(ages) for ages in link.ages_ms])
    above += link.num_unheard
    num_trials = sum(map(len, link.latencies_ms))
    if np.count_nonzero(above) < _FEW_WORLDS:
        num_trials = min(num_trials, len(counts))
    return ratio(above, counts + link.num_unheard, num_trials=num_trials)


def _age_quantile(link: LinkSamples, share: float) -> QuantileEstimate | None:
    """Return the age not exceeded a share of the time, or None if too few samples bound it."""
    ages_ms = np.sort(np.concatenate(link.ages_ms))
    place = math.ceil(share * (len(ages_ms) + int(link.num_unheard.sum()))) - 1
    if place >= len(ages_ms):
        return None
    quantile = QuantileEstimate(ages_ms, age_share(link, float(ages_ms[place])))
    return quantile if math.isfinite(quantile.interval(SHOWN_LEVEL)[1]) else None


def _mean(values_by_world: Sequence[FloatArray]) -> Estimate:
    """Return the mean of all values, with the error from the differences between worlds."""
    return ratio([values.sum() for values in values_by_world], [*map(len, values_by_world)])


def channel_rows(
    parameters: RadioParameters, senders: Sequence[int], samples: Sequence[ChannelSample]
) -> list[Row]:
    """Return offered load for each number of senders, and the share of collided frames."""
    airtime_us = frame_airtime_us(parameters)
    rows = [
        Row(
            4,
            f"offered load of {count} senders",
            "share",
            None,
            offered_load(count, airtime_us),
            "",
            num_senders=count,
        )
        for count in senders
    ]
    rows += [
        Row(
            4,
            f"collided with {sample.num_senders} senders",
            "share",
            ratio(sample.num_collided, sample.num_on_air, num_trials=int(sample.num_on_air.sum())),
            expected_collisions(parameters, sample.num_senders),
            "frames",
            num_senders=sample.num_senders,
        )
        for sample in samples
        if sample.num_on_air.sum() > 0
    ]
    return rows
