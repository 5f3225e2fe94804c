"""Tests of the gates: pass, fail and open of each, at edges computed by hand."""

import pytest

from ml.evaluation.gate_limits import GateLimits
from ml.evaluation.gates import judge_gates
from ml.tests.evaluation_rows import calm_rows, row, rows

LIMITS = GateLimits()
NAMES = ["canary", "safety floor", "extra saves", "operating curve", "radio off"]


def gate_of(name, rows_by_policy, *, presets=("nominal",), limits=LIMITS):
    gates = judge_gates(rows_by_policy, limits, "net", radio_presets=presets)
    return gates[NAMES.index(name)]


def check_of(gate, name):
    (found,) = [check for check in gate["checks"] if check["name"] == name]
    return found


def test_gates_come_in_their_order_and_are_open_where_nothing_was_run():
    gates = judge_gates({}, LIMITS, "net")

    assert [gate["name"] for gate in gates] == NAMES
    assert [gate["status"] for gate in gates] == ["open"] * 5
    assert [gate["case_ids"] for gate in gates] == [[]] * 5


def test_limits_are_those_of_the_specification():
    assert GateLimits(
        min_null_collision_rate=0.95, max_oracle_collision_rate=0.02,
        hard_half_deceleration_mps2=6.4, max_floor_crash_rate=0.005, max_floor_age_s=0.15,
        alarms_per_hour=(1.0, 10.0), max_radio_off_excess=0.01, confidence=0.95,
    ) == LIMITS  # fmt: skip


# --- 1. Canary -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("null", "oracle", "status"),
    [
        ((48, 50), (1, 50), "pass"),  # 96 % and 2.0 %
        ((47, 50), (1, 50), "fail"),  # 94 %
        ((48, 50), (2, 50), "fail"),  # 4 %
        ((49, 49), (0, 50), "open"),  # one episode too few
        ((50, 50), (0, 49), "open"),
        ((40, 49), (0, 50), "fail"),  # the one-sided bound of 40 in 49, 90.2 %, is below 95 %
        ((50, 50), (4, 20), "fail"),  # that of 4 in 20, 7.1 %, is above 2 %
    ],
)
def test_canary(null, oracle, status):
    rows_by_policy = {
        "null": rows("H", null[1], null[0]), "oracle": rows("H", oracle[1], oracle[0])
    }  # fmt: skip

    assert gate_of("canary", rows_by_policy)["status"] == status


def test_canary_looks_at_the_hard_half_of_h_only():
    soft = rows("H", 200, 0, hazard_requested_deceleration_mps2=6.39)
    edge = rows("H", 50, 50, hazard_requested_deceleration_mps2=6.4)
    gate = gate_of("canary", {"null": [*soft, *edge, *rows("D", 90, 0)], "oracle": edge})

    assert check_of(gate, "null")["episodes"] == 50
    assert check_of(gate, "null")["status"] == "pass"


def test_canary_names_the_cases_behind_a_failure():
    survivors = {"null": rows("H", 50, 45), "oracle": rows("H", 50, 0)}
    assert gate_of("canary", survivors)["case_ids"] == [f"H-{i:04d}" for i in range(45, 50)]

    victims = {"null": rows("H", 50, 50), "oracle": rows("H", 50, 2)}
    assert gate_of("canary", victims)["case_ids"] == ["H-0000", "H-0001"]


def test_a_stop_that_did_not_happen_does_not_count_for_the_null():
    not_realised = [row("H", 60, hazard_is_realised=False)]
    rows_by_policy = {"null": [*rows("H", 50, 48), *not_realised], "oracle": rows("H", 50, 0)}

    assert gate_of("canary", rows_by_policy)["checks"][0]["episodes"] == 50


# --- 2. Safety floor -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crashes", "episodes", "status"),
    [
        (0, 598, "pass"),  # 1 - 0.05 ** (1 / 598) = 0.49970 %
        (0, 597, "open"),  # 1 - 0.05 ** (1 / 597) = 0.50054 %
        (1, 598, "open"),
        (3, 200, "open"),  # Garwood's lower limit for 3 events, 0.818, is 0.41 % of 200
        (4, 200, "fail"),  # for 4 events, 1.366, 0.68 %
    ],
)
def test_safety_floor(crashes, episodes, status):
    rows_by_policy = {"aeb": rows("D", episodes, 0), "net": rows("D", episodes, crashes)}
    gate = gate_of("safety floor", rows_by_policy)

    assert gate["status"] == status
    assert gate["checks"][0]["collisions"] == crashes


