"""The locks hold exactly what the project needs, and what is installed is what they hold."""

import re
import tomllib
from collections import deque
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ml.provenance import REPOSITORY_ROOT
from ml.scripts.write_locks import entries, with_hashes_of


def read(name):
    return (REPOSITORY_ROOT / name).read_text(encoding="utf-8")


def pins(name):
    """Return the versions of a file of pins by canonical name, read line by line."""
    lines = [line.split("\\")[0].strip() for line in read(name).splitlines()]
    kept = [Requirement(line) for line in lines if line and line[0] not in "#-"]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in kept}


def declared():
    """Return every requirement that pyproject.toml states, the build's included."""
    project = tomllib.loads(read("pyproject.toml"))
    optional = project["project"]["optional-dependencies"].values()
    stated = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    return [
        Requirement(line) for line in [*stated, *(line for group in optional for line in group)]
    ]


def needed_names():
    """Return the names of what is declared and of all that it needs here, as installed."""
    cuda = pins("requirements-cuda.lock")
    found = set()
    waiting = deque((canonicalize_name(one.name), frozenset(one.extras)) for one in declared())
    while waiting:
        name, extras = waiting.popleft()
        if name in found or name in cuda:
            continue
        found.add(name)
        for line in metadata.requires(name) or []:
            one = Requirement(line)
            contexts = [{"extra": extra} for extra in (*extras, "")]
            if one.marker is None or any(one.marker.evaluate(context) for context in contexts):
                waiting.append((canonicalize_name(one.name), frozenset(one.extras)))
    return found


def test_lock_has_the_versions_of_the_constraints():
    assert pins("requirements.lock") == pins("constraints.txt")


def test_lock_holds_what_the_project_needs_and_nothing_else():
    assert set(pins("requirements.lock")) == needed_names()


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_locked_version_is_within_the_bounds_of_pyproject(requirement):
    version = pins("requirements.lock")[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_what_is_installed_is_what_is_locked():
    locked = pins("requirements.lock")
    # A build of torch for the processor alone calls itself 2.13.0+cpu.
    installed = {name: Version(metadata.version(name)).public for name in locked}
    assert installed == {name: Version(version).public for name, version in locked.items()}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cuda.lock"])
def test_every_entry_has_hashes(name):
    hashed = re.compile(r"\S+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")
    assert [entry for entry in entries(read(name)).values() if not hashed.fullmatch(entry)] == []


def test_what_cuda_needs_is_in_one_lock_only():
    assert set(pins("requirements-cuda.lock")) & set(pins("requirements.lock")) == set()


A, B = f"--hash=sha256:{'a' * 64}", f"--hash=sha256:{'b' * 64}"


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (f"torch==2 \\\n    {B}\n", f"torch==2 \\\n    {A} \\\n    {B}\n"),
        (f"torch==1 \\\n    {B}\n", f"torch==2 \\\n    {A}\n"),
        ("", f"torch==2 \\\n    {A}\n"),
    ],
)
def test_hash_written_by_hand_is_kept_until_the_version_changes(earlier, expected):
    assert with_hashes_of(f"torch==2 \\\n    {A}\n", earlier) == expected
