"""The page of several seeds: its numbers by hand, its words, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from xml.etree import ElementTree

import pytest
from scipy import stats

from ml.errors import ConfigError, RecordError
from ml.evaluation.kinematic_reference import TABLE_FILE
from ml.provenance import sha256_of_file, sha256_of_text
from ml.reporting.drawing import Drawing
from ml.reporting.figure_file import Key, Panel, figure_file
from ml.reporting.results_commands import PagePlan
from ml.reporting.results_folder import read_seed_results
from ml.reporting.results_numbers import over_seeds, plain
from ml.reporting.results_page import main, write_results
from ml.reporting.results_tables import use_of_preset
from ml.tests.contract.bad_input_cases import check_line, contents
from ml.tests.seed_evaluations import SEEDS, save_evaluation, write_seed_evaluation

README = "# About\n\n<!-- results -->\nold\n<!-- /results -->\n\n## End\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of five seeds under one radio preset."""
    return write_seed_evaluation(tmp_path_factory.mktemp("seeds") / "evaluation")


@pytest.fixture(scope="module")
def page(folder):
    """The page of the five seeds."""
    docs = folder.parent / "docs"
    docs.mkdir()
    (folder.parent / "README.md").write_text(README)
    write_results(PagePlan([folder], docs / "results.md", folder.parent / "README.md"))
    return (docs / "results.md").read_text()


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """The same seeds in two evaluations."""
    place = tmp_path_factory.mktemp("halves")
    return [
        write_seed_evaluation(place / "a", ("s1", "s2")),
        write_seed_evaluation(place / "b", ("s3", "s4", "s5")),
    ]


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the evaluation, to be changed."""
    return shutil.copytree(folder, tmp_path / "copy")


def section_of(page, title):
    return page.split(f"\n## {title}")[1].split("\n## ")[0]


def row_of(text, *begin):
    """Return the cells of the table row that begins with these cells."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    (found,) = [row for row in rows if row[: len(begin)] == list(begin)]
    return found[len(begin) :]


def percent(share):
    """Return a share as the page writes those of a percent and more."""
    return f"{100.0 * share:.1f} %"


def exact(collisions, episodes):
    """Return SciPy's own Clopper and Pearson limits."""
    return stats.binomtest(collisions, episodes).proportion_ci(0.95, method="exact")


# --- Numbers over seeds -------------------------------------------------------------------------

# The seeds collide in 1, 2, 3, 4 and 10 of 100 stops: the middle three have a mean of 3 %. With the
# outer ones moved in, 2 2 3 4 4, the squares add up to 4. Tukey and McLaughlin's standard error is
# sqrt(4 / 4 / 5) / 0.5 = 0.894, Yuen's sqrt(4 / (3 * 2)) = 0.816, so that the larger one counts.
REACH = stats.t.ppf(0.975, 2) * (4 / 4 / 5) ** 0.5 / 0.5  # 3.85 points


def test_seeds_have_an_interquartile_mean_with_a_t_interval_cut_at_what_can_be():
    found = over_seeds({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 10.0}, 6.0)

    assert found == (3.0, (0.0, 6.0), "e", 10.0)
    assert over_seeds({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 10.0}).interval == (
        0.0, pytest.approx(3.0 + REACH),
    )  # fmt: skip


def test_seeds_that_are_equal_have_no_interval():
    assert over_seeds({"a": 2.0, "b": 2.0}) == (2.0, None, "a", 2.0)


def test_collisions_of_baselines_and_seeds_stand_by_family(page):
    section = section_of(page, "Collisions by family").split("False alarms per hour in C")[0]
    low, high = exact(20, 100)

    assert row_of(section, "driver")[0] == (
        f"20 of 100<br>20.0 % ({100 * low:.1f} to {100 * high:.1f} %)"
    )
    mean, worst = (row_of(section, name)[0]
                   for name in ("**seeds**, interquartile mean", "worst seed"))  # fmt: skip
    assert mean == f"100 each<br>3.0 % (0 to {percent(0.03 + REACH / 100)})"
    assert worst.startswith("s5: 10 of 100<br>10.0 % (")


