"""Tests of ml.training.trial: which scenario a trial trains on."""

import pytest

from ml.provenance import REPOSITORY_ROOT
from ml.training.trial import _scenario_flags


def test_a_trial_is_on_the_base_scenario_from_any_folder():
    base = REPOSITORY_ROOT / "ml" / "scenarios" / "base" / "scenario.sumocfg"

    assert _scenario_flags(("--n_envs", "1")) == ("--sumo_cfg", str(base))


@pytest.mark.parametrize("flag", ["--sumo_cfg", "--dataset_dir"])
def test_flags_that_name_a_scenario_take_the_place_of_the_base_one(flag):
    assert _scenario_flags((flag, "elsewhere")) == ()
