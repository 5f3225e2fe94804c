"""The shared medium: time on the air, who waits for whom, and which frames collide.

Airtime of a payload of n bytes: 192 us + 8 MPDU / rate, MPDU = 36 + 7 ceil(n / 250) + n bytes
(IEEE 802.11-2020, long preamble; ESP-NOW frame format); 250 bytes at 1 Mbit/s: 192 + 8 * 293 =
2536 us. A frame that finds the medium idle for DIFS (50 us) begins at once; otherwise it draws 0 to
31 slots of 20 us, counted from DIFS after the medium was busy and only while it is idle.
"""

from __future__ import annotations

import collections

import numpy as np
import pytest

from ml.errors import ConfigError
from ml.espnow_emulator import RadioEmulator
from ml.espnow_emulator.airtime import airtime_us, offered_load
from ml.espnow_emulator.radio_layout import (
    LINK_NUM_DELIVERED,
    LINK_NUM_DELIVERED_RELAYED,
    STATION_ACCESS_DELAY,
    STATION_IS_WAITING,
    STATION_NUM_COLLIDED,
    STATION_NUM_ON_AIR,
    STATION_NUM_REPLACED,
    STATION_SENDS_UNTIL,
    VALUE_AIRTIME,
)
from ml.tests.physical_worlds import (
    cars_at,
    key_that_draws,
    physical_mode,
    ring_of_cars,
    slots_drawn,
    stations_after,
)
from ml.tests.radio_worlds import kernel_values

AIRTIME_MS = 2.536  # 250 bytes at 1 Mbit/s


# --- Time on the air ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("payload_bytes", "rate_mbps", "expected_us"),
    [
        (60, 1.0, 1016.0),
        (90, 1.0, 1256.0),
        (128, 1.0, 1560.0),
        (250, 1.0, 2536.0),
        (250, 2.0, 1364.0),
        (250, 11.0, 406.0),
        (250, 0.5, 4688.0),
        (250, 0.25, 9376.0),
        (251, 1.0, 2600.0),  # a second element: MPDU 36 + 14 + 251 = 301
        (1470, 1.0, 12_576.0),  # MPDU 36 + 42 + 1470 = 1548
    ],
)
def test_airtime_is_that_of_the_published_table(payload_bytes, rate_mbps, expected_us):
    values = kernel_values(physical_mode(payload_bytes=payload_bytes, rate_mbps=rate_mbps))

    assert airtime_us(payload_bytes, rate_mbps) == expected_us
    assert values[VALUE_AIRTIME] == pytest.approx(1e-6 * expected_us, rel=1e-14)


def test_the_long_range_preamble_counts_with_the_long_range_rates_alone():
    assert airtime_us(250, 0.5, long_range_preamble_us=600.0) == 5288.0
    assert airtime_us(250, 1.0, long_range_preamble_us=600.0) == 2536.0


@pytest.mark.parametrize(
    ("num_senders", "load"),
    [(3, 0.0761), (6, 0.152), (10, 0.254), (20, 0.507), (25, 0.634), (30, 0.761)],
)
def test_offered_load_is_that_of_the_published_table(num_senders, load):
    assert offered_load(num_senders, airtime_us(250)) == pytest.approx(load, abs=0.0005)


@pytest.mark.parametrize(
    ("payload_bytes", "rate_mbps", "said"),
    [
        (1471, 1.0, r"payload_bytes must be in \[0, 1470\]\. Got 1471"),
        (-1, 1.0, r"payload_bytes must be in \[0, 1470\]\. Got -1"),
        (90, 6.0, r"rate_mbps must be one of 0\.25, 0\.5, 1, 2, 5\.5, 11\. Got 6"),
    ],
)
def test_a_frame_that_does_not_exist_has_no_airtime(payload_bytes, rate_mbps, said):
    with pytest.raises(ConfigError, match=said):
        airtime_us(payload_bytes, rate_mbps)


# --- Access, by hand ---------------------------------------------------------------------------
def ends_ms(stations):
    """When each station's latest transmission left the air [ms]."""
    return (1000.0 * stations[:, STATION_SENDS_UNTIL]).tolist()


def test_one_sender_never_waits():
    emulator = RadioEmulator(physical_mode(payload_bytes=250))
    cars = cars_at((0.0, 0.0))
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(100.0, cars)

    ego = emulator._arrays.stations[0]
    assert ego[STATION_NUM_ON_AIR] >= 999
    assert ego[STATION_ACCESS_DELAY] == 0.0
    assert ego[STATION_NUM_COLLIDED] == 0.0


