"""A clock that is set while a training runs."""

import json
import time
from datetime import datetime, timedelta

import pytest

from ml import records
from ml.tests.faulty_trainings import run_training
from ml.training.callbacks import ProgressCallback

pytestmark = [pytest.mark.integration]


class Clock(datetime):
    """The time as a clock shows that is wrong by an offset."""

    offset = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.offset


@pytest.fixture
def set_clock(monkeypatch):
    """Let the clock be set at the end of the first rollout."""

    def set_by(offset):
        real_s, real_ns, write = time.time, time.time_ns, ProgressCallback._write_row
        monkeypatch.setattr(Clock, "offset", timedelta())
        monkeypatch.setattr(records, "datetime", Clock)
        monkeypatch.setattr(time, "time", lambda: real_s() + Clock.offset.total_seconds())
        monkeypatch.setattr(
            time, "time_ns", lambda: real_ns() + int(Clock.offset.total_seconds() * 1e9)
        )

        def write_and_set(progress):
            Clock.offset = offset
            write(progress)

        monkeypatch.setattr(ProgressCallback, "_write_row", write_and_set)

    return set_by


@pytest.mark.parametrize("hours", [-1, 24])
def test_clock_that_is_set_moves_the_stamps_and_nothing_else(hours, set_clock, tmp_path):
    set_clock(timedelta(hours=hours))
    assert run_training(tmp_path / "r", "--n_envs=1", "--total_timesteps=64") == (0, "")

    manifest = json.loads((tmp_path / "r" / "manifest.json").read_text())
    begun, ended = (
        datetime.fromisoformat(manifest[name]) for name in ("created_at", "finished_at")
    )
    assert abs(ended - begun - timedelta(hours=hours)) < timedelta(minutes=50)
    rows = [json.loads(row) for row in (tmp_path / "r" / "progress.jsonl").read_text().splitlines()]
    times_s = [row["time_s"] for row in rows]
    assert len(times_s) == 4
    assert times_s == sorted(times_s)
    assert 0.0 < times_s[0] < times_s[-1] < 3000.0
