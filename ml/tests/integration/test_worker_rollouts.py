"""A rollout played in the environments' own processes is the one that is taken in steps."""

import numpy as np
import pytest

from ml.envs.vector_env import ConvoyWorkers
from ml.provenance import REPOSITORY_ROOT
from ml.training.arguments import parse_args
from ml.training.learning import make_model
from ml.training.reward_scaling import ScaledRewards
from ml.training.stage_shares import TimedVecEnv
from ml.training.vector_adapter import WorkersVecEnv

BASE = REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"
NUM_STEPS = 600  # of both environments: more than an episode of 250 steps of each


@pytest.fixture
def learn(tmp_path):
    opened = []

    def learn_for(num_rollouts):
        args = parse_args(
            ["--sumo_cfg", str(BASE), "--n_envs", "2", "--n_steps", str(NUM_STEPS), "--quiet",
             "--output_dir", str(tmp_path)]
        )  # fmt: skip
        kwargs = {"sumo_cfg": BASE, "scenario_seed": 42, "max_steps": 250}
        workers = ConvoyWorkers(2, kwargs)
        opened.append(workers)
        model, _ = make_model(args, TimedVecEnv(WorkersVecEnv(workers)))
        return model.learn(num_rollouts * NUM_STEPS)

    yield learn_for
    for workers in opened:
        workers.close()


def weights_of(model):
    return {name: values.numpy() for name, values in model.policy.state_dict().items()}


def test_played_rollout_is_the_one_taken_in_steps(learn, monkeypatch):
    played = learn(1).rollout_buffer
    monkeypatch.setattr(ScaledRewards, "workers", None)
    stepped = learn(1).rollout_buffer

    assert played.episode_starts.sum() > 2  # an episode has ended
    assert played.episode_starts.tolist() == stepped.episode_starts.tolist()
    for key, rows in played.observations.items():
        np.testing.assert_allclose(rows, stepped.observations[key], rtol=1e-4, atol=1e-4)
    for name in ("actions", "values", "log_probs", "rewards", "advantages", "returns"):
        found, expected = getattr(played, name), getattr(stepped, name)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_same_seed_gives_the_same_weights_bit_for_bit(learn):
    first, second = weights_of(learn(2)), weights_of(learn(2))

    assert {name: values.tobytes() for name, values in first.items()} == {
        name: values.tobytes() for name, values in second.items()
    }
