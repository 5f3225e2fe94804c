"""Policies that compiled code cannot run, on their way to other processes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from ml.errors import PolicyError
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.policies.model_file import write_model
from ml.policies.model_in_worker import ModelInWorker, PolicyInWorker
from ml.policies.pooling import POOLINGS
from ml.tests.unit.learner_cases import make_model, random_observations, space_of

SPACE = space_of(5, 4, 6)


def policy_with(pooling):
    """Return a fresh policy."""
    kwargs = create_deep_set_policy_kwargs(8, pooling=pooling)
    return make_model(space=SPACE, policy_kwargs=kwargs).policy


def observations():
    """Return 20 observations, each as one."""
    rows = random_observations(SPACE, 20, np.random.default_rng(3))
    return [{name: values[index] for name, values in rows.items()} for index in range(20)]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_policy_that_is_sent_acts_as_it_does_at_home(pooling):
    policy = policy_with(pooling)
    sent = pickle.loads(pickle.dumps(PolicyInWorker(policy)))  # noqa: S301 - our own
    actions = []
    for one in observations():
        actions.append(sent.predict(one, deterministic=True)[0])
        assert np.array_equal(actions[-1], policy.predict(one, deterministic=True)[0])
    assert np.std(actions) > 0.0


def test_a_policy_that_learns_on_does_not_change_what_was_sent():
    policy = policy_with("mean")
    actor = PolicyInWorker(policy)
    one = observations()[0]
    before = actor.predict(one, deterministic=True)[0]
    with torch.no_grad():
        policy.action_net.bias.add_(0.1)

    assert np.array_equal(actor.predict(one, deterministic=True)[0], before)
    after = PolicyInWorker(policy).predict(one, deterministic=True)[0]
    assert after == pytest.approx(before + 0.1)


@pytest.mark.parametrize("bias", [-40.0, 0.0, 40.0])
def test_a_model_in_a_file_acts_as_it_does_at_home_also_at_the_bounds(tmp_path, bias):
    kwargs = create_deep_set_policy_kwargs(8, pooling="attention")
    model = make_model(space=SPACE, policy_kwargs=kwargs)
    with torch.no_grad():
        model.policy.action_net.bias.fill_(bias)
    path = tmp_path / "model.zip"
    write_model(model, path, model.save)
    actor = ModelInWorker(str(path))

    rows = random_observations(SPACE, 20, np.random.default_rng(3))
    for one in (*observations(), rows):
        expected = model.predict(one, deterministic=True)[0]
        found = actor.predict(one, deterministic=True)[0]
        assert np.array_equal(found, expected)
        assert found.dtype == expected.dtype
        assert not bias or np.all(found == np.sign(bias))


def test_a_model_of_another_kind_acts_by_its_own_predict(tmp_path):
    model = make_model(space=SPACE, policy_kwargs={"net_arch": [8]})
    path = tmp_path / "model.zip"
    model.save(path)
    actor = ModelInWorker(str(path))

    for with_gaps in observations()[:3]:
        one = {name: np.nan_to_num(values) for name, values in with_gaps.items()}
        expected = model.predict(one, deterministic=True)[0]
        assert np.array_equal(actor.predict(one, deterministic=True)[0], expected)


def test_another_kind_of_policy_is_refused():
    with pytest.raises(PolicyError, match="to act in other processes"):
        PolicyInWorker(torch.nn.Linear(1, 1))
