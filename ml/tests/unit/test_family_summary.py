"""Tests of ml.evaluation.family_summary against hand arithmetic on hand-made rows."""

import pytest

from ml.evaluation.family_summary import summarise
from ml.tests.evaluation_rows import calm_row, row, rows


def test_what_did_not_happen_is_counted_apart_and_enters_nothing():
    summary = summarise([row(min_gap_m=3.0), row(hazard_is_realised=False, min_gap_m=99.0)])

    assert (summary["num_episodes"], summary["num_not_realised"]) == (2, 1)
    assert summary["collisions"]["episodes"] == 1
    assert summary["min_gap_m"]["max"] == 3.0


def test_no_collision_in_276_has_the_bound_of_the_rule_of_three_made_exact():
    collisions = summarise(rows("H", 276, 0))["collisions"]

    assert collisions["collision_rate"] == 0.0
    assert collisions["upper_bound_95"] == pytest.approx(0.010795, rel=1e-4)  # 1 - 0.05**(1/276)
    assert collisions["interval_95"][1] == pytest.approx(1 - 0.025 ** (1 / 276))


def test_collisions_are_given_by_peers_and_rank_and_calm_has_no_rank():
    summary = summarise(
        [row(collision=True), row(hazard_source_rank=2), calm_row(num_peers=0), row()]
    )

    cells = [
        (cell["num_peers"], cell["source_rank"], cell["episodes"], cell["collisions"])
        for cell in summary["by_num_peers_and_rank"]
    ]
    assert cells == [(0, None, 1, 0), (3, 1, 2, 1), (3, 2, 1, 0)]


def test_distribution_counts_only_what_was_measured():
    # Of 0, 1, 2, 3 and 4 s: mean and median 2; 5 % and 95 % lie at 0.2 and 3.8 between the ranks.
    ttc = [0.0, 1.0, 2.0, 3.0, 4.0, None]
    summary = summarise([row(min_ttc_s=value) for value in ttc])

    assert summary["min_ttc_s"] == pytest.approx(
        {"measured": 5, "mean": 2.0, "min": 0.0, "p05": 0.2, "median": 2.0, "p95": 3.8, "max": 4.0}
    )


def test_a_deceleration_that_no_car_reaches_counts_as_ten():
    records = [row(max_required_deceleration_mps2=value) for value in (2.0, 99.0)]

    required = summarise(records)["max_required_deceleration_mps2"]
    assert (required["mean"], required["max"]) == (6.0, 10.0)


def test_what_no_episode_measured_is_null():
    summary = summarise([row()])

    names = ("impact_speed_mps", "followers", "time_to_braking_s", "jerk_p99_mps3")
    assert [summary[name] for name in names] == [None] * 4
    assert summary["radio"]["delivery_ratio"] is None


def test_nothing_at_all_is_null_rather_than_zero():
    summary = summarise([])

    assert summary["collisions"]["collision_rate"] is None
    assert summary["collisions"]["upper_bound_95"] is None
    assert summary["false_alarms"]["3mps2"]["per_hour"] is None
    assert summary["radio"]["age_at_onset_s"]["share_over_500ms"] is None


def test_false_alarms_are_per_hour_and_per_km_with_garwoods_limits():
    # 100 episodes of 36 s and 500 m: 1 h and 50 km. Garwood (1936) for 10 events: 4.795, 18.390.
    calm = [calm_row(index, false_alarms_3mps2=int(index < 10)) for index in range(100)]
    alarms = summarise(calm)["false_alarms"]

    assert alarms["hours"] == pytest.approx(1.0)
    assert alarms["distance_km"] == pytest.approx(50.0)
    assert alarms["3mps2"]["count"] == 10
    assert alarms["3mps2"]["per_hour"] == pytest.approx(10.0)
    assert alarms["3mps2"]["per_hour_interval_95"] == pytest.approx((4.795, 18.390), abs=6e-4)
    assert alarms["3mps2"]["per_km"] == pytest.approx(0.2)
    assert alarms["1mps2"]["per_hour"] == 0.0


def test_false_alarms_that_one_episode_did_not_record_are_null():
    alarms = summarise([calm_row(0), calm_row(1, false_alarms_5mps2=None)])["false_alarms"]

    assert alarms["5mps2"]["count"] is None
    assert alarms["5mps2"]["per_hour"] is None
    assert alarms["3mps2"]["count"] == 0


def test_followers_are_counted_and_the_interval_is_over_episodes():
    # 16 followers each in 2 episodes, 4 of the first collided: 4 of 32, 1 of 2 episodes.
    summary = summarise([
        row(0, num_followers=16, num_follower_collisions=4, follower_max_impact_mps=3.5),
        row(1, num_followers=16, num_follower_collisions=0, follower_max_impact_mps=None),
    ])["followers"]  # fmt: skip

    assert summary["collision_rate"] == 0.125
    assert summary["episode_rate"] == 0.5
    # Exact limits of 1 in 2: 1 - 0.975**(1/2) and 0.975**(1/2).
    assert summary["episode_interval_95"] == pytest.approx((0.012579, 0.987421), abs=1e-6)
    assert summary["impact_speed_mps"]["max"] == 3.5


def test_an_ego_that_never_braked_is_counted_apart():
    reaction = summarise([
        row(time_to_braking_s=0.4), row(time_to_braking_s=0.6), row(time_to_braking_s=None),
        calm_row(time_to_braking_s=None),
    ])["time_to_braking_s"]  # fmt: skip

    assert (reaction["num_never"], reaction["measured"]) == (1, 2)
    assert reaction["mean"] == pytest.approx(0.5)


def test_an_ego_that_never_braked_in_any_episode_is_no_missing_value():
    assert summarise([row(time_to_braking_s=None)])["time_to_braking_s"] == {
        "num_never": 1,
        "measured": 0,
    }


def test_a_car_never_heard_is_older_than_any_that_was():
    # 18 ages of 0.1 s, one of 0.6 s, one never heard: 2 of 20 over 500 ms; 95 % is the 19th, 99 %
    # the 20th.
    ages = [*[0.1] * 18, 0.6, None]
    radio = summarise([*(row(age_at_onset_s=age) for age in ages), calm_row()])["radio"]
    age = radio["age_at_onset_s"]

    assert (age["episodes"], age["never_heard"], age["over_500ms"]) == (20, 1, 2)
    assert age["mean_of_heard"] == pytest.approx((18 * 0.1 + 0.6) / 19)
    assert (age["p95"], age["p99"]) == (0.6, None)
    assert age["share_over_500ms"] == 0.1


def test_age_of_exactly_500_ms_is_not_over_it():
    assert summarise([row(age_at_onset_s=0.5)])["radio"]["age_at_onset_s"]["over_500ms"] == 0
