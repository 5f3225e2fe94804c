"""Conversions between the SI units used inside and the units of files and simulators."""

from __future__ import annotations

import math

GRAVITY_MPS2 = 9.81
"""Standard acceleration of free fall, to three digits [m/s^2]."""


def s_from_ms(duration_ms: float) -> float:
    """Convert a duration from [ms] to [s].

    >>> s_from_ms(250.0)
    0.25
    """
    return duration_ms / 1000.0


def mps_from_kmh(speed_kmh: float) -> float:
    """Convert a speed from [km/h] to [m/s].

    >>> mps_from_kmh(90.0)
    25.0
    """
    return speed_kmh / 3.6


def rad_from_deg(angle_deg: float) -> float:
    """Convert an angle from [deg] to [rad].

    >>> round(rad_from_deg(180.0), 6)
    3.141593
    """
    return math.radians(angle_deg)


def heading_rad_from_sumo_angle_deg(angle_deg: float) -> float:
    """Convert SUMO's angle (0 = north, clockwise) to a heading [rad] (0 = east, anticlockwise).

    >>> heading_rad_from_sumo_angle_deg(90.0)
    0.0
    """
    return math.radians(90.0 - angle_deg)
