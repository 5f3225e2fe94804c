"""Tests of ml.training.reward_scaling: VecNormalize's numbers without its copies."""

import numpy as np

from ml.tests.unit.learner_cases import make_model


def test_rewards_and_statistics_equal_vec_normalize():
    plain, fast = (make_model(is_fast=kind, num_envs=3).get_env() for kind in (False, True))
    plain.reset()
    fast.reset()
    generator = np.random.default_rng(1)
    for _ in range(60):
        actions = generator.normal(size=(3, 1)).astype("f")
        wanted_obs, wanted, wanted_dones, wanted_infos = plain.step(actions)
        obs, rewards, dones, infos = fast.step(actions)
        np.testing.assert_allclose(rewards, wanted, rtol=1e-6)
        np.testing.assert_array_equal(obs["ego"], wanted_obs["ego"])
        np.testing.assert_array_equal(dones, wanted_dones)
        assert [sorted(info) for info in infos] == [sorted(info) for info in wanted_infos]
    np.testing.assert_allclose(fast.returns, plain.returns, rtol=1e-12)
    np.testing.assert_allclose(fast.ret_rms.mean, plain.ret_rms.mean, rtol=1e-12)
    np.testing.assert_allclose(fast.ret_rms.var, plain.ret_rms.var, rtol=1e-12)
    assert fast.ret_rms.count == plain.ret_rms.count
    np.testing.assert_array_equal(fast.get_original_reward(), plain.get_original_reward())


def test_observation_that_was_given_out_stays():
    env = make_model(is_fast=True).get_env()
    first = env.reset()["ego"]
    kept = first.copy()
    second, *_ = env.step(np.zeros((2, 1), "f"))
    before = second["ego"].copy()
    env.step(np.zeros((2, 1), "f"))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second["ego"], before)


def test_statistics_stay_while_not_training():
    env = make_model(is_fast=True).get_env()
    env.reset()
    env.training = False
    env.step(np.ones((2, 1), "f"))
    assert (env.ret_rms.mean, env.ret_rms.var, env.ret_rms.count) == (0.0, 1.0, 1e-4)
