"""Where an episode's scenario comes from: a dataset's splits, or one file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ml.envs.scenario_manager import DEV, EVAL, ScenarioManager
from ml.envs.sumo_connection import ScenarioFiles, read_scenario_files
from ml.errors import ConfigError


class ScenarioSource(Protocol):
    """Gives each episode its scenario."""

    @property
    def emulator_params_path(self) -> Path | None:
        """Radio parameters that go with the scenarios, None for the default."""

    def select(self, episode_index: int, scenario_id: str | None) -> tuple[ScenarioFiles, str]:
        """Return the scenario of an episode and its id; ``scenario_id`` asks for one by name."""

    def reseed(self, seed: int) -> None:
        """Start the sequence again from ``seed``."""

    @property
    def is_development_disjoint(self) -> bool:
        """Whether training never meets a scenario of the development split."""

    def set_mode(self, mode: str) -> None:
        """Choose the split: ``train``, ``eval`` or ``dev``."""

    def count(self) -> int:
        """Return the number of scenarios in the present split."""


class SingleScenario:
    """The same scenario in every episode; only the draws of the episode differ."""

    emulator_params_path = None
    is_development_disjoint = False

    def __init__(self, sumo_cfg: str | Path) -> None:
        """Read which files the scenario consists of."""
        self._files = read_scenario_files(sumo_cfg)
        self._id = self._files.sumocfg.resolve().parent.name

    def select(self, episode_index: int, scenario_id: str | None) -> tuple[ScenarioFiles, str]:
        """Return the scenario, whatever the episode."""
        del episode_index
        if scenario_id not in {None, self._id}:
            raise ConfigError(
                f"reset option scenario_id must be {self._id!r}, the only scenario. "
                f"Got {scenario_id!r}."
            )
        return self._files, self._id

    def reseed(self, seed: int) -> None:
        """Do nothing: there is no order to draw."""

    def set_mode(self, mode: str) -> None:
        """Do nothing: there is one split."""

    def count(self) -> int:
        """Return 1."""
        return 1


class DatasetScenarios:
    """The scenarios of a dataset, read once each."""

    def __init__(self, manager: ScenarioManager) -> None:
        """Select by ``manager``."""
        self._manager = manager
        self._files: dict[str, ScenarioFiles] = {}

    @property
    def emulator_params_path(self) -> Path | None:
        """The dataset's radio parameters."""
        return self._manager.emulator_params_path

    def select(self, episode_index: int, scenario_id: str | None) -> tuple[ScenarioFiles, str]:
        """Return the scenario that the manager chooses for this episode, or the one named."""
        if scenario_id is None:
            self._manager.seek(episode_index)
            path, scenario_id = self._manager.select_scenario()
        else:
            path = self._manager.scenario_path(scenario_id)
        if scenario_id not in self._files:
            self._files[scenario_id] = read_scenario_files(path)
        return self._files[scenario_id], scenario_id

    @property
    def is_development_disjoint(self) -> bool:
        """Whether training never meets a scenario of the development split."""
        return self._manager.is_development_disjoint

    def reseed(self, seed: int) -> None:
        """Start the sequence again from ``seed``."""
        self._manager.reseed(seed)

    def set_mode(self, mode: str) -> None:
        """Choose the split."""
        if mode == EVAL:
            self._manager.set_eval_mode()
        elif mode == DEV:
            self._manager.set_dev_mode()
        else:
            self._manager.set_train_mode()

    def count(self) -> int:
        """Return the number of scenarios in the present split."""
        return self._manager.get_scenario_count()


def open_scenario_source(
    sumo_cfg: str | Path | None,
    dataset_dir: str | Path | None,
    *,
    seed: int,
    mode: str,
    hold_out_development: bool = False,
) -> ScenarioSource:
    """Open the dataset or read the single scenario; exactly one must be given.

    Raises:
        ConfigError: Both or neither are given.
        ScenarioError: The scenario or the dataset cannot be used.
    """
    if dataset_dir is not None and sumo_cfg is None:
        manager = ScenarioManager(
            dataset_dir, seed, mode, hold_out_development=hold_out_development
        )
        return DatasetScenarios(manager)
    if sumo_cfg is not None and dataset_dir is None:
        return SingleScenario(sumo_cfg)
    given = "both" if sumo_cfg is not None else "neither"
    raise ConfigError(f"exactly one of sumo_cfg and dataset_dir must be given. Got {given}.")
