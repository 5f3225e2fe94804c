"""Steps per second of the learner alone, on an environment that costs nothing.

Both learners, over numbers of environments and batch shapes, their rounds interleaved. Prints a
table and one JSON line with commit, processor and versions. `cpu` rates divide by the process's own
processor time, which others on the machine do not slow down.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from measurement import print_record
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.observation import observation_space
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.training import recipe
from ml.training.learners import choose_learner, scale_rewards
from ml.training.rollout import LEARNERS

NUM_ENVS = (1, 8, 64)
BATCHES = ((64, 10), (512, 10), (1024, 4))
ROLLOUT_STEPS = 2048
_NUM_PREPARED = 64


class FreeEnvironments(VecEnv):
    """Prepared observations with 0 to 8 peers, as many of each; no episode ends.

    Args:
        num_envs: Number of environments.
    """

    def __init__(self, num_envs: int) -> None:
        space = observation_space()
        generator = np.random.default_rng(1)
        self._prepared = [self._observe(space, num_envs, generator) for _ in range(_NUM_PREPARED)]
        self._rewards = generator.normal(size=(_NUM_PREPARED, num_envs)).astype(np.float32)
        self._num_steps = 0
        super().__init__(num_envs, space, spaces.Box(-1.0, 1.0, (1,), np.float32))

    @staticmethod
    def _observe(
        space: spaces.Dict, num_envs: int, generator: np.random.Generator
    ) -> dict[str, Any]:
        """Return one observation of each environment."""
        num_slots = space["peer_mask"].shape[0]
        num_peers = generator.integers(0, num_slots + 1, num_envs)
        mask = (np.arange(num_slots) < num_peers[:, None]).astype(np.float32)
        ego, peers = (
            generator.uniform(space[key].low, space[key].high, (num_envs, *space[key].shape))
            for key in ("ego", "peers")
        )
        return {
            "ego": ego.astype(np.float32),
            "peers": (peers * mask[:, :, None]).astype(np.float32),
            "peer_mask": mask,
        }

    def reset(self) -> dict[str, Any]:
        """Return the first observations."""
        return self._prepared[0]

    def step_async(self, actions: object) -> None:
        """Do nothing."""

    def step_wait(self) -> VecEnvStepReturn:
        """Return the next prepared step."""
        self._num_steps += 1
        row = self._num_steps % _NUM_PREPARED
        dones = np.zeros(self.num_envs, dtype=np.bool_)
        return self._prepared[row], self._rewards[row].copy(), dones, [{}] * self.num_envs

    def close(self) -> None:
        """Do nothing."""

    def get_attr(self, attr_name: str, indices: object = None) -> list[Any]:
        """Return None for each."""
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: object, indices: object = None) -> None:
        """Do nothing."""

    def env_method(
        self, method_name: str, *args: object, indices: object = None, **kwargs: object
    ) -> list[Any]:
        """Return None for each."""
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: object, indices: object = None) -> list[bool]:
        """Return False for each."""
        return [False] * self.num_envs


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the learner.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=5, help="Rounds (default: 5).")
    return parser.parse_args()


def make_model(learner: str, num_envs: int, batch_size: int, num_epochs: int) -> PPO:
    """Return a model of the recipe on free environments."""
    model = PPO(
        "MultiInputPolicy",
        scale_rewards(FreeEnvironments(num_envs), learner, recipe.GAMMA),
        policy_kwargs=create_deep_set_policy_kwargs(recipe.PEER_EMBED_DIM),
        n_steps=ROLLOUT_STEPS // num_envs,
        batch_size=batch_size,
        n_epochs=num_epochs,
        gamma=recipe.GAMMA,
        gae_lambda=recipe.GAE_LAMBDA,
        ent_coef=0.01,
        seed=1,
        device="cpu",
    )
    choose_learner(model, learner)
    return model


def steps_per_second(model: PPO) -> tuple[float, float]:
    """Return the rate of one rollout and its update by the clock and by processor time."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    model.learn(ROLLOUT_STEPS)
    cpu_s, clock_s = time.process_time() - start_cpu_s, time.perf_counter() - start_s
    return ROLLOUT_STEPS / clock_s, ROLLOUT_STEPS / cpu_s


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    torch.set_num_threads(1)
    figures = []
    sys.stdout.write("batch x epochs  envs  learner  median  min      max      cpu median\n")
    for batch_size, num_epochs in BATCHES:
        for num_envs in NUM_ENVS:
            models = {name: make_model(name, num_envs, batch_size, num_epochs) for name in LEARNERS}
            for model in models.values():
                steps_per_second(model)  # compiles the kernels
            rates: dict[str, list[tuple[float, float]]] = {name: [] for name in LEARNERS}
            for _ in range(args.rounds):
                for name, model in models.items():
                    rates[name].append(steps_per_second(model))
            for name, pairs in rates.items():
                clock, cpu = (list(values) for values in zip(*pairs, strict=True))
                sys.stdout.write(
                    f"{batch_size:5} x {num_epochs:<7} {num_envs:4}  {name:7}  "
                    f"{statistics.median(clock):6,.0f}  {min(clock):7,.0f}  {max(clock):7,.0f}  "
                    f"{statistics.median(cpu):7,.0f}\n"
                )
                figures.append({
                    "batch_size": batch_size, "n_epochs": num_epochs, "n_envs": num_envs,
                    "learner": name, "steps_per_s": [round(rate) for rate in clock],
                    "steps_per_cpu_s": [round(rate) for rate in cpu],
                })  # fmt: skip
    print_record("learner_steps", {"figures": figures})


if __name__ == "__main__":
    run_command(main)
