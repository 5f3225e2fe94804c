"""The Phase 3 specification's test plan and exit criteria, written from its text.

`PPO` and `gym` are patched in the module under test, so the quick tests need neither SUMO nor a
trained model. The slow ones at the end run the commands themselves.
"""

import argparse
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys
import uuid
from datetime import datetime
from pathlib import Path
from unittest.mock import MagicMock, call, patch

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

import ml.envs  # noqa: F401  (it registers the environment)
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.training import train_convoy

MODULE = "ml.training.train_convoy"
REPO_ROOT = Path(__file__).resolve().parents[3]
BASE_CFG = "ml/scenarios/base/scenario.sumocfg"
ENV_ID = "RoadSense-Convoy-v0"

DEFAULTS = {
    "dataset_dir": None,
    "sumo_cfg": BASE_CFG,
    "eval_episodes": 10,
    "emulator_params": None,
    "seed": 42,
    "total_timesteps": 100_000,
    "learning_rate": 3e-4,
    "n_steps": 2048,
    "ent_coef": 0.01,
    "output_dir": None,
    "run_id": None,
    "skip_eval": False,
    "gui": False,
}
FLAGS = [f"--{name}" for name in DEFAULTS]

EVAL_KEYS = {
    "eval_episodes",
    "avg_reward",
    "std_reward",
    "min_reward",
    "max_reward",
    "avg_length",
    "collisions",
    "collision_rate",
    "truncations",
    "truncation_rate",
    "scenarios_evaluated",
}
CONFIG_KEYS = {
    "dataset_dir",
    "sumo_cfg",
    "emulator_params",
    "seed",
    "total_timesteps",
    "learning_rate",
    "n_steps",
    "ent_coef",
}
TOP_KEYS = {"run_id", "timestamp", "config", "training", "evaluation"}

SPEC_EVALUATION = {
    "eval_episodes": 10,
    "avg_reward": 145.3,
    "std_reward": 23.1,
    "min_reward": 98.2,
    "max_reward": 189.7,
    "avg_length": 487.2,
    "collisions": 2,
    "collision_rate": 0.2,
    "truncations": 8,
    "truncation_rate": 0.8,
    "scenarios_evaluated": ["eval_000", "eval_001", "eval_002"],
}


def make_args(**changes):
    """A namespace that holds only the fields of the specification's command line."""
    return argparse.Namespace(**{**DEFAULTS, **changes})


class Episode:
    """What the mock environment plays: the rewards, how it ends and the reset's info."""

    def __init__(self, rewards, terminated=False, truncated=False, scenario_id="eval_000"):
        self.rewards = list(rewards)
        self.terminated = terminated
        self.truncated = truncated
        self.info = {} if scenario_id is None else {"scenario_id": scenario_id}


def make_env(episodes, observation=None, step_info=None):
    """A MagicMock environment; its reset takes no argument, its step returns the five-tuple."""
    env = MagicMock(name="env")
    obs = MagicMock(name="obs") if observation is None else observation
    state = {"episode": -1, "step": 0}

    def reset():
        state["episode"] += 1
        state["step"] = 0
        return obs, dict(episodes[state["episode"]].info)

    def step(action):
        episode = episodes[state["episode"]]
        reward = episode.rewards[state["step"]]
        state["step"] += 1
        last = state["step"] == len(episode.rewards)
        return (
            obs,
            reward,
            last and episode.terminated,
            last and episode.truncated,
            dict(step_info or {}),
        )

    env.reset.side_effect = reset
    env.step.side_effect = step
    return env


def make_trainable_env():
    """A MagicMock that passes for the convoy environment, so that it may be wrapped."""
    real = gymnasium.make(ENV_ID, sumo_cfg=str(REPO_ROOT / BASE_CFG))
    env = MagicMock(name="env", spec=gymnasium.Env)
    env.observation_space = real.observation_space
    env.action_space = real.action_space
    env.metadata = real.metadata
    env.render_mode = None
    env.spec = real.spec
    env.unwrapped = env
    env.reset.return_value = (env.observation_space.sample(), {"scenario_id": "train_000"})
    real.close()
    return env


def make_trainable_ppo(ppo, model):
    """Let the patched PPO build a real model whose learn and save are those of the mock."""

    def build(*args, **kwargs):
        built = PPO(*args, **{**kwargs, "device": "cpu"})
        built.learn = model.learn
        built.save = model.save
        return built

    ppo.side_effect = build


@pytest.fixture
def mock_model():
    model = MagicMock(name="model")
    model.predict.return_value = (np.array([0.5], dtype=np.float32), None)
    return model


FOUR_EPISODES = [
    Episode([1.0, 2.0, 3.0], truncated=True, scenario_id="eval_000"),
    Episode([-10.0], terminated=True, scenario_id="eval_001"),
    Episode([2.0, 2.0], truncated=True, scenario_id="eval_002"),
    Episode([0.5, 0.5, -5.0, -4.0], terminated=True, scenario_id="eval_000"),
]


@pytest.fixture
def mock_env():
    """Four episodes: two collisions, two time limits."""
    return make_env(FOUR_EPISODES)


def run_evaluate(model, env, model_path="/no/such/folder/model_final.zip", **changes):
    """Call evaluate with PPO and gym patched; return the metrics and the two patches."""
    with patch(f"{MODULE}.PPO") as ppo, patch(f"{MODULE}.gym") as gym:
        ppo.load.return_value = model
        gym.make.return_value = env
        metrics = train_convoy.evaluate(model_path, make_args(**changes))
    return metrics, ppo, gym


