"""The ablations from end to end, with trainings of a moment and a protocol of a few cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import ablations
from experiments.ablation_plan import BASE, CROWDED, FEW, FULL, Variant
from ml.errors import ConfigError, RecordError
from ml.tests.few_cases import few_hard_cases

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RECIPE = ("--total_timesteps", "64", "--n_steps", "64", "--n_envs", "1", "--imitation", "urgent",
          "--imitation_episodes", "2")  # fmt: skip
DATASET = ("--seed", "42", "--train_count", "2", "--eval_count", "9")


def small_study(folder: Path) -> ablations.Study:
    """Return a study of few cases: H 8, M 13, C 18."""
    return ablations.Study(
        work_dir=folder / "work",
        seeds=(4,),
        workers=2,
        protocol=few_hard_cases(2),
        recipe=RECIPE,
        dataset_flags={FULL: DATASET, FEW: (*DATASET, "--train_max_peers", "4")},
        results_file=folder / "results" / "ablations.json",
    )


@pytest.fixture
def few_variants(monkeypatch):
    """Two variants, one of which plays through torch and by the other dataset."""
    base = Variant(BASE, "base", "nothing", (), FULL, (CROWDED,))
    slots = Variant("slots", "fixed slots", "slots", ("--pooling", "slots"), FEW)
    monkeypatch.setattr(ablations, "VARIANTS", (base, slots))


@pytest.mark.usefixtures("few_variants")
def test_what_is_done_is_not_done_again(tmp_path):
    study, said = small_study(tmp_path), []
    ablations.run_study(study, said.append)
    first = json.loads(study.results_file.read_text())
    times = {path: path.stat().st_mtime_ns for path in study.work_dir.rglob("*.*")}
    ablations.run_study(study, said.append)

    assert [line.split(" in ")[0].split(",")[0] for line in said] == [
        "1/2 base_s4: trained", "1/2 base_s4: judged",
        "2/2 slots_s4: trained", "2/2 slots_s4: judged",
        "1/2 base_s4: was trained", "1/2 base_s4: judged",
        "2/2 slots_s4: was trained", "2/2 slots_s4: judged",
    ]  # fmt: skip
    assert json.loads(study.results_file.read_text()) == first
    assert {path: path.stat().st_mtime_ns for path in study.work_dir.rglob("*.*")} == times
    places = [(r["variant"], r["num_peers"], r["threshold_mps2"]) for r in first["records"]]
    assert places == [
        *(("base", None, 0.0), ("base", None, 6.0), ("base", 8, 0.0), ("base", 8, 6.0)),
        *(("slots", None, 0.0), ("slots", None, 6.0)),
    ]
    for record in first["records"]:
        assert 0 < record["H"]["cases"] <= 8
        assert 0 < record["M"]["cases"] <= 13
        assert 0.0 < record["C"]["hours"] <= 18 * 28.0 / 3600.0
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    ablations.write_page(study.results_file, page, figure)
    assert "| base | 4 |" in page.read_text()
    assert figure.read_text().startswith("<svg")


def test_a_run_of_other_flags_is_refused(tmp_path):
    study = small_study(tmp_path)
    run = study.work_dir / "runs" / "base_s4"
    run.mkdir(parents=True)
    manifest = {"status": "complete", "command_line": ["train", "--seed", "5"]}
    (run / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(ConfigError, match=r"base_s4 must be trained with .*Got --seed 5\."):
        ablations.run_study(study, lambda line: None)


def test_a_training_that_fails_is_told_with_its_log(tmp_path):
    study = replace(small_study(tmp_path), recipe=("--n_envs", "65"))

    with pytest.raises(RecordError, match=r"training of base_s4 must end with status 0. Got 2"):
        ablations.run_study(study, lambda line: None)
    assert "--n_envs" in (study.work_dir / "logs" / "base_s4.log").read_text()
