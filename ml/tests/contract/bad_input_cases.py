"""Bad values, damaged files, and a way to run a command that stops where its work begins."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from stable_baselines3 import PPO

from ml.cli import VERBS
from ml.command_line import OneLineArgumentParser
from ml.envs.convoy_env import ConvoyEnv
from ml.errors import RoadSenseError
from ml.espnow_emulator import report_contents
from ml.evaluation import robustness
from ml.provenance import REPOSITORY_ROOT
from ml.records import write_json_lines
from ml.tests.evaluation_folders import write_evaluation
from ml.tests.evaluation_rows import calm_rows, rows
from ml.tests.reception_logs import sent_frames, write_log
from ml.tests.seed_evaluations import write_seed_evaluation

BASES = REPOSITORY_ROOT / "ml" / "scenarios"
LONGEST_LINE = 1100


class WorkBeginsError(BaseException):
    """Every check was passed: what comes next would be steps of the simulator or of learning."""


class ParserFoundError(BaseException):
    """Carries a verb's parser out of the function that makes it."""


def parser_of(verb):
    """Return the argument parser of a verb."""

    def give(self, *_, **__):
        raise ParserFoundError(self)

    original = OneLineArgumentParser.parse_args
    OneLineArgumentParser.parse_args = give
    try:
        getattr(importlib.import_module(VERBS[verb].arguments_module), VERBS[verb].parser)([])
    except ParserFoundError as found:
        return found.args[0]
    finally:
        OneLineArgumentParser.parse_args = original


def flags_of(verb):
    """Return a verb's flags that take a value, with their kind; None for a flag without a rule."""
    actions = [action for action in parser_of(verb)._actions if action.option_strings]
    return {action.option_strings[0]: kind_of(action) for action in actions if action.nargs != 0}


def kind_of(action):
    """Return the rule that a flag's values follow: choice, number, path or name."""
    if action.choices is not None:
        return "choice"
    name = getattr(action.type, "__qualname__", "")
    for start, kind in (
        ("integer_in.", "number"), ("number_in.", "number"), ("path_text", "path"),
        ("_run_id", "name"), ("_name_text", "title"), ("radio_fault", "fault"),
        ("seed_group", "group"),
    ):  # fmt: skip
        if name.startswith(start):
            return kind
    return None


TEXTS = (
    "", " ", "nan", "inf", "-inf", "-1", "1e309", "9" * 5000, "3.5", "0x10", "true", "\u03a9/\xfc",
    "a\nb", "a\0b", "\x1b[31m", "x" * 300, "x" * 5000, "/" + "y/" * 3000, "\udcff", "-", "--", "*",
    "%s %d", "{}",
)  # fmt: skip
PATHS = ("file", "folder", "full", "loop", "loop/x", "missing/a/b", "file/below", "/dev/zero", "/")
NEVER_VALID = {
    "number": {*TEXTS} - {"3.5"},
    "choice": {*TEXTS},
    "fault": {*TEXTS},
    "group": {*TEXTS},
    "name": {*TEXTS} - {"nan", "inf", "true", "3.5", "0x10", "9" * 5000, "1e309"} - {"x" * 300},
    "title": {"", " ", "a\nb", "a\0b", "\x1b[31m", "x" * 300, "x" * 5000, "/" + "y/" * 3000,
              "\udcff", "--", "9" * 5000},
    "path": {"", " ", "a\nb", "a\0b", "\x1b[31m", "x" * 300, "x" * 5000, "/" + "y/" * 3000,
             "\udcff", "--", "9" * 5000},
}  # fmt: skip
"""The values that the command line itself refuses, whatever is on the disk."""


def make_places(folder):
    """Make the files, folders and links that ``PATHS`` name."""
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "x").write_text("1")
    (folder / "loop").symlink_to("loop")


@cache
def example_log():
    """Return a reception log that can be fitted."""
    received = np.arange(400) % 13 > 0
    rows = sent_frames(received, np.random.default_rng(1))
    return write_log(Path(tempfile.mkdtemp(prefix="roadsense_log_")) / "log.csv", rows)


@cache
def example_records():
    """Return two files with the records of the same episodes."""
    folder = Path(tempfile.mkdtemp(prefix="roadsense_records_"))
    for name in ("a", "b"):
        write_json_lines(folder / f"{name}.jsonl", [*rows("H", 4, 1), *calm_rows(4, 1)])
    return folder / "a.jsonl", folder / "b.jsonl"


@cache
def example_evaluation():
    """Return the folder of an evaluation that can be reported."""
    folder = Path(tempfile.mkdtemp(prefix="roadsense_evaluation_")) / "evaluation"
    return write_evaluation(folder, episodes=1, recordings=1)


@cache
def example_seed_evaluation():
    """Return the folder of an evaluation of two training seeds."""
    folder = Path(tempfile.mkdtemp(prefix="roadsense_seeds_")) / "evaluation"
    return write_seed_evaluation(folder, ("s1", "s2"))


