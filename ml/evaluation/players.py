"""Policies on their way to the processes that play cases, and their variants for operating curves.

A variant of a policy acts only on demands beyond a threshold; one of ``eebl`` has another threshold
of the rule itself. It answers for its operating curve alone, so it plays fewer cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gymnasium as gym

from ml.evaluation.cases import Case
from ml.evaluation.episodes import PredictingPolicy
from ml.evaluation.fixed_batches import BatchPolicy, OneOfABatch
from ml.evaluation.protocol import OperatingCurvePlan, Protocol
from ml.evaluation.thresholds import DemandThreshold, EeblThreshold
from ml.policies.baselines import (
    DEAF_POLICY_NAMES,
    eebl_threshold_mps2,
    make_scripted_policy,
)
from ml.policies.lone_actor import LoneActor
from ml.provenance import sha256_of_text

PROTOCOL_BASELINES = ("null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle")
"""Scripted policies that every evaluation by a protocol plays."""

CURVE_FAMILIES = ("H", "M", "C")
"""Families of the operating curves: collisions in H and M, false alarms in C."""

_RULE_WITH_THRESHOLD = "eebl"


@dataclass(frozen=True)
class Player:
    """A policy as it is sent to a process that plays.

    Attributes:
        policy_id: Its name in every record, fit for a file name.
        source: A scripted policy's name, or what acts: alone, or asked in batches.
        sha256: Hash of the file that a model's weights come from; of the name where the rule is
            in the code.
        min_demand_mps2: Demands that do not exceed it are no intervention.
        is_variant: Whether it is played for an operating curve only.
        model: What ``--model`` named, None for a baseline or a variant.
    """

    policy_id: str
    source: str | LoneActor | BatchPolicy
    sha256: str
    min_demand_mps2: float = 0.0
    is_variant: bool = False
    model: str | None = None

    @property
    def is_eebl(self) -> bool:
        """Whether it is the rule with a threshold, its own or another."""
        rule = _RULE_WITH_THRESHOLD
        return isinstance(self.source, str) and self.source.partition("@")[0] == rule

    @property
    def is_deaf(self) -> bool:
        """Whether it acts alike whatever the radio does."""
        return isinstance(self.source, str) and self.source in DEAF_POLICY_NAMES

    @property
    def threshold_mps2(self) -> float:
        """What must be exceeded for it to act; 0 for scripted policies other than ``eebl``."""
        if isinstance(self.source, str) and self.is_eebl:
            return eebl_threshold_mps2(self.source)
        return self.min_demand_mps2


class Play(NamedTuple):
    """An episode to play.

    Attributes:
        player: Who plays.
        case: What.
    """

    player: Player
    case: Case


def scripted_player(name: str) -> Player:
    """Return the scripted policy ``name`` as a player."""
    return Player(name, name, sha256_of_text(name))


def curve_variants(players: Sequence[Player], plan: OperatingCurvePlan) -> list[Player]:
    """Return the variants for the operating curves of policies and of eebl.

    Args:
        players: The policies to judge. A threshold of 0 is the policy itself.
        plan: The thresholds.
    """
    variants = [
        replace(scripted_player(_variant_id(_RULE_WITH_THRESHOLD, threshold)), is_variant=True)
        for threshold in plan.eebl_mps2
    ]
    variants += [
        replace(
            player,
            policy_id=_variant_id(player.policy_id, threshold),
            min_demand_mps2=threshold,
            is_variant=True,
            model=None,
        )
        for player in players
        if player.policy_id.partition("@")[0] != _RULE_WITH_THRESHOLD
        for threshold in plan.policy_mps2
        if threshold > 0.0
    ]
    played_in_full = {player.policy_id for player in players}
    return [variant for variant in variants if variant.policy_id not in played_in_full]


def _variant_id(policy_id: str, threshold_mps2: float) -> str:
    """Return the id of a variant, as in ``demo@2.0``."""
    return f"{policy_id}@{float(threshold_mps2)}"


def plays_by_preset(
    protocol: Protocol, cases: Sequence[Case], players: Sequence[Player]
) -> dict[str, list[Play]]:
    """Return every episode of an evaluation, by radio preset, family by family.

    Args:
        protocol: Says which presets a case is for.
        cases: Its cases.
        players: Who plays.
    """
    plays: dict[str, list[Play]] = {}
    for case in cases:
        variant = case.design.get("variant")
        for preset in protocol.presets_of(case.family, None if variant is None else str(variant)):
            is_for_curves = case.family in CURVE_FAMILIES and preset in protocol.radio_presets
            plays.setdefault(preset, []).extend(
                Play(player, case) for player in players if is_for_curves or not player.is_variant
            )
    return plays


def grouped_by_curve(plays: Iterable[Play]) -> list[tuple[tuple[Player, ...], Case]]:
    """Return the plays of each case together that differ by nothing but a policy's threshold.

    Args:
        plays: Episodes of one radio preset.

    Returns:
        Players by rising threshold, and their case.
    """
    groups: dict[tuple[str, object], list[Play]] = {}
    for play in plays:
        player = play.player
        curve: object = player.policy_id
        if player.is_eebl:
            curve = _RULE_WITH_THRESHOLD
        elif not isinstance(player.source, str):
            curve = id(player.source)
        groups.setdefault((play.case.case_id, curve), []).append(play)
    return [
        (tuple(sorted((play.player for play in group), key=_threshold_mps2)), group[0].case)
        for group in groups.values()
    ]


def _threshold_mps2(player: Player) -> float:
    """Return a player's threshold, for sorting."""
    return player.threshold_mps2


def opened_policy(
    player: Player, env: gym.Env[Any, Any]
) -> tuple[PredictingPolicy, Mapping[str, Any]]:
    """Return what acts in an environment, and the reset options that it needs.

    Args:
        player: The policy.
        env: The environment.
    """
    if player.is_eebl:
        return EeblThreshold(player.threshold_mps2), {}
    if isinstance(player.source, str):
        scripted = make_scripted_policy(player.source)
        scripted.attach(env)
        return scripted, scripted.environment_options
    if isinstance(player.source, LoneActor):
        return DemandThreshold(player.source.without_bounds(), player.min_demand_mps2), {}
    return DemandThreshold(OneOfABatch(player.source), player.min_demand_mps2), {}
