"""Small environments, random architectures and observations for the learner's tests."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from ml.policies.deep_set_policy import DeepSetExtractor
from ml.training.fast_ppo import accelerate
from ml.training.reward_scaling import ScaledRewards

GAMMA = 0.97


def space_of(num_ego, num_slots, num_features):
    return spaces.Dict(
        {
            "ego": spaces.Box(-40.0, 40.0, (num_ego,), np.float32),
            "peers": spaces.Box(-200.0, 200.0, (num_slots, num_features), np.float32),
            "peer_mask": spaces.Box(0.0, 1.0, (num_slots,), np.float32),
        }
    )


def random_observations(space, num_rows, generator, share_present=0.5):
    """Return observations whose empty slots hold NaN, which must have no effect."""
    mask = (generator.random((num_rows, *space["peer_mask"].shape)) < share_present).astype("f")
    peers = generator.uniform(-100.0, 100.0, (num_rows, *space["peers"].shape)).astype("f")
    ego = generator.uniform(-20.0, 20.0, (num_rows, *space["ego"].shape)).astype("f")
    return {
        "ego": ego,
        "peers": np.where(mask[:, :, None] > 0.5, peers, np.float32(np.nan)),
        "peer_mask": mask,
    }


class NumberedEnv(gym.Env):
    """Random observations; the reward wants the action to follow the ego's first feature.

    A step ends the episode with probability 2 %, and the twentieth truncates it.
    """

    def __init__(self, number, space=None, num_actions=1):
        self.observation_space = space or space_of(5, 4, 6)
        self.action_space = spaces.Box(-1.0, 1.0, (num_actions,), np.float32)
        self._generator = np.random.default_rng(number)

    def _observe(self):
        rows = random_observations(self.observation_space, 1, self._generator)
        self._observation = {key: np.nan_to_num(values[0]) for key, values in rows.items()}
        return self._observation

    def reset(self, *, seed=None, options=None):
        self._num_steps = 0
        return self._observe(), {}

    def step(self, action):
        self._num_steps += 1
        target = self._observation["ego"][0] / 40.0
        reward = -3.0 * float(np.sum((action - target) ** 2))
        is_over = bool(self._generator.random() < 0.02)
        return self._observe(), reward, is_over, self._num_steps >= 20, {}


def make_model(
    *, is_fast=False, num_envs=2, space=None, num_actions=1, policy_kwargs=None, **kwargs
):
    """Return a model with its environments; both learners get the same random numbers."""
    vector = DummyVecEnv(
        [
            lambda number=number: NumberedEnv(number, space, num_actions)
            for number in range(num_envs)
        ]
    )
    scaled = (
        ScaledRewards(vector, GAMMA)
        if is_fast
        else VecNormalize(vector, norm_obs=False, norm_reward=True, gamma=GAMMA)
    )
    settings = {"n_steps": 32, "batch_size": 16, "n_epochs": 3, "gamma": GAMMA, "ent_coef": 0.01}
    model = PPO(
        "MultiInputPolicy",
        scaled,
        policy_kwargs=policy_kwargs or deep_set_kwargs(),
        seed=7,
        device="cpu",
        **{**settings, **kwargs},
    )
    if is_fast:
        assert accelerate(model) is None
    return model


def deep_set_kwargs(embed=6, pi=(8, 8), vf=(8, 8), activation=torch.nn.Tanh, hidden_inputs=None):
    return {
        "features_extractor_class": DeepSetExtractor,
        "features_extractor_kwargs": {"peer_embed_dim": embed, "hidden_inputs": hidden_inputs},
        "share_features_extractor": False,
        "net_arch": {"pi": list(pi), "vf": list(vf)},
        "activation_fn": activation,
        "log_std_init": -0.7,
    }


def state_of(model):
    """Return weights and Adam's state as flat arrays by name."""
    weights = {name: tensor.numpy() for name, tensor in model.policy.state_dict().items()}
    adam = model.policy.optimizer.state_dict()["state"]
    moments = {
        f"{index}.{name}": np.asarray(value)
        for index, entry in adam.items()
        for name, value in entry.items()
    }
    return weights | moments


_WIDTHS = st.lists(st.integers(1, 70), max_size=3)
SPACES = st.builds(space_of, st.integers(1, 20), st.integers(1, 9), st.integers(1, 12))
ARCHITECTURES = st.builds(
    deep_set_kwargs,
    st.integers(1, 40),
    _WIDTHS,
    _WIDTHS,
    st.sampled_from([torch.nn.Tanh, torch.nn.ReLU]),
)
