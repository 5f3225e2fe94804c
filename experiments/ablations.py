"""Trains every variant of ``ablation_plan`` with every seed, judges all, and writes the page.

    python -m experiments.ablations --seeds 1 2 3 --work_dir DIR [--workers 2]
    python -m experiments.ablations --only_page

It goes on where it was stopped: what is trained or judged in the folder is not done again. It runs
with a low priority. Counts go to ``results/ablations.json``, the page to ``docs/ablations.md`` and
its figure to ``docs/images/ablations.svg``. ``ablations.md`` beside this file holds the page's
text, to which what the rows say is added by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.ablation_figure import figure_svg
from experiments.ablation_numbers import FAMILIES, Json, by_seed, counts_of
from experiments.ablation_page import page_markdown
from experiments.ablation_plan import (
    BASE,
    DATASETS,
    FOLDER,
    ORDINARY,
    RECIPE,
    THRESHOLDS_MPS2,
    VARIANTS,
    Condition,
    Variant,
)
from experiments.judge import Judging, counted_cases, rows_under, with_thresholds
from experiments.progress import NICENESS, say
from ml.command_line import OneLineArgumentParser, add_debug_flag, integer_in, run_command
from ml.errors import ConfigError, RecordError
from ml.evaluation.cases import Case
from ml.evaluation.hazard_families import hazards_of_size
from ml.evaluation.player_files import read_players
from ml.evaluation.protocol import Protocol, load_protocol
from ml.processors import usable_cores
from ml.provenance import REPOSITORY_ROOT, write_json_atomically, write_text_atomically
from ml.scripts.gen_scenarios import main as generate
from ml.seeding import MAX_MASTER_SEED
from ml.types import MAX_ENVIRONMENTS

RESULTS_FILE = FOLDER / "results" / "ablations.json"
TEXT_FILE = FOLDER / "ablations.md"
PAGE_FILE = REPOSITORY_ROOT / "docs" / "ablations.md"
FIGURE_FILE = REPOSITORY_ROOT / "docs" / "images" / "ablations.svg"


@dataclass(frozen=True)
class Study:
    """What is trained and judged, and where.

    Attributes:
        work_dir: Folder of datasets, runs, logs and rows.
        seeds: Of the trainings.
        workers: Processes that judge.
        protocol: Of the cases.
        recipe: Flags of every training.
        dataset_flags: Flags of ``gen_scenarios`` by dataset.
        results_file: Where the counts go.
    """

    work_dir: Path
    seeds: tuple[int, ...]
    workers: int
    protocol: Protocol
    recipe: tuple[str, ...] = RECIPE
    dataset_flags: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: DATASETS)
    results_file: Path = RESULTS_FILE


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is left of the study, and write the page."""
    parser = OneLineArgumentParser(prog="ablations", description=__doc__)
    seed = integer_in(0, MAX_MASTER_SEED)
    parser.add_argument("--seeds", nargs="+", type=seed, default=[1, 2, 3], metavar="N")
    parser.add_argument("--work_dir", type=Path, metavar="DIR")
    workers = integer_in(1, MAX_ENVIRONMENTS)
    parser.add_argument("--workers", type=workers, default=usable_cores(), metavar="N")
    parser.add_argument("--only_page", action="store_true")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    if not args.only_page:
        if args.work_dir is None:
            parser.error("--work_dir must name a folder. Got none. Add it, or --only_page.")
        os.nice(NICENESS)
        protocol = load_protocol(FOLDER / "hard.toml")
        seeds = tuple(dict.fromkeys(args.seeds))
        run_study(Study(args.work_dir.resolve(), seeds, args.workers, protocol), say)
    write_page(RESULTS_FILE, PAGE_FILE, FIGURE_FILE)


# --- Training and judging ------------------------------------------------------------------------


def run_study(study: Study, say: Callable[[str], None]) -> None:
    """Train and judge what is missing; the counts are written after each policy.

    Args:
        study: What to do.
        say: Takes a line for each training and each judging.

    Raises:
        ConfigError: A folder holds a training with other flags.
        RecordError: A training failed, or a file cannot be written.
    """
    for folder in (study.work_dir / "logs", study.results_file.parent):
        folder.mkdir(parents=True, exist_ok=True)
    records: list[Json] = []
    plan = [(variant, seed) for seed in study.seeds for variant in VARIANTS]
    for number, (variant, seed) in enumerate(plan, 1):
        begun_s = time.monotonic()
        run, is_new = _trained(study, variant, seed)
        trained_s = time.monotonic()
        name = f"{number}/{len(plan)} {run.name}"
        say(f"{name}: {'trained in' if is_new else 'was trained,'} {trained_s - begun_s:.0f} s")
        records += _judged(study, variant, seed, run)
        say(f"{name}: judged in {time.monotonic() - trained_s:.0f} s")
        content = {"protocol_sha256": study.protocol.sha256, "records": records}
        write_json_atomically(study.results_file, content)


