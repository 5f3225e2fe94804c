"""The radio report's command: what it writes, prints and refuses, and how a browser takes it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from ml.errors import ConfigError, RadioParameterError
from ml.espnow_emulator.presets import preset_path
from ml.espnow_emulator.report import main
from ml.provenance import REPOSITORY_ROOT
from ml.tests.browsers import opened_page

pytestmark = pytest.mark.integration

SHORT = ("--frames", "2000", "--quiet")


def run(*arguments):
    main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    nominal = REPOSITORY_ROOT / "ml" / "espnow_emulator" / "emulator_params_5m.json"
    run("roof", "front_9m", nominal, "--output_dir", folder, "--seed", "3", *SHORT)
    return folder


def test_every_parameter_file_has_a_page_and_a_record(pages):
    names = ("emulator_params_5m", "front_9m", "roof")

    assert sorted(path.name for path in pages.iterdir()) == [
        f"{name}.{ending}" for name in names for ending in ("html", "json")
    ]


def test_a_record_names_its_file_seed_and_versions(pages):
    record = json.loads((pages / "front_9m.json").read_text(encoding="utf-8"))

    content = preset_path("front_9m").read_bytes()
    assert record["parameters"] == {
        "file": "front_9m",
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": "simple",
        "use": "test",
    }
    assert (record["seed"], record["frames"], record["link_distance_m"]) == (3, 2000, 9.2)
    assert set(record["versions"]) == {"numpy", "scipy", "numba", "matplotlib"}


def test_a_measured_link_has_its_published_loss_and_bursts_beside_the_emulators(pages):
    record = json.loads((pages / "front_9m.json").read_text(encoding="utf-8"))
    rows = {row["quantity"]: row for row in record["rows"]}

    # Published for the front pair at 9.2 m: 7.1 % lost, mean burst 1.34.
    loss, burst = rows["lost at 9.2 m"], rows["mean burst"]
    assert (loss["measured"], burst["measured"]) == pytest.approx((0.071, 1.34), abs=0.005)
    assert loss["low"] <= 0.071 <= loss["high"]
    assert burst["low"] <= 1.34 <= burst["high"]


def test_emulator_and_closed_forms_agree_on_the_files_that_are_packaged(pages):
    records = [json.loads(path.read_text(encoding="utf-8")) for path in pages.glob("*.json")]

    assert {record["name"]: record["num_differing"] for record in records} == {
        "emulator_params_5m": 0, "front_9m": 0, "roof": 0,
    }  # fmt: skip


def test_a_page_says_in_one_line_where_it_is_and_whether_it_agrees(tmp_path, capsys):
    run("front_9m", "--output_dir", tmp_path, "--frames", "2000")

    printed = capsys.readouterr()
    page = tmp_path / "front_9m.html"
    assert printed.out == f"{page}: Emulator and closed form agree in all 34 comparisons.\n"


def test_the_same_command_writes_the_same_bytes_again(pages, tmp_path):
    run("front_9m", "--output_dir", tmp_path, "--seed", "3", *SHORT)

    for name in ("front_9m.html", "front_9m.json"):
        assert (tmp_path / name).read_bytes() == (pages / name).read_bytes()


# --- Refusals ------------------------------------------------------------------------------------


def test_a_page_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    page = tmp_path / "front_9m.html"
    page.write_text("mine")

    with pytest.raises(ConfigError, match="add --overwrite"):
        run("front_9m", "--output_dir", tmp_path, *SHORT)
    assert page.read_text() == "mine"

    run("front_9m", "--output_dir", tmp_path, "--overwrite", *SHORT)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_two_pages_of_one_name_are_refused(tmp_path):
    copy = tmp_path / "front_9m.json"
    shutil.copy(preset_path("front_9m"), copy)

    with pytest.raises(ConfigError, match="must have different names"):
        run("front_9m", copy, "--output_dir", tmp_path / "out", *SHORT)
    assert not (tmp_path / "out").exists()


def test_the_parameter_file_is_never_replaced_by_its_record(tmp_path):
    copy = tmp_path / "front_9m.json"
    shutil.copy(preset_path("front_9m"), copy)

    with pytest.raises(ConfigError, match="must not be the folder of the parameter file"):
        run(copy, "--output_dir", tmp_path, "--overwrite", *SHORT)
    assert copy.read_bytes() == preset_path("front_9m").read_bytes()


def test_a_bad_file_among_good_ones_is_refused_before_anything_is_written(tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text('{"packet_loss": {"base_rate": 1.7}}')

    with pytest.raises(RadioParameterError, match="base_rate"):
        run("front_9m", bad, "--output_dir", tmp_path / "out", *SHORT)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ConfigError, match="must be a folder that can be written"):
        run("front_9m", "--output_dir", tmp_path / "out", *SHORT)


def test_an_unknown_preset_is_one_line_with_the_nearest_name(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "ml.espnow_emulator.report", "frnt_9m", "--output_dir",
         str(tmp_path / "out")],
        cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "front_9m" in result.stderr


# --- In a browser --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1200, 375])
@pytest.mark.parametrize("name", ["front_9m", "roof"])
def test_a_browser_opens_the_page_without_a_word_or_a_request(
    browser, pages, name, width_px, scheme
):
    path = pages / f"{name}.html"

    page, said, asked = opened_page(browser, path, width_px, scheme)

    assert (said, asked) == ([], [path.as_uri()])
    assert page.locator("figure svg").count() == 4
    assert page.get_by_role("img").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    page.close()


def test_the_page_has_the_colours_of_the_screen(browser, pages):
    shades = []
    for scheme in ("light", "dark"):
        page, _, _ = opened_page(browser, pages / "front_9m.html", 800, scheme)
        shades.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()

    assert shades == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
