"""Fixtures that several tests share: datasets made once per session, commands to interrupt."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
from pathlib import Path

import hypothesis
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.provenance import REPOSITORY_ROOT
from ml.scripts.gen_scenarios import main as generate
from ml.tests.browsers import opened_browser
from ml.tests.full_disks import lift_limit

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("no_deadline", deadline=None)
hypothesis.settings.load_profile("no_deadline")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Let pytest itself write what came of a test, its output being a file or not."""
    try:
        return (yield)
    finally:
        lift_limit()


@pytest.fixture
def make_env():
    """Make environments that are closed at the end of the test."""
    with contextlib.ExitStack() as opened:

        def make(**arguments):
            env = ConvoyEnv(**arguments)
            opened.callback(env.close)
            return env

        yield make


@pytest.fixture
def start_interruptible():
    """Start commands that Ctrl-C reaches even where this process ignores it; none is left over.

    A shell that starts a job in the background makes it and its children ignore SIGINT.
    """
    processes = []

    def start(arguments, **options):
        process = subprocess.Popen(
            arguments,
            text=True,
            stderr=subprocess.PIPE,
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            **options,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser():
    """A headless browser; the test is skipped where there is none."""
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def base_cfg() -> Path:
    """The base scenario: the ego and four peers at 20 m/s."""
    return REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"


def generate_dataset(folder: Path, seed: int, scenarios_per_split: int) -> Path:
    """Generate a dataset from the base road and return its folder."""
    count = str(scenarios_per_split)
    generate(
        ["--output_dir", str(folder), "--seed", str(seed), "--train_count", count,
         "--eval_count", count, "--quiet"]
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 18 training and 18 evaluation scenarios, every convoy size twice in each."""
    return generate_dataset(tmp_path_factory.mktemp("datasets") / "small", 5, 18)


@pytest.fixture(scope="session")
def large_dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 90 scenarios in each split."""
    return generate_dataset(tmp_path_factory.mktemp("datasets") / "large", 3, 90)
