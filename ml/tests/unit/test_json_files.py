"""Files that others wrote: what is read, what is refused, and in which words."""

from __future__ import annotations

import os

import pytest

from ml.bounded_files import UnusableFileError, read_bounded, read_bounded_text
from ml.errors import RecordError
from ml.json_files import MAX_DEPTH, parse_json, read_json
from ml.provenance import sha256_of_file

LIMIT_BYTES = 1 << 20


def nested(depth):
    return "[" * depth + "]" * depth


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"a" * LIMIT_BYTES)
    assert len(read_bounded(path, LIMIT_BYTES)) == LIMIT_BYTES

    path.write_bytes(b"a" * (LIMIT_BYTES + 1))
    with pytest.raises(UnusableFileError, match=r"^more than 1 MiB$"):
        read_bounded(path, LIMIT_BYTES)


@pytest.mark.parametrize("read", [lambda path: read_bounded(path, LIMIT_BYTES), sha256_of_file])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link to a device"])
def test_what_has_no_end_is_refused_without_reading_it(read, kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "link to a device").symlink_to("device")

    with pytest.raises((UnusableFileError, RecordError), match="a directory, device or pipe"):
        read(tmp_path / kind)


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "x").write_bytes(b"{}")
    (tmp_path / "link").symlink_to("x")

    assert read_json(tmp_path / "link", LIMIT_BYTES) == {}


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf{}")

    assert read_bounded_text(tmp_path / "x", LIMIT_BYTES) == "{}"


def test_brackets_may_nest_as_deep_as_the_limit():
    assert parse_json(nested(MAX_DEPTH)) is not None


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 100_000])
def test_deeper_brackets_are_refused(depth):
    with pytest.raises(UnusableFileError, match="nested too deeply, more than 50"):
        parse_json(nested(depth))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice in one object"),
        ('{"x": [{"a": 1, "a": 1}]}', "the key 'a' twice in one object"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is no number that can be held"),
        ("9" * 5000, "limit"),
        ('"\\ud800"', "half a surrogate pair"),
        (b'"\xff"', "invalid start byte"),
        ("{} {}", "Extra data"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_plain_json_is_refused(text, message):
    with pytest.raises(UnusableFileError, match=message):
        parse_json(text)


def test_both_halves_of_a_surrogate_pair_are_a_letter():
    assert parse_json('"\\ud83d\\ude97"') == "\N{AUTOMOBILE}"


def test_values_that_the_caller_checks_itself_are_passed_on():
    assert parse_json("[Infinity, -Infinity, 1e999]", is_strict=False) == [
        float("inf"), float("-inf"), float("inf")
    ]  # fmt: skip
