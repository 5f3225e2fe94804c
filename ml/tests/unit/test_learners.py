"""Tests of ml.training.learners: the choice, and what is said where it cannot be had."""

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from ml.tests.unit.learner_cases import NumberedEnv, make_model
from ml.training.arguments import parse_args
from ml.training.fast_ppo import FastPPO
from ml.training.learners import choose_learner, scale_rewards
from ml.training.reward_scaling import ScaledRewards


def test_fast_learner_is_used_in_silence(capsys):
    model = make_model()
    assert choose_learner(model, "fast") == {"asked": "fast", "used": "fast", "reason": None}
    assert type(model) is FastPPO
    assert capsys.readouterr().err == ""


def test_plain_learner_stays_plain():
    model = make_model()
    assert choose_learner(model, "sb3") == {"asked": "sb3", "used": "sb3", "reason": None}
    assert type(model) is PPO


def test_model_that_is_not_supported_learns_plainly_and_one_line_says_so(capsys):
    model = make_model(use_sde=True)
    choice = choose_learner(model, "fast")
    reason = "exploration depends on the state"
    assert choice == {"asked": "fast", "used": "sb3", "reason": reason}
    assert type(model) is PPO
    expected = f"--learner fast is not used: {reason}. Plain PPO learns instead.\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("learner", "kind"), [("fast", ScaledRewards), ("sb3", VecNormalize)])
def test_rewards_are_scaled_for_either_learner(learner, kind):
    vector = scale_rewards(DummyVecEnv([lambda: NumberedEnv(1)]), learner, 0.97)
    assert type(vector) is kind
    assert (vector.norm_obs, vector.norm_reward, vector.gamma) == (False, True, 0.97)


@pytest.mark.parametrize(("argv", "learner"), [([], "fast"), (["--learner", "sb3"], "sb3")])
def test_learner_is_chosen_on_the_command_line(argv, learner):
    assert parse_args(argv).learner == learner
