"""What a page says of what its samples and closed forms leave out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ml.espnow_emulator.parameter_sections import LatencyParameters
from ml.espnow_emulator.parameters import RadioParameters, load_radio_parameters
from ml.espnow_emulator.radio_expectations import expected_link
from ml.espnow_emulator.report_metadata import LinkMetadata
from ml.espnow_emulator.report_notes import report_notes
from ml.tests.two_state_links import link_samples

NOTHING = LinkMetadata({})
ROOF = load_radio_parameters("roof")
LINK = link_samples(0.05, 0.5, num_worlds=2, num_frames=20, seed=1)


def notes_of(parameters, metadata=NOTHING, link=LINK):
    return " ".join(report_notes(parameters, metadata, link, expected_link(parameters, 20.0)))


def physical(**changes):
    return dataclasses.replace(ROOF, physical=dataclasses.replace(ROOF.physical, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"background_senders": 20}, "collisions with the 20 background senders"),
        ({"aligned_phases": True}, "collisions of aligned phases"),
        ({"stalls_per_minute": 6.0}, "stalls of the boards' software"),
        ({"blackouts": 1}, "black-outs"),
    ],
)
def test_what_the_closed_forms_leave_out_is_named(changes, said):
    assert said in notes_of(physical(**changes))
    assert said not in notes_of(ROOF)


def test_the_age_of_a_fix_is_half_its_period_and_its_lag():
    # 10 Hz: 50 ms; lag 100 to 300 ms: 200 ms.
    assert "older than the frame by 250 ms" in notes_of(ROOF)


def test_shadows_too_rare_to_be_sampled_are_named():
    assert "No mean age" in notes_of(physical(shadowing_std_db=6.0, margin_at_1m_db=38.0))
    assert "No mean age" not in notes_of(physical(shadowing_std_db=0.0))


def test_frames_that_overtake_one_another_are_named():
    late = LatencyParameters(base_ms=100.0, jitter_std_ms=60.0)

    assert "overtake" in notes_of(RadioParameters(latency=late))
    assert "overtake" not in notes_of(RadioParameters())


def test_a_fit_is_not_taken_for_a_test_of_the_model():
    measured = LinkMetadata({}, (), 20.0, mean_burst=1.3, longest_burst_frames=6)

    assert "no test of the model" in notes_of(RadioParameters(), measured)
    assert "no test of the model" not in notes_of(RadioParameters())


def test_what_the_samples_lack_is_counted():
    link = dataclasses.replace(LINK, num_unheard=np.array([150, 0]), num_hidden=1234)

    text = notes_of(RadioParameters(), link=link)

    assert "For 1.5 s of the samples nothing had been heard" in text
    assert "1,234 frames were handled within 10 ms" in text
    assert "nothing had been heard" not in notes_of(RadioParameters())
