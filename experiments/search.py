"""Searches the settings of the urgent imitation with optuna, and writes the page.

    python -m experiments.search --dataset_dir DIR --work_dir DIR [--seeds 11 12] [--trials 24]
    python -m experiments.search --only_page

A trial fits a policy of each seed with other settings, and judges it on the cases of ``hard.toml``
drawn with another seed. Made small is the mean over the seeds of the false alarms per hour at which
a policy collides no more often than ``eebl``; the constraint is that the worst seed collides no
more often than ``eebl`` without any threshold. The first trial is the recipe. A search that was
stopped goes on with the trials in ``results/search.json``, as if it had never been stopped. It runs
with a low priority.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import create_trial

from experiments.ablation_numbers import FAMILIES, Json, counts_of
from experiments.judge import Judging, counted_cases, rows_under, with_thresholds
from experiments.progress import NICENESS, say
from experiments.search_fits import SeedOfFits
from experiments.search_page import NUM_TRIALS, page_markdown
from experiments.search_space import (
    DISTRIBUTIONS,
    THRESHOLDS_MPS2,
    collisions_of,
    params_of,
    settings_at,
    value_of,
)
from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, run_command
from ml.errors import ConfigError
from ml.evaluation.players import scripted_player
from ml.evaluation.protocol import NOMINAL, Protocol, load_protocol
from ml.processors import usable_cores
from ml.provenance import (
    REPOSITORY_ROOT,
    code_sha256,
    write_json_atomically,
    write_text_atomically,
)
from ml.seeding import MAX_MASTER_SEED
from ml.training.urgent_imitation import UrgentImitation
from ml.types import MAX_ENVIRONMENTS

FOLDER = Path(__file__).resolve().parent
RESULTS_FILE = FOLDER / "results" / "search.json"
TEXT_FILE = FOLDER / "search.md"
PAGE_FILE = REPOSITORY_ROOT / "docs" / "search.md"
CASE_SEED = 771205
"""Of the cases; that of ``hard.toml`` is left to judge what the search finds."""

_NUM_RANDOM = 8
"""Trials before the sampler uses what it has seen."""


@dataclass(frozen=True)
class Search:
    """What is searched, and where.

    Attributes:
        fits: Of each seed.
        num_trials: In all, those done before included.
        workers: Processes that judge.
        protocol: Of the cases.
        results_file: Where the trials are kept.
    """

    fits: tuple[SeedOfFits, ...]
    num_trials: int
    workers: int
    protocol: Protocol
    results_file: Path = RESULTS_FILE

    @property
    def identity(self) -> Json:
        """What all trials of a search have in common."""
        return {
            "seeds": [one.seed for one in self.fits],
            "num_episodes": self.fits[0].num_episodes,
            "protocol_sha256": self.protocol.sha256,
            "case_seed": self.protocol.seed,
            "thresholds_mps2": list(THRESHOLDS_MPS2),
        }


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is left of the search, and write the page."""
    parser = OneLineArgumentParser(prog="search", description=__doc__)
    seed = integer_in(0, MAX_MASTER_SEED)
    parser.add_argument("--seeds", nargs="+", type=seed, default=[11, 12], metavar="N")
    parser.add_argument("--trials", type=integer_in(1, 10_000), default=NUM_TRIALS, metavar="N")
    episodes = integer_in(2, 100_000)
    parser.add_argument("--imitation_episodes", type=episodes, default=4000, metavar="N")
    parser.add_argument("--dataset_dir", type=Path, metavar="DIR")
    parser.add_argument("--work_dir", type=Path, metavar="DIR")
    workers = integer_in(1, MAX_ENVIRONMENTS)
    parser.add_argument("--workers", type=workers, default=usable_cores(), metavar="N")
    parser.add_argument("--only_page", action="store_true")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    if not args.only_page:
        for name in ("dataset_dir", "work_dir"):
            if getattr(args, name) is None:
                parser.error(f"--{name} must name a folder. Got none. Add it, or --only_page.")
        os.nice(NICENESS)
        protocol = replace(load_protocol(FOLDER / "hard.toml"), seed=CASE_SEED)
        work_dir, dataset_dir = args.work_dir.resolve(), args.dataset_dir.resolve()
        fits = tuple(
            SeedOfFits(number, dataset_dir, args.imitation_episodes, work_dir)
            for number in dict.fromkeys(args.seeds)
        )
        run_search(Search(fits, args.trials, args.workers, protocol), say)
    write_page(RESULTS_FILE, PAGE_FILE)


