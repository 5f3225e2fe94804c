"""An environment whose numbers are its own counts, for tests of processes that hold one each."""

import ctypes
import os
import signal
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from ml.errors import ScenarioError


class CountingEnv(gym.Env):
    """Episodes of three steps; the reward is 100 x index + 10 x episode + step + action.

    Every second episode ends in a collision. `mode` makes step 2 of episode 1 of index 1 go wrong,
    each time, or only once where `marker` names a file to be made then.
    """

    observation_space = spaces.Dict(
        {
            "count": spaces.Box(-1e6, 1e6, (2,), np.float64),
            "index": spaces.Box(-1e6, 1e6, (1, 1), np.float32),
        }
    )
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, *, environment_index=0, mode="fine", marker=None):
        self.index, self.mode, self.episode, self.count = environment_index, mode, -1, 0
        self.master_seed, self.marker = 7, marker
        if mode == "refuse":
            raise ScenarioError("nothing here. Go elsewhere.")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = (options or {}).get("episode_index", self.episode + 1)
        self.count = 0
        if seed is not None:
            self.master_seed = seed
        return self._observation(), {"scenario_id": f"s{self.episode}"}

    def step(self, action):
        self.count += 1
        if (self.episode, self.count, self.index) == (1, 2, 1):
            self._go_wrong()
        is_over, is_collision = self.count == 3, self.episode % 2 == 1
        reward = 100.0 * self.index + 10.0 * self.episode + self.count + float(action[0])
        info = {"scenario_id": f"s{self.episode}", "reward_terms": {"all": reward}}
        if is_over:
            info["episode_record"] = {
                "episode_index": self.episode,
                "return": 30.0 * self.episode + 6.0,
                "terminated": is_collision,
                "duration_s": 0.3,
            }
        return self._observation(), reward, is_over and is_collision, is_over, info

    def _observation(self):
        count = np.array([self.episode, self.count], np.float64)
        return {"count": count, "index": np.full((1, 1), self.index, np.float32)}

    def _go_wrong(self):
        if self.marker is not None:
            if Path(self.marker).exists():
                return
            Path(self.marker).touch()
        if self.mode == "scenario":
            raise ScenarioError("road.xml must have a lane. Got none. Draw one.")
        if self.mode == "bug":
            raise ZeroDivisionError("division by zero")
        if self.mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "stuck":
            time.sleep(60)
        if self.mode == "busy":
            ctypes.PyDLL(None).sleep(60)  # and holds the interpreter's lock