def test_a_frame_that_finds_the_medium_busy_counts_its_slots_from_difs_after_the_end():
    radio_key = key_that_draws(10)

    stations = stations_after(radio_key, [(0, 1.0), (1, 2.0)])

    # first: 1 + 2.536; second: 3.536 + .05 + 10 * .02 = 3.786, and 2.536 on the air
    assert ends_ms(stations) == pytest.approx([3.536, 6.322], abs=1e-9)
    assert stations[1, STATION_ACCESS_DELAY] == pytest.approx(1.786e-3, abs=1e-12)
    assert stations[0, STATION_ACCESS_DELAY] == 0.0


@pytest.mark.parametrize(
    ("offered_ms", "end_ms"),
    [
        # The medium is busy until 3.536; DIFS is over at 3.586.
        (3.540, 6.322),  # within DIFS: 3.586 + 10 * .02, and 2.536
        (3.585, 6.322),
        (3.587, 6.123),  # idle for DIFS: at once
        (9.000, 11.536),
    ],
)
def test_a_frame_waits_if_the_medium_has_not_been_idle_for_difs(offered_ms, end_ms):
    stations = stations_after(key_that_draws(10), [(0, 1.0), (1, offered_ms)])

    assert ends_ms(stations)[1] == pytest.approx(end_ms, abs=1e-9)


def test_a_countdown_holds_while_another_station_sends():
    stations = stations_after(key_that_draws(10, 3), [(0, 0.0), (1, 0.5), (2, 1.0)])

    # 0 ends at 2.536. 2 begins at 2.586 + 3 * .02 = 2.646 and ends at 5.182. 1 has 7 of its 10
    # slots left: begins at 5.182 + .05 + .14 = 5.372.
    assert ends_ms(stations) == pytest.approx([2.536, 7.908, 5.182], abs=1e-9)


def test_only_whole_slots_are_taken_off_a_countdown():
    stations = stations_after(key_that_draws(10), [(0, 0.0), (1, 0.5), (2, 2.636)])

    # 2 finds the medium idle for 100 us and begins at once, 2.5 slots into the countdown of 1; it
    # ends at 5.172. 1 has 8 slots left: begins at 5.172 + .05 + .16 = 5.382.
    assert ends_ms(stations) == pytest.approx([2.536, 7.918, 5.172], abs=1e-9)


def test_a_frame_that_comes_within_the_first_slot_takes_none_off_a_countdown():
    stations = stations_after(key_that_draws(10), [(0, 0.0), (1, 0.5), (2, 2.600)])

    # 14 us into the countdown; 2 ends at 5.136, 1 begins at 5.136 + .05 + .2
    assert ends_ms(stations)[1] == pytest.approx(5.386 + AIRTIME_MS, abs=1e-9)


def test_equal_countdowns_collide_and_nobody_repeats():
    stations = stations_after(key_that_draws(4, 4), [(0, 0.0), (1, 0.5), (2, 1.0)])

    # Both begin at 2.536 + .05 + .08 = 2.666.
    assert ends_ms(stations) == pytest.approx([2.536, 5.202, 5.202], abs=1e-9)
    assert stations[:, STATION_NUM_COLLIDED].tolist() == [0.0, 1.0, 1.0]
    assert stations[:, STATION_NUM_ON_AIR].tolist() == [1.0, 1.0, 1.0]


def test_slots_are_drawn_evenly_from_none_to_thirty_one():
    slots = [slots_drawn(radio_key, 1) for radio_key in range(32_000)]

    counts = np.bincount(slots, minlength=32)
    assert counts.size == 32
    assert counts.min() > 1000 - 5 * 31.1  # sqrt(32000 / 32 * 31 / 32) is one standard deviation
    assert counts.max() < 1000 + 5 * 31.1


def test_a_board_has_room_for_one_frame_and_the_next_takes_its_place():
    offers_ms = [(0, 0.0), (1, 0.5), (1, 1.0), (1, 1.5)]

    stations = stations_after(key_that_draws(10), offers_ms)

    assert stations[1, STATION_NUM_REPLACED] == 2.0
    assert stations[1, STATION_NUM_ON_AIR] == 1.0
    # The frame that leaves was handed over at 1.5 and begins at 2.536 + .05 + .2.
    assert stations[1, STATION_ACCESS_DELAY] == pytest.approx(1.286e-3, abs=1e-12)


# --- Collisions, in the mean -------------------------------------------------------------------
def share_collided(num_senders, num_draws, num_periods, **changes):
    """Collided frames of the ego and background senders, over draws of their phases."""
    parameters = physical_mode(payload_bytes=250, background_senders=num_senders - 1, **changes)
    emulator = RadioEmulator(parameters)
    cars = cars_at((0.0, 0.0))
    num_collided, num_on_air = 0.0, 0.0
    for radio_key in range(num_draws):
        emulator.reset(radio_key=radio_key, cars=cars, time_s=0.0)
        emulator.advance(0.1 * num_periods, cars)
        num_collided += emulator._arrays.stations[:, STATION_NUM_COLLIDED].sum()
        num_on_air += emulator._arrays.stations[:, STATION_NUM_ON_AIR].sum()
    assert num_on_air == pytest.approx(num_senders * num_draws * num_periods, rel=0.01)
    return num_collided / num_on_air