def test_false_alarms_stand_by_the_hour(page):
    # 0, 1, 2, 3 and 8 in an hour each: 2, with the same reach as the collisions.
    section = section_of(page, "Collisions by family").split("False alarms per hour in C")[1]

    assert row_of(section, "**seeds**, interquartile mean") == [
        f"1.00 h each<br>2 (0 to {2 + REACH:.3g})"
    ]
    # Garwood: half of chi-square's quantiles, with 2 * 5 and 2 * 6 degrees of freedom.
    low, high = stats.chi2.ppf(0.025, 10) / 2, stats.chi2.ppf(0.975, 12) / 2
    assert row_of(section, "eebl") == [f"5 in 1.00 h<br>5 ({low:.3g} to {high:.3g})"]


def test_rank_one_stands_beside_the_driver_with_its_ratio_and_target(page):
    section = section_of(page, "H, the car directly ahead brakes")

    ratios = {seed: row_of(section, "`nominal`", seed)[2:] for seed in SEEDS}
    assert ratios == {"s1": ["0.050", "kept"], "s2": ["0.10", "kept"], "s3": ["0.15", "kept"],
                      "s4": ["0.20", "kept"], "s5": ["0.50", "missed"]}  # fmt: skip
    mean = row_of(section, "`nominal`", "**seeds**, interquartile mean")
    # A twentieth of the percentages: 0.15, and REACH / 20 = 0.19 to each side.
    assert mean[2:] == [f"0.15 (0.00 to {0.15 + REACH / 20:.2f})",
                        "4 of 5 seeds<br>the interval does not"]  # fmt: skip


def test_gates_stand_seed_by_seed_with_what_did_not_pass(page):
    section = section_of(page, "Gates")

    assert row_of(section, "canary") == ["pass"] * 5 + ["5 of 5"]
    # Of 80 fresh cases, 2 crashes have a lower bound of 0.45 %, 3 of 1.03 %; the limit is 0.5 %.
    assert row_of(section, "safety floor") == ["open"] * 2 + ["**FAIL**"] * 3 + ["0 of 5"]
    assert "- safety floor, s3, radio `nominal`, fail: 3 crashes in 80 cases" in section
    assert "- operating curve, s3, s4, s5, radio `nominal`, fail: no threshold" in section
    assert "- radio off, every seed, radio `radio_off`, open: no hazard" in section
    assert "- canary" not in section


def test_every_radio_preset_stands_with_the_gates_that_look_at_it(folder):
    results = read_seed_results([folder])

    presets = ["nominal", "radio_off", "in_car_relays"]
    assert [use_of_preset(results, preset) for preset in presets] == [
        "of the gates", "of the gate radio off", "reported, in no gate",
    ]  # fmt: skip


def test_operating_curves_are_compared_at_each_rate_with_paired_p_values(page):
    section = section_of(page, "Operating curve")

    # eebl at 5 m/s2 alarms once an hour and collides 8 times, s1 once in the same cases: the seven
    # others are its own, p = 2 / 2^7 = 0.0156. At 3 m/s2 it collides 4 times, p = 2 / 2^3 = 0.25.
    # Holm doubles the smaller one.
    at_1, at_10 = (row_of(section, "`nominal`", rate, "s1") for rate in ("1", "10"))
    assert (at_1[0], at_1[3], at_1[6:]) == ("0", "5", ["0.016 (0.031)", "pass"])
    assert (at_10[0], at_10[3], at_10[6:]) == ("0", "3", ["0.25 (0.25)", "open"])
    low, high = exact(1, 150)
    assert at_1[1] == f"1 of 150<br>0.67 % ({100 * low:.3f} to {100 * high:.1f} %)"
    assert at_1[4].startswith("8 of 150<br>5.3 % (")
    assert row_of(section, "`nominal`", "1", "s5")[0] == "no threshold keeps to it"


def test_seeds_are_pooled_by_age_beside_kinematics(page):
    section = section_of(page, "Age at the onset")
    table = json.loads(TABLE_FILE.read_text())
    kinematics = table["collision_probabilities"][table["delays_s"].index(0.1)]

    fresh = row_of(section, "`nominal`", "0 to 0.1")
    low, high = exact(20, 400)
    # Of 80 fresh stops each: 1.25, 2.5, 3.75, 5 and 12.5 %, 1.25 times the percentages above.
    assert fresh == [
        "0.05",
        f"20 of 400<br>5.0 % ({100 * low:.1f} to {100 * high:.1f} %)",
        f"3.8 % (0 to {percent(1.25 * (0.03 + REACH / 100))})",
        f"{100 * kinematics:.2f} %",
    ]
    assert row_of(section, "`nominal`", "0.4 to 0.7")[:2] == ["0.5", "0 of 100<br>0 % (0 to 3.6 %)"]
    assert row_of(section, "`nominal`", "driver alone, any")[1].startswith("20 of 100<br>")


