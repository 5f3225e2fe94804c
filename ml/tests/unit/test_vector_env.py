"""Tests of ml.envs.vector_env: several processes behave as one, and fail as one."""

import os
import select
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from ml.envs import worker_pool
from ml.envs.episode_memory import EpisodeSoFar
from ml.envs.vector_env import ConvoyWorkers
from ml.envs.worker_process import ONE_THREAD
from ml.errors import ConfigError, ScenarioError, SimulatorError
from ml.provenance import REPOSITORY_ROOT
from ml.tests.processes import wait_until_gone
from ml.tests.unit.counting_env import CountingEnv

NO_ACTION = np.zeros((2, 1), np.float32)


@pytest.fixture
def open_workers():
    opened = []

    def open_two(mode="fine"):
        opened.append(ConvoyWorkers(2, {"mode": mode}, environment=CountingEnv))
        return opened[-1]

    yield open_two
    for workers in opened:
        workers.close()


class TestSteps:
    def test_each_environment_gets_its_own_index_and_action(self, open_workers):
        workers = open_workers()
        observations, infos = workers.reset()
        assert observations["count"].tolist() == [[0, 0], [0, 0]]
        assert observations["index"].tolist() == [[[0]], [[1]]]
        assert [info["scenario_id"] for info in infos] == ["s0", "s0"]
        step = workers.step(np.array([[0.5], [0.25]], np.float32))
        # Index 0: 0 + 0 + 1 + 0.5; index 1: 100 + 0 + 1 + 0.25.
        assert step.rewards.tolist() == [1.5, 101.25]
        assert step.final_infos == [None, None]

    def test_end_of_an_episode_comes_with_the_beginning_of_the_next(self, open_workers):
        workers = open_workers()
        workers.reset([{"episode_index": 4}, {"episode_index": 7}])
        for _ in range(2):
            assert not workers.step(NO_ACTION).truncated.any()
        step = workers.step(NO_ACTION)
        assert step.terminated.tolist() == [False, True]  # odd episodes collide
        assert step.truncated.tolist() == [True, True]
        assert step.final_observations["count"].tolist() == [[4, 3], [7, 3]]
        assert step.observations["count"].tolist() == [[5, 0], [8, 0]]
        assert [info["episode_record"]["episode_index"] for info in step.final_infos] == [4, 7]
        assert all("reward_terms" not in info for info in step.final_infos)

    def test_indices_can_be_given(self):
        with ConvoyWorkers(2, {}, environment=CountingEnv, environment_indices=[5, 5]) as workers:
            observations, _ = workers.reset()
            assert observations["index"].ravel().tolist() == [5, 5]

    @pytest.mark.parametrize("num_envs", [0, 65])
    def test_absurd_number_of_environments_is_refused(self, num_envs):
        with pytest.raises(ConfigError, match=r"num_envs must be in \[1, 64\]"):
            ConvoyWorkers(num_envs, {})

    def test_workers_compute_with_one_thread(self):
        assert set(ONE_THREAD.values()) == {"1"}
        assert "NUMBA_NUM_THREADS" in ONE_THREAD


class TestFailures:
    def run_into_it(self, workers):
        workers.reset()
        for _ in range(5):
            workers.step(NO_ACTION)

    def test_refusal_at_the_start_is_the_same_error_and_leaves_no_process(self):
        with pytest.raises(ScenarioError, match=r"nothing here\. Go elsewhere\."):
            ConvoyWorkers(2, {"mode": "refuse"}, environment=CountingEnv)

    def test_environment_that_cannot_be_imported_is_an_error_of_the_parent(self, capfd):
        local = type("Local", (CountingEnv,), {"__module__": "nowhere_to_be_found"})
        sys.modules["nowhere_to_be_found"] = types.SimpleNamespace(Local=local)
        try:
            with pytest.raises(SimulatorError, match="worker 0 of 2 failed with ModuleNotFound"):
                ConvoyWorkers(2, {}, environment=local)
        finally:
            del sys.modules["nowhere_to_be_found"]
        assert capfd.readouterr().err == ""

    def test_error_of_ours_arrives_as_itself_with_worker_and_episode(self, open_workers, capfd):
        workers = open_workers("scenario")
        with pytest.raises(ScenarioError) as caught:
            self.run_into_it(workers)
        assert str(caught.value) == (
            "worker 1 of 2, environment 1, seed 7, episode 1, scenario s1, step 2: "
            "road.xml must have a lane. Got none. Draw one."
        )
        assert "in _go_wrong" in caught.value.__notes__[0]  # for --debug
        assert capfd.readouterr().err == ""
        assert wait_until_gone(workers.process_ids)

    def test_other_error_is_a_simulator_error_with_type_and_message(self, open_workers, capfd):
        workers = open_workers("bug")
        with pytest.raises(SimulatorError, match="ZeroDivisionError: division by zero"):
            self.run_into_it(workers)
        assert capfd.readouterr().err == ""

    def test_closed_workers_refuse_to_step(self, open_workers):
        workers = open_workers()
        workers.reset()
        workers.close()
        workers.close()
        with pytest.raises(ConfigError, match="workers must be open"):
            workers.step(NO_ACTION)
        assert wait_until_gone(workers.process_ids)

    def test_worker_that_does_not_notice_is_killed(self, open_workers, monkeypatch):
        monkeypatch.setattr(worker_pool, "_STOP_LIMIT_S", 0.2)
        workers = open_workers("stuck")
        workers.reset()
        for _ in range(4):
            workers.step(NO_ACTION)
        workers.send(NO_ACTION)
        bell = workers._pool._workers[1]._command_bell.waiting
        while select.select([bell], [], [], 0.0)[0]:
            time.sleep(0.01)
        workers.close()  # worker 1 has heard the bell and sleeps for a minute now
        assert wait_until_gone(workers.process_ids)
        assert workers._pool._workers[1].return_code == -signal.SIGKILL


