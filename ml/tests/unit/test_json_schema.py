"""Tests of ml.json_schema: what breaks a form is named with its place."""

import json

import jsonschema
import pytest

from ml.bounded_files import UnusableFileError
from ml.json_schema import check_form
from ml.provenance import REPOSITORY_ROOT

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"cars": {"items": {"properties": {"x_m": {"type": "number"}}}},
                   "steps": {"multipleOf": 0.5}},
}  # fmt: skip
PACKAGED = sorted((REPOSITORY_ROOT / "ml").rglob("*.schema.json"))


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "a.schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def test_what_has_the_form_is_accepted(schema):
    check_form({"cars": [{"x_m": 1.0}], "steps": 1.5}, schema)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"cars": [{"x_m": 1.0}, {"x_m": "far"}]},
            r"^cars\.1\.x_m: 'far' is not of type 'number'$",
        ),
        ([], r"^the whole: \[\] is not of type 'object'$"),
        ({"steps": 10**400}, "too large"),
    ],
)
def test_what_has_not_is_told_with_its_place(content, said, schema):
    with pytest.raises(UnusableFileError, match=said):
        check_form(content, schema)


def test_long_content_is_cut(schema):
    with pytest.raises(UnusableFileError) as told:
        check_form({"cars": [{"x_m": "x" * 10_000}]}, schema)
    assert len(str(told.value)) < 300


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.name)
def test_packaged_schemas_are_schemas(path):
    content = json.loads(path.read_text(encoding="utf-8"))

    jsonschema.validators.validator_for(content).check_schema(content)


def test_all_packaged_schemas_were_found():
    assert len(PACKAGED) == 4
