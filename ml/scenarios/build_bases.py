"""Make the base scenarios from their alignments: ``python -m ml.scenarios.build_bases``.

A base is a two-way road. Its centre line is a list of straights and circular arcs, as roads are
designed; arcs are sampled by equal chords and straights by their ends alone. Each direction is one
edge, or a chain of edges where the road has joints; at a joint side streets may cross. SUMO's
``netconvert`` turns the plain nodes and edges into the network. The time-stamped comment that it
writes is taken out, so that the same SUMO version always gives the same bytes.

No road has a limit that a convoy could reach: the leader's ``maxSpeed`` sets the speed.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import sumo

from ml.command_line import OneLineArgumentParser, add_debug_flag, run_command
from ml.errors import SimulatorError
from ml.provenance import write_text_atomically
from ml.scenarios.alignment import ORIGIN, RoadPoint, height_m, split_at, trace
from ml.scenarios.base_pictures import write_picture
from ml.scenarios.base_roads import BASES, BaseRoad
from ml.scenarios.base_settings import BASE_SETTINGS_FILE
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
SIDE_STREET_SPEED_MPS = 13.9
DEFAULT_NUM_PEERS = 4
DEFAULT_EGO_POSITION_M = 40.0

_MAIN_PRIORITY = 3
_SIDE_PRIORITY = 1


def build_base(name: str, folder: Path) -> None:
    """Write the whole base ``name`` into ``folder``: plain files, network, vehicles, settings.

    Args:
        name: A key of ``BASES``.
        folder: The base's folder, made where it is missing.

    Raises:
        SimulatorError: netconvert is missing or refuses the road.
    """
    road = BASES[name]
    plain = folder / "plain"
    plain.mkdir(parents=True, exist_ok=True)
    parts = _trace_parts(road)
    write_text_atomically(plain / "road.nod.xml", _nodes_text(road, parts))
    write_text_atomically(plain / "road.edg.xml", _edges_text(road, parts))
    write_text_atomically(
        folder / NETWORK_FILE, _network_text(plain, has_joints=bool(road.joints_m))
    )
    routes = route_file_text(_default_convoy(road), *forward_edges(road))
    write_text_atomically(folder / ROUTE_FILE, routes)
    write_text_atomically(folder / SCENARIO_CONFIGURATION, configuration_text(NETWORK_FILE))
    if road.settings is not None:
        write_text_atomically(folder / BASE_SETTINGS_FILE, road.settings.text())


def forward_edges(road: BaseRoad) -> list[str]:
    """Return the edges that the convoy drives on, in order."""
    return _edge_ids(FORWARD_EDGE, len(road.joints_m) + 1)


def _edge_ids(direction: str, num_edges: int) -> list[str]:
    """Return the ids of the edges of one direction, counted along the convoy's way."""
    if num_edges == 1:
        return [direction]
    return [f"{direction}_{index}" for index in range(num_edges)]


def _trace_parts(road: BaseRoad) -> list[list[RoadPoint]]:
    """Return the points of each part of the road between its joints."""
    parts: list[list[RoadPoint]] = []
    start = ORIGIN
    for elements in split_at(road.elements, road.joints_m):
        parts.append(trace(elements, start, cut_straights=bool(road.grades)))
        start = parts[-1][-1]
    return parts


def _nodes_text(road: BaseRoad, parts: Sequence[Sequence[RoadPoint]]) -> str:
    """Return the plain node file: the ends of the road, its joints, the ends of side streets."""
    nodes = [
        ("west", _place(road, parts[0][0])),
        *((f"joint_{i}", _place(road, part[0])) for i, part in enumerate(parts[1:])),
        ("east", _place(road, parts[-1][-1])),
    ]
    for index, part in enumerate(parts[1:] if road.cross_street_m else ()):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            x_m = part[0].x_m - sign * road.cross_street_m * math.sin(part[0].heading_rad)
            y_m = part[0].y_m + sign * road.cross_street_m * math.cos(part[0].heading_rad)
            nodes.append((f"side_{index}_{side}", f"{x_m:.3f},{y_m:.3f}"))
    return _document("nodes", [_node_element(node_id, place) for node_id, place in nodes])


def _node_element(node_id: str, place: str) -> str:
    """Return the plain node at ``x,y`` or ``x,y,z``."""
    numbers = " ".join(
        f'{axis}="{value}"' for axis, value in zip("xyz", place.split(","), strict=False)
    )
    return f'    <node id="{node_id}" {numbers} type="priority"/>'


