"""Tests of ml.training.development and the adapter: who is judged, when, and which one is kept."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO

from ml.envs.vector_env import ConvoyWorkers
from ml.errors import ConfigError
from ml.tests.unit.counting_env import CountingEnv
from ml.tests.unit.learner_cases import make_model
from ml.training.callbacks import ProgressCallback
from ml.training.development import DevelopmentCallback, summarise
from ml.training.vector_adapter import WorkersVecEnv


class OneStepEnv(gym.Env):
    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action[0]), False, True, {}


class FakeEpisodes:
    """Development episodes with given returns, one list entry an evaluation."""

    def __init__(self, returns):
        self.returns, self.models = list(returns), []

    def play(self, model):
        self.models.append(model)
        value = self.returns.pop(0)
        return [{"return": value, "terminated": value < 0, "duration_s": 36.0}]


def learn(folder, returns, total, interval):
    episodes = FakeEpisodes(returns)
    judge = DevelopmentCallback(episodes, folder, interval)
    model = PPO(
        "MlpPolicy", OneStepEnv(), n_steps=10, batch_size=10, n_epochs=1, seed=0, device="cpu"
    )
    model.learn(total, callback=judge)
    return judge, model


def test_the_model_that_learns_is_judged(tmp_path):
    episodes = FakeEpisodes([1.0])
    judge = DevelopmentCallback(episodes, tmp_path, 1000)
    model = make_model(is_fast=True).learn(64, callback=judge)
    assert episodes.models == [model]


def test_policy_is_judged_after_the_update_beyond_each_interval_and_at_the_end(tmp_path):
    # Rollouts end at 10, 20, ..., 60; multiples of 25 are passed at 30 and 50.
    judge, _ = learn(tmp_path, [1.0, 2.0, 3.0], total=60, interval=25)
    assert [row["steps"] for row in judge.evaluations] == [30, 50, 60]
    rows = [json.loads(line) for line in (tmp_path / "development.jsonl").read_text().splitlines()]
    assert rows == judge.evaluations


def test_last_policy_is_judged_once_where_the_interval_ends_with_the_training(tmp_path):
    judge, _ = learn(tmp_path, [1.0, 2.0], total=40, interval=20)
    assert [row["steps"] for row in judge.evaluations] == [20, 40]


def test_best_model_has_the_highest_mean_return_and_is_the_earlier_of_two(tmp_path):
    judge, model = learn(tmp_path, [1.0, 5.0, 5.0, 2.0], total=40, interval=10)
    assert judge.best["steps"] == 20
    best = PPO.load(tmp_path / "model_best.zip", device="cpu")
    assert best.num_timesteps == 20
    assert model.num_timesteps == 40


def test_row_sums_up_the_episodes():
    records = [
        {"return": 1.0, "terminated": False, "duration_s": 36.0, "false_alarms_3mps2": 2},
        {"return": -4.0, "terminated": True, "duration_s": 18.0, "false_alarms_3mps2": 1},
    ]
    # (1 - 4) / 2; (36 + 18) / 3600 h.
    assert summarise(records) == {
        "episodes": 2,
        "mean_return": -1.5,
        "collisions": 1,
        "hours": pytest.approx(0.015),
        "false_alarms_3mps2": 3,
    }


def test_alarms_are_null_where_the_records_have_none():
    records = [{"return": 1.0, "terminated": False, "duration_s": 36.0}]
    assert summarise(records)["false_alarms_3mps2"] is None


class TestAdapter:
    @pytest.fixture
    def vector(self):
        vector = WorkersVecEnv(ConvoyWorkers(2, {}, environment=CountingEnv))
        yield vector
        vector.close()

    def test_end_of_an_episode_has_what_stable_baselines_reads(self, vector):
        first = vector.reset()
        actions = np.zeros((2, 1), np.float32)
        results = [vector.step(actions) for _ in range(6)]
        observations, _, dones, infos = results[2]
        assert dones.tolist() == [True, True]
        assert observations["count"].tolist() == [[1, 0], [1, 0]]
        assert first["count"].tolist() == [[0, 0], [0, 0]]  # later steps do not overwrite it
        assert infos[0]["terminal_observation"]["count"].tolist() == [0, 3]
        assert infos[0]["TimeLimit.truncated"] is True
        # Index 1, episode 0: (100 + 1) + (100 + 2) + (100 + 3).
        assert (infos[1]["episode"]["r"], infos[1]["episode"]["l"]) == (306.0, 3)
        # Episode 1 ends with both flags: a collision is no truncation.
        assert results[5][3][0]["TimeLimit.truncated"] is False
        assert results[5][3][1]["episode"]["r"] == 336.0
        assert results[0][3] == [{}, {}]

    def test_seed_leaves_the_environments_own_alone(self, vector):
        assert vector.seed(7) == [None, None]
        assert vector.reset()["count"].tolist() == [[0, 0], [0, 0]]

    def test_only_steps_and_resets_reach_another_process(self, vector):
        assert vector.get_attr("render_mode") == [None, None]
        assert vector.env_is_wrapped(gym.Wrapper) == [False, False]
        with pytest.raises(AttributeError):
            vector.get_attr("master_seed")
        with pytest.raises(ConfigError, match="must only reset and step"):
            vector.env_method("set_eval_mode")
        with pytest.raises(ConfigError, match="must stay"):
            vector.set_attr("mode", "other")

    def test_log_counts_the_episodes_of_all_environments(self, vector, tmp_path):
        path = tmp_path / "progress.jsonl"
        model = PPO(
            "MultiInputPolicy", vector, n_steps=6, batch_size=12, n_epochs=1, seed=0, device="cpu"
        )
        model.learn(12, callback=ProgressCallback(path, 12, is_quiet=True))
        (row,) = [json.loads(line) for line in path.read_text().splitlines()]
        # Each of two environments plays episodes 0 and 1; the odd ones are collisions.
        assert (row["steps"], row["episodes"], row["collision_rate"]) == (12, 4, 0.5)
