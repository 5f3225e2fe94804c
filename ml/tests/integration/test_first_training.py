"""What a first training compiles, in this process and in the one beside it."""

from __future__ import annotations

import pytest

from ml.policies.deep_set_kernels import pack_observations
from ml.training.compile_learner import compile_learner
from ml.training.ppo_kernels import take_step
from ml.training.rollout_kernels import act, compute_advantages, scale_rewards
from ml.training.train_convoy import main

pytestmark = pytest.mark.integration

KERNELS = (pack_observations, act, scale_rewards, compute_advantages, take_step)
TWO_STEPS = ("--total_timesteps", "2", "--n_steps", "2", "--n_envs", "1", "--skip_eval",
             "--dev_episodes", "0", "--quiet")  # fmt: skip


def test_training_needs_the_kernels_that_the_process_beside_it_compiles(tmp_path):
    compile_learner()
    compiled = [set(kernel.signatures) for kernel in KERNELS]
    main([*TWO_STEPS, "--output_dir", str(tmp_path / "run")])
    assert min(len(signatures) for signatures in compiled) > 0
    assert [set(kernel.signatures) for kernel in KERNELS] == compiled