def _place(road: BaseRoad, point: RoadPoint) -> str:
    """Return a point's coordinates as netconvert reads them, with its height on a hilly road."""
    text = f"{point.x_m:.3f},{point.y_m:.3f}"
    if road.grades:
        text += f",{height_m(road.grades, point.station_m):.3f}"
    return text


def _edges_text(road: BaseRoad, parts: Sequence[Sequence[RoadPoint]]) -> str:
    """Return the plain edge file: one edge a part and direction, all along one centre line."""
    nodes = ["west", *(f"joint_{index}" for index in range(len(parts) - 1)), "east"]
    priority = f' priority="{_MAIN_PRIORITY}"' if road.cross_street_m else ""
    edges = []
    for direction, is_forward in ((FORWARD_EDGE, True), (BACKWARD_EDGE, False)):
        for index, edge_id in enumerate(_edge_ids(direction, len(parts))):
            ends = nodes[index : index + 2] if is_forward else nodes[index : index + 2][::-1]
            points = parts[index] if is_forward else parts[index][::-1]
            edges.append(
                f'    <edge id="{edge_id}" from="{ends[0]}" to="{ends[1]}"'
                f' numLanes="{road.num_lanes}"{priority} speed="{LANE_SPEED_MPS:g}"'
                f' shape="{" ".join(_place(road, point) for point in points)}"/>'
            )
    edges += _side_street_elements(len(parts) - 1) if road.cross_street_m else []
    return _document("edges", edges)


def _side_street_elements(num_joints: int) -> list[str]:
    """Return the edges of the side streets, both ways, to the left and right of each joint."""
    return [
        f'    <edge id="side_{index}_{side}_{way}" from="{start}" to="{end}" numLanes="1"'
        f' priority="{_SIDE_PRIORITY}" speed="{SIDE_STREET_SPEED_MPS:g}"/>'
        for index in range(num_joints)
        for side in ("left", "right")
        for way, start, end in (
            ("in", f"side_{index}_{side}", f"joint_{index}"),
            ("out", f"joint_{index}", f"side_{index}_{side}"),
        )
    ]


def _document(root: str, lines: Sequence[str]) -> str:
    """Return an XML document with one child element a line."""
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return "\n".join([head, f"<{root}>", *lines, f"</{root}>"]) + "\n"


def _network_text(plain: Path, *, has_joints: bool) -> str:
    """Run netconvert on the plain files and return the network without its dated comment.

    Nothing slows a convoy in a joint: netconvert's limit on the speed of turns is switched off.
    """
    netconvert = Path(sumo.SUMO_HOME) / "bin" / "netconvert"
    output = plain / "converted.net.xml"
    command = [
        *(str(netconvert), "--node-files", "road.nod.xml", "--edge-files", "road.edg.xml"),
        *("--output-file", output.name, "--no-turnarounds", "true", "--precision", "3"),
        *("--offset.disable-normalization", "true"),
        *(("--junctions.limit-turn-speed", "-1") if has_joints else ()),
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


def _default_convoy(road: BaseRoad) -> list[PlacedVehicle]:
    """Return the ego and four peers at their equilibrium gaps."""
    speed_mps = road.speed_mps
    position_m = DEFAULT_EGO_POSITION_M
    cars = [PlacedVehicle(vehicle_id_of_rank(0), ego_type(), position_m, speed_mps)]
    gap_m = 2.0 + speed_mps
    for rank in range(1, DEFAULT_NUM_PEERS + 1):
        kind = _default_peer_type(rank, speed_mps)
        position_m += gap_m + CAR_LENGTH_M
        profile = road.speed_profile if rank == DEFAULT_NUM_PEERS else ()
        car_id = vehicle_id_of_rank(rank)
        cars.append(PlacedVehicle(car_id, kind, position_m, speed_mps, speed_profile=profile))
        gap_m = kind.min_gap_m + kind.tau_s * speed_mps
    return cars


def _default_peer_type(rank: int, speed_mps: float) -> VehicleType:
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
        max_speed_mps=speed_mps * (1.0 if is_leader else 1.2),
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
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="Also draw each base into this folder."
    )
    add_debug_flag(parser)
    arguments = parser.parse_args(argv)
    for name in BASES:
        build_base(name, arguments.output_dir / name)
        if arguments.pictures is not None:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            write_picture(arguments.output_dir / name, arguments.pictures / f"{name}.svg")


if __name__ == "__main__":
    run_command(main)
