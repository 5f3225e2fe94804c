"""Each fault of the radio: what it does, when, to whom, and what the receiver makes of it."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ConfigError
from ml.espnow_emulator import (
    RadioEmulator,
    RadioFault,
    RadioParameters,
    checked_faults,
    fault_from_text,
    load_radio_parameters,
    placed_faults,
)
from ml.espnow_emulator.faults import FAULT_KINDS
from ml.espnow_emulator.parameter_sections import LatencyParameters
from ml.espnow_emulator.radio_layout import (
    FRAME_CLOCK,
    FRAME_GENERATED_AT,
    FRAME_SEQUENCE,
    LINK_RECEIVED_AT,
    NUM_FRAME_FIELDS,
    NUM_LINK_FIELDS,
)
from ml.espnow_emulator.receiver_kernels import receive_frame
from ml.tests.radio_worlds import NO_LOSS, cars_in_line, constant_loss, with_relays
from ml.types import (
    CAR_ACCELERATION,
    CAR_X,
    HEARD_HOP_COUNT,
    HEARD_IS_FRESH,
    HEARD_LOWEST_ACCELERATION,
    HEARD_TIME_SINCE_RECEPTION,
    SENSED_ACCELERATION,
    SENSED_HEADING,
    SENSED_SPEED,
    SENSED_X,
)

QUIET = constant_loss(0.0, 1.0)
LOSSY = constant_loss(0.1, 2.0)
STEP_S = 0.05
SPEED_MPS = 20.0


class Run:
    """An emulator's run over steps of 0.05 s: the ego and two cars at 20 m/s, 10 m apart."""

    def __init__(self, *faults, parameters=QUIET, until_s=12.0, num_cars=3):
        self.radio = RadioEmulator(parameters)
        start = cars_in_line(num_cars, spacing_m=10.0, speed_mps=SPEED_MPS)
        start[:, CAR_ACCELERATION] = -1.0
        self.radio.reset(radio_key=7, cars=start, time_s=0.0, faults=faults)
        self.times_s = STEP_S * np.arange(1, round(until_s / STEP_S) + 1)
        heard, ego, links = [], [], []
        for time_s in self.times_s:
            cars = start.copy()
            cars[:, CAR_X] += SPEED_MPS * time_s
            self.radio.advance(time_s, cars)
            heard.append(self.radio.heard.copy())
            ego.append(self.radio.ego_sensed.copy())
            links.append(self.radio._arrays.links.copy())
        self.heard, self.ego, self.links = np.array(heard), np.array(ego), np.array(links)
        self.counts = self.radio.statistics()

    def error_m(self, car=1):
        """How far east of the truth at its measurement the state held of a car is."""
        measured_s = self.links[:, 0, car, FRAME_GENERATED_AT]
        return self.heard[:, car, SENSED_X] - (10.0 * car + SPEED_MPS * measured_s)

    def at(self, time_s):
        """The index of the step that ends at a time."""
        return round(time_s / STEP_S) - 1

    @property
    def age_s(self):
        """The true age of what is held of car 1."""
        return self.times_s - self.links[:, 0, 1, FRAME_GENERATED_AT]


def fault_of(kind, car=1, start_s=5.0, duration_s=2.0, value=None):
    """A fault from 5 to 7 s, as far as the kind has a start and an end."""
    times = {"start_s": start_s} if FAULT_KINDS[kind].has_start else {}
    if FAULT_KINDS[kind].has_end:
        times["duration_s"] = duration_s
    return RadioFault(kind, car=car, value=value, **times)


WITH_START = [kind for kind, entry in FAULT_KINDS.items() if entry.has_start]
HARMLESS = [RadioFault("duplicate", 1, 0.0), RadioFault("duplicate", 1, 0.0, value=0.25),
            RadioFault("replay", 1, 0.0), RadioFault("replay", 1, 0.0, value=1.0),
            RadioFault("replay", 1, 0.0, value=25.0), RadioFault("forged_position", 1, 1.0),
            RadioFault("sequence_reset", 1, 5.0), RadioFault("clock_jump", 1, 5.0),
            *(RadioFault("clock_jump", 1, 5.0, value=by) for by in (-1e5, -60.0, -1.0, 1.0, 1e5)),
            ]  # fmt: skip