# --- Words --------------------------------------------------------------------------------------


def test_the_first_sentence_names_every_rule_that_is_better_or_ties(page):
    title, _, finding, *_ = page.splitlines()

    assert title == "# Results by the protocol by_hand"
    # eebl has 4 collisions in H where s5 has 10; rss none. In M nobody collides but the driver.
    assert finding.startswith(
        "A rule collides less often than the network (eebl in H under nominal: 1 of 5 seeds; rss "
        "in H under nominal: 1 of 5 seeds); a rule ties with the network, no difference shown "
        "(eebl in H under nominal: 4 of 5 seeds; eebl in M under nominal: 5 of 5 seeds;"
    )
    assert "Of 5 seeds, 0 pass all 5 gates (canary 5, safety floor 0," in finding
    assert "The worst seed, s5, fails safety floor (nominal: 10 crashes in 80 cases" in finding
    assert "at most 0.2 for 4 of 5 seeds." in finding


def test_beating_every_rule_is_said_first(tmp_path):
    # The rules collide in 40 stops and 30 cases of M where the worst seed has 10 and 0.
    worse = dict.fromkeys(("eebl", "rss", "aeb", "r157"), (40, 30, 0))
    folder = write_seed_evaluation(tmp_path / "e", baselines=worse)

    write_results(PagePlan([folder], tmp_path / "page.md"))

    assert (
        (tmp_path / "page.md")
        .read_text()
        .splitlines()[2]
        .startswith(
            "The network collides less often than every rule it was compared with (eebl in H and M "
            "under nominal: 5 of 5 seeds;"
        )
    )


def test_the_readme_has_the_short_version_between_its_marks(page, folder):
    text = (folder.parent / "README.md").read_text()
    before, rest = text.split("<!-- results -->\n")
    inner, after = rest.split("<!-- /results -->")

    assert (before, after) == ("# About\n\n", "\n\n## End\n")
    assert len(inner.splitlines()) <= 15
    assert page.splitlines()[2].split(". Of")[0] in inner
    assert "[results.md](docs/results.md)" in inner
    mean = row_of(inner, "5 seeds, interquartile mean")
    assert mean[0] == f"3.0 % (0 to {percent(0.03 + REACH / 100)}), worst 10.0 %"
    assert mean[2] == f"2 (0 to {2 + REACH:.3g}), worst 8"
    assert row_of(inner, "`oracle`")[1] == "0 % (0 to 7.1 %) of 50"


def test_texts_of_a_file_cannot_leave_their_place(copy, tmp_path):
    evaluation = json.loads((copy / "evaluation.json").read_text())
    hostile = "x](http://a) | <b>`\n# y"
    evaluation["gates"]["s1"][1]["checks"][0]["text"] = hostile
    evaluation["protocol"]["name"] = hostile
    save_evaluation(copy, evaluation)

    write_results(PagePlan([copy], tmp_path / "page.md"))

    page = (tmp_path / "page.md").read_text()
    assert "](http" not in page.replace("\\](http", "")
    assert "<b>" not in re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    assert "\n# y" not in page


def test_plain_text_keeps_its_words():
    assert plain("at most 5.79% with 95% confidence") == "at most 5.79% with 95% confidence"


# --- Figures ------------------------------------------------------------------------------------


