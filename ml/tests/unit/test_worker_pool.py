"""Tests of ml.envs.worker_pool and worker_process: what is lost is replaced, none is left over."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ml.envs.supervision import Supervision
from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ConfigError, SimulatorError
from ml.provenance import REPOSITORY_ROOT
from ml.tests.processes import is_running, wait_until_gone
from ml.tests.unit.counting_env import CountingEnv

ACTIONS = np.array([[0.5], [0.25]], np.float32)


@pytest.fixture
def open_workers():
    opened = []

    def open_two(supervision=None, **kwargs):
        workers = ConvoyWorkers(2, kwargs, environment=CountingEnv, supervision=supervision)
        opened.append(workers)
        return workers

    yield open_two
    for workers in opened:
        workers.close()


def rewards_of(workers, num_steps):
    workers.reset()
    return [workers.step(ACTIONS).rewards.tolist() for _ in range(num_steps)]


# Index 0: 10 x episode + step + 0.5; index 1: 100 more, and 0.25 in place of 0.5.
SEVEN_STEPS = [
    [1.5, 101.25], [2.5, 102.25], [3.5, 103.25],
    [11.5, 111.25], [12.5, 112.25], [13.5, 113.25],
    [21.5, 121.25],
]  # fmt: skip


class TestReplacement:
    def test_dead_worker_is_replaced_and_its_episode_replayed(self, open_workers, tmp_path):
        workers = open_workers(mode="killed", marker=str(tmp_path / "once"))
        first_ids = workers.process_ids
        assert rewards_of(workers, 7) == SEVEN_STEPS
        # It died in step 2 of its episode, so both were played again.
        assert workers.counts.as_dict() == {
            "lost": 1, "hung": 0, "recycled": 0, "replayed_steps": 2,
        }  # fmt: skip
        assert workers.process_ids[0] == first_ids[0]
        assert wait_until_gone(first_ids[1:])

    @pytest.mark.parametrize("mode", ["stuck", "busy"])
    def test_worker_that_does_not_answer_is_killed_and_replaced(self, open_workers, tmp_path, mode):
        workers = open_workers(
            Supervision(step_limit_s=3.0), mode=mode, marker=str(tmp_path / "once")
        )
        first_ids = workers.process_ids
        assert rewards_of(workers, 7) == SEVEN_STEPS
        assert (workers.counts.hung, workers.counts.lost) == (1, 0)
        assert wait_until_gone(first_ids[1:])

    def test_worker_that_is_lost_again_and_again_is_an_error(self, open_workers):
        workers = open_workers(Supervision(max_restarts=1), mode="killed")
        with pytest.raises(
            SimulatorError,
            match=r"^worker 1 of 2, environment 1, seed 7, episode 1: .*"
            r"Got exit code -9 \(SIGKILL\), also after 1 restarts\.",
        ):
            rewards_of(workers, 7)
        assert workers.counts.lost == 1
        assert wait_until_gone(workers.process_ids)

    def test_grown_worker_is_replaced_between_episodes(self, open_workers):
        workers = open_workers(Supervision(memory_growth_limit_mb=-1.0))
        first_ids = workers.process_ids
        assert rewards_of(workers, 4) == SEVEN_STEPS[:4]
        assert workers.counts.as_dict() == {
            "lost": 0, "hung": 0, "recycled": 2, "replayed_steps": 0,
        }  # fmt: skip
        assert wait_until_gone(first_ids)

    def test_worker_within_its_memory_stays(self, open_workers):
        workers = open_workers()
        rewards_of(workers, 7)
        assert workers.counts.recycled == 0

    def test_worker_that_dies_in_a_reset_is_replaced(self, open_workers):
        workers = open_workers()
        workers.reset()
        os.kill(workers.process_ids[0], signal.SIGKILL)
        observations, infos = workers.reset()
        assert [info["scenario_id"] for info in infos] == ["s1", "s1"]
        assert observations["count"].tolist() == [[1, 0], [1, 0]]
        assert workers.counts.lost == 1

    def test_replayed_episode_keeps_its_seed_and_options(self, open_workers):
        workers = open_workers()
        workers.reset([{"episode_index": 8}, None], seeds=[3, 4])
        workers.step(ACTIONS)
        for process_id in workers.process_ids:
            os.kill(process_id, signal.SIGKILL)
        step = workers.step(ACTIONS)
        assert step.observations["count"].tolist() == [[8, 2], [0, 2]]
        assert list(workers.call_each(seed_of, [()])) == [(0, 3)]

    @pytest.mark.parametrize(
        ("limits", "message"),
        [({"step_limit_s": 0.0}, "step_limit_s must be > 0"),
         ({"step_limit_s": float("nan")}, "step_limit_s must be > 0"),
         ({"max_restarts": -1}, "max_restarts must be >= 0")],
    )  # fmt: skip
    def test_absurd_limit_is_refused(self, limits, message):
        with pytest.raises(ConfigError, match=message):
            Supervision(**limits)


def seed_of(env):
    return env.master_seed


def count_slowly(env, number):
    time.sleep(0.05 * (number % 2))
    return env.index, number


def die_once(env, marker):
    env.mode, env.marker = "killed", marker
    env._go_wrong()
    return "alive"


def divide(env, number):
    return number / 0


class TestCalls:
    def test_each_call_is_answered_once_by_some_environment(self, open_workers):
        workers = open_workers()
        results = dict(workers.call_each(count_slowly, [(number,) for number in range(9)]))
        assert sorted(results) == list(range(9))
        assert [results[number][1] for number in range(9)] == list(range(9))
        assert {index for index, _ in results.values()} == {0, 1}

    def test_call_of_a_dead_worker_is_made_again(self, open_workers, tmp_path):
        workers = open_workers()
        assert list(workers.call_each(die_once, [(str(tmp_path / "once"),)])) == [(0, "alive")]
        assert workers.counts.lost == 1

    def test_error_in_a_call_names_it(self, open_workers):
        workers = open_workers()
        with pytest.raises(
            SimulatorError, match=r"^worker \d of 2, divide\(4,\) failed with ZeroDivisionError"
        ):
            list(workers.call_each(divide, [(4,)]))
        assert wait_until_gone(workers.process_ids)


PARENT = """
import sys
import numpy as np
from ml.envs.vector_env import ConvoyWorkers
from ml.tests.unit.counting_env import CountingEnv
workers = ConvoyWorkers(2, {"mode": sys.argv[1]}, environment=CountingEnv)
workers.reset()
print(*workers.process_ids, flush=True)
for _ in range(5):
    workers.send(np.zeros((2, 1), np.float32))
    if _ == 4:
        print("hangs", flush=True)
    workers.receive()
"""


@pytest.mark.parametrize("mode", ["stuck", "busy"])
def test_worker_in_the_middle_of_a_step_does_not_outlive_its_parent(mode, start_interruptible):
    parent = start_interruptible(
        [sys.executable, "-c", PARENT, mode],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
        stdout=subprocess.PIPE,
    )
    process_ids = [int(word) for word in parent.stdout.readline().split()]
    assert parent.stdout.readline() == "hangs\n"
    assert all(map(is_running, process_ids))
    parent.kill()
    parent.wait(20)
    assert wait_until_gone(process_ids)


def test_stopped_worker_is_replaced(open_workers):
    workers = open_workers(Supervision(step_limit_s=3.0))
    workers.reset()
    os.kill(workers.process_ids[1], signal.SIGSTOP)
    assert workers.step(ACTIONS).rewards.tolist() == SEVEN_STEPS[0]
    assert workers.counts.hung == 1
