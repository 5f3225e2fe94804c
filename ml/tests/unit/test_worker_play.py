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
    """Return everything that a step says; what it says of the end only where an episode ended."""
    ended = [row for row, info in enumerate(step.final_infos) if info is not None]
    return [
        {key: rows.tolist() for key, rows in step.observations.items()},
        step.rewards.tolist(), step.terminated.tolist(), step.truncated.tolist(),
        [step.final_observations["count"][row].tolist() for row in ended],
        [step.final_infos[row] for row in ended],
    ]  # fmt: skip


def played_lists(steps):
    """Return the same of each step of a play."""
    ends = [
        [end for (number, _), end in steps.ends.items() if number == step]
        for step in range(len(steps.rewards))
    ]
    return [
        [
            {key: rows[step + 1].tolist() for key, rows in steps.observations.items()},
            steps.rewards[step].tolist(), steps.terminated[step].tolist(),
            steps.truncated[step].tolist(),
            [end.observation["count"].tolist() for end in ends[step]],
            [end.info for end in ends[step]],
        ]
        for step in range(len(steps.rewards))
    ]  # fmt: skip


class TestPlay:
    def test_play_leads_where_its_steps_lead(self, open_workers):
        alone, together = open_workers(), open_workers()
        alone.reset()
        together.reset()

        expected = stepped(alone)
        steps, kept = played(together)

        assert played_lists(steps) == expected
        assert [row["seen"].tolist() for row in kept] == [SEEN, SEEN]
        # Index 1, episode 1, step 2: 100 + 10 + 2, and (8 + 4) / 64.
        assert steps.rewards[4, 1] == 112.1875

    def test_plays_and_steps_go_on_from_one_another(self, open_workers):
        alone, together = open_workers(), open_workers()
        alone.reset()
        together.reset()
        expected = stepped(alone)

        first, _ = played(together, 0, 4)
        middle = as_lists(together.step(TABLES[:, 4]))
        last, _ = played(together, 5, 8)

        found = [*played_lists(first), middle, *played_lists(last)]
        assert found == expected

    def test_next_episode_can_be_chosen_before_a_play(self, open_workers):
        workers = open_workers()
        workers.reset()
        workers.next_episodes[:] = [7, 9]

        steps, _ = played(workers)

        assert steps.observations["count"][3::3, :, 0].tolist() == [[7, 9], [8, 10]]


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

        assert played_lists(steps) == played_lists(expected)
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

        assert played_lists(steps) == played_lists(played(fine)[0])
        assert (workers.counts.lost, workers.counts.replayed_steps) == (1, 0)

    def test_grown_worker_is_replaced_within_a_play(self, open_workers):
        grown, fine = open_workers(Supervision(memory_growth_limit_mb=-1.0)), open_workers()
        grown.reset()
        fine.reset()

        steps, kept = played(grown)
        expected, seen = played(fine)

        assert played_lists(steps) == played_lists(expected)
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
    def test_played_rollout_says_what_its_steps_say(self, open_workers):
        alone, together = WorkersVecEnv(open_workers()), WorkersVecEnv(open_workers())
        alone.reset()
        together.reset()

        rollout = together.play(TableActor, [(table,) for table in TABLES], NUM_STEPS)

        assert sorted(rollout.infos) == [2, 5]
        for number, actions in enumerate(TABLES.swapaxes(0, 1)):
            observations, rewards, dones, infos = alone.step(actions)
            steps = rollout.steps
            assert steps.observations["count"][number + 1].tolist() == (
                observations["count"].tolist()
            )
            assert steps.rewards[number].astype(np.float32).tolist() == rewards.tolist()
            assert (steps.terminated | steps.truncated)[number].tolist() == dones.tolist()
            for one, other in zip(rollout.infos.get(number, [{}, {}]), infos, strict=True):
                assert one.keys() == other.keys()
                assert one.get("TimeLimit.truncated") == other.get("TimeLimit.truncated")
                for key in ("r", "l"):
                    assert one.get("episode", {}).get(key) == other.get("episode", {}).get(key)
                assert str(one.get("terminal_observation")) == str(
                    other.get("terminal_observation")
                )
        assert together.play_s > 0.0

    def test_returns_are_counted_on_from_plays_to_steps_and_back(self, open_workers):
        alone, together = WorkersVecEnv(open_workers()), WorkersVecEnv(open_workers())
        alone.reset()
        together.reset()
        expected = [alone.step(actions)[3] for actions in TABLES.swapaxes(0, 1)]

        together.play(TableActor, [(table[:1],) for table in TABLES], 1)
        together.step(TABLES[:, 1])
        rollout = together.play(TableActor, [(table[2:],) for table in TABLES], NUM_STEPS - 2)

        returns = [[info["episode"]["r"] for info in rollout.infos[step]] for step in (0, 3)]
        assert returns == [[info["episode"]["r"] for info in expected[step]] for step in (2, 5)]
