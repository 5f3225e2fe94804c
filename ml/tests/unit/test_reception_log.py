"""The reader of reception logs, and what sequence numbers and clocks make of the frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import RadioParameterError
from ml.espnow_emulator import reception_log
from ml.espnow_emulator.link_sessions import (
    Session,
    collect_links,
    frame_outcomes,
    gap_lengths,
    split_for_holdout,
    split_into_sessions,
)
from ml.espnow_emulator.reception_log import LinkRows, read_reception_log

HEADER = "receive_time_ms,sender,sequence,sender_time_ms"
LINES = [HEADER, "1000.5,A,7,100", "1100,A,8,200"]


def written(tmp_path, lines, name="log.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(sequence, sender_time_ms=None, distance_m=None):
    """A link's rows, each sent at 100 ms times its sequence number unless said otherwise."""
    sequence = np.array(sequence, dtype=np.int64)
    times_ms = 100.0 * sequence if sender_time_ms is None else np.array(sender_time_ms, dtype=float)
    return LinkRows(
        sender="A",
        receiver="ego",
        line=np.arange(len(sequence)) + 2,
        receive_time_ms=np.arange(len(sequence), dtype=float),
        sequence=sequence % 65_536,
        sender_time_ms=times_ms,
        distance_m=None if distance_m is None else np.array(distance_m, dtype=float),
    )


def record_of(*arguments, **options):
    return split_into_sessions(rows(*arguments, **options), source="log.csv")


def unwrapped(record):
    return [session.sequence.tolist() for session in record.sessions]


# --- Reading -------------------------------------------------------------------------------------


def test_a_log_is_read_by_its_header(tmp_path):
    lines = ["sequence, sender,distance_m,sender_time_ms,receive_time_ms", " 7 ,A,12.5,1e2,1000.5"]

    (link,) = read_reception_log(written(tmp_path, lines)).links

    assert (link.sender, link.receiver, link.sequence.tolist()) == ("A", "ego", [7])
    assert [link.distance_m[0], link.sender_time_ms[0], link.receive_time_ms[0]] == [
        12.5,
        100.0,
        1000.5,
    ]


def test_every_directed_link_has_its_own_rows(tmp_path):
    lines = [f"{HEADER},receiver", "1,A,1,1,B", "5,B,1,1,A", "2,A,2,101,B", "3,A,1,1,C"]

    log = read_reception_log(written(tmp_path, lines))

    assert [(link.sender, link.receiver, len(link.line)) for link in log.links] == [
        ("A", "B", 2),
        ("B", "A", 1),
        ("A", "C", 1),
    ]
    assert log.links[0].line.tolist() == [2, 4]


def test_byte_order_mark_windows_lines_quotes_and_blank_lines_are_accepted(tmp_path):
    path = tmp_path / "log.csv"
    blank = b"\r\n\r\n  \r\n,,,\r\n"  # spreadsheets leave the last kind
    path.write_bytes(b"\xef\xbb\xbf" + HEADER.title().encode() + blank + b'1,"A",7,100\r\n' + blank)

    (link,) = read_reception_log(path).links

    assert link.sequence.tolist() == [7]


BAD_LOGS = [  # lines, words of the message
    ([], ["log.csv", "empty file", HEADER]),
    (["", ""], ["empty file"]),
    ([HEADER], ["header alone", "100 %"]),
    (["receive_time_ms,sender,sequence"], ["column sender_time_ms", "line 1"]),
    ([HEADER + ",rssi"], ["'rssi'", "line 1"]),
    ([HEADER + ",distance"], ["'distance'", "Did you mean 'distance_m'?"]),
    ([HEADER + ",sender"], ["column sender", "once"]),
    ([HEADER.replace(",", ";")], ["separated by commas"]),
    ([*LINES, "1,A,7"], ["line 4", "4 cells", "Got 3"]),
    ([*LINES, "1,A,7,1,1"], ["line 4", "4 cells", "Got 5"]),
    ([*LINES, "x,A,9,300"], ["receive_time_ms", "line 4", "a number", "'x'"]),
    ([*LINES, "-1,A,9,300"], ["receive_time_ms", "line 4", "'-1'"]),
    ([*LINES, "nan,A,9,300"], ["receive_time_ms", "'nan'"]),
    ([*LINES, "1200,A,9,inf"], ["sender_time_ms", "'inf'"]),
    ([*LINES, "1200,A,9,1e999"], ["sender_time_ms", "'1e999'"]),
    ([*LINES, "1_200,A,9,300"], ["receive_time_ms", "'1_200'"]),
    ([*LINES, "١٢٠٠,A,9,300"], ["receive_time_ms", "line 4"]),
    ([*LINES, "1200,A,9,"], ["sender_time_ms", "''"]),
    ([*LINES, "1200,A,9.5,300"], ["sequence", "a whole number", "'9.5'"]),
    ([*LINES, "1200,A,65536,300"], ["sequence", "[0, 65535]", "16 bits"]),
    ([*LINES, f"1200,A,{'9' * 5000},300"], ["sequence", "line 4"]),
    ([*LINES, "1200,,9,300"], ["sender", "line 4", "printable"]),
    ([*LINES, f"1200,{'A' * 65},9,300"], ["sender", "line 4", "64"]),
    ([*LINES, "1200,ego,9,300"], ["sender", "line 4", "another board"]),
    ([*LINES, "1099,A,9,300"], ["receive_time_ms", "line 4", "1100", "order of reception"]),
    ([HEADER, "9000,A,7,1", "7000,A,8,2"], ["receive_time_ms", "line 3", "more than 2000"]),
    ([HEADER + ",distance_m", "1,A,7,1,-3"], ["distance_m", "line 2", "'-3'"]),
    ([*LINES, '1200,"A,9,300'], ["line 4", "CSV"]),
    ([*LINES, f"1200,{'A' * 200_000},9,300"], ["line 4", "CSV"]),
]


