"""Tests of ml.evaluation.comparisons: what is paired, what is shown, what Holm changes."""

import pytest

from ml.evaluation.comparisons import METRICS, compare_metric, compare_policies, metric_value
from ml.tests.evaluation_rows import calm_row, row, rows

BY_NAME = {metric.name: metric for metric in METRICS}
GAP = BY_NAME["min_gap_m"]
ALARMS = BY_NAME["false_alarms_3mps2_per_hour"]
FOLLOWERS = BY_NAME["follower_collision_rate"]
IMPACT = BY_NAME["impact_speed_mps"]


def gaps(values):
    return [row(index=index, min_gap_m=value) for index, value in enumerate(values)]


def alarms(counts):
    """Episodes of 36 s, a hundredth of an hour, with so many false alarms."""
    return [calm_row(index, false_alarms_3mps2=count) for index, count in enumerate(counts)]


def test_value_is_the_mean_of_what_was_measured():
    records = [*gaps([1.0, 2.0, None]), row(index=9, min_gap_m=50.0, hazard_is_realised=False)]

    assert metric_value(records, GAP) == 1.5
    assert metric_value([row()], GAP) is None


def test_rates_are_sums_over_sums():
    # 3 alarms in 4 episodes of 0.01 h; 1 of 4 followers and 1 of 12.
    assert metric_value(alarms([3, 0, 0, 0]), ALARMS) == pytest.approx(75.0)
    followers = [
        row(num_followers=4, num_follower_collisions=1),
        row(num_followers=12, num_follower_collisions=1),
    ]
    assert metric_value(followers, FOLLOWERS) == 0.125


def test_no_collision_is_an_impact_of_zero():
    records = [row(), row(collision=True, impact_speed_mps=6.0)]
    assert metric_value(records, IMPACT) == 3.0


def test_a_deceleration_that_no_car_reaches_counts_as_ten():
    # 99 m/s^2 stands for contact; (2 + 10) / 2.
    records = [
        row(max_required_deceleration_mps2=2.0), row(max_required_deceleration_mps2=99.0),
    ]  # fmt: skip
    assert metric_value(records, BY_NAME["max_required_deceleration_mps2"]) == 6.0


def test_difference_is_the_first_minus_the_other_over_the_pairs():
    first, other = gaps([2.0, 3.0, 4.0, 5.0] * 5), gaps([1.0, 1.0, 2.0, 3.0] * 5)
    result = compare_metric(first, other, GAP, "eebl")

    assert (result["pairs"], result["value"], result["other_value"]) == (20, 3.5, 1.75)
    assert result["difference"] == 1.75
    assert result["conclusion"] == "higher than eebl"
    assert result["bootstrap_seed"] == 20261125


def test_no_difference_is_shown_where_the_interval_holds_zero():
    first, other = gaps([1.0, 4.0, 2.0, 3.0] * 5), gaps([2.0, 2.0, 3.0, 2.5] * 5)
    result = compare_metric(first, other, GAP, "eebl")

    low, high = result["interval_95"]
    assert low < 0.0 < high
    assert result["conclusion"] == "no difference shown"


def test_pairs_that_one_side_lacks_or_does_not_count_are_left_out():
    first = [*gaps([1.0, None, 5.0]), row(index=3, min_gap_m=7.0, hazard_is_realised=False)]
    other = gaps([2.0, 2.0, 4.0, 4.0])

    result = compare_metric(first, other, GAP, "eebl")
    assert (result["pairs"], result["value"], result["other_value"]) == (2, 3.0, 3.0)


def test_nothing_measured_is_no_difference_shown():
    result = compare_metric([row()], [row()], GAP, "eebl")
    assert (result["pairs"], result["difference"]) == (0, None)
    assert result["conclusion"] == "no difference shown"


def test_false_alarms_are_compared_by_the_exact_ratio_too():
    # 8 alarms in 8 episodes against none: bootstrap and 2 / 2**8 both show it.
    many, none = alarms([1] * 8 + [0] * 92), alarms([0] * 100)
    shown = compare_metric(none, many, ALARMS, "eebl")

    assert shown["difference"] == pytest.approx(-8.0)
    assert shown["rate_ratio_p"] == pytest.approx(2 / 2**8)
    assert (shown["rate_ratio"], shown["conclusion"]) == (0.0, "lower than eebl")


def test_five_alarms_to_none_are_too_few_for_the_exact_test():
    # 2 / 2**5 = 0.0625, though each resample of the bootstrap is as likely to hold some.
    result = compare_metric(alarms([0] * 100), alarms([1] * 5 + [0] * 95), ALARMS, "eebl")

    assert result["interval_95"][1] < 0.0
    assert result["conclusion"] == "no difference shown"


def test_a_ratio_without_an_end_is_saved_as_null():
    result = compare_metric(alarms([1] * 5 + [0]), alarms([0] * 6), ALARMS, "eebl")
    assert result["rate_ratio"] is None
    assert result["rate_ratio_interval_95"][1] is None


def test_collisions_are_held_to_holms_p_over_the_families():
    # 2 / 2**6 = 0.03125 in H; over H, M and N with 1 each, three times as much.
    first = [*rows("H", 50, 0), *rows("M", 50, 3), *rows("N", 50, 3)]
    other = [*rows("H", 50, 6), *rows("M", 50, 3), *rows("N", 50, 3)]

    alone = compare_policies(first[:50], other[:50], "eebl")
    together = compare_policies(first, other, "eebl")

    assert alone[0]["collisions"]["conclusion"] == "fewer collisions than eebl"
    assert [entry["family"] for entry in together] == ["H", "M", "N"]
    assert together[0]["collisions"]["holm_p"] == pytest.approx(3 * 0.03125)
    assert together[0]["collisions"]["conclusion"] == "no difference shown"


def test_families_of_another_preset_are_not_counted_by_holm():
    first = [*rows("H", 50, 0), *rows("H", 50, 0, preset="roof")]
    other = [*rows("H", 50, 6), *rows("H", 50, 3, preset="roof")]

    entries = compare_policies(first, other, "eebl")

    assert [entry["radio_preset"] for entry in entries] == ["nominal", "roof"]
    assert entries[0]["collisions"]["holm_p"] == pytest.approx(0.03125)


def test_rows_are_matched_by_case_whatever_their_order():
    first, other = gaps(range(20)), gaps(range(20))

    (entry,) = compare_policies(first, other[::-1], "eebl")

    assert entry["metrics"]["min_gap_m"]["interval_95"] is None  # every difference is 0
    assert set(entry["metrics"]) == set(BY_NAME)