# --- When, and whom ------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [RadioParameters(), load_radio_parameters("roof")],
                         ids=["simple", "physical"])  # fmt: skip
@pytest.mark.parametrize("kind", WITH_START)
def test_nothing_changes_before_the_fault_begins_and_something_does_then(kind, parameters):
    plain = Run(parameters=parameters)
    struck = Run(fault_of(kind), parameters=parameters)
    first = plain.at(5.0)

    np.testing.assert_array_equal(struck.links[:first], plain.links[:first])
    np.testing.assert_array_equal(struck.heard[:first], plain.heard[:first])
    np.testing.assert_array_equal(struck.ego[:first], plain.ego[:first])
    assert np.any(struck.links[first:] != plain.links[first:])


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_of_one_car_changes_no_draw_of_another_link(kind):
    parameters = dataclasses.replace(RadioParameters(), relay=with_relays(QUIET, 0).relay)
    plain, struck = Run(parameters=parameters), Run(fault_of(kind), parameters=parameters)

    np.testing.assert_array_equal(struck.links[:, 0, 2], plain.links[:, 0, 2])
    np.testing.assert_array_equal(struck.ego, plain.ego)


@pytest.mark.parametrize("kind", ["duplicate", "replay", "forged", "forged_position"])
def test_what_attackers_send_is_no_delivery(kind):
    plain, struck = Run(), Run(fault_of(kind))

    assert struck.counts.frames_delivered.tolist() == plain.counts.frames_delivered.tolist()


@pytest.mark.parametrize(
    "kind", ["blackout", "burst", "dead_link", "frozen_gps", "gps_jump", "duplicate", "replay",
             "forged", "forged_position"],
)  # fmt: skip
def test_a_while_after_its_end_a_fault_has_left_no_trace(kind):
    # 1.1 s: five frames for the gate, and the lowest acceleration of the last second
    plain, struck = Run(parameters=LOSSY), Run(fault_of(kind), parameters=LOSSY)
    first = plain.at(8.5)

    np.testing.assert_array_equal(struck.heard[first:], plain.heard[first:])


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_all_strikes_every_peer_and_not_the_ego(kind):
    plain = Run()
    struck = Run(fault_of(kind, car="all"))
    one_by_one = Run(fault_of(kind, car=1), fault_of(kind, car=2))

    np.testing.assert_array_equal(struck.links, one_by_one.links)
    np.testing.assert_array_equal(struck.ego, plain.ego)


def test_a_fault_of_a_car_that_is_not_there_does_nothing():
    np.testing.assert_array_equal(Run(fault_of("blackout", car=3)).links, Run().links)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_the_same_run_comes_again(kind):
    np.testing.assert_array_equal(Run(fault_of(kind)).links, Run(fault_of(kind)).links)


def test_length_of_the_steps_does_not_change_a_fault():
    fine = Run(fault_of("blackout"), fault_of("replay", duration_s=4.0), parameters=LOSSY)
    coarse = RadioEmulator(LOSSY)
    cars = cars_in_line(3, spacing_m=10.0, speed_mps=SPEED_MPS)
    coarse.reset(
        radio_key=7,
        cars=cars,
        time_s=0.0,
        faults=[fault_of("blackout"), fault_of("replay", duration_s=4.0)],
    )
    cars[:, CAR_X] += SPEED_MPS * 12.0

    coarse.advance(12.0, cars)

    for name in ("frames_accepted", "frames_rejected_old", "frames_rejected_duplicate"):
        assert getattr(coarse.statistics(), name).tolist() == getattr(fine.counts, name).tolist()


# --- Losses --------------------------------------------------------------------------------------


