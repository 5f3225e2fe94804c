"""A training that is killed at any moment goes on, and ends as one that was never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ml.provenance import REPOSITORY_ROOT
from ml.tests.saved_runs import content_of, differences
from ml.training.run_state import state_folders

pytestmark = [pytest.mark.integration, pytest.mark.slow_suite, pytest.mark.timeout(1200)]

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
KINDS = [("fast", 1), ("fast", 2), ("sb3", 1), ("sb3", 2)]
drawn = random.Random(19)  # noqa: S311 - moments to kill at


def flags_of(learner, num_envs, folder):
    """8 rollouts; a state every second one; the policy is judged twice, and evaluated."""
    return [
        "--learner", learner, "--n_envs", str(num_envs), "--total_timesteps", "1024",
        "--n_steps", "128", "--checkpoint_interval", "256", "--dev_interval", "512",
        "--dev_episodes", "1", "--eval_episodes", "2", "--skip_baselines", "--quiet",
        "--run_id", "r", "--output_dir", str(folder),
    ]  # fmt: skip


def run(module, *arguments):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY_ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def train(*arguments):
    return run("ml.training.train_convoy", *arguments)


def way_on(flags, folder):
    """Return the flags to go on with: from a state, or from the beginning where there is none."""
    is_begun = state_folders(folder / "checkpoints") or (folder / "model_final.zip").exists()
    return ["--resume", str(folder), "--quiet"] if is_begun else [*flags, "--overwrite"]


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """Runs that were never stopped, made when they are asked for."""
    made = {}

    def whole_run(learner, num_envs):
        if (learner, num_envs) not in made:
            folder = tmp_path_factory.mktemp("whole") / "run"
            result = train(*flags_of(learner, num_envs, folder))
            assert result.returncode == 0, result.stderr
            made[learner, num_envs] = content_of(folder)
        return made[learner, num_envs]

    return whole_run


def some_steps(num_envs):
    """Return a number of calls, within the 256 steps up to the next state."""
    return drawn.randint(1, 256 // num_envs)


STEPS = [("step", None), ("rollout", 4), ("step", None), ("update", 3), ("step", None),
         ("training_end", 1)]  # fmt: skip
WRITES = [("half_arrays", 1), ("half_state", 3), ("rename", 2), ("fsync", 9), ("half_row", 2),
          ("replay", 1), ("half_model", 1)]  # fmt: skip
RESUMING = [("rollout", 4), ("remove", 1), ("cut_back", 1), ("truncate", 1), ("restore", 1),
            ("development", 1), ("rmtree", 1), ("unlink", 1), ("replace", 2),
            ("half_model", 2)]  # fmt: skip
MANIFEST = [("rollout", 6), ("fsync", 1), ("fsync", 4), ("rename", 1), ("row", 2), ("replace", 1),
            ("replace", 3)]  # fmt: skip
CHAINS = [
    *((learner, num_envs, STEPS) for learner, num_envs in KINDS),
    ("fast", 1, WRITES),
    ("sb3", 2, WRITES),
    ("fast", 2, RESUMING),
    ("sb3", 1, MANIFEST),
]
"""Where each process of a run is killed; None: at a step of random number."""


@pytest.mark.parametrize(("learner", "num_envs", "events"), CHAINS)
def test_training_killed_again_and_again_ends_as_if_it_had_not_been(
    whole_runs, tmp_path, learner, num_envs, events
):
    folder = tmp_path / "run"
    flags = flags_of(learner, num_envs, folder)
    for event, count in events:
        started = way_on(flags, folder)
        number = count or some_steps(num_envs)
        result = run("ml.tests.killed_training", event, str(number), *started)
        kept = list(state_folders(folder / "checkpoints"))
        print(f"killed at {event} {number} after {started[0]}; states then: {kept}")  # noqa: T201
        assert result.returncode == -signal.SIGKILL, result.stderr

    result = train(*way_on(flags, folder))

    assert result.returncode == 0, result.stderr
    assert differences(whole_runs(learner, num_envs), content_of(folder)) == []
    assert [path.name for path in folder.rglob(".*")] == [".lock"]
    assert json.loads((folder / "manifest.json").read_text())["status"] == "complete"


def start(start_interruptible, module, arguments):
    return start_interruptible(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY_ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


NOTICE = "stopping after this iteration; a second signal stops at once"
MOMENTS = {"update": (3, [NOTICE], 384), "development": (1, [], 512)}
"""Which call of what the signal comes at, what is said, and the steps of the newest state then."""


@pytest.mark.parametrize(
    ("number", "learner", "event"),
    [
        (signal.SIGINT, "sb3", "update"),
        (signal.SIGTERM, "fast", "update"),
        (signal.SIGTERM, "fast", "development"),
    ],
)
def test_signal_to_every_process_saves_a_state_and_the_run_ends_the_same(
    whole_runs, tmp_path, start_interruptible, number, learner, event
):
    folder = tmp_path / "run"
    count, said, newest = MOMENTS[event]
    arguments = [f"{event}:{number.name}", str(count), *flags_of(learner, 2, folder)]
    process = start(start_interruptible, "ml.tests.killed_training", arguments)
    _, error = process.communicate(timeout=600)
    assert (process.returncode, error.splitlines()) == (
        128 + number,
        [*said, f"interrupted; go on with --resume {folder}"],
    )
    # No worker was lost: they leave both signals to their parent.
    states = state_folders(folder / "checkpoints")
    assert max(states) == newest
    state = json.loads((states[newest] / "state.json").read_text())
    assert state["content"]["workers"] == {
        "lost": 0, "hung": 0, "recycled": 0, "replayed_steps": 0,
    }  # fmt: skip

    result = train("--resume", str(folder), "--quiet")

    assert result.returncode == 0, result.stderr
    assert differences(whole_runs(learner, 2), content_of(folder)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_the_imitation_ends_at_once(tmp_path, start_interruptible, number):
    folder = tmp_path / "run"
    flags = [*flags_of("fast", 2, folder), "--imitation_episodes", "400"]
    process = start(start_interruptible, "ml.training.train_convoy", flags)
    while not (folder / "manifest.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    (line,) = error.splitlines()
    assert process.returncode == 128 + number
    assert line == "interrupted before a state was saved; begin again with --overwrite"
