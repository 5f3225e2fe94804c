"""SUMO in this process, through libsumo, or in a window of its own, through TraCI.

libsumo holds one simulation per process. A connection owns it from its first ``load`` until
``close``; closing happens once, whichever comes first: an explicit call, an exception while
loading or stepping, or garbage collection.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import weakref
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ml.envs.placed_convoy import (
    PlacedConvoy,
    StateFile,
    empty_road_state,
    has_signals,
    placed_convoy,
)
from ml.envs.sumo_input import Complaints, check_input, complaints_kept, first_error
from ml.envs.sumo_window import SumoWindow, check_display
from ml.errors import ScenarioError, SimulatorError, one_line
from ml.types import CONTROL_PERIOD_S, FloatArray
from ml.xml_files import read_xml

SYSTEM_LIBRARIES = "libgl1 libx11-6 libxext6 libxrender1 libatomic1"
_LIBRARY_ADVICE = f"apt-get install {SYSTEM_LIBRARIES}"

# Contact is ours to judge (SUMO's own flag fires at minGap, 2.5 m before contact), insertion must
# not delay or move a car, and nothing is written but what a caller asks for.
SIMULATION_OPTIONS = (
    "--step-length", str(CONTROL_PERIOD_S),
    "--step-method.ballistic",
    "--collision.action", "warn",
    "--collision.mingap-factor", "0",
    "--collision.check-junctions",
    "--time-to-teleport", "-1",
    "--insertion-checks", "none",
    "--xml-validation", "never",
    "--no-step-log",
    "--no-warnings",
    "--thread-rngs", "1",  # one generator for every lane, so that one seed settles it
)  # fmt: skip

_INPUT_NAMES = {
    "net-file": ("net-file", "net", "n"),
    "route-files": ("route-files", "routes", "r"),
    "additional-files": ("additional-files", "additional", "a"),
}
"""Every name that SUMO takes for an input file's element."""
_OUR_SETTINGS = {"step-length": CONTROL_PERIOD_S, "begin": 0.0, "time-to-teleport": -1.0}
"""Settings of a configuration that change nothing where they have these values."""

_AT_ONCE = "now"

_LOGGER = logging.getLogger("ml")

_active_connection: weakref.ref[SumoConnection] | None = None


@dataclass(frozen=True)
class ScenarioFiles:
    """The input files that a scenario's ``.sumocfg`` names; its other settings are ours.

    Attributes:
        sumocfg: The scenario's configuration file.
        network: The road network.
        routes: The route files, in order.
        additional: Further input files, in order.
    """

    sumocfg: Path
    network: Path
    routes: tuple[Path, ...]
    additional: tuple[Path, ...] = ()

    def options(self) -> list[str]:
        """Return SUMO's command-line options that load these files."""
        options = ["-n", str(self.network), "-r", ",".join(map(str, self.routes))]
        if self.additional:
            options += ["-a", ",".join(map(str, self.additional))]
        return options


def read_scenario_files(sumocfg: str | Path) -> ScenarioFiles:
    """Read which files a ``.sumocfg`` names and check that they are there.

    Its other settings are not used; one line says which, once a file and command.

    Args:
        sumocfg: Path of the configuration file; relative names in it count from its folder.

    Returns:
        The scenario's input files.

    Raises:
        ScenarioError: The file is missing, is no XML, or names no or missing input files.
    """
    path = Path(sumocfg)
    if not os.path.isfile(path):  # noqa: PTH113 - unlike Path's, false for a name too long
        raise ScenarioError(
            f"sumo_cfg must be an existing .sumocfg file. Got {str(path)!r}. Check the path."
        )
    root = read_xml(path)
    network = _named_files(root, "net-file", path)
    routes = _named_files(root, "route-files", path)
    if len(network) != 1 or not routes:
        raise ScenarioError(
            f"{path} must name one <net-file> and at least one <route-files> in its <input>. "
            f"Got {len(network)} and {len(routes)}."
        )
    additional = _named_files(root, "additional-files", path)
    for named in (*network, *routes, *additional):
        _check_name(named)
    _say_what_is_ignored(path.resolve(), _ignored_settings(root))
    return ScenarioFiles(path, network[0], routes, additional)


def _check_name(path: Path) -> None:
    """Refuse a path that SUMO would read as a list, with a variable in it, or as a flag."""
    if "," in str(path) or "${" in str(path) or str(path).startswith("-"):
        raise ScenarioError(
            f"path of a scenario's file must hold no ',' and no '${{' and begin with no '-', which "
            f"SUMO takes for a list, a variable and a flag. Got {str(path)!r}. Rename it."
        )