def test_in_a_blackout_the_ego_hears_nothing_of_the_car_and_then_goes_on():
    plain, struck = Run(), Run(fault_of("blackout"))

    # 2 s hold 20 transmissions at 10 Hz, one more or less by their phase
    lost = plain.counts.frames_accepted - struck.counts.frames_accepted
    assert abs(lost[1] - 20) <= 1
    assert lost[2] == 0
    assert struck.heard[struck.at(6.95), 1, HEARD_TIME_SINCE_RECEPTION] > 1.8
    assert struck.heard[struck.at(6.95), 1, HEARD_IS_FRESH] == 0.0
    assert struck.heard[struck.at(7.2), 1, HEARD_IS_FRESH] == 1.0


@pytest.mark.parametrize("length", [5, 15, 50])
def test_a_burst_loses_exactly_so_many_frames(length):
    plain = Run()
    struck = Run(RadioFault("burst", 1, 5.0, value=float(length)))

    lost = plain.counts.frames_accepted - struck.counts.frames_accepted
    assert lost.tolist() == [0, length, 0]
    assert struck.heard[2:, 1, HEARD_TIME_SINCE_RECEPTION].max() < 0.1 * (length + 1) + 0.01


def test_a_relay_repairs_a_dead_link_and_no_blackout():
    parameters = with_relays(QUIET, 1)
    dead = Run(fault_of("dead_link"), parameters=parameters)
    dark = Run(fault_of("blackout"), parameters=parameters)
    late = dead.at(6.9)

    assert (dead.heard[late, 1, HEARD_IS_FRESH], dead.heard[late, 1, HEARD_HOP_COUNT]) == (1.0, 1.0)
    assert dark.heard[late, 1, HEARD_IS_FRESH] == 0.0


def test_a_dead_link_is_dead_one_way_only():
    parameters = with_relays(QUIET, 1)
    struck = Run(RadioFault("dead_link", 1, 5.0, value=2.0), parameters=parameters)

    received_s = struck.links[-1, :, :, LINK_RECEIVED_AT]
    assert received_s[2, 1] < 5.01  # from car 1 to car 2
    assert received_s[1, 2] > 11.8  # back
    assert received_s[0, 1] > 11.8  # from car 1 to the ego


def test_an_unequipped_car_sends_and_relays_nothing():
    plain = Run(parameters=with_relays(QUIET, 1))
    struck = Run(RadioFault("unequipped", 2), parameters=with_relays(QUIET, 1))

    assert struck.heard[:, 2, HEARD_TIME_SINCE_RECEPTION].tolist() == [1000.0] * len(plain.heard)
    assert struck.counts.frames_sent.tolist() == [0, plain.counts.frames_sent[1], 0]
    assert struck.counts.frames_relayed.tolist() == [0, 0, 0]


# --- Sensors -------------------------------------------------------------------------------------


def test_a_frozen_gps_holds_position_speed_and_heading_and_not_the_acceleration():
    radio = RadioEmulator(QUIET)
    cars = cars_in_line(2, spacing_m=10.0, speed_mps=20.0)
    radio.reset(radio_key=3, cars=cars, time_s=0.0, faults=[RadioFault("frozen_gps", 1, 0.5)])
    radio.advance(1.0, cars)
    held = radio.heard[1].copy()
    later = cars_in_line(2, spacing_m=25.0, speed_mps=8.0)
    later[1, CAR_ACCELERATION] = -6.0
    radio.advance(1.0, later)

    radio.advance(1.2, later)

    columns = [SENSED_X, SENSED_SPEED, SENSED_HEADING]
    assert radio.heard[1, columns].tolist() == held[columns].tolist() == [10.0, 20.0, 0.0]
    assert radio.heard[1, SENSED_ACCELERATION] == -6.0


def test_the_egos_own_frozen_gps_stays_until_its_end():
    struck = Run(RadioFault("frozen_gps", 0, 5.0, 2.0))

    # frozen at the reading of 5.00 s, 20 m/s * 5 s; the last one at 6.95 s
    assert set(struck.ego[struck.at(5.0) : struck.at(6.95) + 1, SENSED_X].round(6)) == {100.0}
    assert struck.ego[struck.at(7.05), SENSED_X] == pytest.approx(141.0)


