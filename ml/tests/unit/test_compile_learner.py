"""When the learner's kernels are compiled in a process of their own, and which."""

from __future__ import annotations

import subprocess

import pytest

from ml.training import compile_learner as module
from ml.training.compile_learner import learner_compiled_beside


class _Process:
    """Stands in for the process that compiles."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.is_killed = False

    def __call__(self, command: list[str], **_: object) -> _Process:
        self.commands.append(command)
        return self

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.is_killed

    def kill(self) -> None:
        self.is_killed = True


@pytest.fixture
def process(monkeypatch):
    """Two cores and no kernels; nothing is started."""
    stand_in = _Process()
    monkeypatch.setattr(subprocess, "Popen", stand_in)
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    monkeypatch.setattr(module, "is_kept", lambda _: False)
    return stand_in


def test_learner_is_compiled_in_a_process_that_ends_with_the_training(process):
    with learner_compiled_beside("fast"):
        assert len(process.commands) == 1
        assert not process.is_killed
    assert process.commands[0][-1] == "ml.training.compile_learner"
    assert process.is_killed


def test_process_is_ended_when_the_training_fails(process):
    with pytest.raises(ValueError, match="failed"), learner_compiled_beside("fast"):
        raise ValueError("failed")
    assert process.is_killed


def test_nothing_is_started_for_the_plain_learner(process):
    with learner_compiled_beside("sb3"):
        assert process.commands == []


def test_nothing_is_started_on_one_core(process, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 1)
    with learner_compiled_beside("fast"):
        assert process.commands == []


def test_nothing_is_started_when_the_kernels_are_kept(process, monkeypatch):
    monkeypatch.setattr(module, "is_kept", lambda _: True)
    with learner_compiled_beside("fast"):
        assert process.commands == []
