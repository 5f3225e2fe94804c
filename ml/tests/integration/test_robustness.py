"""The robustness curves on the real SUMO: any number of workers, continued, two ways to a point."""

from __future__ import annotations

import json
import shutil

import pytest

from ml.errors import RecordError
from ml.evaluation import protocol_scenarios, robustness_levels, robustness_points
from ml.evaluation.robustness import main

pytestmark = pytest.mark.integration

FILES = ("robustness.json", "robustness.html", "robustness.md", "records/eebl.jsonl",
         "radio/loss_0.5.json", "inputs.json")  # fmt: skip


def run(folder, *more):
    main(["--output_dir", str(folder), "--episodes", "2", "--axes", "loss", "burst",
          "--baselines", "eebl", "--quiet", *more])  # fmt: skip


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def rows_at(folder, level):
    lines = (folder / "records" / "eebl.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{**row, "radio_preset": ""} for row in rows if row["radio_preset"] == level]


def two_levels(patch, folder):
    """Leave one level on each of two axes, and keep scenarios, not kernels, below a folder."""
    patch.setattr(robustness_levels, "VALUES", {"loss": (0.5,), "burst": (2.0,)})
    patch.setattr(protocol_scenarios, "default_scenario_cache", lambda: folder / "cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Half of all frames lost, once as independent losses and once as bursts of two frames."""
    folder = tmp_path_factory.mktemp("robustness")
    with pytest.MonkeyPatch.context() as patch:
        two_levels(patch, folder)
        run(folder / "one", "--workers", "1")
        shutil.copytree(folder / "one", folder / "two")
        records = folder / "two" / "records" / "eebl.jsonl"
        burst_row, *others = records.read_text().splitlines(keepends=True)
        records.write_text(others[0] + burst_row + others[1][:40])
        run(folder / "two", "--workers", "2")
        with pytest.raises(RecordError, match=r"robustness .* instead of robustness"):
            run(folder / "two", "--seed", "1")
    return folder


def test_files_depend_neither_on_workers_nor_on_an_interruption(finished):
    assert contents(finished / "two") == contents(finished / "one")


def test_bursts_of_two_frames_are_independent_losses_of_one_half_to_the_last_bit(finished):
    folder = finished / "one"

    assert rows_at(folder, "loss_0.5") == rows_at(folder, "burst_2")
    assert len(rows_at(folder, "loss_0.5")) == 2


def test_curves_say_what_was_asked_and_what_was_measured(finished):
    curves = json.loads((finished / "one" / "robustness.json").read_text())

    (level,) = curves["axes"]["loss"]["levels"]
    assert level["asked"]["loss"] == 0.5
    assert level["measured"]["frames"] > 200
    assert curves["not_realised"] == []
    assert set(curves["provenance"]["records_sha256"]) == {"eebl"}


def test_a_level_that_is_not_as_asked_fails_the_command(finished, tmp_path, monkeypatch, capsys):
    two_levels(monkeypatch, finished)
    monkeypatch.setattr(robustness_points, "is_realised_as_asked", lambda *_: False)
    shutil.copytree(finished / "one", tmp_path / "copy")

    with pytest.raises(SystemExit) as stopped:
        run(tmp_path / "copy")

    assert stopped.value.code == 1
    assert "Levels not as asked: loss_0.5, burst_2" in capsys.readouterr().out
