"""Tests of ml.evaluation.fixed_batches: an action depends on its own observation alone."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from ml.envs.action import action_space
from ml.envs.observation import observation_space
from ml.evaluation.fixed_batches import FixedBatches, OneOfABatch
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs

NUM_ROWS = 19


class Doubling:
    """Answers twice the first number of each row, and notes how many rows it was asked for."""

    def __init__(self):
        self.heights = []

    def predict(self, observation, *, deterministic):
        assert deterministic
        self.heights.append(len(observation["x"]))
        return 2.0 * observation["x"][:, :1], "state"


def test_every_row_is_answered_and_every_question_is_as_high():
    policy = Doubling()
    rows = np.arange(1.0, 20.0).reshape(19, 1)
    actions, state = FixedBatches(policy).predict({"x": rows}, deterministic=True)
    np.testing.assert_array_equal(actions, 2.0 * rows)
    assert state is None
    assert policy.heights == [8, 8, 8]


def test_a_single_observation_gets_a_single_action():
    action, _ = OneOfABatch(Doubling()).predict({"x": np.array([3.0, 9.0])}, deterministic=True)
    assert action.tolist() == [6.0]


class ConvoySpaces(gym.Env):
    observation_space = observation_space()
    action_space = action_space()


@pytest.fixture(scope="module")
def network():
    return PPO(
        "MultiInputPolicy", ConvoySpaces(), seed=3, device="cpu",
        policy_kwargs=create_deep_set_policy_kwargs(peer_embed_dim=32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def observations():
    generator = np.random.default_rng(4)
    spaces = ConvoySpaces.observation_space.spaces
    return {
        key: generator.uniform(0.5 * box.low, 0.5 * box.high, (NUM_ROWS, *box.shape)).astype("f4")
        for key, box in spaces.items()
    }


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5, 8, 13, 19])
def test_action_of_the_network_is_bit_for_bit_the_same_beside_any_others(
    network, observations, num_rows
):
    alone = [
        OneOfABatch(network).predict({k: v[row] for k, v in observations.items()},
                                     deterministic=True)[0]
        for row in range(NUM_ROWS)
    ]  # fmt: skip
    last = {key: rows[NUM_ROWS - num_rows :] for key, rows in observations.items()}
    actions, _ = FixedBatches(network).predict(last, deterministic=True)
    np.testing.assert_array_equal(actions, np.stack(alone)[NUM_ROWS - num_rows :])
    assert len(np.unique(actions)) == num_rows
