"""What the ego's board hears of the cars around it, over a lossy one-way broadcast radio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ml.errors import ConfigError
from ml.espnow_emulator.episode_values import (
    EpisodeRadioValues,
    drawn_values,
    fill_values,
    nominal_values,
)
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_kernels import (
    advance_radio,
    reset_radio,
)
from ml.espnow_emulator.radio_layout import (
    FRAMES_IN_FLIGHT_PER_LINK,
    FRAMES_KEPT,
    FRAMES_KEPT_WITH_RELAYS,
    LARGEST_NUM_CARS,
    LARGEST_NUM_RELAYING_CARS,
    LINK_NUM_ACCEPTED,
    LINK_NUM_ACCEPTED_RELAYED,
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    LINK_NUM_OUT_OF_RANGE,
    LONGEST_LATENCY_S,
    NUM_FRAME_FIELDS,
    NUM_LINK_FIELDS,
    NUM_SENDER_FIELDS,
    NUM_VALUES,
    SENDER_NUM_RELAYED,
    SENDER_NUM_SENT,
)
from ml.types import (
    NUM_CAR_FIELDS,
    NUM_HEARD_FIELDS,
    NUM_SENSED_FIELDS,
    FloatArray,
    IntArray,
)
from ml.units import s_from_ms

_EGO = 0


@dataclass(frozen=True)
class RadioStatistics:
    """Counts of frames since reset, int64 (num_cars,), indexed by source; the ego's are 0.

    Attributes:
        frames_sent: Transmissions by the source itself.
        frames_delivered: Frames that reached the ego's radio from the source itself so far.
        frames_accepted: Frames that were newer than what the ego's board held, relayed or not.
        frames_out_of_range: Transmissions by the source from beyond the maximum range.
        frames_relayed: Transmissions of the source's frames by other cars.
        frames_delivered_relayed: Copies that reached the ego's radio over a relay.
        frames_accepted_relayed: Of frames_accepted, those that a relay brought.
    """

    frames_sent: IntArray
    frames_delivered: IntArray
    frames_accepted: IntArray
    frames_out_of_range: IntArray
    frames_relayed: IntArray
    frames_delivered_relayed: IntArray
    frames_accepted_relayed: IntArray


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
    """

    heard: FloatArray
    ego_sensed: FloatArray
    true_age_s: FloatArray
    episode_values: EpisodeRadioValues

    def __init__(self, parameters: RadioParameters) -> None:
        self._parameters = parameters
        self._nominal_values = nominal_values(parameters)
        self.episode_values = self._nominal_values
        self._values = np.zeros(NUM_VALUES)
        fill_values(parameters, self._nominal_values, self._values)
        self._are_values_nominal = True
        self._radio_key = np.uint64(0)
        self._time_s = -math.inf
        self.ego_sensed = np.zeros(NUM_SENSED_FIELDS)
        self._allocate(0)

    def _allocate(self, num_cars: int) -> None:
        """Make the arrays for a number of cars; all of them listen if they may have to relay."""
        can_relay = self._parameters.can_relay
        self.heard = np.zeros((num_cars, NUM_HEARD_FIELDS))
        self.true_age_s = np.zeros(num_cars)
        self._previous_cars = np.zeros((num_cars, NUM_CAR_FIELDS))
        self._cars = np.zeros((num_cars, NUM_CAR_FIELDS))
        self._senders = np.zeros((num_cars, NUM_SENDER_FIELDS))
        num_receivers, num_kept = (
            (num_cars, FRAMES_KEPT_WITH_RELAYS) if can_relay else (1, FRAMES_KEPT)
        )
        self._frames = np.zeros((num_cars, num_kept, NUM_FRAME_FIELDS))
        self._links = np.zeros((num_receivers, num_cars, NUM_LINK_FIELDS))
        num_events = num_cars * (1 + num_receivers * FRAMES_IN_FLIGHT_PER_LINK)
        if can_relay:
            slot_period_s = s_from_ms(self._parameters.relay.slot_period_ms)
            num_in_flight = 2 + math.ceil(LONGEST_LATENCY_S / slot_period_s)
            num_events += num_cars + num_cars**3 * num_in_flight
        self._queue_times = np.zeros(num_events + 1)
        self._queue_codes = np.zeros(num_events + 1, dtype=np.int64)

    def reset(
        self, *, radio_key: int, cars: FloatArray, time_s: float, randomise: bool = False
    ) -> None:
        """Start an episode: every board anew, nothing heard, the ego's sensors read once.

        Args:
            radio_key: Key of all the episode's random numbers, in [0, 2**64 - 1].
            cars: Ground truth at ``time_s``, (num_cars, NUM_CAR_FIELDS), row 0 the ego.
            time_s: Simulation time [s].
            randomise: Draw this episode's values from the parameter file's ranges.

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
        if num_cars != self._cars.shape[0]:
            self._allocate(num_cars)
        self._radio_key = np.uint64(radio_key)
        self._time_s = float(time_s)
        self._set_values(randomise)
        self._cars[:] = self._previous_cars[:] = cars
        reset_radio(
            self._radio_key,
            self._time_s,
            self._cars,
            self._values,
            self._senders,
            self._links,
            self._queue_times,
            self._queue_codes,
        )
        self.advance(time_s, cars)

    def _set_values(self, randomise: bool) -> None:
        """Put the episode's values in force."""
        if randomise:
            self.episode_values = drawn_values(self._parameters, self._radio_key)
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
        if cars.shape != self._cars.shape:
            raise ConfigError(
                f"cars must have the shape {self._cars.shape} of reset. Got {cars.shape}. "
                "Call reset when cars come or go."
            )
        if not self._time_s <= time_s < math.inf:
            raise ConfigError(
                f"time_s must be finite and at least {self._time_s}, the last call's. Got {time_s}."
            )
        # Own buffers and a plain float keep the kernel at one compiled signature.
        self._cars[:] = cars
        now_s = float(time_s)
        advance_radio(
            self._radio_key,
            self._time_s,
            now_s,
            self._values,
            self._previous_cars,
            self._cars,
            self._senders,
            self._frames,
            self._links,
            self._queue_times,
            self._queue_codes,
            self.heard,
            self.true_age_s,
            self.ego_sensed,
        )
        self._time_s = now_s

    def statistics(self) -> RadioStatistics:
        """Return the counts of frames since reset."""
        links, senders = self._links[_EGO], self._senders
        num_delivered = links[:, LINK_NUM_DELIVERED] - links[:, LINK_NUM_DELIVERED_RELAYED]
        return RadioStatistics(
            frames_sent=senders[:, SENDER_NUM_SENT].astype(np.int64),
            frames_delivered=num_delivered.astype(np.int64),
            frames_accepted=links[:, LINK_NUM_ACCEPTED].astype(np.int64),
            frames_out_of_range=links[:, LINK_NUM_OUT_OF_RANGE].astype(np.int64),
            frames_relayed=senders[:, SENDER_NUM_RELAYED].astype(np.int64),
            frames_delivered_relayed=links[:, LINK_NUM_DELIVERED_RELAYED].astype(np.int64),
            frames_accepted_relayed=links[:, LINK_NUM_ACCEPTED_RELAYED].astype(np.int64),
        )
