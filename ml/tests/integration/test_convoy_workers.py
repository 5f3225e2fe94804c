"""Convoys in processes of their own on the real simulator: what they are when they are alone."""

import os
import signal

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.supervision import Supervision
from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ScenarioError
from ml.training.development import DevelopmentEpisodes

pytestmark = [pytest.mark.integration]

NUM_STEPS = 150


def copied(observation):
    return {key: np.array(value) for key, value in observation.items()}


def trace_of_workers(kwargs, actions):
    """Return what two workers see: per step observations, rewards, flags and final observations."""
    with ConvoyWorkers(2, kwargs) as workers:
        observations, _ = workers.reset()
        rows = [(copied(observations), None, None, None, None)]
        for action in actions:
            step = workers.step(action)
            has_ended = step.terminated | step.truncated
            rows.append(
                (copied(step.observations), step.rewards.copy(), step.terminated.copy(),
                 step.truncated.copy(), copied(step.final_observations) if any(has_ended) else None)
            )  # fmt: skip
        return rows


def test_environment_in_a_worker_is_bit_for_bit_what_it_is_alone(dataset_dir):
    kwargs = {"dataset_dir": str(dataset_dir), "scenario_seed": 3, "max_steps": 40}
    actions = np.random.default_rng(1).uniform(-1, 1, (NUM_STEPS, 2, 1)).astype(np.float32)
    rows = trace_of_workers(kwargs, actions)
    num_episodes = [0, 0]
    for index in range(2):
        env = ConvoyEnv(**kwargs, environment_index=index)
        try:
            observation, _ = env.reset()
            assert_same(rows[0][0], observation, index)
            for row, action in zip(rows[1:], actions, strict=True):
                observation, reward, terminated, truncated, _ = env.step(action[index])
                assert row[1][index] == reward
                assert (row[2][index], row[3][index]) == (terminated, truncated)
                if terminated or truncated:
                    assert_same(row[4], observation, index)
                    num_episodes[index] += 1
                    observation, _ = env.reset()
                assert_same(row[0], observation, index)
        finally:
            env.close()
    assert min(num_episodes) >= 3
    assert not np.array_equal(rows[-1][0]["ego"][0], rows[-1][0]["ego"][1])


def play(kwargs, actions, disturb=None, supervision=None):
    """Return what two workers see in some steps, and what became of the workers."""
    disturb = disturb or {}
    with ConvoyWorkers(2, kwargs, supervision=supervision) as workers:
        workers.reset()
        rows = []
        for number in range(len(actions)):
            disturb.get(number, lambda workers: None)(workers)
            step = workers.step(actions[number])
            ends = [info and info["episode_record"] for info in step.final_infos]
            rows.append(
                [copied(step.observations), step.rewards.tolist(), step.truncated.tolist(), ends]
            )
        return rows, workers.counts.as_dict()


def kill(workers):
    os.kill(workers.process_ids[0], signal.SIGKILL)


def freeze(workers):
    os.kill(workers.process_ids[1], signal.SIGSTOP)


def test_trace_is_the_same_when_workers_die_hang_and_are_recycled(dataset_dir):
    kwargs = {"dataset_dir": str(dataset_dir), "scenario_seed": 3, "max_steps": 40}
    actions = np.random.default_rng(2).uniform(-1, 0.3, (90, 2, 1)).astype(np.float32)
    plain, none_lost = play(kwargs, actions)
    disturbed, counts = play(
        kwargs, actions, {10: kill, 57: kill, 70: freeze}, Supervision(step_limit_s=10.0)
    )
    recycled, replaced = play(kwargs, actions, supervision=Supervision(memory_growth_limit_mb=-1.0))
    np.testing.assert_equal(disturbed, plain)
    np.testing.assert_equal(recycled, plain)
    assert none_lost == {"lost": 0, "hung": 0, "recycled": 0, "replayed_steps": 0}
    # Steps 10 and 57 are the 11th and, after 40 in the first episode, the 18th of an episode; 70
    # is the 31st.
    assert counts == {"lost": 2, "hung": 1, "recycled": 0, "replayed_steps": 11 + 18 + 31}
    assert replaced == {"lost": 0, "hung": 0, "recycled": 4, "replayed_steps": 0}


def assert_same(shared, alone, index):
    for key, value in alone.items():
        np.testing.assert_array_equal(shared[key][index], value, strict=True)


def test_error_of_the_simulator_names_the_worker(tmp_path, base_cfg):
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in base_cfg.parent.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    network = folder / "network.net.xml"
    network.write_text(network.read_text()[:2000])
    kwargs = {"sumo_cfg": str(folder / base_cfg.name), "scenario_seed": 1}
    with (
        pytest.raises(
            ScenarioError, match="worker 0 of 2, environment 0, seed 1, episode 0, step 0: "
        ),
        ConvoyWorkers(2, kwargs) as workers,
    ):
        workers.reset()


class Braking:
    """Brakes a little, always."""

    def predict(self, observation, *, deterministic):
        assert deterministic
        return np.full((len(observation["ego"]), 1), 0.05, np.float32), None


def test_development_episodes_are_the_same_for_any_number_of_workers(dataset_dir):
    kwargs = {
        "dataset_dir": str(dataset_dir), "scenario_mode": "dev", "scenario_seed": 3,
        "max_steps": 30,
    }  # fmt: skip
    records = []
    for num_workers in (1, 2):
        episodes = DevelopmentEpisodes(kwargs, 5, num_workers=num_workers)
        records += [episodes.play(Braking()), episodes.play(Braking())]
        episodes.close()
    assert records[0] == records[1] == records[2] == records[3]
    assert [record["episode_index"] for record in records[0]] == [0, 1, 2, 3, 4]
    # A tenth of 18 training scenarios is the last one.
    assert {record["scenario_id"] for record in records[0]} == {"train_017"}