@pytest.mark.parametrize(("lines", "words"), BAD_LOGS)
def test_a_bad_log_is_refused_in_one_line(tmp_path, lines, words):
    path = written(tmp_path, lines) if lines else tmp_path / "log.csv"
    path.touch()

    with pytest.raises(RadioParameterError) as caught:
        read_reception_log(path)

    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert "log.csv" in message


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER.encode() + b"\n1,A,1,1\n2,\xff,2,101\n")

    with pytest.raises(RadioParameterError, match=r"log\.csv line 3 must be UTF-8.*0xff"):
        read_reception_log(path)


def test_a_huge_log_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "log.csv"
    with path.open("wb") as stream:
        stream.truncate(reception_log.LARGEST_FILE_BYTES + 1)

    with pytest.raises(RadioParameterError, match="at most 64 MiB"):
        read_reception_log(path)


@pytest.mark.parametrize("name", ["", "missing.csv"])
def test_a_log_that_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(RadioParameterError, match=r"must be a (regular file|readable)"):
        read_reception_log(tmp_path / name)


def test_an_echo_before_its_frame_is_refused_only_for_round_trips(tmp_path):
    path = written(tmp_path, [HEADER, "1000,A,1,900", "1100,A,2,1101"])
    read_reception_log(path)

    with pytest.raises(RadioParameterError, match=r"sender_time_ms in .*line 3.*--two_way"):
        read_reception_log(path, is_two_way=True)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random.csv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    try:
        links = read_reception_log(path).links
    except RadioParameterError as error:
        assert "\n" not in str(error)
    else:
        assert links


# --- Sessions ------------------------------------------------------------------------------------


def test_sequence_numbers_are_unwrapped():
    record = record_of([65_533, 65_535, 65_536, 65_538])

    assert unwrapped(record) == [[0, 2, 3, 5]]
    assert (record.num_sent, record.num_received) == (6, 4)


def test_a_silence_is_a_loss_up_to_half_a_turn_of_the_numbers():
    # 16 bits turn once in 65,536 frames; the first silence is of 32,768 steps.
    record = record_of([0, 1, 32_769, 65_538, 65_539])

    assert unwrapped(record) == [[0, 1, 32_769], [0, 1]]
    assert record.num_jumps == 1


def test_duplicates_are_dropped_and_counted():
    record = record_of([5, 6, 6, 7, 5])

    assert unwrapped(record) == [[0, 1, 2]]
    assert (record.num_duplicates, record.num_reordered) == (2, 0)
    assert record.sessions[0].receive_time_ms.tolist() == [0.0, 1.0, 3.0]


def test_late_frames_take_their_place_and_are_counted():
    record = record_of([5, 8, 7, 9, 4])

    assert unwrapped(record) == [[0, 1, 3, 4, 5]]
    assert (record.num_duplicates, record.num_reordered) == (0, 2)


def test_a_sender_that_restarts_begins_a_new_session():
    # It had sent for 500 s, and counts and keeps time from 0 again.
    record = record_of([5000, 5001, 0, 1, 3])

    assert unwrapped(record) == [[0, 1], [0, 1, 3]]
    assert (record.num_restarts, record.num_jumps) == (1, 0)


def test_a_sender_that_restarts_with_its_clock_kept_begins_a_new_session():
    times_ms = [0, 100, 200, 300, 400, 500]
    record = record_of([5000, 5001, 5002, 0, 1, 2], sender_time_ms=times_ms)

    assert unwrapped(record) == [[0, 1, 2], [0, 1, 2]]
    assert (record.num_restarts, record.num_jumps) == (0, 1)


def test_a_receiver_that_restarts_begins_a_new_session(tmp_path):
    lines = [HEADER, "90000,A,7,100", "90100,A,8,200", "150,A,50,4400", "250,A,51,4500"]

    (record,) = collect_links([read_reception_log(written(tmp_path, lines))])

    assert unwrapped(record) == [[0, 1], [0, 1]]
    assert (record.num_restarts, record.num_jumps) == (1, 0)


