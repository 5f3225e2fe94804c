"""Sections of a report's page, where a folder lacks something or has more than one."""

from __future__ import annotations

import dataclasses

import pytest

from ml.reporting.evaluation_folder import read_evaluation_folder
from ml.reporting.markup import facts, object_table
from ml.reporting.page import report_html
from ml.reporting.rates_section import rates_section
from ml.reporting.verdict_section import gates_section, verdict_section
from ml.tests.evaluation_folders import JUDGED, write_evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sections") / "evaluation"
    return read_evaluation_folder(write_evaluation(path, episodes=3, recordings=1))


def changed(folder, **changes):
    """Return a folder with other contents of evaluation.json."""
    return dataclasses.replace(folder, evaluation={**folder.evaluation, **changes})


def test_a_verdict_on_the_whole_is_that_on_each_policy(folder):
    page = verdict_section(changed(folder, verdict={"result": "PASS", "text": "All is well."}))

    assert "PASS</span>" in page
    assert "All is well." in page


def test_an_unknown_verdict_counts_as_open(folder):
    page = verdict_section(changed(folder, verdict={JUDGED: {"result": "SPLENDID"}}))

    assert '<div class="verdict open">' in page


def test_a_shortfall_fails_the_whole_though_every_gate_passed(folder):
    page = report_html(changed(folder, verdict={JUDGED: {"result": "PASS"}}, result="FAIL"))

    assert '<p class="overall fail">Evaluation: ' in page
    assert '<div class="verdict pass">' in page


def test_without_a_judged_policy_the_page_says_so(folder):
    page = report_html(dataclasses.replace(folder, judged=()))

    assert "No policy was judged by the gates." in page
    assert 'id="gates"' not in page


def test_a_gate_without_checks_shows_its_own_text(folder):
    gate = {"name": "canary", "status": "open", "text": "nothing was run"}

    page = gates_section(changed(folder, gates={JUDGED: [gate]}))

    assert "<p>nothing was run</p>" in page
    assert "Findings" not in page


def test_only_a_check_that_failed_says_at_once_why(folder):
    checks = [
        {"name": name, "status": status, "text": f"reason of {name}", "radio_preset": "roof"}
        for name, status in (("first", "pass"), ("second", "fail"))
    ]
    gate = {"name": "canary", "status": "fail", "text": "", "checks": checks}

    page = gates_section(changed(folder, gates={JUDGED: [gate]}))

    assert page.count("reason of first") == 1
    assert page.count("reason of second") == 2


def test_a_preset_that_decides_no_gate_opens_on_demand(folder):
    protocol = {"radio_presets": ["roof"]}

    page = rates_section(changed(folder, protocol=protocol))

    assert page.index('aria-label="Radio preset roof"') < page.index(
        "<details><summary>Radio preset nominal"
    )


def test_a_long_list_is_cut_and_its_length_is_said():
    text = object_table("not_realised", [{"case_id": f"case{index}"} for index in range(1234)])

    assert "<summary>not realised: 1,234, the first 300 shown</summary>" in text
    assert text.count("<tr>") == 301
    assert "case300" not in text


def test_an_object_with_many_entries_opens_on_demand():
    few, many = (facts({"versions": dict.fromkeys(names, 1)}) for names in ("abc", "abcdefg"))

    assert "<details>" not in few
    assert "<summary>7 entries</summary>" in many