def run_train(args, env=None, learn=None, learn_error=None, save=None):
    """Call train with PPO and gym patched; return its result and the mocks.

    Only learn, save and the environment are mocks unless `env` is given: then the model is one too.
    """
    model = MagicMock(name="model")
    if learn is not None:
        model.learn.side_effect = learn
    model.save.side_effect = save
    if learn_error is not None:
        model.learn.side_effect = learn_error
    with patch(f"{MODULE}.PPO") as ppo, patch(f"{MODULE}.gym") as gym:
        if env is None:
            env = make_trainable_env()
            make_trainable_ppo(ppo, model)
        else:
            ppo.return_value = model
        gym.make.return_value = env
        order = MagicMock()
        order.attach_mock(gym.make, "make")
        order.attach_mock(ppo, "PPO")
        order.attach_mock(model.learn, "learn")
        order.attach_mock(model.save, "save")
        order.attach_mock(env.close, "close")
        mocks = argparse.Namespace(env=env, model=model, ppo=ppo, gym=gym, order=order)
        try:
            result = train_convoy.train(args)
        except Exception as error:
            error.mocks = mocks
            raise
    return result, mocks


def env_kwargs_of(gym):
    gym.make.assert_called_once()
    assert gym.make.call_args.args == (ENV_ID,)
    return gym.make.call_args.kwargs


def without_wrappers(env):
    """The environment inside the wrappers, if there are any."""
    while isinstance(env, gymnasium.Wrapper | VecEnvWrapper | DummyVecEnv):
        if isinstance(env, gymnasium.Wrapper):
            env = env.env
        elif isinstance(env, VecEnvWrapper):
            env = env.venv
        else:
            (env,) = env.envs
    return env


def flat_callbacks(callback):
    """The callbacks given to learn, whether one, a list or a CallbackList."""
    if isinstance(callback, list | tuple):
        return [one for item in callback for one in flat_callbacks(item)]
    if hasattr(callback, "callbacks"):
        return flat_callbacks(list(callback.callbacks))
    return [callback]


class TestInterface:
    @pytest.mark.parametrize("name", ["PPO", "gym", "np"])
    def test_module_has_attribute_to_patch(self, name):
        assert hasattr(train_convoy, name)

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("parse_args", ["argv"]),
            ("train", ["args"]),
            ("evaluate", ["model_path", "args"]),
            ("save_metrics", ["output_dir", "training_metrics", "eval_metrics", "args"]),
        ],
    )
    def test_function_takes_the_specified_parameters_first(self, name, parameters):
        found = list(inspect.signature(getattr(train_convoy, name)).parameters.values())
        assert [one.name for one in found[: len(parameters)]] == parameters
        assert all(one.default is not inspect.Parameter.empty for one in found[len(parameters) :])

    def test_parse_args_needs_no_argument(self):
        assert inspect.signature(train_convoy.parse_args).parameters["argv"].default is None


@pytest.fixture(params=["sys_argv", "argv_list"])
def parse(request):
    """parse_args both ways: from a patched sys.argv and from an argument list."""
    if request.param == "sys_argv":

        def from_sys_argv(*words):
            with patch.object(sys, "argv", ["train_convoy.py", *words]):
                return train_convoy.parse_args()

        return from_sys_argv

    def from_list(*words):
        with patch.object(sys, "argv", ["train_convoy.py", "--not_a_flag"]):
            return train_convoy.parse_args(list(words))

    return from_list


class TestTrainConvoyCLI:
    @pytest.mark.parametrize(("name", "value"), list(DEFAULTS.items()))
    def test_parse_args_defaults(self, parse, name, value):
        found = getattr(parse(), name)
        assert found == value
        assert type(found) is type(value)

    def test_parse_args_returns_a_namespace(self, parse):
        assert isinstance(parse(), argparse.Namespace)

    def test_default_scenario_exists_in_the_repository(self, parse):
        assert (REPO_ROOT / parse().sumo_cfg).is_file()

    def test_parse_args_dataset_dir(self, parse):
        args = parse("--dataset_dir", "ml/scenarios/datasets/v1")
        assert args.dataset_dir == "ml/scenarios/datasets/v1"
        assert args.sumo_cfg is None

    def test_parse_args_sumo_cfg(self, parse):
        args = parse("--sumo_cfg", "some/scenario.sumocfg")
        assert args.sumo_cfg == "some/scenario.sumocfg"
        assert args.dataset_dir is None

    def test_parse_args_mutual_exclusion(self, parse, capsys):
        with pytest.raises(SystemExit) as stop:
            parse("--dataset_dir", "ml/scenarios/datasets/v1", "--sumo_cfg", BASE_CFG)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert "--dataset_dir" in error
        assert "--sumo_cfg" in error

    def test_parse_args_all_hyperparams(self, parse):
        args = parse(
            *["--total_timesteps", "500000"],
            *["--learning_rate", "1e-4"],
            *["--n_steps", "1024"],
            *["--ent_coef", "0.05"],
            *["--seed", "7"],
            *["--eval_episodes", "20"],
        )
        assert (args.total_timesteps, args.n_steps) == (500_000, 1024)
        assert args.learning_rate == pytest.approx(1e-4)
        assert args.ent_coef == pytest.approx(0.05)
        assert (args.seed, args.eval_episodes) == (7, 20)
        for name in ("total_timesteps", "n_steps", "seed", "eval_episodes"):
            assert type(getattr(args, name)) is int
        for name in ("learning_rate", "ent_coef"):
            assert type(getattr(args, name)) is float

    def test_parse_args_paths_and_run_id(self, parse):
        params = "ml/espnow_emulator/emulator_params_5m.json"
        args = parse("--emulator_params", params, "--output_dir", "out/here", "--run_id", "mine")
        assert args.emulator_params == params
        assert args.output_dir == "out/here"
        assert args.run_id == "mine"

    @pytest.mark.parametrize("name", ["skip_eval", "gui"])
    def test_switch_is_true_when_given(self, parse, name):
        assert getattr(parse(f"--{name}"), name) is True

    @pytest.mark.parametrize(
        "name", ["eval_episodes", "seed", "total_timesteps", "n_steps", "learning_rate", "ent_coef"]
    )
    def test_number_flag_refuses_a_word(self, parse, capsys, name):
        with pytest.raises(SystemExit) as stop:
            parse(f"--{name}", "many")
        assert stop.value.code == 2
        assert f"--{name}" in capsys.readouterr().err

    def test_unknown_flag_is_an_error(self, parse, capsys):
        with pytest.raises(SystemExit) as stop:
            parse("--no_such_flag", "1")
        assert stop.value.code == 2
        assert "--no_such_flag" in capsys.readouterr().err

    def test_help_names_every_flag(self, parse, capsys):
        with pytest.raises(SystemExit) as stop:
            parse("--help")
        assert stop.value.code == 0
        text = capsys.readouterr().out
        assert [flag for flag in FLAGS if flag not in text] == []