def test_the_egos_own_gps_jump_is_there_at_once():
    struck = Run(RadioFault("gps_jump", 0, 5.0, 2.0, value=-40.0))

    positions_m = struck.ego[[struck.at(time_s) for time_s in (4.95, 5.0, 6.95, 7.05)], SENSED_X]
    np.testing.assert_allclose(positions_m, [99.0, 60.0, 99.0, 141.0])


def test_a_jump_beyond_the_gate_is_believed_with_the_fifth_frame():
    struck = Run(RadioFault("gps_jump", 1, 5.0, 2.0))

    off_m = struck.error_m()
    assert set(off_m[: struck.at(5.4)].round(6)[2:]) == {0.0}  # from the first frame on
    assert set(off_m[struck.at(5.6) : struck.at(7.0)].round(6)) == {50.0}
    assert set(off_m[struck.at(7.6) :].round(6)) == {0.0}
    # four frames at the jump, and four at the jump back
    assert struck.counts.frames_rejected_implausible.tolist() == [0, 8, 0]


def test_a_jump_within_the_gate_is_believed_at_once():
    struck = Run(RadioFault("gps_jump", 1, 5.0, 2.0, value=25.0))

    assert set(struck.error_m()[struck.at(5.15) : struck.at(7.0)].round(6)) == {25.0}
    assert struck.counts.frames_rejected_implausible.tolist() == [0, 0, 0]


# --- Numbers and clocks --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", HARMLESS, ids=str)
def test_what_is_held_is_as_without_the_fault(fault):
    plain, struck = Run(), Run(fault)

    np.testing.assert_array_equal(struck.heard, plain.heard)
    assert struck.counts.frames_accepted.tolist() == plain.counts.frames_accepted.tolist()


def test_a_reset_makes_the_numbers_start_at_zero():
    struck = Run(RadioFault("sequence_reset", 1, 5.0))

    numbers = struck.links[:, 0, 1, FRAME_SEQUENCE]
    assert numbers[struck.at(5.15)] in (0.0, 1.0)
    assert numbers[-1] == pytest.approx(70.0, abs=1.0)  # 7 s later


@pytest.mark.parametrize("by_s", [-60.0, 60.0])
def test_a_clock_jump_moves_the_clock_once(by_s):
    plain, struck = Run(), Run(RadioFault("clock_jump", 1, 5.0, value=by_s))

    moved_s = (struck.links - plain.links)[:, 0, 1, FRAME_CLOCK]
    assert set(moved_s[: struck.at(5.0)]) == {0.0}
    np.testing.assert_allclose(moved_s[struck.at(5.15) :], by_s)


def test_a_rebooted_board_is_taken_in_with_its_first_frame():
    struck = Run(RadioFault("reboot", 1, 5.0, 2.0))

    assert struck.heard[struck.at(7.0), 1, HEARD_TIME_SINCE_RECEPTION] > 1.89
    link = struck.links[struck.at(7.15), 0, 1]
    assert link[FRAME_SEQUENCE] in (0.0, 1.0)
    assert link[FRAME_CLOCK] < 0.15
    assert struck.radio.record()["radio_frames_rejected_old"] == 0


# --- Attacks -------------------------------------------------------------------------------------


def test_duplicates_are_dropped_and_counted_as_such():
    struck = Run(RadioFault("duplicate", 1, 5.0, 2.0))

    counts = struck.counts
    assert abs(counts.frames_rejected_duplicate[1] - 20) <= 1
    assert counts.frames_rejected_old.tolist() == [0, 0, 0]


def test_a_lost_frame_has_no_duplicate():
    struck = Run(RadioFault("duplicate", 1, 0.0), fault_of("blackout"))

    num_accepted = struck.counts.frames_accepted[1]
    assert struck.counts.frames_rejected_duplicate[1] in (num_accepted, num_accepted - 1)