def least_command(verb, folder):
    """Return the shortest work of a verb, as flags and values; capitals stand without a flag."""
    short = {"--n_envs": "1", "--n_steps": "16", "--total_timesteps": "16", "--dev_episodes": "0"}
    return {
        "generate": {"--output_dir": str(folder / "out"), "--train_count": "1",
                     "--eval_count": "1"},
        "train": {"--output_dir": str(folder / "out"), **short},
        "evaluate": {"--model": "driver", "--episodes": "1"},
        "compare": dict(zip(("DIR_A", "DIR_B"), example_records(), strict=True)),
        "replay": {"--model": "driver", "--video": str(folder / "out.gif")},
        "robustness": {"--output_dir": str(folder / "out"), "--episodes": "1",
                       "--axes": "delay", "--baselines": "driver"},
        "table": {"--episodes": "2"},
        "radio": {"PARAMS": "front_9m", "--output_dir": str(folder / "out")},
        "report": {"DIR": example_evaluation()},
        "results": {"--evaluation": example_seed_evaluation(),
                    "--output_page": str(folder / "page.md")},
        "verify": {"RUN": str(folder / "out")},
        "reproduce": {"RUN": str(folder / "full")},
        "doctor": {"--seconds": "0"},
        "calibrate": {"LOG": example_log(), "--output": str(folder / "fitted.json")},
    }[verb]  # fmt: skip


def run(verb, flags):
    """Run a verb and return (how it ended, what it said): done, begun, usage or refused.

    Any other exception passes, and fails the test.
    """
    arguments = [
        f"{flag}={value}" if flag.startswith("--") else str(value) for flag, value in flags.items()
    ]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            importlib.import_module(VERBS[verb].module).main(arguments)
    except WorkBeginsError:
        return "begun", ""
    except SystemExit as exit_:
        assert exit_.code == 2
        return "usage", said.getvalue().removesuffix("\n")
    except RoadSenseError as error:
        return "refused", str(error)
    return "done", ""


def check_line(text):
    """Check that a refusal is one printable line of bounded length."""
    assert text.strip()
    assert len(text) <= LONGEST_LINE
    assert text.isprintable()


def stop_where_work_begins(monkeypatch):
    """Let every check run, and stop before the first step of an episode, of learning, or sample."""

    def stop(*_, **__):
        raise WorkBeginsError

    monkeypatch.setattr(ConvoyEnv, "step", stop)
    monkeypatch.setattr(PPO, "learn", stop)
    monkeypatch.setattr(report_contents, "make_report", stop)
    monkeypatch.setattr(robustness, "make_robustness_plan", stop)


def contents(folder):
    """Return every file below a folder with its bytes."""
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# --- Damaged files ------------------------------------------------------------------------------


def write_new(path, content):
    """Write a file with a modification time of its own, which no cache has seen."""
    path.write_bytes(content)
    write_new.count += 1
    os.utime(path, (write_new.count, write_new.count))


write_new.count = 1_000_000

JSON_VALUES = st.sampled_from(
    (None, True, -1, 0, 1.5, 33_000.0, 10**400, float("nan"), float("inf"), 1e308, "", "x", "a\0b",
     "x" * 300, "../..", "/etc/passwd", "\ud800", [], {}, [[]], {"a": 1}, [1, 2], ["a", "a"])
)  # fmt: skip


def places_in(value, place=()):
    """Give the place of every value inside a JSON value, its own included."""
    yield place
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(item, (*place, key))


@st.composite
def damaged_bytes(draw, content):
    """Cut, flip, empty, re-encode or nest a file's bytes."""
    index = draw(st.integers(0, len(content) - 1))
    byte = bytes([draw(st.integers(0, 255))])
    return draw(
        st.sampled_from((
            content[:index],
            content[:index] + byte + content[index + 1 :],
            content[:index] + b"\xff\xfe" + content[index:],
            b"",
            b"\0" * 64,
            b"[" * 100_000,
            b"<a>" * 100_000,
            b"\xef\xbb\xbf" + content,
            content.decode().encode("utf-16"),
        ))
    )  # fmt: skip


@st.composite
def damaged_json(draw, content):
    """Put a value of another kind at any place, or an unknown or repeated key at the top."""
    value = json.loads(content)
    place = draw(st.sampled_from(list(places_in(value))))
    new = draw(JSON_VALUES)
    holder = {"root": value}
    parent = holder
    for key in ("root", *place)[:-1]:
        parent = parent[key]
    parent[("root", *place)[-1]] = new
    text = json.dumps(holder["root"])
    extra = draw(st.sampled_from(("", '"unknown_key": 1, ', '"seed": 1, "seed": 2, ')))
    if text.startswith("{") and len(text) > 2:
        text = "{" + extra + text[1:]
    return text.encode()


ATTRIBUTE = re.compile(r' ([\w:]+)="([^"]*)"')
ELEMENT = re.compile(r"<\w+[^<>]*/>")
DECLARATION = '<?xml version="1.0"?>\n'
BOMB = DECLARATION + '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi",
                                                                       strict=True)
) + "]><x>&i;</x>"  # fmt: skip
OUTSIDE = DECLARATION + '<!DOCTYPE x [<!ENTITY a SYSTEM "/etc/passwd">]><x>&a;</x>'


@st.composite
def damaged_xml(draw, content):
    """Change, drop or repeat an attribute or an element, or put a bomb in the file's place."""
    text = content.decode()
    attribute = draw(st.sampled_from(list(ATTRIBUTE.finditer(text))))
    element = draw(st.sampled_from(list(ELEMENT.finditer(text)) or [attribute]))
    value = draw(
        st.sampled_from(("", " ", "nan", "inf", "-1", "0", "1e308", "-1e9", "1e-300", "x", "a b"))
    )
    return draw(
        st.sampled_from((
            text[: attribute.start(2)] + value + text[attribute.end(2) :],
            text[: attribute.start(2)] + value + text[attribute.end(2) :],
            text[: attribute.start()] + text[attribute.end() :],
            text[: element.start()] + text[element.end() :],
            text[: element.end()] + element.group() + text[element.end() :],
            BOMB,
            OUTSIDE,
            f'{DECLARATION}<net version="1.20"><include href="network.net.xml"/></net>',
        ))
    ).encode()  # fmt: skip
