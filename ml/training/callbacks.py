"""What happens beside the learning: live progress, its log, checkpoints, a bounded exploration."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy

from ml.errors import ConfigError, PolicyError, RoadSenseError, cannot_write
from ml.policies.deep_set_policy import clamp_action_std
from ml.policies.model_file import write_model
from ml.progress import ProgressDisplay
from ml.records import append_json_line
from ml.training.stage_shares import StageClock, StageShares

CALM_DOWN = "Lower --learning_rate or --ent_coef."
"""What to do where the learner has lost its numbers."""

_EPISODES_IN_MEAN = 100
_LOSSES = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "loss")


def save_model_atomically(model: BaseAlgorithm, path: str | Path) -> None:
    """Save a model whole or not at all, with its tensors and their description beside it.

    Raises:
        RecordError: The file cannot be written.
    """

    def save_zip(temporary: Path) -> None:
        try:
            model.save(temporary)
        except OSError as error:
            raise cannot_write(path, error) from error

    write_model(model, path, save_zip)


class BoundedLogStdCallback(BaseCallback):
    """Keep the action's standard deviation in [0.05, 0.6] after every update.

    An entropy bonus without a bound lets it explode, a long training without one lets it collapse.
    """

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._clamp()

    def _on_training_end(self) -> None:
        self._clamp()

    def _clamp(self) -> None:
        clamp_action_std(actor_critic_of(self.model))
        self.logger.record("train/log_std", mean_log_std(self.model))


class FiniteUpdateCallback(BaseCallback):
    """End the training after an update that left a loss or a weight that is no finite number.

    It comes before the state is saved.
    """

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._check()

    def _on_training_end(self) -> None:
        self._check()

    def _check(self) -> None:
        for name in _LOSSES:
            value = self.logger.name_to_value.get(f"train/{name}", 0.0)
            if not math.isfinite(value):
                raise PolicyError(
                    f"{name} of the update after {self.num_timesteps} steps must be finite. "
                    f"Got {value}. {CALM_DOWN}"
                )
        check_weights(self.model)


class CheckpointCallback(BaseCallback):
    """Save ``deep_sets_<steps>_steps.zip`` at each multiple of the period, by which it is named.

    Where the number of environments does not divide the period, the step just beyond it counts.

    Args:
        folder: Existing folder for the checkpoints.
        period_steps: Steps between two checkpoints.
        num_kept: How many of the newest to keep; all when None.
    """

    def __init__(
        self, folder: str | Path, period_steps: int = 10_000, num_kept: int | None = None
    ) -> None:
        super().__init__()
        if period_steps < 1:
            raise ConfigError(f"period_steps of the checkpoints must be >= 1. Got {period_steps}.")
        self._folder, self._period_steps = Path(folder), period_steps
        self._num_kept = num_kept
        self._num_saved = 0

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as JSON can hold it."""
        return {"num_saved": self._num_saved}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self._num_saved = state["num_saved"]

    def _on_step(self) -> bool:
        if self.num_timesteps // self._period_steps > self._num_saved:
            self._num_saved = self.num_timesteps // self._period_steps
            path = self._folder / f"deep_sets_{self._num_saved * self._period_steps}_steps.zip"
            save_model_atomically(self.model, path)
            self._remove_old()
        return True

    def _remove_old(self) -> None:
        """Remove the oldest checkpoints, and what belongs to them, if they are too many."""
        newest_first = range(self._num_saved, 0, -1)
        for number in newest_first[self._num_kept :] if self._num_kept else ():
            for path in self._folder.glob(f"deep_sets_{number * self._period_steps}_steps.*"):
                path.unlink()


