"""The hashes of all files of a folder, in sha256sum's form."""

import contextlib
import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import RecordError
from ml.file_sums import SUMS_FILE, read_sums, renew_sum, write_sums

# SHA-256 of nothing and of "abc": FIPS 180-2, appendix B.1, and the empty message's known value.
OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path):
    """A folder with an empty file, and "abc" below."""
    (tmp_path / "b").write_text("")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c").write_text("abc")
    write_sums(tmp_path, [tmp_path / "b", tmp_path / "a" / "c"])
    return tmp_path


def test_file_has_a_line_for_each_in_the_order_of_names(folder):
    assert (folder / SUMS_FILE).read_text() == f"{OF_ABC}  a/c\n{OF_NOTHING}  b\n"


def test_what_is_written_is_read_back(folder):
    assert read_sums(folder) == {"a/c": OF_ABC, "b": OF_NOTHING}


def test_sha256sum_finds_it_right(folder):
    result = subprocess.run(
        [shutil.which("sha256sum"), "--check", "--strict", SUMS_FILE],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert result.stdout == "a/c: OK\nb: OK\n"


def test_no_file_leaves_no_hashes(tmp_path):
    write_sums(tmp_path / "nowhere", [])

    assert not (tmp_path / "nowhere").exists()


def test_one_file_is_recorded_anew(folder):
    (folder / "b").write_text("abc")

    renew_sum(folder, "b")

    assert read_sums(folder) == {"a/c": OF_ABC, "b": OF_ABC}


def test_folder_without_hashes_gets_none(tmp_path):
    (tmp_path / "b").write_text("abc")

    renew_sum(tmp_path, "b")

    assert not (tmp_path / SUMS_FILE).exists()


@pytest.mark.parametrize(
    "text",
    ["", "\n", f"{OF_ABC}  a", f"{OF_ABC} a\n", f"{OF_ABC}  \n", f"{OF_ABC[:-1]}  a\n",
     f"{OF_ABC.upper()}  a\n", f"{OF_ABC}  a\n{OF_NOTHING}  a\n"],
)  # fmt: skip
def test_damaged_hashes_are_refused(tmp_path, text):
    (tmp_path / SUMS_FILE).write_text(text)

    with pytest.raises(RecordError, match="must"):
        read_sums(tmp_path)


@given(position=st.integers(0, len(f"{OF_NOTHING}  b\n") - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_damage_or_another_hash_or_name(tmp_path_factory, position, bit):
    folder = tmp_path_factory.mktemp("flipped")
    content = bytearray(f"{OF_NOTHING}  b\n".encode())
    content[position] ^= 1 << bit
    (folder / SUMS_FILE).write_bytes(content)

    with contextlib.suppress(RecordError):
        assert read_sums(folder) != {"b": OF_NOTHING}


def test_hash_of_the_hashes_is_left_out(folder):
    write_sums(folder, [folder / "b", folder / SUMS_FILE])

    assert read_sums(folder) == {"b": hashlib.sha256(b"").hexdigest()}