class TestEvaluate:
    def test_evaluate_returns_metrics(self, mock_model, mock_env):
        metrics, _, _ = run_evaluate(mock_model, mock_env, eval_episodes=4)
        assert set(metrics) == EVAL_KEYS

    def test_evaluate_computes_reward_and_length_statistics(self, mock_model, mock_env):
        metrics, _, _ = run_evaluate(mock_model, mock_env, eval_episodes=4)
        rewards = [6.0, -10.0, 4.0, -8.0]
        assert metrics["eval_episodes"] == 4
        assert metrics["avg_reward"] == pytest.approx(-2.0)
        assert metrics["std_reward"] == pytest.approx(
            math.sqrt(sum((reward + 2.0) ** 2 for reward in rewards) / 4)
        )
        assert metrics["min_reward"] == pytest.approx(-10.0)
        assert metrics["max_reward"] == pytest.approx(6.0)
        assert metrics["avg_length"] == pytest.approx(2.5)

    def test_evaluate_counts_collisions(self, mock_model, mock_env):
        metrics, _, _ = run_evaluate(mock_model, mock_env, eval_episodes=4)
        assert metrics["collisions"] == 2
        assert metrics["collision_rate"] == pytest.approx(0.5)

    def test_evaluate_counts_truncations(self, mock_model):
        env = make_env(
            [
                Episode([1.0], truncated=True),
                Episode([1.0], truncated=True),
                Episode([1.0], terminated=True),
                Episode([1.0], truncated=True),
            ]
        )
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=4)
        assert (metrics["truncations"], metrics["collisions"]) == (3, 1)
        assert metrics["truncation_rate"] == pytest.approx(0.75)
        assert metrics["collision_rate"] == pytest.approx(0.25)

    def test_no_collision_gives_rate_zero(self, mock_model):
        env = make_env([Episode([1.0], truncated=True)] * 3)
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=3)
        assert (metrics["collisions"], metrics["collision_rate"]) == (0, 0.0)
        assert (metrics["truncations"], metrics["truncation_rate"]) == (3, 1.0)

    def test_episode_that_ends_both_ways_counts_in_both(self, mock_model):
        env = make_env([Episode([1.0], terminated=True, truncated=True)])
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=1)
        assert (metrics["collisions"], metrics["truncations"]) == (1, 1)

    def test_single_episode_has_standard_deviation_zero(self, mock_model):
        env = make_env([Episode([1.0, 2.5], truncated=True)])
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=1)
        assert metrics["std_reward"] == 0.0
        assert metrics["avg_reward"] == metrics["min_reward"] == metrics["max_reward"] == 3.5

    def test_evaluate_uses_deterministic(self, mock_model, mock_env):
        run_evaluate(mock_model, mock_env, eval_episodes=4)
        assert mock_model.predict.call_count == 10
        assert all(one.kwargs["deterministic"] is True for one in mock_model.predict.call_args_list)

    def test_predict_gets_the_observation_and_step_gets_the_action(self, mock_model):
        observation = MagicMock(name="obs")
        action = MagicMock(name="action")
        mock_model.predict.return_value = (action, None)
        env = make_env([Episode([0.0, 0.0], truncated=True)], observation=observation)
        run_evaluate(mock_model, env, eval_episodes=1)
        assert all(one.args[0] is observation for one in mock_model.predict.call_args_list)
        assert env.step.call_args_list == [call(action), call(action)]

    @pytest.mark.parametrize(
        "observation",
        [
            {
                "ego": np.zeros(4, dtype=np.float32),
                "peers": np.zeros((8, 6), dtype=np.float32),
                "peer_mask": np.zeros(8, dtype=np.float32),
            },
            {"anything": 1},
            {},
            np.zeros(3),
            np.zeros((2, 5, 7), dtype=np.uint8),
            MagicMock(name="obs"),
            0,
        ],
        ids=["convoy_dict", "other_dict", "empty_dict", "vector", "tensor", "mock", "number"],
    )
    def test_evaluate_takes_observations_of_any_shape(self, mock_model, observation):
        env = make_env([Episode([1.0, 1.0], truncated=True)], observation=observation)
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=1)
        assert metrics["avg_reward"] == 2.0

    @pytest.mark.parametrize("action", [0, 0.25, np.array([0.1]), np.float32(0.5), [0.0]])
    def test_evaluate_takes_actions_of_any_kind(self, mock_model, action):
        mock_model.predict.return_value = (action, None)
        env = make_env([Episode([1.0], truncated=True)])
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=1)
        assert metrics["avg_length"] == 1.0

    def test_evaluate_resets_once_for_each_episode(self, mock_model, mock_env):
        run_evaluate(mock_model, mock_env, eval_episodes=3)
        assert mock_env.reset.call_count == 3

    def test_scenario_ids_stand_in_the_order_played(self, mock_model, mock_env):
        metrics, _, _ = run_evaluate(mock_model, mock_env, eval_episodes=4)
        assert metrics["scenarios_evaluated"] == ["eval_000", "eval_001", "eval_002", "eval_000"]

    def test_missing_scenario_id_is_unknown(self, mock_model):
        env = make_env(
            [
                Episode([1.0], truncated=True, scenario_id=None),
                Episode([1.0], truncated=True, scenario_id="eval_001"),
            ]
        )
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=2)
        assert metrics["scenarios_evaluated"] == ["unknown", "eval_001"]

    def test_scenario_id_comes_from_reset(self, mock_model):
        env = make_env(
            [Episode([1.0, 1.0], truncated=True, scenario_id="eval_004")],
            step_info={"scenario_id": "other"},
        )
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=1)
        assert metrics["scenarios_evaluated"] == ["eval_004"]

    def test_model_is_loaded_from_a_path_that_need_not_exist(self, mock_model, mock_env):
        path = "/no/such/folder/model_final.zip"
        _, ppo, _ = run_evaluate(mock_model, mock_env, model_path=path, eval_episodes=1)
        ppo.load.assert_called_once()
        assert ppo.load.call_args.args[0] == path
        ppo.assert_not_called()

    def test_environment_is_closed_after_the_last_episode(self, mock_model, mock_env):
        run_evaluate(mock_model, mock_env, eval_episodes=4)
        mock_env.close.assert_called_once_with()
        assert mock_env.method_calls[-1] == call.close()

    def test_environment_is_closed_when_step_raises(self, mock_model, mock_env):
        mock_env.step.side_effect = RuntimeError("simulator died")
        with pytest.raises(RuntimeError, match="simulator died"):
            run_evaluate(mock_model, mock_env, eval_episodes=1)
        mock_env.close.assert_called_once_with()

    def test_environment_is_closed_when_reset_raises(self, mock_model, mock_env):
        mock_env.reset.side_effect = RuntimeError("no simulator")
        with pytest.raises(RuntimeError, match="no simulator"):
            run_evaluate(mock_model, mock_env, eval_episodes=1)
        mock_env.close.assert_called_once_with()

    def test_environment_is_closed_when_predict_raises(self, mock_model, mock_env):
        mock_model.predict.side_effect = ValueError("bad observation")
        with pytest.raises(ValueError, match="bad observation"):
            run_evaluate(mock_model, mock_env, eval_episodes=1)
        mock_env.close.assert_called_once_with()

    def test_dataset_is_evaluated_in_eval_mode(self, mock_model, mock_env):
        dataset = "ml/scenarios/datasets/v1"
        _, _, gym = run_evaluate(
            mock_model, mock_env, eval_episodes=1, dataset_dir=dataset, sumo_cfg=None, seed=7
        )
        kwargs = env_kwargs_of(gym)
        assert kwargs["dataset_dir"] == dataset
        assert kwargs["scenario_mode"] == "eval"
        assert kwargs["scenario_seed"] == 7
        assert kwargs.get("sumo_cfg") is None

    def test_single_scenario_is_evaluated_by_sumo_cfg(self, mock_model, mock_env):
        _, _, gym = run_evaluate(mock_model, mock_env, eval_episodes=1, sumo_cfg=BASE_CFG)
        kwargs = env_kwargs_of(gym)
        assert kwargs["sumo_cfg"] == BASE_CFG
        assert kwargs.get("dataset_dir") is None

    @pytest.mark.parametrize(("gui", "render_mode"), [(False, None), (True, "human")])
    def test_gui_chooses_the_render_mode(self, mock_model, mock_env, gui, render_mode):
        _, _, gym = run_evaluate(mock_model, mock_env, eval_episodes=1, gui=gui)
        kwargs = env_kwargs_of(gym)
        assert kwargs["gui"] is gui
        assert kwargs["render_mode"] == render_mode

    def test_emulator_params_go_to_the_environment(self, mock_model, mock_env):
        path = "ml/espnow_emulator/emulator_params_5m.json"
        _, _, gym = run_evaluate(mock_model, mock_env, eval_episodes=1, emulator_params=path)
        assert env_kwargs_of(gym)["emulator_params_path"] == path

    def test_no_emulator_params_leaves_the_environment_its_default(self, mock_model, mock_env):
        _, _, gym = run_evaluate(mock_model, mock_env, eval_episodes=1)
        assert env_kwargs_of(gym).get("emulator_params_path") is None

    @pytest.mark.parametrize("kind", [float, np.float32, np.float64])
    def test_metrics_are_plain_json_values(self, mock_model, kind):
        env = make_env(
            [
                Episode([kind(1.5), kind(2.0)], truncated=True),
                Episode([kind(-1.0)], terminated=True),
            ]
        )
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=2)
        assert json.loads(json.dumps(metrics)) == metrics
        for name in ("avg_reward", "std_reward", "min_reward", "max_reward", "avg_length"):
            assert type(metrics[name]) is float
        for name in ("eval_episodes", "collisions", "truncations"):
            assert type(metrics[name]) is int
        for name in ("collision_rate", "truncation_rate"):
            assert type(metrics[name]) is float

    def test_numpy_booleans_end_an_episode(self, mock_model):
        env = make_env(
            [
                Episode([1.0], terminated=np.bool_(True)),
                Episode([1.0], truncated=np.bool_(True)),
            ]
        )
        metrics, _, _ = run_evaluate(mock_model, env, eval_episodes=2)
        assert (metrics["collisions"], metrics["truncations"]) == (1, 1)
        json.dumps(metrics)

    def test_evaluate_prints_each_episode_and_a_summary(self, mock_model, mock_env, capsys):
        run_evaluate(mock_model, mock_env, eval_episodes=4)
        text = capsys.readouterr().out
        assert re.search(r"evaluation.*\b4 episodes", text, re.IGNORECASE)
        for number, name, reward in [
            (1, "eval_000", "6.00"),
            (2, "eval_001", "-10.00"),
            (3, "eval_002", "4.00"),
            (4, "eval_000", "-8.00"),
        ]:
            line = next(one for one in text.splitlines() if f"{number}/4" in one)
            assert name in line
            assert reward in line
        assert re.search(r"reward\D*-2\.00 \(\+/- 7\.07\)", text, re.IGNORECASE)
        assert re.search(r"length\D*2\.5", text, re.IGNORECASE)
        assert re.search(r"collisions\D*2/4 \(50\.0%\)", text, re.IGNORECASE)


