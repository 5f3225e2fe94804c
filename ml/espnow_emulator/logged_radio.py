"""A radio that keeps what becomes of every frame on its way to the ego.

The fates are exact, and the radio behaves as one without a log, to the last bit: before each step
its arrays are copied, and after it the copy lives through the same step again, one event at a time.
What an event is, and when, is read off the copy's queue.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ml.espnow_emulator.emulator import RadioEmulator
from ml.espnow_emulator.faults import RadioFault
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_kernels import advance_radio
from ml.espnow_emulator.radio_layout import (
    CAR_BITS,
    COUNT_BITS,
    KIND_AIR_END,
    KIND_RECEPTION,
    KIND_RELAY_SLOT,
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    MASK_CAR,
    MASK_COUNT,
    SENDER_NUM_SENT,
    STATION_SENDING_HOPS,
    STATION_SENDING_SOURCE,
    STATION_SENDING_TRANSMISSION,
    RadioArrays,
)
from ml.types import CAR_HEADING, FloatArray


@dataclass(slots=True)
class LoggedFrame:
    """What became of a frame that a car's own board sent.

    Attributes:
        sender: Row of the car.
        sent_s: When its board sent it [s]; in physical mode, when its software made it.
        received_s: When the first copy of it reached the ego's board [s], None if none has so far.
        num_hops: Relays that it went over: 0 if a copy came directly, else those of the first.
    """

    sender: int
    sent_s: float
    received_s: float | None = None
    num_hops: int = 0


class LoggedRadio(RadioEmulator):
    """A ``RadioEmulator`` with a log of frames, far slower: for pictures and recordings only.

    What attackers send in a car's name is left out, as it is of the counts of delivered frames.

    Attributes:
        frames: Every frame since reset in the order of sending, those of the warm-up included.
    """

    def __init__(self, parameters: RadioParameters) -> None:
        super().__init__(parameters)
        self.frames: list[LoggedFrame] = []
        self._by_number: dict[tuple[int, int], LoggedFrame] = {}

    def reset(
        self,
        *,
        radio_key: int,
        cars: FloatArray,
        time_s: float,
        randomise: bool = False,
        faults: Sequence[RadioFault] = (),
    ) -> None:
        """Start an episode with an empty log; see ``RadioEmulator.reset``."""
        self.frames, self._by_number = [], {}
        super().reset(
            radio_key=radio_key, cars=cars, time_s=time_s, randomise=randomise, faults=faults
        )

    def advance(self, time_s: float, cars: FloatArray) -> None:
        """Handle every event since the last call; see ``RadioEmulator.advance``."""
        previous_s = self._time_s
        before = copy.deepcopy(self._arrays)
        super().advance(time_s, cars)
        self._live_again(before, previous_s, float(time_s))

    def _live_again(self, radio: RadioArrays, previous_s: float, now_s: float) -> None:
        """Handle the events of a step one by one, and log them.

        Args:
            radio: Copies of the arrays as they were at ``previous_s``.
            previous_s: Begin of the step [s].
            now_s: Its end [s].
        """
        first = radio.cars.copy()
        heard, age_s = np.zeros_like(self.heard), np.zeros_like(self.true_age_s)
        sensed, checksum = np.zeros_like(self.ego_sensed), np.zeros_like(self.checksum)
        while radio.queue_codes[0] > 0 and radio.queue_times[1] <= now_s:
            event_s = float(radio.queue_times[1])
            arriving = _frames_arriving(radio, event_s)
            num_sent = radio.senders[:, SENDER_NUM_SENT].copy()
            num_heard = _num_heard(radio)
            fraction = (event_s - previous_s) / (now_s - previous_s) if now_s > previous_s else 1.0
            radio.cars[:] = cars_between(first, self._arrays.cars, fraction)
            radio.previous_cars[:] = radio.cars
            advance_radio(event_s, event_s, heard, age_s, sensed, checksum, *radio)
            for sender in np.flatnonzero(radio.senders[:, SENDER_NUM_SENT] > num_sent).tolist():
                frame = LoggedFrame(sender, event_s)
                self.frames.append(frame)
                self._by_number[sender, int(num_sent[sender])] = frame
            self._log_receptions(arriving, _num_heard(radio) - num_heard, event_s)

    def _log_receptions(
        self, arriving: Sequence[_Copy], num_new: FloatArray, event_s: float
    ) -> None:
        """Log which of the copies that may have arrived at an instant did.

        Args:
            arriving: The copies.
            num_new: How many the ego's board received, as ``_num_heard``.
            event_s: The instant [s].
        """
        for arrival in arriving:
            is_relayed = int(arrival.num_hops > 0)
            if num_new[is_relayed, arrival.sender] < 1.0:
                continue
            num_new[is_relayed, arrival.sender] -= 1.0
            frame = self._by_number[arrival.sender, arrival.number]
            if frame.received_s is None:
                frame.received_s, frame.num_hops = event_s, arrival.num_hops
            elif arrival.num_hops == 0:
                frame.num_hops = 0


def cars_between(first: FloatArray, last: FloatArray, fraction: float) -> FloatArray:
    """Return the cars between two instants as the radio sees them.

    Args:
        first: Ground truth at the first, (num_cars, NUM_CAR_FIELDS).
        last: That at the last.
        fraction: 0 is the first, 1 the last.
    """
    motion = last - first
    turn_rad = motion[:, CAR_HEADING]
    motion[:, CAR_HEADING] = np.arctan2(np.sin(turn_rad), np.cos(turn_rad))  # the shorter arc
    between: FloatArray = first + fraction * motion
    return between


class _Copy(NamedTuple):
    """A copy of a frame: whose, its transmission number, and the relays that it went over."""

    sender: int
    number: int
    num_hops: int


def _num_heard(radio: RadioArrays) -> FloatArray:
    """Return how many copies the ego received so far: directly and over relays, (2, num_cars)."""
    links = radio.links[0]
    num_relayed = links[:, LINK_NUM_DELIVERED_RELAYED]
    return np.array([links[:, LINK_NUM_DELIVERED] - num_relayed, num_relayed])


def _frames_arriving(radio: RadioArrays, event_s: float) -> list[_Copy]:
    """Return the copies that may reach the ego at the time of the queue's first event.

    They are those whose reception is due, and those that leave the air: a board without any delay
    of its own receives them at the same instant.
    """
    items = slice(1, int(radio.queue_codes[0]) + 1)
    codes = radio.queue_codes[items][radio.queue_times[items] == event_s]
    due, on_air = [], []
    for code in codes.tolist():
        kind, sender = code >> (2 * CAR_BITS + COUNT_BITS), (code >> CAR_BITS) & MASK_CAR
        if KIND_RECEPTION <= kind < KIND_RELAY_SLOT and code & MASK_CAR == 0:
            number = (code >> 2 * CAR_BITS) & MASK_COUNT
            due.append(_Copy(sender, number, kind - KIND_RECEPTION))
        elif kind == KIND_AIR_END and 0 < sender < len(radio.cars):
            row = radio.stations[sender]
            on_air.append(
                _Copy(
                    int(row[STATION_SENDING_SOURCE]),
                    int(row[STATION_SENDING_TRANSMISSION]),
                    int(row[STATION_SENDING_HOPS]),
                )
            )
    return due + on_air
