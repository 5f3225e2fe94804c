"""Tests of ml.envs.convoy_vector_env: what Gymnasium's vector interface promises."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import ml.envs
from ml.envs.convoy_vector_env import ConvoyVectorEnv
from ml.tests.processes import wait_until_gone
from ml.tests.unit.counting_env import CountingEnv

NO_ACTION = np.zeros((2, 1), np.float32)


@pytest.fixture
def vector():
    vector = ConvoyVectorEnv(2, environment=CountingEnv)
    yield vector
    vector.close()


def test_spaces_are_those_of_one_environment_stacked(vector):
    assert vector.single_observation_space == CountingEnv.observation_space
    assert vector.observation_space["count"].shape == (2, 2)
    assert vector.action_space.shape == (2, 1)
    observations, _ = vector.reset()
    assert vector.observation_space.contains(observations)


def test_end_of_an_episode_comes_with_its_last_observation_and_the_next_one(vector):
    first, infos = vector.reset(options={"episode_index": 4})
    assert infos["scenario_id"].tolist() == ["s4", "s4"]
    assert vector.step(NO_ACTION)[4] == {}
    vector.step(NO_ACTION)
    observations, rewards, terminations, truncations, infos = vector.step(NO_ACTION)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert first["count"].tolist() == [[4, 0], [4, 0]]
    assert observations["count"].tolist() == [[5, 0], [5, 0]]
    assert rewards.tolist() == [43.0, 143.0]
    assert (terminations.tolist(), truncations.tolist()) == ([False, False], [True, True])
    assert [final["count"].tolist() for final in infos["final_obs"]] == [[4, 3], [4, 3]]
    assert infos["final_info"]["scenario_id"].tolist() == ["s4", "s4"]
    assert infos["scenario_id"].tolist() == ["s5", "s5"]
    assert infos["_final_obs"].tolist() == [True, True]


def test_collision_is_a_termination(vector):
    vector.reset(options={"episode_index": 1})
    steps = [vector.step(NO_ACTION) for _ in range(3)]
    assert steps[2][2].tolist() == [True, True]


def test_what_is_returned_stays_as_it_is(vector):
    vector.reset()
    kept = vector.step(NO_ACTION)
    vector.step(NO_ACTION)
    assert kept[0]["count"].tolist() == [[0, 1], [0, 1]]
    assert kept[1].tolist() == [1.0, 101.0]


def test_one_seed_is_given_to_all_and_begins_with_episode_0(vector):
    vector.reset(options={"episode_index": 4})
    observations, _ = vector.reset(seed=5)
    assert observations["count"].tolist() == [[0, 0], [0, 0]]
    vector.reset(seed=[5, None])


def test_closed_environment_leaves_no_process():
    vector = ConvoyVectorEnv(2, environment=CountingEnv)
    process_ids = vector.workers.process_ids
    vector.close()
    vector.close()
    assert wait_until_gone(process_ids)


def test_make_vec_opens_it_by_the_id_of_the_environment(base_cfg):
    vector = gym.make_vec(ml.envs.ENVIRONMENT_ID, num_envs=2, sumo_cfg=str(base_cfg))
    try:
        assert isinstance(vector.unwrapped, ConvoyVectorEnv)
        assert vector.observation_space["peers"].shape == (2, 8, 10)
    finally:
        vector.close()
