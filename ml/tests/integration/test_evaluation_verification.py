"""Evaluations are checked against their records, and repeated."""

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from stable_baselines3 import PPO

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, RecordError
from ml.evaluation.evaluation_folder import evaluation_files_in
from ml.evaluation.run import main as evaluate
from ml.file_sums import SUMS_FILE, write_sums
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.provenance import sha256_of_file
from ml.reporting.report import main as report
from ml.tests.flipped_bits import flip_a_bit
from ml.tests.integration.test_protocol_evaluation import PROTOCOL
from ml.training.callbacks import save_model_atomically
from ml.verification.repeated_evaluation import tell_if_equal
from ml.verification.reproduce import main as reproduce
from ml.verification.verify import main as verify

pytestmark = [pytest.mark.integration, pytest.mark.slow]

POLICIES = ["null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle", "net", "net@2.0",
            "eebl@3.0"]  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory, base_cfg):
    """A folder with a protocol, an untrained network, and its evaluation."""
    folder = tmp_path_factory.mktemp("verified_protocol")
    (folder / "tiny.toml").write_text(PROTOCOL)
    env = ConvoyEnv(sumo_cfg=base_cfg)
    model = PPO(
        "MultiInputPolicy", env, policy_kwargs=create_deep_set_policy_kwargs(), device="cpu", seed=1
    )
    save_model_atomically(model, folder / "net.zip")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with pytest.raises(SystemExit):  # an untrained network fails a gate
            evaluate(["--model", "net.zip", "--protocol", "tiny.toml", "--output_dir", "evaluated",
                      "--workers", "1", "--quiet"])  # fmt: skip
    return folder


