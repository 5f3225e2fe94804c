"""An update's minibatches: the actor's gradient and the critic's, at the same time if that pays.

The two networks share nothing but the minibatch and the norm of both gradients together, so each
has memory of its own, and the weights are the same on one core as on two.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ml.processors import usable_cores
from ml.training import ppo_kernels as kernels
from ml.types import FloatArray, IntArray

LEAST_ROWS_FOR_TWO = 128
"""Below it a gradient takes less time than it takes to wake another thread up."""


class UpdatePair:
    """Actor and critic during one update; a context manager, which ends its thread.

    Args:
        networks: Actor and critic, changed in place.
        rollout: What was experienced.
        settings: PPO's and Adam's settings.
        scratches: Memory of each.
        num_steps: Steps of Adam taken before.

    Attributes:
        num_steps: Steps of Adam taken up to now.
    """

    def __init__(
        self,
        networks: tuple[kernels.TrainedNetwork, kernels.TrainedNetwork],
        rollout: kernels.PackedRollout,
        settings: kernels.Settings,
        scratches: tuple[kernels.UpdateScratch, kernels.UpdateScratch],
        num_steps: int,
    ) -> None:
        self._networks, self._rollout, self._settings = networks, rollout, settings
        self._scratches = scratches
        self.num_steps = num_steps
        num_rows = len(scratches[0].batch.values)
        is_shared = usable_cores() > 1 and num_rows >= LEAST_ROWS_FOR_TWO
        self._other = ThreadPoolExecutor(1, "critic") if is_shared else None

    def pass_over(self, order: IntArray, batch_size: int, losses: FloatArray) -> int:
        """Pass over the rollout once.

        Args:
            order: The rollout's steps in the order in which to take them.
            batch_size: Steps of a minibatch; the last one may be smaller.
            losses: One row for each minibatch, shape (minibatches, NUM_LOSSES); written.

        Returns:
            Steps of Adam: fewer than minibatches where the policy changed too much.
        """
        for index, row in enumerate(losses):
            chosen = order[index * batch_size : (index + 1) * batch_size]
            square = self._gradients(chosen, row)
            if not kernels.take_step(*self._networks, square, self.num_steps, self._settings, row):
                return index
            self.num_steps += 1
        return len(losses)

    def _gradients(self, chosen: IntArray, losses: FloatArray) -> float:
        """Write both gradients of a minibatch and return their square."""
        actor, critic = (
            (network, self._rollout, chosen, self._settings, scratch, losses)
            for network, scratch in zip(self._networks, self._scratches, strict=True)
        )
        if self._other is None:
            return float(kernels.actor_gradient(*actor) + kernels.critic_gradient(*critic))
        other = self._other.submit(kernels.critic_gradient, *critic)
        return float(kernels.actor_gradient(*actor) + other.result())

    def __enter__(self) -> Self:
        """Return the pair."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the other thread."""
        if self._other is not None:
            self._other.shutdown()
