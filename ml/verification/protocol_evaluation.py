"""Checks an evaluation by a protocol: what went in, and one case of each policy played again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from ml.envs.convoy_env import ConvoyEnv
from ml.envs.scenario_manager import EVAL, MANIFEST_FILE
from ml.errors import RoadSenseError
from ml.evaluation.case_episodes import play_case
from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.evaluation_folder import EVALUATION_FILE, INPUTS_FILE, PROTOCOL_FILE
from ml.evaluation.players import Player
from ml.evaluation.protocol import Protocol, load_protocol
from ml.evaluation.protocol_command import make_plan
from ml.evaluation.protocol_run import EvaluationPlan
from ml.evaluation.record_files import RECORDS_FOLDER
from ml.provenance import sha256_of_file
from ml.verification.differences import code_and_version_differences
from ml.verification.records import (
    Json,
    Line,
    judged_models,
    object_in,
    policies_in,
    read_object,
)
from ml.verification.replayed_episode import as_json_holds, compared, recorded_row, rows_in
from ml.verification.scenarios import check_scenarios


class _Chosen(NamedTuple):
    """An episode to play again: who plays what, and its row."""

    player: Player
    case: Case
    row: EpisodeRecord


def check_protocol_evaluation(
    folder: Path, evaluation: Json, args: argparse.Namespace
) -> Iterator[Line]:
    """Give a line for each input and for a case of each policy.

    Args:
        folder: The evaluation's folder.
        evaluation: What its record holds.
        args: The command line's ``episode`` and ``trust``.
    """
    path = folder / EVALUATION_FILE
    yield agreement_of_records(folder, evaluation)
    protocol, line = _recorded_protocol(folder, evaluation)
    yield line
    names = []
    for policy_id, name, file in judged_models(evaluation, path):
        if file is not None:
            yield file.state(), file.label
        elif name is None:
            yield "skipped", f"model of {policy_id}: an older record, which does not say where"
        if name is not None and (file is None or file.state() == "ok"):
            names.append(name)  # a model whose hash is another one's is not even loaded
    if protocol is None:
        yield "skipped", "episodes: the protocol is not as recorded"
        return
    plan = make_plan(protocol, names, is_trusted=args.trust)
    is_playable = True
    for line in _check_scenarios_of(plan, object_in(evaluation, "provenance", path)):
        is_playable &= line[0] == "ok"
        yield line
    if not is_playable:
        yield "skipped", "episodes: the scenarios are not as recorded"
        return
    for difference in code_and_version_differences(object_in(evaluation, "provenance", path), path):
        yield "differs", f"{difference}; an episode may differ therefore"
    yield from _check_episodes(folder, evaluation, plan, args.episode)


def agreement_of_records(folder: Path, evaluation: Json) -> Line:
    """Return the line about what an evaluation's two records both hold.

    Args:
        folder: The evaluation's folder.
        evaluation: What ``evaluation.json`` holds.
    """
    path = folder / EVALUATION_FILE
    protocol, provenance = (
        object_in(evaluation, name, path) for name in ("protocol", "provenance")
    )
    expected = {
        "protocol": protocol.get("name"),
        "protocol_sha256": protocol.get("sha256"),
        **{name: provenance.get(name) for name in ("scenarios_sha256", "code_sha256", "versions")},
        "policies": {
            name: one.get("sha256") for name, one in policies_in(evaluation, path).items()
        },
    }
    inputs = read_object(folder / INPUTS_FILE)
    differing = [
        name
        for name in dict.fromkeys((*inputs, *expected))
        if inputs.get(name) != expected.get(name)
    ]
    if differing:
        return "changed", f"{INPUTS_FILE} and {EVALUATION_FILE}: {', '.join(differing)}"
    return "ok", f"{INPUTS_FILE}: {len(expected)} entries of {EVALUATION_FILE}"


def _recorded_protocol(folder: Path, evaluation: Json) -> tuple[Protocol | None, Line]:
    """Return the protocol, None if it is not the recorded one, and the line about it."""
    recorded = object_in(evaluation, "protocol", folder / EVALUATION_FILE).get("sha256")
    try:
        protocol = load_protocol(folder / PROTOCOL_FILE)
        sha256 = protocol.sha256
    except RoadSenseError as error:
        return None, ("changed", f"protocol: {error}")
    if sha256 != recorded:
        return None, ("changed", f"protocol: {PROTOCOL_FILE} with the radio parameters here")
    return protocol, ("ok", f"protocol: {PROTOCOL_FILE} with the radio parameters here")


def _check_scenarios_of(plan: EvaluationPlan, provenance: Json) -> Iterator[Line]:
    """Give the lines about the scenarios that the protocol makes here."""
    manifest = plan.scenarios / MANIFEST_FILE
    is_same = sha256_of_file(manifest) == provenance.get("scenarios_sha256")
    yield "ok" if is_same else "changed", f"scenarios: {manifest}"
    yield from check_scenarios(str(plan.scenarios), EVAL)


def _check_episodes(
    folder: Path, evaluation: Json, plan: EvaluationPlan, index: int | None
) -> Iterator[Line]:
    """Give a line for each policy, a case of which is played again."""
    chosen: dict[str, list[_Chosen]] = {}
    cases = {case.case_id: case for case in plan.cases}
    players = {player.policy_id: player for player in plan.players}
    presets = (*plan.protocol.radio_presets, *plan.protocol.stress_presets)
    for policy_id, recorded in policies_in(evaluation, folder / EVALUATION_FILE).items():
        player, path = players.get(policy_id), folder / RECORDS_FOLDER / f"{policy_id}.jsonl"
        if player is None or not path.is_file():
            yield "skipped", f"episode of {policy_id}: something that it needs is not as recorded"
            continue
        if player.sha256 != recorded.get("sha256"):
            yield "changed", f"policy {policy_id}: it has another hash here"
            continue
        row = recorded_row(path, _index_by_hash(path) if index is None else index)
        case, preset = cases.get(str(row.get("case_id"))), str(row.get("radio_preset"))
        if case is None or preset not in presets:
            yield "changed", f"episode of {policy_id}: a case that the protocol does not have"
            continue
        chosen.setdefault(preset, []).append(_Chosen(player, case, row))
    for preset, episodes in chosen.items():
        yield from _play_again(plan, preset, episodes)


def _index_by_hash(path: Path) -> int:
    """Return the row that the hash of a file of records chooses: nobody could before it was."""
    return int(sha256_of_file(path), 16) % max(1, len(rows_in(path)))


def _play_again(plan: EvaluationPlan, preset: str, episodes: list[_Chosen]) -> Iterator[Line]:
    """Play episodes under one radio preset and give a line for each."""
    arguments: dict[str, Any] = plan.environment_kwargs(preset)
    with closing(ConvoyEnv(**arguments)) as env:
        for player, case, before in episodes:
            what = f"{player.policy_id}, {case.case_id}, {preset}"
            try:
                now = play_case(env, player, case, preset, plan.protocol.followers)
            except RoadSenseError as error:
                yield "changed", f"{what}: it cannot be played: {error}"
                continue
            yield compared(what, before, as_json_holds(now))
