"""Checks the content of JSON files against the schemas that the package holds."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match

from ml.bounded_files import UnusableFileError

_LONGEST_RULE = 200


def check_form(content: Any, schema: Path) -> None:  # noqa: ANN401 - any JSON value
    """Check that a JSON value is of a schema's form.

    Args:
        content: The value.
        schema: File of the schema. It is one of ours, so that it is not checked here.

    Raises:
        UnusableFileError: It is not. The text names the place, such as ``cars.0.x_m``, and the
            rule.
    """
    try:
        error = best_match(_validator(schema).iter_errors(content))
    except OverflowError as too_large:
        raise UnusableFileError(str(too_large)) from too_large
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "the whole"
        raise UnusableFileError(f"{place}: {error.message:.{_LONGEST_RULE}}")


@functools.cache
def _validator(path: Path) -> jsonschema.protocols.Validator:
    """Return what checks against a schema, made once in a process."""
    schema = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)
