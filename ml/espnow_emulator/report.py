"""Looks at a radio: ``python -m ml.espnow_emulator.report PARAMS --output_dir DIR``.

One page for each parameter file or preset: what the emulator does with it, what the closed forms
say, and what was measured; and the same numbers as JSON. Everything is read and checked before
anything is sampled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml.command_line import (
    OneLineArgumentParser,
    add_debug_flag,
    check_output_folder,
    integer_in,
    number_in,
    path_text,
    run_command,
)
from ml.errors import ConfigError, RecordError
from ml.provenance import (
    installed_version,
    sha256_of_file,
    write_json_atomically,
    write_text_atomically,
)
from ml.seeding import MAX_MASTER_SEED

if TYPE_CHECKING:
    from ml.espnow_emulator.parameters import RadioParameters
    from ml.espnow_emulator.report_metadata import LinkMetadata

FEWEST_FRAMES, MOST_FRAMES = 2000, 10_000_000
LEAST_DISTANCE_M, MOST_DISTANCE_M = 0.1, 20_000.0
_RECORDED_PACKAGES = ("numpy", "scipy", "numba", "matplotlib")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="report", description="Draw what a radio does, beside what its closed forms say."
    )
    parser.add_argument(
        "params",
        nargs="+",
        type=path_text,
        metavar="PARAMS",
        help="Emulator parameter file, or a preset's name such as front_9m.",
    )
    parser.add_argument(
        "--output_dir",
        required=True,
        type=path_text,
        metavar="DIR",
        help="Folder for one page (NAME.html) and its numbers (NAME.json) for each.",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=0,
        help="Seed of all samples (default: 0).",
    )
    parser.add_argument(
        "--frames",
        type=integer_in(FEWEST_FRAMES, MOST_FRAMES),
        default=20_000,
        help="Frames sampled on the link, a tenth of it at each distance (default: 20000).",
    )
    parser.add_argument(
        "--distance_m",
        type=number_in(LEAST_DISTANCE_M, MOST_DISTANCE_M),
        metavar="M",
        help="Distance of bursts and ages (default: where the file's link was measured, or 20 m).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace pages of these names.")
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")
    add_debug_flag(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the pages that the command line asks for.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Raises:
        ConfigError: Two pages would have one name, or the folder cannot be used.
        RadioParameterError: A parameter file cannot be used.
        RecordError: A page cannot be written.
    """
    args = parse_args(argv)
    # Sampling and drawing bring numba and matplotlib, which a mistyped flag need not wait for.
    from ml.espnow_emulator.parameters import (  # noqa: PLC0415
        load_radio_parameters,
        radio_parameters_path,
    )
    from ml.espnow_emulator.report_metadata import read_metadata  # noqa: PLC0415

    folder = Path(args.output_dir)
    paths = [radio_parameters_path(name) for name in args.params]
    radios = [load_radio_parameters(path) for path in paths]
    origins = [read_metadata(path) for path in paths]
    _check_output(folder, paths, args.overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be created: {error.strerror}. Choose another --output_dir."
        ) from error
    for name, path, radio, origin in zip(args.params, paths, radios, origins, strict=True):
        _write_page(args, name, path, radio, origin)


def _check_output(folder: Path, paths: Sequence[Path], is_overwriting: bool) -> None:
    """Refuse pages of one name, pages that are there already, and a folder of no use."""
    names = [path.stem for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"PARAMS must have different names, which are the pages'. Got {name!r} twice. "
                "Rename a file, or give it in a call of its own."
            )
        for page in (folder / f"{name}.html", folder / f"{name}.json"):
            if page.exists() and not is_overwriting:
                raise ConfigError(
                    f"--output_dir must not hold a report of {name!r} already. Got {page}. "
                    "Choose another folder, or add --overwrite."
                )
            if page.resolve() in {path.resolve() for path in paths}:
                raise ConfigError(
                    f"--output_dir must not be the folder of the parameter file {page}, which "
                    f"would be replaced. Got {str(folder)!r}. Choose another folder."
                )
    check_output_folder(folder)


def _write_page(
    args: argparse.Namespace,
    name: str,
    path: Path,
    radio: RadioParameters,
    origin: LinkMetadata,
) -> None:
    """Sample, draw and write one page and its record."""
    from ml.espnow_emulator import report_page  # noqa: PLC0415 - see main
    from ml.espnow_emulator.report_contents import (  # noqa: PLC0415
        SamplePlan,
        make_report,
        work_units,
    )
    from ml.progress import ProgressDisplay  # noqa: PLC0415

    plan = SamplePlan(args.frames, args.seed, args.distance_m)
    done = 0
    with ProgressDisplay(
        path.stem, work_units(radio, plan), "frames", is_quiet=args.quiet
    ) as display:

        def tick(num_frames: int) -> None:
            nonlocal done
            done += num_frames
            display.update(done)

        report = make_report(radio, origin, plan, tick=tick)
    source = report_page.PageSource(path.stem, name, sha256_of_file(path), args.seed, args.frames)
    versions = {package: installed_version(package) for package in _RECORDED_PACKAGES}
    page = Path(args.output_dir) / f"{path.stem}.html"
    record = report_page.record_of(report, radio, origin, source, versions)
    write_json_atomically(page.with_suffix(".json"), record)
    write_text_atomically(page, report_page.page_text(report, radio, origin, source))
    if not args.quiet:
        sys.stdout.write(f"{page}: {report_page.summary_text(report)}\n")


if __name__ == "__main__":
    run_command(main)
