"""Tests of the radio parameters under which nothing is ever received."""

import dataclasses
from pathlib import Path

from ml import evaluation
from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.evaluation.gate_checks import RADIO_OFF_PRESET
from ml.tests.radio_worlds import cars_in_line

RADIO_OFF = Path(evaluation.__file__).parent / "protocols" / f"{RADIO_OFF_PRESET}.json"


def test_nothing_is_received_from_cars_bumper_to_bumper():
    emulator = RadioEmulator(load_radio_parameters(RADIO_OFF))
    cars = cars_in_line(9, spacing_m=5.0)
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(60.0, cars)

    assert emulator.statistics().frames_sent.sum() > 4000
    assert emulator.record()["radio_delivery_ratio"] == 0.0
    assert emulator.true_age_s[1:].min() >= 60.0


def test_everything_but_the_loss_is_that_of_the_nominal_file():
    off, nominal = load_radio_parameters(RADIO_OFF), load_radio_parameters()
    names = [field.name for field in dataclasses.fields(nominal)]

    differing = {name for name in names if getattr(off, name) != getattr(nominal, name)}
    assert differing == {"packet_loss", "burst_loss", "source", "use"}
