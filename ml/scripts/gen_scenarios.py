"""Makes a dataset of scenarios: ``python -m ml.scripts.gen_scenarios --output_dir FOLDER``.

Everything is checked before anything is written. Progress goes to stderr, the summary to stdout.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ml.command_line import run_command
from ml.envs.scenario_manager import EVAL, MANIFEST_FILE, TRAIN
from ml.errors import ScenarioError
from ml.scenarios.scenario_draws import AugmentationRanges
from ml.scripts.arguments import parse_args
from ml.scripts.base_scenario import check_road, find_input, load_bases, trainable
from ml.scripts.dataset_builder import SPLITS, DatasetRequest, build_dataset

_DATASET_NAMES = {MANIFEST_FILE, "networks", *SPLITS}
_NUM_PLAIN_LINES = 10


def request_from(arguments: argparse.Namespace) -> DatasetRequest:
    """Check every argument and every input file, and return what to make.

    Raises:
        ScenarioError: A base or the output folder cannot be used.
        RadioParameterError: The radio parameters cannot be used.
    """
    ranges = AugmentationRanges()
    output_dir = Path(arguments.output_dir)
    is_replacing = _check_output_dir(output_dir, may_replace=arguments.overwrite)
    folders = [find_input(name, "--base_dir") for name in arguments.base_dir]
    bases = load_bases(folders)
    for base in bases:
        check_road(base, ranges)
    trainable({base.name: base for base in bases})
    emulator_params = _checked_emulator_params(arguments.emulator_params)
    if is_replacing:
        _check_inputs_stay(output_dir, [*folders, emulator_params])
    return DatasetRequest(
        bases=tuple(bases),
        output_dir=output_dir,
        seed=arguments.seed,
        counts={TRAIN: arguments.train_count, EVAL: arguments.eval_count},
        emulator_params=emulator_params,
        ranges=ranges,
        is_replacing=is_replacing,
        train_max_peers=arguments.train_max_peers,
    )


def _check_output_dir(output_dir: Path, *, may_replace: bool) -> bool:
    """Refuse a place that is taken; return whether a dataset is there that may be replaced."""
    if output_dir.exists() and not output_dir.is_dir():
        raise ScenarioError(
            f"--output_dir must be a folder. Got the file {str(output_dir)!r}. Choose another."
        )
    names = {path.name for path in _entries(output_dir)}
    if not names:
        return False
    if not may_replace:
        raise ScenarioError(
            f"--output_dir must be new or empty. Got {str(output_dir)!r}, which holds files. "
            "Choose another folder, or remove this one, or replace a dataset with --overwrite."
        )
    foreign = sorted(names - _DATASET_NAMES)
    if foreign or MANIFEST_FILE not in names:
        found = foreign[0] if foreign else f"no {MANIFEST_FILE}"
        raise ScenarioError(
            f"--overwrite must replace a dataset and nothing else. Got {str(output_dir)!r} with "
            f"{found}. Choose another folder."
        )
    return True


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds; nothing where there is no folder."""
    try:
        return list(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise ScenarioError(
            f"--output_dir must be a readable folder. Got {str(folder)!r}: {error.strerror}. "
            "Choose another folder."
        ) from error


def _check_inputs_stay(output_dir: Path, inputs: Sequence[Path]) -> None:
    """Refuse to replace a folder that an input lies in."""
    for path in inputs:
        if path.resolve().is_relative_to(output_dir.resolve()):
            raise ScenarioError(
                f"--overwrite must not remove an input. Got {str(path)!r} in {str(output_dir)!r}. "
                "Choose another folder."
            )


def _checked_emulator_params(name: str) -> Path:
    """Return the radio parameter file, read once to see that it can be used."""
    from ml.espnow_emulator.parameters import load_radio_parameters  # noqa: PLC0415 - slow import

    path = find_input(name, "--emulator_params")
    load_radio_parameters(path)
    return path


@contextmanager
def _progress(total: int, *, is_quiet: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that counts a scenario as done and shows it on stderr."""
    if is_quiet:
        yield lambda scenario_id: None
    elif sys.stderr.isatty():
        columns = (
            TextColumn("scenarios"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("scenarios", total=total)
            yield lambda scenario_id: bar.advance(task)
    else:
        yield _plain_progress(total)


def _plain_progress(total: int) -> Callable[[str], None]:
    """Return a function that writes a line at each tenth of the work."""
    num_done = 0

    def advance(scenario_id: str) -> None:
        nonlocal num_done
        num_done += 1
        tenths_before = (num_done - 1) * _NUM_PLAIN_LINES // total
        if num_done * _NUM_PLAIN_LINES // total > tenths_before:
            sys.stderr.write(f"{num_done}/{total} scenarios, last {scenario_id}\n")

    return advance


def summary_text(manifest: dict[str, Any], output_dir: Path) -> str:
    """Return what the command prints when it is done."""
    lines = [f"Dataset {manifest['dataset_id']} in {output_dir}"]
    for split in SPLITS:
        peers = manifest["num_peers_distribution"][split]
        by_number = ", ".join(f"{number}: {count}" for number, count in peers.items())
        num_rejected = sum(manifest["rejected"][split].values())
        lines.append(
            f"  {split:5s} {len(manifest[f'{split}_scenarios'])} scenarios; by number of peers "
            f"{by_number}; rejected attempts {num_rejected}"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Make a dataset as the command line says."""
    arguments = parse_args(argv)
    request = request_from(arguments)
    with _progress(sum(request.counts.values()), is_quiet=arguments.quiet) as on_scenario:
        manifest = build_dataset(request, on_scenario)
    if not arguments.quiet:
        sys.stdout.write(summary_text(manifest, request.output_dir))


if __name__ == "__main__":
    run_command(main)
