"""The base scenario that a dataset is made from: its files, its road, and their hashes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml.envs.sumo_connection import ScenarioFiles, read_scenario_files
from ml.errors import ScenarioError
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scenarios.base_settings import BaseSettings, read_base_settings
from ml.scenarios.road_path import RoadPath, read_road_path, read_route_edges
from ml.scenarios.scenario_draws import (
    EGO_GAP_M,
    EGO_LONGEST_HEADWAY_S,
    REAR_MARGIN_M,
    AugmentationRanges,
)
from ml.scenarios.scenario_files import (
    NETWORK_FILE,
    ROUTE_FILE,
    SCENARIO_CONFIGURATION,
)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ROUNDING = 1e-6


@dataclass(frozen=True)
class BaseScenario:
    """A base and the way that its convoy drives.

    Attributes:
        name: Name of the base's folder.
        folder: The folder.
        files: The files its configuration names.
        path: The lanes of the ego's route.
        settings: What the base says about itself.
    """

    name: str
    folder: Path
    files: ScenarioFiles
    path: RoadPath
    settings: BaseSettings

    def record(self) -> dict[str, Any]:
        """Return the base's path, hashes and settings, as the manifest lists them."""
        settings = asdict(self.settings)
        settings_hash = settings.pop("settings_hash")
        return {
            "path": recorded_path(self.folder),
            "sumocfg_hash": sha256_of_file(self.files.sumocfg),
            "network_hash": sha256_of_file(self.files.network),
            "routes_hash": sha256_of_file(self.files.routes[0]),
            "settings_hash": settings_hash,
            "settings": settings,
        }


def recorded_path(path: Path) -> str:
    """Return a path as a record names it: from the repository root where it lies inside."""
    resolved = path.resolve()
    if resolved.is_relative_to(REPOSITORY_ROOT):
        return resolved.relative_to(REPOSITORY_ROOT).as_posix()
    return resolved.as_posix()


def find_input(name: str, flag: str) -> Path:
    """Return the input that a flag names, from the current folder or from the repository root.

    Args:
        name: The flag's value.
        flag: The flag, for the error.

    Returns:
        The existing path.

    Raises:
        ScenarioError: Nothing is there.
    """
    candidates = (Path(name), REPOSITORY_ROOT / name)
    for candidate in candidates:
        if os.path.exists(candidate):  # noqa: PTH110 - unlike Path's, false for a name too long
            return candidate
    raise ScenarioError(f"{flag} must exist. Got {name!r}. Check the path.")


def load_bases(folders: Sequence[Path]) -> list[BaseScenario]:
    """Read every base.

    Args:
        folders: The bases' folders.

    Returns:
        The bases, in the order given.

    Raises:
        ScenarioError: A file is missing or broken, or two bases share a name.
    """
    bases = [_load_base(folder) for folder in folders]
    names = [base.name for base in bases]
    for name in names:
        if not _PLAIN_NAME.fullmatch(name):
            raise ScenarioError(
                "--base_dir must name a folder whose name holds only letters, digits, '.', '_' "
                f"and '-'. Got {name!r}. Rename it."
            )
        if names.count(name) > 1:
            raise ScenarioError(
                f"--base_dir must name folders with different names. Got {name!r} "
                f"{names.count(name)} times. Leave one out or rename it."
            )
    return bases


def check_road(base: BaseScenario, ranges: AugmentationRanges) -> None:
    """Check that convoys can be put on a base.

    Args:
        base: The base.
        ranges: The range of every drawn value.

    Raises:
        ScenarioError: The road would hold a convoy back, or its first edge is too short.
    """
    top_speed_mps = ranges.on_base(base.settings).top_speed_mps()
    fastest_mps = top_speed_mps * ranges.follower_max_speed_factor[1]
    slowest_lane = min(base.path.lanes, key=lambda lane: lane.speed_mps)
    if slowest_lane.speed_mps < fastest_mps - _ROUNDING:
        raise ScenarioError(
            f"speed of lane {slowest_lane.lane_id} in {base.files.network} must be at least "
            f"{fastest_mps:g} m/s, so that the road never holds a convoy back. "
            f"Got {slowest_lane.speed_mps:g}. Raise the lane's speed."
        )
    first_edge = base.path.lanes[0]
    least_m = REAR_MARGIN_M + EGO_GAP_M + EGO_LONGEST_HEADWAY_S * top_speed_mps
    if first_edge.length_m < least_m - _ROUNDING:
        raise ScenarioError(
            f"length of lane {first_edge.lane_id} in {base.files.network} must be at least "
            f"{least_m:g} m, so that the ego finds its place on it at any headway. "
            f"Got {first_edge.length_m:g}. Make the first edge longer."
        )


def trainable(bases: Mapping[str, BaseScenario]) -> dict[str, BaseScenario]:
    """Return the bases that may be trained on.

    Raises:
        ScenarioError: All of them are held out.
    """
    allowed = {name: base for name, base in bases.items() if not base.settings.held_out}
    if not allowed:
        raise ScenarioError(
            f"--base_dir must name a base that is not held out, for the training scenarios. "
            f"Got {', '.join(bases)}. Add ml/scenarios/base."
        )
    return allowed


def _load_base(folder: Path) -> BaseScenario:
    """Read one base."""
    if not folder.is_dir():
        raise ScenarioError(f"--base_dir must be a folder. Got {str(folder)!r}. Check the path.")
    for name in (SCENARIO_CONFIGURATION, NETWORK_FILE, ROUTE_FILE):
        if not (folder / name).is_file():
            raise ScenarioError(
                f"--base_dir {folder} must hold {SCENARIO_CONFIGURATION}, {NETWORK_FILE} and "
                f"{ROUTE_FILE}. Got no {name}. Add it."
            )
    files = read_scenario_files(folder / SCENARIO_CONFIGURATION)
    path = read_road_path(files.network, read_route_edges(files.routes[0]))
    settings = read_base_settings(folder)
    return BaseScenario(folder.resolve().name, folder, files, path, settings)
