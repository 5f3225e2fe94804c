"""Where a training's time goes: simulator, radio, observation, inference, update and transfer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from ml.training.vector_adapter import WorkersVecEnv
from ml.types import (
    NUM_STAGES,
    STAGE_INFERENCE,
    STAGE_OBSERVATION,
    STAGE_RADIO,
    STAGE_SIMULATOR,
    FloatArray,
)


@dataclass(frozen=True)
class StageShares:
    """Shares of the wall time since training began; they add up to 1.

    Attributes:
        simulator: SUMO, drivers, hazards and contacts; resets too.
        radio: Sensors, air and receiver.
        observation: Observation, reward and record.
        transfer: What the environments' steps took beyond their stages: messages between the
            processes, and waiting for the slowest environment.
        inference: The policy's forward pass, also in the environments' processes, and the rest of a
            rollout: buffer and callbacks.
        update: Between two rollouts: the learner, checkpoints and development episodes.
    """

    simulator: float
    radio: float
    observation: float
    transfer: float
    inference: float
    update: float

    @property
    def text(self) -> str:
        """Return the shares for a line of progress, the largest first."""
        shares = sorted(vars(self).items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {share:.0%}" for name, share in shares)

    @property
    def largest(self) -> str:
        """Return the name of the largest share."""
        return max(vars(self).items(), key=lambda item: item[1])[0]


class TimedVecEnv(VecEnvWrapper):
    """Environments whose steps are timed, as the learner sees them."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self._waited_s = self._started_s = 0.0

    @property
    def steps_s(self) -> float:
        """How long all steps took so far, those that were played by themselves too [s]."""
        played_s = self.venv.play_s if isinstance(self.venv, WorkersVecEnv) else 0.0
        return self._waited_s + played_s

    def reset(self) -> VecEnvObs:
        """Begin an episode in every environment."""
        return self.venv.reset()

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Let every environment take a step."""
        self._started_s = time.perf_counter()
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step."""
        result = self.venv.step_wait()
        self._waited_s += time.perf_counter() - self._started_s
        return result

    @property
    def stage_seconds(self) -> FloatArray:
        """Time in the stages of each environment, (num_envs, NUM_STAGES), zeros if unknown [s].

        Of environments in processes of their own, the time of the episodes that have ended.
        """
        if isinstance(self.venv, WorkersVecEnv):
            return self.venv.stage_seconds
        timers = [getattr(env, "stage_timer", None) for env in self._own_environments()]
        return np.array([timer.seconds if timer else [0.0] * NUM_STAGES for timer in timers])

    def _own_environments(self) -> list[Any]:
        """Return the environments of this process."""
        return [env.unwrapped for env in getattr(self.venv, "envs", [])] or [None]


class StageClock:
    """Measures a training's wall time and divides it; begins when it is made.

    Args:
        environments: The environments.
        num_parallel: How many of them run at the same time: the smaller of their number and the
            cores'.
        now_s: The clock.
    """

    def __init__(
        self,
        environments: TimedVecEnv,
        num_parallel: int,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._environments, self._num_parallel, self._now_s = environments, num_parallel, now_s
        self._first_steps_s = environments.steps_s
        self._first_seconds = environments.stage_seconds.copy()
        self._rollout_s = self._update_s = 0.0
        self._changed_s = now_s()
        self._is_in_rollout = False

    def start_rollout(self) -> None:
        """Note that a rollout begins."""
        self._count_lap()
        self._is_in_rollout = True

    def end_rollout(self) -> None:
        """Note that a rollout ends, and the learner's turn begins."""
        self._count_lap()
        self._is_in_rollout = False

    def shares(self) -> StageShares | None:
        """Return the shares up to now, None before anything was measured."""
        self._count_lap()
        seconds = self._environments.stage_seconds - self._first_seconds
        return divide(
            self._rollout_s,
            self._environments.steps_s - self._first_steps_s,
            self._update_s,
            np.asarray(seconds.sum(axis=0) / self._num_parallel),
        )

    def _count_lap(self) -> None:
        """Count the time since the last change for what has been going on since."""
        before_s, self._changed_s = self._changed_s, self._now_s()
        if self._is_in_rollout:
            self._rollout_s += self._changed_s - before_s
        else:
            self._update_s += self._changed_s - before_s


def divide(
    rollout_s: float, steps_s: float, update_s: float, stages_s: FloatArray
) -> StageShares | None:
    """Divide wall time among the stages.

    Args:
        rollout_s: Wall time in rollouts.
        steps_s: Of it, in the environments' steps.
        update_s: Wall time outside of rollouts.
        stages_s: Time of the environments' stages, of all environments, over the number that run
            at once; shape (NUM_STAGES,). Where it exceeds ``steps_s`` it is scaled down to it.

    Returns:
        The shares, None if no time has passed.
    """
    total_s = rollout_s + update_s
    if total_s <= 0.0:
        return None
    busy_s = float(stages_s[:NUM_STAGES].sum())
    scale = min(1.0, steps_s / busy_s) / total_s if busy_s > 0.0 else 0.0
    return StageShares(
        simulator=float(stages_s[STAGE_SIMULATOR]) * scale,
        radio=float(stages_s[STAGE_RADIO]) * scale,
        observation=float(stages_s[STAGE_OBSERVATION]) * scale,
        transfer=max(steps_s - busy_s, 0.0) / total_s,
        inference=(rollout_s - steps_s) / total_s + float(stages_s[STAGE_INFERENCE]) * scale,
        update=update_s / total_s,
    )
