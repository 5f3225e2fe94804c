"""Episodes to imitate, on the real environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from ml.envs.convoy_env import ConvoyEnv
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.policies.fast_forward import lone_actor_of
from ml.training import imitation, urgent_imitation
from ml.training.train_convoy import main
from ml.training.urgent_episodes import UrgentEpisodes, play_urgent_episode
from ml.types import TRACE_DEMAND

BASE = str(Path(__file__).resolve().parents[2] / "scenarios" / "base" / "scenario.sumocfg")
KWARGS = {"sumo_cfg": BASE, "scenario_seed": 4, "max_steps": 200, "peer_driver": "delayed"}


def test_demonstrations_do_not_depend_on_the_number_of_processes(monkeypatch):
    seen = []
    for num_cores in (1, 2):
        monkeypatch.setattr(imitation, "usable_cores", lambda number=num_cores: number)
        seen.append(imitation.collect_demonstrations(KWARGS, 5))

    assert len(seen[0].demands_mps2) > 500
    assert 0 < np.count_nonzero(seen[0].demands_mps2) < 0.2 * len(seen[0].demands_mps2)
    assert np.array_equal(seen[0].demands_mps2, seen[1].demands_mps2)
    for name, values in seen[0].observations.items():
        assert values.dtype == np.float32
        assert len(values) == len(seen[0].demands_mps2)
        assert np.array_equal(values, seen[1].observations[name])


def test_urgent_episodes_do_not_depend_on_the_number_of_processes(monkeypatch):
    seen = []
    for num_cores in (1, 2):
        monkeypatch.setattr(urgent_imitation, "usable_cores", lambda number=num_cores: number)
        seen.append(
            urgent_imitation.collect_urgent_episodes(
                KWARGS, range(3, 9), None, UrgentEpisodes(num_steps=60)
            )
        )

    assert [len(one.demands_mps2) for one in seen[0]] == [60] * 6
    for one, other in zip(*seen, strict=True):
        assert np.array_equal(one.demands_mps2, other.demands_mps2)
        assert np.array_equal(one.num_demanding > 0, one.demands_mps2 > 0.0)
        for name, values in one.observations.items():
            assert np.array_equal(values, other.observations[name])


def test_the_policy_itself_acts_in_the_episodes_of_later_rounds():
    env = ConvoyEnv(**KWARGS)
    policy = PPO("MultiInputPolicy", env, seed=3,
                 policy_kwargs=create_deep_set_policy_kwargs(8)).policy  # fmt: skip
    with torch.no_grad():
        policy.action_net.weight.zero_()
        policy.action_net.bias.fill_(0.5)
    episodes = UrgentEpisodes(num_steps=30, action_noise=0.0)
    play_urgent_episode(env, 0, lone_actor_of(policy), episodes)
    demands_mps2 = env.trace[:, TRACE_DEMAND]
    env.close()

    assert np.allclose(demands_mps2, 4.0)  # half of 8 m/s^2


@pytest.mark.parametrize(
    ("num_envs", "kind", "pooling"),
    [
        ("1", "plain", "max"), ("2", "plain", "max"), ("2", "urgent", "max"),
        ("2", "urgent", "mean"), ("2", "urgent", "attention"), ("2", "urgent", "slots"),
    ],
)  # fmt: skip
def test_a_training_with_an_imitation_is_the_same_again(tmp_path, capsys, num_envs, kind, pooling):
    for name in ("first", "second"):
        main([
            "--sumo_cfg", BASE, "--total_timesteps", "64", "--n_steps", "64", "--n_envs", num_envs,
            "--imitation_episodes", "2", "--imitation", kind, "--skip_eval", "--dev_episodes", "0",
            "--quiet", "--pooling", pooling,
            "--output_dir", str(tmp_path / name),
        ])  # fmt: skip

    assert capsys.readouterr().out.count("Imitated the oracle: ") == 2
    weights = [weights_of(tmp_path / name / "model_final.zip") for name in ("first", "second")]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def weights_of(path):
    """Return every weight of a saved model."""
    return [value.numpy() for value in PPO.load(path).policy.state_dict().values()]
