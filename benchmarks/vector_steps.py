"""What a step of several environments in processes costs beyond the environment: `make bench`.

Two ways: *stepped*, with a message to each process for each step, as Gymnasium's vector environment
and plain PPO do; and *played*, where the processes take the steps of a rollout by themselves, as
training does, and evaluation with whole episodes. Each with an environment that costs nothing and
with the real one. A figure is the median of several rounds, the rounds of everything interleaved.

For the played way, with N environments, S steps of each, on C = min(N, usable cores) cores:

- time of a step = wall time x C / (N x S): what a core had to give for it, idle or not;
- overhead = time of a step - time of the same step alone: the environment with its resets and the
  same actor, in a loop in one of these processes while all others rest (``lone_rollout``);
- overhead in processor time = the same with the processor time of this process and the workers in
  the place of wall time x C, so that others on the machine hardly count;
- ratio = steps a second of all environments over those of one.

The overhead holds the sending of the policy, the copies into the rollout, its way back, the joining
of all environments' steps, the waiting for the slowest, and what environments that run side by side
take from each other's caches. What training does with the steps is not in it.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from free_environment import FreeEnv
from lone_rollout import play_alone
from measurement import print_record
from stable_baselines3 import PPO

from ml.command_line import OneLineArgumentParser, integer_in, run_command
from ml.envs.convoy_env import ConvoyEnv
from ml.envs.vector_env import ConvoyWorkers
from ml.policies.deep_set_kernels import NetworkArrays
from ml.policies.deep_set_policy import create_deep_set_policy_kwargs, initialise_no_intervention
from ml.policies.fast_forward import networks_of, scales_of
from ml.policies.row_forward_kernels import transposed
from ml.processors import usable_cores
from ml.provenance import REPOSITORY_ROOT
from ml.training import recipe
from ml.training.callbacks import actor_critic_of
from ml.training.rollout_actor import PolicyArrays, RolloutActor
from ml.training.rollout_kernels import Scaling
from ml.training.vector_adapter import WorkersVecEnv
from ml.types import Float32Array

NUM_ENVS = (1, 2, 4, 8)
BASE_SCENARIO = REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"
ROLLOUT_STEPS = 512
"""Steps of each environment in a rollout: those of the defaults, 2,048 of four environments."""
_FEWEST_STEPS = 100


class StepTimes(NamedTuple):
    """Times for a step of one environment [us].

    Attributes:
        clock: Wall time over the steps of all environments.
        parent: Processor time of this process.
        processor: Processor time of this process and the workers.
    """

    clock: float
    parent: float
    processor: float


class LoneTimes(NamedTuple):
    """Times for a step of one environment without the others and without this process [us].

    Attributes:
        clock: Wall time.
        processor: Processor time.
    """

    clock: float
    processor: float


@dataclass(frozen=True)
class Figures:
    """Each round's times, by number of environments.

    Attributes:
        stepped: A message for each step.
        played: A message for each rollout.
        alone: One environment in a loop of its own.
    """

    stepped: dict[int, list[StepTimes]]
    played: dict[int, list[StepTimes]]
    alone: list[LoneTimes]

    def overheads_us(self, num_envs: int) -> list[float]:
        """Return each round's overhead of a step that was played, by the clock [us]."""
        num_cores = min(num_envs, usable_cores())
        rounds = zip(self.played[num_envs], self.alone, strict=True)
        return [times.clock * num_cores - alone.clock for times, alone in rounds]

    def processor_overheads_us(self, num_envs: int) -> list[float]:
        """Return the same in processor time [us]."""
        rounds = zip(self.played[num_envs], self.alone, strict=True)
        return [times.processor - alone.processor for times, alone in rounds]

    def ratios(self, num_envs: int) -> list[float]:
        """Return each round's rate of playing over that of one environment."""
        rounds = zip(self.played[NUM_ENVS[0]], self.played[num_envs], strict=True)
        return [one.clock / times.clock for one, times in rounds]