class TestTrain:
    def test_train_returns_the_model_path_and_the_timesteps(self, tmp_path):
        args = make_args(output_dir=str(tmp_path), run_id="r", total_timesteps=5000)
        (model_path, metrics), _ = run_train(args)
        assert model_path == str(tmp_path / "model_final.zip")
        assert metrics["training_timesteps"] == 5000
        json.dumps(metrics)

    def test_model_is_saved_to_model_final_zip(self, tmp_path):
        def save(path, *args, **kwargs):
            Path(path).write_bytes(b"the model")

        (model_path, _), mocks = run_train(
            make_args(output_dir=str(tmp_path), run_id="r"), save=save
        )
        mocks.model.save.assert_called_once()
        assert Path(model_path) == tmp_path / "model_final.zip"
        assert Path(model_path).read_bytes() == b"the model"

    def test_learn_gets_the_total_timesteps(self, tmp_path):
        args = make_args(output_dir=str(tmp_path), run_id="r", total_timesteps=12_345)
        _, mocks = run_train(args)
        mocks.model.learn.assert_called_once()
        assert mocks.model.learn.call_args.kwargs["total_timesteps"] == 12_345

    def test_learn_gets_callbacks(self, tmp_path):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        found = flat_callbacks(mocks.model.learn.call_args.kwargs["callback"])
        assert found
        assert all(isinstance(one, BaseCallback) for one in found)

    def test_environment_model_learning_and_save_come_in_this_order(self, tmp_path):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        names = [one[0] for one in mocks.order.mock_calls]
        wanted = ["make", "PPO", "learn", "save"]
        assert [name for name in names if name in wanted] == wanted
        assert names.count("close") == 1
        assert names.index("close") > names.index("learn")

    def test_ppo_gets_the_policy_and_the_environment(self, tmp_path):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        mocks.ppo.assert_called_once()
        policy, env = mocks.ppo.call_args.args
        assert policy == "MultiInputPolicy"
        assert without_wrappers(env) is mocks.env

    def test_ppo_gets_the_hyperparameters_of_the_command_line(self, tmp_path):
        args = make_args(
            output_dir=str(tmp_path),
            run_id="r",
            seed=7,
            learning_rate=1e-4,
            n_steps=512,
            ent_coef=0.05,
        )
        _, mocks = run_train(args)
        kwargs = mocks.ppo.call_args.kwargs
        assert kwargs["seed"] == 7
        assert kwargs["learning_rate"] == 1e-4
        assert kwargs["n_steps"] == 512
        assert kwargs["ent_coef"] == 0.05
        assert Path(kwargs["tensorboard_log"]) == tmp_path / "tensorboard"

    def test_ppo_gets_the_deep_sets_policy(self, tmp_path):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        wanted = create_deep_set_policy_kwargs(peer_embed_dim=32)
        assert mocks.ppo.call_args.kwargs["policy_kwargs"] == wanted

    @pytest.mark.integration
    @pytest.mark.slow
    def test_dataset_is_trained_on_in_train_mode(self, dataset_dir, tmp_path):
        dataset = str(dataset_dir)
        args = make_args(
            output_dir=str(tmp_path), run_id="r", dataset_dir=dataset, sumo_cfg=None, seed=7
        )
        _, mocks = run_train(args)
        kwargs = env_kwargs_of(mocks.gym)
        assert kwargs["dataset_dir"] == dataset
        assert kwargs["scenario_mode"] == "train"
        assert kwargs["scenario_seed"] == 7
        assert kwargs.get("sumo_cfg") is None

    def test_single_scenario_is_trained_on_by_sumo_cfg(self, tmp_path):
        args = make_args(output_dir=str(tmp_path), run_id="r", sumo_cfg=str(REPO_ROOT / BASE_CFG))
        _, mocks = run_train(args)
        kwargs = env_kwargs_of(mocks.gym)
        assert kwargs["sumo_cfg"] == str(REPO_ROOT / BASE_CFG)
        assert kwargs.get("dataset_dir") is None

    @pytest.mark.parametrize(("gui", "render_mode"), [(False, None), (True, "human")])
    def test_gui_chooses_the_render_mode(self, tmp_path, gui, render_mode):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r", gui=gui))
        kwargs = env_kwargs_of(mocks.gym)
        assert kwargs["gui"] is gui
        assert kwargs["render_mode"] == render_mode

    def test_emulator_params_go_to_the_environment(self, tmp_path):
        path = "ml/espnow_emulator/emulator_params_5m.json"
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r", emulator_params=path))
        assert env_kwargs_of(mocks.gym)["emulator_params_path"] == path

    def test_no_emulator_params_leaves_the_environment_its_default(self, tmp_path):
        _, mocks = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        assert env_kwargs_of(mocks.gym).get("emulator_params_path") is None

    def test_output_and_checkpoint_folders_exist_before_learning(self, tmp_path):
        output = tmp_path / "runs" / "mine"
        seen = []

        def learn(*args, **kwargs):
            seen.append(output.is_dir() and (output / "checkpoints").is_dir())

        run_train(make_args(output_dir=str(output), run_id="r"), learn=learn)
        assert seen == [True]

    def test_folders_that_exist_already_are_used(self, tmp_path):
        (tmp_path / "checkpoints").mkdir()
        (model_path, _), _ = run_train(make_args(output_dir=str(tmp_path), run_id="r"))
        assert Path(model_path).parent == tmp_path

    def test_given_run_id_and_output_dir_are_kept(self, tmp_path):
        args = make_args(output_dir=str(tmp_path), run_id="mine")
        run_train(args)
        assert args.run_id == "mine"
        assert args.output_dir == str(tmp_path)

    def test_missing_run_id_is_made_from_the_time(self, tmp_path):
        args = make_args(output_dir=str(tmp_path))
        before = datetime.now().replace(microsecond=0)
        run_train(args)
        made = datetime.strptime(args.run_id, "run_%Y%m%d_%H%M%S")
        assert before <= made <= datetime.now()

    def test_missing_output_dir_is_the_run_folder_of_the_package(self):
        args = make_args(run_id=f"specification_plan_{uuid.uuid4().hex}")
        wanted = REPO_ROOT / "ml" / "models" / "runs" / args.run_id
        parents = [one for one in (wanted.parent, wanted.parent.parent) if not one.exists()]
        try:
            (model_path, _), _ = run_train(args)
            assert Path(args.output_dir).resolve() == wanted
            assert (wanted / "checkpoints").is_dir()
            assert Path(model_path).resolve() == wanted / "model_final.zip"
        finally:
            shutil.rmtree(wanted, ignore_errors=True)
            for parent in parents:
                if parent.is_dir() and not any(parent.iterdir()):
                    parent.rmdir()

    def test_environment_is_closed_when_learning_raises(self, tmp_path):
        args = make_args(output_dir=str(tmp_path), run_id="r")
        with pytest.raises(RuntimeError, match="simulator died") as raised:
            run_train(args, learn_error=RuntimeError("simulator died"))
        mocks = raised.value.mocks
        mocks.env.close.assert_called_once_with()
        mocks.model.save.assert_not_called()

    def test_seed_fixes_the_global_random_numbers(self, tmp_path):
        draws = []

        def learn(*args, **kwargs):
            draws.append((np.random.random(), float(torch.rand(1))))  # noqa: NPY002

        for seed in (7, 7, 8):
            output = tmp_path / str(len(draws))
            run_train(make_args(output_dir=str(output), run_id="r", seed=seed), learn=learn)
        assert draws[0] == draws[1]
        assert draws[0][0] != draws[2][0]
        assert draws[0][1] != draws[2][1]

    def test_train_prints_timesteps_output_folder_and_model_path(self, tmp_path, capsys):
        args = make_args(output_dir=str(tmp_path), run_id="r", total_timesteps=5000)
        (model_path, _), _ = run_train(args)
        text = capsys.readouterr().out
        assert re.search(r"training\D*5[,_]?000", text, re.IGNORECASE)
        assert str(tmp_path) in text
        assert model_path in text