@pytest.mark.parametrize("offset_ms", [0, 4_294_967_296 - 250])
def test_clocks_of_32_bits_that_wrap_go_on(tmp_path, offset_ms):
    # Sent and received every 100 ms; from the third frame on a clock shows what is left of 2^32.
    times_ms = [(offset_ms + 100 * frame) % 4_294_967_296 for frame in range(5)]
    lines = [HEADER, *(f"{time},A,{frame},{time}" for frame, time in enumerate(times_ms))]

    (record,) = collect_links([read_reception_log(written(tmp_path, lines), is_two_way=True)])

    (only,) = record.sessions
    assert (record.num_restarts, record.num_jumps) == (0, 0)
    assert np.diff(only.receive_time_ms).tolist() == [100.0] * 4
    assert np.diff(only.sender_time_ms).tolist() == [100.0] * 4


def test_an_overtaken_frame_from_before_the_wrap_is_late_and_no_restart(tmp_path):
    lines = [HEADER, "1,A,1,4294967096", "2,A,3,0", "3,A,2,4294967196", "4,A,4,100"]

    (record,) = collect_links([read_reception_log(written(tmp_path, lines))])

    assert unwrapped(record) == [[0, 1, 2, 3]]
    assert (record.num_reordered, record.num_restarts) == (1, 0)


def test_times_since_1970_have_not_wrapped(tmp_path):
    # Two drives 40 days apart in one file, on a clock of more than 32 bits.
    lines = [HEADER, "1760000000000,A,7,100", "1763456000000,A,8,200"]

    (link,) = read_reception_log(written(tmp_path, lines)).links

    assert link.receive_time_ms.tolist() == [1_760_000_000_000.0, 1_763_456_000_000.0]


def test_a_pause_of_the_sender_is_no_loss():
    times_ms = [0, 100, 200, 60_300, 60_400]
    record = record_of([1, 2, 3, 4, 5], sender_time_ms=times_ms)

    assert unwrapped(record) == [[0, 1, 2], [0, 1]]
    assert record.num_jumps == 1


def test_a_stall_of_the_sender_is_no_break():
    # 850 ms, the longest that was seen.
    record = record_of([1, 2, 3, 4], sender_time_ms=[0, 100, 950, 1050])

    assert unwrapped(record) == [[0, 1, 2, 3]]


def test_a_sender_whose_clock_stands_still_is_refused():
    with pytest.raises(RadioParameterError, match=r"sender_time_ms in log\.csv must rise"):
        record_of([1, 2, 3], sender_time_ms=[5, 5, 5])


def test_a_link_in_two_logs_has_a_session_in_each(tmp_path):
    logs = [
        read_reception_log(written(tmp_path, LINES, name="one.csv")),
        read_reception_log(written(tmp_path, [HEADER, "1,A,1,1"], name="two.csv")),
    ]

    (record,) = collect_links(logs)

    assert unwrapped(record) == [[0, 1], [0]]


def session(sequence, distance_m=None):
    (only,) = record_of(sequence, distance_m=distance_m).sessions
    return only


def test_gaps_are_the_frames_between_two_receptions():
    assert gap_lengths([session([0, 1, 4, 5]), session([3, 5])]).tolist() == [0, 2, 0, 1]


def test_a_lost_frame_has_the_distance_between_its_neighbours():
    outcomes = frame_outcomes([session([0, 1, 4], [10.0, 20.0, 50.0]), session([0, 1], [5.0, 6.0])])

    assert outcomes.is_received.tolist() == [True, False, False, True, True]
    assert outcomes.distance_m.tolist() == [20.0, 30.0, 40.0, 50.0, 6.0]
    assert outcomes.session.tolist() == [0, 0, 0, 0, 1]


def test_the_holdout_begins_at_the_last_reception_that_was_fitted():
    # Ten frames, of which the first seven are 0 to 6; 4 is the last of them received.
    fitted, held_out = split_for_holdout([session([0, 1, 4, 7, 9])], 0.3)

    assert [part.sequence.tolist() for part in fitted] == [[0, 1, 4]]
    assert [part.sequence.tolist() for part in held_out] == [[4, 7, 9]]


def test_without_a_holdout_everything_is_fitted():
    parts = [session([0, 1, 4]), session([0, 2])]

    assert split_for_holdout(parts, 0.0) == (tuple(parts), ())


@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=4),
    st.floats(0.0, 0.8),
)
def test_no_gap_is_in_both_parts_or_in_none(steps, share):
    sessions = [
        Session(numbers, numbers * 1.0, numbers * 1.0, None)
        for numbers in (np.concatenate([[0], np.cumsum(np.array(s) + 1)]) for s in steps)
    ]

    fitted, held_out = split_for_holdout(sessions, share)

    both = np.concatenate([gap_lengths(fitted), gap_lengths(held_out)])
    assert both.tolist() == gap_lengths(sessions).tolist()
