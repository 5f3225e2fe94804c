"""The report's numbers and verdicts, on samples of a second implementation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ml.espnow_emulator.parameters import load_radio_parameters
from ml.espnow_emulator.radio_expectations import expected_link
from ml.espnow_emulator.radio_samples import ChannelSample, ReceptionSample
from ml.espnow_emulator.report_metadata import LinkMetadata, MeasuredPoint
from ml.espnow_emulator.report_rows import (
    AGREES,
    DIFFERS,
    NO_CLOSED_FORM,
    Row,
    age_rows,
    burst_rows,
    channel_rows,
    judged,
    reception_rows,
)
from ml.espnow_emulator.sampling_intervals import proportion
from ml.tests.radio_worlds import constant_loss
from ml.tests.two_state_links import link_samples

LOSS, MEAN_BURST = 0.12, 3.0
TO_GOOD = 1.0 / MEAN_BURST
TO_BAD = LOSS * TO_GOOD / (1.0 - LOSS)
NOTHING = LinkMetadata({})
ROOF = load_radio_parameters("roof")


def link_rows(samples, loss=LOSS, mean_burst=MEAN_BURST, metadata=NOTHING):
    parameters = constant_loss(loss, mean_burst)
    form = expected_link(parameters, 20.0)
    return judged([*burst_rows(metadata, samples, form), *age_rows(parameters, samples, form)])


def by_name(rows):
    return {row.quantity: row for row in rows}


@pytest.fixture(scope="module")
def samples():
    return link_samples(TO_BAD, TO_GOOD, num_worlds=1000, num_frames=40, seed=1)


def test_every_row_agrees_with_the_process_it_was_sampled_from(samples):
    rows = link_rows(samples)

    assert len(rows) == 17
    assert {row.verdict for row in rows} == {AGREES}


@pytest.mark.parametrize(
    ("loss", "mean_burst", "telling"),
    [
        (0.14, 3.0, "lost at 20 m"),
        (0.12, 3.6, "mean burst"),
        (0.12, 3.6, "mean age"),
        (0.14, 3.0, "age not exceeded 95 % of the time"),
        (0.14, 3.0, "time with an age above 100 ms"),
        (0.14, 3.0, "mean age just before a reception"),
    ],
)
def test_a_row_differs_from_another_process(samples, loss, mean_burst, telling):
    assert by_name(link_rows(samples, loss, mean_burst))[telling].verdict == DIFFERS


def test_a_page_of_the_process_itself_differs_as_rarely_as_it_says():
    # At most 1 page in 100; of 40, 4 or more would come with a chance below 1 in 1000.
    pages = [
        link_rows(link_samples(TO_BAD, TO_GOOD, num_worlds=200, num_frames=20, seed=seed))
        for seed in range(40)
    ]

    assert sum(any(row.verdict == DIFFERS for row in page) for page in pages) <= 3


def test_verdicts_become_harder_to_reach_with_more_rows():
    # 60 of 100 against 44 %: a chance of .0019, below 1 % of one row, above that of 34 rows.
    row = Row(1, "received", "share", proportion(60, 100), 0.44, "frames")

    assert judged([row])[0].verdict == DIFFERS
    assert {shown.verdict for shown in judged([row] * 34)} == {AGREES}


def test_a_row_without_a_closed_form_has_no_verdict_and_counts_for_none():
    row = Row(1, "received", "share", proportion(60, 100), 0.44, "frames")
    others = [dataclasses.replace(row, closed_form=None)] * 33

    first, *rest = judged([row, *others])

    assert first.verdict == DIFFERS
    assert {shown.verdict for shown in rest} == {NO_CLOSED_FORM}


def test_a_link_that_is_never_heard_has_its_loss_only(samples):
    silent = dataclasses.replace(samples, num_received=np.zeros(1000, dtype=np.int64))

    rows = judged([*burst_rows(NOTHING, silent, None), *age_rows(ROOF, silent, None)])

    assert [(row.quantity, row.estimate.value, row.closed_form) for row in rows] == [
        ("lost at 20 m", 1.0, 1.0)
    ]


def test_time_before_the_first_frame_counts_as_older_than_everything():
    heard = link_samples(TO_BAD, TO_GOOD, num_worlds=4, num_frames=100, seed=2)
    unheard = dataclasses.replace(heard, num_unheard=np.array([1000, 0, 0, 0]))
    parameters = constant_loss(LOSS, MEAN_BURST)
    form = expected_link(parameters, 20.0)

    shares = [
        by_name(age_rows(parameters, link, form))["time with an age above 100 ms"].estimate.value
        for link in (heard, unheard)
    ]

    assert shares[1] == pytest.approx((4000 * shares[0] + 1000) / 5000)


def test_measured_values_stand_beside_what_they_were_measured_on(samples):
    metadata = LinkMetadata(
        {}, (MeasuredPoint(20.0, 0.9, None),), 20.0, mean_burst=2.5, longest_burst_frames=9
    )

    rows = by_name(link_rows(samples, metadata=metadata))

    assert rows["lost at 20 m"].measured == pytest.approx(0.1)
    assert rows["mean burst"].measured == 2.5
    assert rows["mean age"].measured is None


def test_reception_rows_are_counts_beside_the_closed_form():
    metadata = LinkMetadata({}, (MeasuredPoint(150.0, 0.94, None),))
    received = [ReceptionSample(150.0, 200, 190), ReceptionSample(1.0, 0, 0)]

    (row,) = reception_rows(ROOF, metadata, received)

    assert (row.quantity, row.estimate.value, row.estimate.num_samples) == (
        "received at 150 m", 0.95, 200,
    )  # fmt: skip
    assert row.closed_form == pytest.approx(0.940, abs=5e-4)
    assert row.measured == 0.94


def test_channel_rows_hold_load_and_collisions():
    collided = ChannelSample(3, np.array([100, 100]), np.array([1, 3]))

    load, share = channel_rows(ROOF, (3,), [collided])

    assert load.estimate is None
    assert load.closed_form == pytest.approx(3 * 1.256 / 100.0)
    assert (share.num_senders, share.estimate.value, share.estimate.num_samples) == (3, 0.02, 200)
