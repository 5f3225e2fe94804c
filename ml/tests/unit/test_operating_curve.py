"""Tests of ml.evaluation.operating_curve on hand-made rows."""

import pytest

from ml.evaluation.operating_curve import (
    base_policy,
    compare_at_alarm_rate,
    loosest_point,
    operating_curve,
    threshold_mps2,
)
from ml.tests.evaluation_rows import calm_rows, rows

POINTS = {"eebl": (4, 5), "eebl@6": (9, 1), "eebl@2": (1, 30), "eebl@4": (4, 5)}
ROWS = {
    name: [*rows("H", 50, collisions), *rows("M", 50, 2 * collisions), *calm_rows(100, alarms)]
    for name, (collisions, alarms) in POINTS.items()
}


@pytest.mark.parametrize(
    ("policy", "base", "threshold"),
    [
        ("eebl@3.5", "eebl", 3.5), ("eebl", "eebl", None), ("a@b", "a@b", None),
        ("a@b@2", "a@b", 2.0), ("a@nan", "a@nan", None), ("3.5", "3.5", None),
    ],
)  # fmt: skip
def test_threshold_is_what_follows_the_last_at(policy, base, threshold):
    assert (base_policy(policy), threshold_mps2(policy)) == (base, threshold)


def test_points_come_by_rising_threshold_without_the_bare_rule():
    curve = operating_curve(ROWS, "eebl", "nominal")

    assert [point["policy"] for point in curve] == ["eebl@2", "eebl@4", "eebl@6"]
    assert [point["all"]["collisions"] for point in curve] == [3, 12, 27]
    assert [point["M"]["collisions"] for point in curve] == [2, 8, 18]
    assert curve[0]["H"]["collision_rate"] == 0.02
    # 100 episodes of 36 s are one hour.
    assert [point["false_alarms"]["per_hour"] for point in curve] == pytest.approx([30, 5, 1])


def test_a_bare_rule_is_a_point_where_it_is_the_only_one():
    (point,) = operating_curve({"eebl": ROWS["eebl"]}, "eebl", "nominal")
    assert (point["policy"], point["threshold_mps2"]) == ("eebl", None)


def test_a_bare_network_stands_for_threshold_zero_unless_that_was_run():
    network = {"net": ROWS["eebl"], "net@2": ROWS["eebl@4"]}
    with_zero = {**network, "net@0": ROWS["eebl"]}

    curves = [
        operating_curve(each, "net", "nominal", bare_mps2=0.0) for each in (network, with_zero)
    ]
    assert [[point["policy"] for point in curve] for curve in curves] == [
        ["net", "net@2"],
        ["net@0", "net@2"],
    ]


@pytest.mark.parametrize(
    ("limit", "policy"), [(30.0, "eebl@2"), (29.9, "eebl@4"), (5.0, "eebl@4"), (1.0, "eebl@6")]
)
def test_loosest_point_is_the_smallest_threshold_that_keeps_the_limit(limit, policy):
    assert loosest_point(operating_curve(ROWS, "eebl", "nominal"), limit)["policy"] == policy


def test_no_threshold_keeps_a_limit_below_every_rate():
    assert loosest_point(operating_curve(ROWS, "eebl", "nominal"), 0.9) is None


def test_no_calm_traffic_is_no_rate_of_zero():
    curve = operating_curve({"eebl": rows("H", 10, 0)}, "eebl", "nominal")

    assert curve[0]["false_alarms"]["per_hour"] is None
    assert loosest_point(curve, 10.0) is None


def test_curves_are_compared_pair_by_pair_at_one_rate():
    network = {"net": [*rows("H", 50, 0), *rows("M", 50, 1), *calm_rows(100, 9)]}
    both = {**ROWS, **network}
    curves = tuple(operating_curve(both, name, "nominal") for name in ("net", "eebl"))

    comparison = compare_at_alarm_rate(both, curves, 10.0)["comparison"]
    # 4 in H and 8 in M of the rule, of which the network shares one: 11 alone.
    assert (comparison["pairs"], comparison["policy_only"], comparison["baseline_only"]) == (
        100, 0, 11,
    )  # fmt: skip
    assert comparison["mcnemar_p"] == pytest.approx(2 / 2**11)


def test_a_curve_without_a_point_at_a_rate_is_not_compared():
    curves = (operating_curve(ROWS, "eebl", "nominal"), [])
    assert compare_at_alarm_rate(ROWS, curves, 10.0)["comparison"] is None
