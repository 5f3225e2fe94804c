"""Points of the robustness curves, and the check that a level was what was asked."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from ml.evaluation.radio_meter import RadioMeter
from ml.evaluation.robustness_levels import levels_of
from ml.evaluation.robustness_points import axis_points, is_realised_as_asked, loss_tolerance
from ml.types import (
    HEARD_SEQUENCE_GAP,
    HEARD_TIME_SINCE_RECEPTION,
    NEVER_HEARD_S,
    NUM_HEARD_FIELDS,
)


def row(level, case, collision, *, age_s=0.05, family="H", alarms=0):
    """Return a row whose link sent 100 frames, of which 10 were lost in 8 bursts."""
    return {
        "radio_preset": level, "case_id": f"{family}-{case}", "family": family, "num_peers": 2,
        "hazard_kind": "hard_stop" if family == "H" else "calm", "hazard_is_realised": True,
        "collision": collision, "duration_s": 36.0, "false_alarms_1mps2": 0,
        "false_alarms_3mps2": alarms, "false_alarms_5mps2": 0,
        "link_frames": 100, "link_frames_lost": 10, "link_bursts": 8, "link_ages": 10,
        "link_age_sum_s": 10 * age_s,
    }  # fmt: skip


def rows(level, collisions, **given):
    return [row(level, case, collision, **given) for case, collision in enumerate(collisions)]


def points(by_policy, axis="delay", values=(0.0, 100.0)):
    return axis_points(axis, levels_of(axis, values), by_policy)


def measured(**given):
    return {
        "frames": 10_000, "loss": 0.5, "bursts": 2_500, "mean_burst": 2.0, "mean_age_ms": 150.0,
        "added_delay_ms": None, "num_peers": None, **given,
    }  # fmt: skip


# Two of four crash without delay and three of four with 100 ms; the rule crashes in one each time.
BY_POLICY = {
    "net": [*rows("delay_0", [1, 1, 0, 0]), *rows("delay_100", [1, 1, 1, 0], age_s=0.15)],
    "eebl": [*rows("delay_0", [1, 0, 0, 0]), *rows("delay_100", [0, 0, 0, 1], age_s=0.15)],
}


def test_a_point_has_its_counts_and_the_exact_interval():
    point = points(BY_POLICY)["points"]["net"][0]

    assert (point["collisions"], point["episodes"], point["collision_rate"]) == (2, 4, 0.5)
    # Clopper and Pearson for 2 of 4, symmetric: low solves 1 - (1-p)^4 - 4 p (1-p)^3 = 0.025.
    assert point["interval_95"] == pytest.approx([0.067586, 0.932414], abs=1e-6)


def test_each_policy_is_compared_with_the_rule_pair_by_pair():
    compared = [point["minus_eebl"] for point in points(BY_POLICY)["points"]["net"]]

    assert [(each["policy_only"], each["baseline_only"]) for each in compared] == [(1, 0), (3, 1)]
    assert [each["difference"] for each in compared] == [0.25, 0.5]


def test_the_rule_is_not_compared_with_itself():
    assert points(BY_POLICY)["points"]["eebl"][0]["minus_eebl"] is None


def test_trend_is_that_of_cochran_and_armitage():
    # Scores 0 and 100, 2 of 4 and 3 of 4: p = 5/8, z = (50 (3 - 2.5) - 50 (2 - 2.5)) /
    # sqrt(5/8 3/8 8 50^2) = 50 / sqrt(4687.5).
    trend = points(BY_POLICY)["trends"]["net"]

    assert trend["z"] == pytest.approx(50.0 / 4687.5**0.5)


def test_radio_is_measured_over_all_policies_and_counted_for_one():
    found = points(BY_POLICY)["levels"][1]["measured"]

    assert (found["frames"], found["loss"], found["bursts"]) == (400, 0.1, 32)
    assert found["mean_burst"] == pytest.approx(1.25)  # 10 lost in 8 bursts
    assert found["mean_age_ms"] == pytest.approx(150.0)
    assert found["added_delay_ms"] == pytest.approx(100.0)


def test_an_episode_whose_hazard_did_not_happen_does_not_count():
    missed = {**row("delay_0", 4, 0), "hazard_is_realised": False}

    point = points({"net": [*BY_POLICY["net"], missed, row("delay_100", 4, 0)]})["points"]["net"][0]

    assert (point["episodes"], point["not_realised"]) == (4, 1)


def test_calm_rows_give_false_alarms_per_hour_and_no_collisions():
    # 100 episodes of 36 s are an hour.
    calm = [
        row(level, case, 0, family="C", alarms=int(case < 3))
        for level in ("delay_0", "delay_100")
        for case in range(100)
    ]

    point = points({"net": [*BY_POLICY["net"], *calm]})["points"]["net"][0]

    assert point["episodes"] == 4
    assert point["false_alarms"]["per_hour"] == pytest.approx(3.0)


# --- Whether a level was realised ---------------------------------------------------------------


def test_tolerance_of_a_loss_grows_with_the_bursts():
    # p = r = 1/50, so c = 0.96 and (1 + c) / (1 - c) = 49: 4 sqrt(0.25 * 49 / 10^4) + 0.002.
    assert loss_tolerance(0.5, 50.0, 10_000) == pytest.approx(0.142)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, True),
        ({"loss": 0.521}, True),  # within 4 * 0.005 + 0.002
        ({"loss": 0.523}, False),
        ({"loss": None}, False),
        ({"mean_burst": 2.15}, True),  # within 4 sqrt(2 / 2500) + 0.04 = 0.153
        ({"mean_burst": 2.16}, False),
        ({"mean_burst": None}, False),
    ],
)
def test_a_level_of_bursts_is_realised_within_four_standard_deviations(found, expected):
    (level,) = levels_of("burst", [2.0])

    assert is_realised_as_asked(level, measured(**found)) is expected


def test_a_level_without_loss_has_no_bursts_to_meet():
    (level,) = levels_of("loss", [0.0])

    assert is_realised_as_asked(level, measured(loss=0.0, mean_burst=None))
    assert not is_realised_as_asked(level, measured(loss=0.003, mean_burst=None))


@pytest.mark.parametrize(
    ("added_ms", "expected"), [(304.0, True), (306.0, False), (0.0, False), (None, False)]
)
def test_a_delay_is_realised_within_five_milliseconds(added_ms, expected):
    (level,) = levels_of("delay", [300.0])

    assert is_realised_as_asked(level, measured(added_delay_ms=added_ms)) is expected


@pytest.mark.parametrize(("num_peers", "expected"), [(3, True), (4, False), (None, False)])
def test_a_number_of_peers_is_met_exactly(num_peers, expected):
    (level,) = levels_of("peers", [3.0])

    assert is_realised_as_asked(level, measured(num_peers=num_peers)) is expected


# --- The meter ----------------------------------------------------------------------------------


class StubEnvironment(gym.Env):
    """Two peers: the first one's frames are received, lost, received; the second left the range."""

    SENT = ([0, 20, 20], [0, 21, 21], [0, 22, 22], [0, 23, 23])
    DELIVERED = ([0, 19, 5], [0, 20, 5], [0, 20, 5], [0, 21, 5])
    SINCE_S = ((0.0, 0.0), (0.04, 9.0), (0.14, 9.1), (0.04, 9.2))
    GAPS = ((0, 0), (0, 0), (0, 0), (1, 0))

    def reset(self, **_):
        self.time = 0
        self.show()
        return 0, {}

    def step(self, action):
        self.time += 1
        self.show()
        return 0, 0.0, False, False, {}

    def show(self):
        counts = SimpleNamespace(
            frames_sent=np.array(self.SENT[self.time]),
            frames_delivered=np.array(self.DELIVERED[self.time]),
            frames_out_of_range=np.array([0, 0, 15]),
        )
        heard = np.zeros((3, NUM_HEARD_FIELDS))
        heard[1:, HEARD_TIME_SINCE_RECEPTION] = self.SINCE_S[self.time]
        heard[1:, HEARD_SEQUENCE_GAP] = self.GAPS[self.time]
        age_s = heard[:, HEARD_TIME_SINCE_RECEPTION] + 0.004
        self.radio = SimpleNamespace(statistics=lambda: counts, heard=heard, true_age_s=age_s)


def test_meter_counts_what_the_link_in_range_did_since_reset():
    meter = RadioMeter(StubEnvironment())
    meter.reset()
    for _ in range(3):
        meter.step(0)

    found = meter.measured()

    assert found["link_age_sum_s"] == pytest.approx(0.044 + 0.144 + 0.044)
    assert {key: found[key] for key in found if key != "link_age_sum_s"} == {
        "link_frames": 3, "link_frames_lost": 1, "link_bursts": 1, "link_ages": 3,
    }  # fmt: skip


def test_meter_leaves_out_the_age_of_a_peer_never_heard(monkeypatch):
    monkeypatch.setattr(StubEnvironment, "SINCE_S", ((NEVER_HEARD_S, 0.0),) * 4)
    meter = RadioMeter(StubEnvironment())
    meter.reset()
    meter.step(0)

    assert meter.measured()["link_ages"] == 0
