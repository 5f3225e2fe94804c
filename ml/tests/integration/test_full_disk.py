"""A disk that fills up before any kind of write: one line names the file, the rest stays whole."""

import contextlib
import io
import json

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common import utils

from ml import folder_lock
from ml.errors import RecordError, RoadSenseError
from ml.evaluation.record_store import RecordStore
from ml.records import append_json_line
from ml.scripts import dataset_builder
from ml.scripts.gen_scenarios import main as generate
from ml.tests.contract.bad_input_cases import check_line
from ml.tests.faulty_trainings import run_main, run_training, temporary_files
from ml.tests.full_disks import opened_disk
from ml.training import callbacks, development, learning, run_folder, train_convoy
from ml.training.callbacks import ProgressCallback
from ml.training.development import DevelopmentCallback

pytestmark = [
    pytest.mark.integration,
    # stable-baselines3 does not close the file that it cannot write; the command shows nothing.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO"),
]
slow = pytest.mark.slow_suite


@pytest.fixture(params=["mounted", pytest.param("limited", marks=slow)])
def disk(request, tmp_path):
    """A disk that can be filled."""
    with opened_disk(request.param, tmp_path) as opened:
        yield opened


def fill_before(monkeypatch, disk, owner, name, count=1):
    """Fill the disk before the count-th call of a function."""
    real = getattr(owner, name)
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(name)
        if len(calls) == count:
            disk.fill()
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


FLAGS = ("--n_envs=1", "--dev_interval=16", "--dev_episodes=1", "--skip_baselines",
         "--eval_episodes=1", "--checkpoint_interval=16")  # fmt: skip
WRITES = (
    ("tensorboard", utils, "configure_logger", 1),
    ("checkpoints/state_16", learning, "write_state", 1),
    ("checkpoints/deep_sets_32_steps.zip", callbacks, "save_model_atomically", 2),
)
MORE_WRITES = (
    ("'/.lock", folder_lock, "_lock", 1),
    ("manifest.json", run_folder, "start_run", 1),
    ("progress.jsonl", ProgressCallback, "_write_row", 1),
    ("checkpoints/deep_sets_16_steps.zip", callbacks, "save_model_atomically", 1),
    ("development.jsonl", DevelopmentCallback, "_evaluate", 1),
    ("model_best.zip", development, "save_model_atomically", 1),
    ("model_final.zip", learning, "save_model_atomically", 1),
    ("episodes.jsonl", train_convoy, "save_episodes", 1),
    ("metrics.json", train_convoy, "save_metrics", 1),
)
"""What is written, and the call before which the disk is full."""


@pytest.mark.parametrize(
    "write", [*WRITES, *(pytest.param(one, marks=slow) for one in MORE_WRITES)],
    ids=[name for name, *_ in (*WRITES, *MORE_WRITES)],
)  # fmt: skip
def test_full_disk_ends_a_training_with_the_file_s_name(write, disk, monkeypatch):
    name, *place = write
    with monkeypatch.context() as patched:
        fill_before(patched, disk, *place)
        folder = disk.folder / "r"
        status, error = run_training(folder, *FLAGS, more=())

    assert status == 1
    (line,) = error.splitlines()
    check_line(line)
    assert (name if name != "'/.lock" else str(folder)) in line
    assert disk.reason in line
    assert temporary_files(folder) == []
    check_whole(folder)


def check_whole(folder):
    """Check that every model can be loaded and that every row is one."""
    for path in folder.rglob("*.zip"):
        PPO.load(path, device="cpu")
    for path in folder.glob("*.jsonl"):
        *rows, end = path.read_text().split("\n")
        assert end == ""
        assert all(isinstance(json.loads(row), dict) for row in rows)
    for path in folder.glob("*.json"):
        assert isinstance(json.loads(path.read_text()), dict)


def test_run_that_a_full_disk_ended_goes_on_where_there_is_room_again(disk, monkeypatch):
    folder = disk.folder / "r"
    with monkeypatch.context() as patched:
        fill_before(patched, disk, learning, "save_model_atomically")
        status, error = run_training(folder, *FLAGS, more=("--skip_eval",))
    assert (status, disk.reason in error) == (1, True)
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"
    disk.empty()

    assert run_main(f"--resume={folder}", "--quiet") == (0, "")
    assert json.loads((folder / "manifest.json").read_text())["status"] == "complete"


def test_full_disk_leaves_a_protocol_s_rows_whole_and_it_goes_on(disk):
    store = RecordStore(disk.folder, ["net"])
    rows = [
        {"policy": "net", "radio_preset": "x", "case_id": str(number), "text": "t" * 3000}
        for number in range(3)
    ]
    store.add(rows[0])
    disk.fill()
    with pytest.raises(
        RecordError, match=rf"net\.jsonl cannot be written: {disk.reason}"
    ) as caught:
        store.add(rows[1])
    check_line(str(caught.value))
    assert not store.has("net", ("x", "1"))
    # The second row begins in the page of the first one, which has room for a part of it.
    assert store.path("net").read_text() == json.dumps(rows[0]) + "\n"
    disk.empty()

    again = RecordStore(disk.folder, ["net"])
    again.add(rows[2])
    assert again.rows("net") == [rows[0], rows[2]]


def test_line_that_a_device_refuses_is_named():
    with pytest.raises(RecordError, match=r"^/dev/full cannot be written: No space"):
        append_json_line("/dev/full", {"a": 1})


def test_full_disk_leaves_no_dataset(disk, monkeypatch):
    fill_before(monkeypatch, disk, dataset_builder, "write_json_atomically")
    said = contextlib.redirect_stdout(io.StringIO())
    with pytest.raises(RoadSenseError, match=disk.reason) as caught, said:
        generate(["--output_dir", str(disk.folder / "d"), "--train_count=1", "--eval_count=1",
                  "--quiet"])  # fmt: skip
    check_line(str(caught.value))
    disk.empty()
    assert list(disk.folder.iterdir()) == []
