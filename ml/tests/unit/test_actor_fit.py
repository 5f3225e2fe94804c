"""How far a fit moves the actor, by Adam's closed form for a gradient that never changes."""

from __future__ import annotations

import numpy as np
import pytest
from stable_baselines3 import PPO

from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.tests.unit.test_imitation import Still
from ml.training.actor_fit import FitPlan, fit_actor

ROWS = {
    "ego": np.ones((4, 2), np.float32),
    "peers": np.ones((4, 3, 4), np.float32),
    "peer_mask": np.ones((4, 3), np.float32),
}


@pytest.fixture
def policy():
    return PPO(
        "MultiInputPolicy", Still(), policy_kwargs=create_deep_set_policy_kwargs(8), seed=3
    ).policy


@pytest.mark.parametrize(
    ("is_decaying", "moved"),
    # Four steps. The gradient of the bias is always 1, so that each step is the learning rate:
    # 4 of 0.01; or 0.01 (1 + 3/4 + 1/2 + 1/4).
    [(False, 0.04), (True, 0.025)],
)
def test_a_constant_gradient_moves_the_bias_by_the_learning_rates(policy, is_decaying, moved):
    before = policy.action_net.bias.item()
    plan = FitPlan(2, 2, 0.01, is_decaying=is_decaying)
    fit_actor(policy, ROWS, lambda means, rows: means, plan, seed=1)

    assert before - policy.action_net.bias.item() == pytest.approx(moved, rel=1e-4)


def test_the_loss_is_the_mean_of_the_last_pass(policy):
    loss = fit_actor(policy, ROWS, lambda means, rows: 0.0 * means + rows, FitPlan(2, 2, 1e-3), 1)

    assert loss == pytest.approx(1.5)  # rows 0 to 3
