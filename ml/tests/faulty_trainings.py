"""Trainings of a second on the base scenario, ended as the command line ends them."""

import contextlib
import io
import json
import sys
from unittest.mock import patch

from ml.command_line import run_command
from ml.tests.contract.bad_input_cases import check_line
from ml.training.train_convoy import main

SHORT = ("--total_timesteps=32", "--n_steps=16", "--dev_episodes=0", "--imitation_episodes=0",
         "--quiet")  # fmt: skip


def run_training(folder, *flags, more=("--skip_eval",)):
    """Run the command in this process; return its exit status and what it said on stderr."""
    return run_main(f"--output_dir={folder}", *SHORT, *flags, *more)


def run_main(*argv):
    """Run the command in this process; return its exit status and what it said on stderr."""
    said = io.StringIO()
    with (
        patch.object(sys, "argv", ["train", *argv]),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            run_command(main)
        except SystemExit as end:
            return end.code, said.getvalue()
    raise AssertionError("a command exits")


def check_failed(folder, ending):
    """Check that a training failed on one line that its manifest holds too; return the line."""
    status, said = ending
    assert status == 1
    (line,) = said.splitlines()
    check_line(line)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], f"error: {manifest['failure']}") == ("failed", line)
    assert temporary_files(folder) == []
    assert not (folder / "model_final.zip").exists()
    return line


def temporary_files(folder):
    """Return what a write that was given up has left."""
    return [path for path in folder.rglob(".*") if path.name != ".lock"]
