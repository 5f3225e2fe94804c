"""The thresholds of the gates that a policy has to pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from ml.evaluation.table_fields import number, numbers, reads

_SHARE = number(0.0, 1.0)


@dataclass(frozen=True)
class GateLimits:
    """Thresholds of the gates.

    Attributes:
        min_null_collision_rate: Least share of the hard half of H in which the ego that never
            brakes must collide.
        max_oracle_collision_rate: Largest share of it in which the oracle may.
        hard_half_deceleration_mps2: Stops with at least this deceleration are the hard half.
        max_floor_crash_rate: What the one-sided bound on the policy's crash rate must not exceed
            in the preventable cases of H, D and N.
        max_floor_age_s: Those cases count where the age at the onset is at most this.
        alarms_per_hour: False alarms per hour at which operating curves are compared.
        max_radio_off_excess: How much more often than the driver alone the policy may crash with
            the radio off.
        confidence: Of every one-sided bound.
    """

    min_null_collision_rate: float = field(default=0.95, metadata=reads(_SHARE))
    max_oracle_collision_rate: float = field(default=0.02, metadata=reads(_SHARE))
    hard_half_deceleration_mps2: float = field(default=6.4, metadata=reads(number(0.0, 20.0)))
    max_floor_crash_rate: float = field(default=0.005, metadata=reads(_SHARE))
    max_floor_age_s: float = field(default=0.15, metadata=reads(number(0.0, 10.0)))
    alarms_per_hour: tuple[float, ...] = field(
        default=(1.0, 10.0), metadata=reads(numbers(0.01, 1000.0))
    )
    max_radio_off_excess: float = field(default=0.01, metadata=reads(_SHARE))
    confidence: float = field(default=0.95, metadata=reads(number(0.5, 0.9999)))
