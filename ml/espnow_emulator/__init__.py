"""The radio: what the ego's board hears, and what its own sensors read.

The emulator itself is imported when it is first asked for, because it brings the compiler.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ml.espnow_emulator.fault_requests import checked_faults, fault_from_text, placed_faults
from ml.espnow_emulator.faults import RadioFault
from ml.espnow_emulator.parameters import (
    DEFAULT_PARAMETERS_PATH,
    RadioParameters,
    load_radio_parameters,
    radio_parameters_path,
)
from ml.espnow_emulator.presets import preset_names

if TYPE_CHECKING:
    from ml.espnow_emulator.emulator import RadioEmulator, RadioStatistics
    from ml.espnow_emulator.episode_values import EpisodeRadioValues

__all__ = [
    "DEFAULT_PARAMETERS_PATH",
    "EpisodeRadioValues",
    "RadioEmulator",
    "RadioFault",
    "RadioParameters",
    "RadioStatistics",
    "checked_faults",
    "fault_from_text",
    "load_radio_parameters",
    "placed_faults",
    "preset_names",
    "radio_parameters_path",
]
_ORIGINS = {
    "EpisodeRadioValues": "ml.espnow_emulator.episode_values",
    "RadioEmulator": "ml.espnow_emulator.emulator",
    "RadioStatistics": "ml.espnow_emulator.emulator",
}


def __getattr__(name: str) -> type:
    """Import what is asked for from its own module, once."""
    if name not in _ORIGINS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: type = getattr(importlib.import_module(_ORIGINS[name]), name)
    globals()[name] = value
    return value
