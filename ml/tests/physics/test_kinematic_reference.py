"""The reference line of collisions against the delay, against published values.

The values were computed by two independent programs from the definitions in the module, one of them
with 40,000 drawn cases.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from ml.envs.actuator_kernels import advance_actuator
from ml.errors import ConfigError
from ml.evaluation import kinematic_reference
from ml.evaluation.kinematic_reference import (
    TABLE_FILE,
    collision_probability,
    computed_probability,
    main,
    minimum_headway_s,
    regulation_minimum_headway_s,
)

PUBLISHED_PERCENT = [(0.0, 0.0), (0.16, 0.3), (0.36, 3.05), (0.66, 12.3), (0.75, 15.8),
                     (1.16, 34.95)]  # fmt: skip


@pytest.mark.parametrize(("delay_s", "expected_percent"), PUBLISHED_PERCENT)
def test_the_probability_is_the_published_one(delay_s, expected_percent):
    assert 100.0 * computed_probability(delay_s) == pytest.approx(expected_percent, abs=0.5)


@pytest.mark.parametrize(("delay_s", "expected_percent"), PUBLISHED_PERCENT)
def test_the_kept_table_gives_the_published_probability(delay_s, expected_percent):
    assert 100.0 * collision_probability(delay_s) == pytest.approx(expected_percent, abs=0.5)


@pytest.mark.parametrize("row", [0, 17, 60, 100])
def test_the_kept_table_is_what_the_code_computes_now(row):
    table = json.loads(TABLE_FILE.read_text(encoding="utf-8"))

    expected = computed_probability(table["delays_s"][row])

    assert table["collision_probabilities"][row] == pytest.approx(expected, abs=1e-6)


def test_the_table_rises_from_nothing_to_certainty():
    table = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    probabilities = np.array(table["collision_probabilities"])

    assert (np.diff(probabilities) >= 0.0).all()
    assert probabilities[0] < 1e-4
    assert probabilities[-1] == collision_probability(1000.0) == 1.0


def test_between_two_delays_of_the_table_it_is_linear():
    between = collision_probability(0.675)

    expected = 0.5 * (collision_probability(0.65) + collision_probability(0.70))
    assert between == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("delay_s", [-0.1, float("nan")])
def test_a_delay_before_the_onset_is_refused(delay_s):
    with pytest.raises(ConfigError, match="delay_s must be >= 0"):
        collision_probability(delay_s)


# The oracle, and messages of that age acted upon 0.05 s later.
@pytest.mark.parametrize(
    ("age_s", "expected_s"), [(0.0, 0.17), (0.06, 0.23), (0.26, 0.43), (0.56, 0.73), (1.06, 1.23)]
)
def test_smallest_headway_at_20_mps_is_the_published_one(age_s, expected_s):
    headway_s = float(minimum_headway_s(20.0, 8.0, age_s + 0.05))

    assert headway_s == pytest.approx(expected_s, abs=0.005)


def test_the_driver_of_the_regulation_needs_the_published_headway():
    assert float(regulation_minimum_headway_s(20.0, 8.0)) == pytest.approx(1.31, abs=0.005)


def test_headways_of_several_cases_are_those_of_each_alone():
    speeds, lead = np.array([[10.0], [25.0]]), np.array([[4.0, 9.0]])

    together = minimum_headway_s(speeds, lead, 0.5)

    alone = [[float(minimum_headway_s(v, b, 0.5)) for b in (4.0, 9.0)] for v in (10.0, 25.0)]
    np.testing.assert_allclose(together, alone, atol=1e-9)


@pytest.mark.parametrize("time_s", [0.05, 0.12, 0.4, 2.0])
def test_full_braking_loses_speed_as_the_environment_s_actuator_does(time_s):
    _, speed = advance_actuator(0.0, -8.0, 30.0, 100.0, time_s)

    lost = kinematic_reference._actuator_loss_mps(np.array(time_s))

    assert float(lost) == pytest.approx(30.0 - speed, abs=1e-9)


def test_the_command_writes_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(kinematic_reference, "_TABLE_END_S", 0.05)
    path = tmp_path / "table.json"

    main(["--output_file", str(path)])

    kept = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    made = json.loads(path.read_text(encoding="utf-8"))
    assert made == {
        **kept,
        "delays_s": [0.0, 0.05],
        "collision_probabilities": kept["collision_probabilities"][:2],
    }
