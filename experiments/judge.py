"""Judges policies on cases that no packaged protocol has: ``development.toml`` and ``hard.toml``.

    python experiments/judge.py MODEL ... [--protocol hard] [--thresholds 0 3 5]

Prints, for each policy, threshold and radio preset, collisions in H by rank and in M, and false
alarms per hour in C by variant. Rows are kept in a cache folder by the hash of a policy's weights,
so that the scripted policies are played once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ml.evaluation.case_episodes import play_curve
from ml.evaluation.cases import Case
from ml.evaluation.families import cases_of
from ml.evaluation.player_files import read_players
from ml.evaluation.players import Play, Player, grouped_by_curve
from ml.evaluation.protocol import Protocol, load_protocol, radio_preset_path
from ml.evaluation.protocol_scenarios import write_protocol_scenarios
from ml.evaluation.verdict import Json, has_collided, is_counted
from ml.evaluation.worker_episodes import open_workers
from ml.provenance import write_text_atomically

FOLDER = Path(__file__).resolve().parent
ALARMS = "false_alarms_3mps2"
Rows = dict[str, list[Json]]


@dataclass(frozen=True)
class Judging:
    """What is played, and where its rows are kept.

    Attributes:
        protocol: Fixes the scenarios, the seed and the followers.
        name: Of the cases, in the names of the cache's files.
        cases: By family.
        cache: Folder of the rows.
        workers: Processes.
    """

    protocol: Protocol
    name: str
    cases: Mapping[str, Sequence[Case]]
    cache: Path
    workers: int


def main() -> None:
    """Play what is not in the cache yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--protocol", default="development", choices=("development", "hard"))
    parser.add_argument("--families", nargs="+", default=["H", "M", "C"])
    parser.add_argument("--presets", nargs="+", default=["nominal", "roof"])
    parser.add_argument("--thresholds", nargs="+", type=float, default=[0.0])
    parser.add_argument("--cache", type=Path, default=Path("/tmp/development_rows"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    protocol = load_protocol(FOLDER / f"{args.protocol}.toml")
    players = with_thresholds(read_players(args.models), args.thresholds)
    cases = {family: counted_cases(protocol, family) for family in args.families}
    judging = Judging(protocol, protocol.name, cases, args.cache, args.workers)
    for preset in args.presets:
        rows = rows_under(judging, players, preset)
        for player in players:
            sys.stdout.write(_line(player, preset, rows[player.policy_id], args.families) + "\n")
            sys.stdout.flush()


def with_thresholds(players: Sequence[Player], thresholds: Sequence[float]) -> list[Player]:
    """Return the policies with each threshold; scripted ones as they are."""
    return [
        replace(
            player,
            policy_id=f"{player.policy_id}@{threshold:g}" if threshold else player.policy_id,
            min_demand_mps2=threshold,
        )
        for player in players
        for threshold in (thresholds if not isinstance(player.source, str) else [0.0])
    ]


def counted_cases(protocol: Protocol, family: str) -> list[Case]:
    """Return the cases of a family that count: in ``hard``, those of H whose rank is 1."""
    cases = [case for case in cases_of(protocol) if case.family == family]
    if protocol.name == "hard" and family == "H":
        return [case for case in cases if case.design["source_rank"] == 1]
    return cases


def rows_under(judging: Judging, players: Sequence[Player], preset: str) -> Rows:
    """Return the rows of each policy under a radio preset, played where they are missing."""
    rows: Rows = {player.policy_id: [] for player in players}
    files: dict[tuple[str, str], Path] = {}
    missing: list[Play] = []
    judging.cache.mkdir(parents=True, exist_ok=True)
    for family, cases in judging.cases.items():
        for player in players:
            sha256, threshold = player.sha256[:16], player.min_demand_mps2
            name = f"{judging.name}-{sha256}-{threshold:g}-{preset}-{family}.jsonl"
            path = files[player.policy_id, family] = judging.cache / name
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                rows[player.policy_id] += [json.loads(line) for line in lines]
            else:
                missing += [Play(player, case) for case in cases]
    for (policy_id, family), group in _played(judging, missing, preset).items():
        text = "".join(json.dumps(row) + "\n" for row in group)
        write_text_atomically(files[policy_id, family], text)
        rows[policy_id] += group
    return rows


def _played(
    judging: Judging, plays: Sequence[Play], preset: str
) -> dict[tuple[str, str], list[Json]]:
    """Play cases and return their rows by policy and family."""
    played: dict[tuple[str, str], list[Json]] = defaultdict(list)
    if not plays:
        return played
    protocol = judging.protocol
    kwargs = {
        "dataset_dir": str(write_protocol_scenarios(protocol)),
        "scenario_mode": "eval",
        "scenario_seed": protocol.seed,
        "emulator_params_path": str(radio_preset_path(preset)),
        "max_steps": max(play.case.max_steps for play in plays),
    }
    arguments = [
        (group, case, preset, protocol.followers) for group, case in grouped_by_curve(plays)
    ]
    with open_workers(kwargs, judging.workers) as workers:
        for _, rows in workers.call_each(play_curve, arguments):
            for row in rows:
                played[row["policy"], row["family"]].append(row)
    return played


def _line(player: Player, preset: str, rows: Sequence[Json], families: Sequence[str]) -> str:
    """Return what became of one policy as a line."""
    counted = [row for row in rows if is_counted(row)]
    parts = [f"{player.policy_id:20s} {preset:7s}"]
    for family in families:
        group = [row for row in counted if row["family"] == family]
        parts.append(_alarms(group) if family == "C" else _collisions(family, group))
    return " | ".join(parts)


def _collisions(family: str, group: Sequence[Json]) -> str:
    """Return the collisions of a family and their mean impact speed, with those of rank 1."""
    crashed = [row for row in group if has_collided(row)]
    text = f"{family} {len(crashed)}/{len(group)}"
    one = [row for row in group if row["case_source_rank"] == 1]
    if 0 < len(one) < len(group):
        text += f" (rank 1: {sum(map(has_collided, one))}/{len(one)})"
    if crashed:
        text += f" {sum(row['impact_speed_mps'] for row in crashed) / len(crashed):.1f} m/s"
    return text


def _alarms(group: Sequence[Json]) -> str:
    """Return false alarms per hour, and how many in which variant."""
    hours = sum(row["duration_s"] for row in group) / 3600.0
    counts: Counter[str] = Counter()
    for row in group:
        counts[row["case_variant"]] += row[ALARMS]
    named = " ".join(f"{name} {count}" for name, count in counts.most_common() if count)
    crashes = sum(map(has_collided, group))
    return f"C {counts.total() / hours:.1f}/h in {hours:.1f} h, {crashes} collisions: {named}"


if __name__ == "__main__":
    main()
