"""What a reader of the radio report must know: what the samples and the closed forms leave out."""

from __future__ import annotations

from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_expectations import (
    PERIOD_MS,
    LinkClosedForm,
    expected_latency_ms,
)
from ml.espnow_emulator.radio_samples import SAMPLE_INTERVAL_S, LinkSamples
from ml.espnow_emulator.report_metadata import LinkMetadata

_LARGEST_ORDERED_JITTER_MS = 0.15 * PERIOD_MS
_LATEST_MS = 1900.0
"""Frames are handled 2 s after their transmission at the latest."""


def report_notes(
    parameters: RadioParameters,
    metadata: LinkMetadata,
    link: LinkSamples,
    form: LinkClosedForm | None,
) -> list[str]:
    """Return the notes of a page, one sentence or two each."""
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
        notes += _simple_notes(parameters, link.distance_m)
    if metadata.mean_burst is not None:
        notes.append(
            "The measured loss and mean burst are what the parameters were made from, so that the "
            "emulator has them is no test of the model. The longest burst is one."
        )
    return notes + _sample_notes(link)


def _simple_notes(parameters: RadioParameters, distance_m: float) -> list[str]:
    """Return what the closed forms leave out in simple mode."""
    notes = ["Simple mode: no waiting for the medium, no collisions, no cars in the way."]
    jitter_ms = parameters.latency.jitter_std_ms
    latest_ms = expected_latency_ms(parameters, distance_m) + 4.0 * jitter_ms
    if jitter_ms > _LARGEST_ORDERED_JITTER_MS or latest_ms > _LATEST_MS:
        notes.append(
            "Frames overtake one another at this jitter, or are cut at 2 s: the closed forms "
            "of age and bursts assume that they come in order."
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


def _sample_notes(link: LinkSamples) -> list[str]:
    """Return what the samples of the link lack."""
    notes = []
    seconds = float(link.num_unheard.sum()) * SAMPLE_INTERVAL_S
    if seconds > 0.0:
        notes.append(
            f"For {seconds:.4g} s of the samples nothing had been heard yet: above every age, and "
            "in no mean."
        )
    if link.num_hidden:
        notes.append(
            f"{link.num_hidden:,} frames were handled within 10 ms of the next one; their gaps and "
            "latencies are not in the samples."
        )
    return notes
