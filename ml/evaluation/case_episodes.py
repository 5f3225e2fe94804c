"""Plays one case of a protocol and returns its row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.virtual_followers import follower_record
from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord, PredictingPolicy, run_episode
from ml.evaluation.other_radios import heard_under
from ml.evaluation.players import Player, opened_policy
from ml.evaluation.protocol import FollowerPlan
from ml.evaluation.recording import Recording, record_episode
from ml.evaluation.thresholds import DemandThreshold, EeblThreshold
from ml.records import json_ready

CASE_DESIGN = (
    "num_peers", "source_rank", "speed_mps", "headway_s", "deceleration_mps2", "variant",
)  # fmt: skip


FOLLOWER_FIELDS = ("num_followers", "num_follower_collisions", "follower_max_impact_mps")


def play_case(
    env: gym.Env[Any, Any],
    player: Player,
    case: Case,
    radio_preset: str,
    followers: FollowerPlan,
) -> EpisodeRecord:
    """Play a case, and return its row as JSON can hold it.

    Args:
        env: The environment, made for at least ``case.max_steps``.
        player: The policy.
        case: The case.
        radio_preset: Name of the environment's radio parameters.
        followers: The virtual cars behind the ego.
    """
    return _played(env, player, case, radio_preset, followers)[0]


def play_curve(
    env: gym.Env[Any, Any],
    players: Sequence[Player],
    case: Case,
    radio_preset: str,
    followers: FollowerPlan,
    other_presets: Sequence[str] = (),
) -> list[EpisodeRecord]:
    """Play a case with one policy at several thresholds, each episode once, and return the rows.

    Args:
        env: The environment, made for at least ``case.max_steps``.
        players: The policy by rising threshold.
        case: The case.
        radio_preset: Name of the environment's radio parameters.
        followers: The virtual cars behind the ego.
        other_presets: Of further rows, for a policy alone that is deaf.
    """
    if other_presets:
        return _heard_by_all(env, players[0], case, (radio_preset, *other_presets), followers)
    rows: list[EpisodeRecord] = []
    limit_mps2 = -math.inf
    for player in players:
        if rows and player.threshold_mps2 < limit_mps2:
            rows.append({**rows[-1], "policy": player.policy_id})
            continue
        row, limit_mps2 = _played(env, player, case, radio_preset, followers)
        rows.append(row)
    return rows


def _heard_by_all(
    env: gym.Env[Any, Any],
    player: Player,
    case: Case,
    presets: Sequence[str],
    followers: FollowerPlan,
) -> list[EpisodeRecord]:
    """Play a case with a deaf policy; return its rows under several presets, the env's first."""
    convoy = _convoy_of(env)
    with heard_under(convoy, presets[1:]) as radios:
        row, _ = _played(env, player, case, presets[0], followers)
        return [row, *map(json_ready, radios.rows(row, convoy))]


def _played(
    env: gym.Env[Any, Any],
    player: Player,
    case: Case,
    radio_preset: str,
    followers: FollowerPlan,
) -> tuple[EpisodeRecord, float]:
    """Play a case; return its row and the threshold below which it would have been the same."""
    policy, options = prepared(env, player, case)
    record = run_episode(policy, env, case.options["episode_index"], options)
    trace = _convoy_of(env).trace
    behind = follower_record(trace, record["friction_mps2"], followers.headway_s, followers.delay_s)
    row: EpisodeRecord = json_ready(
        {**row_identity(player, case, radio_preset), **record, **behind}
    )
    if isinstance(policy, DemandThreshold | EeblThreshold):
        return row, policy.weakest_mps2
    return row, -math.inf


def record_case(env: gym.Env[Any, Any], player: Player, case: Case, radio_preset: str) -> Recording:
    """Play a case again, and return everything that a replay shows.

    Args:
        env: The environment, made for at least ``case.max_steps``.
        player: The policy.
        case: The case.
        radio_preset: Name of the environment's radio parameters.
    """
    policy, options = prepared(env, player, case)
    labels = {
        "policy": player.policy_id, "radio_preset": radio_preset, "case_id": case.case_id,
    }  # fmt: skip
    return record_episode(policy, env, options, labels)


def prepared(
    env: gym.Env[Any, Any], player: Player, case: Case
) -> tuple[PredictingPolicy, dict[str, Any]]:
    """Return what acts in a case and the options of the reset that begins it.

    Args:
        env: The environment; it is set to the case's length.
        player: The policy.
        case: The case.
    """
    _convoy_of(env).max_steps = case.max_steps
    policy, own_options = opened_policy(player, env)
    return policy, {**case.options, **own_options, "scenario_id": case.scenario_id}


def row_identity(player: Player, case: Case, radio_preset: str) -> EpisodeRecord:
    """Return what a row says of its case: policy, family, case, preset and design."""
    return {
        "policy": player.policy_id,
        "family": case.family,
        "case_id": case.case_id,
        "radio_preset": radio_preset,
        **{f"case_{name}": case.design.get(name) for name in CASE_DESIGN},
    }


def _convoy_of(env: gym.Env[Any, Any]) -> ConvoyEnv:
    """Return the environment without its wrappers."""
    convoy: Any = env.unwrapped
    return cast(ConvoyEnv, convoy)
