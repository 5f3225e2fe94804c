"""The console script: verbs, help and hints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ml import __version__
from ml.cli import VERBS, dispatch


def test_help_lists_every_verb(capsys):
    dispatch(["--help"])

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
        "heavy = {'torch', 'numba', 'scipy', 'stable_baselines3', 'libsumo'}\n"
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

    assert "--seed" in result.stdout
    assert result.stderr == ""