@pytest.mark.parametrize(("num_senders", "share"), [(20, 0.0130), (25, 0.0260), (30, 0.0488)])
def test_frames_with_phases_of_their_own_collide_as_often_as_published(num_senders, share):
    # One draw of the phases has a standard deviation of 1.3 to 2.5 points: 1000 draws leave .08.
    measured = share_collided(num_senders, num_draws=1000, num_periods=50)

    assert measured == pytest.approx(share, rel=0.2)


@pytest.mark.parametrize(("num_senders", "share"), [(3, 0.00003), (6, 0.00047), (10, 0.00189)])
def test_a_few_senders_with_phases_of_their_own_hardly_collide(num_senders, share):
    measured = share_collided(num_senders, num_draws=1000, num_periods=50)

    # At most 1000 draws of rare pairs of phases: the published share within a factor of 2, or 3
    # frames in 100,000.
    assert 0.5 * share - 3e-5 < measured < 2.0 * share + 3e-5


@pytest.mark.parametrize(
    ("num_senders", "share", "tolerance"),
    [(3, 0.0208, 0.07), (6, 0.0994, 0.02), (10, 0.2019, 0.02)],
)
def test_frames_on_the_same_tick_collide_as_in_the_closed_form(num_senders, share, tolerance):
    # (N - 1) / N (1 - (31/32)^(N - 2)): the first is alone, the others draw one of 32 slots.
    measured = share_collided(num_senders, num_draws=100, num_periods=1000, aligned_phases=True)

    # 100,000 ticks; of three senders 1 in 32 has a collision: sqrt(31 / 1e5) = 1.8 % of error.
    assert measured == pytest.approx(share, rel=tolerance)


@pytest.mark.parametrize("num_senders", [3, 6, 10])
def test_on_the_same_tick_those_collide_that_draw_the_same_slots(num_senders):
    emulator = RadioEmulator(
        physical_mode(payload_bytes=250, background_senders=num_senders - 1, aligned_phases=True)
    )
    cars = cars_at((0.0, 0.0))
    expected = 0
    emulator.reset(radio_key=4, cars=cars, time_s=0.0)
    for period in range(500):
        # The ego, whose tick comes first, finds the medium idle. The others draw.
        drawn = [slots_drawn(4, sender, period) for sender in range(num_senders - 1)]
        expected += sum(number for number in collections.Counter(drawn).values() if number > 1)

    emulator.advance(50.0, cars)

    stations = emulator._arrays.stations
    assert stations[:, STATION_NUM_COLLIDED].sum() == expected
    assert stations[0, STATION_NUM_COLLIDED] == 0.0


def test_with_all_cars_on_one_tick_the_ego_misses_what_collides():
    emulator = RadioEmulator(physical_mode(payload_bytes=250, aligned_phases=True))
    cars = ring_of_cars(9, 30.0)
    emulator.reset(radio_key=1, cars=cars, time_s=0.0)

    emulator.advance(3000.0, cars)

    # Ten senders, of which the ego is never among the collided: 10 / 9 of 20.19 % of the peers'
    # frames. A frame also is lost if it ends with the ego's own on the air, which never happens.
    counts = emulator.statistics()
    lost = 1.0 - counts.frames_delivered[1:].sum() / counts.frames_sent[1:].sum()
    assert lost == pytest.approx(0.2019 * 10.0 / 9.0, rel=0.02)
    assert counts.frames_collided[1:].sum() == pytest.approx(
        lost * counts.frames_sent[1:].sum(), abs=9
    )


# --- Hidden and exposed stations ---------------------------------------------------------------
def delivered_on_one_tick(carrier_sense_range_m, places_m, max_relay_hops=0):
    """Frames delivered by (receiver, sender) in 20 s, all handed over at the same instant."""
    parameters = physical_mode(
        carrier_sense_range_m=carrier_sense_range_m,
        aligned_phases=True,
        max_relay_hops=max_relay_hops,
    )
    emulator = RadioEmulator(parameters)
    cars = cars_at(*places_m)
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)
    emulator.advance(20.0, cars)
    links = emulator._arrays.links
    direct = links[:, :, LINK_NUM_DELIVERED] - links[:, :, LINK_NUM_DELIVERED_RELAYED]
    return direct, emulator.statistics()


