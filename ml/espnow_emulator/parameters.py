"""Everything that the radio model needs, and the reader of its JSON file.

A missing section or key takes its default. An unknown key, a value out of its range and a burst
length that no two-state process can have are refused in one line that names file, key and rule.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.bounded_files import LARGEST_SETTINGS_BYTES, UnusableFileError, read_bounded_text
from ml.errors import RadioParameterError, nearest_name_hint
from ml.espnow_emulator.parameter_sections import (
    LARGEST_RANDOM_LOSS,
    MODES,
    SECTIONS,
    WITHOUT_EFFECT,
    BurstLossParameters,
    DomainRandomizationParameters,
    GpsParameters,
    ImuParameters,
    LatencyParameters,
    ObservationParameters,
    PacketLossParameters,
    ReceiverParameters,
    RelayParameters,
    SensorNoiseParameters,
    WireParameters,
)
from ml.espnow_emulator.physical_sections import (
    PhysicalParameters,
    PhysicalRandomizationParameters,
)
from ml.espnow_emulator.presets import preset_names, preset_path
from ml.espnow_emulator.value_checks import check_value, is_number, shown
from ml.json_files import parse_json

DEFAULT_PARAMETERS_PATH = Path(__file__).resolve().parent / "emulator_params_5m.json"

METADATA_KEYS = ("_metadata", "metadata")
OBSOLETE_KEYS = {
    ("burst_loss", "loss_multiplier"): "bursts follow from mean_burst_length and the loss rates",
    ("burst_loss", "max_loss_cap"): "a cap would change the loss rates, which are met as given",
    ("observation", "monitored_vehicles"): "every car of the scenario is heard",
    ("sensor_noise", "mag_std_ut"): "no magnetic field is sent; heading_std_deg covers it",
    ("sensor_noise", "gyro_std_rad_s"): "no turn rate is sent",
}
USES = ("training", "test")
_NOMINAL_LOSS = PacketLossParameters()


@dataclass(frozen=True)
class RadioParameters:
    """Everything that the radio model needs, checked on construction.

    Attributes:
        latency: Transmission to reception; simple mode.
        packet_loss: Loss by distance; simple mode.
        burst_loss: How losses cluster.
        sensor_noise: Errors of every car's sensors.
        observation: The receiving board.
        relay: Forwarding by the other cars.
        domain_randomization: Ranges for episodes that are randomised.
        gps: Rate, lag and white error of the position fixes.
        imu: Bias and mounting of the accelerometer.
        wire: Steps in which a frame carries readings.
        receiver: Defences of the receiving board.
        physical: Medium and propagation; physical mode.
        physical_randomization: Ranges of the physical mode.
        mode: "simple", loss by distance and Gaussian latency; or "physical".
        source: File that the values come from, for messages.
        use: "test" marks values that must never be trained on; else "training".

    Raises:
        RadioParameterError: A value is out of its range, or no burst process can meet it.

    >>> RadioParameters(latency=LatencyParameters(base_ms=9.0)).latency.base_ms
    9.0
    """

    latency: LatencyParameters = field(default_factory=LatencyParameters)
    packet_loss: PacketLossParameters = field(default_factory=PacketLossParameters)
    burst_loss: BurstLossParameters = field(default_factory=BurstLossParameters)
    sensor_noise: SensorNoiseParameters = field(default_factory=SensorNoiseParameters)
    observation: ObservationParameters = field(default_factory=ObservationParameters)
    relay: RelayParameters = field(default_factory=RelayParameters)
    domain_randomization: DomainRandomizationParameters = field(
        default_factory=DomainRandomizationParameters
    )
    gps: GpsParameters = field(default_factory=GpsParameters)
    imu: ImuParameters = field(default_factory=ImuParameters)
    wire: WireParameters = field(default_factory=WireParameters)
    receiver: ReceiverParameters = field(default_factory=ReceiverParameters)
    physical: PhysicalParameters = field(default_factory=PhysicalParameters)
    physical_randomization: PhysicalRandomizationParameters = field(
        default_factory=PhysicalRandomizationParameters
    )
    mode: str = "simple"
    source: str = "RadioParameters"
    use: str = "training"

    def __post_init__(self) -> None:
        if self.use not in USES:
            raise RadioParameterError(
                f"use in {self.source} must be one of {', '.join(USES)}. Got {shown(self.use)}. "
                "Mark a measured link with test."
            )
        if self.mode not in MODES:
            raise RadioParameterError(
                f"mode in {self.source} must be one of {', '.join(MODES)}. "
                f"Got {shown(self.mode)}. Without the key it is simple."
            )
        for section in SECTIONS:
            for entry in dataclasses.fields(SECTIONS[section]):
                value = getattr(getattr(self, section), entry.name)
                check_value(value, entry, f"{self.source} [{section}]")
        _check_thresholds(self.packet_loss, self.source)
        _check_bursts(self)

    @property
    def is_physical(self) -> bool:
        """Return whether frames go through the physical medium."""
        return self.mode == "physical"

    @property
    def can_relay(self) -> bool:
        """Return whether an episode with these values may have relays."""
        return self.relay.max_relay_hops > 0 or self.domain_randomization.relay_hops_range[1] > 0


def feasible_mean_burst(loss_rate: float) -> float:
    """Return the shortest mean burst that a two-state process with this loss can have.

    max(1, loss / (1 - loss)): a shorter one would need a probability good -> bad above 1.

    >>> feasible_mean_burst(0.75)
    3.0
    """
    return math.inf if loss_rate >= 1.0 else max(1.0, loss_rate / (1.0 - loss_rate))


def load_radio_parameters(path: str | Path | None = None) -> RadioParameters:
    """Read an emulator parameter file, or a packaged preset of a measured link.

    Args:
        path: The JSON file, or a preset's name such as "front_9m"; None for the packaged nominal
            file.

    Returns:
        Its values, with defaults where it is silent.

    Raises:
        RadioParameterError: It cannot be read, or holds a key or value that cannot be used.
    """
    source = radio_parameters_path(path)
    content = _read_object(source)
    sections: dict[str, Any] = {"use": _use_of(content), "mode": content.pop("mode", "simple")}
    for name, section in content.items():
        if name in METADATA_KEYS:
            continue
        if name not in SECTIONS:
            hint = nearest_name_hint(name, [*SECTIONS, "mode", "_metadata"])
            raise RadioParameterError(f"{name!r} in {source} must be a known section. {hint}")
        if not isinstance(section, dict):
            raise RadioParameterError(
                f"{name} in {source} must be an object. Got {shown(section)}. "
                "Write its keys in braces."
            )
        _check_has_effect(name, section, mode=str(sections["mode"]), source=source)
        sections[name] = SECTIONS[name](**_section_values(name, section, source))
    return RadioParameters(**sections, source=str(source))


def radio_parameters_path(path: str | Path | None = None) -> Path:
    """Return the file that ``load_radio_parameters`` reads for the same argument.

    A preset's name has no path separator, and a file of the same name goes before it.

    Raises:
        RadioParameterError: No such file, and the name is nearly a preset's.
    """
    if path is None:
        return DEFAULT_PARAMETERS_PATH
    source = Path(path)
    is_name = len(source.parts) == 1 and str(path) == source.name
    if not is_name or _exists(source):
        return source
    if source.name in preset_names():
        return preset_path(source.name)
    hint = nearest_name_hint(source.name, preset_names())
    if hint.startswith("Did you mean"):
        raise RadioParameterError(
            f"{source} must be a parameter file or a preset's name. Got neither. {hint} "
            f"Presets: {', '.join(preset_names())}."
        )
    return source


def _exists(source: Path) -> bool:
    """Return whether a path exists; one that the system cannot even look up does not."""
    try:
        return source.exists()
    except (OSError, ValueError):
        return False


def _use_of(content: dict[str, Any]) -> str:
    """Return what the metadata say that a file is for: "test" when its `use` begins with that."""
    for key in METADATA_KEYS:
        metadata = content.get(key)
        use = metadata.get("use") if isinstance(metadata, dict) else None
        if isinstance(use, str) and use.strip().lower().startswith("test"):
            return "test"
    return "training"


def _read_object(source: Path) -> dict[str, Any]:
    """Return the file's JSON object."""
    try:
        text = read_bounded_text(source, LARGEST_SETTINGS_BYTES)
    except ValueError as error:
        raise RadioParameterError(
            f"{source} must be a readable emulator parameter file in UTF-8. Got: {error}. "
            "Give the path of a JSON file, a preset's name, or none for the packaged one."
        ) from error
    if not text.strip():
        raise RadioParameterError(
            f"{source} must be a JSON object. Got an empty file. Write {{}} for all defaults."
        )
    try:
        content = parse_json(text, is_strict=False)
    except UnusableFileError as error:
        raise RadioParameterError(
            f"{source} must be valid JSON. Got: {error}. Correct or restore the file."
        ) from error
    if not isinstance(content, dict):
        raise RadioParameterError(
            f"{source} must hold a JSON object of sections. Got {shown(content)}. "
            "Write the sections in braces."
        )
    return content


