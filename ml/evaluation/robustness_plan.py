"""What the robustness curves play: the same cases at each level, for each policy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import ConfigError, RecordError
from ml.evaluation.cases import Case
from ml.evaluation.episodes import EpisodeRecord
from ml.evaluation.families import cases_of
from ml.evaluation.family_plans import CalmPlan, FamilyPlan, HazardMatrixPlan, MultiHopPlan
from ml.evaluation.hazard_families import hazards_of_size
from ml.evaluation.players import Play, Player
from ml.evaluation.protocol import NOMINAL, Protocol, load_protocol
from ml.evaluation.protocol_run import EvaluationPlan
from ml.evaluation.protocol_scenarios import write_protocol_scenarios
from ml.evaluation.radio_meter import play_measured
from ml.evaluation.robustness_levels import Level, levels_of
from ml.provenance import code_sha256, sha256_of_text, write_json_atomically
from ml.types import MAX_PEERS

RADIO_FOLDER = "radio"
CALM_VARIANTS = ("cruise", "stop_and_go", "benign", "curve")
"""Calm cases without senders besides the convoy's cars, and with the radio as the level sets it."""

_SOURCE_PROTOCOL = "screening"
_NUM_CELLS = MAX_PEERS * (MAX_PEERS + 1) // 2
"""Of family H: sizes of the convoy with every rank."""
_MOST_SCENARIOS = 24
"""Of one size or variant in the packaged protocol; so many turns of a cell take each."""


@dataclass(frozen=True)
class RobustnessSettings:
    """What decides the episodes of the curves.

    Attributes:
        axes: What varies: loss, burst, delay, peers.
        family: H or M.
        episodes: Hazards for each policy at each level.
        calm_episodes: Calm episodes for each policy at each level of the radio.
        seed: Of the cases.
    """

    axes: tuple[str, ...]
    family: str
    episodes: int
    calm_episodes: int
    seed: int

    def levels(self) -> list[Level]:
        """Return every level, axis by axis; family M has no case with one peer."""
        fewest = 1 if self.family == "H" else 2
        return [
            level
            for axis in self.axes
            for level in levels_of(axis)
            if level.is_radio or level.value >= fewest
        ]


@dataclass(frozen=True)
class RobustnessPlan(EvaluationPlan):
    """What the curves play.

    Attributes:
        levels: Every level, axis by axis.
        cases_by_level: The cases of each, by its name.
        radio_folder: Where the levels' radio parameter files are.
    """

    levels: Sequence[Level]
    cases_by_level: Mapping[str, Sequence[Case]]
    radio_folder: Path

    def plays(self) -> dict[str, list[Play]]:
        """Return all episodes by level."""
        return {
            name: [Play(player, case) for case in cases for player in self.players]
            for name, cases in self.cases_by_level.items()
        }

    @property
    def may_share(self) -> bool:
        """Not: a level's rows tell what its radio did, and levels of size have their own cases."""
        return False

    @property
    def play(self) -> Callable[..., list[EpisodeRecord]]:
        """What a process does to play a case with a policy at its thresholds."""
        return play_measured

    def environment_kwargs(self, radio_preset: str) -> dict[str, object]:
        """Return the arguments of the environment that plays a level."""
        file = self.radio_folder / f"{radio_preset}.json"
        return {**super().environment_kwargs(NOMINAL), "emulator_params_path": str(file)}

    @property
    def sha256(self) -> str:
        """Hash of all cases and of the radio parameters that each is played under."""
        content = {
            level.name: {
                "parameters": level.parameters(),
                "cases": [dataclasses.asdict(case) for case in self.cases_by_level[level.name]],
            }
            for level in self.levels
        }
        return sha256_of_text(json.dumps(content, sort_keys=True, allow_nan=False))

    def write_parameters(self) -> None:
        """Write the radio parameter file of each level.

        Raises:
            RecordError: That fails.
        """
        try:
            self.radio_folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RecordError(
                f"{self.radio_folder} must be a folder. Got: {error.strerror}. Choose another "
                "--output_dir."
            ) from error
        for level in self.levels:
            write_json_atomically(self.radio_folder / f"{level.name}.json", level.parameters())


def make_robustness_plan(
    settings: RobustnessSettings, players: Sequence[Player], folder: Path
) -> RobustnessPlan:
    """Return what the curves play, their scenarios made.

    Args:
        settings: What decides the episodes.
        players: Who plays.
        folder: Where the curves go.
    """
    protocol = _protocol(settings, settings.episodes, settings.calm_episodes)
    shared = cases_of(protocol)
    levels = settings.levels()
    cases = {
        level.name: shared if level.is_radio else _cases_of_size(protocol, settings, level.value)
        for level in levels
    }
    return RobustnessPlan(
        protocol=protocol, cases=[case for group in cases.values() for case in group],
        scenarios=_write_scenarios(settings), judged=players, players=players,
        code_sha256=code_sha256(), levels=levels, cases_by_level=cases,
        radio_folder=folder / RADIO_FOLDER,
    )  # fmt: skip


def _protocol(settings: RobustnessSettings, episodes: int, calm_episodes: int) -> Protocol:
    """Return the packaged protocol with the family of the curves, and calm cases if any, alone."""
    packaged = load_protocol(_SOURCE_PROTOCOL)
    calm = packaged.families["C"]
    families: dict[str, FamilyPlan] = {
        settings.family: dataclasses.replace(_hazards(packaged, settings), episodes=episodes)
    }
    if calm_episodes and isinstance(calm, CalmPlan):
        families["C"] = dataclasses.replace(calm, episodes=calm_episodes, variants=CALM_VARIANTS)
    return dataclasses.replace(packaged, seed=settings.seed, families=families, stress_presets={})


def _hazards(protocol: Protocol, settings: RobustnessSettings) -> HazardMatrixPlan | MultiHopPlan:
    """Return what the protocol fixes of the curves' family."""
    plan = protocol.families[settings.family]
    if not isinstance(plan, HazardMatrixPlan | MultiHopPlan):
        raise ConfigError(f"family must be H or M. Got {settings.family!r}. Choose one of them.")
    return plan


def _cases_of_size(protocol: Protocol, settings: RobustnessSettings, size: float) -> Sequence[Case]:
    """Return the hazards of convoys of one size."""
    plan = _hazards(protocol, settings)
    return hazards_of_size(protocol, settings.family, plan, int(size))[1]


def _write_scenarios(settings: RobustnessSettings) -> Path:
    """Write every scenario of the families, however few of them the cases take."""
    return write_protocol_scenarios(
        _protocol(settings, _NUM_CELLS * _MOST_SCENARIOS, len(CALM_VARIANTS) * _MOST_SCENARIOS)
    )
