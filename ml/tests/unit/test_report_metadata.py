"""What a parameter file says of itself: measured points, links, refusals."""

from __future__ import annotations

import json

import pytest

from ml.errors import RadioParameterError
from ml.espnow_emulator.presets import preset_names, preset_path
from ml.espnow_emulator.report_metadata import LinkMetadata, MeasuredPoint, read_metadata

GILBERT = {"p_good_to_bad": 0.06, "r_bad_to_good": 0.75}


def read(folder, metadata, key="_metadata"):
    path = folder / "radio.json"
    path.write_text(json.dumps({key: metadata}), encoding="utf-8")
    return read_metadata(path)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_read(name):
    assert read_metadata(preset_path(name)).content["name"] == name


def test_measured_points_keep_their_numbers_of_frames(tmp_path):
    points = [{"distance_m": 30, "reception": 0.9, "n": 500}, {"distance_m": 5, "reception": 1.0}]

    metadata = read(tmp_path, {"measured_points": points})

    assert metadata.points == (MeasuredPoint(30.0, 0.9, 500), MeasuredPoint(5.0, 1.0, None))
    assert (metadata.distance_m, metadata.mean_burst) == (None, None)


def test_a_measured_link_is_a_point_of_its_own(tmp_path):
    metadata = read(
        tmp_path, {"distance_m": 9.2, "gilbert": GILBERT, "longest_burst_frames": 6}, "metadata"
    )

    # Received r / (p + r) = .75 / .81, mean burst 1 / .75.
    (point,) = metadata.points
    assert (point.distance_m, point.num_frames) == (9.2, None)
    assert point.reception == pytest.approx(0.75 / 0.81)
    assert metadata.mean_burst == pytest.approx(4 / 3)
    assert metadata.longest_burst_frames == 6


def test_bursts_belong_to_the_distance_they_were_measured_at(tmp_path):
    metadata = read(tmp_path, {"distance_m": 9.2, "gilbert": GILBERT, "longest_burst_frames": 6})

    assert metadata.at(9.2) is metadata
    elsewhere = metadata.at(20.0)
    assert (elsewhere.mean_burst, elsewhere.longest_burst_frames) == (None, None)
    assert elsewhere.reception_at(9.2) == metadata.reception_at(9.2) is not None
    assert metadata.reception_at(20.0) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        "recorded on a Tuesday",
        {"distance_m": True, "gilbert": GILBERT},
        {"distance_m": -5, "gilbert": GILBERT},
        {"distance_m": 10**400, "gilbert": GILBERT},
        {"gilbert": GILBERT},
        {"distance_m": 9.2, "gilbert": {"p_good_to_bad": 0.1}},
        {"distance_m": 9.2, "gilbert": {"p_good_to_bad": "x", "r_bad_to_good": 0.5}},
        {"distance_m": 9.2, "gilbert": {"p_good_to_bad": 0.1, "r_bad_to_good": 0}},
        {"distance_m": 9.2, "gilbert": [0.1, 0.5]},
    ],
)
def test_free_text_that_is_no_measurement_is_left_alone(tmp_path, metadata):
    read_back = read(tmp_path, metadata)

    assert (read_back.points, read_back.mean_burst) == ((), None)


@pytest.mark.parametrize("longest", [0, -1, 2.5, True, "6", 10**400])
def test_a_longest_burst_that_is_no_number_of_frames_is_left_alone(tmp_path, longest):
    metadata = read(
        tmp_path, {"distance_m": 9.2, "gilbert": GILBERT, "longest_burst_frames": longest}
    )

    assert metadata.longest_burst_frames is None


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({"a": 1}, "must be a list"),
        ([5], "must hold objects of distance_m"),
        ([{"distance_m": 5}], "must hold objects of distance_m"),
        ([{"distance_m": 5, "reception": 1.2}], "reception in [0, 1]"),
        ([{"distance_m": -5, "reception": 1.0}], "must hold objects of distance_m"),
        ([{"distance_m": 1e9, "reception": 1.0}], "must hold objects of distance_m"),
        ([{"distance_m": 5, "reception": 1.0, "n": 0}], "a whole number in [1, 1e9]"),
        ([{"distance_m": 5, "reception": 1.0, "n": 10**400}], "a whole number in [1, 1e9]"),
        ([{"distance_m": 5, "reception": 1.0, "n": 2.5}], "a whole number in [1, 1e9]"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused_on_one_line(tmp_path, points, said):
    with pytest.raises(RadioParameterError) as caught:
        read(tmp_path, {"measured_points": points})

    text = str(caught.value)
    assert said in text
    assert str(tmp_path / "radio.json") in text
    assert "Got " in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ['{"name": NaN}', '{"x": [1e999]}', '{"name": "\\ud800"}', "NaN"])
def test_metadata_that_no_page_can_hold_is_refused_on_one_line(tmp_path, text):
    path = tmp_path / "radio.json"
    path.write_text(f'{{"_metadata": {text}}}', encoding="utf-8")

    with pytest.raises(RadioParameterError, match="must be finite numbers and Unicode") as caught:
        read_metadata(path)

    assert str(caught.value).isprintable()


def test_metadata_without_anything_measured_has_no_points():
    assert LinkMetadata({}).reception_at(5.0) is None
