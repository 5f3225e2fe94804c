"""Folders of evaluations of several training seeds, made from hand-made rows by the real judges."""

from __future__ import annotations

import json
from types import SimpleNamespace

from ml.evaluation.evaluation_folder import evaluation_files_in
from ml.evaluation.gate_limits import GateLimits
from ml.evaluation.protocol_report import build_evaluation
from ml.file_sums import write_sums
from ml.provenance import sha256_of_file, sha256_of_text
from ml.records import json_ready, write_json_lines
from ml.tests.evaluation_rows import calm_rows, rows

SEEDS = {"s1": 1, "s2": 2, "s3": 3, "s4": 4, "s5": 10}
"""Collisions of each seed's policy in 100 stops of the car ahead."""

ALARMS = {"s1": 0, "s2": 1, "s3": 2, "s4": 3, "s5": 8}
"""False alarms of each in an hour of calm traffic."""

BASELINES = {
    "null": (100, 50, 0), "driver": (20, 10, 0), "aeb": (0, 0, 0), "r157": (20, 0, 0),
    "eebl": (4, 0, 5), "rss": (0, 0, 50), "oracle": (0, 0, 0),
}  # fmt: skip
"""Collisions in 100 stops of H and in 50 of M, and false alarms in an hour."""

VARIANTS = {"eebl@3.0": (4, 0, 5), "eebl@5.0": (8, 0, 1)}


def policy_rows(policy, counts, presets):
    """Return a policy's rows: of the stops of H the first 80 were heard 50 ms, the rest 500 ms ago.

    Args:
        policy: Its id.
        counts: Collisions in H, in M, and false alarms; the first cases have them.
        presets: The radio presets, all of them alike.
    """
    in_h, in_m, alarms = counts
    found = []
    for preset in presets:
        stops = rows("H", 100, in_h, preset=preset)
        for stop in stops[80:]:
            stop["age_at_onset_s"] = 0.5
        found += stops + rows("M", 50, in_m, preset=preset)
        found += calm_rows(100, alarms, preset=preset)
    for row in found:
        row |= {"policy": policy, "case_num_peers": 3, "case_source_rank": 1, "case_variant": None}
    return found


def write_seed_evaluation(folder, seeds=tuple(SEEDS), *, presets=("nominal",), baselines=None):
    """Write an evaluation of the policies of some seeds.

    Args:
        folder: Where; made.
        seeds: Their ids, of ``SEEDS``.
        presets: The radio presets of the gates.
        baselines: Counts of baselines other than ``BASELINES``.

    Returns:
        The folder.
    """
    (folder / "records").mkdir(parents=True)
    counts = {
        **BASELINES, **(baselines or {}), **VARIANTS,
        **{seed: (SEEDS[seed], 0, ALARMS[seed]) for seed in seeds},
    }  # fmt: skip
    found = {policy: policy_rows(policy, each, presets) for policy, each in counts.items()}
    for policy, each in found.items():
        write_json_lines(folder / "records" / f"{policy}.jsonl", each)
    players = [_player(policy, seeds) for policy in counts]
    plan = SimpleNamespace(
        protocol=SimpleNamespace(
            name="by_hand", sha256="ab" * 32, seed=1, radio_presets=presets, stress_presets={},
            gates=GateLimits(),
        ),
        cases=[], players=players, judged=[one for one in players if one.policy_id in seeds],
        plays=dict,
    )  # fmt: skip
    provenance = {
        "scenarios_sha256": "12" * 32, "code_sha256": "34" * 32, "versions": {"python": "3.11.0"},
        "records_sha256": {
            policy: sha256_of_file(folder / "records" / f"{policy}.jsonl") for policy in counts
        },
    }  # fmt: skip
    evaluation = json_ready({**build_evaluation(plan, found), "provenance": provenance})
    save_evaluation(folder, evaluation)
    return folder


def save_evaluation(folder, evaluation):
    """Write what an evaluation says, and the hashes of its files."""
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    write_sums(folder, evaluation_files_in(folder))


def _player(policy, seeds):
    """Return a player as the evaluation's plan names it."""
    return SimpleNamespace(
        policy_id=policy, is_variant="@" in policy, source=policy, min_demand_mps2=0.0,
        sha256=sha256_of_text(policy), model=f"runs/{policy}" if policy in seeds else None,
    )  # fmt: skip
