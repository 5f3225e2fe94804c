"""Time of the episodes that a deaf policy plays for two radio presets: `make bench`.

Cases of `smoke`, each with one of the policies that act alike whatever the radio does: played under
each preset by itself, and once with the other preset's radio hearing the same cars. The rounds of
both are interleaved. Prints a table and one JSON line with commit, processor and versions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle

from measurement import interleaved, print_record, print_table

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.convoy_env import ConvoyEnv
from ml.evaluation.case_episodes import play_curve
from ml.evaluation.players import scripted_player
from ml.evaluation.protocol import load_protocol
from ml.evaluation.protocol_command import make_plan
from ml.evaluation.protocol_run import EvaluationPlan
from ml.policies.baselines import DEAF_POLICY_NAMES

FIRST, OTHER = "nominal", "roof"


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time what a deaf policy plays for two presets.")
    parser.add_argument("--rounds", type=integer_in(1, 100), default=5, help="Rounds (default: 5).")
    return parser.parse_args()


def ms_of(plan: EvaluationPlan, preset: str, others: Sequence[str]) -> float:
    """Return the processor time of a case [ms], its reset included."""
    cases = [case for case in plan.cases if case.family in "HDNMC"]
    followers = plan.protocol.followers
    turns = [([scripted_player(name)], case) for name, case in zip(cycle(DEAF_POLICY_NAMES), cases)]
    with closing(ConvoyEnv(**plan.environment_kwargs(preset))) as env:  # type: ignore[arg-type]
        play_curve(env, *turns[0], preset, followers, others)  # starts SUMO
        start_s = time.process_time()
        for players, case in turns:
            play_curve(env, players, case, preset, followers, others)
        return 1e3 * (time.process_time() - start_s) / len(turns)


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    plan = make_plan(load_protocol("smoke"), ["driver"])
    measures = {
        "each alone": lambda: ms_of(plan, FIRST, ()) + ms_of(plan, OTHER, ()),
        "together": lambda: ms_of(plan, FIRST, (OTHER,)),
    }
    times = interleaved(measures, args.rounds)
    print_table("a case under two presets [ms]", times, "12.1f")
    ms = {name: [round(value, 2) for value in values] for name, values in times.items()}
    print_record("deaf_episodes", {"ms": ms})


if __name__ == "__main__":
    run_command(main)
