"""The packaged presets: what they hold, how they are named on a command line and in code."""

from __future__ import annotations

import json

import pytest

from ml.errors import RadioParameterError
from ml.espnow_emulator import (
    DEFAULT_PARAMETERS_PATH,
    load_radio_parameters,
    preset_names,
    radio_parameters_path,
)
from ml.espnow_emulator.closed_forms import reception_probability
from ml.espnow_emulator.episode_values import gilbert_transitions
from ml.espnow_emulator.wire_format import (
    ACCELERATION_QUANTUM_MPS2,
    HEADING_QUANTUM_DEG,
    POSITION_QUANTUM_M,
    SPEED_QUANTUM_MPS,
)

NAMES = (
    "front_12m",
    "front_9m",
    "obstructed_21m_first_way",
    "obstructed_21m_second_way",
    "rear_12m",
    "rear_9m",
    "second_drive_leader_11m",
    "second_drive_second_17m",
    "third_drive_leader_16m",
    "third_drive_second_26m",
)
INSTALLATIONS = ("in_car", "in_car_long_range", "roof", "roof_long_range")
ALL_NAMES = sorted((*NAMES, *INSTALLATIONS))
# Fitted to the recordings: probability good -> bad and bad -> good per frame
FITTED = {
    "front_9m": (0.0573, 0.7485),
    "front_12m": (0.0696, 0.7216),
    "rear_9m": (0.0639, 0.8850),
    "rear_12m": (0.0198, 0.8865),
    "obstructed_21m_first_way": (0.360, 0.068),
    "obstructed_21m_second_way": (0.435, 0.070),
    "second_drive_leader_11m": (0.0882, 0.5086),
    "second_drive_second_17m": (0.1516, 0.4598),
    "third_drive_leader_16m": (0.0818, 0.6068),
    "third_drive_second_26m": (0.1371, 0.4685),
}


def test_every_measured_link_and_every_installation_has_a_preset():
    assert list(preset_names()) == ALL_NAMES


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_an_installation_passes_through_what_was_measured_of_it(name):
    parameters = load_radio_parameters(name)
    metadata = json.loads(radio_parameters_path(name).read_text("utf-8"))["_metadata"]

    points = metadata.get("measured_points", [])
    model = [
        float(
            reception_probability(
                point["distance_m"],
                parameters.physical.margin_at_1m_db,
                floor_loss=parameters.physical.floor_loss,
            )
        )
        for point in points
    ]
    assert model == pytest.approx([point["reception"] for point in points], abs=0.01)
    assert bool(points) == (name != "in_car")  # which was not measured, and says so
    assert points or "Not measured" in metadata["source"]


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_an_installation_may_be_trained_on_and_draws_around_its_margin(name):
    parameters = load_radio_parameters(name)

    low, high = parameters.physical_randomization.margin_range_db
    assert (parameters.mode, parameters.use) == ("physical", "training")
    assert low < parameters.physical.margin_at_1m_db < high
    assert parameters.relay.max_relay_hops == 0


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_an_installation_has_the_nominal_errors_and_the_steps_of_the_wire_format(name):
    parameters, nominal = load_radio_parameters(name), load_radio_parameters(None)

    assert parameters.sensor_noise == nominal.sensor_noise
    assert parameters.observation == nominal.observation
    assert parameters.wire.position_quantum_m == POSITION_QUANTUM_M
    assert parameters.wire.speed_quantum_ms == SPEED_QUANTUM_MPS
    assert parameters.wire.accel_quantum_ms2 == ACCELERATION_QUANTUM_MPS2
    assert parameters.wire.heading_quantum_deg == HEADING_QUANTUM_DEG


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_the_fitted_process_at_every_distance(name):
    parameters = load_radio_parameters(name)

    rates = parameters.packet_loss.tier_rates
    fitted = gilbert_transitions(rates[0], parameters.burst_loss.mean_burst_length)
    assert len(set(rates)) == 1
    assert fitted == pytest.approx(FITTED[name], abs=5e-6)
    assert parameters.relay.max_relay_hops == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_half_the_long_range_round_trip_as_its_latency(name):
    latency = load_radio_parameters(name).latency

    # Median 7 ms there and back. Two independent ways: (12.5 - 7) / (1.645 sqrt(2)) = 2.364 ms.
    assert (latency.base_ms, latency.distance_factor) == (3.5, 0.0)
    assert latency.jitter_std_ms == pytest.approx(2.364, abs=0.005)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_test_set_and_says_where_it_is_from_and_where_it_ends(name):
    metadata = json.loads(radio_parameters_path(name).read_text("utf-8"))["_metadata"]

    assert load_radio_parameters(name).use == "test"
    assert metadata["name"] == name
    assert "one-way" in metadata["direction"]
    assert {"source", "distance_m", "num_frames", "limits", "longest_burst_frames"} <= set(metadata)
    assert f"only at {metadata['distance_m']} m" in metadata["limits"][0]


@pytest.mark.parametrize("name", NAMES)
def test_randomised_episodes_of_a_preset_are_the_same_link(name):
    parameters = load_radio_parameters(name)

    ranges, loss = parameters.domain_randomization, parameters.packet_loss
    burst = parameters.burst_loss.mean_burst_length
    assert ranges.loss_rate_range == (loss.base_rate, loss.base_rate)
    assert ranges.mean_burst_range == (burst, burst)
    assert ranges.latency_range_ms == (3.5, 3.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_the_nominal_sensors(name):
    parameters, nominal = load_radio_parameters(name), load_radio_parameters(None)

    assert parameters.sensor_noise == nominal.sensor_noise
    assert parameters.observation == nominal.observation


def test_a_file_goes_before_a_preset_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "front_9m").write_text('{"latency": {"base_ms": 9.0}}', "utf-8")
    monkeypatch.chdir(tmp_path)

    assert load_radio_parameters("front_9m").latency.base_ms == 9.0
    assert load_radio_parameters("front_9m").use == "training"


@pytest.mark.parametrize("name", ["front_9", "frnt_9m", "front_9m.json"])
def test_a_misspelt_preset_is_refused_with_the_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RadioParameterError) as caught:
        load_radio_parameters(name)

    message = str(caught.value)
    assert message.startswith(f"{name} must be a parameter file or a preset's name.")
    assert "Did you mean 'front_9m'?" in message
    assert f"Presets: {', '.join(ALL_NAMES)}." in message
    assert "\n" not in message


@pytest.mark.parametrize("path", ["./front_9m", "folder/front_9m", "no_such_link_anywhere.json"])
def test_a_path_is_never_taken_for_a_preset(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(RadioParameterError, match="No such file"):
        load_radio_parameters(path)


def test_the_nominal_file_is_read_when_nothing_is_named():
    assert radio_parameters_path(None) == DEFAULT_PARAMETERS_PATH