PARENT = """
import sys, time
import numpy as np
from ml.envs.episode_memory import EpisodeSoFar
from ml.envs.vector_env import ConvoyWorkers
from ml.tests.unit.counting_env import CountingEnv
workers = ConvoyWorkers(2, {}, environment=CountingEnv)
workers.reset()
try:
    print(*workers.process_ids, flush=True)
    while True:
        workers.step(np.zeros((2, 1), np.float32))
except KeyboardInterrupt:
    workers.close()
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("number", "whole_group", "code"),
    [(signal.SIGKILL, False, -9), (signal.SIGTERM, False, -15), (signal.SIGINT, True, 130)],
)
def test_no_worker_outlives_its_parent(number, whole_group, code, start_interruptible):
    parent = start_interruptible(
        [sys.executable, "-c", PARENT],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process_ids = [int(word) for word in parent.stdout.readline().split()]
    assert len(process_ids) == 2
    # A terminal sends Ctrl-C to the whole foreground group.
    (os.killpg if whole_group else os.kill)(parent.pid, number)
    assert parent.wait(20) == code
    assert wait_until_gone(process_ids)
    assert parent.stderr.read() == ""


def test_workers_do_not_import_the_main_module(tmp_path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "print('main is imported')\n"
        "from ml.envs.vector_env import ConvoyWorkers\n"
        "from ml.tests.unit.counting_env import CountingEnv\n"
        "ConvoyWorkers(2, {}, environment=CountingEnv).close()\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "main is imported\n", "")


class TestGoingOn:
    """Episodes that were begun elsewhere, of different lengths."""

    EPISODES = (
        EpisodeSoFar(7, 4, None, np.array([[0.5], [0.25]], np.float32)),
        EpisodeSoFar(7, 8, None, np.array([[0.125]], np.float32)),
    )

    def test_environments_are_where_the_episodes_had_come_to(self, open_workers):
        workers = open_workers()
        assert workers.go_on(self.EPISODES)["count"].tolist() == [[4, 2], [8, 1]]
        step = workers.step(NO_ACTION)
        assert step.rewards.tolist() == [43.0, 182.0]  # 10 x 4 + 3; 100 + 10 x 8 + 2
        assert step.observations["count"].tolist() == [[5, 0], [8, 2]]

    def test_episodes_so_far_are_those_that_they_went_on_with(self, open_workers):
        workers = open_workers()
        workers.go_on(self.EPISODES)
        workers.step(np.array([[0.0], [0.75]], np.float32))
        ended, other = workers.episodes_so_far()
        assert (ended.seed, ended.index, ended.actions) == (7, 5, None)
        assert (other.seed, other.index, other.actions.tolist()) == (7, 8, [[0.125], [0.75]])

    def test_worker_lost_later_comes_to_the_same_place(self, open_workers):
        workers = open_workers()
        workers.go_on(self.EPISODES)
        os.kill(workers.process_ids[1], signal.SIGKILL)
        step = workers.step(NO_ACTION)
        assert step.rewards.tolist() == [43.0, 182.0]
        assert (workers.counts.lost, workers.counts.replayed_steps) == (1, 2)

    @pytest.mark.parametrize("num_steps", [3, 4])
    def test_episode_that_ends_before_is_an_error(self, open_workers, num_steps):
        ended = EpisodeSoFar(7, 4, None, np.zeros((num_steps, 1), np.float32))
        with pytest.raises(SimulatorError, match=r"must (go on after|last)"):
            open_workers().go_on([ended, self.EPISODES[1]])
