"""The page of an evaluation: the command, the numbers against the records, and a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from scipy import stats

from ml.errors import ConfigError, RecordError
from ml.provenance import REPOSITORY_ROOT
from ml.reporting.report import main, write_report
from ml.tests.browsers import opened_page
from ml.tests.evaluation_folders import JUDGED, PRESETS, rows_of, write_evaluation

pytestmark = pytest.mark.integration

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&--><!--"""
IMAGE = "<!--<script><img src=x onerror=alert(3)>\"'&"
SECTIONS = [
    "verdict", "gates", "rates", "heat-map", "age", "operating", "alarms", "episodes", "coverage",
    "limits", "provenance",
]  # fmt: skip
ONSET_STEP = 59  # the onset is at 6 s, and the first value of a series at 0.1 s


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of 40 episodes a family, with its page."""
    made = write_evaluation(tmp_path_factory.mktemp("report") / "evaluation")
    write_report(made)
    return made


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory):
    made = write_evaluation(
        tmp_path_factory.mktemp("hostile") / "evaluation", episodes=4, recordings=1, text=HOSTILE
    )
    (path,) = (made / "recordings").iterdir()
    case_id = path.stem.split("--")[2]
    records = made / "records" / f"{JUDGED}.jsonl"
    records.write_text(records.read_text().replace(case_id, case_id + json.dumps(IMAGE)[1:-1]))
    path.rename(path.with_name(path.name.replace(case_id, case_id + IMAGE)))
    write_report(made)
    return made


def is_counted(row):
    """Restate the rule: planned as it happened, or collided all the same."""
    return row["collision"] or row["hazard_kind"] == "calm" or row["hazard_is_realised"]


# --- The command --------------------------------------------------------------------------------


def test_the_command_writes_the_page_into_the_folder_and_says_where(tmp_path, capsys):
    made = write_evaluation(tmp_path / "evaluation", episodes=2, recordings=1)

    main([str(made)])

    assert capsys.readouterr().out == f"{made / 'report.html'}\n"
    assert (made / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_goes_where_it_is_told(folder, tmp_path, capsys):
    main([str(folder), "--output_file", str(tmp_path / "page.html"), "--quiet"])

    assert capsys.readouterr().out == ""
    assert (tmp_path / "page.html").read_bytes() == (folder / "report.html").read_bytes()


@pytest.mark.parametrize("name", ["page", "evaluation.json", "folder.html"])
def test_only_an_html_file_is_ever_written(folder, name, tmp_path):
    (tmp_path / "folder.html").mkdir()

    with pytest.raises(ConfigError, match=r"--output_file must be a file that ends in \.html"):
        write_report(folder, tmp_path / name)


def test_a_folder_that_cannot_be_written_to_is_one_line(folder, tmp_path):
    with pytest.raises(RecordError, match="cannot be written"):
        write_report(folder, tmp_path / "missing" / "page.html")


def test_a_folder_without_an_evaluation_is_one_line(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "ml.cli", "report", str(tmp_path)],
        cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "must be a folder with evaluation.json" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_ten_recordings_of_a_policy_are_on_the_page_at_most(tmp_path):
    made = write_evaluation(tmp_path / "evaluation", episodes=16, recordings=13)

    page = write_report(made).read_text()

    assert page.count('class="show"') == 10


# --- Numbers ------------------------------------------------------------------------------------


def numbers_in(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def expected_cell(rows):
    """Return collisions, episodes, and the share with its exact limits in percent."""
    counted = [row for row in rows if is_counted(row)]
    collisions = sum(row["collision"] for row in counted)
    limits = stats.binomtest(collisions, len(counted)).proportion_ci(0.95, method="exact")
    share = collisions / len(counted)
    return collisions, len(counted), [100 * share, 100 * limits.low, 100 * limits.high]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("policy", [JUDGED, "driver", "eebl", "oracle"])
def test_every_cell_of_the_table_is_what_the_rows_give(browser, folder, preset, policy):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    table = page.get_by_role("table", name=f"Radio preset {preset}")
    line = table.locator("tbody tr").filter(has=page.locator(f"th:text-matches('^{policy}\\\\b')"))
    cells = line.locator("td").all()
    shown = {
        family: (cell.locator("b").inner_text(), *cell.locator("small").all_inner_texts())
        for family, cell in zip("HDNMCR", cells, strict=True)
    }
    page.close()

    rows = [row for row in rows_of(folder, policy) if row["radio_preset"] == preset]
    for family, (share, counts, interval) in shown.items():
        collisions, episodes, values = expected_cell([r for r in rows if r["family"] == family])
        assert numbers_in(counts) == [collisions, episodes]
        assert numbers_in(share) + numbers_in(interval) == pytest.approx(values, abs=0.051)


@pytest.mark.parametrize("preset", PRESETS)
def test_false_alarms_per_hour_are_what_the_rows_give(browser, folder, preset):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    page.locator("#alarms details").evaluate_all("all => all.forEach(part => part.open = true)")
    table = page.get_by_role("table", name=f"False alarms, radio preset {preset}")
    line = table.locator("tbody tr").filter(has=page.get_by_role("rowheader", name="eebl"))
    hours, *levels = line.locator("td").all_inner_texts()
    page.close()

    rows = [
        row for row in rows_of(folder, "eebl")
        if row["radio_preset"] == preset and row["family"] == "C"
    ]  # fmt: skip
    exposure = sum(row["duration_s"] for row in rows) / 3600
    assert float(hours) == pytest.approx(exposure, abs=0.005)
    for level, text in zip((1, 3, 5), levels, strict=True):
        count = sum(row[f"false_alarms_{level}mps2"] for row in rows)
        # Garwood's limits as quantiles of chi-squared.
        low = stats.chi2.ppf(0.025, 2 * count) / 2 / exposure if count else 0.0
        high = stats.chi2.ppf(0.975, 2 * count + 2) / 2 / exposure
        expected = [count / exposure, count, low, high]
        assert numbers_in(text) == pytest.approx(expected, rel=0.006)


def test_the_cells_of_a_map_hold_every_counted_episode_of_rank_1(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    drawing = page.get_by_role("img", name="Collision probability of driver, radio preset nominal")
    texts = drawing.locator(".count").all_text_contents()
    page.close()

    rows = [
        row for row in rows_of(folder, "driver")
        if row["radio_preset"] == "nominal" and row["family"] == "H"
        and row["case_source_rank"] == 1 and is_counted(row)
    ]  # fmt: skip
    counts = [numbers_in(text) for text in texts if "/" in text]
    assert sum(episodes for _, episodes in counts) == len(rows) > 0
    assert sum(collisions for collisions, _ in counts) == sum(row["collision"] for row in rows) > 0


def test_gates_stand_in_their_order_with_word_and_shape(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    gates = page.locator("#gates .gate")
    words = gates.locator(".gate-head .badge").all_inner_texts()
    names = gates.locator(".gate-head b").all_inner_texts()
    shapes = [shape.inner_html() for shape in gates.locator(".gate-head .shape").all()]
    page.close()

    assert words == ["PASS", "PASS", "OPEN", "FAIL", "PASS"]
    assert names == ["canary", "safety floor", "extra saves", "operating curve", "radio off"]
    assert len(set(shapes)) == 3


def test_the_verdict_is_the_first_thing_on_the_page_and_sections_follow_in_order(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    sections = page.locator("main > section").evaluate_all("all => all.map(part => part.id)")
    verdict = page.locator("#verdict").inner_text()
    page.close()

    assert sections == SECTIONS
    assert "FAIL" in verdict
    assert f"A rule ties with {JUDGED}." in verdict


# --- The page in a browser ----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1200, 375])
def test_a_browser_opens_the_page_without_a_word_or_a_request(browser, folder, width_px, scheme):
    path = folder / "report.html"

    page, said, asked = opened_page(browser, path, width_px, scheme)

    assert (said, asked) == ([], [path.as_uri()])
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    page.close()


def test_the_page_has_the_colours_of_the_screen_and_is_light_on_paper(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200, "dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    on_screen = page.evaluate(colour)
    page.emulate_media(media="print", color_scheme="dark")
    on_paper = page.evaluate(colour)
    is_shown = [page.locator(part).first.is_visible() for part in (".controls", "nav", "canvas")]
    page.close()

    assert (on_screen, on_paper) == ("rgb(20, 23, 27)", "rgb(255, 255, 255)")
    assert is_shown == [False, False, True]


def test_everything_has_a_name_for_those_who_cannot_see_it(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    nameless = page.evaluate("""() => [...document.querySelectorAll(
        'button, input, select, canvas, svg[role=img], section, [role=region]')].filter(part =>
        !(part.getAttribute('aria-label') || part.textContent.trim() || part.labels?.length)
    ).map(part => part.outerHTML)""")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(part => part.id)")
    pointed = page.evaluate("""() => [...document.querySelectorAll(
        '[aria-labelledby], [aria-describedby]')].flatMap(part =>
        [part.getAttribute('aria-labelledby'), part.getAttribute('aria-describedby')])
        .filter(Boolean).flatMap(names => names.split(' '))""")
    landmarks = [page.get_by_role(role).count() for role in ("main", "navigation", "banner")]
    figures = page.locator("figure").count()
    page.close()

    assert nameless == []
    assert len(ids) == len(set(ids))
    assert set(pointed) <= set(ids)
    assert landmarks == [1, 1, 1]
    assert figures > 0


def test_every_figure_has_a_caption_with_n_and_interval_and_a_table_of_its_numbers(browser, folder):
    page, _, _ = opened_page(browser, folder / "report.html", 1200)
    captions = page.locator("figcaption").all_inner_texts()
    tables = page.locator("figure details table").count()
    described = page.locator("figure svg[role=img] > desc").count()
    page.close()

    # Three maps and two, one curve of the age, two operating curves, two of false alarms.
    assert len(captions) == tables == described == 10
    assert [caption for caption in captions if "95 %" not in caption] == []
    assert [caption for caption in captions if not re.search(r"\bn\b", caption)] == []


def test_texts_of_the_records_are_harmless(browser, hostile_folder):
    path = hostile_folder / "report.html"

    page, said, asked = opened_page(browser, path, 1200)
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("button", name="Pause").click()
    title = page.locator("#player-title").inner_text()
    images = page.locator("img").count()
    words = page.locator("body").inner_text()
    page.close()

    assert (said, asked, images) == ([], [path.as_uri()], 0)
    assert IMAGE in title
    assert words.count(HOSTILE) > 5


def test_a_page_without_recordings_has_no_player(tmp_path, browser):
    made = write_evaluation(tmp_path / "evaluation", episodes=2, recordings=0)

    page, said, _ = opened_page(browser, write_report(made), 1200)

    assert said == []
    assert page.locator("#episodes").inner_text().endswith("No episode was recorded.")
    assert page.locator("script").count() == 0
    page.close()


# --- The player ---------------------------------------------------------------------------------


@pytest.fixture
def player(browser, folder):
    """The page with its player, and what it said."""
    page, said, _ = opened_page(browser, folder / "report.html", 1200)
    yield page
    assert said == []
    page.close()


def step_of(page):
    return int(page.locator("#player-time").input_value())


def cursor_of(page):
    return float(page.locator("#player-cursor").get_attribute("x1"))


def test_the_player_begins_at_the_onset_of_the_worst_episode(player, folder):
    rows = [row for row in rows_of(folder, JUDGED) if row["family"] in "HM"]
    worst = max(rows, key=lambda row: row["impact_speed_mps"] or 0.0)

    assert step_of(player) == ONSET_STEP
    assert player.locator("#player-clock").inner_text() == "6.0 s"
    assert worst["case_id"] in player.locator("#player-title").inner_text()


def test_time_goes_on_while_it_plays_and_stands_when_it_pauses(player):
    player.get_by_role("button", name="Play", exact=True).click()
    player.wait_for_function(f"+document.getElementById('player-time').value >= {ONSET_STEP + 5}")
    player.get_by_role("button", name="Pause").click()
    stopped = step_of(player)
    player.wait_for_timeout(300)

    assert step_of(player) == stopped >= ONSET_STEP + 5


def test_it_stops_at_the_end_and_begins_again_from_the_start(player):
    player.locator("#player-speed").select_option("4")
    player.locator("#player").press("End")
    player.locator("#player").press("ArrowLeft")
    player.locator("#player").press("Space")
    player.get_by_role("button", name="Play", exact=True).wait_for()
    at_end = step_of(player)
    player.locator("#player").press("Space")
    player.wait_for_function("+document.getElementById('player-time').value < 100")

    assert at_end == 119


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("ArrowRight", ONSET_STEP + 1), ("ArrowLeft", ONSET_STEP - 1), ("Home", 0), ("End", 119),
        ("Shift+ArrowRight", ONSET_STEP + 10), ("o", ONSET_STEP),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["#player", "#player-time", "[data-do=forward]"])
def test_keys_move_the_cursor_wherever_in_the_player_the_focus_is(player, key, step, place):
    player.locator(place).press(key)

    assert step_of(player) == step


def test_the_onset_is_one_key_or_button_away(player):
    player.locator("#player").press("Home")
    before = cursor_of(player)
    player.get_by_role("button", name="Jump to the onset").click()

    assert step_of(player) == ONSET_STEP
    assert cursor_of(player) > before


def test_buttons_step_and_the_cursor_goes_with_them(player):
    before = cursor_of(player)
    player.get_by_role("button", name="Step forward").click()
    after = cursor_of(player)
    player.get_by_role("button", name="Step back").click()

    assert after > before
    assert cursor_of(player) == before


def test_pointing_at_the_charts_scrubs(player):
    charts = player.locator("#player-charts svg")
    charts.scroll_into_view_if_needed()
    box = charts.bounding_box()
    y = box["y"] + 40
    player.mouse.move(box["x"] + 60, y)
    player.mouse.down()
    first = step_of(player)
    player.mouse.move(box["x"] + box["width"] - 12, y)
    player.mouse.up()

    assert first < 5
    assert step_of(player) > 115


def test_the_slider_scrubs(player):
    player.locator("#player-time").fill("30")

    assert (step_of(player), player.locator("#player-clock").inner_text()) == (30, "3.1 s")


def test_values_at_the_cursor_are_those_of_the_recording(player, folder):
    title = player.locator("#player-title").inner_text()
    _, case_id, policy, preset, _ = re.split(r"\. | \u00b7 ", title)
    path = folder / "recordings" / f"{policy}--{preset}--{case_id}.json"
    recording = json.loads(path.read_text())
    source = recording["record"]["hazard_source_rank"]
    player.locator("#player-time").fill("75")
    shown = player.locator("#player-now").inner_text()

    ego, cars = recording["ego"], recording["cars"]
    age = recording["heard"][source - 1]["age_s"][75]
    expected = [
        ego["gap_m"][75], cars[0]["speed_mps"][75], cars[1]["speed_mps"][75],
        ego["demand_mps2"][75], -ego["driver_command_mps2"][75], ego["oracle_demand_mps2"][75],
    ]  # fmt: skip
    words = re.sub(r"m/s²?", "", shown)
    assert numbers_in(words)[:6] == pytest.approx(expected, abs=0.051)
    assert numbers_in(words)[6] == pytest.approx(age, abs=0.0051)
    assert player.locator("#player-time").get_attribute("aria-valuetext").startswith("7.6 s; gap")


def test_another_episode_is_a_click_away(player):
    first = player.locator("#player-title").inner_text()
    player.get_by_role("button", name="Show episode 2").click()

    assert player.locator("#player-title").inner_text() != first
    assert player.locator("[aria-pressed=true]").get_attribute("data-episode") == "1"
    assert player.evaluate("document.activeElement.id") == "player"


def test_the_road_shows_something_and_changes_with_time_and_zoom(player):
    pictures = [player.locator("#player-road").evaluate("road => road.toDataURL()")]
    player.locator("#player").press("ArrowRight")
    pictures.append(player.locator("#player-road").evaluate("road => road.toDataURL()"))
    player.get_by_role("button", name="Zoom in").click()
    pictures.append(player.locator("#player-road").evaluate("road => road.toDataURL()"))

    assert len(set(pictures)) == 3


def test_less_motion_is_whole_steps_and_still_plays(browser, folder):
    page, said, _ = opened_page(browser, folder / "report.html", 1200, reduced_motion="reduce")
    first = cursor_of(page)
    page.locator("#player").press("ArrowRight")
    one_step = cursor_of(page) - first
    page.locator("#player").press("Space")
    page.wait_for_function(f"+document.getElementById('player-time').value >= {ONSET_STEP + 4}")
    steps = (cursor_of(page) - first) / one_step
    page.close()

    assert said == []
    assert steps == pytest.approx(round(steps), abs=1e-6)