def _ignored_settings(root: ElementTree.Element) -> tuple[str, ...]:
    """Return the names of a configuration's settings that RoadSense does not take over."""
    settings = [element for element in root.iter() if element is not root and element.attrib]
    inputs = {name for names in _INPUT_NAMES.values() for name in names}
    names = [
        element.tag
        for element in settings
        if element.tag not in inputs and not _is_ours(element.tag, _value_of(element))
    ]
    return tuple(dict.fromkeys(names))


def _value_of(element: ElementTree.Element) -> str:
    """Return what a configuration's element sets, by either name that SUMO takes for it."""
    return element.get("value", element.get("v", ""))


def _is_ours(name: str, value: str) -> bool:
    """Return whether a setting has the value that RoadSense gives it anyway."""
    try:
        return float(value) == _OUR_SETTINGS.get(name)
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _say_what_is_ignored(sumocfg: Path, names: tuple[str, ...]) -> None:
    """Warn once a file; the workers of a command leave it to the command itself."""
    if names and multiprocessing.parent_process() is None:
        _LOGGER.warning(
            "%s: ignored its settings %s: RoadSense sets SUMO's options itself.",
            one_line(sumocfg.name),
            one_line(", ".join(names)),
        )


def _named_files(root: ElementTree.Element, tag: str, sumocfg: Path) -> tuple[Path, ...]:
    """Return the existing files that the element ``tag`` lists, separated by commas."""
    element = next((element for element in root.iter() if element.tag in _INPUT_NAMES[tag]), None)
    if element is None:
        return ()
    names = [name.strip() for name in _value_of(element).split(",") if name.strip()]
    paths = tuple(sumocfg.parent / name for name in names)
    for path in paths:
        if not os.path.isfile(path):  # noqa: PTH113 - as above
            raise ScenarioError(f"{sumocfg} names {path} in <{tag}>, which does not exist.")
    return paths


@dataclass(frozen=True)
class Lane:
    """A lane of a road network.

    Attributes:
        width_m: Its width.
        points_m: Its middle line, shape (num_points, 2), in the map's frame.
    """

    width_m: float
    points_m: FloatArray


