"""Episodes in worker processes: the records of one process, whatever the number of workers."""

import numpy as np
import pytest

from ml.envs.convoy_env import ConvoyEnv
from ml.evaluation.episodes import run_episodes, run_scripted_policy
from ml.evaluation.worker_episodes import (
    default_num_workers,
    open_workers,
    play_policy,
    play_scripted,
)
from ml.policies.baselines import SCRIPTED_POLICY_NAMES, make_scripted_policy

pytestmark = pytest.mark.integration

NUM_EPISODES = 7


class GentleBrake:
    """Brakes the more, the faster the ego is; acts on one observation or on several."""

    def predict(self, observation, *, deterministic):
        assert deterministic
        speed_mps = np.asarray(observation["ego"])[..., :1]
        return (speed_mps / 300.0).astype(np.float32), None


@pytest.fixture(scope="module")
def kwargs(dataset_dir):
    return {
        "dataset_dir": str(dataset_dir), "scenario_mode": "eval", "scenario_seed": 3,
        "max_steps": 60,
    }  # fmt: skip


def test_records_are_the_same_for_any_number_of_workers(kwargs, make_env):
    env = make_env(**kwargs)
    alone = run_episodes(GentleBrake(), env, NUM_EPISODES)
    env.close()
    scripted = {
        name: run_scripted_policy(
            make_scripted_policy(name), lambda options: ConvoyEnv(**kwargs, **options), NUM_EPISODES
        )
        for name in (*SCRIPTED_POLICY_NAMES, "eebl@3.0")
    }
    assert [record["episode_index"] for record in alone] == list(range(NUM_EPISODES))
    assert len({record["return"] for record in alone}) == NUM_EPISODES
    assert scripted["null"] != scripted["driver"]
    for num_workers in (1, 3):
        with open_workers(kwargs, num_workers) as workers:
            shown = []
            assert play_policy(GentleBrake(), workers, NUM_EPISODES, shown.append) == alone
            assert shown == alone
            for name, records in scripted.items():
                shown = []
                assert play_scripted(name, workers, NUM_EPISODES, shown.append) == records
                assert shown == records
            assert play_policy(GentleBrake(), workers, 2) == alone[:2]


def test_few_episodes_are_not_worth_a_process(monkeypatch):
    monkeypatch.setattr("ml.evaluation.worker_episodes.usable_cores", lambda: 3)
    assert [default_num_workers(number) for number in (1, 39, 40, 60, 1000)] == [1, 1, 2, 3, 3]
