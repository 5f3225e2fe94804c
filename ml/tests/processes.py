"""Whether other processes are still there."""

import time
from pathlib import Path


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
