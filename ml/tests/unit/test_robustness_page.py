"""The page and the Markdown of the robustness curves."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from ml.reporting.robustness_page import robustness_html, robustness_markdown


def point(value, collisions, interval):
    return {
        "value": value, "episodes": 4, "collisions": collisions, "not_realised": 0,
        "collision_rate": collisions / 4, "interval_95": interval, "false_alarms": None,
        "minus_eebl": None,
    }  # fmt: skip


def level(name, value, *, is_realised=True):
    return {
        "name": name, "value": value, "is_realised": is_realised,
        "asked": {"loss": value, "mean_burst": None, "mean_age_ms": None},
        "measured": {"frames": 400, "loss": value, "mean_burst": None, "mean_age_ms": None},
    }  # fmt: skip


def curves(names=("net", "eebl"), not_realised=()):
    """Return curves of one axis with two levels: 1 of 4 crash, then 2 of 4."""
    points = [point(0.1, 1, [0.006, 0.806]), point(0.9, 2, [0.068, 0.932])]
    return {
        "settings": {"family": "H", "episodes": 4},
        "policies": [{"id": name} for name in names],
        "axes": {
            "loss": {
                "levels": [level("loss_0.1", 0.1), level("loss_0.9", 0.9)],
                "points": dict.fromkeys(names, points),
                "trends": {name: {"z": 0.756} for name in names},
            }
        },
        "not_realised": list(not_realised),
        "provenance": {"code_sha256": "abc"},
    }


def drawing_of(page):
    (svg,) = re.findall(r'<svg class="drawing".*?</svg>', page, re.DOTALL)
    return ElementTree.fromstring(svg)  # noqa: S314 - our own page


def test_each_policy_has_a_line_and_an_interval_and_a_mark_at_each_level():
    drawing = drawing_of(robustness_html(curves()))

    kinds = [element.get("class") for element in drawing.iter()]
    assert kinds.count("curve series-of-0") == kinds.count("curve series-of-1") == 1
    assert kinds.count("interval series-of-0") == 2
    assert kinds.count("mark series-of-1 shape-square") == 2


def test_interval_stands_between_its_limits():
    drawing = drawing_of(robustness_html(curves(names=["net"])))
    lines = [e.get("d") for e in drawing.iter() if e.get("class") == "interval series-of-0"]

    heights = [[float(n) for n in re.findall(r"^M\S+ (\S+)L\S+ ([\d.]+)M", d)[0]] for d in lines]

    # The axis is 288 high and ends with 100 % at 12, so that 0.6 % stands at 12 + 288 * 0.994.
    assert heights[0] == pytest.approx([298.3, 67.9], abs=0.06)
    assert heights[1] == pytest.approx([280.4, 31.6], abs=0.06)


def test_policies_stand_side_by_side_at_a_level():
    drawing = drawing_of(robustness_html(curves(names=["a", "b", "c"])))
    lines = [e.get("points") for e in drawing.iter() if "curve" in (e.get("class") or "")]

    first = [float(points.split(",")[0]) for points in lines]

    assert first == pytest.approx([82.0 - 4.0, 82.0, 82.0 + 4.0])  # 64 + 18, where 0.1 stands


def test_mark_tells_its_counts():
    page = robustness_html(curves())

    assert "<title>net at 0.9: 2 of 4, 50.0 % (6.8 to 93.2 %)</title>" in page


def test_caption_names_the_number_of_episodes_of_a_point():
    assert "n = 4 a point" in robustness_html(curves())


def test_level_that_was_not_realised_is_named_at_the_top():
    page = robustness_html(curves(not_realised=["loss_0.9"]))

    assert "Not realised as asked: loss_0.9." in page


def test_page_needs_nothing_from_elsewhere():
    page = robustness_html(curves())

    assert re.findall(r"(?:src|href)=\"[^#]|url\(|@import|<script", page) == []


def test_name_of_a_policy_is_text():
    page = robustness_html(curves(names=["<b>&"]))

    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page


def test_markdown_has_a_line_for_each_level_and_the_trend():
    assert robustness_markdown(curves(names=["net"])).splitlines() == [
        "Collisions against frame loss probability; losses independent of each other; n = 4 a "
        "point.",
        "",
        "| frame loss probability | net |",
        "| --- | --- |",
        "| 0.1 | 25.0 % (0.60 to 80.6 %) |",
        "| 0.9 | 50.0 % (6.8 to 93.2 %) |",
        "| trend z | +0.8 |",
        "",
    ]
