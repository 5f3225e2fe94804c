"""SUMO's window: the same episodes as in process, a picture of the ego, one line when it closes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sumo
from PIL import Image

from ml.envs import sumo_window
from ml.errors import ScenarioError, SimulatorError

NO_DEMAND = np.array([-1.0], dtype=np.float32)
HEADLESS_SUMO = str(Path(sumo.SUMO_HOME) / "bin" / "sumo")


@pytest.fixture
def headless_window(monkeypatch):
    """Let TraCI start SUMO without its window."""
    monkeypatch.setenv("DISPLAY", ":not-used")
    monkeypatch.setattr(sumo_window, "gui_binary", lambda: HEADLESS_SUMO)


def trace_of(env, num_episodes):
    """Return one text per step: observation, reward and info, and a hash of them all."""
    steps = []
    actions = np.random.default_rng(0)
    for _ in range(num_episodes):
        observation, info = env.reset(options={"hazard": {"kind": "hard_stop", "source_rank": 1}})
        steps.append(_text(observation, 0.0, info))
        is_over = False
        while not is_over:
            action = actions.uniform(-1.0, 0.2, 1).astype(np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            steps.append(_text(observation, reward, info))
            is_over = terminated or truncated
    return steps


def _text(observation, reward, info):
    digest = hashlib.sha256(b"".join(observation[key].tobytes() for key in sorted(observation)))
    return f"{digest.hexdigest()} {float(reward).hex()} {info!r}"


@pytest.mark.parametrize("base", ["base", "base_urban"])
def test_two_episodes_through_traci_are_those_of_libsumo_bit_for_bit(
    headless_window, base_cfg, make_env, base
):
    cfg = base_cfg.parent.parent / base / "scenario.sumocfg"
    in_process = make_env(sumo_cfg=cfg, scenario_seed=3, max_steps=200)
    expected = trace_of(in_process, 2)

    through_traci = make_env(sumo_cfg=cfg, scenario_seed=3, max_steps=200, gui=True)

    assert trace_of(through_traci, 2) == expected


def test_nothing_of_sumo_reaches_our_output(headless_window, base_cfg, make_env, capfd):
    env = make_env(sumo_cfg=base_cfg, scenario_seed=3, render_mode="human")
    env.reset()
    env.step(NO_DEMAND)
    env.reset()
    env.close()

    assert capfd.readouterr() == ("", "")


def test_closing_the_window_leaves_no_process(headless_window, base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, gui=True)
    env.reset(seed=1)
    process = env._connection._sumo._process
    env.close()

    assert process.returncode is not None


def test_a_window_closed_by_hand_ends_in_one_line(headless_window, base_cfg, make_env):
    env = make_env(sumo_cfg=base_cfg, gui=True)
    env.reset(seed=1)
    process = env._connection._sumo._process
    process.kill()
    process.wait()

    with pytest.raises(SimulatorError, match=r"window must stay open.*It was closed") as caught:
        env.step(NO_DEMAND)
    assert "\n" not in str(caught.value)
    env.close()
    env.reset(seed=1)  # a new window opens


def test_a_scenario_that_sumo_refuses_is_named_first_or_later(
    headless_window, base_cfg, make_env, tmp_path
):
    broken = shutil.copytree(base_cfg.parent, tmp_path / "broken")
    routes = broken / "vehicles.rou.xml"
    good_text = routes.read_text(encoding="utf-8")
    env = make_env(sumo_cfg=broken / "scenario.sumocfg", gui=True)
    env.reset(seed=1)

    routes.write_text(good_text.replace('edges="forward', 'edges="nowhere'), encoding="utf-8")
    for _ in ("in the open window", "in a new one"):
        with pytest.raises(ScenarioError, match=r"SUMO cannot load .*nowhere") as caught:
            env.reset()
        assert "\n" not in str(caught.value)


def test_a_window_that_cannot_open_says_so_in_one_line(monkeypatch, base_cfg, make_env, tmp_path):
    loader = tmp_path / "sumo-gui"
    loader.write_text(
        "#!/bin/sh\necho 'sumo-gui: error while loading shared libraries: libGL.so.1' >&2; exit 127"
    )
    loader.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(sumo_window, "gui_binary", lambda: str(loader))
    env = make_env(sumo_cfg=base_cfg, gui=True)

    with pytest.raises(
        SimulatorError, match=r"DISPLAY=:77.*libGL\.so\.1.*apt-get install"
    ) as caught:
        env.reset(seed=1)
    assert "\n" not in str(caught.value)


def test_a_killed_process_takes_its_window_along(base_cfg, tmp_path):
    script = (
        "import sys, time\n"
        "from ml.envs import sumo_window\n"
        "from ml.envs.convoy_env import ConvoyEnv\n"
        f"sumo_window.gui_binary = lambda: {HEADLESS_SUMO!r}\n"
        f"env = ConvoyEnv(sumo_cfg={str(base_cfg)!r}, gui=True)\n"
        "env.reset(seed=1)\n"
        "print(env._connection._sumo._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DISPLAY": ":not-used"},
    ) as python:
        pid = int(python.stdout.readline())
        python.kill()
    deadline_s = time.monotonic() + 20.0
    while _is_running(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)

    assert not _is_running(pid)


def _is_running(pid):
    """Return whether a process runs; one that only waits for its parent to notice does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb: apt-get install xvfb")
def test_the_real_window_shows_the_ego_in_the_middle_in_every_episode(
    base_cfg, make_env, monkeypatch, tmp_path
):
    with _virtual_display() as display:
        monkeypatch.setenv("DISPLAY", display)
        env = make_env(sumo_cfg=base_cfg, gui=True)
        pictures = []
        for episode in range(2):
            env.reset(seed=episode, options={"headway_s": 1.0})
            picture = tmp_path / f"{episode}.png"
            for step in range(30):
                if step == 20:
                    env._connection._sumo.gui.screenshot("View #0", str(picture))
                env.step(NO_DEMAND)
            pictures.append(np.asarray(Image.open(picture).convert("RGB")) / 255.0)
        env.close()

    for picture in pictures:
        red, green, blue = np.moveaxis(picture, -1, 0)
        rows, columns = np.nonzero((red > 0.6) & (green < 0.4) & (blue < 0.4))
        height, width = red.shape
        assert rows.size >= 20  # the ego, painted red, is a few pixels wide and long
        assert abs(np.median(columns) - width / 2) < 0.05 * width
        assert abs(np.median(rows) - height / 2) < 0.05 * height
        assert np.count_nonzero((red > 0.9) & (green > 0.9) & (blue < 0.3)) >= 20  # yellow peers


@contextlib.contextmanager
def _virtual_display():
    """Run an X server without a screen and give its name."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        [
            shutil.which("Xvfb"),
            "-displayfd",
            str(write_end),
            "-screen",
            "0",
            "1280x900x24",
            "-nolisten",
            "tcp",
        ],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as stream:
            yield f":{stream.readline().strip()}"
    finally:
        server.terminate()
        server.wait()