def save_and_load(tmp_path, training=None, evaluation=None, **changes):
    args = make_args(**{"run_id": "run_20260115_143000", "output_dir": str(tmp_path), **changes})
    training = {"training_timesteps": 100_000} if training is None else training
    path = train_convoy.save_metrics(str(tmp_path), training, evaluation, args)
    return path, json.loads(Path(path).read_text(encoding="utf-8"))


class TestSaveMetrics:
    def test_save_metrics_creates_file(self, tmp_path):
        path, _ = save_and_load(tmp_path, evaluation=SPEC_EVALUATION)
        assert path == str(tmp_path / "metrics.json")
        assert (tmp_path / "metrics.json").is_file()

    def test_save_metrics_schema(self, tmp_path):
        _, data = save_and_load(tmp_path, evaluation=SPEC_EVALUATION)
        assert set(data) >= TOP_KEYS
        assert set(data["config"]) >= CONFIG_KEYS
        assert data["run_id"] == "run_20260115_143000"
        assert data["training"] == {"training_timesteps": 100_000}
        assert data["evaluation"] == SPEC_EVALUATION

    def test_config_holds_the_arguments(self, tmp_path):
        wanted = {
            "dataset_dir": "ml/scenarios/datasets/v1",
            "sumo_cfg": None,
            "emulator_params": "ml/espnow_emulator/emulator_params_5m.json",
            "seed": 7,
            "total_timesteps": 500_000,
            "learning_rate": 1e-4,
            "n_steps": 1024,
            "ent_coef": 0.05,
        }
        _, data = save_and_load(tmp_path, evaluation=SPEC_EVALUATION, **wanted)
        assert {name: data["config"][name] for name in CONFIG_KEYS} == wanted

    def test_config_has_the_json_types_of_the_schema(self, tmp_path):
        _, data = save_and_load(tmp_path, evaluation=SPEC_EVALUATION)
        config = data["config"]
        for name in ("seed", "total_timesteps", "n_steps"):
            assert type(config[name]) is int
        for name in ("learning_rate", "ent_coef"):
            assert type(config[name]) is float
        assert config["dataset_dir"] is None
        assert config["emulator_params"] is None
        assert config["sumo_cfg"] == BASE_CFG

    def test_evaluation_has_the_json_types_of_the_schema(self, tmp_path, mock_model, mock_env):
        metrics, _, _ = run_evaluate(mock_model, mock_env, eval_episodes=4)
        _, data = save_and_load(tmp_path, evaluation=metrics)
        evaluation = data["evaluation"]
        assert set(evaluation) >= EVAL_KEYS
        for name in ("eval_episodes", "collisions", "truncations"):
            assert type(evaluation[name]) is int
        for name in EVAL_KEYS - {
            "eval_episodes",
            "collisions",
            "truncations",
            "scenarios_evaluated",
        }:
            assert type(evaluation[name]) is float
        assert all(type(name) is str for name in evaluation["scenarios_evaluated"])

    def test_evaluation_is_null_when_skipped(self, tmp_path):
        _, data = save_and_load(tmp_path, evaluation=None, skip_eval=True)
        assert "evaluation" in data
        assert data["evaluation"] is None

    def test_timestamp_is_the_iso_time_of_saving(self, tmp_path):
        before = datetime.now().timestamp()
        _, data = save_and_load(tmp_path)
        stamp = datetime.fromisoformat(data["timestamp"]).timestamp()
        assert before - 1 <= stamp <= datetime.now().timestamp() + 1

    def test_second_save_replaces_the_first(self, tmp_path):
        save_and_load(tmp_path, evaluation=None)
        _, data = save_and_load(tmp_path, evaluation=SPEC_EVALUATION, run_id="second")
        assert data["run_id"] == "second"
        assert data["evaluation"] == SPEC_EVALUATION

    def test_given_dictionaries_are_not_changed(self, tmp_path):
        training = {"training_timesteps": 5}
        evaluation = dict(SPEC_EVALUATION)
        save_and_load(tmp_path, training=training, evaluation=evaluation)
        assert training == {"training_timesteps": 5}
        assert evaluation == SPEC_EVALUATION

    def test_save_metrics_prints_the_path(self, tmp_path, capsys):
        path, _ = save_and_load(tmp_path)
        assert path in capsys.readouterr().out


