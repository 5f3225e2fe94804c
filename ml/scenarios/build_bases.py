"""Make the base scenarios from an alignment: ``python -m ml.scenarios.build_bases``.

A base is a two-way country road with one lane each way and ONE edge per direction, so that a
lane position is a path position. Its centre line is a list of straights and circular arcs, as
roads are designed; arcs are sampled by equal chords and straights by their ends alone. SUMO's
``netconvert`` turns the plain nodes and edges into the network. The time-stamped comment that it
writes is taken out, so that the same SUMO version always gives the same bytes.

The road has no limit that a convoy could reach: the leader's ``maxSpeed`` sets the speed.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sumo

from ml.command_line import OneLineArgumentParser, add_debug_flag, run_command
from ml.errors import SimulatorError
from ml.provenance import write_text_atomically
from ml.scenarios.scenario_files import (
    CAR_LENGTH_M,
    NETWORK_FILE,
    PEER_ACCEL_MPS2,
    PEER_EMERGENCY_DECEL_MPS2,
    PEER_MIN_GAP_M,
    ROUTE_FILE,
    SCENARIO_CONFIGURATION,
    PlacedVehicle,
    VehicleType,
    configuration_text,
    ego_type,
    route_file_text,
    vehicle_id_of_rank,
)

SCENARIOS_FOLDER = Path(__file__).resolve().parent
FORWARD_EDGE = "forward"
BACKWARD_EDGE = "backward"
LANE_SPEED_MPS = 50.0
MAX_CHORD_M = 20.0
DEFAULT_NUM_PEERS = 4
DEFAULT_SPEED_MPS = 20.0
DEFAULT_EGO_POSITION_M = 40.0
DEFAULT_EGO_GAP_M = 22.0

Point = tuple[float, float]


@dataclass(frozen=True)
class RoadElement:
    """A straight or a circular arc of a road's centre line.

    Attributes:
        length_m: Length along the centre line [m].
        radius_m: Radius of the arc, positive to the left, negative to the right; infinite for a
            straight [m].
    """

    length_m: float
    radius_m: float = math.inf


BASES: dict[str, tuple[RoadElement, ...]] = {
    "base": (
        RoadElement(400.0),
        RoadElement(500.0, 800.0),
        RoadElement(300.0),
        RoadElement(600.0, -600.0),
        RoadElement(400.0),
        RoadElement(800.0, 1000.0),
        RoadElement(200.0),
        RoadElement(360.0, -410.0),
        RoadElement(500.0),
        RoadElement(600.0, 700.0),
        RoadElement(300.0),
        RoadElement(900.0, -1200.0),
        RoadElement(640.0),
    ),
    "base_test_track": (RoadElement(6000.0),),
}
"""The centre line of every base. `base_test_track` is for tests only and never trained on."""


def centre_line(elements: Sequence[RoadElement]) -> list[Point]:
    """Return the points of a centre line that starts at the origin, towards the east.

    An arc of radius r and length l is cut into ceil(l / MAX_CHORD_M) equal parts. A part of
    central angle a advances by its chord 2 r sin(a / 2), at the heading of the part's middle.

    Args:
        elements: The straights and arcs, in order.

    Returns:
        The points [m].
    """
    x, y, heading_rad = 0.0, 0.0, 0.0
    points: list[Point] = [(x, y)]
    for element in elements:
        is_straight = math.isinf(element.radius_m)
        num_parts = 1 if is_straight else math.ceil(element.length_m / MAX_CHORD_M)
        part_m = element.length_m / num_parts
        turn_rad = part_m / element.radius_m
        chord_m = part_m if is_straight else 2.0 * element.radius_m * math.sin(turn_rad / 2.0)
        for _ in range(num_parts):
            x += chord_m * math.cos(heading_rad + turn_rad / 2.0)
            y += chord_m * math.sin(heading_rad + turn_rad / 2.0)
            heading_rad += turn_rad
            points.append((x, y))
    return points


def build_base(name: str, folder: Path) -> None:
    """Write the whole base ``name`` into ``folder``: plain files, network, vehicles, configuration.

    Args:
        name: A key of ``BASES``.
        folder: The base's folder, made where it is missing.

    Raises:
        SimulatorError: netconvert is missing or refuses the road.
    """
    plain = folder / "plain"
    plain.mkdir(parents=True, exist_ok=True)
    points = centre_line(BASES[name])
    write_text_atomically(plain / "road.nod.xml", _nodes_text(points))
    write_text_atomically(plain / "road.edg.xml", _edges_text(points))
    write_text_atomically(folder / NETWORK_FILE, _network_text(plain))
    routes = route_file_text(_default_convoy(), FORWARD_EDGE)
    write_text_atomically(folder / ROUTE_FILE, routes)
    write_text_atomically(folder / SCENARIO_CONFIGURATION, configuration_text(NETWORK_FILE))


def _nodes_text(points: Sequence[Point]) -> str:
    """Return the plain node file: the two ends of the road."""
    ends = (("west", points[0]), ("east", points[-1]))
    nodes = [
        f'    <node id="{node_id}" x="{x:.3f}" y="{y:.3f}" type="priority"/>'
        for node_id, (x, y) in ends
    ]
    return _document("nodes", nodes)


def _edges_text(points: Sequence[Point]) -> str:
    """Return the plain edge file: one edge for each direction of the same centre line."""
    directions = (
        (FORWARD_EDGE, "west", "east", points),
        (BACKWARD_EDGE, "east", "west", points[::-1]),
    )
    edges = [
        f'    <edge id="{edge_id}" from="{start}" to="{end}" numLanes="1"'
        f' speed="{LANE_SPEED_MPS:g}" shape="{" ".join(f"{x:.3f},{y:.3f}" for x, y in shape)}"/>'
        for edge_id, start, end, shape in directions
    ]
    return _document("edges", edges)


def _document(root: str, lines: Sequence[str]) -> str:
    """Return an XML document with one child element a line."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return "\n".join([head, f"<{root}>", *lines, f"</{root}>"]) + "\n"


