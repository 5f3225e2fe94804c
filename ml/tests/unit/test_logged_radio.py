"""The log of frames against the radio's own counts, and against a radio without one."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest

from ml.espnow_emulator import RadioEmulator
from ml.espnow_emulator.faults import RadioFault
from ml.espnow_emulator.logged_radio import LoggedRadio, cars_between
from ml.espnow_emulator.parameter_sections import LatencyParameters
from ml.tests.physical_worlds import physical_mode
from ml.tests.radio_worlds import cars_in_line, constant_loss, with_relays
from ml.types import CAR_HEADING, CAR_SPEED, CAR_X

BURSTS = constant_loss(0.3, mean_burst=4.0)
RELAYS = with_relays(constant_loss(0.3, mean_burst=4.0), 2, max_range_m=15.0)
# Direct frames take 0.1 to 0.9 s, and so do relayed ones: either may be the first to come.
LATE = dataclasses.replace(
    with_relays(constant_loss(0.3, mean_burst=4.0), 1),
    latency=LatencyParameters(base_ms=500.0, jitter_std_ms=100.0),
)
BUSY = physical_mode(background_senders=20, aligned_phases=True, floor_loss=0.2)
BUSY_RELAYS = physical_mode(max_relay_hops=1, floor_loss=0.4, stack_range_ms=(0.2, 0.4))
DUPLICATES = RadioFault("duplicate", car=1, value=0.3)
"""A second copy of each frame of the car ahead, 0.3 s later."""


def drive(radio, num_steps=300, faults=(), num_cars=5):
    """Drive cars round a bend for half a minute, and return what the ego's board held."""
    cars = cars_in_line(num_cars, 10.0)
    cars[:, CAR_HEADING] = 3.1  # the turn takes it over the wrap at pi
    radio.reset(radio_key=11, cars=cars, time_s=-2.0, faults=faults)
    held = [radio.heard.copy()]
    for step in range(1, num_steps + 1):
        cars[:, CAR_X] += 0.1 * cars[:, CAR_SPEED]
        cars[:, CAR_HEADING] += 0.01
        radio.advance(-2.0 + 0.1 * step, cars)
        held.append(radio.heard.copy())
    return np.array(held)


@pytest.mark.parametrize("parameters", [BURSTS, RELAYS, LATE, BUSY, BUSY_RELAYS])
def test_a_logged_radio_is_heard_as_one_without_a_log(parameters):
    plain = RadioEmulator(parameters)
    logged = LoggedRadio(parameters)

    assert np.array_equal(drive(plain), drive(logged))
    assert dataclasses.asdict(plain.statistics()).keys() == {
        name
        for name, counts in dataclasses.asdict(logged.statistics()).items()
        if np.array_equal(counts, getattr(plain.statistics(), name))
    }


@pytest.mark.parametrize("parameters", [BURSTS, RELAYS, LATE, BUSY, BUSY_RELAYS])
@pytest.mark.parametrize("faults", [(), (DUPLICATES,)])
def test_the_log_counts_what_the_radio_counts(parameters, faults):
    radio = LoggedRadio(parameters)
    drive(radio, faults=faults)
    counts = radio.statistics()

    sent = collections.Counter(frame.sender for frame in radio.frames)
    direct = collections.Counter(
        frame.sender
        for frame in radio.frames
        if frame.received_s is not None and frame.num_hops == 0
    )
    assert [sent[car] for car in range(5)] == counts.frames_sent.tolist()
    assert [direct[car] for car in range(5)] == counts.frames_delivered.tolist()


def test_a_frame_that_only_relays_brought_says_over_how_many():
    radio = LoggedRadio(RELAYS)  # 10 m apart and heard up to 15 m: car k over k - 1 relays
    drive(radio)

    hops = {
        car: {f.num_hops for f in radio.frames if f.sender == car and f.received_s is not None}
        for car in range(1, 5)
    }
    assert hops == {1: {0}, 2: {1}, 3: {2}, 4: set()}


def test_a_delivered_frame_takes_the_latency_and_is_sent_ten_times_a_second():
    radio = LoggedRadio(constant_loss(0.0, mean_burst=None))
    drive(radio, num_steps=100)

    first = [frame for frame in radio.frames if frame.sender == 1]
    delays = [frame.received_s - frame.sent_s for frame in first[:-1]]
    periods = np.diff([frame.sent_s for frame in first])
    assert delays == pytest.approx([0.004] * len(delays), abs=1e-9)
    # 0.1 s, give or take the jitter of 2 ms and the crystal's 40 ppm
    assert np.abs(periods - 0.1).max() <= 0.002 + 0.1 * 40e-6
    assert len(first) == 100


def test_a_frame_is_lost_from_where_its_sender_is_out_of_range():
    parameters = with_relays(constant_loss(0.0, mean_burst=None), 0, max_range_m=100.0)
    radio = LoggedRadio(parameters)
    cars = cars_in_line(2, 50.0)
    radio.reset(radio_key=3, cars=cars, time_s=0.0)
    cars[1, CAR_X] = 150.0  # at 100 m after half of the second
    radio.advance(1.0, cars)

    fates = {frame.sent_s: frame.received_s is not None for frame in radio.frames}
    assert len(fates) == 10
    assert fates == {sent_s: sent_s <= 0.5 for sent_s in fates}


def test_cars_turn_through_the_shorter_arc_between_two_steps():
    first, last = cars_in_line(1), cars_in_line(1)
    first[0, CAR_HEADING], last[0, CAR_HEADING] = 3.1, -3.1
    last[0, CAR_X] = 4.0

    between = cars_between(first, last, 0.25)

    # the short way from 3.1 to -3.1 is 2 pi - 6.2
    assert between[0, CAR_HEADING] == pytest.approx(3.1 + 0.25 * (2.0 * np.pi - 6.2))
    assert between[0, CAR_X] == 1.0


def test_a_reset_empties_the_log():
    radio = LoggedRadio(BURSTS)
    drive(radio)
    drive(radio, num_steps=0)

    assert radio.frames == []
