"""Tests of ml.training.fast_ppo and its kernels: stable-baselines3's numbers, faster."""

import base64
import io
import json
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from threadpoolctl import ThreadpoolController, threadpool_limits
from torch.nn import functional

from ml.errors import PolicyError
from ml.policies.fast_forward import networks_of, scales_of
from ml.tests.unit.learner_cases import (
    ARCHITECTURES,
    SPACES,
    deep_set_kwargs,
    make_model,
    random_observations,
    space_of,
    state_of,
)
from ml.training import fast_update, ppo_kernels, rollout_kernels
from ml.training.fast_ppo import FastPPO, accelerate

STEPS = 128


def torch_gradient(model, batch):
    """Gradient of one minibatch as PPO.train of stable-baselines3 computes it, by autograd."""
    observation = {key: torch.as_tensor(batch[key]) for key in ("ego", "peers", "peer_mask")}
    columns = ("actions", "values", "log_probs", "advantages", "returns")
    actions, old_values, old_log_probs, advantages, returns = (
        torch.as_tensor(batch[key]) for key in columns
    )
    values, log_probs, entropy = model.policy.evaluate_actions(observation, actions)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = torch.exp(log_probs - old_log_probs)
    clipped = torch.clamp(ratio, 1 - 0.2, 1 + 0.2)
    policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
    predicted = old_values + torch.clamp(values.flatten() - old_values, -0.3, 0.3)
    value_loss = functional.mse_loss(returns, predicted)
    loss = policy_loss - model.ent_coef * entropy.mean() + model.vf_coef * value_loss
    model.policy.zero_grad()
    loss.backward()
    return loss.item(), [
        np.concatenate([p.grad.reshape(-1).numpy() for p in network.parameters])
        for network in networks_of(model.policy)
    ]


def fast_gradient(model, batch):
    """The same by the kernels."""
    networks = networks_of(model.policy)
    buffer = RolloutBuffer(1, model.observation_space["ego"], model.action_space)
    buffer.generator_ready = True
    buffer.observations = {key: batch[key] for key in ("ego", "peers", "peer_mask")}
    for name in ("actions", "values", "log_probs", "advantages", "returns"):
        setattr(buffer, name, batch[name])
    rollout = fast_update.pack_rollout(buffer, scales_of(model.policy))
    num_rows = len(batch["ego"])
    memory = fast_update.UpdateMemory(networks, num_rows, batch["peer_mask"].shape[1])
    chosen = np.arange(num_rows)
    actor, critic = (fast_update.read_network(one, model.policy.optimizer) for one in networks)
    losses = np.zeros(ppo_kernels.NUM_LOSSES)
    wanted = fast_update.update_settings(model, 0.2, 0.3)
    squares = [
        gradient(network, rollout, chosen, wanted, scratch, losses)
        for gradient, network, scratch in zip(
            (ppo_kernels.actor_gradient, ppo_kernels.critic_gradient),
            (actor, critic), memory.scratches, strict=True,
        )
    ]  # fmt: skip
    ppo_kernels.take_step(actor, critic, sum(squares), 0, wanted, losses)
    return losses[ppo_kernels.LOSS], [actor.gradient, critic.gradient]


def random_batch(model, num_rows, seed, share_present):
    """Steps whose old policy is near the present one, so that some ratios are clipped."""
    generator = np.random.default_rng(seed)
    batch = random_observations(model.observation_space, num_rows, generator, share_present)
    num_actions = model.action_space.shape[0]
    batch["actions"] = generator.normal(0.0, 0.5, (num_rows, num_actions)).astype("f")
    observation = {key: torch.as_tensor(batch[key]) for key in ("ego", "peers", "peer_mask")}
    with torch.no_grad():
        values, log_probs, _ = model.policy.evaluate_actions(
            observation, torch.as_tensor(batch["actions"])
        )
    noise = generator.normal(0.0, 0.3, (2, num_rows)).astype("f")
    batch["log_probs"] = log_probs.numpy() + noise[0]
    batch["values"] = values.numpy().reshape(-1) + noise[1]
    batch["advantages"] = generator.normal(0.0, 2.0, num_rows).astype("f")
    batch["returns"] = generator.normal(0.0, 1.0, num_rows).astype("f")
    return batch


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(2, 80),
    space=SPACES,
    arch=ARCHITECTURES,
    num_actions=st.integers(1, 3),
    share_present=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_gradient_equals_autograd(seed, num_rows, space, arch, num_actions, share_present):
    torch.manual_seed(seed)
    model = make_model(space=space, num_actions=num_actions, policy_kwargs=arch)
    batch = random_batch(model, num_rows, seed, share_present)
    expected_loss, expected = torch_gradient(model, batch)
    loss, gradients = fast_gradient(model, batch)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5, atol=1e-6)
    for gradient, wanted in zip(gradients, expected, strict=True):
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(gradient / scale, wanted / scale, rtol=0, atol=1e-6)


