"""A finished run is checked against its records, and any change of it is named."""

import json
import shutil

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import RecordError
from ml.file_sums import SUMS_FILE
from ml.folder_lock import LOCK_FILE
from ml.tests.conftest import generate_dataset
from ml.tests.flipped_bits import flip_a_bit
from ml.training.train_convoy import main as train
from ml.verification.reproduce import main as reproduce
from ml.verification.verify import main as verify

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A run of 512 steps with two evaluation episodes, and its dataset."""
    folder = tmp_path_factory.mktemp("verified")
    generate_dataset(folder / "dataset", 5, 2)
    train(
        ["--dataset_dir", str(folder / "dataset"), "--total_timesteps", "512", "--n_envs", "1",
         "--n_steps", "256", "--checkpoint_interval", "256", "--eval_episodes", "2",
         "--dev_episodes", "0", "--skip_baselines", "--quiet",
         "--output_dir", str(folder / "run")]
    )  # fmt: skip
    return folder


@pytest.fixture
def copied(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "copy")
    return tmp_path / "copy"


def failed_lines(copied, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        verify([str(copied / "run"), "--dataset_dir", str(copied / "dataset")])
    assert caught.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line.startswith(("changed", "missing"))]


@pytest.mark.parametrize("episode", ["0", "1"])
def test_untouched_run_is_as_recorded(copied, capsys, episode):
    verify([str(copied / "run"), "--dataset_dir", str(copied / "dataset"), "--episode", episode])

    text = capsys.readouterr().out
    assert f"ok      episode {episode}: " in text
    assert text.splitlines()[-1].startswith("As recorded: ")


@pytest.mark.parametrize("name", ["model_final.zip", "progress.jsonl"])
def test_changed_file_is_named_and_nothing_else(copied, capsys, name):
    flip_a_bit(copied / "run" / name)

    assert failed_lines(copied, capsys) == [f"changed {name}"]


@pytest.mark.parametrize(
    "pattern",
    ["model_final.safetensors", "model_final.json", "episodes.jsonl", "metrics.json",
     "manifest.json", "checkpoints/deep_sets_256_steps.zip",
     "checkpoints/deep_sets_256_steps.safetensors", "checkpoints/deep_sets_256_steps.json",
     "checkpoints/state_*/state.json", "checkpoints/state_*/arrays.safetensors",
     "tensorboard/PPO_1/events.*"],
)  # fmt: skip
def test_flipped_bit_of_any_file_is_found(copied, capsys, monkeypatch, pattern):
    monkeypatch.setattr("ml.verification.verify.check_episode", lambda *_, **__: ("ok", ""))
    path = next((copied / "run").glob(pattern))
    flip_a_bit(path)

    assert f"changed {path.relative_to(copied / 'run')}" in failed_lines(copied, capsys)


def test_flipped_bit_of_the_hashes_is_found(copied, capsys):
    flip_a_bit(copied / "run" / SUMS_FILE)

    assert failed_lines(copied, capsys)


def test_every_file_of_a_run_has_its_hash(copied, capsys):
    beside = {SUMS_FILE, LOCK_FILE}
    files = [
        path for path in (copied / "run").rglob("*") if path.is_file() and path.name not in beside
    ]

    verify([str(copied / "run"), "--dataset_dir", str(copied / "dataset")])

    assert f"{SUMS_FILE}: {len(files)} files; its own SHA-256 is" in capsys.readouterr().out


def test_hashes_that_are_gone_are_missed(copied, capsys):
    (copied / "run" / SUMS_FILE).unlink()

    assert failed_lines(copied, capsys) == [f"missing {SUMS_FILE}"]


def test_other_last_action_is_found_though_no_sum_differs(copied, capsys, monkeypatch):
    step = ConvoyEnv.step

    def step_otherwise(env, action):
        is_last = env._recorder.num_steps == env.max_steps - 1
        return step(env, np.maximum(action, 0.0) + 0.001 if is_last else action)

    monkeypatch.setattr(ConvoyEnv, "step", step_otherwise)

    assert failed_lines(copied, capsys) == [
        "changed episode 0: trace_sha256 alone, so a step differs and no sum"
    ]


@pytest.mark.parametrize("name", ["model_final.zip", "progress.jsonl"])
def test_removed_file_is_named_and_nothing_else(copied, capsys, name):
    (copied / "run" / name).unlink()

    assert failed_lines(copied, capsys) == [f"missing {name}"]


def test_changed_manifest_is_named(copied, capsys):
    path = copied / "run" / "manifest.json"
    path.write_text(path.read_text() + " ")

    assert failed_lines(copied, capsys) == ["changed manifest.json"]


def test_changed_scenario_is_named(copied, capsys):
    route = next((copied / "dataset" / "eval" / "eval_000").glob("*.rou.xml"))
    route.write_text(route.read_text() + "\n")

    (line,) = failed_lines(copied, capsys)
    assert line.startswith("changed scenario eval_000: ")


def test_first_episode_is_played_again_unless_told_otherwise(copied, capsys):
    verify([str(copied / "run"), "--dataset_dir", str(copied / "dataset")])

    assert "ok      episode 0: 53 fields" in capsys.readouterr().out


def test_changed_episode_record_is_named_with_its_field(copied, capsys):
    path = copied / "run" / "episodes.jsonl"
    first, rest = path.read_text().split("\n", 1)
    record = json.loads(first)
    path.write_text(json.dumps({**record, "return": record["return"] - 1.0}) + "\n" + rest)

    assert failed_lines(copied, capsys) == ["changed episodes.jsonl", "changed episode 0: return"]


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\nb", ""])
def test_name_that_leads_out_of_the_run_is_refused(copied, name):
    path = copied / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "outputs": {name: "0" * 64}}))

    with pytest.raises(RecordError, match="must"):
        verify([str(copied / "run")])


def test_repeated_run_has_the_same_weights(tiny, tmp_path, capfd):
    reproduce([str(tiny / "run"), "--run", "--output_dir", str(tmp_path / "again")])

    assert "weights: equal\nmetrics: equal\n" in capfd.readouterr().out


def test_finished_run_without_its_hashes_goes_on_to_write_them(copied, monkeypatch):
    sums = (copied / "run" / SUMS_FILE).read_text()
    monkeypatch.chdir(copied)
    (copied / "run" / SUMS_FILE).unlink()

    train(["--resume", str(copied / "run"), "--quiet"])

    assert (copied / "run" / SUMS_FILE).read_text().count("\n") == sums.count("\n")
