"""Who plays which cases: baselines, judged policies and their variants."""

from __future__ import annotations

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, PolicyError
from ml.evaluation.cases import Case
from ml.evaluation.player_files import find_named_model, read_players
from ml.evaluation.players import (
    Player,
    curve_variants,
    opened_policy,
    plays_by_preset,
    scripted_player,
)
from ml.evaluation.protocol import OperatingCurvePlan, load_protocol
from ml.evaluation.thresholds import DemandThreshold
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs
from ml.policies.lone_actor import LoneActor

CURVES = OperatingCurvePlan(policy_mps2=(0.0, 0.5, 2.0), eebl_mps2=(3.0, 4.0))


class Fixed:
    """Acts the same way always."""

    def __init__(self, action):
        self._action = np.array([action], dtype=np.float32)

    def predict(self, observation, *, deterministic):
        return self._action, None


def net(policy_id="demo"):
    return Player(policy_id, Fixed(0.5), "0" * 64)


def case(family, variant=None):
    design = {} if variant is None else {"variant": variant}
    return Case(f"{family}-{variant}-0", family, "s", {"episode_index": 0}, design, 10)


# An action a > 0 demands 8 a: 0.25 -> 2, 0.375 -> 3.
@pytest.mark.parametrize(
    ("action", "threshold_mps2", "expected"),
    [
        (0.25, 1.9, 0.25), (0.25, 2.0, -1.0), (0.375, 2.0, 0.375), (1.0, 7.0, 1.0),
        (0.0, 0.5, 0.0), (-0.4, 0.5, -0.4), (3.0, 7.0, 3.0),
        # Beyond 8 m/s^2 no more brakes follow, but a threshold still tells 8.4 from 24.
        (3.0, 8.5, 3.0), (1.05, 8.5, -1.0),
    ],
)  # fmt: skip
def test_a_demand_passes_only_beyond_the_threshold(action, threshold_mps2, expected):
    policy = DemandThreshold(Fixed(action), threshold_mps2)

    acted, _ = policy.predict({}, deterministic=True)

    assert acted.shape == (1,)
    assert acted[0] == np.float32(expected)


def test_a_threshold_of_zero_is_the_policy_itself_and_has_no_variant():
    ids = [player.policy_id for player in curve_variants([net()], CURVES)]

    assert ids == ["eebl@3.0", "eebl@4.0", "demo@0.5", "demo@2.0"]


def test_variants_of_eebl_change_the_rule_and_those_of_others_what_it_demands():
    variants = {player.policy_id: player for player in curve_variants([net()], CURVES)}

    assert variants["eebl@3.0"].source == "eebl@3.0"
    assert variants["eebl@3.0"].min_demand_mps2 == 0.0
    assert variants["demo@2.0"].min_demand_mps2 == 2.0
    assert variants["demo@2.0"].sha256 == net().sha256
    assert all(player.is_variant for player in variants.values())


def test_a_judged_rule_has_the_curve_of_the_rule_and_none_of_its_demand():
    ids = [player.policy_id for player in curve_variants([scripted_player("eebl")], CURVES)]

    assert ids == ["eebl@3.0", "eebl@4.0"]


def test_a_judged_threshold_is_played_in_full_and_not_twice():
    ids = [player.policy_id for player in curve_variants([scripted_player("eebl@3.0")], CURVES)]

    assert ids == ["eebl@4.0"]


def test_variants_play_h_m_and_c_under_the_presets_of_the_gates_only():
    protocol = load_protocol("smoke")
    cases = [case("H"), case("D"), case("M"), case("C", "cruise"), case("R", "clean")]
    players = [net(), *curve_variants([net()], OperatingCurvePlan((2.0,), ()))]

    plays = plays_by_preset(protocol, cases, players)
    played = {
        preset: {(play.player.policy_id, play.case.family) for play in group}
        for preset, group in plays.items()
    }

    whole = {("demo", family) for family in "HDMCR"}
    curve = {("demo@2.0", family) for family in "HMC"}
    assert played["nominal"] == played["roof"] == whole | curve
    assert played["in_car_long_range"] == {("demo", "M")}
    assert played["aligned_phases"] == {("demo", "R")}


