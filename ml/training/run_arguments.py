"""The arguments of a run that goes on: those it was begun with, as its manifest keeps them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_DOCUMENT_BYTES, UnusableFileError
from ml.errors import ConfigError
from ml.json_files import read_json

_MANIFEST = "manifest.json"
_RUNS = Path(__file__).resolve().parent.parent / "models" / "runs"
_FREE = ("quiet", "debug", "keep_checkpoints")
"""What may differ: it has no part in the result."""

_LEFT_OUT = ("resume", "overwrite", "output_dir")
_ABSENT = object()


def find_run(name: str) -> Path:
    """Return the folder that is meant by a path, or by a run's name.

    Raises:
        ConfigError: No run is there.
    """
    for folder in (Path(name), _RUNS / name):
        if (folder / _MANIFEST).is_file():
            return folder
    raise ConfigError(
        f"--resume must be the folder of a run, with its {_MANIFEST}. Got {name!r}. Check the path."
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a run's manifest.

    Raises:
        ConfigError: It is none.
    """
    path = folder / _MANIFEST
    try:
        manifest = read_json(path, LARGEST_DOCUMENT_BYTES)
    except UnusableFileError as error:
        raise ConfigError(f"{path} must be readable JSON. Got: {error}. Restore it.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("config"), dict):
        raise ConfigError(f"{path} must be the manifest of a run. Got no config. Restore it.")
    return manifest


def arguments_to_go_on(
    parser: argparse.ArgumentParser, name: str, argv: Sequence[str] | None
) -> argparse.Namespace:
    """Return the arguments with which a run goes on.

    Flags that were given must agree with those of the run, but for what has no part in the result.
    The run's own pass through the parser, like any that are typed.

    Args:
        parser: The command's parser.
        name: What ``--resume`` was given.
        argv: The command's arguments.

    Raises:
        ConfigError: No run is there, or a flag would change it.
    """
    folder = find_run(name)
    config = read_manifest(folder)["config"]
    given = _given(parser, argv)
    for action in parser._actions:
        value = given.get(action.dest, _ABSENT)
        before = config.get(action.dest, action.default)
        if action.dest in _LEFT_OUT:
            is_same = value is _ABSENT or action.dest == "resume" or (
                action.dest == "output_dir" and Path(str(value)).resolve() == folder.resolve()
            )  # fmt: skip
        else:
            is_same = value is _ABSENT or action.dest in _FREE or value == before
        if not is_same:
            raise ConfigError(
                f"{action.option_strings[0]} must stay as the run was begun. Got {value}"
                f"{'' if action.dest in _LEFT_OUT else f' instead of {before}'}. Leave it out."
            )
    free = {key: value for key, value in given.items() if key in _FREE}
    kept = {key: value for key, value in config.items() if key not in ("quiet", "debug")}
    args = parser.parse_args(_as_flags(parser, {**kept, **free}))
    args.resume = args.output_dir = str(folder)
    return args


def _given(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> dict[str, Any]:
    """Return the values of the flags that were given, by their names."""
    blank = argparse.Namespace(**{action.dest: _ABSENT for action in parser._actions})
    parsed = vars(parser.parse_args(argv, blank))
    return {name: value for name, value in parsed.items() if value is not _ABSENT}


def _as_flags(parser: argparse.ArgumentParser, config: Mapping[str, Any]) -> list[str]:
    """Return the command line that gives these values; unknown names have no part in it."""
    names = (action.dest for action in parser._actions if action.dest not in _LEFT_OUT)
    return flags_of({name: config.get(name) for name in names})


def flags_of(config: Mapping[str, Any]) -> list[str]:
    """Return the flags that a configuration is parsed from.

    >>> flags_of({"seed": 7, "quiet": True, "gui": False, "sumo_cfg": None})
    ['--seed=7', '--quiet']
    """
    flags = []
    for name, value in config.items():
        if value is True:
            flags.append(f"--{name}")
        elif value is not None and value is not False:
            flags.append(f"--{name}={value}")
    return flags