class SumoConnection:
    """One SUMO simulation, loaded again and again with changing scenarios."""

    def __init__(self, *, gui: bool = False) -> None:
        """Prepare a connection; SUMO starts with the first ``load``.

        Args:
            gui: Show the simulation in sumo-gui through TraCI instead of running it in process.

        Raises:
            SimulatorError: The simulator's library cannot be imported.
            ConfigError: ``gui`` was asked for and there is no display.
        """
        if gui:
            check_display()
        self._gui = gui
        self._sumo: Any = _open_window() if gui else _import_simulator("libsumo")
        self._is_started = False
        self._road_hash = ""  # of the network that SUMO holds without a scenario's own files
        self._lanes, self._version = "", ""
        self._state_file = StateFile()
        self._sumocfg = Path()
        self._finalizer: weakref.finalize[Any, SumoConnection] | None = None
        self.vehicle: Any = self._sumo.vehicle
        """SUMO's vehicle functions (getters and setters by vehicle id)."""

    def vehicle_function(self, name: str) -> Any:  # noqa: ANN401 - libsumo has no type information
        """Return one of SUMO's vehicle functions, without libsumo's wrapper in Python if it can.

        The wrapper hands its arguments on as they are and takes as long as the function itself.
        """
        compiled = None if self._gui else getattr(self._sumo, "_libsumo", None)
        return getattr(compiled, f"vehicle_{name}", None) or getattr(self.vehicle, name)

    def load(self, files: ScenarioFiles, sumo_seed: int) -> None:
        """Load a scenario, in place of the one before; its cars appear with the next step.

        Args:
            files: The scenario's input files.
            sumo_seed: Seed of SUMO's own random numbers.

        Raises:
            SimulatorError: Another connection of this process is open.
            ScenarioError: SUMO refuses the scenario; the connection is closed.
        """
        self._sumocfg = files.sumocfg
        network_hash = check_input(files.network, (*files.routes, *files.additional))
        convoy = None
        if not files.additional and not has_signals(files.network, network_hash):
            convoy = placed_convoy(files.routes)
        complaints = Complaints()
        try:
            with complaints_kept(complaints):
                if convoy is None:
                    self._load([*files.options(), "--seed", str(sumo_seed)], "")
                else:
                    if network_hash != self._road_hash:
                        self._load(["-n", str(files.network)], network_hash)
                    self._put_on_road(convoy, sumo_seed)
        except (self._sumo.TraCIException, self._sumo.FatalTraCIError, ScenarioError) as error:
            self.close()
            message = " ".join((first_error(complaints.text) or str(error)).split())
            raise ScenarioError(f"SUMO cannot load {files.sumocfg}: {message}") from error
        except SimulatorError:
            self.close()
            raise

    def _load(self, options: list[str], road_hash: str) -> None:
        """Have SUMO read files; ``road_hash`` names a network without anything on it."""
        self._road_hash = ""
        options = [*options, *SIMULATION_OPTIONS]
        if self._is_started:
            self._sumo.load(options)
        else:
            self._start(options)
        if road_hash:
            self._lanes = " ".join(self._sumo.lane.getIDList())
            self._version = str(self._sumo.getVersion()[1]).removeprefix("SUMO ")
        self._road_hash = road_hash

    def _put_on_road(self, convoy: PlacedConvoy, sumo_seed: int) -> None:
        """Take SUMO back to an empty road with new random numbers, and add a convoy's cars."""
        self._state_file.write(
            empty_road_state(convoy.elements, self._lanes, sumo_seed, self._version)
        )
        self._sumo.simulation.loadState(self._state_file.name)
        for car_id, route, kind, *start in convoy.cars:
            self.vehicle.add(car_id, route, kind, _AT_ONCE, *start)

    def _start(self, options: list[str]) -> None:
        """Start SUMO and make this the connection that owns it."""
        global _active_connection  # noqa: PLW0603 - libsumo itself is one per process
        active = None if _active_connection is None else _active_connection()
        if active is not None and not self._gui:
            raise SimulatorError(
                "libsumo holds one simulation per process, and another environment is open. "
                "Close it first, or run this one in its own process."
            )
        self._finalizer = weakref.finalize(self, _close_simulator, self._sumo)
        if self._gui:
            self._sumo.start(options)
        else:
            self._sumo.start(["sumo", *options])
            _active_connection = weakref.ref(self)
        self._is_started = True

    def step(self) -> None:
        """Advance the simulation by one control period.

        Raises:
            SimulatorError: SUMO stopped; the connection is closed.
        """
        try:
            self._sumo.simulationStep()
        except ScenarioError as error:  # a window says only with a step that it could not load
            self.close()
            raise ScenarioError(f"SUMO cannot load {self._sumocfg}: {error}") from error
        except SimulatorError:
            self.close()
            raise
        except (self._sumo.TraCIException, self._sumo.FatalTraCIError) as error:
            self.close()
            message = " ".join(str(error).split())
            raise SimulatorError(f"SUMO failed while stepping: {message}") from error

    def follow(self, vehicle_id: str) -> None:
        """Let the window's camera travel with a vehicle; nothing without a window."""
        if self._gui:
            self._sumo.follow(vehicle_id)

    def vehicle_ids(self) -> tuple[str, ...]:
        """Return the ids of the vehicles on the road."""
        return tuple(self._sumo.vehicle.getIDList())

    def arrived_ids(self) -> tuple[str, ...]:
        """Return the ids of the vehicles that left the road in the last step."""
        return tuple(self._sumo.simulation.getArrivedIDList())

    def colliding_ids(self) -> tuple[str, ...]:
        """Return the ids of the vehicles in SUMO's own collision list."""
        return tuple(self._sumo.simulation.getCollidingVehiclesIDList())

    def lane_length_m(self, lane_id: str) -> float:
        """Return a lane's length [m]."""
        return float(self._sumo.lane.getLength(lane_id))

    def lanes(self) -> list[Lane]:
        """Return every lane of the network, those on junctions included."""
        of_lane = self._sumo.lane
        return [
            Lane(float(of_lane.getWidth(name)), np.array(of_lane.getShape(name))[:, :2])
            for name in of_lane.getIDList()
        ]

    def lane_links(self, lane_id: str) -> list[tuple[str, str]]:
        """Return a lane's successors as (next lane, internal lane through the junction or '')."""
        return [(link[0], link[4]) for link in self._sumo.lane.getLinks(lane_id)]

    def close(self) -> None:
        """Stop SUMO; safe to call again and after a failure."""
        global _active_connection  # noqa: PLW0603 - see _start
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = None
            if _active_connection is not None and _active_connection() is self:
                _active_connection = None
        self._is_started, self._road_hash = False, ""


def _close_simulator(simulator: Any) -> None:  # noqa: ANN401 - libsumo has no type information
    """Close the simulator; a simulation that SUMO has already ended is no error."""
    try:
        simulator.close()
    except (simulator.TraCIException, simulator.FatalTraCIError):
        return


def _import_simulator(name: str) -> ModuleType:
    """Import libsumo or traci, or say in one line what is missing and how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SimulatorError(
            f"{name} cannot be imported ({error}). On Debian or Ubuntu run: {_LIBRARY_ADVICE}"
        ) from error


def _open_window() -> SumoWindow:
    """Return a window of sumo-gui that opens when it is started."""
    return SumoWindow(_import_simulator("traci"), _LIBRARY_ADVICE)