@dataclass(frozen=True)
class Rollouts:
    """What acts in the rollouts of a round.

    Attributes:
        policy: The policy.
        noise: Its random numbers, shape (num_rollouts, ROLLOUT_STEPS, 1).
    """

    policy: PolicyArrays
    noise: Float32Array

    def arguments(self) -> list[tuple[PolicyArrays, Float32Array]]:
        """Return the arguments of the actor in each rollout."""
        return [(self.policy, rows) for rows in self.noise]


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = OneLineArgumentParser(description="Time several environments in processes.")
    parser.add_argument("--rounds", type=integer_in(3, 100), default=7, help="Rounds (default: 7).")
    parser.add_argument(
        "--steps", type=integer_in(_FEWEST_STEPS, 10**6), default=1000,
        help="Steps of all environments in a round (default: 1000), played up to whole rollouts.",
    )  # fmt: skip
    return parser.parse_args()


def processor_s(process_id: int) -> float:
    """Return the processor time that another process has taken so far [s]; clock(3) names it."""
    clock = ctypes.c_int()
    libc = ctypes.CDLL(None)
    if libc.clock_getcpuclockid(process_id, ctypes.byref(clock)) != 0:
        raise ProcessLookupError(f"process {process_id} is gone")
    return time.clock_gettime(clock.value)


class Stopwatch:
    """Measures steps of workers from now on."""

    def __init__(self, workers: ConvoyWorkers) -> None:
        self._workers = workers
        self._start_s = self._now_s()

    def _now_s(self) -> tuple[float, float, float]:
        """Return the clock, this process's time, and that of the workers too [s]."""
        workers_s = sum(processor_s(one) for one in self._workers.process_ids)
        own_s = time.process_time()
        return time.perf_counter(), own_s, own_s + workers_s

    def times(self, num_steps: int) -> StepTimes:
        """Return what a step took of ``num_steps`` of each environment."""
        scale = 1e6 / num_steps / self._workers.num_envs
        spans_s = zip(self._now_s(), self._start_s, strict=True)
        return StepTimes(*(scale * (now_s - start_s) for now_s, start_s in spans_s))


