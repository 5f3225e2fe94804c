"""sumo-gui in a process of its own, driven through TraCI by the names that libsumo has.

``SumoWindow().vehicle.getSpeed("V001")`` reads like ``libsumo.vehicle.getSpeed("V001")``. SUMO's
own output never mixes with ours: what it complains about is kept and quoted in errors.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ml.errors import ConfigError, ScenarioError, SimulatorError

_START_LIMIT_S = 60.0
_POLL_S = 0.05
_CLOSE_LIMIT_S = 5.0
_VIEW = "View #0"
_VIEW_AHEAD_M = 100.0
_VIEW_ASIDE_M = 60.0
_EGO_COLOUR = (220, 30, 30, 255)

# SUMO counts the delay per simulated second: 200 ms is five times as fast as life. It is given
# once, so that what a viewer sets with the window's slider stays for all episodes.
_FIRST_OPTIONS = ("--delay", "200", "--window-size", "1200,800")
# A loaded scenario starts without a click; an error ends the window instead of opening a dialogue.
_EVERY_OPTIONS = ("--start", "--quit-on-end", "--error-log", "stderr")


def check_display() -> None:
    """Check that there is a display to open a window on.

    Raises:
        ConfigError: There is none.
    """
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise ConfigError(
            "--gui needs a display: DISPLAY must be set. Got none. Run it in a desktop "
            "session, or leave --gui out."
        )


class SumoWindow:
    """One window of sumo-gui; every other attribute is TraCI's domain or function of that name."""

    def __init__(self, traci: Any, library_advice: str) -> None:  # noqa: ANN401 - untyped library
        """Prepare a window; it opens with ``start``.

        Args:
            traci: The imported ``traci``.
            library_advice: What to do if sumo-gui lacks a system library.
        """
        self.TraCIException = traci.TraCIException
        self.FatalTraCIError = traci.FatalTraCIError
        self._traci = traci
        self._library_advice = library_advice
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None
        self._connection: Any = None

    def __getattr__(self, name: str) -> _RemoteName:
        """Return TraCI's domain or function ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _RemoteName(self, (name,))

    def start(self, options: Sequence[str]) -> None:
        """Open the window on a scenario and connect to it.

        Raises:
            ScenarioError: SUMO refuses the scenario.
            SimulatorError: The window does not open.
        """
        port = importlib.import_module("sumolib.miscutils").getFreeSocketPort()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the window
        try:
            self._process = subprocess.Popen(
                [gui_binary(), *options, *_FIRST_OPTIONS, *_EVERY_OPTIONS,
                 "--remote-port", str(port)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._complaints,
            )  # fmt: skip
        except OSError as error:
            raise SimulatorError(
                f"sumo-gui must be executable. Got {error}. Reinstall eclipse-sumo."
            ) from error
        deadline_s = time.monotonic() + _START_LIMIT_S
        while self._connection is None:
            try:
                self._connection = self._traci.connect(port, numRetries=0, proc=self._process)
            except (self.TraCIException, self.FatalTraCIError):
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise self._error_at_start() from None
                time.sleep(_POLL_S)

    def load(self, options: Sequence[str]) -> None:
        """Load a scenario in place of the one before, and wait until it is there."""
        self.call(("load",), ([*options, *_EVERY_OPTIONS],))
        self.call(("simulation", "getTime"), ())

    def follow(self, vehicle_id: str) -> None:
        """Let the camera travel with a vehicle, and paint it red."""
        self.vehicle.setColor(vehicle_id, _EGO_COLOUR)
        x_m, y_m = self.vehicle.getPosition(vehicle_id)
        try:
            self.gui.setBoundary(
                _VIEW, x_m - _VIEW_AHEAD_M, y_m - _VIEW_ASIDE_M,
                x_m + _VIEW_AHEAD_M, y_m + _VIEW_ASIDE_M,
            )  # fmt: skip
            self.gui.trackVehicle(_VIEW, vehicle_id)
        except self.TraCIException:
            return  # a SUMO without a view, or one whose view was closed, runs on

    def close(self) -> None:
        """Close the window; safe where it is closed already."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.close(wait=False)
        except (self.TraCIException, self.FatalTraCIError, OSError):
            pass  # the window was closed by hand
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(_CLOSE_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._complaints is not None:
            self._complaints.close()
            self._complaints = None

    def call(self, path: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """Call TraCI's function ``path``.

        Raises:
            ScenarioError: SUMO ended over the scenario.
            SimulatorError: The window was closed.
        """
        function = self._connection
        if function is None:
            raise SimulatorError(
                "SUMO's window must be open. Got a closed one. Reset the environment."
            )
        for name in path:
            function = getattr(function, name)
        try:
            return function(*arguments)
        except (self.FatalTraCIError, OSError) as error:
            raise self._error_of_lost_window() from error

    def _error_of_lost_window(self) -> ScenarioError | SimulatorError:
        """Return why the window is gone: SUMO's own complaint, else somebody closed it."""
        complaint = self._complaint(only_errors=True)
        if complaint:
            return ScenarioError(f"SUMO ended. {complaint}")
        return SimulatorError(
            "SUMO's window must stay open until the run ends. It was closed. "
            "Start the run again, or leave --gui out."
        )

    def _error_at_start(self) -> ScenarioError | SimulatorError:
        """Return why the window did not open."""
        complaint = self._complaint(only_errors=True)
        if complaint:
            return ScenarioError(f"SUMO ended. {complaint}")
        reason = self._complaint(only_errors=False) or "no answer"
        display = os.environ.get("DISPLAY")
        return SimulatorError(
            f"sumo-gui must open its window on DISPLAY={display}. Got: {reason}. Check the "
            f"display; if a library is missing, on Debian or Ubuntu run: {self._library_advice}"
        )

    def _complaint(self, *, only_errors: bool) -> str:
        """Return what SUMO wrote about its end on one line, empty if nothing."""
        if self._process is None or self._complaints is None:
            return ""
        try:
            self._process.wait(_CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            return ""
        self._complaints.seek(0)
        text = self._complaints.read().decode(errors="replace")
        if only_errors:
            before_end, is_ended, _ = text.rpartition("Quitting (on error)")
            _, is_error, complaint = before_end.rpartition("Error:")
            return " ".join(complaint.split()) if is_ended and is_error else ""
        lines = [line for line in text.splitlines() if line and "Fontconfig" not in line]
        return lines[-1].strip().rstrip(".") if lines else ""


class _RemoteName:
    """A dotted name in TraCI, looked up when it is called."""

    def __init__(self, window: SumoWindow, path: tuple[str, ...]) -> None:
        self._window = window
        self._path = path

    def __getattr__(self, name: str) -> _RemoteName:
        if name.startswith("__"):
            raise AttributeError(name)
        return _RemoteName(self._window, (*self._path, name))

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - as TraCI's functions
        return self._window.call(self._path, arguments)


def gui_binary() -> str:
    """Return the path of sumo-gui in the installed wheel."""
    sumo = importlib.import_module("sumo")
    return str(Path(sumo.SUMO_HOME) / "bin" / "sumo-gui")