class ProgressCallback(BaseCallback):
    """Show the progress and append one row per rollout and its update to ``progress.jsonl``.

    A row has `steps`, `time_s` since the start, `episodes` and `collision_rate` of this rollout
    (null without an episode), `episode_reward_mean` over the last 100 episodes as the environment
    gave it, and of the update `approx_kl`, `entropy`, `explained_variance`, `value_loss` and
    `log_std`. `shares` tells where the time went so far; see ``StageShares``. A value that does not
    exist yet, or is not finite, is null.

    Args:
        path: File to append to.
        total_timesteps: Steps asked for.
        start_clock: Begins to measure where the time goes; None leaves that out.
        is_quiet: Show nothing; the file is written all the same.
    """

    def __init__(
        self,
        path: str | Path,
        total_timesteps: int,
        *,
        start_clock: Callable[[], StageClock] | None = None,
        is_quiet: bool = False,
    ) -> None:
        super().__init__()
        self._start_clock = start_clock
        self._clock: StageClock | None = None
        self._path, self._total_timesteps, self._is_quiet = Path(path), total_timesteps, is_quiet
        self._returns: deque[float] = deque(maxlen=_EPISODES_IN_MEAN)
        self._num_episodes = self._num_collisions = 0
        self._started_s = 0.0
        self._display: ProgressDisplay | None = None
        self._spent_s = 0.0

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` needs, as JSON can hold it."""
        return {
            "returns": list(self._returns),
            "num_episodes": self._num_episodes,
            "num_collisions": self._num_collisions,
            "spent_s": self._time_s(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned; the times go on, the shares begin anew."""
        self._returns.extend(state["returns"])
        self._num_episodes = state["num_episodes"]
        self._num_collisions = state["num_collisions"]
        self._spent_s = state["spent_s"]

    def _time_s(self) -> float:
        """Return the time that training has taken so far [s]."""
        return self._spent_s + time.monotonic() - self._started_s

    def _on_training_start(self) -> None:
        self._started_s = time.monotonic()
        self._clock = self._start_clock() if self._start_clock else None
        self._display = ProgressDisplay(
            "training", self._total_timesteps, "steps", is_quiet=self._is_quiet
        )
        self._display.__enter__()

    def _on_step(self) -> bool:
        for is_done, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
            if is_done:
                self._count_episode(info)
        if self._display is not None:
            self._display.update(self.num_timesteps, self._note)
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > 0:
            self._write_row()
        if self._clock is not None:
            self._clock.start_rollout()

    def _on_rollout_end(self) -> None:
        if self._clock is not None:
            self._clock.end_rollout()

    def _on_training_end(self) -> None:
        self._write_row()
        self.logger.dump(self.num_timesteps)
        if self._display is not None:
            self._display.update(self.num_timesteps, self._note, is_last=True)

    def close(self) -> None:
        """Give the terminal back, also after a failure."""
        if self._display is not None:
            self._display.__exit__(None, None, None)

    def _count_episode(self, info: dict[str, Any]) -> None:
        """Add one episode's return and whether it ended in a collision."""
        self._num_episodes += 1
        self._num_collisions += not info.get("TimeLimit.truncated", False)
        if "episode" in info:
            self._returns.append(float(info["episode"]["r"]))

    def _note(self) -> str:
        mean, shares = self._mean_return(), self._shares()
        notes = [] if mean is None else [f"mean episode reward {mean:.1f}"]
        return "; ".join([*notes, shares.text] if shares else notes)

    def _shares(self) -> StageShares | None:
        return self._clock.shares() if self._clock is not None else None

    def _mean_return(self) -> float | None:
        return sum(self._returns) / len(self._returns) if self._returns else None

    def _write_row(self) -> None:
        """Append the row of the rollout and its update, and start counting the next one."""
        learned = self.logger.name_to_value
        entropy_loss = _finite(learned.get("train/entropy_loss"))
        shares = self._shares()
        row = {
            "steps": self.num_timesteps,
            "time_s": round(self._time_s(), 3),
            "episodes": self._num_episodes,
            "collision_rate": (
                self._num_collisions / self._num_episodes if self._num_episodes else None
            ),
            "episode_reward_mean": _finite(self._mean_return()),
            "approx_kl": _finite(learned.get("train/approx_kl")),
            "entropy": None if entropy_loss is None else -entropy_loss,
            "explained_variance": _finite(learned.get("train/explained_variance")),
            "value_loss": _finite(learned.get("train/value_loss")),
            "log_std": _finite(mean_log_std(self.model)),
            "shares": vars(shares) if shares else None,
        }
        append_json_line(self._path, row)
        self._num_episodes = self._num_collisions = 0


@contextmanager
def divergence_told(model: BaseAlgorithm) -> Iterator[None]:
    """Say in one line if the block fails because the model gives no numbers any more.

    Raises:
        PolicyError: That is so.
    """
    try:
        yield
    except RoadSenseError:
        raise
    except ValueError as error:  # how torch refuses to draw an action from NaN
        check_weights(model, error)
        if not str(error).startswith("Expected parameter"):
            raise
        raise PolicyError(  # large weights overflow before they are infinite themselves
            f"the policy's action must stay finite. Got NaN or infinity after "
            f"{model.num_timesteps} steps. {CALM_DOWN}"
        ) from error


def check_weights(model: BaseAlgorithm, cause: Exception | None = None) -> None:
    """Check that the model's weights are finite.

    Args:
        model: The model.
        cause: What led to the question.

    Raises:
        PolicyError: They are not.
    """
    for name, weights in actor_critic_of(model).named_parameters():
        if not weights.isfinite().all():
            raise PolicyError(
                f"the policy's weights must stay finite. Got NaN or infinity in {name} after "
                f"{model.num_timesteps} steps. {CALM_DOWN}"
            ) from cause


def actor_critic_of(model: BaseAlgorithm) -> ActorCriticPolicy:
    """Return the model's policy, or raise PolicyError if it is not an actor with a critic."""
    if not isinstance(model.policy, ActorCriticPolicy):
        raise PolicyError("the model must have an actor-critic policy. Train it with PPO.")
    return model.policy


def mean_log_std(model: BaseAlgorithm) -> float:
    """Return the mean over the action's components of the log of its standard deviation."""
    return float(actor_critic_of(model).log_std.detach().mean())


def _finite(value: float | None) -> float | None:
    """Return the value as a float, or None where it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None
