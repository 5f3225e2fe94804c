"""Tests of ml.evaluation.age_curve on hand-made rows."""

import pytest

from ml.evaluation.age_curve import age_curve, kinematic_collision_rate
from ml.tests.evaluation_rows import calm_row, row, rows


def aged(counts):
    """Return rows by (age, collisions, episodes)."""
    return [
        stop
        for age_s, collisions, episodes in counts
        for stop in rows("H", episodes, collisions, age_at_onset_s=age_s)
    ]


def test_bins_hold_their_lower_end_and_the_unheard_have_their_own():
    ages = [0.0, 0.0999, 0.1, 0.2, 0.4, 0.7, 1.2, 55.0, None]
    curve = age_curve([row(index=i, age_at_onset_s=age) for i, age in enumerate(ages)], [])

    assert [entry["episodes"] for entry in curve["bins"]] == [2, 1, 1, 1, 1, 2, 1]
    assert [entry["from_s"] for entry in curve["bins"]] == [0.0, 0.1, 0.2, 0.4, 0.7, 1.2, None]
    assert [entry["to_s"] for entry in curve["bins"]][-3:] == [1.2, None, None]
    assert [entry["is_never_heard"] for entry in curve["bins"]] == [False] * 6 + [True]


def test_rate_and_exact_interval_of_a_bin():
    (first, *_) = age_curve(aged([(0.06, 1, 4)]), [])["bins"]

    assert first["collision_rate"] == 0.25
    # Clopper-Pearson for 1 of 4: 0.63 % to 80.59 % (published tables of exact limits).
    assert first["interval_95"] == pytest.approx([0.0063, 0.8059], abs=5e-5)
    assert first["mean_age_s"] == pytest.approx(0.06)
    assert first["kinematic_collision_rate"] < 0.005


@pytest.mark.parametrize(
    ("delay_s", "rate"), [(0.16, 0.003), (0.36, 0.0305), (0.66, 0.123), (1.16, 0.3495)]
)
def test_kinematic_reference_is_half_a_control_period_after_the_message(delay_s, rate):
    # A second program's table by the delay from the onset to the command, +-0.5 points.
    assert kinematic_collision_rate(delay_s - 0.05) == pytest.approx(rate, abs=0.005)


def test_rising_collisions_are_said():
    # Over bins 0, 1, 2 of 20: 0, 4, 10 of them. p = 14/60, mean score 1, sum n (s - 1)^2 = 40:
    # z = (10 - 0) / sqrt(0.23333 * 0.76667 * 40) = 10 / 2.6749 = 3.738.
    curve = age_curve(aged([(0.05, 0, 20), (0.15, 4, 20), (0.3, 10, 20)]), [])

    assert curve["trend"]["z"] == pytest.approx(3.738, abs=1e-3)
    assert curve["trend"]["p_rising"] == pytest.approx(9.3e-5, rel=0.01)
    assert curve["conclusion"] == "collisions rise with the age at the onset"


def test_falling_and_flat_collisions_are_said():
    falling = age_curve(aged([(0.05, 10, 20), (0.15, 4, 20), (0.3, 0, 20)]), [])
    flat = age_curve(aged([(0.05, 5, 20), (0.15, 5, 20)]), [])

    assert "fall with the age" in falling["conclusion"]
    assert flat["conclusion"] == "no trend shown"


def test_those_never_heard_are_the_oldest():
    curve = age_curve(aged([(0.05, 0, 20), (None, 10, 20)]), [])

    assert curve["conclusion"] == "collisions rise with the age at the onset"


@pytest.mark.parametrize("counts", [[], [(0.05, 0, 9), (0.5, 0, 9)], [(0.05, 4, 9)]])
def test_nothing_to_tell_apart_has_no_trend(counts):
    curve = age_curve(aged(counts), [])

    assert curve["trend"] is None
    assert curve["conclusion"].startswith("no trend can be seen")


def test_only_realised_stops_of_the_car_ahead_in_h_enter():
    others = [
        row("M"), row(hazard_source_rank=2), row(hazard_is_realised=False), calm_row(),
    ]  # fmt: skip

    assert sum(entry["episodes"] for entry in age_curve([*others, row()], [])["bins"]) == 1


def test_driver_alone_is_the_level_without_radio():
    driver = [*rows("H", 20, 5), *rows("D", 20, 20)]

    assert age_curve([], driver)["no_radio"]["collision_rate"] == 0.25
