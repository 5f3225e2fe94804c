"""The axes of the robustness curves: their levels, and the radio parameters that set each.

One thing varies along an axis; all else is that of the nominal parameter file, except that the loss
of the axes ``loss`` and ``burst`` is the same at every distance in range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml.espnow_emulator.closed_forms import mean_age_ms
from ml.evaluation.protocol import NOMINAL, radio_preset_path
from ml.types import MAX_PEERS

BURST_AXIS_LOSS = 0.5
"""Its mean burst is 2 frames where losses are independent of each other."""

# Delays are multiples of the boards' period, so that the control steps meet each link in the same
# phase and the age grows by the delay exactly.
VALUES: Mapping[str, tuple[float, ...]] = {
    "loss": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "burst": (2.0, 3.0, 5.0, 10.0, 20.0, 50.0),
    "delay": (0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 900.0),
    "peers": tuple(float(size) for size in range(1, MAX_PEERS + 1)),
}


@dataclass(frozen=True)
class Level:
    """One point of an axis.

    Attributes:
        axis: loss, burst, delay or peers.
        value: Loss probability, mean burst [frames], delay added to each frame [ms], or peers.
        loss: Loss of every link in range; None where it is the nominal file's, by distance.
        mean_burst: Mean number of consecutive losses, None as above [frames].
    """

    axis: str
    value: float
    loss: float | None = None
    mean_burst: float | None = None

    @property
    def name(self) -> str:
        """What the level is called in records and files, as ``loss_0.5``."""
        return f"{self.axis}_{self.value:g}"

    @property
    def is_radio(self) -> bool:
        """Whether the level is one of the radio, under which the same cases are played."""
        return self.axis != "peers"

    @property
    def mean_age_ms(self) -> float | None:
        """Mean age of a state held by the closed form of the two-state process [ms]."""
        if self.loss is None or self.mean_burst is None:
            return None
        latency_ms = _nominal()["latency"]["base_ms"]
        return mean_age_ms(self.loss, self.mean_burst, delay_ms=latency_ms)

    def parameters(self) -> dict[str, Any]:
        """Return the content of the level's radio parameter file."""
        content = _nominal()
        content["_metadata"] = {
            "name": self.name,
            "use": "test",
            "purpose": "A level of a robustness curve; all else is that of the nominal file.",
        }
        if self.axis == "delay":
            content["latency"]["base_ms"] += self.value
        if self.loss is not None:
            tiers = ("base_rate", "rate_tier_1", "rate_tier_2", "rate_tier_3")
            content["packet_loss"].update(dict.fromkeys(tiers, self.loss))
            content["burst_loss"] = (
                {"enabled": False}
                if self.axis == "loss"
                else {"enabled": True, "mean_burst_length": self.mean_burst}
            )
        return content


def levels_of(axis: str, values: Sequence[float] | None = None) -> list[Level]:
    """Return the levels of an axis.

    Args:
        axis: loss, burst, delay or peers.
        values: Where they are; None takes all of ``VALUES``.
    """
    return [_level(axis, value) for value in (VALUES[axis] if values is None else values)]


def _level(axis: str, value: float) -> Level:
    """Return one level; independent losses come in bursts of 1 / (1 - loss) in the mean."""
    if axis == "loss":
        return Level(axis, value, value, 1.0 / (1.0 - value))
    if axis == "burst":
        return Level(axis, value, BURST_AXIS_LOSS, value)
    return Level(axis, value)


def _nominal() -> dict[str, Any]:
    """Return the content of the nominal parameter file."""
    content: dict[str, Any] = json.loads(radio_preset_path(NOMINAL).read_text(encoding="utf-8"))
    return content
