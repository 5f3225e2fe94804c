"""Standard output and standard error that are closed, full, or read by nobody; and SIGHUP."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ml.command_line import LenientStream
from ml.folder_lock import locked_folder
from ml.provenance import REPOSITORY_ROOT
from ml.tests.faulty_trainings import SHORT, temporary_files
from ml.tests.processes import children_of, wait_until_gone

pytestmark = [pytest.mark.integration]

TRAINING = [sys.executable, "-m", "ml.training.train_convoy", *SHORT, "--n_envs=2",
            "--skip_baselines", "--eval_episodes=1"]  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}


def test_what_nobody_can_read_any_more_goes_nowhere():
    with Path("/dev/full").open("w") as full:
        stream = LenientStream(full)
        assert stream.write("x" * 100_000) == 100_000
        stream.write("training: 50/100\n")
        stream.flush()
        assert Path(f"/proc/self/fd/{full.fileno()}").readlink() == Path("/dev/null")
        assert stream.isatty() is False


@pytest.mark.slow_suite
@pytest.mark.parametrize(
    ("streams", "status", "end"),
    [(">&-", 0, "complete"), ("2>&-", 0, "complete"), ("<&- >&- 2>&-", 0, "complete"),
     ("2>/dev/full", 0, "complete"), (">/dev/full", 1, "failed"), ("> >(exec true)", 1, "failed"),
     ("2> >(exec true)", 0, "complete")],
)  # fmt: skip
def test_training_ends_as_its_streams_let_it(streams, status, end, tmp_path):
    wait = 'sleep 1; exec "$@"'  # so that who was to read is gone
    found = subprocess.run(
        ["/bin/bash", "-c", f"bash -c '{wait}' - \"$@\" {streams}", "-", *TRAINING,
         f"--output_dir={tmp_path / 'r'}"],
        cwd=REPOSITORY_ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == status, found.stderr
    assert len(found.stderr.splitlines()) <= 1
    assert "Traceback" not in found.stderr
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["status"] == end
    assert temporary_files(tmp_path / "r") == []


@pytest.mark.slow_suite
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_training_that_is_gone_leaves_whole_files_no_process_and_no_lock(
    number, tmp_path, start_interruptible
):
    folder = tmp_path / "r"
    training = start_interruptible(
        [*TRAINING, f"--output_dir={folder}", "--total_timesteps=1000000"],
        cwd=REPOSITORY_ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(600):
        if (folder / "progress.jsonl").exists() or training.poll() is not None:
            break
        time.sleep(0.1)
    children = children_of(training.pid)
    training.send_signal(number)
    training.communicate(timeout=60)

    assert training.returncode != 0
    assert len(children) >= 2
    assert wait_until_gone(children)
    with locked_folder(folder):
        pass
    *rows, last = (folder / "progress.jsonl").read_text().split("\n")
    assert last == ""
    assert all(json.loads(row)["steps"] > 0 for row in rows)
    json.loads((folder / "manifest.json").read_text())