@pytest.mark.parametrize("span_s", [(1.0, 5.0), (1.0, 12.0), (5.0, 6.5), (6.5, 12.0)])
def test_replayed_frames_are_dropped_before_during_and_after_a_blackout(span_s):
    blackout = fault_of("blackout", duration_s=1.5)
    replay = RadioFault("replay", 1, span_s[0], span_s[1] - span_s[0])

    plain, struck = Run(blackout), Run(blackout, replay)

    np.testing.assert_array_equal(struck.heard, plain.heard)
    # one beside each frame, from the 20th on
    expected = 10.0 * (span_s[1] - max(span_s[0], 2.0))
    assert struck.counts.frames_rejected_old[1] == pytest.approx(expected, abs=1.0)


def test_frames_that_an_attacker_held_back_do_not_lock_the_sender_out():
    # After 2.5 s of black-out what is replayed is newer than what is held; the true frames are
    # then 25 ahead of it.
    struck = Run(fault_of("blackout", duration_s=3.0), RadioFault("replay", 1, 0.0, 9.0, 25.0))

    assert struck.age_s[struck.at(9.7) :].max() < 0.12


def test_a_forged_acceleration_is_believed_while_it_is_claimed():
    struck = Run(
        RadioFault("forged", 1, 3.0, 1.0, value=-8.0), RadioFault("forged", 1, 6.0, 1.0, value=4.0)
    )

    held = struck.heard[:, 1, SENSED_ACCELERATION]
    spans = [(2.0, 3.0), (3.15, 4.0), (4.15, 6.0), (6.15, 7.0), (7.15, 12.0)]
    claimed = [set(held[struck.at(begin_s) : struck.at(end_s)]) for begin_s, end_s in spans]
    assert claimed == [{-1.0}, {-8.0}, {-1.0}, {4.0}, {-1.0}]
    assert struck.heard[struck.at(4.5), 1, HEARD_LOWEST_ACCELERATION] == -8.0


def test_a_forged_position_beyond_the_gate_is_dropped_and_counted():
    struck = Run(RadioFault("forged_position", 1, 5.0, 2.0))

    assert abs(struck.counts.frames_rejected_implausible[1] - 20) <= 1
    assert set(struck.error_m()[2:].round(6)) == {0.0}


def test_a_forged_position_within_the_gate_is_believed():
    struck = Run(RadioFault("forged_position", 1, 5.0, 2.0, value=10.0))

    assert struck.error_m()[struck.at(6.0)] == pytest.approx(10.0)
    assert struck.counts.frames_rejected_implausible.tolist() == [0, 0, 0]


def test_five_forged_positions_in_a_row_are_believed_while_the_car_itself_is_not_heard():
    struck = Run(RadioFault("forged_position", 1, 5.0, 2.0), fault_of("blackout"))

    assert struck.error_m()[struck.at(5.4)] == pytest.approx(0.0)
    assert struck.error_m()[struck.at(6.0)] == pytest.approx(200.0)


@pytest.mark.parametrize("kind", ["duplicate", "replay", "forged", "forged_position"])
def test_the_event_queue_has_room_for_every_attack_at_the_longest_latency(kind):
    # 1000 ms + 0.5 ms/m * 1000 m: 1.5 s, and up to 0.3 s of jitter
    parameters = dataclasses.replace(
        constant_loss(0.0, 1.0),
        latency=LatencyParameters(1000.0, 0.5, 100.0),
        packet_loss=NO_LOSS,
    )
    radio = RadioEmulator(parameters)
    cars = cars_in_line(9)
    cars[1:, CAR_X] = 999.0
    faults = [RadioFault(kind, value=FAULT_KINDS[kind].high)] * 4
    radio.reset(radio_key=1, cars=cars, time_s=0.0, faults=faults)
    lengths = []

    for time_s in 0.02 * np.arange(1, 400):
        radio.advance(time_s, cars)
        lengths.append(radio._arrays.queue_codes[0])

    assert max(lengths) > 8 * 15
    assert max(lengths) + 8 < len(radio._arrays.queue_codes)


# --- The receiver, frame by frame ----------------------------------------------------------------


