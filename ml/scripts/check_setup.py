"""Check that SUMO can be loaded on this machine: `python -m ml.scripts.check_setup`."""

from __future__ import annotations

import sys

from ml.command_line import run_command
from ml.envs.sumo_connection import SumoConnection
from ml.provenance import installed_version


def main() -> None:
    """Load the simulator and print its version, or say in one line what is missing."""
    SumoConnection().close()
    sys.stdout.write(f"RoadSense is ready (SUMO {installed_version('libsumo')}).\n")


if __name__ == "__main__":
    run_command(main)