def test_every_crash_against_the_floor_is_listed_whatever_the_status():
    rows_by_policy = {"aeb": rows("D", 100, 0), "net": rows("D", 100, 2)}

    assert gate_of("safety floor", rows_by_policy)["case_ids"] == ["D-0000", "D-0001"]


def test_a_case_is_preventable_if_either_reference_avoids_it():
    # aeb crashes in cases 0 to 3, r157 in 0 and 1: case 0 and 1 are preventable by neither.
    rows_by_policy = {
        "aeb": rows("H", 10, 4), "r157": rows("H", 10, 2), "net": rows("H", 10, 3)
    }  # fmt: skip
    gate = gate_of("safety floor", rows_by_policy)

    assert gate["checks"][0]["episodes"] == 8
    assert gate["case_ids"] == ["H-0002"]


def test_floor_counts_fresh_state_in_h_d_and_n_only():
    cases = [
        row("H", 0, age_at_onset_s=0.15), row("H", 1, age_at_onset_s=0.1501),
        row("H", 2, age_at_onset_s=None), row("M", 3), row("N", 4), row("D", 5),
        row("D", 6, hazard_is_realised=False),
    ]  # fmt: skip
    gate = gate_of("safety floor", {"aeb": cases, "net": cases})

    assert gate["checks"][0]["by_family"] == {
        "D": {"episodes": 1, "collisions": 0},
        "H": {"episodes": 1, "collisions": 0},
        "N": {"episodes": 1, "collisions": 0},
    }


def test_a_reference_whose_hazard_did_not_happen_prevents_nothing():
    rows_by_policy = {"aeb": [row("D", hazard_is_realised=False)], "net": [row("D")]}

    assert gate_of("safety floor", rows_by_policy)["checks"][0]["episodes"] == 0


def test_a_preset_without_fresh_state_is_named_and_does_not_hold_the_floor_open():
    fresh = rows("D", 598, 0)
    stale = [{**one, "radio_preset": "roof", "age_at_onset_s": 0.2} for one in fresh]
    both = {"aeb": [*fresh, *stale], "net": [*fresh, *stale]}
    gate = gate_of("safety floor", both, presets=("nominal", "roof"))

    assert gate["status"] == "pass"
    assert "no case as fresh under roof" in gate["text"]
    assert (
        gate_of("safety floor", {"aeb": stale, "net": stale}, presets=("roof",))["status"] == "open"
    )


# --- 3. Extra saves ------------------------------------------------------------------------------


def saves(num_driver, num_eebl, num_aeb, *, num_policy=0):
    """Return rows in which only the baselines crash, so many in H and as many in M."""
    counts = {"net": num_policy, "driver": num_driver, "eebl": num_eebl, "aeb": num_aeb}
    return {
        name: [*rows("H", 100, count), *rows("M", 100, count)] for name, count in counts.items()
    }


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ((7, 7, 6), "pass"),  # 2 / 2**7 * 2 families = 0.031 for driver and eebl; 2 / 2**6 = 0.031
        ((6, 7, 6), "open"),  # 2 / 2**6 * 2 families = 0.0625
        ((7, 6, 6), "open"),
        ((7, 7, 5), "open"),  # 2 / 2**5 = 0.0625
        ((7, 0, 6), "open"),  # a tie with eebl
    ],
)
def test_extra_saves(counts, status):
    assert gate_of("extra saves", saves(*counts))["status"] == status


def test_more_collisions_than_a_baseline_fail_and_name_the_cases():
    gate = gate_of("extra saves", saves(20, 3, 20, num_policy=10))
    check = check_of(gate, "fewer collisions than eebl in H")

    assert gate["status"] == "fail"
    assert check["status"] == "fail"
    assert (check["policy_only"], check["baseline_only"]) == (7, 0)
    assert gate["case_ids"] == [f"{family}-{i:04d}" for family in "HM" for i in range(3, 10)]
    assert "more collisions than eebl in H (10 against 3 in 100 episodes" in gate["text"]


def test_aeb_has_to_be_beaten_in_m_only():
    names = [check["name"] for check in gate_of("extra saves", saves(7, 7, 6))["checks"]]

    assert names == [
        "fewer collisions than driver in H", "fewer collisions than driver in M",
        "fewer collisions than eebl in H", "fewer collisions than eebl in M",
        "fewer collisions than aeb in M",
    ]  # fmt: skip