def is_taken_in(number, clock_s, silence_s, held_number=1000):
    """Whether a receiver takes a frame in that holds one with clock 500 s."""
    link, frame = np.zeros(NUM_LINK_FIELDS), np.zeros(NUM_FRAME_FIELDS)
    frame[FRAME_SEQUENCE], frame[FRAME_CLOCK] = held_number, 500.0
    receive_frame(link, frame, 10.0, 2.0)
    frame[FRAME_SEQUENCE], frame[FRAME_CLOCK] = number, clock_s
    return receive_frame(link, frame, 10.0 + silence_s, 2.0)


@pytest.mark.parametrize(
    ("case", "number", "clock_s", "silence_s", "expected"),
    [
        ("next", 1001, 500.1, 0.1, True),
        ("the longest delay apart", 1021, 500.1, 0.1, True),
        ("more frames than there was time for", 1022, 500.0, 0.1, False),
        ("as many as its clock had the time for", 1100, 510.0, 0.1, True),
        ("clock set back", 1001, 440.0, 0.1, True),
        ("clock set forward", 1001, 560.0, 0.1, True),
        ("numbers reset", 0, 500.1, 0.1, True),
        ("replayed from before a reset", 1015, 498.5, 0.0, True),  # nothing tells it apart
        ("replayed from long before a reset", 1030, 498.5, 0.0, False),
        ("replayed", 980, 498.0, 0.0, False),
        ("replayed after the clock was set back by 3 s", 980, 501.0, 0.0, False),
        ("the last number of the window", 968, 500.1, 0.1, False),
        ("the first beyond it", 967, 500.1, 0.1, True),
        ("reboot", 0, 0.3, 0.5, True),
        ("running for longer than the silence allows", 0, 3.0, 0.5, False),
    ],
)
def test_the_receiver_takes_a_frame_in(case, number, clock_s, silence_s, expected):
    assert is_taken_in(number, clock_s, silence_s) is expected, case


# --- Whatever comes ------------------------------------------------------------------------------


def faults_without_reboot():
    """Up to four faults of car 1 within 12 s, of which at most one restarts numbers or clock."""
    restarts = ["sequence_reset", "clock_jump"]
    kinds = [kind for kind in WITH_START if kind not in ("reboot", *restarts)]

    def one(kind):
        entry = FAULT_KINDS[kind]
        values = st.none()
        if entry.unit:
            low, high = max(entry.low, -60.0), min(entry.high, 60.0)
            values = st.floats(low, high)
            if entry.is_whole:
                values = st.integers(int(low), int(high)).map(float)
        return st.builds(fault_of, st.just(kind), start_s=st.floats(0.0, 8.0),
                         duration_s=st.floats(0.0, 4.0), value=values)  # fmt: skip

    others = st.lists(st.sampled_from(kinds).flatmap(one), max_size=3)
    restart = st.lists(st.sampled_from(restarts).flatmap(one), max_size=1)
    return st.builds(lambda first, second: [*first, *second], others, restart)


@settings(max_examples=150, deadline=None)
@given(faults=faults_without_reboot())
def test_the_state_held_never_goes_back_in_time_and_the_car_is_heard_again(faults):
    struck = Run(*faults, parameters=LOSSY, until_s=20.0)

    measured_s = struck.links[:, 0, 1, FRAME_GENERATED_AT]
    assert np.diff(measured_s).min() >= 0.0
    assert struck.age_s[-20:].min() < 0.2


