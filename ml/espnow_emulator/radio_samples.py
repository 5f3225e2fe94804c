"""Samples of the emulator for the radio report: reception, bursts, ages, latency, collisions.

Everything is read from what the emulator publishes: the counts of ``statistics()``, ``heard`` and
``true_age_s``. The cars stand still. Sensors, relays and the receiver's plausibility gate are left
out, so that what is seen is the radio alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.espnow_emulator.emulator import RadioEmulator
from ml.espnow_emulator.faults import RadioFault
from ml.espnow_emulator.parameter_sections import (
    GpsParameters,
    ReceiverParameters,
    RelayParameters,
)
from ml.espnow_emulator.parameters import RadioParameters
from ml.espnow_emulator.radio_layout import FRAME_PERIOD_S, LONGEST_LATENCY_S
from ml.types import (
    CAR_X,
    HEARD_SEQUENCE_GAP,
    HEARD_TIME_SINCE_RECEPTION,
    NEVER_HEARD_S,
    NUM_CAR_FIELDS,
    FloatArray,
    IntArray,
)

SAMPLE_INTERVAL_S = 0.01
STEPS_PER_FRAME = 10
_PEER = 1
_NUM_LINK_WORLDS = 1000
_FEWEST_FRAMES_IN_WORLD = 20
_PERIODS_IN_CHANNEL_WORLD = 50
_CHANNEL_WARM_UP_PERIODS = 5
_FEWEST_CHANNEL_WORLDS = 20
_RECEPTION, _LINK, _CHANNEL = 1, 2, 3  # streams of keys
_NO_STEP = 1e-9  # of a step: a reception at the step's own beginning belongs to the one before

Tick = Callable[[int], None]
"""Is told how many emulated frames were added to the samples."""


@dataclass(frozen=True)
class ReceptionSample:
    """Frames received at one distance, each in a world of its own.

    Attributes:
        distance_m: Between sender and ego [m].
        num_sent: Frames sent.
        num_received: Those that reached the ego's radio.
    """

    distance_m: float
    num_sent: int
    num_received: int


@dataclass(frozen=True)
class LinkSamples:
    """One peer that stands still, in many worlds; each world has a row.

    Attributes:
        distance_m: Between sender and ego [m].
        num_sent: Frames sent, (num_worlds,).
        num_received: Frames that reached the ego's radio, (num_worlds,).
        bursts: Lengths of the runs of frames missing between two accepted ones, by world.
        latencies_ms: Transmission to reception of each frame accepted, by world [ms].
        peak_ages_ms: Age of the state held just before it was replaced, by world [ms].
        ages_ms: Age of the state held, every SAMPLE_INTERVAL_S, by world [ms].
        num_unheard: Samples before the first frame was accepted, which have no age, (num_worlds,).
        num_hidden: Accepted frames that were not seen because the next came in the same interval.
    """

    distance_m: float
    num_sent: IntArray
    num_received: IntArray
    bursts: tuple[IntArray, ...]
    latencies_ms: tuple[FloatArray, ...]
    peak_ages_ms: tuple[FloatArray, ...]
    ages_ms: tuple[FloatArray, ...]
    num_unheard: IntArray
    num_hidden: int


@dataclass(frozen=True)
class ChannelSample:
    """Frames that collided among so many senders, all within carrier-sense range.

    Attributes:
        num_senders: The ego among them.
        num_on_air: Frames on the air, by world, without the ego's.
        num_collided: Those that overlapped with another one, by world.
    """

    num_senders: int
    num_on_air: IntArray
    num_collided: IntArray


def radio_alone(parameters: RadioParameters) -> RadioParameters:
    """Return the parameters without relays, position fixes and the plausibility gate."""
    return dataclasses.replace(
        parameters,
        gps=GpsParameters(),
        relay=RelayParameters(),
        receiver=ReceiverParameters(plausibility_gate_m=0.0),
        domain_randomization=dataclasses.replace(
            parameters.domain_randomization, relay_hops_range=(0, 0)
        ),
    )


def sample_reception(
    parameters: RadioParameters, distance_m: float, num_frames: int, *, seed: int, tick: Tick
) -> ReceptionSample:
    """Return how many frames are received at a distance.

    Each frame is the first of a world of its own, after which the sender's board falls silent. So
    the frames are independent, and average over shadowing, bursts and phases.

    Args:
        parameters: The radio.
        distance_m: Between sender and ego [m].
        num_frames: Worlds; in a few of them no frame is sent within the period.
        seed: Of the worlds' keys.
        tick: Called with the frames emulated.
    """
    radio = RadioEmulator(radio_alone(parameters))
    cars = _cars_at([0.0, distance_m])
    silence = [RadioFault("reboot", car=_PEER, start_s=FRAME_PERIOD_S)]
    num_sent = num_received = 0
    for key in _keys(seed, _RECEPTION, round(1000.0 * distance_m), num_keys=num_frames):
        radio.reset(radio_key=key, cars=cars, time_s=0.0, faults=silence)
        radio.advance(2.0 * LONGEST_LATENCY_S, cars)
        counts = radio.statistics()
        num_sent += int(counts.frames_sent[_PEER])
        num_received += int(counts.frames_delivered[_PEER])
    tick(num_frames)
    return ReceptionSample(distance_m, num_sent, num_received)


def sample_link(
    parameters: RadioParameters,
    distance_m: float,
    num_frames: int,
    *,
    warm_up_frames: int,
    seed: int,
    tick: Tick,
) -> LinkSamples:
    """Return what the ego holds of one peer that stands still.

    Args:
        parameters: The radio.
        distance_m: Between sender and ego [m].
        num_frames: Frames in all worlds together, about.
        warm_up_frames: Frames at the start of each world that are not looked at.
        seed: Of the worlds' keys.
        tick: Called with the frames emulated.
    """
    radio = RadioEmulator(radio_alone(parameters))
    num_worlds = max(2, min(_NUM_LINK_WORLDS, num_frames // _FEWEST_FRAMES_IN_WORLD))
    frames_in_world = math.ceil(num_frames / num_worlds)
    worlds = []
    for key in _keys(seed, _LINK, 0, num_keys=num_worlds):
        worlds.append(_link_world(radio, key, distance_m, warm_up_frames, frames_in_world))
        tick(frames_in_world)
    return LinkSamples(
        distance_m=distance_m,
        num_sent=np.array([world.num_sent for world in worlds]),
        num_received=np.array([world.num_received for world in worlds]),
        bursts=tuple(world.gaps[world.gaps > 0] for world in worlds),
        latencies_ms=tuple(world.latencies_ms for world in worlds),
        peak_ages_ms=tuple(world.peak_ages_ms for world in worlds),
        ages_ms=tuple(world.ages_ms for world in worlds),
        num_unheard=np.array([world.num_unheard for world in worlds]),
        num_hidden=sum(world.num_hidden for world in worlds),
    )


@dataclass(frozen=True)
class _LinkWorld:
    """One world of sample_link."""

    num_sent: int
    num_received: int
    gaps: IntArray
    latencies_ms: FloatArray
    peak_ages_ms: FloatArray
    ages_ms: FloatArray
    num_unheard: int
    num_hidden: int


def _link_world(
    radio: RadioEmulator, key: int, distance_m: float, warm_up_frames: int, num_frames: int
) -> _LinkWorld:
    """Run one world and read what the ego's board holds at every step of it."""
    cars = _cars_at([0.0, distance_m])
    radio.reset(radio_key=key, cars=cars, time_s=0.0)
    start_s = warm_up_frames * FRAME_PERIOD_S
    radio.advance(start_s, cars)
    before = radio.statistics()
    num_steps = num_frames * STEPS_PER_FRAME
    time_s = start_s + SAMPLE_INTERVAL_S * np.arange(num_steps + 1)
    since_s, age_s, gap = (np.empty(num_steps + 1) for _ in range(3))
    for step, now_s in enumerate(time_s.tolist()):
        radio.advance(now_s, cars)
        since_s[step] = radio.heard[_PEER, HEARD_TIME_SINCE_RECEPTION]
        age_s[step] = radio.true_age_s[_PEER]
        gap[step] = radio.heard[_PEER, HEARD_SEQUENCE_GAP]
    after = radio.statistics()
    is_heard = age_s < NEVER_HEARD_S
    is_new = (since_s < SAMPLE_INTERVAL_S * (1.0 - _NO_STEP)) & is_heard
    is_new[0] = False
    accepted = np.flatnonzero(is_new)
    replaced = accepted[is_heard[accepted - 1]]
    received_s = time_s[replaced] - since_s[replaced]
    held_since_s = time_s[replaced - 1] - age_s[replaced - 1]
    num_accepted = int((after.frames_accepted - before.frames_accepted)[_PEER])
    return _LinkWorld(
        num_sent=int((after.frames_sent - before.frames_sent)[_PEER]),
        num_received=int((after.frames_delivered - before.frames_delivered)[_PEER]),
        gaps=gap[replaced].astype(np.int64),
        latencies_ms=1000.0 * (age_s[accepted] - since_s[accepted]),
        peak_ages_ms=1000.0 * (received_s - held_since_s),
        ages_ms=1000.0 * age_s[1:][is_heard[1:]],
        num_unheard=int(np.count_nonzero(~is_heard[1:])),
        num_hidden=num_accepted - len(accepted),
    )


