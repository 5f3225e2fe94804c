"""The text of a scenario's files: vehicles and their types, and SUMO's configuration.

Pure functions: they return text and touch no file. Positions are lane positions of the front
bumper, SUMO's reference point.

Source: SUMO documentation, "Definition of Vehicles, Vehicle Types, and Routes" (attribute names
and units) and "sumo" (sections of a configuration file).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EGO_ID = "V001"
EGO_TYPE_ID = "ego"
CAR_LENGTH_M = 4.5
EGO_MIN_GAP_M = 0.0
EGO_ACCEL_MPS2 = 3.0
EGO_DECEL_MPS2 = 10.0
EGO_MAX_SPEED_MPS = 50.0
PEER_ACCEL_MPS2 = 2.6
PEER_MIN_GAP_M = 2.5
PEER_EMERGENCY_DECEL_MPS2 = 9.0

SCENARIO_CONFIGURATION = "scenario.sumocfg"
NETWORK_FILE = "network.net.xml"
ROUTE_FILE = "vehicles.rou.xml"

SPEED_PROFILE_KEY = "roadsense.speed_profile"
"""Parameter of the leader's vehicle element: points `time_s:speed_mps`, separated by spaces."""

SpeedProfile = tuple[tuple[float, float], ...]
"""Points (time since the start [s], speed [m/s]); linear between them, the last one is held."""


@dataclass(frozen=True)
class VehicleType:
    """How one car follows the one ahead, in SUMO's terms.

    Attributes:
        type_id: Name of the type in the route file.
        accel_mps2: Highest acceleration of the car-following model [m/s^2].
        decel_mps2: Deceleration the car-following model counts on [m/s^2].
        emergency_decel_mps2: Highest deceleration the car can reach [m/s^2].
        sigma: Driver imperfection, in [0, 1].
        tau_s: Desired time headway [s].
        min_gap_m: Gap at standstill [m].
        max_speed_mps: Speed the car never exceeds [m/s].
        speed_factor: Multiple of the lane's speed limit that the driver accepts.
    """

    type_id: str
    accel_mps2: float
    decel_mps2: float
    emergency_decel_mps2: float
    sigma: float
    tau_s: float
    min_gap_m: float
    max_speed_mps: float
    speed_factor: float = 1.0


@dataclass(frozen=True)
class PlacedVehicle:
    """One car at the moment it enters the road, at t = 0.

    Attributes:
        vehicle_id: `V001` for the ego, `V00{r+1}` for the car r places ahead of it.
        vehicle_type: The car's own type.
        position_m: Lane position of the front bumper [m].
        speed_mps: Speed at departure [m/s].
        edge_index: Index of the edge of the convoy's route on which the car stands.
        speed_profile: What a scripted leader drives; empty for everyone else.
    """

    vehicle_id: str
    vehicle_type: VehicleType
    position_m: float
    speed_mps: float
    edge_index: int = 0
    speed_profile: SpeedProfile = ()


def vehicle_id_of_rank(rank: int) -> str:
    """Return the id of the car ``rank`` places ahead of the ego.

    >>> vehicle_id_of_rank(0), vehicle_id_of_rank(8)
    ('V001', 'V009')
    """
    return f"V{rank + 1:03d}"


def ego_type() -> VehicleType:
    """Return the ego's type, whose limits never clip what a policy commands."""
    return VehicleType(
        type_id=EGO_TYPE_ID,
        accel_mps2=EGO_ACCEL_MPS2,
        decel_mps2=EGO_DECEL_MPS2,
        emergency_decel_mps2=EGO_DECEL_MPS2,
        sigma=0.0,
        tau_s=1.0,
        min_gap_m=EGO_MIN_GAP_M,
        max_speed_mps=EGO_MAX_SPEED_MPS,
    )


def route_file_text(vehicles: Sequence[PlacedVehicle], *edge_ids: str) -> str:
    """Return the route file of a convoy: one type a car, all departing at 0.

    A car's route begins at its own edge and ends with the road.

    Args:
        vehicles: The cars, the ego first and the leader last.
        edge_ids: The edges that the convoy drives on, in order.

    Returns:
        The file's text.
    """
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<routes>"]
    lines += [_type_element(vehicle.vehicle_type) for vehicle in vehicles]
    first_edges = sorted({0, *(vehicle.edge_index for vehicle in vehicles)})
    lines += [
        f'    <route id="{_route_id(index)}" edges="{" ".join(edge_ids[index:])}"/>'
        for index in first_edges
    ]
    for vehicle in vehicles:
        lines += _vehicle_element(vehicle)
    lines.append("</routes>")
    return "\n".join(lines) + "\n"


def speed_profile_text(profile: SpeedProfile) -> str:
    """Return a speed profile as the route file names it.

    >>> speed_profile_text(((0.0, 13.9), (8.0, 13.9), (14.2, 0.0)))
    '0:13.9 8:13.9 14.2:0'
    """
    return " ".join(f"{time_s:.10g}:{speed_mps:.10g}" for time_s, speed_mps in profile)


def configuration_text(network_path: str, route_path: str = ROUTE_FILE) -> str:
    """Return the SUMO configuration that names a network and a route file, and no output.

    Args:
        network_path: Path of the network, relative to the configuration.
        route_path: Path of the route file, relative to the configuration.

    Returns:
        The file's text.
    """
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<configuration>\n"
        "    <input>\n"
        f'        <net-file value="{network_path}"/>\n'
        f'        <route-files value="{route_path}"/>\n'
        "    </input>\n"
        "    <time>\n"
        '        <step-length value="0.1"/>\n'
        "    </time>\n"
        "</configuration>\n"
    )


def _type_element(kind: VehicleType) -> str:
    """Return the vType element of one car."""
    numbers = {
        "accel": kind.accel_mps2,
        "decel": kind.decel_mps2,
        "emergencyDecel": kind.emergency_decel_mps2,
        "sigma": kind.sigma,
        "tau": kind.tau_s,
        "minGap": kind.min_gap_m,
        "length": CAR_LENGTH_M,
        "maxSpeed": kind.max_speed_mps,
        "speedFactor": kind.speed_factor,
        "speedDev": 0.0,
    }
    attributes = " ".join(f'{name}="{round(value, 6)}"' for name, value in numbers.items())
    return f'    <vType id="{kind.type_id}" carFollowModel="Krauss" {attributes}/>'


def _route_id(edge_index: int) -> str:
    """Return the name of the route that begins at an edge of the convoy's route."""
    return f"convoy_{edge_index}" if edge_index else "convoy"


def _vehicle_element(vehicle: PlacedVehicle) -> list[str]:
    """Return the lines of the vehicle element of one car.

    A multiplied density may put a car closer than SUMO's own model would, so SUMO's check of the
    gap at insertion, which would silently delay the car, is switched off.
    """
    start = (
        f'    <vehicle id="{vehicle.vehicle_id}" type="{vehicle.vehicle_type.type_id}"'
        f' route="{_route_id(vehicle.edge_index)}" depart="0" departLane="0"'
        f' departPos="{vehicle.position_m:.3f}"'
        f' departSpeed="{round(vehicle.speed_mps, 6)}" insertionChecks="none"'
    )
    if not vehicle.speed_profile:
        return [f"{start}/>"]
    profile = speed_profile_text(vehicle.speed_profile)
    return [
        f"{start}>",
        f'        <param key="{SPEED_PROFILE_KEY}" value="{profile}"/>',
        "    </vehicle>",
    ]
