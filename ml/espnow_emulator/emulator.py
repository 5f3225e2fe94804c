"""What the ego's board hears of the cars around it, over a lossy one-way broadcast radio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.errors import ConfigError
from ml.espnow_emulator.checksum_kernels import NUM_LANES
from ml.espnow_emulator.episode_values import (
    EpisodeRadioValues,
    blackouts_s,
    drawn_values,
    fill_values,
    nominal_values,
)
from ml.espnow_emulator.faults import RadioFault, fault_rows
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.physical_sections import LARGEST_NUM_BACKGROUND_SENDERS
from ml.espnow_emulator.radio_kernels import (
    advance_radio,
    reset_radio,
)
from ml.espnow_emulator.radio_layout import (
    ATTACKS_IN_FLIGHT,
    EVENTS_PER_STATION,
    FIXES_KEPT,
    FRAMES_IN_FLIGHT_PER_LINK,
    FRAMES_KEPT,
    FRAMES_KEPT_WITH_RELAYS,
    LARGEST_NUM_ATTACKS,
    LARGEST_NUM_CARS,
    LARGEST_NUM_PHYSICAL_CARS,
    LARGEST_NUM_RELAYING_CARS,
    LINK_NUM_ACCEPTED,
    LINK_NUM_ACCEPTED_RELAYED,
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    LINK_NUM_OUT_OF_RANGE,
    LINK_NUM_REJECTED_DUPLICATE,
    LINK_NUM_REJECTED_IMPLAUSIBLE,
    LINK_NUM_REJECTED_OLD,
    LONGEST_LATENCY_S,
    NUM_FAULT_FIELDS,
    NUM_FIX_FIELDS,
    NUM_FRAME_FIELDS,
    NUM_LINK_FIELDS,
    NUM_MASKS,
    NUM_SENDER_FIELDS,
    NUM_STATION_FIELDS,
    NUM_VALUES,
    SENDER_NUM_RELAYED,
    SENDER_NUM_SENT,
    STATION_NUM_COLLIDED,
    STATION_NUM_REPLACED,
    RadioArrays,
)
from ml.types import (
    NUM_CAR_FIELDS,
    NUM_HEARD_FIELDS,
    NUM_SENSED_FIELDS,
    FloatArray,
    IntArray,
    UnsignedArray,
)
from ml.units import s_from_ms

_EGO = 0


@dataclass(frozen=True)
class RadioStatistics:
    """Counts of frames since reset, int64 (num_cars,), indexed by source; the ego's are 0.

    Attributes:
        frames_sent: Transmissions by the source itself.
        frames_delivered: Frames that reached the ego's radio from the source itself so far; what
            attackers send in its name is left out.
        frames_accepted: Frames that were newer than what the ego's board held, relayed, forged or
            neither.
        frames_out_of_range: Transmissions by the source from beyond the maximum range.
        frames_relayed: Transmissions of the source's frames by other cars.
        frames_delivered_relayed: Copies that reached the ego's radio over a relay.
        frames_accepted_relayed: Of frames_accepted, those that a relay brought.
        frames_rejected_duplicate: Frames that the ego's board dropped as copies of the one held.
        frames_rejected_old: Frames that it dropped as older than the one held: overtaken, replayed.
        frames_rejected_implausible: Frames that it dropped at the plausibility gate.
        frames_collided: Transmissions by the source that overlapped with another one, the frames it
            forwarded included; physical mode.
        frames_replaced: Frames of the source that never left, because the next one came before the
            medium was idle; physical mode.
    """

    frames_sent: IntArray
    frames_delivered: IntArray
    frames_accepted: IntArray
    frames_out_of_range: IntArray
    frames_relayed: IntArray
    frames_delivered_relayed: IntArray
    frames_accepted_relayed: IntArray
    frames_rejected_duplicate: IntArray
    frames_rejected_old: IntArray
    frames_rejected_implausible: IntArray
    frames_collided: IntArray
    frames_replaced: IntArray


class RadioEmulator:
    """The radio between the convoy's cars and the ego, one episode at a time.

    Each car samples its sensors and broadcasts at 10 Hz in its own phase; each directed link loses
    frames in bursts; what arrives goes through newest-wins on the ego's board. With relays every
    car listens, and forwards the newest frame of each other car in its own slot. The arrays below
    are overwritten by every ``advance``; they are replaced when the number of cars changes.

    Attributes:
        heard: What the ego's board holds, float64 (num_cars, NUM_HEARD_FIELDS); row 0 is zeros. A
            peer never heard has zeros, and 1000 s as its time since reception.
        ego_sensed: The ego's own sensors, float64 (NUM_SENSED_FIELDS,).
        true_age_s: Time since the state held was measured, float64 (num_cars,) [s]. No board can
            know it: for metrics, never for the observation.
        episode_values: The values in force this episode.
        checksum: Of the cars, ``heard`` and ``ego_sensed`` after reset and after every ``advance``
            since, uint64 (NUM_LANES,).
    """

    heard: FloatArray
    ego_sensed: FloatArray
    true_age_s: FloatArray
    episode_values: EpisodeRadioValues
    checksum: UnsignedArray

    def __init__(self, parameters: RadioParameters) -> None:
        self._parameters = parameters
        self._nominal_values = nominal_values(parameters)
        self.episode_values = self._nominal_values
        self._values = np.zeros(NUM_VALUES)
        fill_values(parameters, self._nominal_values, self._values)
        self._are_values_nominal = True
        self._time_s = -math.inf
        self._faults: tuple[RadioFault, ...] = ()
        self.ego_sensed = np.zeros(NUM_SENSED_FIELDS)
        self.checksum = np.zeros(NUM_LANES, dtype=np.uint64)
        self._allocate(0)

    @property
    def parameters(self) -> RadioParameters:
        """The parameters that it was made with."""
        return self._parameters

    def _allocate(self, num_cars: int) -> None:
        """Make the arrays for a number of cars; all of them listen if they may have to relay."""
        can_relay = self._parameters.can_relay
        self.heard = np.zeros((num_cars, NUM_HEARD_FIELDS))
        self.true_age_s = np.zeros(num_cars)
        num_receivers, num_kept = (
            (num_cars, FRAMES_KEPT_WITH_RELAYS) if can_relay else (1, FRAMES_KEPT)
        )
        num_stations = num_cars
        if self._parameters.is_physical:
            num_stations += LARGEST_NUM_BACKGROUND_SENDERS
        num_events = num_cars * (2 + num_receivers * FRAMES_IN_FLIGHT_PER_LINK)
        num_events += num_stations * EVENTS_PER_STATION
        num_events += num_cars * LARGEST_NUM_ATTACKS * ATTACKS_IN_FLIGHT
        if can_relay:
            slot_period_s = s_from_ms(self._parameters.relay.slot_period_ms)
            num_in_flight = 2 + math.ceil(LONGEST_LATENCY_S / slot_period_s)
            num_events += num_cars + num_cars**3 * num_in_flight
        self._arrays = RadioArrays(
            radio_key=np.zeros(1, dtype=np.uint64),
            values=self._values,
            senders=np.zeros((num_cars, NUM_SENDER_FIELDS)),
            fixes=np.zeros((num_cars, FIXES_KEPT, NUM_FIX_FIELDS)),
            frames=np.zeros((num_cars, num_kept, NUM_FRAME_FIELDS)),
            links=np.zeros((num_receivers, num_cars, NUM_LINK_FIELDS)),
            stations=np.zeros((num_stations, NUM_STATION_FIELDS)),
            masks=np.zeros((num_stations, NUM_MASKS), dtype=np.int64),
            faults=np.zeros((0, NUM_FAULT_FIELDS)),
            queue_times=np.zeros(num_events + 1),
            queue_codes=np.zeros(num_events + 1, dtype=np.int64),
            previous_cars=np.zeros((num_cars, NUM_CAR_FIELDS)),
            cars=np.zeros((num_cars, NUM_CAR_FIELDS)),
        )

    def reset(
        self,
        *,
        radio_key: int,
        cars: FloatArray,
        time_s: float,
        randomise: bool = False,
        faults: Sequence[RadioFault] = (),
    ) -> None:
        """Start an episode: every board anew, nothing heard, the ego's sensors read once.

        Args:
            radio_key: Key of all the episode's random numbers, in [0, 2**64 - 1].
            cars: Ground truth at ``time_s``, (num_cars, NUM_CAR_FIELDS), row 0 the ego.
            time_s: Simulation time [s].
            randomise: Draw this episode's values from the parameter file's ranges.
            faults: What goes wrong in the episode.

        Raises:
            ConfigError: The key, the array's shape or the time is out of its range.
        """
        if not 0 <= radio_key < 2**64:
            raise ConfigError(f"radio_key must be in [0, 2**64 - 1]. Got {radio_key}.")
        if cars.ndim != 2 or cars.shape[1] != NUM_CAR_FIELDS:
            raise ConfigError(f"cars must have {NUM_CAR_FIELDS} columns. Got shape {cars.shape}.")
        num_cars = cars.shape[0]
        if not 1 <= num_cars <= LARGEST_NUM_CARS:
            raise ConfigError(f"cars must have 1 to {LARGEST_NUM_CARS} rows. Got {num_cars}.")
        if self._parameters.can_relay and num_cars > LARGEST_NUM_RELAYING_CARS:
            raise ConfigError(
                f"cars must have 1 to {LARGEST_NUM_RELAYING_CARS} rows with relays. "
                f"Got {num_cars}. Set max_relay_hops in {self._parameters.source} to 0."
            )
        if not math.isfinite(time_s):
            raise ConfigError(f"time_s must be finite. Got {time_s}.")
        if self._parameters.is_physical and num_cars > LARGEST_NUM_PHYSICAL_CARS:
            raise ConfigError(
                f"cars must have 1 to {LARGEST_NUM_PHYSICAL_CARS} rows in mode physical. "
                f"Got {num_cars}. Use mode simple in {self._parameters.source}."
            )
        if num_cars != self._arrays.cars.shape[0]:
            self._allocate(num_cars)
        self._time_s = float(time_s)
        self._set_values(np.uint64(radio_key), randomise)
        self._faults = tuple(faults)
        all_faults = [*faults, *self._blackouts(np.uint64(radio_key))]
        self._arrays = self._arrays._replace(faults=fault_rows(all_faults, num_cars))
        self._arrays.radio_key[0] = radio_key
        self._arrays.cars[:] = self._arrays.previous_cars[:] = cars
        self.checksum[:] = 0
        reset_radio(self._time_s, *self._arrays)
        self.advance(time_s, cars)

    def _blackouts(self, radio_key: np.uint64) -> list[RadioFault]:
        """Return the black-outs of the episode's values."""
        physical = self.episode_values.physical
        if physical is None or physical.blackouts == 0:
            return []
        return [
            RadioFault("blackout", start_s=begin_s, duration_s=end_s - begin_s)
            for begin_s, end_s in blackouts_s(physical, radio_key, self._time_s)
        ]

    def _set_values(self, radio_key: np.uint64, randomise: bool) -> None:
        """Put the episode's values in force."""
        if randomise:
            self.episode_values = drawn_values(self._parameters, radio_key)
        elif not self._are_values_nominal:
            self.episode_values = self._nominal_values
        else:
            return
        fill_values(self._parameters, self.episode_values, self._values)
        self._are_values_nominal = not randomise

    def advance(self, time_s: float, cars: FloatArray) -> None:
        """Handle every event since the last call, in the order of its time.

        The truth in between is linear between the previous and the current ``cars``; headings turn
        through the shorter arc.

        Args:
            time_s: Simulation time [s], not before the last call's.
            cars: Ground truth at ``time_s``, (num_cars, NUM_CAR_FIELDS).

        Raises:
            ConfigError: ``cars`` has another shape than at reset, or time runs backwards.
        """
        if cars.shape != self._arrays.cars.shape:
            raise ConfigError(
                f"cars must have the shape {self._arrays.cars.shape} of reset. Got {cars.shape}. "
                "Call reset when cars come or go."
            )
        if not self._time_s <= time_s < math.inf:
            raise ConfigError(
                f"time_s must be finite and at least {self._time_s}, the last call's. Got {time_s}."
            )
        # Own buffers and a plain float keep the kernel at one compiled signature.
        self._arrays.cars[:] = cars
        now_s = float(time_s)
        advance_radio(
            self._time_s, now_s, self.heard, self.true_age_s, self.ego_sensed, self.checksum,
            *self._arrays,
        )  # fmt: skip
        self._time_s = now_s

    def statistics(self) -> RadioStatistics:
        """Return the counts of frames since reset."""
        arrays = self._arrays
        links, senders = arrays.links[_EGO], arrays.senders
        stations = arrays.stations[: len(senders)]
        num_delivered = links[:, LINK_NUM_DELIVERED] - links[:, LINK_NUM_DELIVERED_RELAYED]
        return RadioStatistics(
            frames_sent=senders[:, SENDER_NUM_SENT].astype(np.int64),
            frames_delivered=num_delivered.astype(np.int64),
            frames_accepted=links[:, LINK_NUM_ACCEPTED].astype(np.int64),
            frames_out_of_range=links[:, LINK_NUM_OUT_OF_RANGE].astype(np.int64),
            frames_relayed=senders[:, SENDER_NUM_RELAYED].astype(np.int64),
            frames_delivered_relayed=links[:, LINK_NUM_DELIVERED_RELAYED].astype(np.int64),
            frames_accepted_relayed=links[:, LINK_NUM_ACCEPTED_RELAYED].astype(np.int64),
            frames_rejected_duplicate=links[:, LINK_NUM_REJECTED_DUPLICATE].astype(np.int64),
            frames_rejected_old=links[:, LINK_NUM_REJECTED_OLD].astype(np.int64),
            frames_rejected_implausible=links[:, LINK_NUM_REJECTED_IMPLAUSIBLE].astype(np.int64),
            frames_collided=stations[:, STATION_NUM_COLLIDED].astype(np.int64),
            frames_replaced=stations[:, STATION_NUM_REPLACED].astype(np.int64),
        )

    def record(self) -> dict[str, Any]:
        """Return what an episode's record tells of the radio: counts over all peers, and faults."""
        counts = self.statistics()
        num_sent = int(counts.frames_sent.sum())
        num_delivered = int(counts.frames_delivered.sum())
        return {
            "radio_delivery_ratio": num_delivered / num_sent if num_sent else None,
            "radio_frames_rejected_duplicate": int(counts.frames_rejected_duplicate.sum()),
            "radio_frames_rejected_old": int(counts.frames_rejected_old.sum()),
            "radio_frames_rejected_implausible": int(counts.frames_rejected_implausible.sum()),
            "radio_faults": [str(fault) for fault in self._faults],
        }
