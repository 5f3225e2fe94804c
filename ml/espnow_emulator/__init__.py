"""The radio: what the ego's board hears, and what its own sensors read."""

from ml.espnow_emulator.emulator import RadioEmulator, RadioStatistics
from ml.espnow_emulator.episode_values import EpisodeRadioValues
from ml.espnow_emulator.fault_requests import checked_faults, fault_from_text, placed_faults
from ml.espnow_emulator.faults import RadioFault
from ml.espnow_emulator.parameters import (
    DEFAULT_PARAMETERS_PATH,
    RadioParameters,
    load_radio_parameters,
    radio_parameters_path,
)
from ml.espnow_emulator.presets import preset_names

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
