"""Tests of ml.training.stopping: a request waits where it may, and is raised elsewhere."""

import functools
import os
import signal
import subprocess
import sys
import threading

import pytest

from ml.command_line import StoppedBySignal, run_command
from ml.provenance import REPOSITORY_ROOT
from ml.training import stopping
from ml.training.stopping import StopRequest, signals_raised


@pytest.fixture(autouse=True)
def usual_handlers():
    """Let SIGINT do what it does in a terminal, however this process was started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_request_waits_where_it_may(number, capfd):
    with StopRequest() as stop:
        stop.let_wait()
        send(number)
        assert stop.number == number
    assert (
        capfd.readouterr().err == "stopping after this iteration; a second signal stops at once\n"
    )
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_request_is_raised_where_it_may_not_wait(number):
    with StopRequest() as stop, pytest.raises(StoppedBySignal) as stopped:
        stop.let_wait()
        stop.raise_at_once()
        send(number)
    assert stopped.value.number == number


def test_second_request_is_raised():
    with StopRequest() as stop, pytest.raises(StoppedBySignal) as stopped:
        stop.let_wait()
        send(signal.SIGTERM)
        send(signal.SIGINT)
    assert stopped.value.number == signal.SIGINT


def test_request_that_has_waited_too_long_is_raised_with_its_own_number(monkeypatch):
    monkeypatch.setattr(stopping, "GRACE_S", 0.01)
    with StopRequest() as stop, pytest.raises(StoppedBySignal) as stopped:
        stop.let_wait()
        send(signal.SIGTERM)
        threading.Event().wait(30.0)
    assert stopped.value.number == signal.SIGTERM


def test_former_handlers_come_back():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with StopRequest(), signals_raised():
        pass
    after = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    assert after == before


def test_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopRequest() as stop:
        send(signal.SIGINT)
        assert stop.number is None


def test_other_threads_leave_the_handlers_alone():
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look():
        with StopRequest():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_raised(number):
    with signals_raised(), pytest.raises(StoppedBySignal) as stopped:
        send(number)
    assert stopped.value.number == number


def test_command_ends_with_its_status_also_where_a_text_of_code_was_interrupted():
    code = """
import os, signal
from ml.command_line import run_command
from ml.training.stopping import signals_raised

def main():
    with signals_raised():
        exec("os.kill(os.getpid(), signal.SIGINT); [None for _ in range(1000)]")

run_command(main)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY_ROOT,
        check=False,
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert result.returncode == 130


@pytest.mark.parametrize(
    ("stop", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (StoppedBySignal(signal.SIGINT, "go on"), 130, "go on\n"),
        (StoppedBySignal(signal.SIGTERM), 143, "interrupted\n"),
    ],
)
def test_command_ends_with_the_status_of_its_signal(stop, status, said, capsys):
    def interrupted():
        raise stop

    with pytest.raises(SystemExit) as ended:
        run_command(interrupted)
    assert (ended.value.code, capsys.readouterr().err) == (status, said)
