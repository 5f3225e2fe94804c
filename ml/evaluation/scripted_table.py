"""The table of scripted policies: `python -m ml.evaluation.scripted_table`.

Before any training counts, this table has to be right: the oracle earns more than the V2V rule,
that more than the driver alone, that more than always braking, and the ego that never brakes comes
last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import gymnasium as gym
import numpy as np
from scipy import stats

import ml.envs
from ml.command_line import run_command
from ml.errors import ConfigError
from ml.evaluation.arguments import parse_table_args
from ml.evaluation.episodes import EpisodeRecord, check_same_episodes, run_scripted_policy
from ml.evaluation.verdict import (
    ALARM_LEVELS_MPS2,
    collision_rate,
    is_counted,
    is_in_hard_half,
    summarise_alarms,
    summarise_collisions,
)
from ml.evaluation.worker_episodes import default_num_workers, open_workers, play_scripted
from ml.policies.baselines import SCRIPTED_POLICY_NAMES, make_scripted_policy
from ml.provenance import installed_version, write_text_atomically
from ml.types import MAX_PEERS

_HARD_KINDS = ("hard_stop", "hard_resolve")


def run_all(
    args: argparse.Namespace, names: Sequence[str] = SCRIPTED_POLICY_NAMES
) -> dict[str, list[EpisodeRecord]]:
    """Run scripted policies on the same episodes.

    Args:
        args: The parsed command line.
        names: The policies', ``driver`` among them.

    Returns:
        The records of each policy, in the order of the names.
    """
    kwargs = {
        "dataset_dir": args.dataset_dir, "sumo_cfg": args.sumo_cfg,
        "scenario_mode": args.split, "scenario_seed": args.seed,
        "emulator_params_path": args.emulator_params, "radio_faults": args.radio_fault,
    }  # fmt: skip

    def make_environment(options: Mapping[str, Any]) -> gym.Env[Any, Any]:
        return gym.make(ml.envs.ENVIRONMENT_ID, **kwargs, **options)

    results: dict[str, list[EpisodeRecord]] = {}
    # Also before several: what is wrong with the arguments is said by this process.
    with closing(make_environment({})), ExitStack() as stack:
        workers = None
        num_played = args.episodes * len(names)
        num_workers = min(args.workers or default_num_workers(num_played), args.episodes)
        if num_workers > 1:
            workers = stack.enter_context(open_workers(kwargs, num_workers))
        for name in names:
            sys.stderr.write(f"{name}: {args.episodes} episodes\n")
            if workers is not None:
                results[name] = play_scripted(name, workers, args.episodes)
            else:
                results[name] = run_scripted_policy(
                    make_scripted_policy(name), make_environment, args.episodes
                )
    reference = results["driver"]
    for name, records in results.items():
        check_same_episodes(reference, records, name)
    return results


def mean_with_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half width of its 95 % t interval.

    >>> mean, half = mean_with_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    if len(values) < 2:
        raise ConfigError(f"an interval needs at least 2 values. Got {len(values)}.")
    deviation = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1)) * deviation


def _count(records: Sequence[EpisodeRecord]) -> str:
    """Return collisions / episodes."""
    rate = collision_rate(records)
    return f"{rate['collisions']}/{rate['episodes']}"


def _policy_row(name: str, records: Sequence[EpisodeRecord]) -> str:
    """Return one policy's row of the first table."""
    mean, half = mean_with_interval([float(record["return"]) for record in records])
    rate = summarise_collisions(records)["all"]
    low, high = rate["interval_95"]
    hard = [record for record in records if record["hazard_kind"] in _HARD_KINDS]
    by_rank = [
        _count([r for r in hard if is_counted(r) and low_rank <= r["hazard_source_rank"] <= top])
        for low_rank, top in ((1, 1), (2, 2), (3, MAX_PEERS))
    ]
    hard_half = [record for record in records if is_in_hard_half(record) and is_counted(record)]
    alarms = summarise_alarms(records)["all"]
    per_hour = [
        f"{alarms[f'false_alarms_{level}mps2']['per_hour']:.1f}" for level in ALARM_LEVELS_MPS2
    ]
    cells = [
        name,
        f"{mean:.2f} ± {half:.2f}",
        f"{rate['collisions']}/{rate['episodes']} ({low:.1%} to {high:.1%})",
        _count(hard_half),
        *by_rank,
        " / ".join(per_hour),
    ]
    return f"| {' | '.join(cells)} |"


def policy_table(results: Mapping[str, Sequence[EpisodeRecord]]) -> str:
    """Return the table of returns, collisions and false alarms as Markdown."""
    lines = [
        "| policy | mean return | collisions (95 % interval) | hard half | rank 1 | rank 2 "
        "| rank 3+ | false alarms per hour at 1 / 3 / 5 m/s² |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [_policy_row(name, records) for name, records in results.items()])


def bucket_table(records: Sequence[EpisodeRecord]) -> str:
    """Return collisions / episodes under hard braking by (peers, rank) as Markdown."""
    header = " | ".join(f"rank {rank}" for rank in range(1, MAX_PEERS + 1))
    lines = [f"| peers | {header} |", "|---" * (MAX_PEERS + 1) + "|"]
    hard = [r for r in records if r["hazard_kind"] in _HARD_KINDS and is_counted(r)]
    for num_peers in range(1, MAX_PEERS + 1):
        cells = [
            _count([r for r in hard if _bucket(r) == (num_peers, rank)])
            if rank <= num_peers
            else ""
            for rank in range(1, MAX_PEERS + 1)
        ]
        lines.append(f"| {num_peers} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bucket(record: EpisodeRecord) -> tuple[int, int]:
    """Return (number of peers, rank of the braking car)."""
    return int(record["num_peers"]), int(record["hazard_source_rank"])


def page(results: Mapping[str, Sequence[EpisodeRecord]], args: argparse.Namespace) -> str:
    """Return the whole page as Markdown."""
    first = next(iter(results.values()))
    kinds: dict[str, int] = {}
    for record in first:
        kinds[record["hazard_kind"]] = kinds.get(record["hazard_kind"], 0) + 1
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    not_realised = summarise_collisions(results["driver"])["num_not_realised"]
    source = f"the `{args.split}` split of a dataset" if args.dataset_dir else "the base scenario"
    return "\n".join(
        [
            "# Scripted policies",
            "",
            "What the rules of [baselines.md](baselines.md) earn in `RoadSense-Convoy-v0`, on the",
            "same episodes. A training result counts only while this table is right: `oracle`",
            "earns more than the V2V rule `eebl`, that more than the `driver`, that more than",
            "`always`; `null`, which never brakes, comes last.",
            "",
            f"{args.episodes} episodes on {source}, seed {args.seed}, "
            f"SUMO {installed_version('libsumo')}: {counts}.",
            *(f"Radio fault of every episode: `{fault}`." for fault in args.radio_fault),
            f"{not_realised} hazards were not realised and are not counted.",
            "*Hard half*: stops at 6.4 m/s² or more. *Rank*: the braking car's place ahead of",
            "the ego, hard braking only. Rewritten by `make docs`.",
            "",
            policy_table(results),
            "",
            "## Collisions of the driver alone under hard braking, by peers and rank",
            "",
            bucket_table(results["driver"]),
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the policies, print the table, and write the page where one is asked for."""
    args = parse_table_args(argv)
    results = run_all(args)
    text = page(results, args)
    sys.stdout.write(text)
    if args.output_page is not None:
        write_text_atomically(args.output_page, text)


if __name__ == "__main__":
    run_command(main)
