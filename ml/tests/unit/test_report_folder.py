"""Reading an evaluation's folder: what is accepted, and one line for what is not."""

from __future__ import annotations

import hashlib
import json

import pytest

from ml.errors import ConfigError, RecordError
from ml.reporting.evaluation_folder import read_evaluation_folder
from ml.tests.evaluation_folders import JUDGED, rows_of, write_evaluation


@pytest.fixture
def folder(tmp_path):
    return write_evaluation(tmp_path / "evaluation", episodes=3, recordings=1)


def change_row(folder, **changes):
    """Change fields of the first row of the judged policy."""
    path = folder / "records" / f"{JUDGED}.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({**json.loads(first), **changes}), *others]) + "\n")


def change_evaluation(folder, **changes):
    path = folder / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_every_row_is_read_and_the_judged_policy_stands_first(folder):
    read = read_evaluation_folder(folder)

    assert read.rows_by_policy[JUDGED] == rows_of(folder, JUDGED)
    assert list(read.rows_by_policy)[:4] == [JUDGED, "null", "driver", "always"]
    assert (read.judged, read.radio_presets) == ((JUDGED,), ("nominal", "roof"))


def test_variants_with_another_threshold_are_in_no_table(folder):
    policies = read_evaluation_folder(folder).plain_policies()

    assert policies == (
        JUDGED, "null", "driver", "always", "aeb", "r157", "eebl", "rss", "oracle",
    )  # fmt: skip


def test_a_torn_last_line_is_dropped(folder):
    path = folder / "records" / "eebl.jsonl"
    whole = rows_of(folder, "eebl")
    path.write_text(path.read_text() + '{"policy": "eebl", "fam')

    assert read_evaluation_folder(folder).rows_by_policy["eebl"] == whole


def test_every_file_read_has_its_hash(folder):
    hashes = read_evaluation_folder(folder).file_hashes

    content = (folder / "records" / "aeb.jsonl").read_bytes()
    assert hashes["records/aeb.jsonl"] == hashlib.sha256(content).hexdigest()
    assert len(hashes) == len([path for path in folder.rglob("*") if path.is_file()])


def test_presets_without_a_place_in_the_protocol_come_after_those_with_one(tmp_path):
    folder = write_evaluation(tmp_path / "e", episodes=2, presets=("roof", "nominal", "burst"))
    change_evaluation(folder, protocol={"radio_presets": ["nominal", "roof"]})

    read = read_evaluation_folder(folder)

    assert read.radio_presets == ("nominal", "roof", "burst")
    assert read.gate_presets == ("nominal", "roof")


def test_a_folder_without_an_evaluation_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"DIR must be a folder with evaluation\.json"):
        read_evaluation_folder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "other"}, "policy in line 1 .* must be the file's name"),
        ({"policy": None}, "policy in line 1 .* must be the file's name"),
        ({"family": "X"}, "family in line 1 .* must be one of H, D, N, M, C, R"),
        ({"collision": 1}, "collision in line 1 .* must be true or false"),
        ({"duration_s": -1.0}, "duration_s in line 1 .* must be a number from 0 up"),
        ({"case_headway_s": "near"}, "case_headway_s in line 1 .* must be a number from 0 up"),
        ({"case_headway_s": True}, "case_headway_s in line 1 .* must be a number from 0 up"),
        ({"case_headway_s": float("nan")}, "case_headway_s in line 1 .* must be a number from"),
        ({"case_headway_s": 10**400}, "case_headway_s in line 1 .* must be a number from 0 up"),
    ],
)
def test_a_row_that_cannot_be_computed_with_is_refused(folder, changes, message):
    change_row(folder, **changes)

    with pytest.raises(RecordError, match=message):
        read_evaluation_folder(folder)


def test_a_case_that_stands_twice_is_refused(folder):
    path = folder / "records" / "rss.jsonl"
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")

    with pytest.raises(RecordError, match="must be there once each"):
        read_evaluation_folder(folder)


def test_a_folder_without_records_is_refused(folder):
    for path in (folder / "records").iterdir():
        path.unlink()

    with pytest.raises(RecordError, match=r"must hold records\. Got none"):
        read_evaluation_folder(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gates": []}, "gates in .* must be an object"),
        ({"verdict": None}, "verdict in .* must be an object"),
        ({"gates": {JUDGED: [{"name": "canary", "text": "", "status": "green"}]}}, "status in"),
        ({"gates": {JUDGED: [{"name": "canary", "text": "", "status": []}]}}, "status in"),
        ({"gates": {JUDGED: [{"name": "canary", "status": "pass"}]}}, "text in gates of"),
        ({"gates": {JUDGED: {}}}, "must be a list"),
        ({"operating_curves": {"eebl": [{"radio_preset": "roof"}]}}, "all of an operating curve"),
    ],
)
def test_an_evaluation_of_another_form_is_refused(folder, changes, message):
    change_evaluation(folder, **changes)

    with pytest.raises(RecordError, match=message):
        read_evaluation_folder(folder)


@pytest.mark.parametrize("case_id", ["/../../outside", "x" * 200])
def test_a_case_never_names_a_recording_outside_the_folder(case_id, tmp_path):
    folder = write_evaluation(tmp_path / "a", episodes=1, recordings=1)
    path = folder / "records" / f"{JUDGED}.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    row = {**json.loads(first), "case_id": case_id}
    path.write_text(json.dumps(row) + "\n" + "".join(others))
    (folder / "recordings" / f"{JUDGED}--{row['radio_preset']}--").mkdir()
    (tmp_path / "a" / "outside.json").write_text("{}")

    found = read_evaluation_folder(folder)

    assert case_id not in {recorded["case_id"] for recorded in found.recordings}
