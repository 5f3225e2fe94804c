"""Policies behind a threshold, which notice how far it could rise before they would act otherwise.

What decides whether a policy acts has a strength in m/s^2: its demand, or for ``eebl`` the braking
that it hears. A threshold between its own and the weakest strength that acted would have let the
same actions pass, step by step, and so made the same episode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.evaluation.episodes import PredictingPolicy
from ml.policies.baselines import eebl_braking_mps2
from ml.types import MAX_DEMAND_MPS2, Float32Array

_NO_INTERVENTION = np.array([-1.0], dtype=np.float32)
_FULL_BRAKING = np.array([1.0], dtype=np.float32)


class DemandThreshold:
    """Passes on the demands of a policy that exceed a threshold, and no others.

    A demand counts as the policy gives it. Beyond 8 m/s^2 no more brakes follow, but how far it is
    beyond still tells how sure the policy is, if its actions come without bounds.

    Args:
        policy: What acts.
        min_demand_mps2: The threshold.

    Attributes:
        weakest_mps2: The smallest demand that passed so far, infinite where none did.
    """

    def __init__(self, policy: PredictingPolicy, min_demand_mps2: float) -> None:
        self._policy, self._min_demand_mps2 = policy, min_demand_mps2
        self.weakest_mps2 = math.inf

    def predict(
        self,
        observation: Any,  # noqa: ANN401 - whatever the policy takes
        *,
        deterministic: bool,
    ) -> tuple[Float32Array, None]:
        """Return the policy's action or no intervention, and no state."""
        action, _ = self._policy.predict(observation, deterministic=deterministic)
        demand_mps2 = MAX_DEMAND_MPS2 * float(action[0])
        if demand_mps2 > self._min_demand_mps2:
            self.weakest_mps2 = min(self.weakest_mps2, demand_mps2)
        elif demand_mps2 > 0.0:
            return _NO_INTERVENTION, None
        return action, None


class EeblThreshold:
    """The rule ``eebl`` with a threshold.

    Args:
        threshold_mps2: Deceleration of a peer that counts as hard braking, above 0.

    Attributes:
        weakest_mps2: The least hard braking that it acted on so far, infinite where there is none.
    """

    def __init__(self, threshold_mps2: float) -> None:
        self._threshold_mps2 = threshold_mps2
        self.weakest_mps2 = math.inf

    def predict(
        self, observation: Mapping[str, Float32Array], *, deterministic: bool
    ) -> tuple[Float32Array, None]:
        """Return full braking or no intervention, and no state."""
        del deterministic
        braking_mps2 = eebl_braking_mps2(observation)
        if braking_mps2 < self._threshold_mps2:
            return _NO_INTERVENTION, None
        self.weakest_mps2 = min(self.weakest_mps2, braking_mps2)
        return _FULL_BRAKING, None
