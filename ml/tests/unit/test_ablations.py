"""The numbers, the page and the figure of the ablations, from counts written by hand."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from experiments.ablation_figure import figure_svg
from experiments.ablation_numbers import by_seed, counts_of, difference_of, summary_of
from experiments.ablation_page import page_markdown
from experiments.ablation_plan import CLEAN_RADIO, CROWDED, ORDINARY, VARIANTS, Condition
from experiments.ablations import FIGURE_FILE, PAGE_FILE, RESULTS_FILE, TEXT_FILE
from ml.espnow_emulator import RadioEmulator, load_radio_parameters
from ml.provenance import REPOSITORY_ROOT
from ml.tests.radio_worlds import cars_in_line
from ml.types import CAR_SPEED, SENSED_SPEED

SVG = "{http://www.w3.org/2000/svg}"


def record(variant, seed, collisions, *, threshold_mps2=0.0, condition=ORDINARY):
    """Return counts: collisions of 100 in H, half as many in M, as many alarms in 4 h of C."""
    return {
        "variant": variant, "seed": seed, "threshold_mps2": threshold_mps2,
        "radio_preset": condition.preset, "num_peers": condition.num_peers,
        "H": {"cases": 100, "collisions": collisions},
        "M": {"cases": 100, "collisions": collisions // 2},
        "C": {"cases": 50, "collisions": 0, "hours": 4.0, "false_alarms": collisions},
        "model_sha256": "ab" * 32, "code_sha256": "cd" * 32,
    }  # fmt: skip


def results(*records):
    return {"protocol_sha256": "ef" * 32, "records": list(records)}


THREE_SEEDS = results(
    *(record("base", seed, number) for seed, number in [(1, 2), (2, 4), (3, 6)]),
    *(record("slots", seed, number) for seed, number in [(3, 20), (2, 10), (1, 6)]),
)


def row(family, *, duration_s=36.0, collision=False, is_realised=True, alarms=0):
    return {
        "family": family, "duration_s": duration_s, "collision": collision,
        "hazard_kind": "calm" if family == "C" else "hard_stop",
        "hazard_is_realised": is_realised, "false_alarms_3mps2": alarms,
    }  # fmt: skip


def test_what_did_not_happen_as_asked_is_not_counted():
    rows = [
        *(row("H", collision=True), row("H"), row("H", is_realised=False)),
        *(row("M", collision=True, is_realised=False), row("C", alarms=2), row("C", alarms=1)),
    ]

    assert counts_of(rows) == {
        "H": {"cases": 2, "collisions": 1},
        "M": {"cases": 1, "collisions": 1},
        "C": {"cases": 2, "collisions": 0, "hours": pytest.approx(0.02), "false_alarms": 3},
    }


def test_mean_interval_and_worst_are_over_the_seeds():
    seeds = by_seed(THREE_SEEDS["records"], "base", 0.0, ORDINARY)
    shares, rates = summary_of(seeds, "H"), summary_of(seeds, "C")

    # 2, 4, 6 %: mean 4, deviation 2, t(2) = 4.3027, so 4 +- 4.3027 * 2 / sqrt(3) = 4.9683.
    assert shares["mean"] == pytest.approx(0.04)
    assert shares["interval_95"] == pytest.approx([-0.009683, 0.089683], abs=1e-6)
    assert (shares["worst"], shares["worst_seed"]) == (pytest.approx(0.06), 3)
    # In 4 h: 0.5, 1, 1.5 per hour.
    assert rates["mean"] == pytest.approx(1.0)


def test_differences_are_between_the_same_seeds():
    found = difference_of(THREE_SEEDS["records"], "slots", 0.0, ORDINARY, "H")

    assert found["seeds"] == [1, 2, 3]
    assert found["values"] == pytest.approx([0.04, 0.06, 0.14])
    assert found["mean"] == pytest.approx(0.08)


def test_without_a_seed_in_common_there_is_no_difference():
    records = [record("base", 1, 2), record("slots", 2, 4)]

    assert difference_of(records, "slots", 0.0, ORDINARY, "H") is None


def test_a_condition_is_a_radio_and_a_number_of_cars():
    roof = Condition("roof")
    records = [record("base", 1, 2), *(record("base", 1, 4, condition=c) for c in (CROWDED, roof))]

    for condition, number in ((ORDINARY, 2), (CROWDED, 4), (roof, 4)):
        (found,) = by_seed(records, "base", 0.0, condition).values()
        assert found["H"]["collisions"] == number
        assert found["radio_preset"] == condition.preset
    assert by_seed(records, "base", 6.0, ORDINARY) == {}


def test_page_has_values_worst_seeds_and_differences():
    page = page_markdown(THREE_SEEDS, "{tables}")

    assert (
        "| base | 1 2 3 | 4.0 % (0 to 9.0 %) | 6.0 %, seed 3 | 2.0 % (0 to 4.5 %) | 3.0 %, seed 3 "
        "| 1 (0 to 2.24) | 1.5, seed 3 |" in page
    )
    # 4, 6, 14 points: mean 8, deviation 5.2915, so +- 4.3027 * 5.2915 / sqrt(3) = 13.1447.
    assert "| fixed slots | +8.0 (-5.1 to +21.1) | +4.0, +6.0, +14.0 |" in page
    assert "H 100, M 100, C 50 (4.0 h)" in page
    assert "8 cars ahead" not in page


def test_interval_of_a_share_ends_at_0_and_100_percent_and_that_of_a_rate_at_0_alone():
    # H: 60, 80, 100 %: 80 +- 4.3027 * 20 / sqrt(3) = 30.3 to 129.7. C: 20 +- 12.4 per hour.
    # 2, 40, 100 %: 47.3 +- 123.0, and 11.8 +- 30.7 per hour.
    wide, wider = [(1, 60), (2, 80), (3, 100)], [(1, 2), (2, 40), (3, 100)]
    pages = [
        page_markdown(results(*(record("base", *one) for one in seeds)), "{tables}")
        for seeds in (wide, wider)
    ]

    assert "80.0 % (30.3 to 100 %)" in pages[0]
    assert "20 (7.58 to 32.4)" in pages[0]
    assert "47.3 % (0 to 100 %)" in pages[1]
    assert "11.8 (0 to 42.5)" in pages[1]


def test_each_condition_that_was_judged_has_a_table():
    crowded = [record(name, 1, 2, condition=CROWDED, threshold_mps2=6.0)
               for name in ("base", "few_peers")]  # fmt: skip
    page = page_markdown(results(record("base", 1, 2), *crowded), "{tables}")

    assert "## As trained\n" in page
    assert "## 8 cars ahead, demands above 6 m/s² alone\n" in page
    assert "| at most 4 ahead | 1 | 2.0 % (none) |" in page
    assert "Radio preset" not in page


def test_page_names_every_variant_with_its_flags():
    page = page_markdown(results(), "{variants}")

    assert [variant.title for variant in VARIANTS if f"| {variant.title} |" not in page] == []
    assert "`--pooling attention`" in page
    assert "`--train_max_peers 4` of `gen_scenarios`" in page


def test_page_of_the_documentation_is_what_the_counts_make_now():
    counts = json.loads(RESULTS_FILE.read_text(encoding="utf-8"))
    hint = "run python -m experiments.ablations --only_page"
    text = TEXT_FILE.read_text(encoding="utf-8")

    assert PAGE_FILE.read_text(encoding="utf-8") == page_markdown(counts, text), hint
    if counts["records"]:
        assert FIGURE_FILE.read_text(encoding="utf-8") == figure_svg(counts["records"]), hint


def test_figure_has_a_pale_mark_for_each_seed_and_a_mean_with_its_interval_in_each_panel():
    root = ElementTree.fromstring(figure_svg(THREE_SEEDS["records"]))  # noqa: S314 - our own

    kinds = [element.get("class") for element in root.iter()]
    assert kinds.count("mark as-trained seed") == 2 * 3 * 3
    assert kinds.count("mark as-trained") == 2 * 3 + 1  # and that of the key
    assert kinds.count("interval as-trained") == 2 * 3 + 1
    assert kinds.count("mark above seed") == 0
    assert root.find(f"{SVG}title").text
    assert "base: H 4.0 %, M 2.0 %, C 1 per hour" in root.find(f"{SVG}desc").text
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"base", "fixed slots", "25", "C, false alarms per hour"} <= set(texts)
    assert "50" in texts  # of H: slots' interval ends at 29.9 %
    assert "mean" not in texts  # a variant without records has no row


def test_clean_radio_hears_every_frame_without_an_error():
    parameters = load_radio_parameters(REPOSITORY_ROOT / CLEAN_RADIO)
    radio = RadioEmulator(parameters)
    cars = cars_in_line(9, spacing_m=40.0)
    radio.reset(radio_key=7, cars=cars, time_s=0.0, randomise=True)
    for step in range(1, 101):
        radio.advance(0.1 * step, cars)

    assert parameters.use == "training"
    assert radio.record()["radio_delivery_ratio"] == 1.0
    assert radio.heard[1:, SENSED_SPEED].tolist() == pytest.approx(cars[1:, CAR_SPEED].tolist())
