"""XML that SUMO must not meet is refused in one line, quickly and in bounded memory."""

from __future__ import annotations

import gzip
import os

import pytest

from ml import xml_files
from ml.bounded_files import LARGEST_DOCUMENT_BYTES
from ml.errors import ScenarioError
from ml.xml_files import MAX_DEPTH, read_xml

HEAD = '<?xml version="1.0"?>'
# Ten times ten times ... ten letters: 10**9 once expanded.
LAUGHS = "".join(
    f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 9)
)  # fmt: skip
DETECTOR = '<additional><e1Detector id="a" lane="b_0" pos="1" freq="1" file="{}"/></additional>'
PARAMETER = '<routes><vType id="a"><param key="{}" value="{}"/></vType></routes>'


def write(folder, content):
    path = folder / "hostile.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'{HEAD}<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">{LAUGHS}]><x>&e8;</x>', "document type"),
        (f'{HEAD}<!DOCTYPE x [<!ENTITY a "{"b" * 9999}">]><x>{"&a;" * 9999}</x>', "document type"),
        (f'{HEAD}<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "document typ"),
        (f'{HEAD}<!DOCTYPE x SYSTEM "http://localhost/x.dtd"><x/>', "document type"),
        (f"{HEAD}<!--{' ' * (2 << 20)}--><!DOCTYPE x><x/>", "document type"),
        ("<a>&b;</a>", "undefined entity"),
        ('<?xml version="1.0" encoding="utf-7"?><a>+ADwAIQ-</a>', "Got 'utf-7'"),
        ("<?xml version='1.0' encoding = 'cp037'?><a/>", "Got 'cp037'"),
        (f'{HEAD[:-2]} encoding="utf-16"?><a/>'.encode("utf-16"), "Got 'bytes of 0'"),
        ("<a/>".encode("utf-32-le"), "Got 'bytes of 0'"),
        (b"<a>\0</a>", "Got 'bytes of 0'"),
        (b"<a>" + b" " * (2 << 20) + b"\0</a>", "not well-formed"),
        (b"<a>\xff</a>", "not well-formed"),
        ("<a>" * 100_000, "nest at most 50"),
        ("<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1), "nest at most 50"),
        ('<net><include href="/etc/passwd"/></net>', "must not include other files"),
        (
            '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></a>',
            "must not include other files",
        ),
        ('<additional><rerouter id="a" edges="b" file="c.xml"/></additional>', "must not include"),
        ('<additional><calibrator id="a" file="c.xml"/></additional>', "must not include"),
        (DETECTOR.format("/etc/written"), "must lie below .* Got '/etc/written'"),
        (DETECTOR.format("../written"), r"must lie below .* Got '\.\./written'"),
        (DETECTOR.format("a/../../written"), "must lie below"),
        (DETECTOR.format("localhost:8888"), "must lie below .* Got 'localhost:8888'"),
        (DETECTOR.format("..\\written"), "must lie below"),
        (DETECTOR.format("link/written"), "must lie below"),
        (DETECTOR.format("loop/written"), "must lie below"),
        (PARAMETER.format("device.ssm.file", "/etc/written"), "must lie below"),
        (PARAMETER.format("file", "../written"), "must lie below"),
    ],
)
def test_what_sumo_would_follow_is_refused(content, message, tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ScenarioError, match=message) as caught:
        read_xml(write(tmp_path, content))

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        DETECTOR.format("loop.xml"),
        DETECTOR.format("results/loop.xml"),
        DETECTOR.format("NUL"),
        PARAMETER.format("device.ssm.file", "ssm.xml"),
        PARAMETER.format("profile", "/not/a/file"),
        '<?xml version="1.0" encoding="UTF-8"?><a/>',
        b"\xef\xbb\xbf<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH,
    ],
)
def test_ordinary_files_are_read(content, tmp_path):
    assert read_xml(write(tmp_path, content)) is not None


def test_a_packed_file_that_unpacks_without_end_is_refused(tmp_path):
    packed = gzip.compress(b"<a>" + b" " * LARGEST_DOCUMENT_BYTES, compresslevel=1)
    path = write(tmp_path, packed)

    with pytest.raises(ScenarioError, match="more than 64 MiB once unpacked"):
        read_xml(path)


def test_a_file_larger_than_the_limit_is_refused(tmp_path):
    path = write(tmp_path, b"<a/>")
    os.truncate(path, LARGEST_DOCUMENT_BYTES + 1)

    with pytest.raises(ScenarioError, match="more than 64 MiB"):
        read_xml(path)


def test_more_elements_than_the_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(xml_files, "MAX_ELEMENTS", 3)

    assert len(read_xml(write(tmp_path, "<a><b/><b/></a>"))) == 2
    with pytest.raises(ScenarioError, match="at most 3 elements"):
        read_xml(write(tmp_path, "<a><b/><b/><b/></a>"))


def test_a_long_text_is_read_in_few_passes(tmp_path, monkeypatch):
    # A parser that begins a text anew with every chunk takes n / 2 passes of n chunks.
    fed = []
    real = xml_files.ElementTree.XMLParser

    class Counting(real):
        def feed(self, data):
            fed.append(len(data))
            return super().feed(data)

    monkeypatch.setattr(xml_files.ElementTree, "XMLParser", Counting)

    read_xml(write(tmp_path, b'<a b="' + b"x" * (8 << 20) + b'"/>'))

    assert len(fed) == 9


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_has_no_end_is_refused(kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")

    with pytest.raises(ScenarioError, match="a directory, device or pipe"):
        read_xml(tmp_path / kind)
