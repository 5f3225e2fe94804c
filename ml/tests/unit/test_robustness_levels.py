"""The levels of the robustness curves: what each sets, and which cases are played at it."""

from __future__ import annotations

import json

import pytest

from ml.espnow_emulator.episode_values import nominal_values
from ml.espnow_emulator.parameters import DEFAULT_PARAMETERS_PATH, load_radio_parameters
from ml.evaluation.players import PROTOCOL_BASELINES, scripted_player
from ml.evaluation.robustness_arguments import AXES, BASELINES, parse_robustness_args
from ml.evaluation.robustness_levels import VALUES, levels_of
from ml.evaluation.robustness_plan import RobustnessSettings, make_robustness_plan

NOMINAL = json.loads(DEFAULT_PARAMETERS_PATH.read_text(encoding="utf-8"))
EVERY_LEVEL = [level for axis in VALUES for level in levels_of(axis)]


def loaded(level, folder):
    """Return the values that an episode has under a level's file."""
    path = folder / f"{level.name}.json"
    path.write_text(json.dumps(level.parameters()), encoding="utf-8")
    return nominal_values(load_radio_parameters(path))


def changed(level):
    """Return the sections in which a level's file differs from the nominal one."""
    content = level.parameters()
    return {name for name in NOMINAL if content[name] != NOMINAL[name]} - {"_metadata"}


def settings(family="H", axes=AXES, calm_episodes=0, episodes=8):
    return RobustnessSettings(tuple(axes), family, episodes, calm_episodes, 5)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Scenarios that all tests of this module share."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "robustness_cache"))


def plan_of(tmp_path, **given):
    return make_robustness_plan(settings(**given), [scripted_player("eebl")], tmp_path)


@pytest.mark.parametrize(
    ("axis", "sections"),
    [
        ("loss", {"packet_loss", "burst_loss"}),
        ("burst", {"packet_loss", "burst_loss"}),
        ("delay", {"latency"}),
        ("peers", set()),
    ],
)
def test_a_level_changes_only_what_its_axis_is_about(axis, sections):
    assert changed(levels_of(axis)[-1]) == sections


@pytest.mark.parametrize("level", EVERY_LEVEL, ids=lambda level: level.name)
def test_every_level_is_a_radio_that_the_emulator_accepts(level, tmp_path):
    assert loaded(level, tmp_path).max_relay_hops == 0


def test_loss_is_the_same_at_every_distance_and_independent_from_frame_to_frame(tmp_path):
    (level,) = levels_of("loss", [0.8])

    values = loaded(level, tmp_path)

    assert values.loss_rates == (0.8, 0.8, 0.8)
    assert values.mean_burst_lengths == pytest.approx((5.0, 5.0, 5.0))  # 1 / (1 - 0.8)


def test_burst_level_loses_half_of_the_frames_in_bursts_of_its_length(tmp_path):
    (level,) = levels_of("burst", [20.0])

    values = loaded(level, tmp_path)

    assert values.loss_rates == (0.5, 0.5, 0.5)
    assert values.mean_burst_lengths == (20.0, 20.0, 20.0)


def test_delay_is_added_to_the_nominal_latency_of_3_4_ms(tmp_path):
    (level,) = levels_of("delay", [300.0])

    assert loaded(level, tmp_path).latency_base_ms == pytest.approx(303.4)


def test_expected_age_without_loss_is_half_a_period_and_the_latency():
    (level,) = levels_of("loss", [0.0])

    assert level.mean_age_ms == pytest.approx(50.0 + 3.4)


def test_two_frames_are_the_mean_burst_of_independent_losses_of_one_half():
    (independent,), (shortest,) = levels_of("loss", [0.5]), levels_of("burst", [2.0])

    assert independent.mean_burst == shortest.mean_burst == 2.0
    assert independent.loss == shortest.loss == 0.5


def test_baselines_to_choose_from_are_those_of_an_evaluation():
    assert BASELINES == PROTOCOL_BASELINES


def test_a_word_given_twice_counts_once():
    args = parse_robustness_args(["--output_dir", "x", "--axes", "loss", "delay", "loss"])

    assert args.axes == ["loss", "delay"]
    assert args.model == []


# --- Cases --------------------------------------------------------------------------------------


def test_every_level_of_the_radio_plays_the_same_cases(tmp_path):
    plan = plan_of(tmp_path, axes=("loss", "delay"), calm_episodes=3)

    cases = list(plan.cases_by_level.values())

    assert len(cases) == 18
    assert cases.count(cases[0]) == 18
    assert [case.family for case in cases[0]] == ["H"] * 8 + ["C"] * 3


def test_convoys_of_one_size_brake_at_every_rank_equally_often(tmp_path):
    cases = plan_of(tmp_path, axes=("peers",)).cases_by_level["peers_4"]

    assert [case.design["source_rank"] for case in cases] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert {case.design["num_peers"] for case in cases} == {4}


def test_convoys_of_every_size_meet_the_same_hazards_and_draws(tmp_path):
    by_level = plan_of(tmp_path, axes=("peers",)).cases_by_level

    drawn = [
        [
            (
                case.options["episode_index"],
                case.options["headway_s"],
                case.options["hazard"]["deceleration_mps2"],
                case.options["hazard"]["onset_s"],
            )
            for case in cases
        ]
        for cases in by_level.values()
    ]

    assert len(drawn) == 8
    assert drawn.count(drawn[0]) == 8


def test_family_m_begins_with_two_peers_of_which_the_second_brakes(tmp_path):
    plan = plan_of(tmp_path, family="M", axes=("peers",))

    assert [level.name for level in plan.levels] == [f"peers_{size}" for size in range(2, 9)]
    assert {case.design["source_rank"] for case in plan.cases_by_level["peers_2"]} == {2}


def test_every_case_has_its_scenario_however_few_or_many_there_are(tmp_path):
    few, many = plan_of(tmp_path, episodes=1), plan_of(tmp_path, episodes=200, calm_episodes=60)

    written = {path.name for path in (many.scenarios / "eval").iterdir()}

    assert few.scenarios == many.scenarios
    assert {case.scenario_id for case in many.cases} <= written


def test_hash_changes_with_seed_episodes_and_axes(tmp_path):
    base = settings(axes=("loss",))
    others = [settings(axes=("burst",)), settings(axes=("loss",), episodes=9)]
    hashes = {
        make_robustness_plan(each, [scripted_player("eebl")], tmp_path).sha256
        for each in (base, base, *others)
    }

    assert len(hashes) == 3
