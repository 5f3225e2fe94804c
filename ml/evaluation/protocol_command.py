"""``roadsense evaluate --protocol``: plays what is missing, judges, and writes what follows."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import EXIT_FAILURE
from ml.evaluation.coverage import check_pairing
from ml.evaluation.evaluation_folder import (
    EVALUATION_FILE,
    PROTOCOL_FILE,
    EvaluationInputs,
    check_evaluation_folder,
    clear_evaluation,
    evaluation_files_in,
    settle_inputs,
)
from ml.evaluation.families import cases_of
from ml.evaluation.player_files import read_players
from ml.evaluation.players import PROTOCOL_BASELINES, curve_variants, scripted_player
from ml.evaluation.protocol import PACKAGED_PROTOCOLS, PROTOCOLS_FOLDER, Protocol, load_protocol
from ml.evaluation.protocol_report import build_evaluation
from ml.evaluation.protocol_run import (
    EvaluationPlan,
    inputs_of,
    play_missing,
    provenance_of,
    say_what_is_kept,
)
from ml.evaluation.protocol_scenarios import write_protocol_scenarios
from ml.evaluation.protocol_text import failures, format_evaluation
from ml.evaluation.record_store import RecordStore
from ml.evaluation.verdict import Json
from ml.evaluation.worst_episodes import record_worst
from ml.file_sums import SUMS_FILE, write_sums
from ml.folder_lock import locked_folder
from ml.provenance import (
    atomic_path,
    code_sha256,
    sha256_of_file,
    write_json_atomically,
)
from ml.records import json_ready, time_stamp
from ml.reporting.report import write_report


def evaluate_by_protocol(args: argparse.Namespace) -> None:
    """Judge policies by a protocol; exit with status 1 if a gate or the coverage fails.

    Args:
        args: The command line's ``model``, ``protocol``, ``output_dir``, ``workers``,
            ``overwrite`` and ``quiet``.
    """
    folder = Path(args.output_dir)
    check_evaluation_folder(folder, is_overwriting=args.overwrite)
    protocol = load_protocol(args.protocol)
    plan = make_plan(protocol, args.model, is_trusted=args.trust)
    with locked_folder(folder):
        if args.overwrite:
            clear_evaluation(folder)
        (folder / SUMS_FILE).unlink(missing_ok=True)  # until all is as it says again
        settle_inputs(folder, _inputs_of(plan))
        with atomic_path(folder / PROTOCOL_FILE) as copy:
            shutil.copyfile(_protocol_file(args.protocol), copy)
        evaluation = play_and_judge(plan, folder, num_workers=args.workers, is_quiet=args.quiet)
        page = write_report(folder)
        write_sums(folder, evaluation_files_in(folder))
    sys.stdout.write(
        f"{format_evaluation(evaluation)}\nEvaluation saved to: {folder}\nReport: {page}\n"
    )
    failed = failures(evaluation)
    if failed:
        sys.stdout.write(f"Failed: {', '.join(failed)}\n")
        sys.exit(EXIT_FAILURE)


def make_plan(
    protocol: Protocol, models: Sequence[str], *, is_trusted: bool = False
) -> EvaluationPlan:
    """Return what an evaluation plays, its policies read and its scenarios made.

    Args:
        protocol: The protocol.
        models: The policies to judge, as ``--model`` names them.
        is_trusted: Whether a model's zip may be unpickled.
    """
    judged = read_players(models, is_trusted=is_trusted)
    cases = cases_of(protocol)
    baselines = [scripted_player(name) for name in PROTOCOL_BASELINES]
    everyone = {player.policy_id: player for player in (*baselines, *judged)}
    variants = curve_variants(judged, protocol.operating_curve)
    return EvaluationPlan(
        protocol=protocol, cases=cases, scenarios=write_protocol_scenarios(protocol),
        judged=judged, players=[*everyone.values(), *variants], code_sha256=code_sha256(),
    )  # fmt: skip


def play_and_judge(
    plan: EvaluationPlan, folder: Path, *, num_workers: int | None, is_quiet: bool
) -> Json:
    """Play what a folder does not hold yet, and write what follows from all its rows.

    Args:
        plan: What to play.
        folder: The evaluation's folder, locked.
        num_workers: Number of processes, None to choose.
        is_quiet: Show no progress.

    Returns:
        What was written to ``evaluation.json``.
    """
    store = RecordStore(folder, [player.policy_id for player in plan.players])
    try:
        play_missing(plan, store, num_workers=num_workers, is_quiet=is_quiet)
        store.put_in_order()
        evaluation = _judge(plan, store)
        write_json_atomically(folder / EVALUATION_FILE, evaluation)
        record_worst(plan, store, folder, num_workers=num_workers, is_quiet=is_quiet)
    except KeyboardInterrupt:
        say_what_is_kept(folder, store, plan)
        raise
    return evaluation


def _judge(plan: EvaluationPlan, store: RecordStore) -> Json:
    """Return what follows from all rows, once they were proved to be of the same episodes."""
    policy_ids = [player.policy_id for player in plan.players]
    rows = {policy_id: store.rows(policy_id) for policy_id in policy_ids}
    check_pairing(rows)
    evaluation: Json = json_ready(
        {
            "timestamp": time_stamp(),
            **build_evaluation(plan, rows),
            "provenance": {
                **provenance_of(_inputs_of(plan)),
                "sums_file": SUMS_FILE,
                "records_sha256": {name: sha256_of_file(store.path(name)) for name in policy_ids},
            },
        }
    )
    return evaluation


def _inputs_of(plan: EvaluationPlan) -> EvaluationInputs:
    """Return what every row of an evaluation depends on."""
    return inputs_of(plan, plan.protocol.name, plan.protocol.sha256)


def _protocol_file(name: str) -> Path:
    """Return the file of a protocol that was loaded by this name."""
    return PROTOCOLS_FOLDER / f"{name}.toml" if name in PACKAGED_PROTOCOLS else Path(name)
