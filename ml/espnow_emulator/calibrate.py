"""Makes a parameter file: ``python -m ml.espnow_emulator.calibrate LOG.csv --output FILE.json``.

Everything is checked and fitted before anything is written. The table goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.command_line import (
    OneLineArgumentParser,
    add_debug_flag,
    integer_in,
    number_in,
    path_text,
    run_command,
)
from ml.errors import ConfigError, RadioParameterError
from ml.espnow_emulator.parameters import load_radio_parameters
from ml.provenance import atomic_path, git_state, sha256_of_file, software_versions
from ml.records import time_stamp
from ml.seeding import MAX_MASTER_SEED

if TYPE_CHECKING:
    from ml.espnow_emulator.reception_log import ReceptionLog

MODES = ("simple", "physical")
USES = ("training", "test")
LARGEST_HOLDOUT = 0.8
_LONGEST_NAME = 100
_PROGRAM = "python -m ml.espnow_emulator.calibrate"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Returns:
        The arguments, one attribute a flag.
    """
    parser = OneLineArgumentParser(
        prog="calibrate", description="Make an emulator parameter file from reception logs."
    )
    parser.add_argument(
        "logs", nargs="+", type=path_text, metavar="LOG", help="Log of frames, CSV."
    )
    parser.add_argument(
        "--output",
        required=True,
        type=path_text,
        metavar="FILE",
        help="Parameter file to write, JSON.",
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="simple",
        help="simple: loss, bursts and latency; physical: reception against distance "
        "(default: simple).",
    )
    parser.add_argument(
        "--two_way",
        action="store_true",
        help="Frames are echoes; sender_time_ms is the original's, on the receiver's clock.",
    )
    parser.add_argument(
        "--assume_symmetric",
        action="store_true",
        help="With --two_way: both ways are alike and independent.",
    )
    parser.add_argument(
        "--name", type=_name_text, metavar="TEXT", help="Name in the file (default: the file's)."
    )
    parser.add_argument(
        "--use",
        choices=USES,
        default="training",
        help="test: the file is never to be trained on, its ranges are points (default: training).",
    )
    parser.add_argument(
        "--holdout",
        type=number_in(0.0, LARGEST_HOLDOUT),
        default=0.3,
        help="Share of each link, its last frames, that checks the fit (default: 0.3).",
    )
    parser.add_argument(
        "--seed",
        type=integer_in(0, MAX_MASTER_SEED),
        default=42,
        help="Seed of bootstrap and simulation (default: 42).",
    )
    parser.add_argument("--overwrite", action="store_true", help="Replace --output.")
    parser.add_argument("--quiet", action="store_true", help="Print nothing but errors.")
    add_debug_flag(parser)
    args = parser.parse_args(argv)
    if args.assume_symmetric and not args.two_way:
        parser.error("--assume_symmetric must be given with --two_way only. Leave it out.")
    args.command = shlex.join([*_PROGRAM.split(), *(sys.argv[1:] if argv is None else argv)])
    return args


def _name_text(text: str) -> str:
    """Accept a name for the metadata."""
    if not (text.strip() and text.isprintable() and len(text) <= _LONGEST_NAME):
        raise argparse.ArgumentTypeError(
            f"must be 1 to {_LONGEST_NAME} printable characters. Got {text!r}."
        )
    return text.strip()


def main(argv: Sequence[str] | None = None) -> None:
    """Read the logs, fit them, write the parameter file and print what was found.

    Raises:
        ConfigError: The arguments do not go together, or the output is there already.
        RadioParameterError: A log is not as it must be, or cannot be fitted.
        RecordError: The file cannot be written.
    """
    args = parse_args(argv)
    if args.two_way and not args.assume_symmetric:
        raise ConfigError(
            "--two_way must be given with --assume_symmetric. Got --two_way alone. Round trips do "
            "not tell which way lost a frame or took how long, and the parameter file is one-way: "
            "add --assume_symmetric if both boards, antennas and places are alike, or log one-way."
        )
    _check_output(args)
    # The fits bring scipy, which an error of the command line need not wait for.
    from ml.espnow_emulator import calibration  # noqa: PLC0415
    from ml.espnow_emulator.calibration_file import parameter_content  # noqa: PLC0415
    from ml.espnow_emulator.calibration_table import table_text  # noqa: PLC0415
    from ml.espnow_emulator.reception_log import read_reception_log  # noqa: PLC0415

    logs = [read_reception_log(path, is_two_way=args.two_way) for path in args.logs]
    files = _file_records(logs)
    request = calibration.CalibrationRequest(
        mode=args.mode,
        use=args.use,
        is_two_way=args.two_way,
        holdout=args.holdout,
        seed=args.seed,
        source=", ".join(args.logs),
    )
    result = calibration.calibrate(logs, request)
    _write(Path(args.output), parameter_content(result, _provenance(args, files)))
    if not args.quiet:
        sys.stdout.write(f"{table_text(result)}\nwritten: {args.output}\n")


def _check_output(args: argparse.Namespace) -> None:
    """Refuse an output that cannot be written or must not be replaced."""
    output = Path(args.output)
    if output.is_dir():
        raise ConfigError(f"--output must be a file. Got the folder {args.output}. Name a file.")
    if not output.absolute().parent.is_dir():
        raise ConfigError(
            f"--output must be in a folder that exists. Got {args.output}. Make the folder."
        )
    if any(Path(log).exists() and output.exists() and output.samefile(log) for log in args.logs):
        raise ConfigError(
            f"--output must not be one of the logs. Got {args.output}. Name another file."
        )
    if output.exists() and not args.overwrite:
        raise ConfigError(
            f"--output must not be there already. Got {args.output}. Choose another file, or give "
            "--overwrite."
        )


def _file_records(logs: Sequence[ReceptionLog]) -> list[dict[str, Any]]:
    """Return each log's path, hash and size; the same log twice would count frames twice."""
    paths: dict[str, Path] = {}
    records = []
    for log in logs:
        digest = sha256_of_file(log.path)
        if digest in paths:
            raise RadioParameterError(
                f"{log.path} must not have the content of another log. Got that of "
                f"{paths[digest]}. Give each log once."
            )
        paths[digest] = log.path
        records.append({"path": str(log.path), "sha256": digest, "num_frames": log.num_frames})
    return records


def _provenance(args: argparse.Namespace, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata's first entries: what the file is and where it comes from."""
    return {
        "name": args.name or Path(args.output).stem,
        "use": args.use,
        "purpose": "calibrated from reception logs",
        "date": time_stamp(),
        "command": args.command,
        "logs": files,
        "holdout": args.holdout,
        "code": git_state(),
        "versions": software_versions(),
    }


def _write(output: Path, content: dict[str, Any]) -> None:
    """Write the parameter file, whole or not at all, once the radio's own reader accepts it."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic_path(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
        try:
            load_radio_parameters(temporary)
        except RadioParameterError as error:
            message = str(error).replace(str(temporary), str(output))
            raise RadioParameterError(
                f"the fitted values cannot be used by the radio: {message}"
            ) from error


if __name__ == "__main__":
    run_command(main)
