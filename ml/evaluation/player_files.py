"""From what ``--model`` names to what plays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import torch

from ml.envs.convoy_env import ConvoyEnv
from ml.errors import ConfigError, PolicyError, nearest_name_hint
from ml.evaluation.arguments import DEFAULT_SUMO_CFG
from ml.evaluation.players import PROTOCOL_BASELINES, Player, scripted_player
from ml.policies.baselines import SCRIPTED_POLICY_NAMES, is_scripted_policy, make_scripted_policy
from ml.policies.checkpoint import PACKAGED_POLICY, check_fits, find_model, is_packaged_policy
from ml.policies.fast_forward import acting_policy
from ml.policies.lone_actor import LoneActor
from ml.policies.model_file import load_model
from ml.policies.model_in_worker import ModelInWorker

_THREADS = 1
_LONGEST_ID = 80
_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]")


def find_named_model(name: str) -> Path | None:
    """Return the model's file that ``name`` stands for, None for a scripted policy.

    Raises:
        PolicyError: There is neither.
    """
    if is_scripted_policy(name) and not Path(name).exists():
        return None
    is_a_name = Path(name).name == name and not is_packaged_policy(name)
    if is_a_name and not Path(name).exists():
        known = (*SCRIPTED_POLICY_NAMES, PACKAGED_POLICY)
        raise PolicyError(
            f"--model must be a run's folder, a model's file, {PACKAGED_POLICY!r} or a scripted "
            f"policy. Got {name!r}. {nearest_name_hint(name, known)}"
        )
    return find_model(name)


def read_players(names: Sequence[str], *, is_trusted: bool = False) -> list[Player]:
    """Return the policies that ``--model`` names, read and checked.

    Args:
        names: Runs' folders, models' files, ``packaged`` or scripted policies.
        is_trusted: Whether a model's zip may be unpickled.

    Raises:
        PolicyError: A model cannot be used.
        ConfigError: Two policies would have one id, or a scripted policy's.
    """
    players = [_read_player(name, is_trusted=is_trusted) for name in names]
    _check_ids([(player.policy_id, isinstance(player.source, str)) for player in players])
    return players


def policy_ids_of(names: Sequence[str]) -> list[str]:
    """Return the id of each policy that ``--model`` names.

    Args:
        names: Runs' folders, models' files, ``packaged`` or scripted policies.

    Raises:
        PolicyError: A name stands for nothing.
        ConfigError: Two policies would have one id, or a scripted policy's.
    """
    are_scripted = [find_named_model(name) is None for name in names]
    ids = [
        name if is_scripted else policy_id_of(Path(name))
        for name, is_scripted in zip(names, are_scripted, strict=True)
    ]
    _check_ids(list(zip(ids, are_scripted, strict=True)))
    return ids


def _check_ids(policies: Sequence[tuple[str, bool]]) -> None:
    """Refuse two policies of one id, and a trained one with a baseline's; each with its kind."""
    trained = [policy_id for policy_id, is_scripted in policies if not is_scripted]
    counts = Counter(policy_id for policy_id, _ in policies)
    for policy_id, count in counts.items():
        if count > 1 or (policy_id in trained and policy_id in PROTOCOL_BASELINES):
            other = "two policies" if count > 1 else "a policy and a baseline"
            raise ConfigError(
                f"--model must name policies whose names differ. Got {policy_id!r} for {other}. "
                "Rename a folder or file."
            )


def _read_player(name: str, *, is_trusted: bool) -> Player:
    """Return one policy."""
    path = find_named_model(name)
    if path is None:
        make_scripted_policy(name)
        return replace(scripted_player(name), model=name)
    torch.set_num_threads(_THREADS)
    model = load_model(path, is_trusted=is_trusted)
    with closing(ConvoyEnv(sumo_cfg=DEFAULT_SUMO_CFG)) as env:
        check_fits(model, env, path)
    actor = acting_policy(model)
    source = actor if isinstance(actor, LoneActor) else ModelInWorker(str(path.resolve()))
    return Player(policy_id_of(Path(name)), source, model.sha256, model=name)


def policy_id_of(path: Path) -> str:
    """Return a policy's id: the name of a run's folder or of a file, fit for a file name."""
    place = path.resolve()
    name = place.name if place.is_dir() else place.stem
    return _NOT_IN_FILE_NAMES.sub("_", name).lstrip(".")[:_LONGEST_ID] or "policy"