def bound(function, mock):
    """The arguments of the mock's only call, by the names of the real function's parameters."""
    mock.assert_called_once()
    return inspect.signature(function).bind(*mock.call_args.args, **mock.call_args.kwargs).arguments


@pytest.fixture
def wired(monkeypatch):
    """train, evaluate and save_metrics patched; each call's name is noted in order."""
    order = MagicMock()
    real = {name: getattr(train_convoy, name) for name in ("train", "evaluate", "save_metrics")}
    order.train.return_value = ("out/model_final.zip", {"training_timesteps": 5})
    order.evaluate.return_value = dict(SPEC_EVALUATION)
    order.save_metrics.return_value = "out/metrics.json"
    for name in real:
        monkeypatch.setattr(train_convoy, name, getattr(order, name))

    def run(*words):
        monkeypatch.setattr(
            sys, "argv", ["train_convoy.py", "--run_id", "mine", "--output_dir", "out", *words]
        )
        return train_convoy.main()

    return argparse.Namespace(order=order, real=real, run=run)


class TestMain:
    def test_main_trains_evaluates_and_saves_in_this_order(self, wired):
        assert wired.run() is None
        assert [one[0] for one in wired.order.mock_calls] == ["train", "evaluate", "save_metrics"]

    def test_main_hands_the_results_on(self, wired):
        wired.run("--seed", "7")
        train = bound(wired.real["train"], wired.order.train)
        evaluate = bound(wired.real["evaluate"], wired.order.evaluate)
        save = bound(wired.real["save_metrics"], wired.order.save_metrics)
        assert train["args"].seed == 7
        assert evaluate["model_path"] == "out/model_final.zip"
        assert evaluate["args"] is train["args"]
        assert save["output_dir"] == "out"
        assert save["training_metrics"] == {"training_timesteps": 5}
        assert save["eval_metrics"] == SPEC_EVALUATION
        assert save["args"] is train["args"]

    def test_skip_eval_leaves_evaluation_out(self, wired):
        wired.run("--skip_eval")
        wired.order.evaluate.assert_not_called()
        save = bound(wired.real["save_metrics"], wired.order.save_metrics)
        assert save["eval_metrics"] is None
        assert save["training_metrics"] == {"training_timesteps": 5}

    def test_output_dir_that_train_fills_in_is_used(self, wired, monkeypatch):
        def train(args):
            args.run_id = "made"
            args.output_dir = "made/here"
            return "made/here/model_final.zip", {"training_timesteps": 5}

        wired.order.train.side_effect = train
        monkeypatch.setattr(train_convoy, "parse_args", MagicMock(return_value=make_args()))
        train_convoy.main()
        save = bound(wired.real["save_metrics"], wired.order.save_metrics)
        assert save["output_dir"] == "made/here"
        assert save["args"].run_id == "made"

    def test_main_prints_run_id_and_output_folder(self, wired, capsys):
        wired.run()
        text = capsys.readouterr().out
        assert re.search(r"complete.*\bmine\b", text, re.IGNORECASE)
        assert re.search(r"output.*\bout\b", text, re.IGNORECASE)

    @pytest.mark.parametrize("skip", [False, True])
    def test_main_with_ppo_and_gym_patched_writes_the_metrics(
        self, tmp_path, mock_model, monkeypatch, skip
    ):
        words = [
            "train_convoy.py", "--run_id", "mine", "--output_dir", str(tmp_path),
            "--eval_episodes", "4", "--imitation_episodes", "0",
        ]  # fmt: skip
        monkeypatch.setattr(sys, "argv", [*words, *(["--skip_eval"] if skip else [])])
        with patch(f"{MODULE}.PPO") as ppo, patch(f"{MODULE}.gym") as gym:
            make_trainable_ppo(ppo, mock_model)
            ppo.load.return_value = mock_model
            train_env = make_trainable_env()
            gym.make.side_effect = lambda *_, **__: (
                train_env if gym.make.call_count == 1 else make_env(FOUR_EPISODES)
            )
            train_convoy.main()
        data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert data["run_id"] == "mine"
        assert data["training"]["training_timesteps"] == 100_000
        assert ppo.load.call_count == (0 if skip else 1)
        if skip:
            assert data["evaluation"] is None
        else:
            assert data["evaluation"]["collisions"] == 2
            assert ppo.load.call_args.args[0] == str(tmp_path / "model_final.zip")