def run_search(search: Search, say: Callable[[str], None]) -> None:
    """Do the trials that are missing; the results are written after each of them.

    Args:
        search: What to do.
        say: Takes a line for each trial.

    Raises:
        ConfigError: The results are those of another search.
        RecordError: A file cannot be written.
    """
    results = _begun(search)
    for one in search.fits:
        one.collect()
    if "eebl" not in results:
        (results["eebl"],) = _curve(search, scripted_player("eebl"))
    study = _study(results)
    for number in range(len(results["trials"]), search.num_trials):
        trial = _asked(study, number)
        settings = settings_at(trial.params)
        curves = {
            str(one.seed): _curve(search, one.fitted(settings, f"trial{number}_s{one.seed}"))
            for one in search.fits
        }
        done = {"params": trial.params, "curves": curves, "code_sha256": code_sha256()}
        value, excess = value_of(done, collisions_of(results["eebl"]))
        trial.set_constraint("collisions", excess)
        study.tell(trial, value)
        results["trials"].append(done)
        write_json_atomically(search.results_file, results)
        say(f"trial {number + 1}/{search.num_trials}: {value:.1f} per hour, excess {excess:+d}")


def _begun(search: Search) -> Json:
    """Return the results so far, without trials where there are none."""
    path = search.results_file
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        return {**search.identity, "trials": []}
    results: Json = json.loads(path.read_text(encoding="utf-8"))
    found = {name: results.get(name) for name in search.identity}
    if found != search.identity:
        raise ConfigError(
            f"{path} must hold a search of {search.identity}. Got one of {found}. Remove it, or "
            "search with the same flags."
        )
    return results


def _study(results: Json) -> optuna.Study:
    """Return a study that has seen the trials so far."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    for done in results["trials"]:
        value, excess = value_of(done, collisions_of(results["eebl"]))
        study.add_trial(
            create_trial(
                params=done["params"],
                distributions=dict(DISTRIBUTIONS),
                value=value,
                constraints={"collisions": excess},
            )
        )
    return study


def _asked(study: optuna.Study, number: int) -> optuna.Trial:
    """Return the next trial: the recipe first, then what the sampler draws.

    Each trial has a sampler of its own, so that a search that was stopped draws the same.
    """
    if number == 0:
        study.enqueue_trial(params_of(UrgentImitation()))
    study.sampler = optuna.samplers.TPESampler(
        seed=number, n_startup_trials=_NUM_RANDOM, multivariate=True
    )
    return study.ask(dict(DISTRIBUTIONS))


def _curve(search: Search, player: Any) -> list[Json]:
    """Return a player's counts by threshold; a scripted policy has one."""
    protocol = search.protocol
    cases = {family: counted_cases(protocol, family) for family in FAMILIES}
    cache = search.fits[0].work_dir / "rows"
    judging = Judging(protocol, f"search{protocol.seed}", cases, cache, search.workers)
    players = with_thresholds([player], THRESHOLDS_MPS2)
    rows = rows_under(judging, players, NOMINAL)
    return [
        {"threshold_mps2": one.min_demand_mps2, **counts_of(rows[one.policy_id])} for one in players
    ]


def write_page(results_file: Path, page_file: Path) -> None:
    """Write the page from the trials.

    Args:
        results_file: The trials.
        page_file: The page.
    """
    results = json.loads(results_file.read_text(encoding="utf-8"))
    write_text_atomically(page_file, page_markdown(results, TEXT_FILE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    run_command(main)
