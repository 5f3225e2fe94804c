"""Episodes to imitate, on the real environment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO

from ml.training import imitation
from ml.training.train_convoy import main

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


@pytest.mark.parametrize("num_envs", ["1", "2"])
def test_a_training_with_an_imitation_is_the_same_again(tmp_path, capsys, num_envs):
    for name in ("first", "second"):
        main([
            "--sumo_cfg", BASE, "--total_timesteps", "64", "--n_steps", "64", "--n_envs", num_envs,
            "--imitation_episodes", "2", "--skip_eval", "--dev_episodes", "0", "--quiet",
            "--output_dir", str(tmp_path / name),
        ])  # fmt: skip

    assert capsys.readouterr().out.count("Imitated the oracle: ") == 2
    weights = [weights_of(tmp_path / name / "model_final.zip") for name in ("first", "second")]
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def weights_of(path):
    """Return every weight of a saved model."""
    return [value.numpy() for value in PPO.load(path).policy.state_dict().values()]
