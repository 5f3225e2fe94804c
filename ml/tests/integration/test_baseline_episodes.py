"""The baselines in the real environment, where a car ahead brakes to a standstill."""

from __future__ import annotations

import numpy as np
import pytest

from ml.policies.baselines import make_scripted_policy
from ml.types import (
    TRACE_ACCELERATION,
    TRACE_DEMAND,
    TRACE_GAP,
    TRACE_LEAD_ACCELERATION,
    TRACE_LEAD_SPEED,
    TRACE_SPEED,
    TRACE_TIME,
)

ONSET_S = 6.0
HAZARD = {
    "kind": "hard_stop", "source_rank": 1, "onset_s": ONSET_S, "deceleration_mps2": 8.0,
}  # fmt: skip


@pytest.fixture
def play(base_cfg, make_env):
    """Play one episode of a policy; return its record and its trace."""
    env = make_env(sumo_cfg=base_cfg, scenario_seed=3, scenario_mode="eval", max_steps=250)

    def run(policy, headway_s, hazard=None, **options):
        policy.attach(env)
        observation, _ = env.reset(
            options={
                **policy.environment_options, **options,
                "episode_index": 0, "headway_s": headway_s, "friction_mps2": 9.8,
                "hazard": hazard or HAZARD,
            }
        )  # fmt: skip
        is_over = False
        while not is_over:
            action, _ = policy.predict(observation)
            observation, _, terminated, truncated, info = env.step(action)
            is_over = terminated or truncated
        return info["episode_record"], env.trace.copy()

    return run


def first_time_s(trace, rows):
    return float(trace[np.flatnonzero(rows & (trace[:, TRACE_TIME] > ONSET_S))[0], TRACE_TIME])


@pytest.mark.parametrize("options", [{}, {"reaction_delay_s": 1.5}, {"reaction_delay_s": 0.0}])
def test_the_careful_driver_brakes_1_15_s_after_the_onset(play, options):
    record, trace = play(make_scripted_policy("r157"), 1.0, **options)

    # Following brakes by 3 m/s^2 at most; the time is that of the end of the step.
    begun_s = first_time_s(trace, trace[:, TRACE_ACCELERATION] < -3.01) - ONSET_S
    full_s = first_time_s(trace, trace[:, TRACE_ACCELERATION] < -7.4) - ONSET_S
    assert 1.05 <= begun_s <= 1.25
    assert full_s <= 1.15 + 0.6 + 0.3
    assert trace[:, TRACE_ACCELERATION].min() > -7.6
    assert record["reaction_delay_s"] == 0.65


def test_the_careful_driver_avoids_what_the_one_of_the_regulation_avoids(play):
    # At 20 m/s behind 8 m/s^2 that one, which brakes by nothing else, needs 1.31 s: a driver's gap
    # of 2 m + 1.21 s * 20 m/s.
    record, _ = play(make_scripted_policy("r157"), 1.21)

    assert record["headway_at_onset_s"] == pytest.approx(1.31, abs=0.02)
    assert not record["collision"]


def required_mps2(row):
    """Deceleration required behind a car that brakes, and stands before the ego would."""
    stop_m = row[TRACE_LEAD_SPEED] ** 2 / max(-row[TRACE_LEAD_ACCELERATION], 1e-9)
    return row[TRACE_SPEED] ** 2 / (2.0 * row[TRACE_GAP] + stop_m)


def test_aeb_brakes_fully_0_2_s_after_more_than_4_8_mps2_are_required(play):
    record, trace = play(make_scripted_policy("aeb"), 0.8)

    first = int(np.flatnonzero(trace[:, TRACE_DEMAND] > 0.0)[0])
    # The decision that led to row k was made at the state of row k - 1 and saw that of row k - 3.
    assert required_mps2(trace[first - 3]) > 4.8 >= required_mps2(trace[first - 4])
    assert set(trace[:, TRACE_DEMAND].tolist()) == {0.0, 8.0}
    assert not record["collision"]
    assert trace[-1, TRACE_DEMAND] == 0.0  # it has let go of the car that stands


def test_aeb_crashes_where_a_rule_that_hears_does_not(play):
    # A gap of 0.5 s, 10 m. The reference of braking kinematics at 20 m/s gives 0.43 s for a command
    # 0.31 s after the onset; aeb waits for 4.8 m/s^2 and sees them 0.2 s later.
    blind, _ = play(make_scripted_policy("aeb"), 0.4)
    hearing, _ = play(make_scripted_policy("oracle"), 0.4)

    assert (blind["collision"], hearing["collision"]) == (True, False)


def test_rss_widens_the_gap_of_a_tailgater_before_anything_happens(play):
    # 14.8 m without age, 4.8 m more for 0.2 s of it, at 20 m/s; the driver alone keeps 10 m.
    record, trace = play(make_scripted_policy("rss"), 0.4)

    calm = trace[trace[:, TRACE_TIME] < ONSET_S]
    assert calm[0, TRACE_GAP] < 11.0
    assert calm[-1, TRACE_GAP] > 14.0
    assert record["false_alarms_5mps2"] >= 1
    assert not record["collision"]


@pytest.mark.parametrize("name", ["aeb", "r157", "rss", "eebl@3.0"])
def test_an_episode_is_the_same_whatever_the_policy_played_before(play, name):
    policy = make_scripted_policy(name)
    hazard = {**HAZARD, "onset_s": 20.0}  # the first one ends while the ego still brakes

    first = play(make_scripted_policy(name), 0.8)
    _, before = play(policy, 0.3, hazard=hazard)
    again = play(policy, 0.8)

    assert before.shape != first[1].shape or not np.array_equal(before, first[1])
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])


def test_the_record_tells_when_the_policy_braked(play):
    record, trace = play(make_scripted_policy("oracle"), 0.8, ego_driver="none")
    driver, _ = play(make_scripted_policy("driver"), 1.5)

    # Row k ends at (k + 1) / 10 s; without a driver nothing but the policy brakes.
    first = int(np.flatnonzero(trace[:, TRACE_ACCELERATION] < -1.0)[0])
    assert record["time_to_braking_s"] == pytest.approx(0.1 * (first + 1) - ONSET_S)
    assert 0.2 <= record["time_to_braking_s"] <= 0.5
    assert record["margin_to_oracle_s"] == 0.0
    assert (driver["time_to_braking_s"], driver["margin_to_oracle_s"]) == (None, None)


def test_needless_braking_is_what_virtual_followers_hit(play):
    calm = {"kind": "calm"}
    driver, _ = play(make_scripted_policy("driver"), 1.0, hazard=calm)
    always, _ = play(make_scripted_policy("always"), 1.0, hazard=calm)

    assert (driver["num_followers"], driver["num_follower_collisions"]) == (6, 0)
    assert driver["follower_max_impact_mps"] is None
    assert always["num_follower_collisions"] >= 1
    assert always["follower_max_impact_mps"] > 1.0
