"""Protocol files: what the packaged ones fix, and what a broken one is told."""

from __future__ import annotations

import dataclasses

import pytest

from ml.errors import ConfigError, RadioParameterError
from ml.espnow_emulator.parameters import load_radio_parameters
from ml.evaluation.families import cases_of
from ml.evaluation.protocol import (
    PROTOCOLS_FOLDER,
    load_protocol,
    radio_preset_path,
)
from ml.provenance import sha256_of_file

SMOKE = (PROTOCOLS_FOLDER / "smoke.toml").read_text(encoding="utf-8")


def changed(tmp_path, old, new):
    """Write the smoke protocol with one text replaced and return its path."""
    path = tmp_path / "mine.toml"
    path.write_text(SMOKE.replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["smoke", "screening", "short-gaps", "release-gates", "release"])
def test_gates_and_presets_are_those_of_the_evaluation_plan(name):
    protocol = load_protocol(name)

    assert protocol.name == name
    assert protocol.radio_presets == ("nominal", "roof")
    assert dataclasses.asdict(protocol.gates) == {
        "min_null_collision_rate": 0.95,
        "max_oracle_collision_rate": 0.02,
        "hard_half_deceleration_mps2": 6.4,
        "max_floor_crash_rate": 0.005,
        "max_floor_age_s": 0.15,
        "alarms_per_hour": (1.0, 10.0),
        "max_radio_off_excess": 0.01,
        "confidence": 0.95,
    }


@pytest.mark.parametrize(
    ("family", "variant", "presets"),
    [
        ("H", None, ("nominal", "roof", "radio_off")),
        ("R", "clean", ("nominal", "roof", "aligned_phases", "channel_load_70")),
        ("R", "blackout", ("nominal", "roof")),
        ("M", None, ("nominal", "roof", "in_car_long_range", "in_car_relays", "radio_off")),
        ("C", "stale_relay", ("nominal", "roof", "in_car_relays")),
    ],
)
def test_stress_presets_are_for_the_cases_they_name(family, variant, presets):
    assert load_protocol("smoke").presets_of(family, variant) == presets


def physical(name, **values):
    """Return a preset's parameters with values of its physical section replaced."""
    preset = load_radio_parameters(name)
    return dataclasses.replace(preset, physical=dataclasses.replace(preset.physical, **values))


def as_values(parameters):
    """Return radio parameters without where they come from."""
    values = dataclasses.asdict(parameters)
    return {key: value for key, value in values.items() if key not in {"source", "use"}}


def test_stress_presets_differ_from_their_originals_in_one_value():
    loaded = {
        name: as_values(load_radio_parameters(radio_preset_path(name)))
        for name in ("aligned_phases", "channel_load_70", "in_car_relays")
    }
    in_car = load_radio_parameters("in_car_long_range")
    relaying = dataclasses.replace(
        in_car, relay=dataclasses.replace(in_car.relay, max_relay_hops=2)
    )

    assert loaded["aligned_phases"] == as_values(physical("roof", aligned_phases=True))
    assert loaded["channel_load_70"] == as_values(physical("roof", background_senders=50))
    assert loaded["in_car_relays"] == as_values(relaying)