def test_figures_have_a_mark_for_each_point_and_words(page, folder):
    images = folder.parent / "docs" / "images"
    roots = {path.name: ElementTree.parse(path).getroot() for path in images.iterdir()}  # noqa: S314
    name = "{http://www.w3.org/2000/svg}"

    assert set(roots) == {"results_operating_curve.svg", "results_age.svg"}
    for file, root in roots.items():
        assert f"](images/{file})" in page
        assert root.find(f"{name}title").text
        assert root.find(f"{name}desc").text
    (panel,) = roots["results_operating_curve.svg"].findall(f"{name}svg")
    tips = [mark.text for mark in panel.iter(f"{name}title")][1:]
    assert tips == [*(f"s{n} at 0 m/s²" for n in range(1, 6)), "eebl at 3 m/s²", "eebl at 5 m/s²",
                    "driver", "oracle"]  # fmt: skip
    (panel,) = roots["results_age.svg"].findall(f"{name}svg")
    assert [tip.text for tip in panel.iter(f"{name}title")][1:] == [
        "seeds, pooled, 0 to 0.1: 20 of 400", "seeds, pooled, 0.4 to 0.7: 0 of 100",
    ]  # fmt: skip


def test_panels_stand_two_in_a_row_below_a_legend_that_fits():
    panels = [Panel(name, Drawing(name, (100.0, 50.0), "", "")) for name in "abc"]
    keys = [Key("circle", "series-of-0", "a policy of a long name")] * 2

    root = ElementTree.fromstring(figure_file("t", "d", panels, keys, num_series=1))  # noqa: S314

    # Two lines of legend end at 12 + 2 * 22 = 56; a row takes 24 for the heading and 50.
    assert root.get("viewBox") == "0 0 200 204"
    inner = root.findall("{http://www.w3.org/2000/svg}svg")
    assert [(one.get("x"), one.get("y")) for one in inner] == [("0", "80"), ("100", "80"),
                                                               ("0", "154")]  # fmt: skip


# --- Several folders, fewer seeds, commands -----------------------------------------------------


def test_seeds_in_two_folders_are_told_as_in_one(page, halves, tmp_path):
    write_results(PagePlan(halves, tmp_path / "results.md"))

    told, _, made = (tmp_path / "results.md").read_text().partition("## How it was made")
    assert told == page.partition("## How it was made")[0]
    assert made.count("roadsense evaluate") == 2


def test_policies_are_chosen_by_name(folder, tmp_path):
    main(["--evaluation", str(folder), "--policies", "s5", "s2",
          "--output_page", str(tmp_path / "page.md"), "--quiet"])  # fmt: skip

    page = (tmp_path / "page.md").read_text()
    assert "Of 2 seeds," in page
    assert "2 seeds are few" in page
    assert "| gate | s5 | s2 | passed |" in page
    assert "--policies s5 s2 " in page


def test_training_commands_are_those_of_the_runs_that_made_the_weights(copy, tmp_path):
    evaluation = json.loads((copy / "evaluation.json").read_text())
    for policy in evaluation["policies"]:
        if policy["role"] == "judged":
            policy["model"] = str(tmp_path / "runs" / policy["id"] / "model_final.zip")
    save_evaluation(copy, evaluation)
    for seed, sha256 in (("s1", sha256_of_text("s1")), ("s2", "0" * 64)):
        run = tmp_path / "runs" / seed
        run.mkdir(parents=True)
        words = ["/x/train_convoy.py", "--seed", seed[1:], "--output_dir", "a b"]
        manifest = {"command_line": words, "outputs": {"model_final.safetensors": sha256}}
        (run / "manifest.json").write_text(json.dumps(manifest))

    write_results(PagePlan([copy], tmp_path / "page.md"))

    page = (tmp_path / "page.md").read_text()
    assert "\npython -m ml.training.train_convoy --seed 1 --output_dir 'a b'\n" in page
    assert page.count("ml.training.train_convoy") == 1
    assert "with other weights now: the run of s2, s3, s4, s5." in page
    assert f"| SHA256SUMS of `{copy}` | `{sha256_of_file(copy / 'SHA256SUMS')}` |" in page


# --- What is refused ----------------------------------------------------------------------------


def refused(error, match, plan):
    """Check that a plan is refused on one line and that nothing is written."""
    before = contents(plan.page.parent)
    with pytest.raises(error, match=match) as caught:
        write_results(plan)
    check_line(str(caught.value))
    assert contents(plan.page.parent) == before


def test_a_single_seed_has_no_interval_and_is_refused(folder, tmp_path):
    plan = PagePlan([folder], tmp_path / "page.md", policies=["s1"])
    refused(ConfigError, r"at least two judged policies.*no interval over fewer\. Got s1\.", plan)