def _check_has_effect(name: str, section: dict[str, Any], *, mode: str, source: Path) -> None:
    """Refuse a section, or a key of it, that the file's mode does not look at."""
    idle_keys = WITHOUT_EFFECT.get(mode, {}).get(name)
    if idle_keys is None:
        return
    idle = [f"{name}.{key}" for key in idle_keys if key in section]
    if not idle_keys:
        idle = [name]
    if idle:
        raise RadioParameterError(
            f"{idle[0]} in {source} must not be given in mode {mode}. Got "
            f"{shown(section if not idle_keys else section[idle[0].split('.')[1]])}. "
            "Delete it, or change the mode."
        )


def _section_values(name: str, section: dict[str, Any], source: Path) -> dict[str, Any]:
    """Return a section's values by key, lists as tuples; refuse unknown keys."""
    known = [entry.name for entry in dataclasses.fields(SECTIONS[name])]
    for key, value in section.items():
        if (name, key) in OBSOLETE_KEYS:
            reason = OBSOLETE_KEYS[name, key]
            raise RadioParameterError(
                f"{key} in {source} [{name}] is obsolete and must be deleted: {reason}. "
                f"Got {shown(value)}."
            )
        if key not in known:
            hint = nearest_name_hint(key, known)
            raise RadioParameterError(f"{key!r} in {source} [{name}] must be a known key. {hint}")
    values = {
        key: tuple(value) if isinstance(value, list) else value for key, value in section.items()
    }
    return _with_loss_defaults(values) if name == "packet_loss" else values


