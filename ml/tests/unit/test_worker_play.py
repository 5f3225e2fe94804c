"""Tests of plays: many steps of each environment without a message for each."""

import os
import signal

import numpy as np
import pytest

from ml.envs.supervision import Supervision
from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ScenarioError, SimulatorError
from ml.tests.processes import wait_until_gone
from ml.tests.unit.counting_env import CountingEnv
from ml.training.vector_adapter import WorkersVecEnv


class TableActor:
    """Acts as a table says, and keeps what it saw: episode and step of the environment."""

    def __init__(self, table):
        self.table = table
        self.seen = np.zeros((len(table), 2))

    def act(self, observation, step):
        self.seen[step] = observation["count"]
        return self.table[step]

    def result(self):
        return {"seen": self.seen}


NUM_STEPS = 8
TABLES = np.arange(2 * NUM_STEPS, dtype=np.float32).reshape(2, NUM_STEPS, 1) / 64.0
# Episodes of three steps: episode and step before each of eight steps.
SEEN = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1]]


@pytest.fixture
def open_workers():
    opened = []

    def open_two(supervision=None, **kwargs):
        opened.append(ConvoyWorkers(2, kwargs, environment=CountingEnv, supervision=supervision))
        return opened[-1]

    yield open_two
    for workers in opened:
        workers.close()


def played(workers, first=0, end=NUM_STEPS):
    tables = [(table[first:end],) for table in TABLES]
    return workers.play(TableActor, tables, end - first)


def stepped(workers):
    """Return copies of what each step leads to, one message at a time."""
    steps = []
    for actions in TABLES.swapaxes(0, 1):
        step = workers.step(actions)
        steps.append(as_lists(step))
    return steps


def as_lists(step):
    """Return everything that a step says; final observations only where an episode ended."""
    ended = [row for row, info in enumerate(step.final_infos) if info is not None]
    return [
        {key: rows.tolist() for key, rows in step.observations.items()},
        step.rewards.tolist(), step.terminated.tolist(), step.truncated.tolist(),
        [step.final_observations["count"][row].tolist() for row in ended],
        step.final_infos, step.next_infos,
    ]  # fmt: skip


class TestPlay:
    def test_play_leads_where_its_steps_lead(self, open_workers):
        alone, together = open_workers(), open_workers()
        alone.reset()
        together.reset()

        expected = stepped(alone)
        steps, kept = played(together)

        assert [as_lists(step) for step in steps] == expected
        assert [row["seen"].tolist() for row in kept] == [SEEN, SEEN]
        # Index 1, episode 1, step 2: 100 + 10 + 2, and (8 + 4) / 64.
        assert steps[4].rewards[1] == 112.1875

    def test_plays_and_steps_go_on_from_one_another(self, open_workers):
        alone, together = open_workers(), open_workers()
        alone.reset()
        together.reset()
        expected = stepped(alone)

        first, _ = played(together, 0, 4)
        middle = as_lists(together.step(TABLES[:, 4]))
        last, _ = played(together, 5, 8)

        found = [as_lists(step) for step in first] + [middle] + [as_lists(step) for step in last]
        assert found == expected

    def test_next_episode_can_be_chosen_before_a_play(self, open_workers):
        workers = open_workers()
        workers.reset()
        workers.next_episodes[:] = [7, 9]

        steps, _ = played(workers)

        assert [step.observations["count"][:, 0].tolist() for step in steps[2::3]] == [
            [7, 9], [8, 10],
        ]  # fmt: skip


class TestReplacement:
    def test_worker_that_dies_in_a_play_is_replaced(self, open_workers, tmp_path):
        workers = open_workers(mode="killed", marker=str(tmp_path / "once"))
        fine = open_workers()
        workers.reset()
        fine.reset()
        as_lists(workers.step(TABLES[:, 0]))
        as_lists(fine.step(TABLES[:, 0]))

        steps, kept = played(workers, 1)
        expected, seen = played(fine, 1)

        assert [as_lists(step) for step in steps] == [as_lists(step) for step in expected]
        assert [row["seen"].tolist() for row in kept] == [row["seen"].tolist() for row in seen]
        # It died in step 2 of episode 1, and took up the step before the play again.
        assert workers.counts.as_dict() == {
            "lost": 1, "hung": 0, "recycled": 0, "replayed_steps": 1,
        }  # fmt: skip

    def test_worker_that_died_before_a_play_is_replaced(self, open_workers):
        workers, fine = open_workers(), open_workers()
        workers.reset()
        fine.reset()
        os.kill(workers.process_ids[0], signal.SIGKILL)
        assert wait_until_gone(workers.process_ids[:1])

        steps, _ = played(workers)

        assert [as_lists(step) for step in steps] == [as_lists(step) for step in played(fine)[0]]
        assert (workers.counts.lost, workers.counts.replayed_steps) == (1, 0)

    def test_grown_worker_is_replaced_within_a_play(self, open_workers):
        grown, fine = open_workers(Supervision(memory_growth_limit_mb=-1.0)), open_workers()
        grown.reset()
        fine.reset()

        steps, kept = played(grown)
        expected, seen = played(fine)

        assert [as_lists(s)[:5] for s in steps] == [as_lists(s)[:5] for s in expected]
        assert [row["seen"].tolist() for row in kept] == [row["seen"].tolist() for row in seen]
        # Two episodes of each environment end within eight steps.
        assert grown.counts.recycled == 4
        assert as_lists(grown.step(TABLES[:, 0])) == as_lists(fine.step(TABLES[:, 0]))

    def test_error_in_a_play_names_worker_episode_and_step(self, open_workers):
        workers = open_workers(mode="scenario")
        workers.reset()

        with pytest.raises(ScenarioError) as caught:
            played(workers)

        assert str(caught.value).startswith(
            "worker 1 of 2, environment 1, seed 7, episode 1, scenario s1, step 2: road.xml"
        )
        assert wait_until_gone(workers.process_ids)

    def test_worker_lost_in_every_play_is_an_error(self, open_workers):
        workers = open_workers(Supervision(max_restarts=1), mode="killed")
        workers.reset()

        with pytest.raises(
            SimulatorError, match=r"^worker 1 of 2, environment 1, seed 7: .*SIGKILL"
        ):
            played(workers)


class TestAdapter:
    def test_steps_that_were_played_are_given_out_one_by_one(self, open_workers):
        alone, together = WorkersVecEnv(open_workers()), WorkersVecEnv(open_workers())
        alone.reset()
        together.reset()
        together.play(TableActor, [(table,) for table in TABLES], NUM_STEPS)

        for actions in TABLES.swapaxes(0, 1):
            expected, found = alone.step(actions), together.step(actions)
            assert found[0]["count"].tolist() == expected[0]["count"].tolist()
            assert found[1].tolist() == expected[1].tolist()
            assert found[2].tolist() == expected[2].tolist()
            for one, other in zip(found[3], expected[3], strict=True):
                assert one.keys() == other.keys()
                assert one.get("TimeLimit.truncated") == other.get("TimeLimit.truncated")
                assert one.get("episode", {}).get("r") == other.get("episode", {}).get("r")
                assert str(one.get("terminal_observation")) == str(
                    other.get("terminal_observation")
                )
        assert together.play_s > 0.0
        # What comes next is a step of its own again.
        assert together.step(TABLES[:, 0])[1].tolist() == alone.step(TABLES[:, 0])[1].tolist()
