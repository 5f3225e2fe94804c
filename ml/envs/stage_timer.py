"""How long the stages of an environment take, all its steps and resets together."""

from __future__ import annotations

import time

from ml.types import NUM_STAGES

_now_s = time.perf_counter


class StageTimer:
    """Adds up wall time by stage; a lap takes a tenth of a microsecond.

    Attributes:
        seconds: Time of each stage since it was last taken, by the STAGE_* indices of ``ml.types``
            [s].
    """

    def __init__(self) -> None:
        """Begin with no time in any stage."""
        self.seconds = [0.0] * NUM_STAGES
        self._started_s = _now_s()

    def start(self) -> None:
        """Begin a lap."""
        self._started_s = _now_s()

    def lap(self, stage: int) -> None:
        """Count the time since the last lap, or start, for a stage; begin the next one."""
        now_s = _now_s()
        self.seconds[stage] += now_s - self._started_s
        self._started_s = now_s

    def take(self) -> list[float]:
        """Return the time of each stage and begin anew."""
        taken, self.seconds = self.seconds, [0.0] * NUM_STAGES
        return taken
