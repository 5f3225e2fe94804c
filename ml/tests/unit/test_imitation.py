"""The first policy learns what the oracle demands; its critic and the draws stay as they are."""

from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.training.arguments import parse_args
from ml.training.imitation import REST_ACTION, Demonstrations, imitate
from ml.training.rollout import default_num_imitated

SPACE = spaces.Dict({
    "ego": spaces.Box(-40.0, 40.0, (2,)),
    "peers": spaces.Box(-40.0, 40.0, (3, 4)),
    "peer_mask": spaces.Box(0.0, 1.0, (3,)),
})  # fmt: skip


class Still(gym.Env):
    observation_space = SPACE
    action_space = spaces.Box(-1.0, 1.0, (1,))


@pytest.fixture
def policy():
    return PPO(
        "MultiInputPolicy", Still(), policy_kwargs=create_deep_set_policy_kwargs(8), seed=3
    ).policy


def demonstrations(num_steps=4096):
    """Return steps at which the oracle demands 6 m/s^2 where the only peer brakes."""
    generator = np.random.default_rng(5)
    peers = generator.uniform(-10.0, 10.0, (num_steps, 3, 4)).astype(np.float32)
    is_braking = generator.uniform(size=num_steps) < 0.1
    peers[:, 0, 0] = np.where(is_braking, -8.0, 1.0)
    mask = np.zeros((num_steps, 3), np.float32)
    mask[:, 0] = 1.0
    ego = generator.uniform(-10.0, 10.0, (num_steps, 2)).astype(np.float32)
    demands = np.where(is_braking, 6.0, 0.0).astype(np.float32)
    return Demonstrations({"ego": ego, "peers": peers, "peer_mask": mask}, demands)


def test_the_actor_learns_to_demand_what_the_oracle_demands(policy):
    seen = demonstrations()
    imitate(policy, seen, seed=1)
    with torch.no_grad():
        observation = {k: torch.as_tensor(v) for k, v in seen.observations.items()}
        actions = policy.get_distribution(observation).distribution.mean[:, 0].numpy()

    is_braking = seen.demands_mps2 > 0.0
    assert actions[is_braking].mean() == pytest.approx(0.75, abs=0.1)  # 6 of 8 m/s^2
    assert actions[~is_braking].mean() == pytest.approx(REST_ACTION, abs=0.05)


def test_the_critic_stays_and_the_deviation_is_small(policy):
    parts = (policy.vf_features_extractor, policy.mlp_extractor.value_net, policy.value_net)
    before = [value.clone() for part in parts for value in part.state_dict().values()]
    imitate(policy, demonstrations(512), seed=1)
    after = [value for part in parts for value in part.state_dict().values()]

    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert policy.log_std.item() == pytest.approx(math.log(0.2))


def test_no_random_number_of_the_training_is_drawn(policy):
    before = torch.get_rng_state()
    imitate(policy, demonstrations(512), seed=1)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("steps", "episodes"), [(19_999, 0), (20_000, 20), (99_999, 99), (100_000, 100), (10**9, 100)]
)
def test_short_runs_imitate_nothing_and_long_ones_100_episodes(steps, episodes):
    assert default_num_imitated(steps) == episodes
    assert parse_args(["--total_timesteps", str(steps)]).imitation_episodes == episodes


def test_a_window_shows_no_imitation(capsys):
    assert parse_args(["--gui"]).imitation_episodes == 0
    with pytest.raises(SystemExit):
        parse_args(["--gui", "--imitation_episodes", "5"])

    assert "--imitation_episodes must be 0 with --gui. Got 5." in capsys.readouterr().err
