"""What one car ahead does in an episode: hard braking, benign braking, or nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ml.errors import ConfigError, nearest_name_hint
from ml.types import MAX_PEERS

HARD_STOP, HARD_RESOLVE, BENIGN, CALM = "hard_stop", "hard_resolve", "benign", "calm"
HAZARD_KINDS = (HARD_STOP, HARD_RESOLVE, BENIGN, CALM)

# Shares of the kinds among episodes in which a hazard is possible. An episode without peers, or in
# a convoy too slow for its source to brake, is calm whatever is drawn: about a fifth of those that
# the generator makes. With them at least 40 % of training is calm and 20 % benign.
KIND_SHARES = {
    "train": {HARD_STOP: 0.235, HARD_RESOLVE: 0.235, BENIGN: 0.26, CALM: 0.27},
    "eval": {HARD_STOP: 0.60, HARD_RESOLVE: 0.20, BENIGN: 0.15, CALM: 0.05},
}
KIND_SHARES["dev"] = KIND_SHARES["eval"]

HARD_DECELERATION_MPS2 = (3.0, 9.8)
BENIGN_DECELERATION_MPS2 = (1.0, 2.4)
HOLD_S = (0.5, 2.5)
EARLIEST_ONSET_S = 5.0
LATEST_ONSET_BEFORE_END_S = 12.0
MIN_SOURCE_SPEED_MPS = 5.0
REALISED_TOLERANCE = 0.05
_LARGEST_REQUEST_MPS2 = 12.0
_LARGEST_SPEED_MPS = 50.0
_NUM_CONVOY_SIZES = MAX_PEERS + 1  # so many scenarios of a dataset hold every size once


@dataclass(frozen=True)
class HazardPlan:
    """What is asked of one car ahead.

    Attributes:
        kind: ``hard_stop`` brakes to a standstill and stays; ``hard_resolve`` and ``benign`` brake
            for a while and drive on; ``calm`` is no hazard.
        source_rank: Which car brakes: 1 is the one directly ahead of the ego. 0 if calm.
        onset_s: When it begins, in seconds since the start of the episode. Infinite if calm.
        deceleration_mps2: Deceleration asked for, after its build-up. 0 if calm.
        hold_s: How long full deceleration lasts where the braking resolves, else infinite.
        min_speed_mps: A source that is slower than this at the onset does not brake, and the
            hazard is not realised.
    """

    kind: str = CALM
    source_rank: int = 0
    onset_s: float = math.inf
    deceleration_mps2: float = 0.0
    hold_s: float = math.inf
    min_speed_mps: float = MIN_SOURCE_SPEED_MPS


CALM_PLAN = HazardPlan()


@dataclass(frozen=True)
class HazardSetting:
    """What an episode's hazard depends on besides chance.

    Attributes:
        mode: ``train``, ``eval`` or ``dev``; chooses the shares of the kinds.
        num_peers: Number of cars ahead; 0 makes the episode calm.
        episode_s: Length of the episode.
        friction_mps2: Largest deceleration that the road allows.
        episode_index: Index of the episode. Outside training it decides the source's rank, so
            that every rank gets its turn.
        is_calm_unless_asked: Whether no car brakes unless the request names a kind.
    """

    mode: str
    num_peers: int
    episode_s: float
    friction_mps2: float
    episode_index: int
    is_calm_unless_asked: bool = False


def draw_hazard(
    generator: np.random.Generator,
    setting: HazardSetting,
    request: Mapping[str, Any] | None = None,
) -> HazardPlan:
    """Draw an episode's hazard.

    The same numbers are drawn whatever the outcome, so fixing one value leaves the others.

    Args:
        generator: The episode's hazard stream.
        setting: The episode's circumstances.
        request: Values to use instead of drawn ones, by the names of :class:`HazardPlan`.

    Returns:
        The plan.

    Raises:
        ConfigError: ``request`` names an unknown value or one out of range.
    """
    shares = KIND_SHARES[setting.mode]
    num_peers = setting.num_peers
    kind = str(generator.choice(list(shares), p=list(shares.values())))
    rank = _draw_rank(generator, max(num_peers, 1))
    if setting.mode != "train":
        turn = setting.episode_index // _NUM_CONVOY_SIZES
        # The second summand keeps a scenario that comes again from meeting the same rank again.
        rank = 1 + (turn + turn // max(num_peers, 1)) % max(num_peers, 1)
    latest_s = max(EARLIEST_ONSET_S, setting.episode_s - LATEST_ONSET_BEFORE_END_S)
    onset_s = float(generator.uniform(EARLIEST_ONSET_S, latest_s))
    severity = float(generator.uniform())
    hold_s = float(generator.uniform(*HOLD_S))

    wanted = _checked_request(request or {}, num_peers)
    kind = wanted.get("kind", kind)
    is_left_out = setting.is_calm_unless_asked and "kind" not in wanted
    if num_peers == 0 or kind == CALM or is_left_out:
        return CALM_PLAN
    low, high = BENIGN_DECELERATION_MPS2 if kind == BENIGN else HARD_DECELERATION_MPS2
    deceleration = wanted.get("deceleration_mps2", low + (high - low) * severity)
    return HazardPlan(
        kind=kind,
        source_rank=wanted.get("source_rank", rank),
        onset_s=wanted.get("onset_s", onset_s),
        deceleration_mps2=min(deceleration, setting.friction_mps2),
        hold_s=math.inf if kind == HARD_STOP else wanted.get("hold_s", hold_s),
        min_speed_mps=wanted.get("min_speed_mps", MIN_SOURCE_SPEED_MPS),
    )


def _draw_rank(generator: np.random.Generator, num_peers: int) -> int:
    """Return a rank with probability proportional to 1 / rank: nearer cars call for more."""
    weights = 1.0 / np.arange(1, num_peers + 1)
    return 1 + int(generator.choice(num_peers, p=weights / weights.sum()))


def _checked_request(request: Mapping[str, Any], num_peers: int) -> Mapping[str, Any]:
    """Return the request, or raise ConfigError naming the value that breaks its rule."""
    names = [field.name for field in fields(HazardPlan)]
    for name, value in request.items():
        if name not in names:
            raise ConfigError(
                f"hazard option {name!r} is unknown. {nearest_name_hint(name, names)}"
            )
        if name == "kind":
            if value not in HAZARD_KINDS:
                hint = nearest_name_hint(str(value), HAZARD_KINDS)
                raise ConfigError(f"hazard kind must be a known one. Got {value!r}. {hint}")
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise ConfigError(f"hazard {name} must be a number. Got {value!r}.")
        _check_range(name, value, num_peers)
    if num_peers == 0 and request.get("kind", CALM) != CALM:
        raise ConfigError(
            f"hazard kind must be 'calm' in a scenario without peers. Got {request['kind']!r}."
        )
    return request


def _check_range(name: str, value: float | np.number[Any], num_peers: int) -> None:
    """Raise ConfigError if a hazard option is out of its range."""
    ranges = {
        "source_rank": (1, num_peers),
        "onset_s": (0.0, math.inf),
        "deceleration_mps2": (0.1, _LARGEST_REQUEST_MPS2),
        "hold_s": (0.0, math.inf),
        "min_speed_mps": (0.1, _LARGEST_SPEED_MPS),
    }
    low, high = ranges[name]
    if not low <= value <= high or (name == "source_rank" and int(value) != value):
        raise ConfigError(f"hazard {name} must be in [{low:g}, {high:g}]. Got {value!r}.")


@dataclass
class HazardOutcome:
    """What really happened.

    Attributes:
        is_started: Whether the source began to brake.
        is_over: Whether it has stopped braking.
        measured_deceleration_mps2: Largest realised deceleration of the source while it braked.
        headway_at_onset_s: The ego's gap divided by its speed at onset, None if not started.
        age_at_onset_s: Age of what the ego's board holds of the source, None if it never heard it.
        failure: Why it did not happen, None otherwise.
    """

    is_started: bool = False
    is_over: bool = False
    measured_deceleration_mps2: float = 0.0
    headway_at_onset_s: float | None = None
    age_at_onset_s: float | None = None
    failure: str | None = None

    def verdict(self, plan: HazardPlan) -> tuple[bool, str | None]:
        """Return whether the hazard was realised as asked, and why not otherwise."""
        if plan.kind == CALM:
            return True, None
        if self.failure is not None:
            return False, self.failure
        if not self.is_started:
            return False, "the episode ended before the onset"
        error = abs(self.measured_deceleration_mps2 - plan.deceleration_mps2)
        if error > REALISED_TOLERANCE * plan.deceleration_mps2:
            return False, "the episode ended before the source reached its deceleration"
        return True, None
