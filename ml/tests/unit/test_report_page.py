"""The report's page and record: one set of numbers, nothing from outside, the same every time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from ml.espnow_emulator import report_figures as figures
from ml.espnow_emulator.parameters import load_radio_parameters, radio_parameters_path
from ml.espnow_emulator.report_contents import (
    RadioReport,
    SamplePlan,
    link_distance_m,
    make_report,
    work_units,
)
from ml.espnow_emulator.report_metadata import LinkMetadata, MeasuredPoint, read_metadata
from ml.espnow_emulator.report_page import PageSource, page_text, record_of, summary_text
from ml.espnow_emulator.report_rows import AGREES, DIFFERS, Row, judged
from ml.espnow_emulator.report_table import table_html, value_text
from ml.espnow_emulator.sampling_intervals import proportion

PLAN = SamplePlan(2000, seed=7)
PRESETS = ("third_drive_second_26m", "in_car_long_range")


class Rows(HTMLParser):
    """Collects the cells of every line of a page's tables."""

    def __init__(self, text):
        super().__init__()
        self.lines, self._is_cell = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.lines.append([])
        if tag in {"td", "th"}:
            self.lines[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag):
        self._is_cell = self._is_cell and tag not in {"td", "th"}

    def handle_data(self, data):
        if self._is_cell:
            self.lines[-1][-1] += data


def made(name, plan=PLAN):
    path = radio_parameters_path(name)
    parameters, metadata = load_radio_parameters(path), read_metadata(path)
    report = make_report(parameters, metadata, plan, tick=lambda _: None)
    source = PageSource(path.stem, name, "0" * 64, plan.seed, plan.num_frames)
    record = record_of(report, parameters, metadata, source, {"numpy": "2"})
    return report, page_text(report, parameters, metadata, source), record


@pytest.fixture(scope="module", params=PRESETS)
def page(request):
    return made(request.param)


def report_of(*rows):
    return RadioReport(20.0, list(rows), [], [])


def row(received, closed_form, name="received at 20 m"):
    return Row(1, name, "share", proportion(received, 1000), closed_form, "frames")


# --- The page and the record ---------------------------------------------------------------------


def test_every_line_of_the_table_is_a_row_of_the_record(page):
    _, text, record = page
    head, *lines = Rows(text).lines
    shown = {line[0]: dict(zip(head, line, strict=True)) for line in lines if len(line) > 1}

    assert [*shown] == [entry["quantity"] for entry in record["rows"]]
    sampled = [entry for entry in record["rows"] if entry["value"] is not None]
    assert {shown[entry["quantity"]]["verdict"] for entry in sampled} == {
        entry["verdict"] for entry in sampled
    }
    for entry in sampled:
        line = shown[entry["quantity"]]
        assert line["emulator"] == value_text(entry["value"], entry["unit"])
        assert line["n"] == f"{entry['n']:,} {entry['n_counts']}"
        low, _, high = line["95 % interval"].partition(" to ")
        assert value_text(entry["low"], entry["unit"]).startswith(low + " ")
        assert value_text(entry["high"], entry["unit"]) == high


def test_the_page_says_how_many_comparisons_differ_as_the_record_does(page):
    report, text, record = page

    verdicts = [entry["verdict"] for entry in record["rows"]]
    assert record["num_compared"] == verdicts.count(AGREES) + verdicts.count(DIFFERS)
    assert record["num_differing"] == verdicts.count(DIFFERS)
    assert str(record["num_compared"]) in summary_text(report)
    assert summary_text(report) in text


def test_the_record_is_plain_json_with_its_seed_and_hash(page):
    _, _, record = page

    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["seed"], record["frames"]) == (7, 2000)
    assert record["parameters"]["sha256"] == "0" * 64