def new_rollouts(num_steps: int) -> Rollouts:
    """Return a policy as training begins with it, and rollouts of at least so many steps."""
    kwargs = create_deep_set_policy_kwargs(recipe.PEER_EMBED_DIM)
    model = PPO("MultiInputPolicy", FreeEnv(), policy_kwargs=kwargs, seed=1, device="cpu")
    policy = actor_critic_of(model)
    initialise_no_intervention(policy)
    actor, critic = (NetworkArrays(one.read(), one.sizes) for one in networks_of(policy))
    bounds = np.stack([FreeEnv.action_space.low, FreeEnv.action_space.high])
    scaling = Scaling(np.concatenate(scales_of(policy)), bounds)
    num_slots = FreeEnv.observation_space["peer_mask"].shape[0]
    shape = (-(-num_steps // ROLLOUT_STEPS), ROLLOUT_STEPS, 1)
    noise = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    return Rollouts(PolicyArrays(transposed(actor), critic, scaling, num_slots), noise)


def time_stepped(workers: ConvoyWorkers, num_steps: int) -> StepTimes:
    """Take steps with a message for each."""
    actions = np.full((workers.num_envs, 1), -1.0, np.float32)
    watch = Stopwatch(workers)
    for _ in range(num_steps):
        workers.step(actions)
    return watch.times(num_steps)


def time_played(workers: ConvoyWorkers, rollouts: Rollouts, seed: int) -> StepTimes:
    """Let the workers play rollouts."""
    vector = WorkersVecEnv(workers)
    workers.reset(seeds=[seed] * workers.num_envs)
    watch = Stopwatch(workers)
    for arguments in rollouts.arguments():
        vector.play(RolloutActor, [arguments] * workers.num_envs, ROLLOUT_STEPS)
    return watch.times(len(rollouts.noise) * ROLLOUT_STEPS)


def time_alone(workers: ConvoyWorkers, rollouts: Rollouts, seed: int) -> LoneTimes:
    """Let one worker play the same rollouts without this process."""
    arguments = (seed, RolloutActor, rollouts.arguments(), ROLLOUT_STEPS)
    ((_, taken_s),) = workers.call_each(play_alone, [arguments])
    num_steps = len(rollouts.noise) * ROLLOUT_STEPS
    return LoneTimes(*(1e6 * seconds / num_steps for seconds in taken_s))


def measure(
    environment: type[gym.Env[Any, Any]], kwargs: Mapping[str, Any], args: argparse.Namespace
) -> Figures:
    """Return each round's times by number of environments."""
    rollouts = new_rollouts(args.steps)
    figures = Figures({n: [] for n in NUM_ENVS}, {n: [] for n in NUM_ENVS}, [])
    with ExitStack() as stack:
        opened = [
            stack.enter_context(ConvoyWorkers(num_envs, kwargs, environment=environment))
            for num_envs in NUM_ENVS
        ]
        for workers in opened:
            time_alone(workers, rollouts, 0)
            time_played(workers, rollouts, 0)
            time_stepped(workers, _FEWEST_STEPS)
        for seed in range(args.rounds):
            for workers in opened:
                figures.stepped[workers.num_envs].append(time_stepped(workers, args.steps))
            figures.alone.append(time_alone(opened[0], rollouts, seed))
            for workers in opened:
                figures.played[workers.num_envs].append(time_played(workers, rollouts, seed))
    return figures


def _row(num_envs: int, rounds: Sequence[StepTimes]) -> str:
    """Return the columns that both tables have."""
    clock = [times.clock for times in rounds]
    parent = statistics.median(times.parent for times in rounds)
    return (
        f"{num_envs:4}  {statistics.median(clock):6.1f}  {min(clock):6.1f}  {max(clock):6.1f}  "
        f"{parent:12.1f}  "
    )


def table(title: str, figures: Figures) -> str:
    """Return the times as text."""
    head = "envs  median     min     max  parent's own  x"
    lines = [f"{title}, stepped: us a step and environment", head]
    first = statistics.median(times.clock for times in figures.stepped[NUM_ENVS[0]])
    for num_envs, rounds in figures.stepped.items():
        ratio = first / statistics.median(times.clock for times in rounds)
        lines.append(f"{_row(num_envs, rounds)}{ratio:.2f}")
    alone = statistics.median(times.clock for times in figures.alone)
    lines += [
        f"{title}, played: likewise; {alone:.1f} us alone",
        f"{head:46}  overhead     min     max  in processor time     min     max",
    ]
    for num_envs, rounds in figures.played.items():
        ratio = statistics.median(figures.ratios(num_envs))
        clock, own = figures.overheads_us(num_envs), figures.processor_overheads_us(num_envs)
        lines.append(
            f"{_row(num_envs, rounds)}{ratio:.2f}   {statistics.median(clock):8.1f}  "
            f"{min(clock):6.1f}  {max(clock):6.1f}  {statistics.median(own):17.1f}  "
            f"{min(own):6.1f}  {max(own):6.1f}"
        )
    return "\n".join(lines) + "\n"


def _rounded(figures: Mapping[int, Sequence[StepTimes]], field: str) -> dict[str, list[float]]:
    """Return one of the times of each round, for the record."""
    return {
        str(num_envs): [round(getattr(times, field), 2) for times in rounds]
        for num_envs, rounds in figures.items()
    }


def record_of(name: str, figures: Figures) -> dict[str, Any]:
    """Return what was measured with an environment, for the record."""
    return {
        f"{name}_us": _rounded(figures.stepped, "clock"),
        f"{name}_parent_us": _rounded(figures.stepped, "parent"),
        f"{name}_alone_us": [round(times.clock, 2) for times in figures.alone],
        f"{name}_alone_processor_us": [round(times.processor, 2) for times in figures.alone],
        **{
            f"{name}_played{kind}_us": _rounded(figures.played, field)
            for kind, field in (("", "clock"), ("_parent", "parent"), ("_processor", "processor"))
        },
        f"{name}_played_overhead_us": {
            str(n): round(statistics.median(figures.overheads_us(n)), 2) for n in NUM_ENVS
        },
        f"{name}_played_ratio": {
            str(n): round(statistics.median(figures.ratios(n)), 3) for n in NUM_ENVS
        },
    }


def main() -> None:
    """Measure, print the tables and the JSON line."""
    args = parse_args()
    free = measure(FreeEnv, {}, args)
    sys.stdout.write(table("free environment", free))
    real = measure(ConvoyEnv, {"sumo_cfg": str(BASE_SCENARIO), "scenario_seed": 1}, args)
    sys.stdout.write(table("base scenario", real))
    print_record(
        "vector_steps",
        {
            **record_of("free", free),
            **record_of("real", real),
            "rollout_steps": ROLLOUT_STEPS,
            "usable_cores": usable_cores(),
        },
    )


if __name__ == "__main__":
    run_command(main)
