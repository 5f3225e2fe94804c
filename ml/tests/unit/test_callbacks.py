"""Tests of ml.training.callbacks: bounded exploration, whole checkpoints, a readable log."""

import json
import math
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from ml.errors import ConfigError, PolicyError, RecordError
from ml.progress import ProgressDisplay
from ml.training.callbacks import (
    BoundedLogStdCallback,
    CheckpointCallback,
    FiniteUpdateCallback,
    ProgressCallback,
    divergence_told,
    save_model_atomically,
)


class FiveStepEnv(gym.Env):
    """Episodes of five steps with reward 1; every second one ends in a collision."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self):
        self.num_episodes = self.num_steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.num_episodes += 1
        self.num_steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.num_steps += 1
        is_over, is_collision = self.num_steps == 5, self.num_episodes % 2 == 0
        observation = np.zeros(2, np.float32)
        return observation, 1.0, is_over and is_collision, is_over and not is_collision, {}


def make_model(ent_coef=0.0):
    return PPO(
        "MlpPolicy",
        Monitor(FiveStepEnv()),
        n_steps=20,
        batch_size=20,
        n_epochs=2,
        ent_coef=ent_coef,
        seed=0,
        device="cpu",
    )


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_standard_deviation_stays_within_its_bound_under_a_large_entropy_bonus():
    model = make_model(ent_coef=100.0)
    model.policy.log_std.data.fill_(math.log(0.6))
    model.learn(60, callback=BoundedLogStdCallback())
    assert torch.exp(model.policy.log_std).item() <= 0.6 + 1e-6


def test_standard_deviation_is_brought_into_its_bound_before_the_first_step():
    model = make_model()
    model.policy.log_std.data.fill_(-20.0)
    model.learn(20, callback=BoundedLogStdCallback())
    assert torch.exp(model.policy.log_std).item() >= 0.05 - 1e-6


def test_checkpoints_are_named_by_their_steps(tmp_path):
    make_model().learn(60, callback=CheckpointCallback(tmp_path, period_steps=25))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["deep_sets_25_steps.zip", "deep_sets_50_steps.zip"]
    assert all(zipfile.is_zipfile(tmp_path / name) for name in names)


def test_checkpoints_are_multiples_of_their_period_for_any_number_of_environments(tmp_path):
    # Three environments: after 9 and 17 calls, 27 and 51 steps are the first beyond 25 and 50.
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([FiveStepEnv] * 3),
        n_steps=20,
        batch_size=20,
        n_epochs=1,
        device="cpu",
    )
    model.learn(60, callback=CheckpointCallback(tmp_path, period_steps=25))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["deep_sets_25_steps.zip", "deep_sets_50_steps.zip"]


def test_newest_checkpoints_are_kept_and_what_belongs_to_others_goes_with_them(tmp_path):
    (tmp_path / "deep_sets_20_steps.json").write_text("{}")
    (tmp_path / "deep_sets_mine.zip").write_text("")
    callback = CheckpointCallback(tmp_path, period_steps=20, num_kept=2)
    make_model().learn(80, callback=callback)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["deep_sets_60_steps.zip", "deep_sets_80_steps.zip", "deep_sets_mine.zip"]


def test_progress_goes_on_where_it_was(tmp_path):
    first = ProgressCallback(tmp_path / "first.jsonl", 20, is_quiet=True)
    make_model().learn(20, callback=first)
    second = ProgressCallback(tmp_path / "second.jsonl", 40, is_quiet=True)
    second.restore(json.loads(json.dumps({**first.state(), "num_episodes": 6, "spent_s": 1000.0})))
    make_model().learn(20, callback=second)
    (row,) = rows_of(tmp_path / "second.jsonl")
    assert row["episodes"] == 6 + 4  # 20 steps are 4 episodes of 5
    assert row["time_s"] > 1000.0


def test_checkpoint_period_must_be_positive(tmp_path):
    with pytest.raises(ConfigError, match="period_steps"):
        CheckpointCallback(tmp_path, period_steps=0)


def test_failing_save_leaves_nothing_behind(tmp_path):
    class Unwritable:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(RecordError, match="No space left"):
        save_model_atomically(Unwritable(), tmp_path / "model.zip")
    assert list(tmp_path.iterdir()) == []


def test_log_has_one_row_per_rollout_with_the_update_that_followed(tmp_path):
    path = tmp_path / "progress.jsonl"
    make_model().learn(60, callback=ProgressCallback(path, 60, is_quiet=True))
    rows = rows_of(path)
    assert [row["steps"] for row in rows] == [20, 40, 60]
    assert all(row["approx_kl"] is not None and row["entropy"] is not None for row in rows)
    assert all(math.isfinite(row["log_std"]) for row in rows)


def test_log_counts_collisions_and_the_raw_episode_reward(tmp_path):
    path = tmp_path / "progress.jsonl"
    make_model().learn(20, callback=ProgressCallback(path, 20, is_quiet=True))
    (row,) = rows_of(path)
    assert row["episodes"] == 4
    assert row["collision_rate"] == 0.5  # the 2nd and the 4th
    assert row["episode_reward_mean"] == 5.0  # five steps with reward 1


def test_value_that_is_not_finite_becomes_null(tmp_path):
    path = tmp_path / "progress.jsonl"

    class NothingExplained(ProgressCallback):
        def _on_training_end(self):
            self.logger.record("train/explained_variance", math.nan)
            super()._on_training_end()

    make_model().learn(20, callback=NothingExplained(path, 20, is_quiet=True))
    assert rows_of(path)[0]["explained_variance"] is None


def test_progress_is_plain_lines_where_standard_error_is_no_terminal(capsys):
    with ProgressDisplay("training", 100, "steps") as display:
        display.update(40)
        display.update(100, lambda: "mean episode reward -1.0", is_last=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("training: 100/100 steps")
    assert "mean episode reward -1.0" in line


def test_quiet_progress_shows_nothing(capsys):
    with ProgressDisplay("training", 100, "steps", is_quiet=True) as display:
        display.update(100, is_last=True)
    assert capsys.readouterr().err == ""


# --- Divergence ---------------------------------------------------------------------------------


def lose_weights(model):
    torch.nn.init.constant_(model.policy.action_net.weight, math.nan)


def test_learning_that_diverges_before_it_can_act_is_one_line_with_the_steps():
    model = make_model()
    lose_weights(model)

    said = r"finite\. Got NaN or infinity in action_net\.weight after 0 steps"
    with pytest.raises(PolicyError, match=said) as caught, divergence_told(model):
        model.learn(40)

    assert "\n" not in str(caught.value)
    assert "--learning_rate" in str(caught.value)


class Losing(BaseCallback):
    """Lets something be no number after the update of so many steps."""

    def __init__(self, num_steps, lose):
        super().__init__()
        self._num_steps, self._lose = num_steps, lose

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        if self.num_timesteps == self._num_steps:
            self._lose(self.model)

    def _on_training_end(self):
        self._on_rollout_start()


def lose_loss(model):
    model.logger.record("train/value_loss", math.inf)


@pytest.mark.parametrize("num_steps", [20, 40])
@pytest.mark.parametrize(
    ("lose", "said"),
    [(lose_weights, r"in action_net\.weight after {} steps"),
     (lose_loss, r"value_loss of the update after {} steps must be finite\. Got inf\.")],
)  # fmt: skip
def test_update_that_loses_the_numbers_ends_the_learning(num_steps, lose, said):
    model = make_model()

    with pytest.raises(PolicyError, match=said.format(num_steps)):
        model.learn(40, callback=[Losing(num_steps, lose), FiniteUpdateCallback()])

    assert model.num_timesteps == num_steps


def test_another_failure_of_the_learning_stays_what_it_is():
    with pytest.raises(ConfigError, match=r"^other$"), divergence_told(make_model()):
        raise ConfigError("other")


def test_learning_that_stays_finite_is_left_alone():
    model = make_model()

    with divergence_told(model):
        model.learn(20)

    assert model.num_timesteps == 20