def test_the_page_needs_nothing_from_outside(page):
    _, text, _ = page

    references = re.findall(r"""(?:href|src|action)\s*=\s*["']([^"']*)""", text)
    assert [target for target in references if not target.startswith("#")] == []
    assert re.findall(r"url\((?!#)|@import|<script|<link|<iframe|<object", text) == []
    addresses = set(re.findall(r"https?://[^\s\"'<]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_every_drawing_has_a_name_and_colours_of_the_page(page):
    _, text, _ = page
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)

    assert len(drawings) == 4
    assert [d for d in drawings if not re.match(r'<svg role="img" aria-label="[^"]+"', d)] == []
    assert set(re.findall(r"#[0-9a-f]{6}\b", "".join(drawings))) == set()
    for drawing in drawings:
        ElementTree.fromstring(drawing)  # noqa: S314 - our own text


def test_no_two_elements_of_a_page_have_one_identity(page):
    _, text, _ = page
    names = re.findall(r'\bid="([^"]+)"', text)

    assert len(names) == len(set(names)) > 0
    assert set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', text)) <= set(names)


def test_captions_name_numbers_of_samples_and_intervals(page):
    report, _, record = page

    reception, bursts, age, _ = (figure.caption for figure in report.figures)
    by_name = {entry["quantity"]: entry for entry in record["rows"]}
    assert f"{by_name['mean burst']['n']:,} bursts" in bursts
    assert f"{by_name['time with an age above 100 ms']['n']:,} samples" in age
    assert all("95 %" in caption for caption in (reception, bursts, age))


def test_the_same_seed_gives_the_same_bytes_and_another_one_others():
    first, second, other = (made("front_9m", SamplePlan(2000, seed=seed))[1:] for seed in (1, 1, 2))

    assert first == second
    assert first != other


def test_a_chosen_distance_is_that_of_the_link():
    report, text, _ = made("front_9m", SamplePlan(2000, seed=1, distance_m=40.0))

    assert report.link_distance_m == 40.0
    assert "lost at 40 m" in text
    assert "longest measured" not in text


def test_every_measured_point_has_a_sample_beside_it():
    _, _, record = made("in_car_long_range")

    # Published: 96 % at 10 m, 88 % at 30 m.
    measured = {row["distance_m"]: row["measured"] for row in record["rows"] if row["measured"]}
    assert {place_m: measured[place_m] for place_m in (10.0, 30.0)} == {10.0: 0.96, 30.0: 0.88}


def test_a_link_out_of_range_has_nothing_to_draw_of_bursts_and_ages():
    report, text, _ = made("front_9m", SamplePlan(2000, seed=1, distance_m=300.0))

    assert [bool(figure.svg) for figure in report.figures] == [True, False, False, True]
    assert text.count("Nothing to draw.") == 2


def test_text_of_a_file_cannot_become_markup():
    metadata = LinkMetadata({"name": "<b>x", "link": "<script>", "limits": ["</dd>&"]})
    report, _, _ = made("front_9m")

    text = page_text(
        report, load_radio_parameters("front_9m"), metadata, PageSource("x", "<i>", "0", 1, 1)
    )

    assert [tag for tag in ("<b>x", "<script>", "</dd>&", "<i>") if tag in text] == []


# --- Sentences and cells -------------------------------------------------------------------------


def test_a_page_without_differences_says_so():
    assert summary_text(report_of(*judged([row(500, 0.5)]))) == (
        "Emulator and closed form agree in all 1 comparisons."
    )


def test_a_page_names_the_first_differences_and_counts_the_rest():
    rows = judged([row(500, 0.9, f"received at {place} m") for place in range(1, 6)])

    assert summary_text(report_of(*rows)) == (
        "Emulator and closed form differ by more than sampling error in 5 of 5 comparisons: "
        "received at 1 m; received at 2 m; received at 3 m; and 2 more."
    )


def test_a_line_that_differs_is_marked():
    agreeing, differing = (table_html(report_of(*judged([row(500, p)]))) for p in (0.5, 0.9))

    assert 'class="differs"' not in agreeing
    assert 'class="differs"' in differing


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0712, "share", "7.12 %"), (1.0, "share", "100.0 %"), (0.0, "share", "0.00 %"),
        (0.0012, "share", "0.120 %"), (0.00003, "share", "0.003 %"), (1e-7, "share", "1e-05 %"),
        (58.154, "ms", "58.15 ms"), (141.04, "ms", "141.0 ms"), (4178.3, "ms", "4,178 ms"),
        (1.336, "frames", "1.34 frames"), (0.05, "ms", "0.05 ms"),
    ],
)  # fmt: skip
def test_values_are_shown_with_the_places_they_need(value, unit, text):
    assert value_text(value, unit) == text


def test_a_difference_is_in_points_and_never_minus_nothing():
    assert value_text(-0.0061, "share", is_difference=True) == "-0.61 points"
    assert value_text(-1e-9, "share", is_difference=True) == "0.00 points"


# --- What is sampled -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "distance_m"),
    [
        (LinkMetadata({}, (), 9.2), 9.2),
        (LinkMetadata({}, (MeasuredPoint(10.0, 1.0, 50), MeasuredPoint(40.0, 0.8, 900))), 40.0),
        (LinkMetadata({}, (MeasuredPoint(300.0, 0.6, None), MeasuredPoint(150.0, 0.9, None))), 150),
        (LinkMetadata({}, (MeasuredPoint(10.0, 0.9, None),)), 20.0),
        (LinkMetadata({}), 20.0),
    ],
)
def test_the_link_is_where_most_was_measured(metadata, distance_m):
    assert link_distance_m(load_radio_parameters("roof"), metadata) == distance_m


def test_progress_counts_about_what_was_announced():
    path = radio_parameters_path("in_car_long_range")
    parameters, metadata, counted = load_radio_parameters(path), read_metadata(path), []

    make_report(parameters, metadata, PLAN, tick=counted.append)

    assert sum(counted) == pytest.approx(work_units(parameters, PLAN), rel=0.1)


# --- Figures -------------------------------------------------------------------------------------


def test_text_in_a_drawing_stays_text():
    line = figures.Line(np.array([0.0, 10.0]), np.array([1.0, 0.5]))
    points = figures.Points.of([(5.0, 0.7, 0.6, 0.8)])

    svg = figures.reception_figure(points, line, figures.Points.of([]), title='A "title"')

    assert "distance between the cars [m]" in svg
    assert 'aria-label="A &quot;title&quot;"' in svg
    assert ">measured<" not in svg


def test_a_drawing_is_the_same_bytes_for_the_same_data():
    line = figures.Line(np.array([1.0, 50.0]), np.array([0.01, 0.5]))

    first, second = (
        figures.channel_figure(line, None, figures.NO_LINE, title="Load") for _ in range(2)
    )

    assert first == second


def test_the_longest_burst_measured_is_drawn_where_it_is_known():
    line = figures.Line(np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    points = figures.Points.of([(1.0, 1.0, 1.0, 1.0), (2.0, 0.5, 0.4, 0.6)])

    known, unknown = (
        figures.burst_figure(points, line, longest_measured=longest, title="Bursts")
        for longest in (9, None)
    )

    assert "longest measured" in known
    assert "longest measured" not in unknown


def test_many_lengths_are_thinned_to_the_short_ones_and_ever_wider():
    chosen = figures.thinned(range(1, 201), most=12)

    assert (chosen[0], chosen[-1]) == (1, 200)
    assert len(chosen) <= 12
    assert np.all(np.diff(np.diff(chosen)) >= 0)