def sample_channel(
    parameters: RadioParameters, num_senders: int, num_frames: int, *, seed: int, tick: Tick
) -> ChannelSample:
    """Return how many frames collide among senders that all sense each other.

    Each world has phases of its own, in force all through it, so worlds differ by more than their
    frames do. Background senders of the file are left out: the senders here are all there are.

    Args:
        parameters: The radio, in physical mode.
        num_senders: Boards that send at 10 Hz, the ego among them, at least 2.
        num_frames: Periods in all worlds together, about.
        seed: Of the worlds' keys.
        tick: Called with the periods emulated.
    """
    physical = dataclasses.replace(parameters.physical, background_senders=0, blackouts=0)
    radio = RadioEmulator(dataclasses.replace(radio_alone(parameters), physical=physical))
    cars = _cars_at([0.0] * num_senders)
    num_worlds = max(_FEWEST_CHANNEL_WORLDS, num_frames // _PERIODS_IN_CHANNEL_WORLD)
    begin_s = _CHANNEL_WARM_UP_PERIODS * FRAME_PERIOD_S
    end_s = begin_s + _PERIODS_IN_CHANNEL_WORLD * FRAME_PERIOD_S
    num_on_air = np.empty(num_worlds, dtype=np.int64)
    num_collided = np.empty(num_worlds, dtype=np.int64)
    for world, key in enumerate(_keys(seed, _CHANNEL, num_senders, num_keys=num_worlds)):
        radio.reset(radio_key=key, cars=cars, time_s=0.0)
        radio.advance(begin_s, cars)
        before = radio.statistics()
        radio.advance(end_s, cars)
        after = radio.statistics()
        sent = (after.frames_sent - after.frames_replaced)[_PEER:]
        sent_before = (before.frames_sent - before.frames_replaced)[_PEER:]
        num_on_air[world] = (sent - sent_before).sum()
        num_collided[world] = (after.frames_collided - before.frames_collided)[_PEER:].sum()
    tick(num_worlds * _PERIODS_IN_CHANNEL_WORLD)
    return ChannelSample(num_senders, num_on_air, num_collided)


def _cars_at(positions_m: list[float]) -> FloatArray:
    """Return cars that stand on a line, (num_cars, NUM_CAR_FIELDS)."""
    cars = np.zeros((len(positions_m), NUM_CAR_FIELDS))
    cars[:, CAR_X] = positions_m
    return cars


def _keys(seed: int, stream: int, which: int, *, num_keys: int) -> list[int]:
    """Return the worlds' keys: the same for the same seed, others for every sample."""
    sequence = np.random.SeedSequence([seed, stream, which])
    return [int(key) for key in sequence.generate_state(num_keys, dtype=np.uint64)]
