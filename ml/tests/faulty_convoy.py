"""The convoy's environment with a fault in one of its steps, also in a process of its own."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import libsumo
import numpy as np
from gymnasium.envs.registration import registry

from ml.envs import ENVIRONMENT_ID, vector_env
from ml.envs.convoy_env import ConvoyEnv
from ml.types import SENSED_SPEED

_VARIABLE = "ROADSENSE_TEST_FAULT"


def ask_for_fault(monkeypatch, kind, *, environment=1, episode=0, step=5, marker=None):
    """Let the environments that are made from now on have a fault; with a marker it happens once.

    Args:
        monkeypatch: pytest's.
        kind: A signal's name, or see ``FaultyConvoy.step``.
        environment: Index of the environment.
        episode: Index of the episode.
        step: Number of the step in it.
        marker: A file that is made when the fault happens.
    """
    place = {"environment": environment, "episode": episode, "step": step}
    asked = {"kind": kind, **place, "marker": None if marker is None else str(marker)}
    monkeypatch.setenv(_VARIABLE, json.dumps(asked))
    defaults = vector_env.ConvoyWorkers.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "environment", FaultyConvoy)
    spec = replace(registry[ENVIRONMENT_ID], entry_point=FaultyConvoy)
    monkeypatch.setitem(registry, ENVIRONMENT_ID, spec)


class FaultyConvoy(ConvoyEnv):
    """A convoy that does what it was asked for in a step."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._asked = json.loads(os.environ[_VARIABLE])
        self._place = kwargs.get("environment_index", 0)
        self._steps = 0
        self._fault = None

    def reset(self, **kwargs):
        self._steps = 0
        return super().reset(**kwargs)

    def step(self, action):
        self._steps += 1
        self._fault = self._due()
        if str(self._fault).startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, self._fault))
        if self._fault == "fatal":
            libsumo.simulationStep = self._refuse
        if self._fault == "reward":
            self._reward._weights[0] = np.nan
        return super().step(action)

    def _observe(self):
        sensed, heard = self.radio.ego_sensed, self.radio.heard
        if self._fault == "sensor":
            sensed = np.where(np.arange(sensed.size) == SENSED_SPEED, np.nan, sensed)
        if self._fault == "frame":
            heard = heard + np.where(np.arange(heard.shape[1]) == SENSED_SPEED, np.inf, 0.0)
        return self._observer.observation(sensed, heard)

    def _due(self):
        """Return the fault of this step, None for none."""
        asked = self._asked
        place = (asked["environment"], asked["episode"], asked["step"])
        if place != (self._place, self._current_index, self._steps):
            return None
        if asked["marker"] is not None:
            marker = Path(asked["marker"])
            if marker.exists():
                return None
            marker.touch()
        return asked["kind"]

    @staticmethod
    def _refuse():
        raise libsumo.FatalTraCIError("connection closed by SUMO")