def test_the_loaded_channel_carries_a_load_of_70_percent():
    values = load_radio_parameters(radio_preset_path("channel_load_70")).physical

    # 90 bytes: MPDU 36 + 7 + 90 = 133, 192 + 8 * 133 = 1256 us; six cars of a convoy of five.
    assert values.airtime_us == 1256.0
    assert (values.background_senders + 6) * 1256.0 / 100_000.0 == pytest.approx(0.70, abs=0.005)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "seed = ",
            "sed = 1\nseed = ",
            "must hold known keys only. Got 'sed'. Did you mean 'seed'",
        ),
        ("seed = 20261125", "", "must hold seed. Got no such key"),
        ("seed = 20261125", "seed = -1", r"seed of protocol .* must be a whole number in \[0,"),
        ("seed = 20261125", "seed = 1.5", "must be a whole number"),
        ("seed = 20261125", "seed = true", "must be a whole number"),
        ('name = "smoke"', "name = 3", "name of protocol .* must be a text"),
        ("episode_s = 28", "episode_s = 0", "episode_s of protocol .* must be a number in"),
        ("onset_s = [5, 8]", "onset_s = [5]", r"must be a range \[low, high\]"),
        ("onset_s = [5, 8]", "onset_s = [8, 5]", "Swap them"),
        ("onset_s = [5, 8]", "onset_s = [5, 19]", "must end by 18 s, 10 s before the episode does"),
        ('["nominal", "roof"]', "[]", "must name a preset. Got none"),
        ('["nominal", "roof"]', '["roof", "roof"]', "must be a list of different texts"),
        ("[families.H]", "[families.X]", "must hold known families only. Got 'X'"),
        ("episodes = 36", "episodes = 0", r"episodes of H of families .* must be a whole number"),
        ("[12, 128, 58]", "[12, 128, 57]", "must be a grid .first, last, step. that ends at last"),
        ("[12, 128, 58]", "[12, 128]", "must be a grid"),
        ("[12, 128, 58]", "[12, 128, 1e-9]", "must be a grid .* of at most 1000 points"),
        ("[12, 128, 58]", "[12, 128, 0]", "must be a number in"),
        ("gap_m = [12, 40]", "gap_m = [40, 12]", "must be a list of rising numbers"),
        ("gap_m = [12, 40]", "gap_m = []", "must be a list of numbers"),
        ("confidence = 0.95", "confidence = nan", "confidence of gates .* must be a number"),
        ('["R-clean"]', "3", "aligned_phases of stress_presets .* must be a list of different"),
        ("[gates]", "[gates", "must be readable TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=message):
        load_protocol(changed(tmp_path, old, new))


def test_a_preset_with_a_name_that_no_file_can_have_is_refused_on_one_line(tmp_path):
    # Linux allows names of 255 bytes.
    path = changed(tmp_path, '"roof"', f'"{"x" * 300}"')

    with pytest.raises(RadioParameterError, match="File name too long") as caught:
        load_protocol(path)

    assert str(caught.value).isprintable()


def test_an_unknown_preset_is_refused(tmp_path):
    with pytest.raises(RadioParameterError, match="Did you mean 'roof'"):
        load_protocol(changed(tmp_path, '["nominal", "roof"]', '["nominal", "rof"]'))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"cruise"', '"cruse"', "variants of family C must be known ones. Got 'cruse'. Did you"),
        ('"clock_jump"', '"clock_jmp"', "variants of family R must be known ones. Got 'clock_jmp'"),
    ],
)
def test_an_unknown_variant_is_refused(tmp_path, old, new, message):
    protocol = load_protocol(changed(tmp_path, old, new))

    with pytest.raises(ConfigError, match=message):
        cases_of(protocol)


def test_an_unknown_protocol_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"Got 'relase'\. Did you mean 'release'"):
        load_protocol("relase")
    with pytest.raises(ConfigError, match="must be readable TOML"):
        load_protocol(tmp_path / "missing.toml")


def test_the_hash_is_of_values_and_not_of_layout(tmp_path):
    spaced = changed(tmp_path, "seed = 20261125", "\n# a remark\nseed =    20261125")
    protocol = load_protocol(spaced)

    assert protocol == load_protocol("smoke")
    assert protocol.sha256 == load_protocol("smoke").sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed = 20261125", "seed = 20261126"),
        ("tail_s = 8", "tail_s = 9"),
        ("max_floor_age_s = 0.15", "max_floor_age_s = 0.16"),
        ('["nominal", "roof"]', '["nominal", "in_car"]'),
    ],
)
def test_the_hash_changes_with_every_value(tmp_path, old, new):
    assert load_protocol(changed(tmp_path, old, new)).sha256 != load_protocol("smoke").sha256


def test_the_hash_changes_with_the_file_of_a_radio_preset(tmp_path, monkeypatch):
    before = load_protocol("smoke").sha256
    monkeypatch.setattr(
        "ml.evaluation.protocol.sha256_of_file", lambda path: sha256_of_file(path)[::-1]
    )

    assert load_protocol("smoke").sha256 != before
