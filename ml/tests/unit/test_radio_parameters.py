"""The emulator parameter file: what it may hold, what it means, and how it is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ml.errors import RadioParameterError
from ml.espnow_emulator import DEFAULT_PARAMETERS_PATH, RadioParameters, load_radio_parameters
from ml.espnow_emulator.episode_values import fill_values, gilbert_transitions, nominal_values
from ml.espnow_emulator.parameter_sections import (
    BurstLossParameters,
    LatencyParameters,
    PacketLossParameters,
)
from ml.espnow_emulator.parameters import feasible_mean_burst, shifted_tier_rates
from ml.tests.radio_worlds import kernel_values


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "params.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


def refusal(path):
    with pytest.raises(RadioParameterError) as caught:
        load_radio_parameters(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_the_packaged_file_holds_the_nominal_values_and_the_defaults():
    parameters = load_radio_parameters(None)

    assert dataclasses.astuple(parameters.latency) == (3.4, 0.0, 1.7)
    assert parameters.packet_loss.tier_rates == (0.082, 0.12, 0.25)
    assert parameters.packet_loss.max_range_m == 150.0
    assert parameters.burst_loss == BurstLossParameters(True, 1.44)
    assert dataclasses.astuple(parameters.sensor_noise)[:4] == (3.0, 0.43, 0.39, 4.7)
    assert parameters.observation.staleness_threshold_ms == 500.0
    assert dataclasses.astuple(parameters.domain_randomization) == (
        (1.7, 14.0),
        (0.02, 0.40),
        (0.5, 5.0),
        (0.5, 4.5),
        (1.0, 5.0),
        (0, 0),
    )
    assert dataclasses.astuple(parameters.relay) == (0, 100.0)
    assert parameters.use == "training"
    assert dataclasses.replace(parameters, source="RadioParameters") == RadioParameters()


def test_the_packaged_file_says_that_loss_is_one_way_and_what_is_extrapolated():
    metadata = json.loads(DEFAULT_PARAMETERS_PATH.read_text("utf-8"))["_metadata"]

    assert "one-way" in metadata["direction"]
    assert {"rate_tier_2", "rate_tier_3", "max_range_m"} <= set(metadata["extrapolated"])
    # Two-way loss of 15.7 % when both ways are alike.
    assert pytest.approx(0.082, abs=0.0005) == 1.0 - (1.0 - 0.157) ** 0.5


def test_missing_sections_and_keys_take_their_defaults(written):
    parameters = load_radio_parameters(written({"latency": {"base_ms": 7}}))

    assert parameters.latency == LatencyParameters(base_ms=7)
    assert parameters.packet_loss == PacketLossParameters()
    assert load_radio_parameters(written({})).burst_loss == BurstLossParameters()


def test_metadata_is_free_form(written):
    load_radio_parameters(written({"_metadata": {"bins": [1, None]}, "metadata": "by hand"}))


@pytest.mark.parametrize(
    ("metadata", "use"),
    [
        ({"use": "test"}, "test"),
        ({"use": " Test only, never for training"}, "test"),
        ({"use": "training"}, "training"),
        ({"use": 3}, "training"),
        ({}, "training"),
        ("test", "training"),
    ],
)
def test_the_metadata_can_mark_a_file_as_a_test_set(written, metadata, use):
    assert load_radio_parameters(written({"_metadata": metadata})).use == use
    assert load_radio_parameters(written({"metadata": metadata})).use == use


def test_a_use_that_is_neither_training_nor_test_is_refused_in_code():
    with pytest.raises(RadioParameterError, match="use in RadioParameters must be one of"):
        RadioParameters(use="tset")


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "params.json"
    path.write_bytes(b'\xef\xbb\xbf{"latency": {"base_ms": 9.0}}')

    assert load_radio_parameters(path).latency.base_ms == 9.0


@pytest.mark.parametrize(
    ("given", "tiers"),
    [
        ({"base_rate": 0.02}, (0.02, 0.058, 0.188)),  # + 0, .038, .168
        ({"base_rate": 0.3}, (0.3, 0.338, 0.468)),
        ({"rate_tier_1": 0.01}, (0.01, 0.048, 0.178)),
        ({"base_rate": 0.2, "rate_tier_1": 0.1, "rate_tier_2": 0.3}, (0.2, 0.3, 0.368)),
        (
            {"base_rate": 0.058, "rate_tier_1": 0.116, "rate_tier_2": 0.124, "rate_tier_3": 0.186},
            (0.116, 0.124, 0.186),
        ),
    ],
)
def test_a_loss_rate_given_alone_takes_effect(written, given, tiers):
    parameters = load_radio_parameters(written({"packet_loss": given}))

    assert parameters.packet_loss.tier_rates == pytest.approx(tiers)


@pytest.mark.parametrize(
    ("section", "key", "value", "rule"),
    [
        ("packet_loss", "base_rate", 1.7, "[0, 1]"),
        ("packet_loss", "rate_tier_3", -0.1, "[0, 1]"),
        ("packet_loss", "max_range_m", 1e9, "[0, 1000]"),
        ("sensor_noise", "gps_std_m", 33000, "[0, 100]"),
        ("sensor_noise", "heading_std_deg", "4.7", "a number in [0, 180]"),
        ("latency", "base_ms", None, "a number in [0, 1000]"),
        ("latency", "base_ms", True, "a number in [0, 1000]"),
        ("latency", "jitter_std_ms", -1, "[0, 100]"),
        ("latency", "base_ms", [3.4], "a number in [0, 1000]"),
        ("latency", "base_ms", 10**400, "[0, 1000]"),
        ("burst_loss", "enabled", 1, "true or false"),
        ("burst_loss", "mean_burst_length", 0.5, "[1, 1000]"),
        ("observation", "staleness_threshold_ms", 0, "[1, 60000]"),
        ("domain_randomization", "latency_range_ms", [5.0, 2.0], "low <= high, in [0, 1000]"),
        ("domain_randomization", "loss_rate_range", [0.1, 0.99], "in [0, 0.95]"),
        ("domain_randomization", "gps_noise_range_m", [1.0], "two numbers"),
        ("domain_randomization", "jitter_std_range_ms", 2.0, "two numbers"),
        ("domain_randomization", "mean_burst_range", [0.5, 5.0], "in [1, 1000]"),
        ("domain_randomization", "relay_hops_range", [0, 4], "two whole numbers"),
        ("domain_randomization", "relay_hops_range", [0.0, 1.0], "two whole numbers"),
        ("relay", "max_relay_hops", 4, "[0, 3]"),
        ("relay", "max_relay_hops", 1.5, "a whole number in [0, 3]"),
        ("relay", "max_relay_hops", True, "a whole number in [0, 3]"),
        ("relay", "slot_period_ms", 5.0, "[10, 1000]"),
    ],
)
def test_an_impossible_value_is_refused_with_file_key_rule_and_value(
    written, section, key, value, rule
):
    message = refusal(written({section: {key: value}}))

    assert message.startswith(f"{key} in ")
    assert f"[{section}] must be" in message
    assert rule in message
    assert "Got " in message
    assert "Without the key it is " in message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_refused(written, number):
    message = refusal(written('{"packet_loss": {"base_rate": %s}}' % number))  # noqa: UP031

    assert "base_rate" in message
    assert "[0, 1]" in message


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"latency": {"jiter_std_ms": 1.0}}, "Did you mean 'jitter_std_ms'?"),
        ({"packet_los": {}}, "Did you mean 'packet_loss'?"),
        ({"latency": {"zzz": 1.0}}, "Known: base_ms, distance_factor, jitter_std_ms."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(written, content, hint):
    assert hint in refusal(written(content))


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("burst_loss", "loss_multiplier"),
        ("burst_loss", "max_loss_cap"),
        ("observation", "monitored_vehicles"),
        ("sensor_noise", "mag_std_ut"),
        ("sensor_noise", "gyro_std_rad_s"),
    ],
)
def test_a_key_of_the_earlier_format_without_meaning_is_refused_as_obsolete(written, section, key):
    message = refusal(written({section: {key: 1.0}}))

    assert f"{key} in " in message
    assert "is obsolete and must be deleted" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty file"),
        ("  \n", "empty file"),
        ('{"latency": {"base_ms": 3.', "must be valid JSON"),
        ("[1, 2]", "must hold a JSON object"),
        ('"text"', "must hold a JSON object"),
        ("null", "must hold a JSON object"),
        ('{"latency": 3}', "must be an object. Got 3"),
        ('{"latency": {"base_ms": 1, "base_ms": 2}}', "'base_ms' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"latency": {"base_ms": ' + "9" * 5000 + "}}", "must be valid JSON"),
    ],
)
def test_a_file_that_is_no_object_of_sections_is_refused(written, text, said):
    assert said in refusal(written(text))


def test_text_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "params.json"
    path.write_bytes('{"_metadata": "é"}'.encode("latin-1"))

    assert "in UTF-8. Got: no UTF-8: invalid continuation byte at byte 15." in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.json")
    assert "directory" in refusal(tmp_path)


def test_tiers_out_of_order_are_refused(written):
    message = refusal(
        written({"packet_loss": {"distance_threshold_1": 80, "distance_threshold_2": 60}})
    )

    assert "must be less than distance_threshold_2. Got 80 and 60" in message


def test_a_burst_too_short_for_a_tiers_loss_is_refused(written):
    content = {"packet_loss": {"rate_tier_3": 0.75}, "burst_loss": {"mean_burst_length": 2.0}}

    message = refusal(written(content))  # .75 / .25 = 3

    assert "at least loss / (1 - loss) = 3 for the loss 0.75 of tier 3. Got 2" in message


def test_without_bursts_any_loss_is_feasible(written):
    content = {"packet_loss": {"base_rate": 1.0}, "burst_loss": {"enabled": False}}

    assert load_radio_parameters(written(content)).packet_loss.tier_rates == (1.0, 1.0, 1.0)


def test_burst_ranges_that_cannot_meet_the_loss_ranges_are_refused(written):
    content = {"domain_randomization": {"loss_rate_range": [0.1, 0.9]}}

    message = refusal(written(content))  # .9 / .1 = 9, above the range's end of 5

    assert "mean_burst_range in" in message
    assert "must reach loss / (1 - loss) = 9 for the loss 0.9" in message


def test_a_value_given_in_code_is_checked_like_one_in_a_file():
    with pytest.raises(RadioParameterError, match=r"base_ms in RadioParameters \[latency\]"):
        RadioParameters(latency=LatencyParameters(base_ms=-1.0))


@pytest.mark.parametrize(
    ("loss", "burst"), [(0.0, 1.0), (0.25, 1.0), (0.5, 1.0), (0.6, 1.5), (0.9, 9.0)]
)
def test_the_shortest_feasible_burst_is_the_larger_of_one_and_the_odds_of_loss(loss, burst):
    assert feasible_mean_burst(loss) == pytest.approx(burst)


@pytest.mark.parametrize(
    ("loss", "burst", "to_bad", "to_good"),
    [
        (0.2, 2.0, 0.125, 0.5),  # .2 * .5 / .8
        (0.75, 3.0, 1.0, 1.0 / 3.0),  # the limit of feasibility
        (0.0, 1.44, 0.0, 1.0 / 1.44),
        (1.0, float("inf"), 1.0, 0.0),
    ],
)
def test_link_probabilities_follow_from_loss_and_burst(loss, burst, to_bad, to_good):
    assert gilbert_transitions(loss, burst) == pytest.approx((to_bad, to_good))


def test_a_drawn_loss_shifts_every_tier_and_is_clipped():
    loss = PacketLossParameters()

    assert shifted_tier_rates(loss, 0.182) == pytest.approx((0.182, 0.22, 0.35))
    assert shifted_tier_rates(loss, 0.9) == pytest.approx((0.9, 0.938, 0.95))
    assert shifted_tier_rates(PacketLossParameters(base_rate=0.2), 0.0)[0] == 0.0


def test_kernel_values_are_in_si_units():
    values = kernel_values(RadioParameters())

    # s, s/m, s, s; 1256 us on the air plus 800 us in the stacks
    assert values[:4] == pytest.approx([0.0034, 0.0, 0.0017, 0.002056])
    assert values[17:22] == pytest.approx([3.0, 3.0, 0.43, 0.39, 0.08203047])  # 4.7 deg
    assert values[27] == 0.5
    assert values[28:30] == pytest.approx([0.0, 0.1])  # no hops; relay slots every 0.1 s


def test_an_array_of_another_length_is_refused():
    parameters = RadioParameters()

    with pytest.raises(ValueError, match="values must have shape"):
        fill_values(parameters, nominal_values(parameters), kernel_values(parameters)[:5])
