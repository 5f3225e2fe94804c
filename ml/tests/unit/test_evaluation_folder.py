"""The folder of an evaluation: one writer, equals only, and nothing else removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml.errors import ConfigError, RecordError
from ml.evaluation.evaluation_folder import (
    EvaluationInputs,
    check_evaluation_folder,
    clear_evaluation,
    settle_inputs,
)

INPUTS = EvaluationInputs(
    protocol="smoke",
    protocol_sha256="a" * 64,
    scenarios_sha256="b" * 64,
    code_sha256="c" * 64,
    versions={"libsumo": "1.0", "numpy": "2.0"},
    policies={"eebl": "d" * 64, "net": "e" * 64},
)


def test_an_equal_evaluation_continues(tmp_path):
    settle_inputs(tmp_path, INPUTS)
    before = (tmp_path / "inputs.json").read_text()

    settle_inputs(tmp_path, INPUTS)

    assert (tmp_path / "inputs.json").read_text() == before


def test_policies_may_be_added_and_then_belong_to_it(tmp_path):
    settle_inputs(tmp_path, INPUTS)
    more = replace(INPUTS, policies={**INPUTS.policies, "other": "f" * 64})

    settle_inputs(tmp_path, more)

    with pytest.raises(RecordError, match="no policy other"):
        settle_inputs(tmp_path, INPUTS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol": "tiny", "protocol_sha256": "1" * 64},
         "protocol tiny 111111111111 instead of smoke aaaaaaaaaaaa"),
        ({"scenarios_sha256": "1" * 64}, "other scenarios"),
        ({"code_sha256": "1" * 64}, "code 111111111111 instead of cccccccccccc"),
        ({"versions": {"libsumo": "1.1", "numpy": "2.0"}}, "libsumo 1.1 instead of 1.0"),
        ({"versions": {"numpy": "2.0"}}, "libsumo None instead of 1.0"),
        ({"policies": {"eebl": "d" * 64, "net": "1" * 64}}, "other weights of net"),
        ({"policies": {"eebl": "d" * 64}}, "no policy net"),
    ],
)  # fmt: skip
def test_what_differs_is_said_on_one_line(tmp_path, change, told):
    settle_inputs(tmp_path, INPUTS)
    before = (tmp_path / "inputs.json").read_text()

    with pytest.raises(RecordError, match="must be continued as it began") as caught:
        settle_inputs(tmp_path, replace(INPUTS, **change))

    assert f"Got {told}. Choose another --output_dir" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "inputs.json").read_text() == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"protocol": "x"}', "[" * 100_000, "\0"]
)
def test_damaged_inputs_are_one_line(tmp_path, text):
    (tmp_path / "inputs.json").write_text(text)

    with pytest.raises(RecordError, match=r"inputs\.json must be readable"):
        settle_inputs(tmp_path, INPUTS)


def test_inputs_with_a_list_in_the_place_of_hashes_are_one_line(tmp_path):
    settle_inputs(tmp_path, replace(INPUTS, policies=["net"]))

    with pytest.raises(RecordError, match="a value of another kind"):
        settle_inputs(tmp_path, INPUTS)


def test_overwriting_removes_an_evaluation_and_nothing_else(tmp_path):
    for name in ("records", "recordings", "figures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    for name in ("evaluation.json", "inputs.json", "report.html", "episodes.jsonl", "notes.txt"):
        (tmp_path / name).write_text("x")

    clear_evaluation(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "notes.txt"]


def test_an_evaluation_without_a_protocol_gives_way_with_overwrite_only(tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")

    with pytest.raises(ConfigError, match=r"without a protocol.*--overwrite"):
        check_evaluation_folder(tmp_path, is_overwriting=False)
    check_evaluation_folder(tmp_path, is_overwriting=True)


def test_a_runs_own_folder_is_refused_even_with_overwrite(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")

    with pytest.raises(ConfigError, match="must not be a run's own folder"):
        check_evaluation_folder(tmp_path, is_overwriting=True)
