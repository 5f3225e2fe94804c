"""Whether other processes are still there, and one that holds a folder."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from ml.provenance import REPOSITORY_ROOT

_HOLDER = """
import sys
from ml.folder_lock import locked_folder
with locked_folder(sys.argv[1]):
    print("in", flush=True)
    sys.stdin.read()
"""


def is_running(process_id):
    """Return whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_gone(process_ids):
    deadline_s = time.monotonic() + 20.0
    while any(map(is_running, process_ids)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return not any(map(is_running, process_ids))


def children_of(process_id):
    """Return the ids of a process's children."""
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@contextmanager
def another_holder(folder):
    """Let another process hold a folder's lock during the block, and kill it then."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder)], cwd=REPOSITORY_ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()
        process.wait()
