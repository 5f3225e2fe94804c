"""How a training's wall time is divided."""

import time

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from ml.tests.unit.counting_env import CountingEnv
from ml.training.stage_shares import StageClock, TimedVecEnv, divide


def test_time_is_divided_among_the_stages():
    # 10 s: 8 in rollouts, of these 6 in steps; the stages took 2 + 1 + 1 s, so 2 s are transfer.
    shares = divide(8.0, 6.0, 2.0, np.array([2.0, 1.0, 1.0, 0.0]))

    assert vars(shares) == pytest.approx(
        {
            "simulator": 0.2,
            "radio": 0.1,
            "observation": 0.1,
            "transfer": 0.2,
            "inference": 0.2,
            "update": 0.2,
        }
    )
    assert sum(vars(shares).values()) == pytest.approx(1.0)


def test_stages_that_overlap_more_than_the_cores_are_scaled_to_the_steps():
    # 4 s of stages in 2 s of steps: each counts half; nothing is left for transfer.
    shares = divide(4.0, 2.0, 0.0, np.array([2.0, 1.0, 1.0, 0.0]))

    assert (shares.simulator, shares.radio, shares.transfer) == pytest.approx((0.25, 0.125, 0.0))
    assert sum(vars(shares).values()) == pytest.approx(1.0)


def test_a_policy_that_acts_in_the_environments_counts_as_inference():
    # 10 s in rollouts, 8 of them in steps: 2 s of bookkeeping and 3 s of acting are inference.
    shares = divide(10.0, 8.0, 0.0, np.array([4.0, 0.0, 0.0, 3.0]))

    assert (shares.inference, shares.transfer) == pytest.approx((0.5, 0.1))


def test_no_time_has_no_shares():
    assert divide(0.0, 0.0, 0.0, np.zeros(4)) is None


def test_the_largest_share_comes_first():
    shares = divide(2.0, 1.0, 8.0, np.array([1.0, 0.0, 0.0, 0.0]))

    assert shares.largest == "update"
    assert shares.text.startswith("update 80%, ")


class FakeEnvironments:
    """Environments with times to set."""

    steps_s = 7.0

    def __init__(self):
        self.stage_seconds = np.array([[9.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])


def test_the_clock_tells_rollout_and_update_apart():
    # Update 0-1 s, rollout 1-4 s with 2 s of steps, update 4-5 s; two environments in parallel.
    times = iter([0.0, 1.0, 4.0, 5.0])
    environments = FakeEnvironments()
    clock = StageClock(environments, 2, now_s=lambda: next(times))
    clock.start_rollout()
    environments.steps_s += 2.0
    environments.stage_seconds += np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    clock.end_rollout()

    shares = clock.shares()

    # Of 5 s: 2 update, 1 inference, (1.5 + 0.5) / 2 = 1 s stages, 1 s transfer.
    assert shares.update == pytest.approx(0.4)
    assert shares.inference == pytest.approx(0.2)
    assert shares.simulator == pytest.approx(0.15)
    assert shares.radio == pytest.approx(0.05)
    assert shares.transfer == pytest.approx(0.2)


class SleepyEnv(CountingEnv):
    """A counting environment that takes 2 ms for a step."""

    def step(self, action):
        time.sleep(0.002)
        return super().step(action)


def test_steps_are_timed_from_the_action_to_the_result():
    vector = TimedVecEnv(DummyVecEnv([SleepyEnv]))
    vector.reset()

    for _ in range(5):
        vector.step(np.zeros((1, 1), np.float32))

    assert vector.steps_s >= 0.01
    assert vector.stage_seconds.tolist() == [[0.0, 0.0, 0.0, 0.0]]
