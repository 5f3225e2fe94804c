"""The rows of an evaluation on the disk: appended, read again, refused."""

from __future__ import annotations

import json

import pytest

from ml.errors import RecordError
from ml.evaluation.record_store import RecordStore


def row(case_id, preset="nominal", policy="net", **fields):
    return {"policy": policy, "radio_preset": preset, "case_id": case_id, **fields}


def lines_of(store, policy="net"):
    return store.path(policy).read_text().splitlines()


def test_a_row_is_on_the_disk_as_soon_as_it_is_added(tmp_path):
    store = RecordStore(tmp_path, ["net"])

    store.add(row("H-0001", speed_mps=12.5))

    assert [json.loads(line) for line in lines_of(store)] == [row("H-0001", speed_mps=12.5)]


def test_rows_are_there_again_when_the_folder_is_opened_again(tmp_path):
    store = RecordStore(tmp_path, ["net", "aeb"])
    store.add(row("H-0001"))
    store.add(row("H-0001", policy="aeb"))

    again = RecordStore(tmp_path, ["net", "aeb", "rss"])
    assert again.has("net", ("nominal", "H-0001"))
    assert not again.has("net", ("roof", "H-0001"))
    assert again.rows("aeb") == [row("H-0001", policy="aeb")]
    assert again.rows("rss") == []


def test_a_torn_last_line_is_dropped_and_the_next_row_begins_a_line(tmp_path):
    store = RecordStore(tmp_path, ["net"])
    store.add(row("H-0001"))
    path = store.path("net")
    with path.open("a") as stream:
        stream.write('{"policy": "net", "radio_pre')

    again = RecordStore(tmp_path, ["net"])
    assert again.rows("net") == [row("H-0001")]
    again.add(row("H-0002"))

    assert path.read_text() == f"{json.dumps(row('H-0001'))}\n{json.dumps(row('H-0002'))}\n"


def test_a_whole_line_whose_end_was_torn_off_is_dropped_too(tmp_path):
    store = RecordStore(tmp_path, ["net"])
    path = store.path("net")
    path.write_text(json.dumps(row("H-0001")))

    again = RecordStore(tmp_path, ["net"])
    assert again.rows("net") == []
    assert path.read_text() == ""


def test_order_of_the_files_does_not_depend_on_the_order_of_the_episodes(tmp_path):
    rows = [row("H-0002"), row("C-0001", "roof"), row("C-0001"), row("H-0001", "roof")]
    texts = []
    for name, added in (("one", rows), ("other", rows[::-1])):
        (tmp_path / name).mkdir()
        store = RecordStore(tmp_path / name, ["net"])
        for each in added:
            store.add(each)
        store.put_in_order()
        texts.append(store.path("net").read_text())

    assert texts[0] == texts[1]
    assert [json.loads(line)["case_id"] for line in texts[0].splitlines()] == [
        "C-0001", "H-0002", "C-0001", "H-0001",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "not JSON", "[1]", "null", '{"policy": "net"}', "[" * 100_000,
        json.dumps(row("H-0001", policy="other")), json.dumps(row("H-0000")),
        json.dumps(row(7)), "\0" * 20,
    ],
)  # fmt: skip
def test_a_line_that_is_no_row_of_the_policy_is_refused_in_one_line(tmp_path, line):
    store = RecordStore(tmp_path, ["net"])
    store.add(row("H-0000"))
    path = store.path("net")
    with path.open("a") as stream:
        stream.write(f"{line}\n")

    with pytest.raises(RecordError, match=r"line 2 of .*net\.jsonl must be one episode") as caught:
        RecordStore(tmp_path, ["net"])

    assert "\n" not in str(caught.value)
    assert "--overwrite" in str(caught.value)


def test_a_folder_in_the_place_of_a_file_is_one_line(tmp_path):
    (tmp_path / "records" / "net.jsonl").mkdir(parents=True)

    with pytest.raises(RecordError, match=r"net\.jsonl must be a file"):
        RecordStore(tmp_path, ["net"])


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "records").write_text("x")

    with pytest.raises(RecordError, match="records must be a folder"):
        RecordStore(tmp_path, ["net"])
