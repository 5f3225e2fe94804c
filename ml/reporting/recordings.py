"""Packs recordings of episodes for the page's player.

In the page a series is a list of whole numbers, thousandths of its unit, and a road that several
episodes share stands once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml.evaluation.recording_file import FATES
from ml.reporting.evaluation_folder import Json, Row

_PER_UNIT = 1000
_CAR_SERIES = ("x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2")
_EGO_SERIES = ("gap_m", "demand_mps2", "driver_command_mps2", "oracle_demand_mps2")


def pack_recordings(recordings: Sequence[tuple[Row, Json]]) -> Json:
    """Return recordings as the player reads them.

    Args:
        recordings: Row and recording of each episode, in the order of the page.

    Returns:
        ``roads``, and ``episodes`` of which each names its road by number.
    """
    roads: dict[str, int] = {}
    packed_roads: list[list[Json]] = []
    episodes = []
    for row, recording in recordings:
        road = [_lane(lane) for lane in recording["road"]["lanes"]]
        key = json.dumps(road)
        if key not in roads:
            roads[key] = len(packed_roads)
            packed_roads.append(road)
        episodes.append({**_episode(row, recording), "road": roads[key]})
    return {"roads": packed_roads, "fates": FATES, "perUnit": _PER_UNIT, "episodes": episodes}


def _lane(lane: Json) -> Json:
    """Return one lane, to the centimetre."""
    points = [[round(value, 2) for value in point] for point in lane["points_m"]]
    return {"width": round(lane["width_m"], 2), "points": points}


def _episode(row: Row, recording: Json) -> Json:
    """Return one episode."""
    cars, source = recording["cars"], row.get("hazard_source_rank")
    return {
        "policy": row["policy"],
        "preset": row["radio_preset"],
        "case": row["case_id"],
        "collision": bool(row.get("collision")),
        "source": source if source in range(1, len(cars)) else None,
        "step": recording["step_s"],
        "start": recording["start_s"],
        "onset": recording["onset_s"],
        "cars": [_car(car) for car in cars],
        "ego": _packed(recording["ego"], _EGO_SERIES),
        "heard": [
            {"rank": peer["rank"], "age": thousandths(peer["age_s"]), "fresh": peer["is_fresh"]}
            for peer in recording["heard"]
        ],
        "messages": _messages(recording["messages"]),
    }


def _car(car: Json) -> Json:
    """Return one car."""
    return {
        "rank": car["rank"],
        "length": car["length_m"],
        "width": car["width_m"],
        **_packed(car, _CAR_SERIES),
    }


def _packed(holder: Mapping[str, Any], names: Sequence[str]) -> Json:
    """Return the series of these names."""
    return {name: thousandths(holder[name]) for name in names}


def thousandths(series: Sequence[float | None]) -> list[int | None]:
    """Return a series in thousandths of its unit, null where there is none.

    >>> thousandths([12.3456, None])
    [12346, None]
    """
    return [None if value is None else round(value * _PER_UNIT) for value in series]


def _messages(messages: Sequence[Mapping[str, Any]]) -> list[list[int | None]]:
    """Return (sender, receiver, sent, received, fate, hops) of every message, by time sent."""
    return [
        [
            message["sender"],
            message["receiver"],
            *thousandths([message["sent_s"], message["received_s"]]),
            FATES.index(message["fate"]),
            message["hops"],
        ]
        for message in sorted(messages, key=lambda message: float(message["sent_s"]))
    ]
