"""Checks recordings of episodes and packs them for the page's player.

In the page a series is a list of whole numbers, thousandths of its unit, and a road that several
episodes share stands once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml.errors import RecordError
from ml.reporting.evaluation_folder import Json, is_number

FATES = ("delivered", "lost", "relayed", "stale")
_PER_UNIT = 1000
_CAR_SERIES = ("x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2")
_EGO_SERIES = ("gap_m", "demand_mps2", "driver_command_mps2", "oracle_demand_mps2")
_LONGEST = 100_000
"""Steps, cars, points or messages of one recording."""


class _Reader:
    """Reads values of one recording; every refusal names its file."""

    def __init__(self, file: str) -> None:
        self.file = file

    def wrong(self, name: str, rule: str, value: object) -> RecordError:
        return RecordError(
            f"{name} in recording {self.file} must be {rule}. Got {value!r:.60}. Restore it."
        )

    def number(self, holder: Mapping[str, Any], name: str, least: float = -1e9) -> float:
        value: Any = holder.get(name)
        if not is_number(value) or value < least:
            raise self.wrong(name, f"a number from {least:g} up", value)
        return float(value)

    def optional(self, holder: Mapping[str, Any], name: str) -> float | None:
        return None if holder.get(name) is None else self.number(holder, name)

    def text(self, holder: Mapping[str, Any], name: str) -> str:
        value = holder.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text", value)
        return value

    def part(self, holder: Mapping[str, Any], name: str) -> Json:
        value = holder.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object", value)
        return value

    def parts(self, holder: Mapping[str, Any], name: str) -> list[Json]:
        value = holder.get(name)
        if not isinstance(value, list) or len(value) > _LONGEST:
            raise self.wrong(name, f"a list of at most {_LONGEST} objects", value)
        if not all(isinstance(item, dict) for item in value):
            raise self.wrong(name, "a list of objects", value)
        return list(value)

    def series(
        self, holder: Mapping[str, Any], name: str, length: int, *, has_gaps: bool = False
    ) -> list[int | None]:
        """Return a series in thousandths, null where there is none."""
        values = holder.get(name)
        if not isinstance(values, list) or len(values) != length:
            raise self.wrong(name, f"a list of {length} numbers", values)
        if not all(is_number(value) or (has_gaps and value is None) for value in values):
            raise self.wrong(name, "numbers" + (" or nulls" if has_gaps else ""), values)
        return [None if value is None else round(value * _PER_UNIT) for value in values]


def badness(record: Mapping[str, Any]) -> tuple[float, ...]:
    """Return how bad an episode was, larger is worse: impact, then smallest time and gap."""
    impact = float(record.get("impact_speed_mps") or 0.0)
    ttc_s, gap_m = record.get("min_ttc_s"), record.get("min_gap_m")
    return (
        float(bool(record.get("collision"))),
        impact,
        -float(1e9 if ttc_s is None else ttc_s),
        -float(1e9 if gap_m is None else gap_m),
    )


def pack_recordings(recordings: Mapping[str, Json]) -> Json:
    """Return all recordings as the player reads them.

    Args:
        recordings: Content by file name, in the order of the page.

    Returns:
        ``roads``, and ``episodes`` of which each names its road by number.

    Raises:
        RecordError: A recording cannot be replayed.
    """
    roads: dict[str, int] = {}
    packed_roads: list[list[Json]] = []
    episodes: list[Json] = []
    for file, recording in recordings.items():
        reader = _Reader(file)
        road = _road(reader, recording)
        key = json.dumps(road)
        if key not in roads:
            roads[key] = len(packed_roads)
            packed_roads.append(road)
        episodes.append({**_episode(reader, recording), "road": roads[key]})
    return {"roads": packed_roads, "fates": FATES, "perUnit": _PER_UNIT, "episodes": episodes}


def _road(reader: _Reader, recording: Json) -> list[Json]:
    """Return the lanes of a road."""
    lanes = []
    for lane in reader.parts(reader.part(recording, "road"), "lanes"):
        points = lane.get("points_m")
        if not isinstance(points, list) or not all(map(_is_point, points)):
            raise reader.wrong("points_m", "a list of pairs", points)
        width = round(reader.number(lane, "width_m", 0.0), 2)
        lanes.append({"width": width, "points": [[round(v, 2) for v in p] for p in points]})
    return lanes


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))


def _episode(reader: _Reader, recording: Json) -> Json:
    """Return one episode."""
    if recording.get("format") != 1:
        raise reader.wrong("format", "1", recording.get("format"))
    cars = reader.parts(recording, "cars")
    if not cars or not isinstance(cars[0].get("x_m"), list) or not cars[0]["x_m"]:
        raise reader.wrong("cars", "cars with at least one step", recording.get("cars"))
    length = len(cars[0]["x_m"])
    if length > _LONGEST:
        raise reader.wrong("x_m", f"a list of at most {_LONGEST} numbers", length)
    ego = reader.part(recording, "ego")
    record = reader.part(recording, "record")
    source = record.get("hazard_source_rank")
    return {
        "policy": reader.text(recording, "policy"),
        "preset": reader.text(recording, "radio_preset"),
        "case": reader.text(recording, "case_id"),
        "collision": record.get("collision") is True,
        "source": source if source in range(1, len(cars)) else None,
        "step": reader.number(recording, "step_s", 0.001),
        "start": reader.number(recording, "start_s"),
        "onset": reader.optional(recording, "onset_s"),
        "cars": [_car(reader, car, rank, length) for rank, car in enumerate(cars)],
        "ego": {name: reader.series(ego, name, length, has_gaps=True) for name in _EGO_SERIES},
        "heard": [
            {
                "rank": round(reader.number(heard, "rank", 0.0)),
                "age": reader.series(heard, "age_s", length, has_gaps=True),
                "fresh": [
                    1 if value else 0
                    for value in reader.series(heard, "is_fresh", length, has_gaps=True)
                ],
            }
            for heard in reader.parts(recording, "heard")
        ],
        "messages": _messages(reader, recording, len(cars)),
    }


def _car(reader: _Reader, car: Json, rank: int, length: int) -> Json:
    """Return one car, the one of this rank."""
    if reader.number(car, "rank") != rank:
        raise reader.wrong("rank", f"{rank} for the car in that place", car["rank"])
    return {
        "rank": rank,
        "id": reader.text(car, "id"),
        "length": reader.number(car, "length_m", 0.1),
        "width": reader.number(car, "width_m", 0.1),
        **{name: reader.series(car, name, length) for name in _CAR_SERIES},
    }


def _messages(reader: _Reader, recording: Json, num_cars: int) -> list[list[int | None]]:
    """Return (sender, receiver, sent, received, fate, hops) of every message, by time sent."""
    messages: list[list[int | None]] = []
    for message in reader.parts(recording, "messages"):
        fate = message.get("fate")
        if fate not in FATES:
            raise reader.wrong("fate", f"one of {', '.join(FATES)}", fate)
        ends = [round(reader.number(message, name, 0.0)) for name in ("sender", "receiver")]
        if max(ends) >= num_cars:
            raise reader.wrong("sender and receiver", "ranks of cars", ends)
        received = reader.optional(message, "received_s")
        messages.append([
            *ends,
            round(reader.number(message, "sent_s") * _PER_UNIT),
            None if received is None else round(received * _PER_UNIT),
            FATES.index(fate),
            round(reader.number(message, "hops", 0.0)),
        ])  # fmt: skip
    return sorted(messages, key=_sent)


def _sent(message: Sequence[int | None]) -> int:
    return message[2] or 0
