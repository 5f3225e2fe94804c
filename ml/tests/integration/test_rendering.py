"""``render`` of the environment on the real SUMO, in both of its modes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import sumo
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.passive_env_checker import env_render_passive_checker

from ml.envs import ENVIRONMENT_ID, sumo_window
from ml.envs.top_view import EGO_AT_PX
from ml.evaluation.episodes import run_episode
from ml.policies.baselines import make_scripted_policy
from ml.provenance import REPOSITORY_ROOT

NO_DEMAND = np.array([-1.0], dtype=np.float32)
HEADLESS_SUMO = str(Path(sumo.SUMO_HOME) / "bin" / "sumo")


@pytest.mark.parametrize("render_mode", ["human", "rgb_array"])
def test_gymnasium_finds_nothing_wrong_with_rendering(base_cfg, render_mode, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":not-used")
    monkeypatch.setattr(sumo_window, "gui_binary", lambda: HEADLESS_SUMO)
    env = gym.make(
        ENVIRONMENT_ID, sumo_cfg=base_cfg, scenario_seed=1, max_steps=30, render_mode=render_mode
    )
    with contextlib.closing(env), warnings.catch_warnings():
        warnings.simplefilter("error")
        # Its own check of rendering opens a second environment, and libsumo has room for one.
        check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
        env.reset()
        env_render_passive_checker(env.unwrapped)


def test_without_a_mode_or_in_a_window_there_is_no_picture(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=1)
    env.reset()

    assert env.render() is None


def test_a_picture_shows_the_ego_where_it_always_is_and_changes_with_the_step(base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=1, render_mode="rgb_array")
    pictures = []
    env.reset()
    for _ in range(3):
        pictures.append(env.render())
        env.step(NO_DEMAND)

    ego = [np.nonzero((picture == (247, 196, 49)).all(axis=2))[1] for picture in pictures]
    assert [columns[columns < 300].max() for columns in ego] == pytest.approx(
        [EGO_AT_PX] * 3, abs=2
    )
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])


def test_a_picture_does_not_depend_on_the_episode_before(dataset_dir, make_env):
    def make():
        return make_env(
            dataset_dir=dataset_dir, scenario_seed=4, scenario_mode="eval", render_mode="rgb_array"
        )

    env = make()
    for index in range(3):  # convoys of several lengths, on several roads
        env.reset(options={"episode_index": index})
        last = env.render()
    env.close()
    alone = make()
    alone.reset(options={"episode_index": 2})

    assert np.array_equal(alone.render(), last)


def test_pictures_change_no_record(dataset_dir, make_env):
    policy = make_scripted_policy("eebl")
    plain = make_env(dataset_dir=dataset_dir, scenario_seed=4, scenario_mode="eval", max_steps=80)
    expected = [run_episode(policy, plain, index) for index in range(2)]
    plain.close()
    drawn = make_env(
        dataset_dir=dataset_dir, scenario_seed=4, scenario_mode="eval", max_steps=80,
        render_mode="rgb_array",
    )  # fmt: skip

    class Drawing(gym.Wrapper):
        def step(self, action):
            result = self.env.step(action)
            self.env.render()
            return result

    assert [run_episode(policy, Drawing(drawn), index) for index in range(2)] == expected


def test_training_never_loads_what_draws():
    code = (
        "import sys, ml.training.train_convoy, ml.envs.convoy_env;"
        "print(sorted({'PIL.ImageDraw', 'ml.envs.top_view'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=REPOSITORY_ROOT, env=os.environ,
    )  # fmt: skip

    assert result.stdout.strip() == "[]"
