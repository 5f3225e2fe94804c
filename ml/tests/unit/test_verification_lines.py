"""What verify says of an episode that was played again, and of the hashes of all files."""

import pytest

from ml.errors import RecordError
from ml.file_sums import SUMS_FILE, write_sums
from ml.verification.folder_sums import check_sums, files_of_sums
from ml.verification.records import judged_models, policies_in
from ml.verification.replayed_episode import compared

OLD = {"return": 1.0, "steps": 3}
NEW = {**OLD, "trace_sha256": "a" * 64}


def test_equal_episode_is_ok_with_its_steps():
    line = compared("episode 0", NEW, dict(NEW))

    assert line == ("ok", "episode 0: 3 fields of its record, with the hash of its steps")


def test_steps_that_differ_alone_are_a_change():
    state, text = compared("episode 0", NEW, {**NEW, "trace_sha256": "b" * 64})

    assert state == "changed"
    assert text == "episode 0: trace_sha256 alone, so a step differs and no sum"


def test_fields_that_differ_are_named_beside_the_hash():
    line = compared("episode 0", NEW, {**NEW, "return": 2.0, "trace_sha256": "b" * 64})

    assert line == ("changed", "episode 0: return, trace_sha256")


def test_older_record_is_held_against_what_it_has():
    line = compared("episode 0", OLD, NEW)

    assert line == ("ok", "episode 0: 2 fields of its record, without a hash of its steps")


def test_older_record_whose_sum_differs_is_a_change():
    assert compared("episode 0", OLD, {**NEW, "steps": 4}) == ("changed", "episode 0: steps")


@pytest.fixture
def folder(tmp_path):
    """A folder of two files with their hashes."""
    files = [tmp_path / "a", tmp_path / "b"]
    for path in files:
        path.write_text(path.name)
    write_sums(tmp_path, files)
    return tmp_path


def lines_of(folder, record=None, names="ab"):
    files = [folder / name for name in names]
    return list(check_sums(folder, record or {}, files, "evaluation.json"))


def test_files_of_the_hashes_are_as_recorded(folder):
    assert [(file.label, file.state()) for file in files_of_sums(folder)] == [
        ("a", "ok"), ("b", "ok"),
    ]  # fmt: skip
    ((state, text),) = lines_of(folder)
    assert state == "ok"
    assert text.startswith(f"{SUMS_FILE}: 2 files; its own SHA-256 is ")


def test_file_without_a_line_is_named(folder):
    (folder / "c").write_text("")

    assert lines_of(folder, names="abc") == [("changed", f"{SUMS_FILE}: no line for c")]


def test_promised_hashes_that_are_gone_are_missing(folder):
    (folder / SUMS_FILE).unlink()

    assert lines_of(folder, {"sums_file": SUMS_FILE}) == [("missing", SUMS_FILE)]
    assert files_of_sums(folder) == []


def test_older_record_has_no_hashes(folder):
    (folder / SUMS_FILE).unlink()

    assert lines_of(folder) == [
        ("skipped", f"evaluation.json: an older record, without {SUMS_FILE}")
    ]


def test_hash_of_a_file_elsewhere_is_refused(folder):
    (folder / SUMS_FILE).write_text(f"{'0' * 64}  ../b\n")

    with pytest.raises(RecordError, match="must name files of the folder only"):
        files_of_sums(folder)


@pytest.mark.parametrize("entries", [None, {}, [1], [{}], [{"id": 1}], [{"id": "../a"}]])
def test_policies_that_are_none_are_refused(tmp_path, entries):
    with pytest.raises(RecordError, match="policies in"):
        policies_in({"policies": entries}, tmp_path / "evaluation.json")


def test_older_evaluation_does_not_say_where_its_model_is(tmp_path):
    evaluation = {"policies": [{"id": "net", "role": "judged", "sha256": "0" * 64}]}

    assert list(judged_models(evaluation, tmp_path)) == [("net", None, None)]