def _trained(study: Study, variant: Variant, seed: int) -> tuple[Path, bool]:
    """Return a run's folder, and whether it was trained now."""
    run = study.work_dir / "runs" / f"{variant.name}_s{seed}"
    flags = [
        *("--dataset_dir", str(_dataset(study, variant.dataset)), "--seed", str(seed)),
        *("--output_dir", str(run), "--overwrite", "--quiet", "--dev_episodes", "0"),
        *("--skip_eval", "--checkpoint_interval", "1000000000", *study.recipe, *variant.flags),
    ]
    manifest = _manifest_of(run)
    if manifest.get("status") == "complete":
        if manifest["command_line"][1:] != flags:
            raise ConfigError(
                f"{run} must be trained with {' '.join(flags)}. Got "
                f"{' '.join(manifest['command_line'][1:])}. Choose another --work_dir, or remove "
                "that folder."
            )
        return run, False
    log = study.work_dir / "logs" / f"{run.name}.log"
    with log.open("w", encoding="utf-8") as stream:
        result = subprocess.run(
            [sys.executable, "-m", "ml.training.train_convoy", *flags],
            cwd=REPOSITORY_ROOT,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode:
        raise RecordError(
            f"the training of {run.name} must end with status 0. Got {result.returncode}. "
            f"{log} tells why."
        )
    return run, True


def _dataset(study: Study, name: str) -> Path:
    """Return a dataset's folder, which is made unless it is there."""
    folder = study.work_dir / "datasets" / name
    if not (folder / "manifest.json").is_file():
        generate([*study.dataset_flags[name], "--output_dir", str(folder), "--quiet"])
    return folder


def _manifest_of(run: Path) -> dict[str, Any]:
    """Return a run's manifest, empty where there is none."""
    path = run / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return manifest


def _judged(study: Study, variant: Variant, seed: int, run: Path) -> Iterator[Json]:
    """Yield the counts of a policy, for each condition and threshold."""
    players = with_thresholds(read_players([str(run)]), THRESHOLDS_MPS2)
    code_sha256 = _manifest_of(run)["code_sha256"]
    for condition in variant.conditions:
        rows = rows_under(_judging(study, condition), players, condition.preset)
        for player in players:
            yield {
                "variant": variant.name,
                "seed": seed,
                "threshold_mps2": player.min_demand_mps2,
                "radio_preset": condition.preset,
                "num_peers": condition.num_peers,
                **counts_of(rows[player.policy_id]),
                "model_sha256": player.sha256,
                "code_sha256": code_sha256,
            }


def _judging(study: Study, condition: Condition) -> Judging:
    """Return the cases of a condition."""
    protocol, cache = study.protocol, study.work_dir / "rows"
    cases: dict[str, Sequence[Case]] = {
        family: counted_cases(protocol, family) for family in FAMILIES
    }
    name = protocol.name
    if condition.num_peers is not None:
        cases = {family: _of_size(protocol, family, found, condition.num_peers)
                 for family, found in cases.items()}  # fmt: skip
        name += f"_n{condition.num_peers}"
    return Judging(protocol, name, cases, cache, study.workers)


def _of_size(
    protocol: Protocol, family: str, cases: Sequence[Case], num_peers: int
) -> Sequence[Case]:
    """Return cases with so many cars ahead: new ones of H and M, as many as of all sizes.

    Of C those among the cases.
    """
    if family == "C":
        return [case for case in cases if case.design["num_peers"] == num_peers]
    plan: Any = protocol.families[family]
    if family == "H":  # of which a rank is one in num_peers
        plan = replace(plan, episodes=len(cases) * num_peers)
    made = hazards_of_size(protocol, family, plan, num_peers)[1]
    return [case for case in made if family != "H" or case.design["source_rank"] == 1]


# --- Page ----------------------------------------------------------------------------------------


def write_page(results_file: Path, page_file: Path, figure_file: Path) -> None:
    """Write the page and its figure from the counts, without a figure where there are none.

    Args:
        results_file: The counts.
        page_file: The page.
        figure_file: Its figure.
    """
    results = json.loads(results_file.read_text(encoding="utf-8"))
    if by_seed(results["records"], BASE, THRESHOLDS_MPS2[0], ORDINARY):
        write_text_atomically(figure_file, figure_svg(results["records"]))
    write_text_atomically(page_file, page_markdown(results, TEXT_FILE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    run_command(main)
