"""A short training of the default kind, to see how fast it is and where its time goes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from ml.errors import SimulatorError
from ml.processors import usable_cores
from ml.provenance import REPOSITORY_ROOT
from ml.training.arguments import DEFAULT_SUMO_CFG, parse_args
from ml.training.learning import make_model, open_environments
from ml.training.stage_shares import StageClock, StageShares, TimedVecEnv

_MANY_STEPS = 1_000_000_000


@dataclass(frozen=True)
class TrialResult:
    """What a trial measured, after its first rollout and update.

    Attributes:
        num_envs: Environments.
        num_steps: Steps taken, of all environments.
        duration_s: Time they took, updates included [s].
        shares: Where the time went.
    """

    num_envs: int
    num_steps: int
    duration_s: float
    shares: StageShares

    @property
    def steps_per_s(self) -> float:
        """Return the rate [1/s]."""
        return self.num_steps / self.duration_s

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for a record."""
        return {**asdict(self), "steps_per_s": self.steps_per_s}


def run_trial(seconds: float, flags: Sequence[str] = ()) -> TrialResult:
    """Train for some seconds, on the base scenario if no other is named, and discard the policy.

    The first rollout and update, which load kernels and warm up, do not count.

    Args:
        seconds: Least time to measure [s]; the iteration that goes on is finished.
        flags: More flags of ``train_convoy``.

    Raises:
        SimulatorError: Nothing could be measured.
    """
    with tempfile.TemporaryDirectory(prefix="roadsense-trial-") as folder:
        args = parse_args(
            [*_scenario_flags(flags), "--dev_episodes", "0", "--output_dir",
             str(Path(folder) / "run"), "--quiet", *flags]
        )  # fmt: skip
        with closing(open_environments(args)) as vector:
            timed = TimedVecEnv(vector)
            model: PPO = make_model(args, timed)[0]
            num_parallel = min(timed.num_envs, usable_cores())
            watch = _Watch(seconds, lambda: StageClock(timed, num_parallel))
            model.learn(_MANY_STEPS, callback=watch)
    shares = watch.shares
    if shares is None:
        raise SimulatorError("the trial must take a step. Got none. Use --debug to see where.")
    return TrialResult(timed.num_envs, watch.num_steps, watch.duration_s, shares)


def _scenario_flags(flags: Sequence[str]) -> tuple[str, ...]:
    """Return the flags that name the base scenario, none where some name another."""
    if {"--sumo_cfg", "--dataset_dir"}.intersection(flags):
        return ()
    return "--sumo_cfg", str(REPOSITORY_ROOT / DEFAULT_SUMO_CFG)


class _Watch(BaseCallback):
    """Measures from the second rollout on, and ends the training after a whole iteration.

    Attributes:
        num_steps: Steps measured.
        duration_s: Time measured [s].
        shares: Of the time measured, None before the end.
    """

    def __init__(self, seconds: float, start_clock: Callable[[], StageClock]) -> None:
        super().__init__()
        self._seconds, self._start_clock = seconds, start_clock
        self._clock: StageClock | None = None
        self._first_steps, self._started_s = 0, 0.0
        self.num_steps, self.duration_s = 0, 0.0
        self.shares: StageShares | None = None

    def _on_rollout_start(self) -> None:
        if self.num_timesteps == 0:
            return
        now_s = time.monotonic()
        if self._clock is None:
            self._clock, self._started_s = self._start_clock(), now_s
            self._first_steps = self.num_timesteps
        elif now_s - self._started_s >= self._seconds:
            self.num_steps = self.num_timesteps - self._first_steps
            self.duration_s = now_s - self._started_s
            self.shares = self._clock.shares()
        self._clock.start_rollout()

    def _on_rollout_end(self) -> None:
        if self._clock is not None:
            self._clock.end_rollout()

    def _on_step(self) -> bool:
        return self.shares is None
