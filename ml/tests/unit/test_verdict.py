"""Tests of ml.evaluation.verdict and run: what counts, what is shown, what is judged."""

import json

import pytest

from ml.errors import RecordError
from ml.evaluation.episodes import check_same_episodes, run_scripted_policy
from ml.evaluation.verdict import (
    build_report,
    compare_collisions,
    judge,
    summarise_alarms,
    summarise_collisions,
    uncovered_buckets,
)
from ml.evaluation.verdict_text import format_report, format_side_by_side

ALL_BUCKETS = [(n, rank) for n in range(1, 9) for rank in range(1, n + 1)]


def episode(*, collision=False, kind="hard_stop", realised=True, num_peers=3, rank=1, **fields):
    return {
        "scenario_id": "eval_000",
        "num_peers": num_peers,
        "terminated": collision,
        "truncated": not collision,
        "collision": collision,
        "hazard_kind": kind,
        "hazard_is_realised": realised,
        "hazard_source_rank": rank,
        "hazard_onset_s": 7.5,
        "hazard_requested_deceleration_mps2": 8.0,
        "duration_s": 50.0,
        "false_alarms_1mps2": 0,
        "false_alarms_3mps2": 0,
        "false_alarms_5mps2": 0,
        **fields,
    }


def calm(**fields):
    nothing = {"rank": None, "hazard_requested_deceleration_mps2": None, "hazard_onset_s": None}
    return episode(kind="calm", **{**nothing, **fields})


def covering(collisions=0):
    """72 hard stops, two in each bucket, of which the first ones collide; and 10 h of calm."""
    hard = [
        episode(collision=index < collisions, num_peers=bucket[0], rank=bucket[1])
        for index, bucket in enumerate(ALL_BUCKETS * 2)
    ]
    return [*hard, calm(duration_s=36_000.0)]


def baselines(**collisions):
    counts = {"null": 72, "driver": 20, "oracle": 0, "eebl": 1, **collisions}
    return {name: covering(count) for name, count in counts.items()}


# --- What counts -------------------------------------------------------------------------------


def test_hazard_that_did_not_happen_enters_no_rate():
    summary = summarise_collisions([episode(collision=True), episode(realised=False)])
    assert summary["all"]["episodes"] == 1
    assert summary["num_not_realised"] == 1


def test_collision_before_the_hazard_still_counts():
    summary = summarise_collisions([episode(collision=True, realised=False)])
    assert summary["all"]["collisions"] == 1
    assert summary["num_not_realised"] == 0


def test_rate_of_one_collision_in_four_has_the_exact_interval():
    rate = summarise_collisions([episode(collision=True), *[episode()] * 3])["all"]
    assert rate["collision_rate"] == 0.25
    # Clopper-Pearson for 1 of 4: 0.63 % to 80.59 % (published tables of exact limits).
    assert rate["interval_95"] == pytest.approx([0.0063, 0.8059], abs=5e-5)


def test_rates_are_given_by_kind_and_by_peers_and_rank():
    records = [episode(rank=2), episode(rank=2, collision=True), calm(), episode(kind="benign")]
    summary = summarise_collisions(records)
    assert summary["by_hazard_kind"]["hard_stop"]["collisions"] == 1
    assert set(summary["by_hazard_kind"]) == {"hard_stop", "benign", "calm"}
    buckets = summary["by_num_peers_and_rank"]
    assert [(row["num_peers"], row["hazard_source_rank"]) for row in buckets] == [(3, 1), (3, 2)]
    assert buckets[1]["episodes"] == 2


def test_rate_without_episodes_is_null():
    assert summarise_collisions([])["all"]["collision_rate"] is None


def test_false_alarms_are_counted_per_hour_of_calm_traffic():
    records = [
        calm(false_alarms_3mps2=2, duration_s=1800.0),
        episode(kind="benign", false_alarms_3mps2=1, duration_s=1800.0),
        episode(false_alarms_3mps2=5, duration_s=3600.0),
    ]
    alarms = summarise_alarms(records)
    assert alarms["calm_and_benign"]["false_alarms_3mps2"]["per_hour"] == 3.0
    assert alarms["all"]["false_alarms_3mps2"]["per_hour"] == 4.0


def test_false_alarms_are_null_where_they_were_not_recorded():
    record = calm()
    del record["false_alarms_5mps2"]
    assert summarise_alarms([record])["all"]["false_alarms_5mps2"]["per_hour"] is None