@pytest.fixture
def copied(original, tmp_path, monkeypatch):
    """A copy of it all, which is the present folder."""
    shutil.copytree(original, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def without_episodes(monkeypatch):
    """Let no episode be played again."""
    monkeypatch.setattr("ml.verification.protocol_evaluation._check_episodes", lambda *_: iter(()))


def lines_of(capsys, *flags):
    """Verify the present folder's evaluation and return what is said, and whether all is well."""
    capsys.readouterr()
    try:
        verify(["evaluated", *flags])
        is_well = True
    except SystemExit:
        is_well = False
    return capsys.readouterr().out.splitlines(), is_well


def failed_lines(capsys, *flags):
    lines, is_well = lines_of(capsys, *flags)
    assert not is_well
    return [line for line in lines if line.startswith(("changed", "missing"))]


def sign_anew(folder):
    """Put the present hashes of all files into the records, as a forger would."""
    path = folder / "evaluation.json"
    evaluation = json.loads(path.read_text())
    hashes = {policy: sha256_of_file(folder / "records" / f"{policy}.jsonl") for policy in POLICIES}
    evaluation["provenance"]["records_sha256"] = hashes
    path.write_text(json.dumps(evaluation))
    write_sums(folder, evaluation_files_in(folder))


def test_untouched_evaluation_is_as_recorded_with_an_episode_of_each_policy(copied, capsys):
    lines, is_well = lines_of(capsys)

    played = [line for line in lines if line.endswith("with the hash of its steps")]
    assert is_well
    assert sorted(line.split()[1].rstrip(",") for line in played) == sorted(POLICIES)
    assert "ok      model of net" in lines
    assert "ok      protocol: protocol.toml with the radio parameters here" in lines
    assert "ok      inputs.json: 6 entries of evaluation.json" in lines
    assert (
        lines[-1] == f"As recorded: {len([line for line in lines if line.startswith('ok')])} checks"
    )


@pytest.mark.parametrize(
    "name",
    ["evaluation.json", "inputs.json", "protocol.toml", "report.html", "records/net.jsonl",
     "records/null.jsonl", "recordings/net--nominal--C-cruise-0000.json"],
)  # fmt: skip
def test_flipped_bit_of_a_file_is_found(copied, capsys, without_episodes, name):
    flip_a_bit(copied / "evaluated" / name)

    assert f"changed {name}" in failed_lines(capsys)


def test_every_file_of_an_evaluation_has_its_hash(copied, capsys, without_episodes):
    files = [path for path in (copied / "evaluated").rglob("*") if path.is_file()]

    lines, _ = lines_of(capsys)

    # All but the hashes themselves and the lock.
    assert f"{SUMS_FILE}: {len(files) - 2} files; its own SHA-256 is" in "\n".join(lines)


def test_flipped_bit_of_the_model_is_found_and_it_is_not_loaded(copied, capsys):
    flip_a_bit(copied / "net.safetensors")

    lines, is_well = lines_of(capsys)

    assert not is_well
    assert "changed model of net" in lines
    assert [line for line in lines if line.startswith("skipped")] == [
        "skipped episode of net: something that it needs is not as recorded",
        "skipped episode of net@2.0: something that it needs is not as recorded",
    ]


def test_protocol_of_another_content_is_found_though_the_hashes_were_made_anew(copied, capsys):
    path = copied / "evaluated" / "protocol.toml"
    path.write_text(path.read_text().replace("seed = 7", "seed = 8"))
    sign_anew(copied / "evaluated")

    assert failed_lines(capsys) == [
        "changed protocol: protocol.toml with the radio parameters here"
    ]


def test_inputs_that_differ_between_the_records_are_named(copied, capsys, without_episodes):
    path = copied / "evaluated" / "inputs.json"
    inputs = json.loads(path.read_text())
    path.write_text(json.dumps({**inputs, "scenarios_sha256": "0" * 64}))
    sign_anew(copied / "evaluated")

    assert failed_lines(capsys) == ["changed inputs.json and evaluation.json: scenarios_sha256"]


def test_forged_row_is_found_though_the_hashes_were_made_anew(copied, capsys):
    path = copied / "evaluated" / "records" / "net.jsonl"
    first, rest = path.read_text().split("\n", 1)
    row = json.loads(first)
    path.write_text(json.dumps({**row, "return": row["return"] - 1.0}) + "\n" + rest)
    sign_anew(copied / "evaluated")

    assert failed_lines(capsys, "--episode", "0") == ["changed net, C-cruise-0000, nominal: return"]


def test_other_last_action_is_found_though_no_sum_differs(copied, capsys, monkeypatch):
    step = ConvoyEnv.step

    def step_otherwise(env, action):
        is_last = env._recorder.num_steps == env.max_steps - 1
        return step(env, np.maximum(action, 0.0) + 0.001 if is_last else action)

    monkeypatch.setattr(ConvoyEnv, "step", step_otherwise)

    # The first row is the calm case, which all policies drive to its end.
    lines = failed_lines(capsys, "--episode", "0")
    alone = ": trace_sha256 alone, so a step differs and no sum"
    assert [line for line in lines if line.startswith("changed driver, ")] == [
        f"changed driver, C-cruise-0000, nominal{alone}"
    ]


def test_episode_that_is_not_there_is_refused(copied):
    with pytest.raises(RecordError, match="--episode must be one of the 4"):
        verify(["evaluated", "--episode", "4"])


def test_another_report_keeps_the_evaluation_as_recorded(copied, capsys, without_episodes):
    page = copied / "evaluated" / "report.html"
    page.write_text("")

    report(["evaluated", "--quiet"])

    assert page.stat().st_size > 0
    assert lines_of(capsys)[1]


def test_printed_command_is_the_one_that_made_it(copied, capsys):
    reproduce(["evaluated"])

    assert capsys.readouterr().out.splitlines()[0] == (
        "roadsense evaluate --model net.zip --protocol=evaluated/protocol.toml "
        "--output_dir=evaluated"
    )


@pytest.mark.slow_suite
def test_repeated_evaluation_is_equal(copied, capfd):
    reproduce(["evaluated", "--run", "--output_dir", "again"])

    assert capfd.readouterr().out.endswith("episodes: equal\nevaluation: equal\n")
    assert (copied / "again" / SUMS_FILE).is_file()


def test_rows_and_results_that_differ_are_named(copied, capsys):
    shutil.copytree("evaluated", "other")
    assert tell_if_equal(Path("evaluated"), Path("other"))
    (copied / "other" / "records" / "net.jsonl").write_text("")
    content = json.loads((copied / "other" / "evaluation.json").read_text())
    (copied / "other" / "evaluation.json").write_text(json.dumps({**content, "result": "PASS"}))

    assert not tell_if_equal(Path("evaluated"), Path("other"))
    assert capsys.readouterr().out == (
        "episodes: equal\nevaluation: equal\n"
        "episodes: not equal: net.jsonl\nevaluation: not equal: result\n"
    )


def test_evaluation_is_not_repeated_into_another_ones_folder(copied):
    shutil.copytree(copied / "evaluated", copied / "other")

    with pytest.raises(ConfigError, match="must not hold an evaluation already"):
        reproduce(["evaluated", "--run", "--output_dir", "other"])


# --- Without a protocol --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_original(tmp_path_factory, base_cfg):
    """An evaluation of the driver alone on two episodes of one scenario."""
    folder = tmp_path_factory.mktemp("verified_plain")
    evaluate(["--model", "driver", "--sumo_cfg", str(base_cfg), "--episodes", "2", "--quiet",
              "--radio_fault", "blackout", "--output_dir", str(folder / "evaluated")])  # fmt: skip
    return folder


@pytest.fixture
def plain(plain_original, tmp_path, monkeypatch):
    """A copy of it, whose folder is the present one."""
    shutil.copytree(plain_original, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def test_untouched_plain_evaluation_is_as_recorded(plain, capsys):
    lines, is_well = lines_of(capsys, "--episode", "1")

    assert is_well
    assert "ok      episode 1: 53 fields of its record, with the hash of its steps" in lines


@pytest.mark.parametrize(
    "name", ["evaluation.json", "episodes.jsonl", "baseline_episodes.jsonl", SUMS_FILE]
)
def test_flipped_bit_of_a_plain_evaluation_is_found(plain, capsys, monkeypatch, name):
    monkeypatch.setattr("ml.verification.verify.check_episode", lambda *_, **__: ("ok", ""))
    flip_a_bit(plain / "evaluated" / name)

    assert failed_lines(capsys)


def test_repeated_plain_evaluation_is_equal(plain, capsys, monkeypatch):
    def run_here(arguments, **_):
        assert arguments[1:3] == ["-m", "ml.evaluation.run"]
        evaluate(arguments[3:])
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr("ml.verification.reproduce.subprocess", SimpleNamespace(run=run_here))

    reproduce(["evaluated", "--run", "--output_dir", "again"])

    assert capsys.readouterr().out.endswith("episodes: equal\nevaluation: equal\n")