def test_hidden_stations_collide_at_the_ego_between_them():
    hidden, counts = delivered_on_one_tick(1000.0, [(0.0, 0.0), (800.0, 0.0), (-800.0, 0.0)])
    seen, _ = delivered_on_one_tick(1700.0, [(0.0, 0.0), (800.0, 0.0), (-800.0, 0.0)])

    # Both hold back for the ego. They begin at most 31 slots = .62 ms apart, frames take 1.256.
    assert hidden[0].tolist() == [0.0, 0.0, 0.0]
    assert counts.frames_collided.tolist() == [0, 200, 200]
    assert seen[0, 1:].min() > 0.9 * 200  # but for equal countdowns, 1 in 32


def test_a_receiver_out_of_range_of_one_of_two_senders_hears_the_other():
    places_m = [(0.0, 0.0), (800.0, 0.0), (-800.0, 0.0), (850.0, 0.0)]

    links, _ = delivered_on_one_tick(1000.0, places_m, max_relay_hops=1)

    # Car 3 senses car 1 and not car 2; car 1 and car 3 sense each other and take turns.
    assert links[3, 1] > 0.9 * 200
    assert links[1, 3] > 0.9 * 200
    assert links[0, 2] == 0.0


def test_stations_that_do_not_sense_each_other_send_at_once():
    emulator = RadioEmulator(physical_mode(aligned_phases=True, carrier_sense_range_m=100.0))
    cars = cars_at((0.0, 0.0), (200.0, 0.0), (400.0, 0.0))
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    emulator.advance(20.0, cars)

    stations = emulator._arrays.stations[:3]
    assert stations[:, STATION_ACCESS_DELAY].tolist() == [0.0, 0.0, 0.0]
    assert stations[:, STATION_NUM_COLLIDED].tolist() == [0.0, 0.0, 0.0]
    assert stations[:, STATION_NUM_ON_AIR].tolist() == [200.0, 200.0, 200.0]


def test_a_background_sender_and_every_car_sense_each_other_at_any_distance():
    parameters = physical_mode(
        aligned_phases=True, carrier_sense_range_m=100.0, background_senders=1
    )
    emulator = RadioEmulator(parameters)
    cars = cars_at((0.0, 0.0), (2000.0, 0.0), (4000.0, 0.0))
    emulator.reset(radio_key=3, cars=cars, time_s=0.0)

    emulator.advance(20.0, cars)

    # The cars do not sense each other and begin at once; the background sender waits for all.
    stations = emulator._arrays.stations[:4]
    assert stations[:3, STATION_ACCESS_DELAY].tolist() == [0.0, 0.0, 0.0]
    assert stations[3, STATION_ACCESS_DELAY] >= 200.0 * (1.256e-3 + 0.05e-3)
    assert stations[:, STATION_NUM_COLLIDED].tolist() == [0.0] * 4
    assert stations[:, STATION_NUM_ON_AIR].tolist() == [200.0] * 4


# --- Overload ----------------------------------------------------------------------------------
def test_an_overloaded_channel_replaces_frames_and_carries_no_more_than_its_time():
    parameters = physical_mode(payload_bytes=250, rate_mbps=0.25, background_senders=30)
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(5, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(200.0, cars)

    stations, counts = emulator._arrays.stations[:36], emulator.statistics()
    on_air = stations[:, STATION_NUM_ON_AIR]
    waiting = stations[1:6, STATION_IS_WAITING]
    # 36 senders of 10 Hz with 9.376 ms ask for 3.4 times the channel's time. What is alone on the
    # air takes 9.376 ms and DIFS of it; of those that collide, two or more share one such time.
    num_alone = on_air.sum() - stations[:, STATION_NUM_COLLIDED].sum()
    assert num_alone * 9.426e-3 <= 200.0
    assert on_air.sum() * 9.426e-3 > 180.0
    assert np.all(counts.frames_replaced[1:] > 0)
    np.testing.assert_array_equal(
        counts.frames_sent[1:], on_air[1:6] + counts.frames_replaced[1:] + waiting
    )
    assert emulator._arrays.queue_codes[0] < emulator._arrays.queue_codes.size


def test_a_replaced_frame_is_a_gap_in_the_numbers():
    parameters = physical_mode(payload_bytes=250, rate_mbps=0.25, background_senders=30)
    emulator = RadioEmulator(parameters)
    cars = ring_of_cars(1, 20.0)
    emulator.reset(radio_key=6, cars=cars, time_s=0.0)

    emulator.advance(100.0, cars)

    counts = emulator.statistics()
    missing = counts.frames_sent[1] - counts.frames_delivered[1]
    lost = counts.frames_replaced[1] + counts.frames_collided[1]
    assert missing - lost in (0, 1)  # one may wait, or be on the air
    assert counts.frames_rejected_old[1] == 0
