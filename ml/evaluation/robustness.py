"""Robustness curves: ``roadsense robustness``, or ``python -m ml.evaluation.robustness``.

Collisions of policies against frame loss, bursts of loss, delay and the number of cars heard, on
the same cases at each level, one thing varying at a time.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import EXIT_FAILURE, run_command
from ml.errors import RecordError
from ml.evaluation.coverage import check_pairing
from ml.evaluation.evaluation_folder import (
    EvaluationInputs,
    check_evaluation_folder,
    clear_evaluation,
    settle_inputs,
)
from ml.evaluation.player_files import read_players
from ml.evaluation.players import Player, scripted_player
from ml.evaluation.protocol_run import (
    inputs_of,
    play_missing,
    provenance_of,
    say_what_is_kept,
)
from ml.evaluation.record_store import RecordStore
from ml.evaluation.robustness_arguments import parse_robustness_args
from ml.evaluation.robustness_plan import (
    RADIO_FOLDER,
    RobustnessPlan,
    RobustnessSettings,
    make_robustness_plan,
)
from ml.evaluation.robustness_points import axis_points
from ml.evaluation.verdict import Json
from ml.folder_lock import locked_folder
from ml.provenance import (
    sha256_of_file,
    write_json_atomically,
    write_text_atomically,
)
from ml.records import json_ready
from ml.reporting.robustness_page import robustness_html, robustness_markdown

ROBUSTNESS_FILE = "robustness.json"
PAGE_FILE = "robustness.html"
TABLE_FILE = "robustness.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Play what is missing and write the curves; exit with status 1 if a level was not realised.

    Args:
        argv: The arguments, without the program's name; the process's own when None.
    """
    args = parse_robustness_args(argv)
    folder = Path(args.output_dir)
    check_evaluation_folder(folder, is_overwriting=args.overwrite)
    settings = RobustnessSettings(
        tuple(args.axes), args.family, args.episodes, args.calm_episodes, args.seed
    )
    plan = make_robustness_plan(settings, _players(args), folder)
    with locked_folder(folder):
        if args.overwrite:
            _clear(folder)
        settle_inputs(folder, _inputs_of(plan))
        plan.write_parameters()
        curves = _play(plan, settings, folder, args)
        write_json_atomically(folder / ROBUSTNESS_FILE, curves)
        write_text_atomically(folder / PAGE_FILE, robustness_html(curves))
        write_text_atomically(folder / TABLE_FILE, robustness_markdown(curves))
    sys.stdout.write(f"{robustness_markdown(curves)}Curves saved to: {folder / PAGE_FILE}\n")
    if curves["not_realised"]:
        sys.stdout.write(f"Levels not as asked: {', '.join(curves['not_realised'])}\n")
        sys.exit(EXIT_FAILURE)


def _players(args: argparse.Namespace) -> list[Player]:
    """Return who plays: models first, each policy once."""
    named = read_players(args.model, is_trusted=args.trust)
    everyone = {player.policy_id: player for player in named}
    for name in args.baselines:
        everyone.setdefault(name, scripted_player(name))
    return list(everyone.values())


def _play(
    plan: RobustnessPlan, settings: RobustnessSettings, folder: Path, args: argparse.Namespace
) -> Json:
    """Play what a folder does not hold yet, and return the curves."""
    policy_ids = [player.policy_id for player in plan.players]
    store = RecordStore(folder, policy_ids)
    try:
        play_missing(plan, store, num_workers=args.workers, is_quiet=args.quiet)
    except KeyboardInterrupt:
        say_what_is_kept(folder, store, plan)
        raise
    store.put_in_order()
    rows = {policy_id: store.rows(policy_id) for policy_id in policy_ids}
    check_pairing(rows)
    axes = {
        axis: axis_points(axis, [each for each in plan.levels if each.axis == axis], rows)
        for axis in settings.axes
    }
    hashes = {name: sha256_of_file(store.path(name)) for name in policy_ids}
    curves: Json = json_ready(
        {
            "settings": vars(settings),
            "policies": [
                {
                    "id": player.policy_id,
                    "sha256": player.sha256,
                    "is_model": not isinstance(player.source, str),
                }
                for player in plan.players
            ],
            "axes": axes,
            "not_realised": [
                level["name"]
                for axis in axes.values()
                for level in axis["levels"]
                if not level["is_realised"]
            ],
            "provenance": {**_provenance(plan), "records_sha256": hashes},
        }
    )
    return curves


def _inputs_of(plan: RobustnessPlan) -> EvaluationInputs:
    """Return what every row depends on."""
    return inputs_of(plan, "robustness", plan.sha256)


def _provenance(plan: RobustnessPlan) -> Json:
    """Return where the rows come from."""
    inputs = _inputs_of(plan)
    return {"cases_sha256": inputs.protocol_sha256, **provenance_of(inputs)}


def _clear(folder: Path) -> None:
    """Remove earlier curves from a folder, and nothing else."""
    clear_evaluation(folder)
    try:
        for name in (ROBUSTNESS_FILE, PAGE_FILE, TABLE_FILE):
            (folder / name).unlink(missing_ok=True)
        if (folder / RADIO_FOLDER).exists():
            shutil.rmtree(folder / RADIO_FOLDER)
    except OSError as error:
        raise RecordError(
            f"{folder} must be a folder whose files can be removed. Got: {error}. Choose another "
            "--output_dir."
        ) from error


if __name__ == "__main__":
    run_command(main)
