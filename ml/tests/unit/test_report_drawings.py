"""The figures' arithmetic: places on scales, bins, parting lines."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from ml.reporting.drawing import Drawing, Scale, legend, percent_ticks
from ml.reporting.heat_map import bins_of, half_line
from ml.reporting.markup import html_table, share_text, status_badge, table


def row(headway_s, deceleration_mps2, collision, age_s=0.05):
    return {
        "case_headway_s": headway_s, "case_deceleration_mps2": deceleration_mps2,
        "collision": collision, "age_at_onset_s": age_s,
    }  # fmt: skip


def test_a_straight_scale_divides_its_length_evenly():
    scale = Scale(0.0, 4.0, 100.0, 20.0)

    assert [scale(value) for value in (0.0, 1.0, 4.0)] == [100.0, 80.0, 20.0]


def test_a_logarithmic_scale_gives_each_decade_the_same_length():
    scale = Scale(0.1, 1000.0, 0.0, 400.0, is_log=True)

    assert [scale(v) for v in (0.1, 1.0, 10.0, 1000.0)] == pytest.approx([0.0, 100.0, 200.0, 400.0])


@pytest.mark.parametrize(("value", "place"), [(0.0, 0.0), (-5.0, 0.0), (5e6, 400.0)])
def test_a_value_off_a_scale_stands_at_its_edge(value, place):
    assert Scale(0.1, 1000.0, 0.0, 400.0, is_log=True)(value) == pytest.approx(place)


@pytest.mark.parametrize(
    ("high", "last"), [(0.0071, 0.008), (0.05, 0.06), (0.45, 0.6), (0.97, 1.0), (1.0, 1.0)]
)
def test_ticks_of_a_share_end_just_above_the_highest(high, last):
    ticks = percent_ticks(high)

    assert ticks[0] == (0.0, "0 %")
    assert ticks[-1][0] == pytest.approx(last)
    assert len(ticks) <= 6


def test_every_row_of_a_map_is_in_one_cell():
    rows = [row(0.4 + 0.016 * k, 3.0 + 6.8 * (k * 37 % 100) / 100, k % 3 == 0) for k in range(100)]

    cells = bins_of(rows)

    assert sum(cell.rate["episodes"] for cell in cells) == 100
    assert sum(cell.rate["collisions"] for cell in cells) == 34  # k = 0, 3 ... 99


def test_few_rows_make_four_cells_with_counts_by_hand():
    # The middles are 1.2 s and 6.4 m/s^2.
    rows = [row(0.5, 9.0, True), row(0.6, 8.0, False), row(1.9, 3.1, False)]

    counts = {
        (cell.headway_s[0], cell.deceleration_mps2[0]): (
            cell.rate["collisions"], cell.rate["episodes"],
        )
        for cell in bins_of(rows)
    }  # fmt: skip

    assert counts == {(0.4, 3.0): (0, 0), (0.4, 6.4): (1, 2), (1.2, 3.0): (0, 1),
                      (1.2, 6.4): (0, 0)}  # fmt: skip


def test_the_parting_line_stands_between_the_last_collision_and_the_first_escape():
    # Bands are 1.7 m/s^2 wide; the middle of the last is 8.95.
    rows = [row(0.5, 9.0, True), row(0.7, 9.0, True), row(0.9, 9.0, False), row(1.8, 9.0, False)]

    assert half_line(rows) == [(pytest.approx(0.8), pytest.approx(8.95))]


def test_a_band_without_a_collision_has_no_parting_line():
    assert half_line([row(0.5, 9.0, False), row(0.7, 4.0, False)]) == []


def test_a_drawing_is_well_formed_and_says_what_it_shows():
    drawing = Drawing("d", (100.0, 50.0), "A <title>", 'What "it" shows')
    drawing.mark("circle", (1.0, 2.0), "judged", "<tip>")
    drawing.box((0.0, 0.0), (5.0, -1.0), "cell", tip="&")
    drawing.text((0.0, 0.0), "a < b", turn=-90.0)

    root = ElementTree.fromstring(drawing.svg())  # noqa: S314 - our own text

    named = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("aria-labelledby").split() == ["d-t", "d-d"]
    assert named == {"d-t": "A <title>", "d-d": 'What "it" shows'}


@pytest.mark.parametrize("shape", ["circle", "square", "triangle", "diamond", "cross", "line"])
def test_every_shape_of_a_legend_is_well_formed(shape):
    ElementTree.fromstring(legend([(shape, "judged", "a & b")]))  # noqa: S314 - our own text


@pytest.mark.parametrize(("status", "word"), [("pass", "PASS"), ("fail", "FAIL"), ("open", "OPEN")])
def test_a_status_has_a_word_and_a_shape_of_its_own(status, word):
    others = {status_badge(other, "x") for other in ("pass", "fail", "open")}

    assert f"{word}</span>" in status_badge(status)
    assert len(others) == 3


def test_texts_of_a_table_cannot_become_markup():
    text = table("<b>", ["<i>"], [["</td>", "<script>"]])

    assert [mark for mark in ("<b>", "<i>", "</td></td>", "<script>") if mark in text] == []
    assert html_table("x", ["a"], [["<b>1</b>"]]).count("<b>1</b>") == 1


def test_small_shares_keep_digits_that_matter():
    texts = [share_text(share) for share in (0.5, 0.004, 0.00017, 0.0, 1.0)]

    assert texts == ["50.0 %", "0.40 %", "0.017 %", "0 %", "100 %"]
