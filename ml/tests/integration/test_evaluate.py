"""The evaluation command: what it accepts, runs, prints and writes."""

from __future__ import annotations

import json

import pytest
import torch

from ml.errors import ConfigError, PolicyError, RecordError
from ml.evaluation.run import main as evaluate
from ml.policies.checkpoint import PACKAGED_FOLDER
from ml.provenance import sha256_of_file
from ml.training.train_convoy import main as train
from ml.verification.verify import main as verify

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def run_dir(dataset_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "short"
    train(
        ["--dataset_dir", str(dataset_dir), "--output_dir", str(folder), "--total_timesteps", "64",
         "--n_envs", "1", "--dev_episodes", "0", "--skip_eval", "--quiet"]
    )  # fmt: skip
    return folder


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_folder_brings_its_own_dataset(run_dir, dataset_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ROADSENSE_CONTAINER_IMAGE", "roadsense@sha256:0123abcd")
    evaluate(["--model", str(run_dir), "--episodes", "2", "--output_dir", str(tmp_path / "e")])

    evaluation = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert evaluation["config"]["dataset_dir"] == str(dataset_dir)
    assert evaluation["provenance"]["container_image"] == "roadsense@sha256:0123abcd"
    assert evaluation["config"]["model"] == str(run_dir / "model_final.zip")
    assert [row["scenario_id"] for row in rows_of(tmp_path / "e" / "episodes.jsonl")] == [
        "eval_000",
        "eval_001",
    ]
    assert "Verdict:" in capsys.readouterr().out


def test_the_policy_acts_on_one_thread_as_in_training(run_dir, capsys):
    torch.set_num_threads(2)

    evaluate(["--model", str(run_dir), "--episodes", "1", "--skip_baselines", "--quiet"])

    assert torch.get_num_threads() == 1


def test_baselines_meet_the_same_episodes(run_dir, tmp_path, capsys):
    evaluate(["--model", str(run_dir), "--episodes", "2", "--output_dir", str(tmp_path)])

    identity = ("scenario_id", "hazard_kind", "hazard_onset_s")
    own = [[row[name] for name in identity] for row in rows_of(tmp_path / "episodes.jsonl")]
    rows = rows_of(tmp_path / "baseline_episodes.jsonl")
    for policy in ("null", "driver", "oracle", "eebl"):
        assert own == [[row[name] for name in identity] for row in rows if row["policy"] == policy]


def test_several_policies_stand_in_one_table(run_dir, capsys):
    evaluate(["--model", str(run_dir), "packaged", "--episodes", "2", "--quiet"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run_dir}, packaged: 2 episodes, split eval"
    assert [line.split()[0] for line in lines[3:9]] == [
        "short", "packaged", "null", "driver", "oracle", "eebl",
    ]  # fmt: skip
    assert lines[9].startswith("  short against packaged: ")


def test_policies_of_one_name_are_refused_side_by_side(run_dir):
    with pytest.raises(ConfigError, match=r"names differ\. Got 'short' for two policies"):
        evaluate(["--model", str(run_dir), str(run_dir / ".." / "short"), "--episodes", "1"])


def test_the_packaged_policy_is_recorded_by_its_name_and_verified(tmp_path, base_cfg, capsys):
    evaluate(
        ["--model", "packaged", "--sumo_cfg", str(base_cfg), "--episodes", "1",
         "--skip_baselines", "--output_dir", str(tmp_path / "e")]
    )  # fmt: skip

    evaluation = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert evaluation["config"]["model"] == "packaged"
    assert evaluation["provenance"]["model_sha256"] == sha256_of_file(
        PACKAGED_FOLDER / "policy.safetensors"
    )
    verify([str(tmp_path / "e")])
    assert "As recorded" in capsys.readouterr().out


def test_workers_change_no_result(run_dir, tmp_path, capsys):
    pages = []
    for number in ("1", "3"):
        evaluate(["--model", str(run_dir), "--episodes", "4", "--workers", number,
                  "--output_dir", str(tmp_path / number)])  # fmt: skip
        names = ("episodes.jsonl", "baseline_episodes.jsonl")
        pages.append([(tmp_path / number / name).read_text() for name in names])
        pages[-1].append(capsys.readouterr().out.replace(str(tmp_path / number), "folder"))

    assert pages[0] == pages[1]
    assert len(pages[0][0].splitlines()) == 4


def test_a_scripted_policy_is_evaluated_by_its_name(base_cfg, capsys):
    evaluate(["--model", "eebl", "--sumo_cfg", str(base_cfg), "--episodes", "1",
              "--skip_baselines", "--quiet"])  # fmt: skip

    assert capsys.readouterr().out.startswith("eebl: 1 episodes, split eval\n")


def test_a_rule_with_a_threshold_is_verified_by_its_name(base_cfg, tmp_path, capsys):
    evaluate(["--model", "eebl@3.0", "--sumo_cfg", str(base_cfg), "--episodes", "1",
              "--skip_baselines", "--quiet", "--output_dir", str(tmp_path / "e")])  # fmt: skip

    verify([str(tmp_path / "e")])
    assert "As recorded" in capsys.readouterr().out


def test_the_development_split_can_be_judged(run_dir, tmp_path, capsys):
    evaluate(["--model", str(run_dir), "--split", "dev", "--episodes", "1", "--skip_baselines",
              "--output_dir", str(tmp_path)])  # fmt: skip

    assert rows_of(tmp_path / "episodes.jsonl")[0]["scenario_id"].startswith("train_")


def test_a_second_evaluation_is_refused_unless_it_may_overwrite(base_cfg, tmp_path, capsys):
    command = ["--model", "driver", "--sumo_cfg", str(base_cfg), "--episodes", "1",
               "--skip_baselines", "--quiet", "--output_dir", str(tmp_path)]  # fmt: skip
    evaluate(command)

    with pytest.raises(ConfigError, match=r"must not hold an evaluation already.*--overwrite"):
        evaluate(command)
    evaluate([*command, "--overwrite"])


def test_a_run_folder_is_not_overwritten(run_dir):
    with pytest.raises(ConfigError, match="must not be a run's own folder"):
        evaluate(["--model", str(run_dir), "--output_dir", str(run_dir), "--overwrite"])


def test_a_misspelt_policy_is_answered_with_the_nearest():
    with pytest.raises(PolicyError, match="Did you mean 'eebl'"):
        evaluate(["--model", "ebl"])


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(PolicyError, match=r"holds model_final\.zip"):
        evaluate(["--model", str(tmp_path)])


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_a_damaged_model_is_one_line(tmp_path, base_cfg, content):
    model = tmp_path / "model.zip"
    model.write_bytes(content)

    with pytest.raises(PolicyError, match="must be a model saved by train_convoy") as caught:
        evaluate(["--model", str(model), "--sumo_cfg", str(base_cfg), "--episodes", "1", "--trust"])
    assert "\n" not in str(caught.value)


def test_a_zip_alone_is_refused_and_evaluated_as_the_safe_pair_if_trusted(run_dir, tmp_path):
    (tmp_path / "m.zip").write_bytes((run_dir / "model_final.zip").read_bytes())
    dataset_dir = json.loads((run_dir / "manifest.json").read_text())["config"]["dataset_dir"]
    options = ["--dataset_dir", dataset_dir, "--episodes", "1", "--skip_baselines", "--quiet"]

    with pytest.raises(PolicyError, match=r"m\.zip must have its \.safetensors .* add --trust"):
        evaluate(["--model", str(tmp_path / "m.zip"), *options])
    evaluate(["--model", str(tmp_path / "m.zip"), "--trust", *options,
              "--output_dir", str(tmp_path / "zip")])  # fmt: skip
    evaluate(["--model", str(run_dir / "model_final.safetensors"), *options,
              "--output_dir", str(tmp_path / "safe")])  # fmt: skip

    records = [rows_of(tmp_path / name / "episodes.jsonl") for name in ("zip", "safe")]
    assert records[0] == records[1]
    hashes = [
        json.loads((tmp_path / name / "evaluation.json").read_text())["provenance"]["model_sha256"]
        for name in ("zip", "safe")
    ]
    names = ("model_final.zip", "model_final.safetensors")
    assert hashes == [sha256_of_file(run_dir / name) for name in names]


def test_a_damaged_manifest_is_one_line(tmp_path):
    (tmp_path / "model_final.zip").write_bytes(b"x")
    (tmp_path / "manifest.json").write_text('{"config": ')

    with pytest.raises(RecordError, match="must be readable JSON"):
        evaluate(["--model", str(tmp_path)])
