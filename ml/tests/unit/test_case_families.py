"""The cases of the packaged protocols: how many of each, what they ask for, and always the same."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from itertools import pairwise

import pytest

from ml.envs.conditions import checked_reset_options
from ml.evaluation.families import cases_of, scenario_plans_of
from ml.evaluation.protocol import load_protocol
from ml.evaluation.published_families import r157_headway_s
from ml.provenance import sha256_of_text

NAMES = ("smoke", "screening", "short-gaps", "release-gates", "release")
PROTOCOLS = {name: load_protocol(name) for name in NAMES}
CASES = {name: cases_of(PROTOCOLS[name]) for name in NAMES}


def family(name, letter):
    return [case for case in CASES[name] if case.family == letter]


def counts(cases, *keys):
    return Counter(tuple(case.design[key] for key in keys) for case in cases)


# --- Every family ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("smoke", {"H": 36, "D": 9, "N": 10, "M": 13, "C": 18, "R": 14}),
        ("screening", {"H": 300, "D": 300, "N": 300, "M": 300, "C": 300, "R": 300}),
        ("short-gaps", {"H": 1440, "M": 1440, "C": 450}),
        ("release", {"H": 3000, "D": 1121, "N": 3000, "M": 3000, "C": 3000, "R": 3000}),
    ],
)
def test_families_have_as_many_cases_as_planned(name, expected):
    assert Counter(case.family for case in CASES[name]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_names_and_seeds_are_unique_and_options_are_known(name):
    cases = CASES[name]

    assert len({case.case_id for case in cases}) == len(cases)
    assert len({case.options["episode_index"] for case in cases}) == len(cases)
    assert all(case.case_id.replace("-", "").replace("_", "").isalnum() for case in cases)
    assert [checked_reset_options(case.options) for case in cases]
    assert {case.scenario_id for case in cases} == set(scenario_plans_of(PROTOCOLS[name]))


# A change of a case makes results incomparable: raise CASES_VERSION and pin anew.
@pytest.mark.parametrize(
    ("name", "protocol_sha256", "cases_sha256"),
    [
        (
            "smoke",
            "55c6ff5496411f10ce74ad9b4422f26cce6107ac8db07ee87fd42c8b09aa051e",
            "ca492f1456d862625eb7acbdb43b4cc62b69b7d85de177abac7a980e99ddbe80",
        ),
        (
            "screening",
            "c0c5bb1eabd106c21319e3dec9f25a8896e104ad7107eed679275ebd41b976b8",
            "ea9695b8be800793ec9908c743f047f029ad2487f2446c3dfa6e0904e09a3aa0",
        ),
        (
            "short-gaps",
            "ce4308de60754ac2bbafd9775a67d9da3cd6e8d033e47724c5031a1257d861a9",
            "02a8d6ea9fb6f162feb41ddce24028138b45bcb2d4aa781f0904e30ff581728e",
        ),
        (
            "release-gates",
            "2f2e561daacf00c4736645d1b425bae791bcc0ca4e263362539e6c1c11783416",
            "cfc1e1a1e5be6a18d16f1b7628d0f5a51ee5b6c0609b0cc0248649f372f226c9",
        ),
        (
            "release",
            "69e69ad5ac69553bcb21d34458d56a1c5a2edc1134bd0a3498823966ad5784d4",
            "6f09b2b31e3cc14129ecbea0037c674ff42746626cb2fe1a20f9251ecb755107",
        ),
    ],
)
def test_packaged_protocols_are_frozen(name, protocol_sha256, cases_sha256):
    rows = [dataclasses.asdict(case) for case in cases_of(load_protocol(name))]

    assert PROTOCOLS[name].sha256 == protocol_sha256
    assert sha256_of_text(json.dumps(rows, sort_keys=True)) == cases_sha256


def test_the_cases_of_the_gates_are_those_of_release():
    without_r = [case for case in CASES["release"] if case.family != "R"]

    assert list(CASES["release-gates"]) == without_r


def test_a_family_does_not_depend_on_the_others():
    protocol = PROTOCOLS["smoke"]
    only_calm = dataclasses.replace(protocol, families={"C": protocol.families["C"]})

    assert list(cases_of(only_calm)) == family("smoke", "C")


def test_another_seed_gives_other_values_in_the_same_cells():
    other = cases_of(dataclasses.replace(PROTOCOLS["smoke"], seed=1))

    assert [case.case_id for case in other] == [case.case_id for case in CASES["smoke"]]
    assert other[0].options["headway_s"] != CASES["smoke"][0].options["headway_s"]


# --- H and M ---------------------------------------------------------------------------------


def test_every_cell_of_h_has_its_share():
    screening = counts(family("screening", "H"), "num_peers", "source_rank")
    release = counts(family("release", "H"), "num_peers", "source_rank")

    # 36 cells: 300 = 36 * 8 + 12 and 3,000 = 36 * 83 + 12.
    assert len(screening) == len(release) == 36
    assert Counter(screening.values()) == {9: 12, 8: 24}
    assert Counter(release.values()) == {84: 12, 83: 24}
    assert all(rank <= size for size, rank in release)


def test_every_cell_of_m_has_its_share():
    release = counts(family("release", "M"), "num_peers", "source_rank")

    # Rank 2 of 2 to 8 peers and rank 3 of 3 to 8: 7 + 6 = 13 cells; 3,000 = 13 * 230 + 10.
    assert sorted(release) == [(2, 2), *((size, rank) for size in range(3, 9) for rank in (2, 3))]
    assert Counter(release.values()) == {231: 10, 230: 3}
    assert all(case.options["peer_driver"] == "delayed" for case in family("release", "M"))


@pytest.mark.parametrize("letter", ["H", "M", "R"])
def test_drawn_values_cover_their_ranges(letter):
    cases = family("release", letter)
    ranges = PROTOCOLS["release"].families[letter]

    for key, (low, high) in (
        ("speed_mps", ranges.speed_mps),
        ("headway_s", ranges.headway_s),
        ("deceleration_mps2", ranges.deceleration_mps2),
    ):
        values = sorted(case.design[key] for case in cases)
        # Uniform: the mean of 3,000 scatters by 0.29 (high - low) / sqrt(3000), 0.5 % of the range.
        assert low <= values[0] < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values[-1] <= high
        assert sum(values) / len(values) == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


def test_every_cell_of_h_meets_all_speeds_evenly():
    cells = {}
    for case in family("release", "H"):
        key = case.design["num_peers"], case.design["source_rank"]
        cells.setdefault(key, []).append(case.scenario_id)

    # 24 scenarios of each size: 83 or 84 episodes are 3 or 4 of each.
    assert all(len(set(used)) == 24 for used in cells.values())
    assert all(set(Counter(used).values()) <= {3, 4} for used in cells.values())


def test_speeds_of_a_size_are_spread_evenly():
    speeds = sorted({case.design["speed_mps"] for case in family("release", "H")
                     if case.design["num_peers"] == 4})  # fmt: skip

    # 24 parts of 22 / 24 = 0.917 m/s with one speed in each.
    assert len(speeds) == 24
    assert all(8.0 + k * 22 / 24 <= v <= 8.0 + (k + 1) * 22 / 24 for k, v in enumerate(speeds))


# --- D and N ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed_kmh", "headway_s"),
    [(7.2, 1.0), (10.0, 1.1), (15.0, 1.15), (30.0, 1.3), (60.0, 1.6), (61.0, 1.6), (128.0, 1.6)],
)
def test_headway_is_that_of_the_regulation(speed_kmh, headway_s):
    assert r157_headway_s(speed_kmh) == pytest.approx(headway_s)


def test_the_full_grid_is_59_speeds_by_19_decelerations():
    cases = family("release", "D")
    speeds = sorted({case.design["speed_mps"] for case in cases})
    decelerations = sorted({case.design["deceleration_mps2"] for case in cases})

    assert len(speeds) == 59
    assert len(decelerations) == 19
    assert speeds[0] == pytest.approx(12 / 3.6)
    assert speeds[-1] == pytest.approx(128 / 3.6)
    assert all(after - before == pytest.approx(2 / 3.6) for before, after in pairwise(speeds))
    assert decelerations[0] == pytest.approx(0.05 * 9.81)
    assert decelerations[-1] == pytest.approx(0.95 * 9.81)
    assert set(counts(cases, "speed_mps", "deceleration_mps2").values()) == {1}


def case_named(name, case_id):
    return next(case for case in CASES[name] if case.case_id == case_id)


def test_a_case_of_the_grid_by_hand():
    case = case_named("release", "D-v090_0-g0_500")

    # 25 m/s; 1.6 s is a gap of 40 m = 2 + T 25, so T = 1.52 s; braking at 4.905 m/s^2.
    assert case.design["headway_s"] == pytest.approx(1.6)
    assert case.options["headway_s"] == pytest.approx(1.52)
    assert case.options["hazard"]["deceleration_mps2"] == pytest.approx(4.905)
    # 5 s + 0.5 s of build-up + 25 / 4.905 = 5.097 s + 8 s = 18.597 s.
    assert case.max_steps == 186


def test_the_gentlest_case_of_the_fastest_lasts_until_the_lead_stands():
    case = case_named("release", "D-v128_0-g0_050")

    # 35.56 / 0.4905 = 72.49 s to a standstill, and 5 + 0.5 + 8 s around it.
    assert case.max_steps == 860


@pytest.mark.parametrize(
    ("case_id", "speed_kmh", "headway_s", "deceleration_mps2"),
    [
        ("N-gap12_d2-0000", 50, (12 - 2) / (50 / 3.6), 2.0),
        ("N-gap12_d6-0001", 50, (12 - 2) / (50 / 3.6), 6.0),
        ("N-gap40_d6-0299", 50, (40 - 2) / (50 / 3.6), 6.0),
        ("N-v30-0000", 30, 1 - 2 / (30 / 3.6), 4.0),
        ("N-v80-0299", 80, 1 - 2 / (80 / 3.6), 4.0),
    ],
)
def test_the_driver_is_given_the_gap_of_the_consumer_test(
    case_id, speed_kmh, headway_s, deceleration_mps2
):
    case = case_named("release", case_id)

    assert case.design["speed_mps"] == pytest.approx(speed_kmh / 3.6)
    assert case.options["headway_s"] == pytest.approx(headway_s)
    assert case.options["hazard"]["deceleration_mps2"] == deceleration_mps2


def test_every_configuration_of_n_has_its_share():
    # 2 gaps by 2 decelerations and 6 speeds are 10 configurations.
    assert set(counts(family("screening", "N"), "variant").values()) == {30}
    assert len(counts(family("screening", "N"), "variant")) == 10


# --- C and R ---------------------------------------------------------------------------------


def test_every_variant_of_c_and_r_has_its_share():
    calm = counts(family("release", "C"), "variant")
    stress = counts(family("release", "R"), "variant")

    # 3,000 = 9 * 333 + 3 = 14 * 214 + 4.
    assert Counter(calm.values()) == {334: 3, 333: 6}
    assert Counter(stress.values()) == {215: 4, 214: 10}


def test_calm_convoys_have_every_size_and_brake_mildly_or_for_a_moment():
    calm = family("release", "C")
    sizes = {
        variant: {case.design["num_peers"] for case in calm if case.design["variant"] == variant}
        for variant in ("cruise", "urban", "stale_relay")
    }
    braking = [case for case in calm if case.options["hazard"]["kind"] != "calm"]

    assert sizes == {
        "cruise": set(range(1, 9)), "urban": set(range(1, 9)), "stale_relay": set(range(3, 9)),
    }  # fmt: skip
    assert {case.design["variant"] for case in braking} == {"benign", "stale_relay"}
    assert all(
        case.design["deceleration_mps2"] < 2.5
        or (case.design["source_rank"] == 3 and case.options["hazard"]["hold_s"] == 0.1)
        for case in braking
    )


def test_only_the_second_car_ahead_is_heard_where_the_variant_says_so():
    case = next(c for c in family("release", "R") if c.case_id.startswith("R-only_second"))
    size = case.design["num_peers"]

    assert case.design["source_rank"] == 2
    assert case.options["radio_faults"] == [
        f"blackout:car={rank},start_s=onset-1" for rank in (1, *range(3, size + 1))
    ]


def test_stress_has_every_size_and_both_ranks():
    clean = [c for c in family("release", "R") if c.design["variant"] == "clean"]

    # 215 episodes over 14 cells of 7 sizes and 2 ranks: 15 or 16 each.
    assert set(counts(clean, "num_peers", "source_rank").values()) <= {15, 16}
    assert len(counts(clean, "num_peers", "source_rank")) == 14