def test_a_gate_has_to_hold_under_every_preset():
    rows_by_policy = saves(7, 7, 6)

    gate = gate_of("extra saves", rows_by_policy, presets=("nominal", "roof"))

    assert gate["status"] == "open"
    assert gate["text"].startswith("roof: nothing to compare")


# --- 4. Operating curve --------------------------------------------------------------------------


def curve(points):
    """Return rows by id of (collisions in H of 100, false alarms in 1 h of calm traffic)."""
    return {
        name: [*rows("H", 100, collisions), *calm_rows(100, alarms)]
        for name, (collisions, alarms) in points.items()
    }


@pytest.mark.parametrize(
    ("points", "status"),
    [
        # At 10 per hour 0 against 7, at 1 per hour 1 against 9: p = 0.016 and 0.0078.
        ({"net": (0, 10), "net@2": (1, 1), "eebl@3": (7, 10), "eebl@5": (9, 1)}, "pass"),
        # At 1 per hour 5 against 9: four alone, p = 0.125.
        ({"net": (0, 10), "net@2": (5, 1), "eebl@3": (7, 10), "eebl@5": (9, 1)}, "open"),
        # The network's 11 alarms are one too many, and no threshold lowers them.
        ({"net": (0, 11), "eebl@3": (7, 10), "eebl@5": (9, 1)}, "fail"),
        ({"net": (20, 0), "eebl@3": (7, 10), "eebl@5": (9, 1)}, "fail"),
        # eebl alarms too often at every threshold: nothing to compare with.
        ({"net": (0, 0), "eebl@3": (7, 50), "eebl@5": (9, 11)}, "open"),
    ],
)
def test_operating_curve(points, status):
    assert gate_of("operating curve", curve(points))["status"] == status


def test_each_rate_of_alarms_is_a_check_with_its_two_points():
    points = {"net": (0, 10), "net@2": (1, 1), "eebl@3": (7, 10), "eebl@5": (9, 1)}
    checks = gate_of("operating curve", curve(points))["checks"]

    found = [(check["point"]["policy"], check["rival_point"]["policy"]) for check in checks]
    assert found == [("net@2", "eebl@5"), ("net", "eebl@3")]
    # Holm: 2 * 2 / 2**8 for 8 alone at 1 per hour, 2 / 2**7 for 7 alone at 10 per hour.
    assert [check["holm_p"] for check in checks] == [0.015625, 0.015625]


def test_curve_without_calm_traffic_is_open():
    rows_by_policy = {"net": rows("H", 100, 0), "eebl": rows("H", 100, 50)}
    gate = gate_of("operating curve", rows_by_policy)

    assert gate["status"] == "open"
    assert "no calm traffic" in gate["text"]


# --- 5. Radio off --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "driver", "episodes", "status"),
    [
        # Without a difference Tango's upper limit is z^2 / (N + z^2), z = 1.6449: 0.99944 % for
        # 268 episodes, 1.00315 % for 267.
        (0, 0, 268, "pass"),
        (0, 0, 267, "open"),
        (80, 80, 268, "pass"),
        (1, 0, 268, "open"),
        (20, 0, 268, "fail"),
    ],
)
def test_radio_off(policy, driver, episodes, status):
    rows_by_policy = {
        "net": rows("H", episodes, policy, preset="radio_off"),
        "driver": rows("H", episodes, driver, preset="radio_off"),
    }
    assert gate_of("radio off", rows_by_policy)["status"] == status


def test_radio_off_names_the_cases_in_which_only_the_policy_crashed():
    rows_by_policy = {
        "net": rows("H", 100, 12, preset="radio_off"),
        "driver": rows("H", 100, 2, preset="radio_off"),
    }
    gate = gate_of("radio off", rows_by_policy)

    assert gate["status"] == "fail"
    assert gate["case_ids"] == [f"H-{i:04d}" for i in range(2, 12)]


def test_rows_with_the_radio_on_or_without_a_hazard_do_not_enter():
    calm = calm_rows(300, 0, radio_preset="radio_off")
    rows_by_policy = {name: [*rows("H", 300, 0), *calm] for name in ("net", "driver")}
    gate = gate_of("radio off", rows_by_policy)

    assert gate["status"] == "open"
    assert gate["checks"][0]["pairs"] == 0
