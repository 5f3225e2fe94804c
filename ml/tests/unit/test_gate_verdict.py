"""Tests of the verdict in words: a rule that ties comes first."""

import pytest

from ml.evaluation.gate_verdict import gates_verdict
from ml.tests.evaluation_rows import rows

PASSED = [{"name": name, "status": "pass"} for name in ("canary", "extra saves")]


def verdict_of(rows_by_policy, gates=PASSED):
    return gates_verdict(rows_by_policy, gates, "net", radio_presets=("nominal",))


def test_a_rule_that_ties_is_in_the_first_sentence():
    verdict = verdict_of({"net": rows("H", 100, 1), "eebl": rows("H", 100, 2)})

    first = verdict["text"].split(". ")[0]
    assert first == "A rule ties with net, no difference shown (eebl in H under nominal)"


def test_a_rule_that_is_better_comes_before_one_that_ties():
    verdict = verdict_of({
        "net": rows("M", 100, 20), "eebl": rows("M", 100, 10), "aeb": rows("M", 100, 19),
    })  # fmt: skip

    assert verdict["text"].startswith(
        "A rule collides less often than net (eebl in M under nominal); "
        "a rule ties with net, no difference shown (aeb in M under nominal)."
    )


def test_families_and_presets_of_a_rule_are_named_together():
    everywhere = [
        one for preset in ("nominal", "roof") for family in ("H", "M")
        for one in rows(family, 30, 0, preset=preset)
    ]  # fmt: skip
    only_roof = [one for one in everywhere if one["radio_preset"] == "roof"]
    verdict = gates_verdict(
        {"net": everywhere, "eebl": everywhere, "aeb": only_roof}, PASSED, "net"
    )

    assert verdict["text"].startswith(
        "A rule ties with net, no difference shown (eebl in H and M under nominal and roof; "
        "aeb in M under roof)."
    )


def test_beating_every_rule_is_said():
    verdict = verdict_of({"net": rows("H", 100, 0), "eebl": rows("H", 100, 6)})

    assert verdict["text"].startswith("net collides less often than every rule")
    assert [entry["rule"] for entry in verdict["rules"]] == ["eebl"]


def test_no_rule_is_said():
    assert verdict_of({"net": rows("H", 9, 0)})["text"].startswith("No rule was run beside net")


def test_aeb_is_not_held_against_the_policy_in_h():
    assert verdict_of({"net": rows("H", 9, 0), "aeb": rows("H", 9, 0)})["rules"] == []


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        (("pass", "pass"), "PASS"),
        (("pass", "open"), "INCONCLUSIVE"),
        (("fail", "open"), "FAIL"),
    ],
)
def test_result_is_that_of_the_worst_gate(statuses, result):
    gates = [
        {"name": name, "status": status}
        for name, status in zip(("canary", "radio off"), statuses, strict=True)
    ]
    verdict = verdict_of({}, gates)

    assert verdict["result"] == result
    assert f"Verdict: {result}." in verdict["text"]