def test_peers_that_share_a_maximum_share_its_gradient():
    model = make_model()
    batch = random_batch(model, 6, 3, 1.0)
    batch["peers"][:, 1] = batch["peers"][:, 0]
    _, expected = torch_gradient(model, batch)
    _, gradients = fast_gradient(model, batch)
    np.testing.assert_allclose(gradients[0], expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(gradients[1], expected[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_envs": 1, "n_steps": 64},
        {"batch_size": 24},
        {"clip_range_vf": 0.1},
        {"target_kl": 0.0005},
        {"max_grad_norm": 0.02},
        {"learning_rate": lambda progress: 1e-3 * progress, "clip_range": lambda p: 0.1 + 0.1 * p},
        {"num_actions": 2, "policy_kwargs": None},
        {"space": space_of(5, 4, 10), "policy_kwargs": deep_set_kwargs(hidden_inputs="radio")},
        {"space": space_of(5, 4, 10), "policy_kwargs": deep_set_kwargs(hidden_inputs="age")},
    ],
    ids=[
        "default",
        "one",
        "ragged",
        "values",
        "target",
        "norm",
        "schedules",
        "two actions",
        "no radio",
        "no age",
    ],
)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_learning_takes_the_same_course(changes):
    plain = make_model(**changes).learn(STEPS)
    fast = make_model(is_fast=True, **changes).learn(STEPS)
    assert plain.num_timesteps == fast.num_timesteps
    assert plain._n_updates == fast._n_updates
    wanted, state = state_of(plain), state_of(fast)
    assert list(wanted) == list(state)
    for name, values in wanted.items():
        np.testing.assert_allclose(state[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_logged_values_are_the_same():
    plain = make_model().learn(STEPS)
    fast = make_model(is_fast=True).learn(STEPS)
    wanted, logged = plain.logger.name_to_value, fast.logger.name_to_value
    times = {"time/fps", "time/time_elapsed"}
    assert set(logged) - times == set(wanted) - times
    for name in set(wanted) - times:
        assert logged[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-5), name


def test_same_seed_gives_the_same_bits_with_any_number_of_threads():
    one = make_model(is_fast=True, batch_size=64).learn(STEPS)
    with threadpool_limits(limits=2, user_api="blas"):
        two = make_model(is_fast=True, batch_size=64).learn(STEPS)
    for name, values in state_of(one).items():
        np.testing.assert_array_equal(state_of(two)[name], values, err_msg=name)


def test_one_thread_is_given_back_after_its_block():
    libraries = ThreadpoolController().select(user_api="blas")
    before = [library["num_threads"] for library in libraries.info()]
    with fast_update.one_blas_thread():
        inside = {library["num_threads"] for library in libraries.info()}
    assert inside == {1}
    assert [library["num_threads"] for library in libraries.info()] == before


# --- Files ---------------------------------------------------------------------------------------


def saved(model):
    stream = io.BytesIO()
    model.save(stream)
    stream.seek(0)
    return stream


def test_file_holds_nothing_of_the_fast_learner():
    plain, fast = make_model().learn(STEPS), make_model(is_fast=True).learn(STEPS)
    with zipfile.ZipFile(saved(plain)) as one, zipfile.ZipFile(saved(fast)) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        wanted, content = (json.loads(archive.read("data")) for archive in (one, other))
    assert list(content) == list(wanted)
    pickles = [
        entry.get(":serialized:", "") for entry in content.values() if isinstance(entry, dict)
    ]
    assert not any(b"ml.training" in base64.b64decode(pickle) for pickle in pickles)
    assert type(PPO.load(saved(fast), device="cpu")) is PPO


@pytest.mark.parametrize(("is_first_fast", "is_second_fast"), [(True, False), (False, True)])
def test_either_learner_goes_on_from_the_others_file(is_first_fast, is_second_fast):
    courses = []
    for kinds in ((False, False), (is_first_fast, is_second_fast)):
        first, other = (make_model(is_fast=kind) for kind in kinds)
        first.set_random_seed(3)
        first.learn(STEPS)
        second = PPO.load(saved(first), env=other.get_env(), device="cpu")
        assert kinds[1] is False or accelerate(second) is None
        second.set_random_seed(5)
        courses.append(state_of(second.learn(STEPS)))
    wanted, state = courses
    for name, values in wanted.items():
        np.testing.assert_allclose(state[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


# --- Callbacks and failures ----------------------------------------------------------------------


class StopAfter(BaseCallback):
    """Ends the training after some steps and keeps what it saw in the last one."""

    def __init__(self, num_calls):
        super().__init__()
        self.num_calls_wanted, self.seen = num_calls, set()

    def _on_step(self):
        self.seen = set(self.locals)
        return self.n_calls < self.num_calls_wanted


def test_callback_may_end_the_training_and_sees_what_ppo_shows():
    models = [make_model(), make_model(is_fast=True)]
    callbacks = [StopAfter(5), StopAfter(5)]
    for model, callback in zip(models, callbacks, strict=True):
        model.learn(STEPS, callback=callback)
    assert [model.num_timesteps for model in models] == [10, 10]
    shown = {"dones", "infos", "rewards", "actions", "clipped_actions", "values", "log_probs",
             "new_obs", "env", "n_steps", "rollout_buffer", "n_rollout_steps"}  # fmt: skip
    assert shown <= callbacks[0].seen & callbacks[1].seen


def test_policy_that_is_no_number_ends_the_training_in_one_line():
    model = make_model(is_fast=True)
    with torch.no_grad():
        model.policy.action_net.bias.fill_(float("nan"))
    with pytest.raises(PolicyError, match="must be finite numbers"):
        model.learn(STEPS)


# --- What is not supported -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: make_model(use_sde=True), "exploration depends on the state"),
        (lambda: A2C("MlpPolicy", "Pendulum-v1", device="cpu"), "the learner is a A2C"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1", device="cpu"), "buffer is a RolloutBuffer"),
        (lambda: make_with_optimizer(torch.optim.SGD), "the optimiser is SGD"),
        (
            lambda: make_with_optimizer(torch.optim.Adam, weight_decay=0.1),
            "the optimiser has weight_decay",
        ),
    ],
)
def test_what_is_not_supported_stays_as_it_is(make, reason):
    model = make()
    kind = type(model)
    assert reason in accelerate(model)
    assert type(model) is kind


def make_with_optimizer(kind, **options):
    model = make_model()
    model.policy.optimizer = kind(model.policy.parameters(), lr=1e-3, **options)
    return model


def test_fast_model_is_a_ppo():
    model = make_model(is_fast=True)
    assert isinstance(model, PPO)
    assert type(model) is FastPPO


# --- The rollout's kernels -----------------------------------------------------------------------


def test_advantages_equal_the_buffers():
    generator = np.random.default_rng(4)
    model = make_model(num_envs=3)
    buffer = model.rollout_buffer
    shape = buffer.rewards.shape
    buffer.rewards, buffer.values = generator.normal(size=(2, *shape)).astype("f")
    buffer.episode_starts = (generator.random(shape) < 0.2).astype("f")
    last_values, dones = generator.normal(size=3).astype("f"), np.array([True, False, False])
    buffer.compute_returns_and_advantage(torch.as_tensor(last_values), dones)
    advantages, returns = np.empty(shape, "f"), np.empty(shape, "f")
    rollout_kernels.compute_advantages(
        buffer.rewards, buffer.values, buffer.episode_starts, last_values, dones,
        buffer.gamma, buffer.gae_lambda, advantages, returns,
    )  # fmt: skip
    np.testing.assert_allclose(advantages, buffer.advantages, rtol=0, atol=1e-6)
    np.testing.assert_allclose(returns, buffer.returns, rtol=0, atol=1e-6)


def test_advantage_of_two_steps_follows_by_hand():
    rewards, values = np.array([[1.0], [2.0]], "f"), np.array([[0.5], [0.25]], "f")
    advantages, returns = np.empty((2, 1), "f"), np.empty((2, 1), "f")
    rollout_kernels.compute_advantages(
        rewards, values, np.zeros((2, 1), "f"), np.array([4.0], "f"), np.array([False]),
        0.5, 0.5, advantages, returns,
    )  # fmt: skip
    # delta_1 = 2 + 0.5 * 4 - 0.25 = 3.75; delta_0 = 1 + 0.5 * 0.25 - 0.5 = 0.625
    # A_1 = 3.75; A_0 = 0.625 + 0.5 * 0.5 * 3.75 = 1.5625
    np.testing.assert_array_equal(advantages[:, 0], np.array([1.5625, 3.75], "f"))
    np.testing.assert_array_equal(returns[:, 0], np.array([2.0625, 4.0], "f"))