# --- Asking for them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blackout", RadioFault("blackout")),
        ("burst:value=5", RadioFault("burst", value=5.0)),
        ("blackout:car=source,start_s=onset,duration_s=2",
         RadioFault("blackout", "source", "onset", 2.0)),
        ("gps_jump:car=0,start_s=onset-0.5,value=-40",
         RadioFault("gps_jump", 0, "onset-0.5", value=-40.0)),
        ("unequipped:car=2", RadioFault("unequipped", 2)),
    ],
)  # fmt: skip
def test_a_text_describes_a_fault(text, expected):
    assert fault_from_text(text) == expected


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_fault_is_read_back_from_its_own_text_and_travels_to_other_processes(kind):
    fault = dataclasses.replace(fault_of(kind), value=FAULT_KINDS[kind].default or None)

    assert fault_from_text(str(fault)).strength == fault.strength
    assert str(fault_from_text(str(fault))) == str(fault)
    assert pickle.loads(pickle.dumps(fault)) == fault  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blckout", "kind of a radio fault must be a known one. Got 'blckout'. "
                    "Did you mean 'blackout'?"),
        ("", "Known: blackout"),
        ("burst:vlaue=3", "key of a radio fault must be a known one. Got 'vlaue'. "
                          "Did you mean 'value'?"),
        ("burst:kind=replay", "each key once"),
        ("burst:value", "must be KIND[:key=value,...]"),
        ("burst:value=", "must be KIND[:key=value,...]"),
        ("burst:value=1,value=2", "each key once"),
        ("burst:value=2.5", "value of the radio fault burst must be a whole number. Got 2.5."),
        ("burst:value=0", "must be a number in [1, 1000]. Got 0.0."),
        ("burst:value=nan", "must be a number in [1, 1000]. Got nan."),
        ("burst:value=many", "must be a number in [1, 1000]. Got 'many'."),
        ("blackout:value=1", "value of the radio fault blackout must be left out"),
        ("blackout:car=0", "car of the radio fault blackout must be 'all', 'source' or a rank in "
                           "[1, 1023]. Got 0."),
        ("blackout:car=1.5", "Got '1.5'."),
        ("blackout:car=everyone", "Got 'everyone'."),
        ("blackout:car=1024", "Got 1024."),
        ("blackout:start_s=onest", "or from onset, as onset+0.5. Got 'onest'."),
        ("blackout:start_s=onset+", "or from onset, as onset+0.5. Got 'onset+'."),
        ("blackout:start_s=inf", "start_s of the radio fault blackout must be a number"),
        ("blackout:duration_s=-1", "duration_s of the radio fault blackout must be a number"),
        ("clock_jump:duration_s=1", "duration_s of the radio fault clock_jump must be left out"),
        ("unequipped:start_s=3", "start_s of the radio fault unequipped must be left out"),
        ("x" * 300, "must have at most 200 letters"),
    ],
)  # fmt: skip
def test_a_fault_that_makes_no_sense_is_refused(text, said):
    with pytest.raises(ConfigError) as caught:
        fault_from_text(text)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ("blackout", "must be a list"),
        (None, "must be a list"),
        ([3], "must be a dict or a text. Got 3."),
        ([{"car": 1}], "kind of a radio fault must be given"),
        ([{"kind": "burst", "at": 1}], "Got 'at'."),
        ([{"kind": ["burst"]}], "must be a known one"),
        ([{"kind": "burst", "car": [1]}], "Got [1]."),
        ([{"kind": "burst", "start_s": None}], "Got None."),
        ([{"kind": "burst", "value": True}], "Got True."),
        (["blackout"] * 65, "must be at most 64. Got 65."),
        (["replay"] * 3 + ["forged:car=2"] * 2, "at most 4 of duplicate, replay, forged and "
                                                "forged_position. Got 5."),
    ],
)  # fmt: skip
def test_a_list_of_faults_that_makes_no_sense_is_refused(faults, said):
    with pytest.raises(ConfigError) as caught:
        checked_faults(faults)

    assert said in str(caught.value)


def test_faults_are_placed_at_the_onset_and_on_the_braking_car():
    faults = checked_faults(["blackout:start_s=onset-0.5", "burst:car=source,start_s=3",
                             "replay:car=2,start_s=1"])  # fmt: skip

    placed = placed_faults(faults, 12.5, 4)

    assert [(fault.start_s, fault.car) for fault in placed] == [(12.0, "all"), (3.0, 4), (1.0, 2)]


def test_without_a_hazard_only_faults_that_do_not_depend_on_it_happen():
    faults = checked_faults(["blackout:start_s=onset", "burst:car=source", "replay:car=2"])

    assert placed_faults(faults, math.inf, 0) == [RadioFault("replay", 2)]


@pytest.mark.parametrize("text", ["blackout:start_s=onset", "blackout:car=source"])
def test_the_emulator_alone_knows_no_hazard(text):
    with pytest.raises(ConfigError, match="must be numbers without a hazard"):
        Run(fault_from_text(text))
