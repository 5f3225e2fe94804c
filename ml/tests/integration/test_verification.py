"""A finished run is checked against its records, and any change of it is named."""

import json
import shutil

import pytest

from ml.errors import RecordError
from ml.tests.conftest import generate_dataset
from ml.training.train_convoy import main as train
from ml.verification.arguments import parse_verify_args
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
         "--eval_episodes", "2", "--dev_episodes", "0", "--skip_baselines", "--quiet",
         "--output_dir", str(folder / "run")]
    )  # fmt: skip
    return folder


@pytest.fixture
def copied(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "copy")
    return tmp_path / "copy"


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


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
    flip_last_byte(copied / "run" / name)

    assert failed_lines(copied, capsys) == [f"changed {name}"]


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


def test_first_episode_is_the_default():
    assert parse_verify_args(["run"]).episode == 0
