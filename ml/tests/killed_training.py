"""Kills a training at a chosen moment: ``python -m ml.tests.killed_training EVENT COUNT FLAG...``.

The process ends itself with SIGKILL, which leaves it no time for anything, just before the COUNTth
EVENT; or in the middle of it, where the event's name begins with ``half``. With ``EVENT:SIGNAL`` it
sends that signal to its children and itself in place of that, and the event goes on.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CallbackList

from ml.command_line import run_command
from ml.envs.episode_memory import RememberedEpisodes
from ml.tests.processes import children_of
from ml.training import callbacks, learning, resumption, run_state
from ml.training.development import DevelopmentEpisodes
from ml.training.fast_ppo import FastPPO
from ml.training.train_convoy import main
from ml.training.vector_adapter import WorkersVecEnv


def end():
    os.kill(os.getpid(), signal.SIGKILL)


def send_to_all(number):
    """Send a signal to the children, which are no part of this group, and then to this process."""
    children = children_of(os.getpid())
    assert children
    for one in (*children, os.getpid()):
        os.kill(one, number)


def half_bytes(path, content):
    with Path(path).open("wb") as stream:
        stream.write(content[: len(content) // 2])
    end()


def half_text(path, text, **_):
    half_bytes(path, text.encode())


def half_row(self):
    with self._path.open("a") as stream:
        stream.write('{"steps": 1')
    end()


def half_model(self, path):
    half_bytes(path, b"PK" * 1000)


def no_more(*_, **__):
    end()


EVENTS = {
    "step": [(CallbackList, "on_step", no_more)],
    "rollout": [(CallbackList, "on_rollout_start", no_more)],
    "rollout_end": [(CallbackList, "on_rollout_end", no_more)],
    "update": [(PPO, "train", no_more), (FastPPO, "train", no_more)],
    "training_end": [(CallbackList, "on_training_end", no_more)],
    "development": [(DevelopmentEpisodes, "play", no_more)],
    "row": [(callbacks.ProgressCallback, "_write_row", no_more)],
    "half_row": [(callbacks.ProgressCallback, "_write_row", half_row)],
    "half_model": [(PPO, "save", half_model)],
    "half_arrays": [(Path, "write_bytes", half_bytes)],
    "half_state": [(Path, "write_text", half_text)],
    "fsync": [(os, "fsync", no_more)],
    "rename": [(os, "rename", no_more)],
    "replace": [(os, "replace", no_more)],
    "rmtree": [(run_state.shutil, "rmtree", no_more)],
    "unlink": [(os, "unlink", no_more)],
    "truncate": [(os, "truncate", no_more)],
    "cut_back": [(resumption, "cut_back", no_more)],
    "restore": [(learning, "restore", no_more)],
    "replay": [(RememberedEpisodes, "go_on", no_more), (WorkersVecEnv, "go_on", no_more)],
    "remove": [(resumption, "remove_unfinished", no_more)],
}


def arm(event, count):
    """Let the process end, or all processes get a signal, at an event's given occurrence."""
    event, _, signal_name = event.partition(":")
    seen = []
    for owner, name, ending in EVENTS[event]:
        original = getattr(owner, name)

        def instead(*args, original=original, ending=ending, **kwargs):
            seen.append(event)
            if len(seen) == count and not signal_name:
                return ending(*args, **kwargs)
            if len(seen) == count:
                send_to_all(signal.Signals[signal_name])
            return original(*args, **kwargs)

        setattr(owner, name, instead)


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]))
    run_command(lambda: main(sys.argv[3:]))
