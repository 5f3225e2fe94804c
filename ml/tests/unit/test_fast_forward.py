"""Tests of ml.policies.fast_forward: torch's numbers without torch."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO

from ml.errors import PolicyError
from ml.policies import deep_set_kernels as kernels
from ml.policies.fast_forward import FastForward, acting_policy, why_unsupported
from ml.policies.lone_actor import LoneActor
from ml.tests.unit.learner_cases import (
    ARCHITECTURES,
    SPACES,
    deep_set_kwargs,
    make_model,
    random_observations,
    space_of,
)


def tensors(observation):
    return {key: torch.as_tensor(values) for key, values in observation.items()}


def torch_values(model, observation):
    with torch.no_grad():
        return model.policy.predict_values(tensors(observation)).numpy()[:, 0]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(1, 40),
    space=SPACES,
    arch=ARCHITECTURES,
    num_actions=st.integers(1, 3),
    share_present=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_actions_and_values_equal_torch(seed, num_rows, space, arch, num_actions, share_present):
    torch.manual_seed(seed)
    model = make_model(space=space, num_actions=num_actions, policy_kwargs=arch)
    observation = random_observations(space, num_rows, np.random.default_rng(seed), share_present)
    forward = FastForward(model.policy)
    actions, _ = forward.predict(observation, deterministic=True)
    expected, _ = model.predict(observation, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-6)
    values = torch_values(model, observation)
    np.testing.assert_allclose(forward.predict_values(observation), values, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("hidden_inputs", ["radio", "age"])
@pytest.mark.parametrize("share_present", [0.0, 0.5, 1.0])
def test_hidden_inputs_are_hidden_as_in_torch(hidden_inputs, share_present):
    space = space_of(5, 8, 10)
    model = make_model(space=space, policy_kwargs=deep_set_kwargs(hidden_inputs=hidden_inputs))
    with torch.no_grad():  # a fresh network's biases are 0, which would hide a peer of zeros
        for weights in model.policy.parameters():
            weights.add_(0.2)
    observation = random_observations(space, 20, np.random.default_rng(3), share_present)
    forward = FastForward(model.policy)

    actions, _ = forward.predict(observation, deterministic=True)

    expected, _ = model.predict(observation, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-6)
    values = torch_values(model, observation)
    np.testing.assert_allclose(forward.predict_values(observation), values, rtol=2e-6, atol=1e-6)


def test_single_observation_gives_a_single_action():
    model = make_model()
    rows = random_observations(model.observation_space, 1, np.random.default_rng(1))
    one = {key: values[0] for key, values in rows.items()}
    action, state = FastForward(model.policy).predict(one, deterministic=True)
    np.testing.assert_allclose(action, model.predict(one, deterministic=True)[0], atol=1e-6)
    assert (action.shape, state) == ((1,), None)


def test_weights_are_those_of_the_last_refresh():
    model = make_model()
    observation = random_observations(model.observation_space, 3, np.random.default_rng(1))
    forward = FastForward(model.policy)
    before, _ = forward.predict(observation)
    with torch.no_grad():
        model.policy.action_net.bias.add_(0.25)
    unchanged, _ = forward.predict(observation)
    forward.refresh()
    changed, _ = forward.predict(observation)
    np.testing.assert_array_equal(unchanged, before)
    np.testing.assert_allclose(changed, np.clip(before + 0.25, -1.0, 1.0), atol=1e-6)


def test_action_does_not_depend_on_the_rows_beside_it():
    model = make_model()
    observation = random_observations(model.observation_space, 16, np.random.default_rng(2))
    forward = FastForward(model.policy)
    together, _ = forward.predict(observation)
    alone = [
        forward.predict({key: values[row] for key, values in observation.items()})[0]
        for row in range(16)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_nan_of_a_peer_that_is_there_reaches_the_action():
    model = make_model()
    observation = random_observations(model.observation_space, 2, np.random.default_rng(2), 1.0)
    observation["peers"][0, 0, 0] = np.nan
    actions, _ = FastForward(model.policy).predict(observation)
    assert np.isnan(actions[0, 0])
    assert np.isfinite(actions[1, 0])


def test_tanh_is_accurate_to_float32():
    values = np.concatenate([np.linspace(-12, 12, 20_001), np.logspace(-30, 0, 2_001)])
    computed = values.astype(np.float32)
    expected = np.tanh(computed.astype(np.float64))
    kernels.tanh_in_place(computed)
    np.testing.assert_allclose(computed, expected, rtol=2e-7, atol=0)


def test_random_actions_are_refused():
    model = make_model()
    observation = random_observations(model.observation_space, 1, np.random.default_rng(1))
    with pytest.raises(PolicyError, match="deterministic must be True"):
        FastForward(model.policy).predict(observation, deterministic=False)


def test_policy_of_another_kind_is_refused():
    model = PPO("MlpPolicy", "Pendulum-v1", device="cpu")
    with pytest.raises(PolicyError, match="the features come from FlattenExtractor"):
        FastForward(model.policy)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"activation_fn": torch.nn.ELU}, "an activation is ELU"),
        ({"share_features_extractor": True}, "actor and critic share their features"),
    ],
)
def test_reason_names_what_is_not_supported(change, reason):
    model = make_model(policy_kwargs={**deep_set_kwargs(), **change})
    assert reason in why_unsupported(model.policy)


def test_frozen_parameter_is_not_supported():
    model = make_model()
    model.policy.log_std.requires_grad_(False)
    assert why_unsupported(model.policy) == "a parameter is frozen"


def test_anything_else_is_not_supported():
    assert why_unsupported(object()) == "the policy is a object"


def test_a_model_acts_through_the_kernels_where_they_can_run_it():
    model = make_model()
    other = object()

    assert isinstance(acting_policy(model), LoneActor)
    assert acting_policy(other) is other


def test_a_lone_actor_acts_as_the_model_also_in_another_process():
    model = make_model()
    actor = pickle.loads(pickle.dumps(acting_policy(model)))  # noqa: S301 - our own
    observations = random_observations(model.observation_space, 20, np.random.default_rng(4))
    expected, _ = model.predict(observations, deterministic=True)

    for row in range(20):
        one = {key: values[row] for key, values in observations.items()}
        action, state = actor.predict(one, deterministic=True)
        np.testing.assert_allclose(action, expected[row], atol=1e-6)
        assert state is None


def test_a_lone_actor_refuses_to_act_at_random():
    observation = {"ego": np.zeros(1), "peers": np.zeros((1, 1)), "peer_mask": np.zeros(1)}

    with pytest.raises(PolicyError, match="deterministic must be True"):
        acting_policy(make_model()).predict(observation, deterministic=False)


def test_a_lone_actor_needs_no_torch():
    code = (
        "import sys, ml.policies.lone_actor, ml.training.rollout_actor\n"
        "import ml.evaluation.worker_episodes, ml.envs.environment_worker\n"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
