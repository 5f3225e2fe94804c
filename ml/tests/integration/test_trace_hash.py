"""The hash of an episode's steps tells episodes apart whose sums are equal."""

import json

import numpy as np
import pytest

from ml.envs.episode_recorder import TRACE_SHA256
from ml.espnow_emulator.parameters import radio_parameters_path

pytestmark = pytest.mark.integration

NUM_STEPS = 60


def record_of(env, last_actions=()):
    """Play the first episode with some actions at its end, and no demand before."""
    env.reset(seed=3, options={"hazard": {"kind": "calm"}})
    actions = np.full(NUM_STEPS, -1.0, dtype=np.float32)
    actions[NUM_STEPS - len(last_actions) :] = last_actions
    for action in actions:
        *_, info = env.step(np.array([action]))
    return info["episode_record"]


def changed_fields(first, second):
    return [name for name in first if first[name] != second[name]]


@pytest.fixture
def open_env(make_env, base_cfg):
    def open_one(**arguments):
        return make_env(sumo_cfg=base_cfg, scenario_seed=3, max_steps=NUM_STEPS, **arguments)

    return open_one


def test_the_same_steps_have_the_same_hash(open_env):
    env = open_env()

    assert record_of(env)[TRACE_SHA256] == record_of(env)[TRACE_SHA256]


def test_one_action_that_changes_no_sum_changes_the_hash(open_env):
    env = open_env()

    # The last demand, 0.08 m/s^2, is below any alarm and would take hold one step later.
    assert changed_fields(record_of(env), record_of(env, [0.01])) == [TRACE_SHA256]


def test_no_demand_is_the_same_however_it_is_asked_for(open_env):
    env = open_env()

    assert changed_fields(record_of(env), record_of(env, [-0.5, 0.0])) == []


def test_other_noise_of_what_is_heard_changes_the_hash_alone(open_env, tmp_path):
    content = json.loads(radio_parameters_path(None).read_text())
    content["sensor_noise"]["speed_std_ms"] *= 1.01
    (tmp_path / "radio.json").write_text(json.dumps(content))
    env = open_env()
    before = record_of(env)
    env.close()

    now = record_of(open_env(emulator_params_path=tmp_path / "radio.json"))

    assert changed_fields(before, now) == [TRACE_SHA256]


def test_a_log_of_frames_changes_no_hash(open_env):
    env = open_env()
    before = record_of(env)
    env.keep_frames()

    assert changed_fields(before, record_of(env)) == []