# --- Comparisons -------------------------------------------------------------------------------


def test_six_to_nothing_is_fewer_collisions():
    # 2 / 2**6 = 0.03125 <= 0.05
    policy, driver = [episode()] * 20, [episode(collision=i < 6) for i in range(20)]
    result = compare_collisions(policy, driver, "the driver")
    assert result["mcnemar_p"] == pytest.approx(0.03125)
    assert result["difference"] == pytest.approx(-0.3)
    assert result["conclusion"] == "fewer collisions than the driver"


def test_five_to_nothing_shows_no_difference():
    # 2 / 2**5 = 0.0625 > 0.05
    policy, driver = [episode()] * 20, [episode(collision=i < 5) for i in range(20)]
    assert compare_collisions(policy, driver, "it")["conclusion"] == "no difference shown"


def test_nothing_to_six_is_more_collisions():
    policy, driver = [episode(collision=i < 6) for i in range(20)], [episode()] * 20
    assert compare_collisions(policy, driver, "it")["conclusion"] == "more collisions than it"


def test_pairs_are_counted_by_who_collided():
    mine = [episode(collision=value) for value in (True, True, False, False, False)]
    other = [episode(collision=value) for value in (True, False, True, True, False)]
    result = compare_collisions(mine, other, "it")
    assert (result["policy_only"], result["baseline_only"], result["pairs"]) == (1, 2, 5)


def test_pair_without_hazard_and_collision_is_left_out():
    pairs = [episode(realised=False)], [episode(realised=False)]
    assert compare_collisions(*pairs, "it")["pairs"] == 0


def test_pair_counts_when_only_the_other_collided_before_the_hazard():
    pairs = [episode(realised=False)], [episode(realised=False, collision=True)]
    assert compare_collisions(*pairs, "it")["baseline_only"] == 1


# --- Verdict -----------------------------------------------------------------------------------


def test_policy_that_saves_enough_without_alarms_passes():
    assert judge(covering(2), baselines())["result"] == "PASS"


def test_null_that_survives_fails_the_evaluation():
    # 68 of 72 = 94.4 % < 95 %
    verdict = judge(covering(2), baselines(null=68))
    assert verdict["result"] == "FAIL"
    assert verdict["canary"]["null"]["collisions"] == 68


def test_null_at_95_8_percent_keeps_the_limit():
    assert judge(covering(2), baselines(null=69))["result"] == "PASS"  # 69 / 72


def test_oracle_that_crashes_fails_the_evaluation():
    assert judge(covering(2), baselines(oracle=2))["result"] == "FAIL"  # 2 / 72 = 2.8 %


def test_oracle_crash_before_the_hazard_is_held_against_it():
    crashed = [
        {**row, "hazard_is_realised": not row["collision"]} for row in baselines(oracle=2)["oracle"]
    ]
    assert judge(covering(2), {**baselines(), "oracle": crashed})["result"] == "FAIL"


def test_hard_half_starts_at_6_4_mps2():
    soft = [{**row, "hazard_requested_deceleration_mps2": 6.39} for row in covering(72)]
    hard = [{**row, "hazard_requested_deceleration_mps2": 6.4} for row in covering(72)]
    assert judge(covering(), {"null": soft})["canary"]["null"]["episodes"] == 0
    assert judge(covering(), {"null": hard})["canary"]["null"]["episodes"] == 73 - 1


def test_policy_with_more_collisions_than_the_driver_fails():
    assert judge(covering(20), baselines(driver=2))["result"] == "FAIL"


def test_policy_as_good_as_the_driver_is_inconclusive():
    assert judge(covering(20), baselines(driver=20))["result"] == "INCONCLUSIVE"


def test_policy_that_brakes_all_the_time_fails():
    records = [
        {**row, "false_alarms_3mps2": 1000 if row["hazard_kind"] == "calm" else 0}
        for row in covering()
    ]
    assert judge(records, baselines())["result"] == "FAIL"


def test_too_few_episodes_are_inconclusive_and_say_so():
    few = {name: [episode(collision=name == "null")] * 3 for name in baselines()}
    verdict = judge([episode()] * 3, few)
    assert verdict["result"] == "INCONCLUSIVE"
    assert any("too few episodes" in reason for reason in verdict["reasons"])