def _with_loss_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the loss rates that a file leaves out, relative to those that it gives.

    A tier left out is base_rate plus the nominal increment; base_rate left out is no higher than
    the tiers given. So one rate can be given alone and takes effect.
    """
    tiers = ("rate_tier_1", "rate_tier_2", "rate_tier_3")
    rates = [values[key] for key in ("base_rate", *tiers) if key in values]
    if not all(is_number(rate) and 0.0 <= rate <= 1.0 for rate in rates):
        return values
    given = [values[tier] for tier in tiers if tier in values]
    base = values.get("base_rate", min([_NOMINAL_LOSS.base_rate, *given]))
    filled = {"base_rate": base}
    for tier in tiers:
        increment = getattr(_NOMINAL_LOSS, tier) - _NOMINAL_LOSS.base_rate
        filled[tier] = min(1.0, base + increment)
    return {**filled, **values}


def _check_thresholds(loss: PacketLossParameters, source: str) -> None:
    """Refuse tiers that are out of order."""
    if loss.distance_threshold_1 >= loss.distance_threshold_2:
        raise RadioParameterError(
            f"distance_threshold_1 in {source} [packet_loss] must be less than "
            f"distance_threshold_2. Got {loss.distance_threshold_1:g} and "
            f"{loss.distance_threshold_2:g}. Put the nearer one first."
        )


def _check_bursts(parameters: RadioParameters) -> None:
    """Refuse a mean burst that no two-state process with the tiers' losses can have."""
    if not parameters.burst_loss.enabled:
        return
    mean_burst = parameters.burst_loss.mean_burst_length
    if parameters.is_physical:
        _check_physical_bursts(parameters)
        return
    tier_rates = parameters.packet_loss.tier_rates
    for tier, rate in enumerate(tier_rates, start=1):
        if mean_burst < feasible_mean_burst(rate):
            raise RadioParameterError(
                f"mean_burst_length in {parameters.source} [burst_loss] must be at least "
                f"loss / (1 - loss) = {feasible_mean_burst(rate):.4g} for the loss {rate:g} of "
                f"tier {tier}. Got {mean_burst:g}. Raise it, lower the loss, or set enabled to "
                "false."
            )
    ranges = parameters.domain_randomization
    needed = feasible_mean_burst(ranges.loss_rate_range[1])
    if ranges.mean_burst_range[1] < needed:
        raise RadioParameterError(
            f"mean_burst_range in {parameters.source} [domain_randomization] must reach "
            f"loss / (1 - loss) = {needed:.4g} for the loss {ranges.loss_rate_range[1]:g} at the "
            f"end of loss_rate_range. Got {list(ranges.mean_burst_range)}. Widen it, or lower the "
            "end of loss_rate_range."
        )


def _check_physical_bursts(parameters: RadioParameters) -> None:
    """Refuse a mean burst that the two-state process of the physical mode cannot have."""
    loss = parameters.physical.interference_loss
    most = parameters.physical_randomization.interference_loss_range[1]
    for name, given, rate in (
        ("mean_burst_length", parameters.burst_loss.mean_burst_length, loss),
        ("mean_burst_range's end", parameters.domain_randomization.mean_burst_range[1], most),
    ):
        if given < feasible_mean_burst(rate):
            raise RadioParameterError(
                f"{name} in {parameters.source} must be at least loss / (1 - loss) = "
                f"{feasible_mean_burst(rate):.4g} for an interference loss of {rate:g}. "
                f"Got {given:g}. Raise it, or lower the loss."
            )


def shifted_tier_rates(loss: PacketLossParameters, base_rate: float) -> tuple[float, float, float]:
    """Return the tiers' losses when ``base_rate`` replaces the file's and they shift with it.

    >>> shifted_tier_rates(PacketLossParameters(), 0.4)
    (0.4, 0.438, 0.568)
    """
    shift = base_rate - loss.base_rate
    first, second, third = (
        round(min(max(rate + shift, 0.0), LARGEST_RANDOM_LOSS), 12) for rate in loss.tier_rates
    )
    return first, second, third
