"""The console script: verbs, help and hints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml import __version__
from ml.cli import VERBS, dispatch


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_verb(capsys, arguments):
    dispatch(arguments)

    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


def test_version(capsys):
    dispatch(["--version"])

    assert capsys.readouterr().out == f"roadsense {__version__}\n"


def test_a_mistyped_verb_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as caught:
        dispatch(["trian"])

    assert caught.value.code == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in sorted(VERBS))])
def test_help_loads_none_of_the_heavy_libraries(arguments):
    code = (
        "import sys; from ml.cli import dispatch\n"
        "try:\n"
        "    dispatch(sys.argv[1:])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'torch', 'numba', 'scipy', 'matplotlib', 'stable_baselines3', 'libsumo'}\n"
        "heavy |= {'gymnasium', 'rich'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )

    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert (result.returncode, result.stderr) == (0, "")


def test_a_mistyped_flag_is_answered_before_anything_heavy_is_loaded():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ml.cli", "train", "--sed", "1"],
        check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert result.returncode == 2
    assert "Did you mean '--seed'?" in result.stderr
    assert "torch" not in result.stderr


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help(verb):
    result = subprocess.run(
        [sys.executable, "-m", "ml.cli", verb, "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert "--debug" in result.stdout
    assert result.stderr == ""


# --- Where the output goes -----------------------------------------------------------------------

BUFFERED = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
UNBUFFERED = {**BUFFERED, "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize("environment", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_output_without_a_reader_is_one_line(arguments, environment):
    read_end, write_end = os.pipe()
    os.close(read_end)

    result = subprocess.run(
        [sys.executable, "-m", "ml.cli", *arguments],
        check=False, timeout=60, stdout=write_end, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    os.close(write_end)

    assert result.returncode == 1
    assert result.stderr == (
        "error: standard output must have a reader. Got a closed pipe. Send it to a file.\n"
    )


@pytest.mark.parametrize("environment", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
def test_output_to_a_full_disk_is_one_line(environment):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "ml.cli", "--help"],
            check=False, timeout=60, stdout=full, stderr=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    assert result.returncode == 1
    assert result.stderr.startswith("error: a file cannot be read or written: [Errno 28]")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_command_without_standard_streams_does_its_work(closed):
    result = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m ml.cli --help {closed}"],
        check=False, timeout=60, capture_output=True, text=True,
    )  # fmt: skip

    assert (result.returncode, result.stderr) == (0, "")


def test_help_of_no_verb_loads_torch():
    modules = sorted({verb.arguments_module for verb in VERBS.values()})
    script = f"import importlib, sys\n[importlib.import_module(name) for name in {modules}]\n"
    script += "print('torch' in sys.modules)"

    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )

    assert result.stdout == "False\n"
