"""Properties of every file that is read and of every flag: the work, or one line."""

from __future__ import annotations

import itertools
import os
import signal
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS
from ml.cli import VERBS
from ml.errors import RoadSenseError
from ml.provenance import REPOSITORY_ROOT
from ml.tests.contract.bad_input_cases import (
    PATHS,
    TEXTS,
    check_line,
    damaged_json,
    least_command,
    make_places,
    parser_of,
    run,
    stop_where_work_begins,
    write_new,
)
from ml.tests.contract.hostile_readers import READERS, hostile_bytes

LONGEST_READ_S = 30
ORDINARY = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
DEEP = settings(ORDINARY, max_examples=1500, derandomize=False, print_blob=True)
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
SLOW = pytest.mark.slow_suite
PROFILES = [pytest.param(ORDINARY, id="ordinary"), pytest.param(DEEP, id="deep", marks=SLOW)]


class EndlessReadError(BaseException):
    """A read does not come back. No handler of the project takes it for a file's own error."""


@contextmanager
def no_hang():
    """Fail where a read does not come back."""

    def stop(*_):
        raise EndlessReadError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_READ_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def expect_work_or_one_line(read, folder):
    """Read, and check that a refusal is the project's own and one line."""
    with no_hang():
        try:
            read(folder)
        except RoadSenseError as error:
            check_line(str(error))


# --- Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READERS)
def test_a_good_file_is_read(name, tmp_path):
    folder = tmp_path / "folder"
    READERS[name].prepare(folder)

    if name == "run manifest":  # whose scenario is not there; its reader does not look
        (folder / "a.sumocfg").write_text("")
    READERS[name].read(folder)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("profile", PROFILES)
def test_hostile_bytes_are_read_or_refused_on_one_line(name, profile, tmp_path):
    folder = tmp_path / "folder"
    reader = READERS[name]
    reader.prepare(folder)
    content = (folder / reader.place).read_bytes()

    @profile
    @given(hostile=hostile_bytes(content))
    def check(hostile):
        write_new(folder / reader.place, hostile)
        expect_work_or_one_line(reader.read, folder)

    check()


@pytest.mark.parametrize(
    "name", [name for name, reader in READERS.items() if reader.place.endswith(".json")]
)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_json_value_of_another_kind_is_used_or_refused_on_one_line(name, profile, tmp_path):
    folder = tmp_path / "folder"
    reader = READERS[name]
    reader.prepare(folder)
    content = (folder / reader.place).read_bytes()

    @profile
    @given(hostile=damaged_json(content))
    def check(hostile):
        write_new(folder / reader.place, hostile)
        expect_work_or_one_line(reader.read, folder)

    check()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "endless device", "loop of links", "no file"])
def test_what_is_no_file_is_refused_on_one_line(name, kind, tmp_path):
    folder = tmp_path / "folder"
    reader = READERS[name]
    reader.prepare(folder)
    path = folder / reader.place
    path.unlink()
    make = {
        "pipe": os.mkfifo,
        "folder": os.mkdir,
        "endless device": lambda place: place.symlink_to("/dev/zero"),
        "loop of links": lambda place: place.symlink_to(place),
        "no file": lambda _: None,
    }[kind]
    make(path)

    expect_work_or_one_line(reader.read, folder)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_of_the_fuzzer_holds(name):
    for seed in sorted((REPOSITORY_ROOT / "fuzz" / "seeds" / name).iterdir()):
        TARGETS[name](seed.read_bytes())


# --- Command lines --------------------------------------------------------------------------------

HOSTILE_TEXTS = tuple(sorted({*TEXTS} - {"3.5"}))  # a flag may take it for 3.5 s of work
OUTPUT_FLAGS = {
    "--output", "--output_dir", "--output_file", "--output_page", "--recording", "--video"
}  # fmt: skip


def options_of(verb):
    """Return a verb's flags, each with the values to try; None for a flag without one."""
    options = {}
    for action in parser_of(verb)._actions:
        if action.option_strings and action.dest not in {"help", "version"}:
            flag = action.option_strings[-1]
            places = () if flag in OUTPUT_FLAGS else PATHS
            values = (*HOSTILE_TEXTS, *places, *(action.choices or ()))
            options[flag] = (None,) if action.nargs == 0 else values
    return options


@st.composite
def argument_vectors(draw, options):
    """Choose a few flags, each with a hostile value."""
    flags = draw(st.lists(st.sampled_from(sorted(options)), min_size=1, max_size=4, unique=True))
    return {flag: draw(st.sampled_from(options[flag])) for flag in flags}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("profile", PROFILES)
def test_hostile_arguments_are_used_or_refused_on_one_line(verb, profile, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    stop_where_work_begins(monkeypatch)
    make_places(tmp_path)
    numbers = itertools.count()
    (tmp_path / "outputs").mkdir()

    @profile
    @given(hostile=argument_vectors(options_of(verb)))
    def check(hostile):
        folder = tmp_path / "outputs" / str(next(numbers))
        folder.mkdir()
        ending, text = run(verb, {**least_command(verb, folder), **hostile})
        assert ending in {"done", "begun", "usage", "refused"}
        if ending in {"usage", "refused"}:
            check_line(text)

    check()
