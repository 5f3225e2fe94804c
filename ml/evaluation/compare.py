"""Compares evaluations from their saved records: ``python -m ml.evaluation.compare DIR DIR``.

Each policy is compared with the first on the same episodes; with ``--group`` recipes are compared
over their training seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ml.command_line import run_command
from ml.errors import ConfigError
from ml.evaluation.compare_arguments import SeedGroup, parse_compare_args
from ml.evaluation.compare_text import format_comparison, format_recipes
from ml.evaluation.comparisons import compare_policies
from ml.evaluation.record_files import PolicyRecords, check_same_cases, read_policy_records
from ml.evaluation.seed_comparison import compare_recipes
from ml.evaluation.verdict import Json
from ml.provenance import sha256_of_file, write_json_atomically
from ml.records import json_ready, time_stamp


def main(argv: Sequence[str] | None = None) -> None:
    """Compare evaluations as the command line says.

    Args:
        argv: The arguments, without the program's name; the process's own when None.

    Raises:
        ConfigError: The output file cannot be used.
        RecordError: Records cannot be read or are not of the same episodes.
    """
    args = parse_compare_args(argv)
    check_output_file(args.output_file, is_replaced=args.overwrite)
    groups: list[SeedGroup] = args.group
    places = [place for group in groups for place in group.places] or args.places
    records = [read_policy_records(place) for place in places]
    for other in records[1:]:
        check_same_cases(records[0], other)
    content: Json = {"timestamp": time_stamp(), "records": [_provenance(each) for each in records]}
    if groups:
        content["recipes"] = _compare_groups(groups, records)
        text = format_recipes(content["recipes"])
    else:
        content["comparisons"] = [_compare_pair(each, records[0]) for each in records[1:]]
        text = "\n\n".join(map(format_comparison, content["comparisons"]))
    sys.stdout.write(f"{text}\n")
    if args.output_file is not None:
        write_json_atomically(args.output_file, json_ready(content))
        sys.stdout.write(f"Comparison saved to: {args.output_file}\n")


def check_output_file(name: str | None, *, is_replaced: bool) -> None:
    """Refuse a file that cannot be written or must not be replaced, before anything is read.

    Raises:
        ConfigError: The file cannot be used.
    """
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise ConfigError(f"--output_file must be a file. Got the folder {name!r}. Name a file.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(
            f"--output_file must be in a folder that exists. Got {name!r}. Make the folder."
        )
    if path.exists() and not is_replaced:
        raise ConfigError(
            f"--output_file must not be there already. Got {name!r}. Choose another file, or add "
            "--overwrite."
        )


def _compare_pair(policy: PolicyRecords, other: PolicyRecords) -> Json:
    """Return how a policy differs from the first one."""
    return {
        "policy": policy.place,
        "minus": other.place,
        "families": compare_policies(policy.rows, other.rows, other.place),
    }


def _compare_groups(groups: Sequence[SeedGroup], records: Sequence[PolicyRecords]) -> list[Json]:
    """Return how recipes differ over their seeds; the records come in the groups' order."""
    remaining = iter(records)
    recipes = {
        group.name: {place: next(remaining).rows for place in group.places} for group in groups
    }
    return compare_recipes(recipes)


def _provenance(records: PolicyRecords) -> Json:
    """Return which file a policy's records came from."""
    return {
        "place": records.place,
        "file": str(records.path),
        "sha256": sha256_of_file(records.path),
        "episodes": len(records.rows),
    }


if __name__ == "__main__":
    run_command(main)
