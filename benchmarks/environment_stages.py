"""Where a step of the environment spends its time: one timer around each stage.

A stage's time is the median of its calls, on the wall clock: a step that other work on the machine
interrupts does not move it. Each timer adds about 0.2 us to the stages around it. With
``--training``, episodes as training plays them: shorter, with peers that react late, and with 0 to
8 peers equally often.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from measurement import make_dataset, open_env, print_record, run_episode, training_scenarios

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs import convoy_env, traffic
from ml.envs.convoy import Convoy
from ml.envs.convoy_env import ConvoyEnv
from ml.envs.episode_recorder import EpisodeRecorder
from ml.envs.observation import Observer
from ml.envs.reward import RewardFunction
from ml.envs.sumo_connection import SumoConnection
from ml.espnow_emulator import emulator
from ml.training import recipe

TRAINING = {
    "max_steps": recipe.TRAINING_EPISODE_STEPS,
    "peer_driver": recipe.TRAINING_PEER_DRIVER,
}
STAGES: tuple[tuple[str, Any, str], ...] = (
    ("the whole step", ConvoyEnv, "step"),
    ("  action to demand", convoy_env, "demand_from_action"),
    ("  oracle's demand", convoy_env, "oracle_demand_mps2"),
    ("  traffic", traffic.Traffic, "advance"),
    ("    drivers and actuators (kernel)", traffic, "plan_speeds"),
    ("    speed commands", Convoy, "command_speeds"),
    ("    SUMO's step", SumoConnection, "step"),
    ("    reads, state and gaps", Convoy, "read"),
    ("    contacts", traffic.Traffic, "_settle"),
    ("  radio", emulator.RadioEmulator, "advance"),
    ("    events (kernel)", emulator, "advance_radio"),
    ("  history", Observer, "record"),
    ("  observation", Observer, "observation"),
    ("  reward", RewardFunction, "__call__"),
    ("  trace", EpisodeRecorder, "add_step"),
    ("  end of the episode", traffic.Traffic, "end_reason"),
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time the stages of a step.")
    parser.add_argument("--peers", type=integer_in(0, 8), default=5, help="Peers (default: 5).")
    parser.add_argument(
        "--episodes", type=integer_in(1, 1000), default=8, help="Of each size (default: 8)."
    )
    parser.add_argument(
        "--training", action="store_true", help="As in training, in the place of --peers."
    )
    return parser.parse_args()


def put_timer(owner: Any, attribute: str, times_s: list[float]) -> None:  # noqa: ANN401
    """Replace a function of a class or module by one that notes how long each call takes."""
    function = getattr(owner, attribute)

    def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - hands everything on
        start_s = time.perf_counter()
        result = function(*arguments, **options)
        times_s.append(time.perf_counter() - start_s)
        return result

    setattr(owner, attribute, timed)


def main() -> None:
    """Measure, print the table and the JSON line."""
    args = parse_args()
    times_s: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "dataset", num_scenarios=9)
        by_size = {num_peers: name for name, num_peers in training_scenarios(dataset).items()}
        names = list(by_size.values()) if args.training else [by_size[args.peers]]
        env = open_env(dataset, **(TRAINING if args.training else {}))
        run_episode(env, names[0])  # compiles kernels, starts SUMO
        for stage, owner, attribute in STAGES:
            put_timer(owner, attribute, times_s[stage])
        for _ in range(args.episodes):
            for name in names:
                run_episode(env, name)
        env.close()
    medians_us = {stage: 1e6 * statistics.median(times) for stage, times in times_s.items()}
    what = "training" if args.training else f"{args.peers} peers"
    sys.stdout.write(f"{f'{what}, median of each call':34} {'us':>8}\n")
    for stage, microseconds in medians_us.items():
        sys.stdout.write(f"{stage:34} {microseconds:8.2f}\n")
    rounded = {stage.strip(): round(us, 3) for stage, us in medians_us.items()}
    num_peers = sorted(by_size) if args.training else [args.peers]
    print_record("environment_stages", {"num_peers": num_peers, "median_us": rounded})


if __name__ == "__main__":
    run_command(main)