def test_few_episodes_fail_when_they_already_exclude_the_limit():
    # 0 of 3: the upper bound 1 - 0.05 ** (1 / 3) = 63 % is below 95 %.
    few = {name: [episode()] * 3 for name in baselines()}
    assert judge([episode()] * 3, few)["result"] == "FAIL"


def test_without_baselines_nothing_is_shown():
    assert judge(covering(), {})["result"] == "INCONCLUSIVE"


def test_uncovered_buckets_are_listed():
    records = [row for row in covering() if row["num_peers"] != 8]
    assert uncovered_buckets(records) == [(8, rank) for rank in range(1, 9)]
    assert judge(records, {})["uncovered_buckets"][0] == [8, 1]


def test_benign_braking_covers_no_bucket():
    assert len(uncovered_buckets([episode(kind="benign")])) == 36


# --- Report ------------------------------------------------------------------------------------


def test_report_is_strict_json():
    report = build_report(covering(2), baselines())
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_report_of_records_with_nothing_but_the_specified_fields_is_inconclusive():
    record = {"scenario_id": "s", "terminated": True, "truncated": False}
    report = build_report([record], {})
    assert report["verdict"]["result"] == "INCONCLUSIVE"
    assert report["episodes"]["all"]["collisions"] == 1


def test_text_names_the_verdict_every_policy_and_what_was_not_realised():
    records = [*covering(2), episode(realised=False)]
    others = {name: [*rows, episode(realised=False)] for name, rows in baselines().items()}
    text = format_report(build_report(records, others))
    assert text.startswith("Verdict: PASS")
    for name in ("policy", "null", "driver", "oracle", "eebl"):
        assert f"\n  {name}" in text
    assert "1 episodes whose hazard did not happen" in text
    assert max(map(len, text.splitlines())) <= 100


def test_table_of_several_policies_has_each_count_interval_and_comparison():
    records = {"net": [episode(), episode()], "packaged": [episode(collision=True), episode()]}
    text = format_side_by_side(records, {"driver": [episode(collision=True)] * 2})
    rows = [line.split() for line in text.splitlines()]
    # Clopper and Pearson: 0 of 2 is at most 1 - 0.025**0.5, 1 of 2 from there to its complement.
    assert rows[2][:6] == ["net", "2", "0", "0.0%", "to", "84.2%"]
    assert rows[3][:6] == ["packaged", "2", "1", "1.3%", "to", "98.7%"]
    assert rows[4][:3] == ["driver", "2", "2"]
    against = [line.split(":")[0].strip() for line in text.splitlines() if " against " in line]
    assert against == ["net against packaged", "net against driver"]


def test_a_policy_that_is_a_baseline_is_not_compared_with_itself():
    records = {"eebl": [episode()], "net": [episode()]}
    text = format_side_by_side(records, {"eebl": [episode()]})
    assert "eebl against net" in text
    assert "eebl against eebl" not in text


# --- The same episodes -------------------------------------------------------------------------


def test_same_episodes_may_end_differently():
    check_same_episodes([episode()], [episode(collision=True)], "null")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("scenario_id", "eval_001"),
        ("hazard_kind", "benign"),
        ("hazard_onset_s", 7.6),
        ("hazard_source_rank", 2),
    ],
)
def test_another_episode_in_the_same_row_is_refused(field, value):
    with pytest.raises(RecordError, match=field):
        check_same_episodes([episode()], [{**episode(), field: value}], "null")


def test_another_number_of_episodes_is_refused():
    with pytest.raises(RecordError, match="as many"):
        check_same_episodes([episode()] * 2, [episode()], "null")


class CountingEnv:
    """An environment that fails in its second step and knows whether it was closed."""

    def __init__(self):
        self.is_closed = False

    def reset(self):
        return 0, {"scenario_id": "s"}

    def step(self, action):
        raise RuntimeError("lost the simulator")

    def close(self):
        self.is_closed = True


class OptionPolicy:
    def __init__(self):
        self.environment_options = {"ego_driver": "none"}

    def attach(self, env):
        self.attached_to = env

    def predict(self, observation, *, deterministic):
        return 0.0, None


def test_baseline_gets_its_options_and_its_environment_is_closed_after_a_failure():
    env, policy, given = CountingEnv(), OptionPolicy(), []

    def make(options):
        given.append(options)
        return env

    with pytest.raises(RuntimeError, match="lost the simulator"):
        run_scripted_policy(policy, make, 1)
    assert given == [{"ego_driver": "none"}]
    assert policy.attached_to is env
    assert env.is_closed