def test_a_case_is_played_under_the_stress_presets_of_its_variant():
    protocol = load_protocol("smoke")

    plays = plays_by_preset(protocol, [case("C", "stale_relay"), case("C", "cruise")], [net()])

    assert [play.case.design["variant"] for play in plays["in_car_relays"]] == ["stale_relay"]


def test_a_scripted_player_brings_the_options_of_its_policy():
    env = SimpleNamespace(unwrapped=SimpleNamespace())

    policy, options = opened_policy(scripted_player("null"), env)

    assert options == {"ego_driver": "none"}
    assert policy.predict({}, deterministic=True)[0][0] == -1.0


def test_a_player_in_batches_is_asked_for_one_row():
    class Batch:
        def predict(self, observation, *, deterministic):
            return 0.1 * np.arange(len(observation["ego"]))[:, None] + 0.5, None

    policy, _ = opened_policy(Player("net", Batch(), "0"), SimpleNamespace())

    assert policy.predict({"ego": np.zeros(3)}, deterministic=True)[0] == 0.5


@pytest.mark.parametrize("name", ["eebl", "eebl@3.0", "rss", "null"])
def test_a_scripted_name_is_no_file(name):
    assert find_named_model(name) is None


def test_a_folder_wins_over_a_scripted_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eebl").mkdir()
    (tmp_path / "eebl" / "model_final.zip").write_bytes(b"x")

    assert find_named_model("eebl").name == "model_final.zip"


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(PolicyError, match="Did you mean 'eebl'"):
        read_players(["ebl"])


def test_a_threshold_out_of_range_is_refused_before_anything_is_played():
    with pytest.raises(ConfigError, match="threshold of eebl"):
        read_players(["eebl@x"])


def test_a_policy_named_twice_is_refused():
    with pytest.raises(ConfigError, match="Got 'rss' for two policies"):
        read_players(["rss", "rss"])


@pytest.mark.parametrize(
    ("kwargs", "is_compiled"), [(create_deep_set_policy_kwargs(), True), (None, False)]
)
def test_a_model_acts_in_another_process_as_here(base_cfg, tmp_path, kwargs, is_compiled):
    env = ConvoyEnv(sumo_cfg=base_cfg)
    model = PPO("MultiInputPolicy", env, policy_kwargs=kwargs, device="cpu", seed=3)
    model.save(tmp_path / "my net.zip")
    observation = {
        key: np.random.default_rng(1).uniform(0.0, 1.0, box.shape).astype(np.float32)
        for key, box in env.observation_space.items()
    }

    (player,) = read_players([str(tmp_path / "my net.zip")], is_trusted=True)
    policy, options = opened_policy(pickle.loads(pickle.dumps(player)), env)  # noqa: S301 - made here

    expected, _ = model.predict(observation, deterministic=True)
    action, _ = policy.predict(observation, deterministic=True)
    assert player.policy_id == "my_net"
    assert isinstance(player.source, LoneActor) is is_compiled
    assert action == pytest.approx(expected, abs=1e-5)
    assert options == {}


def test_a_compiled_policy_tells_how_far_beyond_the_largest_demand_it_would_go(base_cfg, tmp_path):
    env = ConvoyEnv(sumo_cfg=base_cfg)
    kwargs = create_deep_set_policy_kwargs()
    model = PPO("MultiInputPolicy", env, policy_kwargs=kwargs, device="cpu", seed=3)
    with torch.no_grad():
        model.policy.action_net.bias.fill_(1.25)
        model.policy.action_net.weight.zero_()
    model.save(tmp_path / "net.zip")
    (player,) = read_players([str(tmp_path / "net.zip")], is_trusted=True)
    observation = {
        key: np.zeros(box.shape, np.float32) for key, box in env.observation_space.items()
    }

    acted = {
        threshold_mps2: opened_policy(replace(player, min_demand_mps2=threshold_mps2), env)[
            0
        ].predict(observation, deterministic=True)[0][0]
        for threshold_mps2 in (0.0, 9.9, 10.1)
    }

    assert player.source.predict(observation, deterministic=True)[0][0] == 1.0
    assert acted == {0.0: 1.25, 9.9: 1.25, 10.1: -1.0}
