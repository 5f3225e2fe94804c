"""Small roads for the environment's tests, made by netconvert, and convoys to put on them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import sumo

EGO_TYPE = (
    '<vType id="ego" accel="3" decel="10" emergencyDecel="10" sigma="0" minGap="0" length="4.5"'
    ' maxSpeed="50"/>'
)
PEER_TYPE = (
    '<vType id="peer" accel="2.6" decel="4.5" emergencyDecel="9" sigma="0.2" minGap="2.5"'
    ' length="4.5" maxSpeed="{max_speed_mps}"/>'
)
CONFIGURATION = """<configuration><input>
<net-file value="network.net.xml"/><route-files value="vehicles.rou.xml"/>{input}
</input>{rest}</configuration>"""


def build_network(folder: Path, nodes: dict[str, tuple[float, ...]], edges: list[str]) -> None:
    """Make `network.net.xml` of nodes at (x, y) or (x, y, z) and edges `from to lanes`.

    An edge is called `from_to`; its limit is 50 m/s.
    """
    axes = "xyz"
    node_lines = [
        f'<node id="{name}" '
        + " ".join(f'{axis}="{value}"' for axis, value in zip(axes, place, strict=False))
        + ' type="priority"/>'
        for name, place in nodes.items()
    ]
    edge_lines = []
    for edge in edges:
        start, end, num_lanes = edge.split()
        edge_lines.append(
            f'<edge id="{start}_{end}" from="{start}" to="{end}" numLanes="{num_lanes}"'
            ' speed="50"/>'
        )
    (folder / "road.nod.xml").write_text(f"<nodes>{''.join(node_lines)}</nodes>")
    (folder / "road.edg.xml").write_text(f"<edges>{''.join(edge_lines)}</edges>")
    subprocess.run(
        [str(Path(sumo.SUMO_HOME) / "bin" / "netconvert"), "-n", "road.nod.xml",
         "-e", "road.edg.xml", "-o", "network.net.xml", "--no-turnarounds", "true",
         "--precision", "3", "--offset.disable-normalization", "true",
         "--junctions.limit-turn-speed", "-1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def write_scenario(
    folder: Path, route_body: str, *, further_input: str = "", settings: str = ""
) -> Path:
    """Write the route file and the configuration beside `network.net.xml`; return the latter."""
    (folder / "vehicles.rou.xml").write_text(f"<routes>{route_body}</routes>")
    sumocfg = folder / "scenario.sumocfg"
    sumocfg.write_text(CONFIGURATION.format(input=further_input, rest=settings))
    return sumocfg


def convoy_body(
    edges: str, positions_m: list[float], speed_mps: float, *, profile: str = "", lane: int = 0
) -> str:
    """Return the route elements of a convoy on one first edge, the ego first, the leader last."""
    lines = [EGO_TYPE, PEER_TYPE.format(max_speed_mps=1.2 * speed_mps)]
    lines.append(f'<route id="convoy" edges="{edges}"/>')
    for index, position_m in enumerate(positions_m):
        is_leader = index == len(positions_m) - 1
        script = f'<param key="roadsense.speed_profile" value="{profile}"/>'
        lines.append(
            f'<vehicle id="V{index + 1:03d}" type="{"peer" if index else "ego"}" route="convoy"'
            f' depart="0" departLane="{lane}" departPos="{position_m}" departSpeed="{speed_mps}">'
            f"{script if profile and is_leader else ''}</vehicle>"
        )
    return "".join(lines)