def _network_text(plain: Path) -> str:
    """Run netconvert on the plain files and return the network without its dated comment."""
    netconvert = Path(sumo.SUMO_HOME) / "bin" / "netconvert"
    output = plain / "converted.net.xml"
    command = [
        *(str(netconvert), "--node-files", "road.nod.xml", "--edge-files", "road.edg.xml"),
        *("--output-file", output.name, "--no-turnarounds", "true", "--precision", "3"),
        *("--offset.disable-normalization", "true"),
    ]
    try:
        result = subprocess.run(command, cwd=plain, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise SimulatorError(f"netconvert must accept {plain}. Got {result.stderr.strip()}")
        text = output.read_text(encoding="utf-8")
    except OSError as error:
        raise SimulatorError(
            f"netconvert must run from {netconvert}. Got {error}. Reinstall eclipse-sumo."
        ) from error
    finally:
        output.unlink(missing_ok=True)
    return re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)


def _default_convoy() -> list[PlacedVehicle]:
    """Return the ego and four peers at their equilibrium gaps, at 20 m/s."""
    position_m = DEFAULT_EGO_POSITION_M
    cars = [PlacedVehicle(vehicle_id_of_rank(0), ego_type(), position_m, DEFAULT_SPEED_MPS)]
    gap_m = DEFAULT_EGO_GAP_M
    for rank in range(1, DEFAULT_NUM_PEERS + 1):
        kind = _default_peer_type(rank)
        position_m += gap_m + CAR_LENGTH_M
        cars.append(PlacedVehicle(vehicle_id_of_rank(rank), kind, position_m, DEFAULT_SPEED_MPS))
        gap_m = kind.min_gap_m + kind.tau_s * DEFAULT_SPEED_MPS
    return cars


def _default_peer_type(rank: int) -> VehicleType:
    """Return the type of one peer of the default convoy; followers can catch up by 20 %."""
    is_leader = rank == DEFAULT_NUM_PEERS
    return VehicleType(
        type_id=f"peer_{vehicle_id_of_rank(rank)}",
        accel_mps2=PEER_ACCEL_MPS2,
        decel_mps2=4.5,
        emergency_decel_mps2=PEER_EMERGENCY_DECEL_MPS2,
        sigma=0.2,
        tau_s=1.0,
        min_gap_m=PEER_MIN_GAP_M,
        max_speed_mps=DEFAULT_SPEED_MPS * (1.0 if is_leader else 1.2),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write every base into its folder."""
    parser = OneLineArgumentParser(prog="build_bases", description="Make the base scenarios.")
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=SCENARIOS_FOLDER,
        help="Folder that gets one subfolder per base (default: ml/scenarios).",
    )
    add_debug_flag(parser)
    arguments = parser.parse_args(argv)
    for name in BASES:
        build_base(name, arguments.output_dir / name)


if __name__ == "__main__":
    run_command(main)