def test_an_unknown_policy_is_answered_with_the_nearest(folder, tmp_path):
    plan = PagePlan([folder], tmp_path / "page.md", policies=["s1", "s22"])
    refused(ConfigError, r"--policies .* Got 's22'\. Did you mean 's2'\?", plan)


def test_a_policy_twice_is_refused(folder, copy, tmp_path):
    plan = PagePlan([folder, copy], tmp_path / "page.md")
    refused(ConfigError, "must hold each policy once. Got 's1'", plan)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("evaluation.json", "must be a folder with evaluation.json"),
        ("SHA256SUMS", "SHA256SUMS must be readable text. Got: No such file"),
    ],
)
def test_a_folder_without_a_file_is_refused(copy, tmp_path, name, match):
    (copy / name).unlink()
    refused((ConfigError, RecordError), match, PagePlan([copy], tmp_path / "page.md"))


def test_an_evaluation_that_was_edited_is_refused(copy, tmp_path):
    path = copy / "evaluation.json"
    path.write_text(path.read_text().replace('"collisions": 10', '"collisions": 1'))
    plan = PagePlan([copy], tmp_path / "page.md")
    refused(RecordError, "must be as SHA256SUMS says. Got another hash", plan)


def test_records_that_were_replaced_are_refused(copy, tmp_path):
    evaluation = json.loads((copy / "evaluation.json").read_text())
    (copy / "records" / "s1.jsonl").write_text("")
    save_evaluation(copy, evaluation)
    plan = PagePlan([copy], tmp_path / "page.md")
    refused(RecordError, "records of 's1' .* Got another hash in SHA256SUMS", plan)


def test_an_evaluation_without_a_protocol_is_refused(copy, tmp_path):
    save_evaluation(copy, {"episodes": {}, "verdict": {}})
    plan = PagePlan([copy], tmp_path / "page.md")
    refused(RecordError, "'protocol' is a required property", plan)


@pytest.mark.parametrize(
    ("part", "name"),
    [("protocol", "sha256"), ("provenance", "scenarios_sha256"), ("provenance", "code_sha256")],
)
def test_evaluations_of_another_making_are_refused(halves, tmp_path, part, name):
    other = shutil.copytree(halves[1], tmp_path / "b")
    evaluation = json.loads((other / "evaluation.json").read_text())
    evaluation[part][name] = "9" * 64
    save_evaluation(other, evaluation)

    plan = PagePlan([halves[0], other], tmp_path / "page.md")
    refused(RecordError, f"{name} of {part} must be the same in all evaluations", plan)


def test_evaluations_with_other_baselines_are_refused(halves, tmp_path):
    other = shutil.copytree(halves[1], tmp_path / "b")
    evaluation = json.loads((other / "evaluation.json").read_text())
    driver = other / "records" / "driver.jsonl"
    driver.write_text(driver.read_text().replace("true", "false", 1))
    evaluation["provenance"]["records_sha256"]["driver"] = sha256_of_file(driver)
    save_evaluation(other, evaluation)

    plan = PagePlan([halves[0], other], tmp_path / "page.md")
    refused(RecordError, "records of 'driver' must be the same in all evaluations", plan)


@pytest.mark.parametrize(
    "text",
    [
        "no marks", "<!-- results --> one mark", "<!-- /results --> turned <!-- results -->",
        "<!-- results --> <!-- /results --> twice <!-- /results -->",
    ],
)  # fmt: skip
def test_a_readme_without_its_two_marks_is_refused(folder, tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    plan = PagePlan([folder], tmp_path / "page.md", tmp_path / "README.md")
    refused(ConfigError, "--readme must have the marks", plan)


def test_page_and_readme_are_two_files(folder, tmp_path):
    (tmp_path / "README.md").write_text(README)
    plan = PagePlan([folder], tmp_path / "README.md", tmp_path / "README.md")
    refused(ConfigError, "--readme must be another file", plan)


@pytest.mark.parametrize("name", ["page", "page.html"])
def test_only_a_markdown_page_is_ever_written(folder, tmp_path, name):
    plan = PagePlan([folder], tmp_path / name)
    refused(ConfigError, r"--output_page must be a file that ends in \.md", plan)