@pytest.fixture
def docker_calls(tmp_path):
    """Run the runner with a `docker` that only notes its arguments; return those calls."""
    tools = tmp_path / "tools"
    tools.mkdir()
    log = tmp_path / "calls.txt"
    fake = tools / "docker"
    fake.write_text(
        f"#!/bin/sh\nprintf '%s\\037' \"$@\" >> '{log}'\nprintf '\\036' >> '{log}'\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)

    def run(*words, cwd=REPO_ROOT):
        result = subprocess.run(
            [shutil.which("bash"), str(REPO_ROOT / "ml" / "run_docker.sh"), *words],
            cwd=cwd,
            env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        records = log.read_text(encoding="utf-8").split("\036")[:-1]
        return [record.split("\037")[:-1] for record in records]

    return run


class TestRunDocker:
    @pytest.mark.parametrize(
        "words",
        [
            ["--help"],
            ["--dataset_dir", "ml/scenarios/datasets/v1", "--seed", "42"],
            ["--sumo_cfg", BASE_CFG, "--run_id", "two words"],
            [],
        ],
        ids=["help", "dataset", "words_with_spaces", "none"],
    )
    def test_train_passes_its_arguments_through(self, docker_calls, words):
        runs = [one for one in docker_calls("train", *words) if one[:1] == ["run"]]
        assert len(runs) == 1
        command = ["python", "-m", "ml.training.train_convoy", *words]
        assert runs[0][-len(command) :] == command

    def test_train_works_in_the_mounted_root_with_the_commit(self, docker_calls, tmp_path):
        runs = [one for one in docker_calls("train", cwd=tmp_path) if one[:1] == ["run"]]
        line = " ".join(runs[0])
        assert "--rm" in runs[0]
        assert "GIT_COMMIT=" in line
        assert re.search(r"(-w|--workdir)[ =]/work\b", line)
        assert re.search(rf"{re.escape(str(REPO_ROOT))}(:|,target=|,dst=)/work\b", line)


def run_module(module, *words, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    """A dataset of three train and two eval scenarios, made from the base scenario."""
    output = tmp_path_factory.mktemp("datasets") / "smoke"
    result = run_module(
        "ml.scripts.gen_scenarios",
        *["--base_dir", "ml/scenarios/base"],
        *["--output_dir", output],
        *["--seed", 42],
        *["--train_count", 3],
        *["--eval_count", 2],
    )
    assert result.returncode == 0, f"Generation failed: {result.stderr}"
    return output


@pytest.mark.integration
@pytest.mark.slow
class TestCommand:
    def test_help_shows_every_flag(self):
        result = run_module(MODULE, "--help")
        assert result.returncode == 0, result.stderr
        assert [flag for flag in FLAGS if flag not in result.stdout] == []

    def test_both_sources_given_is_an_error(self, tmp_path):
        result = run_module(MODULE, "--dataset_dir", tmp_path, "--sumo_cfg", BASE_CFG)
        assert result.returncode == 2
        assert "--dataset_dir" in result.stderr
        assert "--sumo_cfg" in result.stderr

    def test_dataset_has_the_folders_of_the_prerequisites(self, dataset_dir):
        assert (dataset_dir / "manifest.json").is_file()
        assert sorted(one.name for one in (dataset_dir / "train").glob("train_*")) == [
            "train_000",
            "train_001",
            "train_002",
        ]
        assert sorted(one.name for one in (dataset_dir / "eval").glob("eval_*")) == [
            "eval_000",
            "eval_001",
        ]

    def test_train_eval_smoke(self, dataset_dir, tmp_path):
        result = run_module(
            MODULE,
            *["--dataset_dir", dataset_dir],
            *["--total_timesteps", 100],
            *["--eval_episodes", 1],
            *["--output_dir", tmp_path],
        )
        assert result.returncode == 0, f"Training failed: {result.stderr}"
        assert (tmp_path / "model_final.zip").exists()
        assert (tmp_path / "metrics.json").exists()
        assert (tmp_path / "checkpoints").is_dir()
        assert list((tmp_path / "tensorboard" / "PPO_1").glob("events.out.tfevents.*"))

        data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert set(data) >= TOP_KEYS
        assert set(data["config"]) >= CONFIG_KEYS
        assert set(data["evaluation"]) >= EVAL_KEYS
        assert re.fullmatch(r"run_\d{8}_\d{6}", data["run_id"])
        assert data["config"]["dataset_dir"] == str(dataset_dir)
        assert data["config"]["sumo_cfg"] is None
        assert data["config"]["n_steps"] == 2048
        assert data["training"]["training_timesteps"] == 100
        assert data["evaluation"]["eval_episodes"] == 1
        assert data["evaluation"]["scenarios_evaluated"] == ["eval_000"]

    def test_evaluation_walks_the_scenarios_in_order_and_repeats_exactly(
        self, dataset_dir, tmp_path
    ):
        found = []
        for name in ("first", "second"):
            result = run_module(
                MODULE,
                *["--dataset_dir", dataset_dir],
                *["--total_timesteps", 128],
                *["--n_steps", 128],
                *["--eval_episodes", 3],
                *["--seed", 7],
                *["--output_dir", tmp_path / name],
                *["--run_id", name],
            )
            assert result.returncode == 0, f"Training failed: {result.stderr}"
            text = (tmp_path / name / "metrics.json").read_text(encoding="utf-8")
            found.append(json.loads(text)["evaluation"])
        assert found[0]["scenarios_evaluated"] == ["eval_000", "eval_001", "eval_000"]
        assert {key: found[0][key] for key in EVAL_KEYS} == {
            key: found[1][key] for key in EVAL_KEYS
        }

    @pytest.mark.parametrize("source", [[], ["--sumo_cfg", BASE_CFG]], ids=["none", "sumo_cfg"])
    def test_single_scenario_still_trains(self, tmp_path, source):
        result = run_module(
            MODULE,
            *source,
            *["--total_timesteps", 128],
            *["--n_steps", 128],
            *["--output_dir", tmp_path],
            "--skip_eval",
        )
        assert result.returncode == 0, f"Training failed: {result.stderr}"
        assert (tmp_path / "model_final.zip").exists()
        data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert data["config"]["sumo_cfg"] == BASE_CFG
        assert data["config"]["dataset_dir"] is None
        assert data["evaluation"] is None

    def test_checkpoint_is_written_every_ten_thousand_steps(self, tmp_path):
        result = run_module(
            MODULE,
            *["--sumo_cfg", BASE_CFG],
            *["--total_timesteps", 10_000],
            *["--n_steps", 2000],
            *["--output_dir", tmp_path],
            "--skip_eval",
        )
        assert result.returncode == 0, f"Training failed: {result.stderr}"
        names = [one.name for one in (tmp_path / "checkpoints").glob("*.zip")]
        assert names == ["deep_sets_10000_steps.zip"]

    def test_single_scenario_evaluates(self, tmp_path):
        result = run_module(
            MODULE,
            *["--sumo_cfg", BASE_CFG],
            *["--total_timesteps", 128],
            *["--n_steps", 128],
            *["--eval_episodes", 1],
            *["--output_dir", tmp_path],
        )
        assert result.returncode == 0, f"Training failed: {result.stderr}"
        data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
        assert set(data["evaluation"]) >= EVAL_KEYS
        assert data["evaluation"]["eval_episodes"] == 1
