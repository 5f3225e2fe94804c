"""The base scenario that a dataset is made from: its files, its road, and their hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from ml.envs.sumo_connection import ScenarioFiles, read_scenario_files
from ml.errors import ScenarioError
from ml.provenance import REPOSITORY_ROOT, sha256_of_file
from ml.scenarios.scenario_files import (
    EGO_ID,
    NETWORK_FILE,
    ROUTE_FILE,
    SCENARIO_CONFIGURATION,
)

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class BaseScenario:
    """A base and the one edge that its convoy drives on.

    Attributes:
        name: Name of the base's folder.
        folder: The folder.
        files: The files its configuration names.
        edge_id: The edge of the ego's route.
        lane_length_m: Length of that edge's only lane [m].
        lane_speed_mps: Speed limit of that lane [m/s].
    """

    name: str
    folder: Path
    files: ScenarioFiles
    edge_id: str
    lane_length_m: float
    lane_speed_mps: float

    @property
    def lane_id(self) -> str:
        """Name of the lane that the convoy drives on."""
        return f"{self.edge_id}_0"

    def record(self) -> dict[str, str]:
        """Return the base's path and the hashes of its files, as the manifest lists them."""
        return {
            "path": recorded_path(self.folder),
            "sumocfg_hash": sha256_of_file(self.files.sumocfg),
            "network_hash": sha256_of_file(self.files.network),
            "routes_hash": sha256_of_file(self.files.routes[0]),
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
        if candidate.exists():
            return candidate
    raise ScenarioError(f"{flag} must exist. Got {name!r}. Check the path.")


def load_bases(folders: Sequence[Path], min_lane_speed_mps: float) -> list[BaseScenario]:
    """Read every base and check that convoys can be put on it.

    Args:
        folders: The bases' folders.
        min_lane_speed_mps: Speed limit below which a road would hold convoys back [m/s].

    Returns:
        The bases, in the order given.

    Raises:
        ScenarioError: A file is missing or broken, a road does not suit, or two bases share a name.
    """
    bases = [_load_base(folder) for folder in folders]
    names = [base.name for base in bases]
    for base in bases:
        if not _PLAIN_NAME.fullmatch(base.name):
            raise ScenarioError(
                "--base_dir must name a folder whose name holds only letters, digits, '.', '_' "
                f"and '-'. Got {base.name!r}. Rename it."
            )
        if names.count(base.name) > 1:
            raise ScenarioError(
                f"--base_dir must name folders with different names. Got {base.name!r} "
                f"{names.count(base.name)} times. Leave one out or rename it."
            )
        if base.lane_speed_mps < min_lane_speed_mps:
            raise ScenarioError(
                f"speed of lane {base.lane_id} in {base.files.network} must be at least "
                f"{min_lane_speed_mps:g} m/s, so that the road never holds a convoy back. "
                f"Got {base.lane_speed_mps:g}. Raise the lane's speed."
            )
    return bases


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
    edge_id = _route_edge(files.routes[0])
    length_m, speed_mps = _only_lane(files.network, edge_id)
    return BaseScenario(folder.resolve().name, folder, files, edge_id, length_m, speed_mps)


def _parse(path: Path) -> ElementTree.Element:
    """Return the root element of an XML file."""
    try:
        return ElementTree.parse(path).getroot()  # noqa: S314 - the parser expands no external entity
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise ScenarioError(f"{path} must be well-formed XML. Got: {error}.") from error


def _route_edge(routes: Path) -> str:
    """Return the one edge of the ego's route."""
    root = _parse(routes)
    ego = root.find(f"./vehicle[@id='{EGO_ID}']")
    if ego is None:
        raise ScenarioError(f"{routes} must hold a vehicle {EGO_ID!r}, the ego. Got none. Add it.")
    route = ego.find("route")
    if route is None:
        route = root.find(f"./route[@id='{ego.get('route', '')}']")
    edges = "" if route is None else route.get("edges", "")
    if len(edges.split()) != 1:
        raise ScenarioError(
            f"route of {EGO_ID} in {routes} must be one edge. Got {edges!r}. "
            "Draw the road as a single edge."
        )
    return edges.strip()


def _only_lane(network: Path, edge_id: str) -> tuple[float, float]:
    """Return the length [m] and the speed limit [m/s] of an edge that has one lane."""
    root = _parse(network)
    edge = next((edge for edge in root.iter("edge") if edge.get("id") == edge_id), None)
    lanes = [] if edge is None else edge.findall("lane")
    if len(lanes) != 1:
        raise ScenarioError(
            f"edge {edge_id!r} in {network} must exist and have one lane. Got {len(lanes)} lanes. "
            "Change the network or the ego's route."
        )
    try:
        return float(lanes[0].get("length", "")), float(lanes[0].get("speed", ""))
    except ValueError as error:
        raise ScenarioError(
            f"lane of {edge_id!r} in {network} must have a length and a speed. Got: {error}. "
            "Make the network again with netconvert."
        ) from error
